module knative.dev/serving

go 1.26.0
