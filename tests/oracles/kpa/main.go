// Asks Knative's own autoscaler: knative.dev/serving, pkg/autoscaler/scaling, with its own windows.
//
// Reads one JSON object per line, {"spec": {...}, "steps": [{"at": 0, "value": 12, "ready": 1}, ...]}, and answers each
// with the desired pods of every step. Times are whole multiples of two seconds, Knative's own tick, after a start that
// is now: a new autoscaler that begins in a panic reads the real clock once.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/types"
	"knative.dev/serving/pkg/autoscaler/aggregation"
	"knative.dev/serving/pkg/autoscaler/scaling"
)

const tick = 2 * time.Second

type step struct {
	At    int     `json:"at"`
	Value float64 `json:"value"`
	Ready int     `json:"ready"`
}

type question struct {
	Target          float64 `json:"target"`
	Stable          float64 `json:"stable"`
	Panic           float64 `json:"panic"`
	Threshold       float64 `json:"threshold"`
	Up              float64 `json:"up"`
	Down            float64 `json:"down"`
	Delay           float64 `json:"delay"`
	ActivationScale int32   `json:"activationScale"`
	Steps           []step  `json:"steps"`
}

type pods struct{ ready int }

func (p *pods) ReadyCount() (int, error)    { return p.ready, nil }
func (p *pods) NotReadyCount() (int, error) { return 0, nil }

type windows struct{ stable, panic *aggregation.TimedFloat64Buckets }

func (w *windows) StableAndPanicConcurrency(_ types.NamespacedName, now time.Time) (float64, float64, error) {
	return w.stable.WindowAverage(now), w.panic.WindowAverage(now), nil
}

func (w *windows) StableAndPanicRPS(key types.NamespacedName, now time.Time) (float64, float64, error) {
	return w.StableAndPanicConcurrency(key, now)
}

func seconds(count float64) time.Duration { return time.Duration(count * float64(time.Second)) }

func answer(q question) []int32 {
	spec := &scaling.DeciderSpec{
		MaxScaleUpRate: q.Up, MaxScaleDownRate: q.Down, ScalingMetric: "concurrency",
		TargetValue: q.Target, TotalValue: q.Target, PanicThreshold: q.Threshold,
		StableWindow: seconds(q.Stable), ScaleDownDelay: seconds(q.Delay),
		Reachable: true, ActivationScale: q.ActivationScale,
	}
	seen := &windows{
		aggregation.NewTimedFloat64Buckets(seconds(q.Stable), tick),
		aggregation.NewTimedFloat64Buckets(seconds(q.Panic), tick),
	}
	counter := &pods{q.Steps[0].Ready}
	start := time.Now().Truncate(tick)
	scaler := scaling.New(attribute.NewSet(), noop.NewMeterProvider(), "n", "r", seen, counter, spec)
	logger := zap.NewNop().Sugar()
	desired := make([]int32, 0, len(q.Steps))
	for _, one := range q.Steps {
		now := start.Add(time.Duration(one.At) * time.Second)
		counter.ready = one.Ready
		seen.stable.Record(now, one.Value)
		seen.panic.Record(now, one.Value)
		desired = append(desired, scaler.Scale(logger, now).DesiredPodCount)
	}
	return desired
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	answers := bufio.NewWriter(os.Stdout)
	defer answers.Flush()
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		line, _ := json.Marshal(answer(q))
		answers.Write(append(line, '\n'))
		answers.Flush()
	}
}
