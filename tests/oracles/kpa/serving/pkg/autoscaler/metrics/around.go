package metrics

import (
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

var ErrNoData = errors.New("no data")

type MetricClient interface {
	StableAndPanicConcurrency(types.NamespacedName, time.Time) (float64, float64, error)
	StableAndPanicRPS(types.NamespacedName, time.Time) (float64, float64, error)
}
