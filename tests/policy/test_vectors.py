"""Vectors of other autoscalers that are not of one policy's file, and the table of where every one of them is tested.

VECTORS.md, beside this file, has a row for each; what is different here on purpose says so there.
"""

import re
from pathlib import Path

import pytest

from scaler.cluster.hpa import replicas_for_average_value
from scaler.config.bind import bind_example, parse_file
from scaler.config.defaults import Defaults
from scaler.config.endpoint import Endpoint, Page
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.formula import parse
from scaler.model.measurement import Inputs, Reading, SignalQuery, TargetStatus
from scaler.model.strict_yaml import parse_yaml
from scaler.policy.variants import Variant, cheapest
from scaler.sources.pages.aggregate import measure
from scaler.sources.pages.exposition import scan
from scaler.sources.pages.pods import PageResult

TESTS = Path(__file__).parents[1]
TABLE = (Path(__file__).parent / "VECTORS.md").read_text()


def evaluated(formula, **values):
    return parse(formula, frozenset(values), kind="number").evaluate(values)


@pytest.mark.parametrize(("burst", "excess"), [(100, -137), (0, 0), (-1, -1)])
def test_knatives_excess_burst_capacity(burst, excess):
    """No activator stands in the path of requests here, so nothing hangs on it; it is a formula as any other."""
    formula = "burst > 0 ? floor(ready * total - burst - panic) : burst"
    assert evaluated(formula, ready=1.0, total=10 / 0.75, burst=float(burst), panic=50.0) == excess


@pytest.mark.parametrize(
    ("demand", "replicas", "pending", "answer"),
    [(3, 4, 0, 3), (8, 4, 0, 8), (8, 4, 3, 5), (8, 4, 10, 4), (8, 4, None, 8)],
)
def test_llm_ds_guard_against_overshooting_pastes_in(demand, replicas, pending, answer):
    formula = "demand <= replicas ? demand : max(demand - (pending ?? 0), replicas)"
    values = {"demand": float(demand), "replicas": float(replicas), "pending": pending}
    assert evaluated(formula, **values) == answer


@pytest.mark.parametrize(("metric", "replicas"), [(5.0, 1), (5.4, 1), (5.6, 2)])
def test_the_hpas_tolerance_around_an_average_of_five(metric, replicas):
    assert replicas_for_average_value(metric, 5.0, 1, 0.1)[0] == replicas


KTHENA = """
name: k
metrics: {load: {prometheus: load}}
formula: load
metricKind: total
target: 1
policy: {kind: kthena, tolerancePercent: 0, behavior: {scaleDown: {stabilizationWindow: 0, instances: 10}}}
"""


def test_kthenas_missing_pods_never_lower():
    """2 of 10 are missing and 8 have 0.5: theirs takes the missing for at the target, and goes to 6; here it holds."""
    spec = bind_example(parse_file(parse_yaml(KTHENA, "k"), "k"), {}, Defaults(endpoints=()))
    state, answers = State(), []
    for tick in range(60):
        whole = tick * spec.interval < 200
        reading = Reading(10.0, 0.0) if whole else Reading(8 * 0.5, 0.0, incomplete_reason="8 of 10 pods answered")
        known = TargetStatus(10, 10, 0, 1, 20, source="Kubernetes")
        state, decision = decide(spec, state, Inputs({"load": reading}, target_status=known), tick * spec.interval)
        answers.append((whole, decision.replicas))
    assert {replicas for _, replicas in answers if replicas is not None} == {10}
    assert answers[-1] == (False, 10)


def visit(pod, line):
    samples = {}
    for sample in scan(line.encode(), {line.split("{")[0]}):
        samples.setdefault(sample.name, []).append(sample)
    return PageResult(
        Page(f"http://{pod}:1/", {"pod": pod, "namespace": "demo"}), samples, lambda _window: {}, "", True
    )


def read(signal, pages):
    query = SignalQuery("pages", "vllm", signal, (("namespace", "demo"), ("model", "m")))
    return measure([query], pages, Endpoint("pages").dialect, 50.0, 50.0, "pages")[query].value


def test_kthenas_backends_of_several_kinds_are_weighed_by_their_replicas_and_queues_add_up():
    """Utilization 60 on three replicas and 70 on one is 62.5; queues of 100 and 200 are 300. By unit, not by suffix."""
    shares = {"a-1": 0.6, "a-2": 0.6, "a-3": 0.6, "b-1": 0.7}
    usage = [visit(pod, f'vllm:kv_cache_usage_perc{{model_name="m"}} {share}') for pod, share in shares.items()]
    assert read("kv_cache_usage", usage) == pytest.approx(0.625)
    queues = [
        visit(pod, f'vllm:num_requests_waiting{{model_name="m"}} {count}') for pod, count in (("a", 100), ("b", 200))
    ]
    assert read("waiting", queues) == 300


def test_kthenas_variants_filled_by_cost():
    """h100 of 1 to 4 at 10, a100 of 1 to 3 at 5, five replicas that carry alike: three of the cheap and two."""
    h100, a100 = Variant("h100", 10, (1,), 4, least=1), Variant("a100", 5, (1,), 3, least=1)
    assert cheapest([h100, a100], [5], slices=5).replicas == {"h100": 2, "a100": 3}


@pytest.mark.parametrize(("rate", "a40"), [(1, 1), (10, 2), (40, 5)])
def test_melanges_shipped_profiles(rate, a40):
    """Its answers in hundredths of a replica, 13, 125 and 498, rounded up."""
    a100, cheap = Variant("a100", 1.0, (8.084,), 100), Variant("a40", 0.3, (8.034,), 100)
    assert cheapest([a100, cheap], [rate]).replicas == {"a100": 0, "a40": a40}


def test_every_row_of_the_table_names_a_test_that_there_is():
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", TABLE)
    assert len(named) > 40
    for path, name in named:
        assert f"def {name}(" in (TESTS / path).read_text(), f"{path}::{name}"
