"""A metrics page of the size and shape of vLLM's, 60 kB of it, written by prometheus_client."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (
    0.001,
    0.005,
    0.01,
    0.02,
    0.04,
    0.06,
    0.08,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    20.0,
    40.0,
    80.0,
    160.0,
)
TOKENS = tuple(float(step * 10**power) for power in range(6) for step in (1, 2, 5))

GAUGES = (
    "num_requests_running",
    "num_requests_waiting",
    "kv_cache_usage_perc",
    "engine_sleep_state",
    "lora_requests_info",
)
COUNTERS = (
    "prompt_tokens generation_tokens num_preemptions prefix_cache_queries prefix_cache_hits external_prefix_cache_queries "
    "external_prefix_cache_hits mm_cache_queries mm_cache_hits request_success spec_decode_num_drafts corrupted_requests"
).split()
LATENCIES = (
    "time_to_first_token_seconds inter_token_latency_seconds e2e_request_latency_seconds request_queue_time_seconds "
    "request_inference_time_seconds request_prefill_time_seconds request_decode_time_seconds "
    "request_time_per_output_token_seconds kv_block_lifetime_seconds kv_block_idle_before_evict_seconds"
).split()
SIZES = (
    "request_prompt_tokens request_generation_tokens iteration_tokens_total request_max_num_generation_tokens "
    "request_params_n request_params_max_tokens request_prefill_kv_computed_tokens"
).split()


def engine_page(load: int = 7) -> bytes:
    """Write it; `load` makes the numbers differ from page to page."""
    registry = CollectorRegistry()
    labels = {"model_name": "meta-llama/Llama-3.1-8B-Instruct", "engine": "0"}
    for at, name in enumerate(GAUGES):
        Gauge(f"vllm:{name}", f"The {name} of the engine.", labels, registry=registry).labels(**labels).set(load + at)
    for at, name in enumerate(COUNTERS):
        counter = Counter(f"vllm:{name}", f"Number of {name} since the start.", labels, registry=registry)
        counter.labels(**labels).inc(load * 1000 + at)
    for names, bounds, unit in ((LATENCIES, SECONDS, 0.01), (SIZES, TOKENS, 100.0)):
        for name in names:
            histogram = Histogram(f"vllm:{name}", f"Histogram of {name}.", labels, registry=registry, buckets=bounds)
            for number in range(50):
                histogram.labels(**labels).observe(unit * ((number * load) % 97))
    for family in range(50):
        gauge = Gauge(f"process_thing_{family}", f"Something of the process, number {family}.", registry=registry)
        gauge.set(family * 1.5)
    return bytes(generate_latest(registry))
