// Asks expr-lang itself, in the way of KEDA 2.20.2.
//
// Reads one JSON object per line, {"formula": "a + b", "values": {"a": 1, "b": null}}, and answers each with one:
// what KEDA's program comes to, and what the same program without expr's optimiser comes to.
//
// The wrapping is castToFloatIfNecessary and the compilation validateScalingModifiersFormula of
// apis/keda/v1alpha1/scaledobject_webhook.go; the run is calculateScalingModifiersFormula of
// pkg/scaling/modifiers/formula.go. KEDA's webhook also runs each formula once with -1 for every variable and refuses
// it when that fails; this does not.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/expr-lang/expr"
)

type question struct {
	Formula string              `json:"formula"`
	Values  map[string]*float64 `json:"values"`
	Boolean bool                `json:"boolean"` // an activation condition, which KEDA does not have: wrapped alike
}

type outcome struct {
	Stage string `json:"stage"` // "compile", "run" or "value"
	Value string `json:"value"` // of Go's %v for floats, "nil", "true", "false"
	Error string `json:"error"`
}

type answer struct {
	Keda  outcome `json:"keda"`
	Plain outcome `json:"plain"`
}

func wrapped(q question) string {
	switch {
	case q.Boolean && strings.Contains(q.Formula, "??"):
		return fmt.Sprintf("let _result = (%s); _result == nil ? nil : !!_result", q.Formula)
	case q.Boolean:
		return "!(!(" + q.Formula + "))"
	case strings.Contains(q.Formula, "??"):
		return fmt.Sprintf("let _kedaCompositeResult = (%s); "+
			"_kedaCompositeResult == nil ? nil : float(_kedaCompositeResult)", q.Formula)
	case strings.HasPrefix(q.Formula, "float("):
		return q.Formula
	default:
		return "float(" + q.Formula + ")"
	}
}

func ask(q question, options ...expr.Option) (result outcome) {
	result.Stage = "compile"
	defer func() {
		if problem := recover(); problem != nil {
			result.Error = fmt.Sprint(problem)
		}
	}()
	types := make(map[string]float64)
	data := make(map[string]any)
	for name, value := range q.Values {
		types[name] = -1
		if data[name] = nil; value != nil {
			data[name] = *value
		}
	}
	program, err := expr.Compile(wrapped(q), append(options, expr.Env(types))...)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	result.Stage = "run"
	value, err := expr.Run(program, data)
	if err != nil {
		result.Error = err.Error()
		return result
	}
	result.Value, result.Stage = "nil", "value"
	switch value := value.(type) {
	case nil:
		return result
	case float64:
		result.Value = strconv.FormatFloat(value, 'g', -1, 64)
		return result
	case bool:
		if q.Boolean {
			result.Value = strconv.FormatBool(value)
			return result
		}
	}
	return outcome{Stage: "run", Error: fmt.Sprintf("formula returned %T (%v)", value, value)}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<16), 1<<24)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			panic(err)
		}
		a := answer{Keda: ask(q), Plain: ask(q, expr.Optimize(false))}
		if err := answers.Encode(a); err != nil {
			panic(err)
		}
	}
}
