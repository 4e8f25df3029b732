package autoscaling

const (
	RPS         = "rps"
	Concurrency = "concurrency"
)
