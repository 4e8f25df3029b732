"""Ask a Prometheus server: one batched query for each shape of signal and tick."""
