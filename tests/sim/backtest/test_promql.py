"""PromQL over a simulated fleet: what comes out, and that everything else is refused."""

import math

import pytest

from scaler.model.errors import ConfigError
from scaler.sim.backtest import promql
from scaler.sim.fleet import Snapshot
from scaler.sim.histogram import ITL, TTFT, Histogram
from scaler.sim.replica import ReplicaFacts

NONE = Histogram(TTFT).buckets(), Histogram(ITL).buckets(), Histogram(ITL).buckets()


def replica(serial, waiting, running=0, tokens=0, phase="ready"):
    return ReplicaFacts(serial, phase, 0.0, waiting, running, 0.25 * (serial + 1), 0, tokens, 0, 0, *NONE)


def seen(at, *replicas, queued=0):
    return Snapshot(at, len(replicas), tuple(replicas), queued, 0.0, 0, 0, 0, 0, 0, 0.0)


HISTORY = [
    seen(0.0, replica(0, 1, tokens=0), replica(1, 0, tokens=100)),
    seen(15.0, replica(0, 3, tokens=300), replica(1, 2, tokens=100)),
    seen(30.0, replica(0, 5, 4, tokens=600), replica(1, 3, 2, tokens=400), queued=7),
]


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ('sum(vllm:num_requests_waiting{model_name="llama"})', 8.0),
        ("sum(vllm:num_requests_waiting) + sum(vllm:num_requests_running)", 14.0),
        ("avg(vllm:num_requests_waiting)", 4.0),
        ("max by (model_name) (vllm:num_requests_waiting)", 5.0),
        ("count(vllm:num_requests_waiting)", 2.0),
        ("max(vllm:kv_cache_usage_perc) * 100", 50.0),
        ("sum(max_over_time(vllm:num_requests_waiting[30s]))", 8.0),
        ("sum(avg_over_time(vllm:num_requests_waiting[30s]))", 6.5),
        ("llm_d_epp_flow_control_queue_size", 7.0),
        ("sum(vllm:num_requests_waiting) + on() llm_d_epp_flow_control_queue_size", 15.0),
        ("ceil(sum(vllm:num_requests_waiting) / 3)", 3.0),
        ("clamp_max(sum(vllm:num_requests_waiting), 6)", 6.0),
        ("-sum(vllm:num_requests_waiting)", -8.0),
        ("scalar(sum(vllm:num_requests_waiting)) / 2", 4.0),
        ("sum(vllm:num_requests_waiting) or vector(0)", 8.0),
        ("vector(3)", 3.0),
        ("2 * 3", 6.0),
        ("sum(vllm:num_requests_waiting) / 0", None),
        ("sum(rate(vllm:generation_tokens_total[1m]))", pytest.approx((600 + 300 * 40 / 30) / 60)),
    ],
)
def test_values(query, value):
    assert promql.value(query, HISTORY) == value


def test_a_rate_goes_to_the_ends_of_its_window_where_samples_are_near():
    """Two samples 15 s apart in a window of 30 s: 15 s are sampled, and half of a gap is added at its start."""
    history = [seen(15.0, replica(0, 0, tokens=300)), seen(30.0, replica(0, 0, tokens=600))]
    assert promql.value("sum(increase(vllm:generation_tokens_total[30s]))", history) == pytest.approx(600.0)


def test_nothing_there_is_nothing():
    assert promql.value("sum(vllm:num_requests_waiting)", [seen(0.0)]) is None
    assert promql.value("sum(vllm:num_requests_waiting) or vector(0)", [seen(0.0)]) == 0.0
    assert promql.value("sum(vllm:num_requests_waiting)", [seen(0.0, replica(0, 9, phase="starting"))]) is None
    assert promql.value("sum(rate(vllm:generation_tokens_total[1m]))", HISTORY[:1]) is None


@pytest.mark.parametrize(
    "query",
    [
        "sum(nginx_requests)",
        "histogram_quantile(0.9, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[5m])))",
        "sum(vllm:num_requests_waiting) > 5",
        "sum(vllm:num_requests_waiting offset 5m)",
        "topk(1, vllm:num_requests_waiting)",
        "max_over_time(sum(vllm:num_requests_waiting)[5m:15s])",
        "sum(sum(vllm:num_requests_waiting",
    ],
)
def test_what_a_fleet_cannot_answer_is_refused_before_anything_is_played(query):
    with pytest.raises(ConfigError) as error:
        promql.check(query)
    assert "PromQL" in str(error.value) or "cannot be answered by a simulated fleet" in str(error.value)


def test_a_series_for_each_pod_is_no_number():
    with pytest.raises(ConfigError, match="a series for each pod"):
        promql.value("vllm:num_requests_waiting", HISTORY)


def test_the_longest_window_is_found_wherever_it_stands():
    assert promql.longest_window("sum(rate(a[2m])) + max(max_over_time(b[1h])) / 2") == 3600.0
    assert promql.longest_window("sum(a)") == 0.0
    assert math.isfinite(promql.longest_window("vector(1)"))
