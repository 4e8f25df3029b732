"""The metrics pages of a simulated world, under the names that the real things use.

vLLM 0.12 and later (vllm/v1/metrics/loggers.py), llm-d's endpoint picker (llm-d-router,
pkg/epp/metrics/llm_d_router_metrics.go), kube-state-metrics 2.20 (internal/store/horizontalpodautoscaler.go and
deployment.go). Only what scalers look at. Pure.
"""

from collections.abc import Iterable, Mapping

from scaler.cluster.keda import ScaledObject
from scaler.sim.fleet import Snapshot
from scaler.sim.histogram import Buckets
from scaler.sim.replica import ReplicaFacts

Labels = Mapping[str, str]


def vllm(replica: ReplicaFacts, model: str) -> str:
    """Write one replica's own page."""
    labels = {"model_name": model, "engine": "0"}
    scalars: tuple[tuple[str, str, float], ...] = (
        ("vllm:num_requests_waiting", "gauge", replica.waiting),
        ("vllm:num_requests_running", "gauge", replica.running),
        ("vllm:kv_cache_usage_perc", "gauge", replica.kv_usage),
        ("vllm:prompt_tokens_total", "counter", replica.prompt_tokens),
        ("vllm:generation_tokens_total", "counter", replica.generation_tokens),
        ("vllm:num_preemptions_total", "counter", replica.preemptions),
        ("vllm:request_success_total", "counter", replica.finished),
    )
    families = [_family(name, kind, [(name, labels, value)]) for name, kind, value in scalars]
    families.append(_histogram("vllm:time_to_first_token_seconds", labels, replica.ttft))
    families.append(_histogram("vllm:inter_token_latency_seconds", labels, replica.itl))
    families.append(_histogram("vllm:request_time_per_output_token_seconds", labels, replica.tpot))
    return "".join(families)


def gateway(queued: Mapping[str, int]) -> str:
    """Write the gateway's page: what waits outside, by model, which is all there is at 0 replicas."""
    name = "llm_d_epp_flow_control_queue_size"
    rows: list[tuple[str, Labels, float]] = [
        (name, {"inference_pool": model, "model_name": model, "target_model_name": model, "priority": "0"}, count)
        for model, count in sorted(queued.items())
    ]
    return _family(name, "gauge", rows)


def kube_state(seen: Snapshot, scaled: ScaledObject, namespace: str, name: str) -> str:
    """Write what the cluster says of the Deployment `name`, which a ScaledObject of the same name scales."""
    hpa = {"namespace": namespace, "horizontalpodautoscaler": f"keda-hpa-{name}"}
    points_at = {**hpa, "scaletargetref_kind": "Deployment", "scaletargetref_name": name}
    rows: tuple[tuple[str, Labels, float], ...] = (
        ("kube_horizontalpodautoscaler_info", points_at, 1),
        ("kube_horizontalpodautoscaler_status_current_replicas", hpa, seen.desired),
        ("kube_horizontalpodautoscaler_spec_min_replicas", hpa, scaled.hpa.minimum),
        ("kube_horizontalpodautoscaler_spec_max_replicas", hpa, scaled.hpa.maximum),
        ("kube_deployment_status_replicas_ready", {"namespace": namespace, "deployment": name}, seen.ready),
    )
    return "".join(_family(metric, "gauge", [(metric, labels, value)]) for metric, labels, value in rows)


def _histogram(name: str, labels: Labels, seen: Buckets) -> str:
    steps = [*zip(map(repr, seen.bounds), seen.cumulative, strict=True), ("+Inf", seen.count)]
    rows: list[tuple[str, Labels, float]] = [(f"{name}_bucket", {**labels, "le": le}, count) for le, count in steps]
    rows += [(f"{name}_count", labels, seen.count), (f"{name}_sum", labels, seen.sum)]
    return _family(name, "histogram", rows)


def _family(name: str, kind: str, rows: Iterable[tuple[str, Labels, float]]) -> str:
    lines = (f"{metric}{{{_written(labels)}}} {value!r}\n" for metric, labels, value in rows)
    return f"# TYPE {name} {kind}\n{''.join(lines)}"


def _written(labels: Labels) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
