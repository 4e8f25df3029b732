"""A converted configuration beside its original on a whole day: both are replayed over the same record, as `backtest` does.

They are not the same at every tick: the HPA compares what it is told with its tolerance of 10 %, and is told whole replicas
here, where KEDA tells it the metric. So 6.2 replicas' worth of load on six is within the tolerance there, and seven here.
"""

import math
from dataclasses import replace

import yaml
from support.backtests import binding, prometheus, record, scaled_object

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.convert import of_trees
from scaler.convert.write import document
from scaler.model.measurement import HistoryProbe, PromqlQuery, Reading
from scaler.model.strict_yaml import parse_yaml
from scaler.sim.backtest.replay import FormulaTrigger, Timing, replay
from scaler.sim.backtest.subject import read_subject
from scaler.wiring.behavior import behavior_for

STEP = 30.0  # seconds
DAY = int(86_400 / STEP)
QUERY = 'sum(vllm:num_requests_waiting{namespace="demo"})'


def a_day():
    """Requests that wait: a night, two humps, bursts, and a quarter of an hour in which the query gives nothing."""
    loads = []
    for tick in range(DAY):
        hour = tick * STEP / 3600
        hump = 30 * math.exp(-((hour - 10) ** 2) / 6) + 22 * math.exp(-((hour - 16) ** 2) / 4)
        burst = 40 if tick % 371 < 12 else 0
        quiet = hour < 5 or hour > 22.5
        loads.append(None if 18 <= hour < 18.25 else 0.0 if quiet else float(round(hump + burst)))
    return loads


def converted(original):
    """What is printed for it, as an object that can be replayed."""
    [plan] = of_trees([original])
    text = document(plan, behavior_for(with_policy=plan.with_policy, most=plan.maximum.value))
    _, formula, scaled = text.split("---\n")
    catalog = Catalog({plan.name: parse_file(parse_yaml(formula, plan.name), plan.name)})
    context = replace(binding(), bind=lambda request: catalog.bind(request, Defaults()).spec)
    return read_subject(yaml.safe_load(scaled), context)


def asked(subject):
    """All that a replay of an object needs to have been measured."""
    return {query for one in subject.triggers if isinstance(one, FormulaTrigger) for query in one.spec.queries()}


def replayed(original, replicas):
    """The replicas of the original and of the converted object, at every tick of the day."""
    before, after = read_subject(original, binding()), converted(original)
    past = record(a_day(), replicas=replicas, step=STEP, query=QUERY)
    idle = {
        query: [
            Reading(1.0 if isinstance(query, HistoryProbe) else 0.0, past.start + tick * STEP) for tick in range(DAY)
        ]
        for query in asked(after)
        if not isinstance(query, PromqlQuery)
    }
    past = replace(past, series={**past.series, **idle})
    return [replay(subject, past, Timing()) for subject in (before, after)]


def shares(runs):
    """The share of the judged ticks at which both have as many replicas, and of those within one replica."""
    before, after = runs
    start = max(before.judged, after.judged)
    pairs = list(zip(before.replicas[start:], after.replicas[start:], strict=True))
    equal = sum(one == other for one, other in pairs) / len(pairs)
    return equal, sum(abs(one - other) <= 1 for one, other in pairs) / len(pairs)


def test_a_scaled_object_with_a_query_has_the_same_replicas_all_day():
    original = scaled_object(prometheus(query=QUERY, threshold="5"), maxReplicaCount=12)
    runs = replayed(original, [1] * DAY)
    assert max(runs[0].replicas) > 6
    equal, near = shares(runs)
    assert equal >= 0.93, f"{equal:.2%} of the ticks equal"
    assert near >= 0.98, f"{near:.2%} within one replica"


def test_one_that_sleeps_wakes_and_sleeps_with_its_original():
    original = scaled_object(
        prometheus(query=QUERY, threshold="5", activationThreshold="2"), minReplicaCount=0, maxReplicaCount=12
    )
    runs = replayed(original, [0] * DAY)
    assert 0 in runs[0].replicas
    equal, near = shares(runs)
    assert equal >= 0.93, f"{equal:.2%} of the ticks equal"
    assert near >= 0.98, f"{near:.2%} within one replica"
