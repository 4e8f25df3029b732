"""The policy slo over a replica whose curve is known: it asks for what is needed, learns it, and says why."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.model.nodes import ReplicaTemplate
from scaler.model.objects import Pod, ScaledResource
from scaler.policy import curve, slo
from scaler.policy.lateness import NO_FAULT
from scaler.policy.outcome import PolicyInput

PROMPT, OUTPUT = 1000.0, 200.0  # tokens of a request, of which one a second slows the others down by 5.33 tokens/s
SLOWER = 1000 / 300 + 200 / 100
KNEE = 5.0  # requests a second of a replica at which half of them miss, and all have 20 tokens/s, which is 50 ms each


def spec(**given):
    fields = Fields("f.yaml", given, "policy")
    read = slo.parse(fields)
    fields.close()
    return read


def misses(load, knee=KNEE, floor=0.0):
    return floor + (1 - floor) / (1 + (knee / max(load, 1e-9)) ** 12)


def running(rate, ready, knee=KNEE):
    """Requests that run: by Little's law, with the speed that they have at that load."""
    speed = max(20 + SLOWER * (knee - rate / max(ready, 1)), 5.0)
    return rate * OUTPUT / speed


def seen(rate, ready, *, knee=KNEE, floor=0.0, waiting=0.0, current=None, took=60.0, **changed):
    """A tick of a fleet in balance: `rate` requests/s end, and miss as the curve has it."""
    met = 1 - misses(rate / max(ready, 1), knee, floor) if rate else -1.0
    runs = running(rate, ready, knee)
    metrics = {
        "waiting": waiting,
        "running": runs,
        "queued": 0.0,
        "finished ?? -1": rate,
        "prompts ?? -1": rate * PROMPT,
        "generated ?? -1": rate * OUTPUT,
        "ttftMet ?? -1": met,
        "itlMet ?? -1": met,
        "cached ?? -1": -1.0,
    } | changed
    load = (runs + waiting) / 8
    return PolicyInput(
        load, load * 8, metrics=metrics, ready=ready, current=ready if current is None else current, took=took
    )


def run(ticks, *, ready, state=slo.INITIAL, settings=None, interval=15.0, start=0.0, follow=True, **more):
    """Fold a list of rates, one a tick, on a fleet that is what was asked for last (down by one a tick)."""
    settings, told = settings or spec(), []
    for number, rate in enumerate(ticks):
        state, outcome = slo.step(settings, state, seen(rate, ready, **more), start + number * interval)
        wanted = max(math.ceil(outcome.replicas), 1)
        ready = max(wanted, ready - 1) if follow and number > 20 else ready
        told.append(outcome)
    return state, told, ready


def test_a_steady_load_gets_what_carries_it_and_not_much_more():
    _, told, ready = run([20.0] * 160, ready=12)  # 4 replicas are at their knee, 6 well below
    assert 5 <= ready <= 7
    assert "4000 generated and 20000 prompt tokens/s (the mean of 5m) are the load of 4.0" in told[-1].reason
    assert "a replica carries" in told[-1].reason
    assert "with 0.99 within 1s and 50ms a token" in told[-1].reason


def test_it_is_tried_in_steps_from_what_there_is():
    _, told, _ = run([20.0] * 20, ready=20)
    assert "a replica is tried with 0.40 of that, 2 times what it was seen to carry" in told[-1].reason
    assert told[-1].replicas == pytest.approx(20 / slo.TRUSTED)


def rolled(revision, count=6, accelerator="A100"):
    """A scaled object whose pods are of one template, as Kubernetes tells it."""
    pods = tuple(
        Pod(f"p-{n}", "ready", 0.0, ready_since=60.0, revision=revision, accelerator=accelerator) for n in range(count)
    )
    return ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 1, 64, pods=pods)


def ticks(state, rate, ready, count, start, scaled, **more):
    """Fold equal ticks of a fleet whose pods are known."""
    for number in range(count):
        tick = replace(seen(rate, ready, **more), scaled=scaled)
        state, outcome = slo.step(spec(), state, tick, start + number * 15.0)
    return state, outcome


def test_each_kind_of_replica_has_its_own_curve_and_a_new_one_is_not_believed_to_be_as_the_old():
    old, new = rolled("7c9f"), rolled("55d1")
    state, told = ticks(slo.INITIAL, 20.0, 6, 240, 0.0, old)
    after, at_once = ticks(state, 20.0, 6, 1, 3600.0, new)
    assert at_once.replicas >= min(told.replicas, 5)
    assert "most replicas are another kind since 0s (A100 55d1), and its own curve is learnt" in at_once.reason
    assert after.counts.sum() < 0.05 * state.counts.sum()  # it is hardly more than a guess
    slow, _ = ticks(after, 20.0, 6, 20, 3615.0, new, knee=KNEE / 2)  # half as fast: known after five minutes
    _, needed = ticks(slow, 20.0, 6, 1, 3915.0, new, knee=KNEE / 2)
    assert needed.replicas > 1.6 * told.replicas
    back, again = ticks(slow, 20.0, 6, 1, 3930.0, old)  # rolled back: what was learnt of the old one is there
    assert again.replicas == pytest.approx(told.replicas, rel=0.3)
    assert dict(back.others).keys() == {"A100 55d1"}
    other, _ = ticks(state, 20.0, 6, 1, 3600.0, rolled("7c9f", accelerator="L4"))
    assert other.kind == "L4 7c9f"


def test_during_a_rollout_the_kind_of_most_replicas_counts_and_without_kubernetes_there_is_one():
    mixed = replace(rolled("7c9f"), pods=(*rolled("7c9f", 4).pods, *rolled("55d1", 2).pods))
    state, _ = ticks(slo.INITIAL, 20.0, 6, 40, 0.0, rolled("7c9f"))
    state, _ = ticks(state, 20.0, 6, 1, 600.0, mixed)
    assert (state.kind, state.others) == ("A100 7c9f", ())
    state, _ = ticks(state, 20.0, 6, 1, 615.0, None)
    assert state.kind == "A100 7c9f"


def test_what_misses_while_requests_queue_is_the_fault_of_the_load_that_made_them_queue():
    """A jump by seven that one replica meets: all miss, and go on doing so while the queue is worked off."""
    calm, _, _ = run([4.0] * 100, ready=2, follow=False)
    state, now = calm, 100 * 15.0
    late = {"ttftMet ?? -1": 0.0}
    for tick in range(14):  # the load is the old one again after two minutes, of a fleet of 8 after three; 400 wait
        state, _ = slo.step(
            spec(),
            state,
            seen(28.0 if tick < 8 else 4.0, 2 if tick < 12 else 8, waiting=400.0, **late),
            now + tick * 15.0,
        )
    low = [curve.step_of(load) for load in (0.08, 0.42)]
    assert state.counts[1, low[0] : low[1] + 1].sum() == pytest.approx(0, abs=1)
    assert state.counts[1].sum() > 20


def test_long_answers_that_were_slow_under_a_high_load_are_its_fault_when_they_end():
    """Requests run for three minutes: those that end while twelve replicas are ready were slowed down on three."""
    long = {"running": 20.0 * 180}
    calm, _, _ = run([20.0] * 100, ready=6, follow=False, **long)
    state = calm
    for tick in range(22):
        slow = {"ttftMet ?? -1": 0.2, "itlMet ?? -1": 0.2} | long
        state, _ = slo.step(spec(), state, seen(20.0, 3 if tick < 8 else 12, **slow), (100 + tick) * 15.0)
    low = curve.step_of(900.0)  # twelve replicas have 500 each, six had 1,000, three 2,000
    assert state.counts[1, :low].sum() <= calm.counts[1, :low].sum()
    assert state.counts[1, low:].sum() > calm.counts[1, low:].sum() + 20


def test_more_misses_than_were_believed_say_nothing_of_lower_loads():
    seen_well = curve.counted(curve.counted(None, 0.5, 10.0, 0.0, 3600.0), 1.2, 10.0, 0.0, 3600.0)
    after = curve.faded(seen_well, 240.0, 1.0)
    assert after[0, curve.step_of(0.5)] > 0.9 * seen_well[0, curve.step_of(0.5)]
    assert after[0, curve.step_of(1.2)] < 0.3 * seen_well[0, curve.step_of(1.2)]


def test_a_short_answer_is_not_late_for_one_slow_step():
    """A third of the requests is late per token; of answers of a second none is, of those of ten seconds most are."""
    needs = []
    for running in (20.0, 200.0):  # 20 requests/s that stay for 1 or 10 seconds
        state, _, _ = run([20.0] * 60, ready=6, follow=False, **{"itlMet ?? -1": 0.67, "running": running})
        needs.append(state.curve.floor + float(state.curve.misses[int(state.counts[0].argmax())]))
    assert needs[0] < 0.15
    assert needs[1] > 0.2


def test_a_load_that_has_surely_fallen_is_believed_within_minutes():
    _, told, _ = run([20.0] * 60 + [5.0] * 12, ready=6, follow=False)
    assert "(the mean of 1m)" in told[67].reason
    before, after = (float(one.reason.split()[0]) for one in (told[59], told[67]))  # generated tokens/s
    assert after < 0.45 * before
    assert told[67].replicas < told[59].replicas


def test_a_slower_replica_gets_more_of_them():
    _, _, fast = run([20.0] * 160, ready=8)
    _, _, slow = run([20.0] * 160, ready=16, knee=KNEE / 2)
    assert slow >= 1.6 * fast


def test_a_wrong_curve_does_no_harm():
    """What was learnt of another model, four times as fast: the misses of a few minutes speak louder."""
    state, _, _ = run([80.0] * 100, ready=8, knee=4 * KNEE)
    _, told, ready = run([20.0] * 120, ready=2, state=state, start=100 * 15.0)
    assert ready >= 4
    after = next(number for number, outcome in enumerate(told) if outcome.replicas >= 4)
    assert after * 15 <= 600


def test_a_load_that_jumps_again_and_again_gets_a_reserve_and_a_steady_one_none():
    calm, high = [20.0] * 60, [60.0] * 40
    state, _, _ = run((calm + high) * 2, ready=20, follow=False, took=180.0)
    _, jumping, _ = run([20.0] * 40, ready=20, state=state, start=200 * 15.0, follow=False, took=180.0)
    _, steady, _ = run([20.0] * 120, ready=6, follow=False, took=180.0)
    assert jumping[-1].replicas > 1.5 * steady[-1].replicas
    assert "with the margin for a start-up of 3m" in jumping[-1].reason


def test_what_waits_adds_what_clears_it_and_less_what_comes():
    state, told, _ = run([20.0] * 100, ready=6, follow=False)
    settings, now = spec(), 100 * 15.0
    _, waiting = slo.step(settings, state, seen(20.0, 6, waiting=600.0), now)
    _, coming = slo.step(settings, state, seen(20.0, 6, waiting=600.0, current=40), now)
    assert "600 that wait add" in waiting.reason
    assert waiting.replicas > coming.replicas > told[-1].replicas


def test_misses_at_any_load_are_no_reason_for_ever_more_replicas():
    _, told, ready = run([20.0] * 160, ready=8, floor=0.2)
    assert ready <= 9
    assert "miss at any load, and more replicas do not help them" in told[-1].reason


def test_more_replicas_than_requests_in_flight_are_not_asked_for():
    """One request a minute with a prompt of 200,000 tokens: a second replica would have nothing to do."""
    huge = {"prompts ?? -1": 4000.0, "generated ?? -1": 4.0, "running": 0.2}
    _, told, _ = run([0.02] * 60, ready=1, follow=False, **huge)
    assert told[-1].replicas == 1.0
    assert "not more than 1, twice the requests that were in flight" in told[-1].reason


@pytest.mark.parametrize("lost", ["finished ?? -1", "prompts ?? -1", "generated ?? -1"])
def test_a_signal_that_the_engine_lacks_leaves_queue_depth_and_one_that_was_lost_lowers_nothing(lost):
    state, outcome = slo.step(spec(), slo.INITIAL, seen(20.0, 4, **{lost: -1.0}), 0.0)
    assert (outcome.replicas, outcome.problem) == (running(20.0, 4) / 8, "")
    assert f"the engine does not tell {slo.ASKED[lost]}: as many replicas as queue-depth asks for" == outcome.reason
    state, _, _ = run([20.0] * 100, ready=6)
    _, outcome = slo.step(spec(), state, seen(20.0, 6, **{lost: -1.0}), 1500.0)
    assert "not measured any more" in outcome.problem


def test_without_histograms_it_says_so_and_one_of_them_is_enough():
    none = {"ttftMet ?? -1": -1.0, "itlMet ?? -1": -1.0}
    _, told, _ = run([20.0] * 40, ready=6, follow=False, **none)
    assert told[-1].replicas == pytest.approx(running(20.0, 6) / 8)
    assert "nothing is known yet of what a replica carries" in told[-1].reason
    state, _, _ = run([20.0] * 100, ready=6, follow=False)
    _, lost = slo.step(spec(), state, seen(20.0, 6, **none), 3600.0)  # what was learnt stays
    assert "a replica carries" in lost.reason
    _, told, ready = run([20.0] * 160, ready=8, **{"itlMet ?? -1": -1.0})
    assert 5 <= ready <= 7


def test_without_a_replica_or_a_finished_request_queue_depth_decides():
    for given in (seen(0.0, 0, waiting=40.0), seen(0.0, 2, waiting=40.0)):
        _, outcome = slo.step(spec(), slo.INITIAL, given, 0.0)
        assert outcome.replicas == 5.0
        assert "as many replicas as queue-depth asks for" in outcome.reason


def test_a_restart_that_folds_two_hours_in_steps_of_a_minute_knows_nearly_the_same():
    rates = [20.0 + 10 * math.sin(number / 20) for number in range(240)]
    before, told, _ = run(rates, ready=8, follow=False)
    after, coarse, _ = run(rates[::4], ready=8, follow=False, interval=60.0)
    assert coarse[-1].replicas == pytest.approx(told[-1].replicas, rel=0.25)
    assert 0.5 < after.curve.low / before.curve.low < 2
    assert 0.5 < after.curve.high / before.curve.high < 2


def test_a_tighter_promise_needs_no_fewer():
    needs = []
    for share in (0.9, 0.99, 0.999):
        _, told, _ = run([20.0] * 100, ready=5, follow=False, settings=spec(share=share))
        needs.append(told[-1].replicas)
    assert needs == sorted(needs)
    assert needs[0] < needs[-1]


@pytest.mark.parametrize("given", [{"share": 1}, {"share": 0.3}, {"ttft": "0s"}, {"latency": "1s"}])
def test_what_cannot_be_promised_is_refused(given):
    with pytest.raises(ConfigError):
        spec(**given)


def test_who_has_no_slo_does_not_pay_for_numpy():
    code = "import sys, scaler.policy, scaler.decision.decide, scaler.config.catalog as c; c.Catalog; print('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_morning_that_came_on_each_day_is_there_before_it_comes():
    """From nine o'clock three times the load: one start-up before, three times the replicas are asked for."""
    nine = 6 * 86_400.0 + 9 * 3600.0
    pieces = [(end, 60.0 if 9 <= end / 3600 % 24 - 1e-6 < 17 else 20.0) for end in np.arange(300.0, nine - 7200, 300.0)]
    past = [(end, {"prompts": rate * PROMPT, "generated": rate * OUTPUT}) for end, rate in pieces]
    warm, _, _ = run([20.0] * 100, ready=6, follow=False, start=nine - 3600.0)
    told = {}
    for name, days in (("forecast", past), ("naive", [])):
        state = slo.recalled(warm, days, nine - 2100.0)
        _, told[name], _ = run([20.0] * 8, ready=6, state=state, start=nine - 75.0, follow=False)
    assert told["forecast"][0].replicas > 2 * told["naive"][0].replicas
    assert told["forecast"][-1].replicas == pytest.approx(told["naive"][-1].replicas, rel=0.1)  # it has not come
    assert (
        "3.00 times as much is expected in 1m30s, as it came at this hour on the last 3 days"
        in told["forecast"][0].reason
    )
    assert "expected in" not in told["naive"][-1].reason


def test_before_anything_is_known_an_eighth_of_the_seats_is_taken_and_no_more_is_asked_for_than_without():
    nothing = dict.fromkeys(
        ("finished ?? -1", "prompts ?? -1", "generated ?? -1", "ttftMet ?? -1", "itlMet ?? -1"), -1.0
    )
    cold = seen(0.0, 1, running=40.0, waiting=60.0, **nothing)
    told = "the engine does not tell requests_per_second, prompt_tokens_per_second, generation_tokens_per_second"
    for seats, replicas in ((256, 100 / 32), (8, 12.5), (None, 12.5)):
        known = replace(rolled("7c9f", 1), template=ReplicaTemplate((), seats=seats))
        state, outcome = slo.step(spec(), slo.INITIAL, replace(cold, scaled=known, load=12.5), 0.0)
        assert outcome.replicas == pytest.approx(replicas)
    known = replace(rolled("7c9f", 1), template=ReplicaTemplate((), seats=256))
    state, outcome = slo.step(spec(), slo.INITIAL, replace(cold, scaled=known, load=12.5), 0.0)
    each = "a replica works on 256 requests at once (its arguments say), of which 32 are to be taken at first"
    assert outcome.reason == f"{told}: {each}"
    _, later = slo.step(spec(), state, replace(cold, scaled=known, load=12.5), 600.0)  # it will never tell
    assert later.reason == f"{told}: as many replicas as queue-depth asks for"


def test_while_little_is_seen_the_reason_names_the_configuration():
    known = replace(rolled("7c9f"), template=ReplicaTemplate((), seats=64))
    _, early = ticks(slo.INITIAL, 20.0, 6, 7, 0.0, known)
    _, late = ticks(slo.INITIAL, 20.0, 6, 60, 0.0, known)
    assert "little is seen of it yet, and it works on 64 requests at once (its arguments say)" in early.reason
    assert "little is seen" not in late.reason


def test_requests_that_miss_are_the_fault_of_a_load_that_is_over_only_where_they_queued_or_are_long():
    """In a minute of short answers those that miss miss now; of long ones that all met the SLO nothing is anybody's fault."""
    for shown, blamed in (
        ({"ttftMet ?? -1": 0.5}, False),
        ({"running": 2000.0}, False),
        ({"running": 2000.0, "ttftMet ?? -1": 0.5}, True),
    ):
        state = slo.INITIAL
        for tick in range(8):
            state, _ = slo.step(spec(), state, seen(20.0, 8, **shown), tick * 15.0)
        assert (state.fault != NO_FAULT) is blamed


def test_it_never_says_of_itself_that_nothing_is_wanted():
    """Whether there is work at all the activation says: also before anything is known, and where nothing runs."""
    for rates in ([20.0] * 8, [0.0] * 8, [20.0] * 6 + [0.0] * 6):
        assert all(one.active for one in run(rates, ready=4)[1])


@pytest.mark.parametrize(("startup", "busiest"), [(60.0, 10.0), (299.0, 10.0), (450.0, 50.0), (3600.0, 50.0)])
def test_replicas_are_as_many_as_may_have_had_anything_to_do_over_a_start_up_and_five_minutes_at_least(
    startup, busiest
):
    state = slo.SloState(busiest=((100.0, 50.0), (400.0, 10.0)))
    assert slo._busy(state, 500.0, startup) == 2 * busiest
