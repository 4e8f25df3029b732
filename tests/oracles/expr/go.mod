module llm-scaler.test/expr

go 1.21

require github.com/expr-lang/expr v1.17.8
