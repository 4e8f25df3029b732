package scaling

import (
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
)

const tickInterval = 2 * time.Second

var invalidSR = ScaleResult{}

type DeciderSpec struct {
	MaxScaleUpRate, MaxScaleDownRate, TargetValue, TotalValue, TargetBurstCapacity, PanicThreshold float64
	ScalingMetric                                                                                  string
	StableWindow, ScaleDownDelay                                                                   time.Duration
	Reachable                                                                                      bool
	ActivationScale                                                                                int32
}

type ScaleResult struct {
	DesiredPodCount, ExcessBurstCapacity int32
	ScaleValid                           bool
}

type UniScaler interface {
	Scale(*zap.SugaredLogger, time.Time) ScaleResult
	Update(*DeciderSpec)
	OnDelete()
}

type scalingMetrics struct{}

func newMetrics(metric.MeterProvider, string, attribute.Set) *scalingMetrics { return &scalingMetrics{} }

func (*scalingMetrics) SetPanic(bool) {}
func (*scalingMetrics) OnDelete()     {}

func (*scalingMetrics) Record(float64, int64, float64, float64, float64) {}
