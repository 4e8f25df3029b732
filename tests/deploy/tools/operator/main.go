// Reads objects as a JSON array from standard input, and fails on the first that is not what the Prometheus operator's
// own types say: an unknown field, or a value of another type.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

func main() {
	var objects []json.RawMessage
	if err := json.NewDecoder(os.Stdin).Decode(&objects); err != nil {
		fail("standard input", err)
	}
	for _, object := range objects {
		var head struct{ Kind string }
		if err := json.Unmarshal(object, &head); err != nil {
			fail("object", err)
		}
		kinds := map[string]any{
			"ServiceMonitor": &monitoring.ServiceMonitor{}, "PodMonitor": &monitoring.PodMonitor{},
			"PrometheusRule": &monitoring.PrometheusRule{},
		}
		strict := json.NewDecoder(bytes.NewReader(object))
		strict.DisallowUnknownFields()
		if err := strict.Decode(kinds[head.Kind]); err != nil {
			fail(head.Kind, err)
		}
	}
	fmt.Println(len(objects))
}

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	os.Exit(1)
}
