"""Objects on a simulated fleet, and that the replay of what was kept there is what happened there."""

from dataclasses import replace

import pytest
from support.backtests import DEFAULTS, START, cron, ours, prometheus, subject

from scaler.config.metrics import MetricContext, read_metric
from scaler.model.errors import ConfigError
from scaler.model.measurement import WorkloadKey
from scaler.sim import trace as traces
from scaler.sim.backtest.arrivals import COUNTED, WITHIN, arrivals
from scaler.sim.backtest.fleet import FleetWorld, check, played, recorded, simulate
from scaler.sim.backtest.judge import agreement
from scaler.sim.backtest.replay import Timing, replay
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.play import Incidents
from scaler.sim.score import SloTarget

FLEET = FleetSpec(hardware("a100-8b-bf16"), startup=30.0)
LOAD = traces.merge(
    traces.ramp(0, 150, first=4, last=14, prompt=600, output=150, seed=1),
    traces.ramp(150, 400, first=14, last=3, prompt=600, output=150, seed=2),
)
WORLD = FleetWorld(LOAD, FLEET, SloTarget(), start=START, replicas=1)
QUEUE = "sum(vllm:num_requests_waiting) + sum(vllm:num_requests_running)"
AT_ONCE = {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}}}}
OURS = subject(ours(target="20"), advanced=AT_ONCE)
KEDAS = subject(prometheus(QUEUE, "20"), advanced=AT_ONCE, pollingInterval=5)


def load_queries():
    scope = MetricContext(
        WorkloadKey("demo", "llama", "ScaledObject", ""), {"engine": "vllm", "model": "llama"}, DEFAULTS, "default"
    )
    return {
        name: read_metric("test", name, {"signal": name, **({"window": "30s"} if name in COUNTED else {})}, scope).query
        for name in (*COUNTED, *WITHIN)
    }


@pytest.mark.parametrize("played", [OURS, KEDAS], ids=["llm-scaler", "keda's prometheus"])
def test_a_replay_of_what_a_fleet_measured_is_what_happened_on_it(played):
    past = recorded(played, WORLD, Timing(), played.queries)
    assert max(past.replicas) >= 3
    found = agreement(past, replay(played, past, Timing(warmup=60.0)), 30.0)
    assert found.equal >= 0.99
    assert abs(found.error) < 0.01


def test_another_setting_is_foretold_from_the_record_alone():
    """Recorded under one trigger, played with the requests that its counters show, and compared with the true requests."""
    queries = load_queries()
    past = recorded(OURS, WORLD, Timing(), {*OURS.queries, *queries.values()})
    shown = replace(WORLD, trace=arrivals(past, queries), span=WORLD.end)
    (foretold, foretold_score), (true, true_score) = (simulate(KEDAS, one, Timing()) for one in (shown, WORLD))
    assert sum(foretold.replicas) == pytest.approx(sum(true.replicas), rel=0.05)
    assert foretold_score.attainment == pytest.approx(true_score.attainment, abs=0.05)


def test_a_cron_trigger_goes_by_the_time_of_day():
    noon = subject(cron(start="2 8 * * *", end="4 8 * * *", replicas="3"), advanced=AT_ONCE)
    run, _ = simulate(noon, replace(WORLD, trace=(), span=600.0), Timing())
    assert {run.replicas[place] for place in (10, 23)} == {1}
    assert run.replicas[30] == 3
    assert run.replicas[-1] == 1


def test_from_zero_by_the_gateway_s_queue():
    zero = subject(ours(), minReplicaCount=0, pollingInterval=5, cooldownPeriod=30)
    run, score = simulate(zero, replace(WORLD, replicas=0, trace=LOAD[:50]), Timing())
    assert run.replicas[0] == 0
    assert max(run.replicas) >= 1
    assert run.replicas[-1] == 0
    assert score.unfinished == 0


def test_a_push_wakes_from_0_long_before_a_poll():
    pushed = {**ours(), "type": "external-push"}
    asleep = replace(WORLD, replicas=0, trace=LOAD[:50])
    for trigger, latest in ((pushed, 20.0), (ours(), 300.0)):
        zero = subject(trigger, minReplicaCount=0, pollingInterval=300)
        run, _ = simulate(zero, asleep, Timing(poll_phase=299.0))
        assert run.events[0].at - START <= latest
        assert (run.events[0].at - START > 20.0) == (trigger is not pushed)


def test_keda_s_own_query_is_asked_whenever_the_hpa_looks_however_rare_the_polls_are():
    often, rare = (subject(prometheus(QUEUE, "20"), advanced=AT_ONCE, pollingInterval=every) for every in (5, 300))
    (one, _), (other, _) = (simulate(each, WORLD, Timing(warmup=0.0)) for each in (often, rare))
    assert one.replicas == other.replicas
    assert max(one.replicas) > 1


def test_what_goes_wrong_goes_wrong_and_an_outage_lowers_nothing():
    incidents = Incidents(kills=(100.0,), outages=((120.0, 220.0),))
    timeline = played(OURS, replace(WORLD, incidents=incidents), Timing())
    falls = [one.event.at - START for one in timeline.changes if one.event.after < one.event.before]
    assert not [at for at in falls if 120.0 < at < 220.0]
    assert timeline != played(OURS, WORLD, Timing())


def test_during_a_warm_up_the_fleet_has_what_there_was():
    run, _ = simulate(KEDAS, replace(WORLD, held=[5] * 20), Timing(warmup=60.0))
    assert set(run.replicas[:13]) == {5}


@pytest.mark.parametrize(
    ("played", "words"),
    [
        (subject(ours(formula="cpu", target="")), "which a simulated fleet does not have"),
        (subject(prometheus("sum(nginx)")), "cannot be answered by a simulated fleet"),
    ],
)
def test_what_a_fleet_does_not_have_is_refused(played, words):
    with pytest.raises(ConfigError, match=words):
        check(played)
    check(OURS)


def test_the_share_of_late_first_tokens_is_what_the_requests_had():
    """One replica for a load that it cannot carry; the engine's histogram says what its own requests waited."""
    alone = subject(prometheus("vector(1)", "1"), maxReplicaCount=1)
    query = replace(load_queries()["requests_per_second"], signal="time_to_first_token", window=5000.0, at_most=1.0)
    heavy = replace(WORLD, trace=traces.ramp(0, 300, first=2, last=20, prompt=900, output=200, seed=1), span=900.0)
    past = recorded(alone, heavy, Timing(), {*alone.queries, query})
    _, score = simulate(alone, replace(heavy, slo=SloTarget(ttft=1.0, tpot=10.0)), Timing())
    assert 0.1 < score.attainment < 0.9
    assert past.series[query][-1].value == pytest.approx(score.attainment, abs=0.01)


def test_a_quantile_lies_in_its_bucket():
    query = replace(load_queries()["requests_per_second"], signal="time_to_first_token", window=5000.0, quantile=0.95)
    past = recorded(KEDAS, WORLD, Timing(), {*KEDAS.queries, query})
    assert 0.01 < past.series[query][-1].value < 1.0
