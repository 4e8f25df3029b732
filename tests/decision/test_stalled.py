"""Load that stands still while its engine counts nothing: in doubt after minutes, never lower for that, and said."""

from dataclasses import replace

import pytest
from support.explained import as_data, as_text
from support.timelines import START, row, workload

from scaler.decision.decide import decide
from scaler.decision.decision import InputValue
from scaler.decision.stalled import SUSPICIOUS, Standing, Still, doubt, follow
from scaler.decision.state import State
from scaler.model.measurement import Failure, Reading

TICK = 5.0
ABORTED = {"waiting": 15.0, "running": 106.0}
NOTHING = {"generation_tokens_per_second": 0.0, "prompt_tokens_per_second": 0.0}


def play(spec, minutes, load=lambda _minute: ABORTED, counted=lambda _minute: NOTHING, replicas=16):
    """Fold so many minutes; the counters are asked for as the engine would, once the load has stood still."""
    state, decisions = State(), []
    for step in range(int(minutes * 60 / TICK) + 1):
        now, minute = START + step * TICK, step * TICK / 60
        given = row(now, replicas=replicas, guards=load(minute), **load(minute))
        if state.standing is not None and state.standing.suspicious(now):
            given = replace(given, progress={name: reading(value, now) for name, value in counted(minute).items()})
        state, decision = decide(spec, state, given, now)
        decisions.append(decision)
    return decisions


def reading(value, now):
    return value if isinstance(value, Failure) else Reading(value, now)


@pytest.fixture
def vllm():
    return workload(expression="waiting + running", target="8", model="m")


def at(decisions, minute):
    return decisions[int(minute * 60 / TICK)]


def test_gauges_that_an_abort_left_are_in_doubt_after_five_minutes(vllm):
    decisions = play(vllm, 10)
    assert [at(decisions, minute).certainty for minute in (0, 4)] == ["certain", "certain"]
    doubted = at(decisions, 5.2)
    assert (doubted.replicas, doubted.active, doubted.certainty) == (16, True, "raising")
    assert doubted.reason.startswith(
        "16 replicas, in doubt, and so not lowered: waiting 15, running 106 have not changed for 5m"
    )
    assert "an abort may have left these numbers behind, or the engine hangs" in doubted.reason
    assert f"! {doubted.stalled}" in as_text(as_data(doubted))
    assert at(decisions, 10).replicas == 16, "however long it lasts: holdFor does not end it"


def test_one_token_ends_the_doubt(vllm):
    decisions = play(
        vllm, 9, counted=lambda minute: NOTHING if minute < 8 else {**NOTHING, "prompt_tokens_per_second": 0.1}
    )
    assert at(decisions, 7.9).stalled
    assert not at(decisions, 8.2).stalled
    assert at(decisions, 8.2).certainty == "certain"


def test_a_load_that_moves_is_in_no_doubt(vllm):
    moving = play(vllm, 20, load=lambda minute: {"waiting": 15.0, "running": 100.0 + int(minute) % 2})
    assert not any(decision.stalled for decision in moving)
    idle = play(vllm, 20, load=lambda _minute: {"waiting": 0.0, "running": 0.0})
    assert not any(decision.stalled for decision in idle)


def test_tokens_that_are_not_known_prove_nothing(vllm):
    failed = play(vllm, 20, counted=lambda _minute: dict.fromkeys(NOTHING, Failure("timed out", START)))
    assert not any(decision.stalled for decision in failed)
    missing = play(vllm, 20, counted=lambda _minute: dict.fromkeys(NOTHING))
    assert not any(decision.stalled for decision in missing)


def test_in_doubt_it_may_rise_and_does_not_fall(vllm):
    decisions = play(vllm, 8, replicas=20)
    assert (at(decisions, 4).replicas, at(decisions, 7).replicas) == (16, 20), "the replicas that there are stay"
    assert not at(decisions, 8).idle.quiet


def by_pod(now, **values):
    return Reading(sum(values.values()), now, by_pod=tuple(sorted(values.items())))


def play_pods(spec, minutes, tokens, answering=lambda _minute: {"a", "b", "c"}):
    """Pods a and b work, so that the sum moves; c stands still, and counts what `tokens` says."""
    state, decisions = State(), []
    for step in range(int(minutes * 60 / TICK) + 1):
        now, minute = START + step * TICK, step * TICK / 60
        here = answering(minute)
        waits = {name: value for name, value in {"a": step % 3, "b": 2.0, "c": 4.0}.items() if name in here}
        runs = {name: value for name, value in {"a": 5.0, "b": 5.0, "c": 9.0}.items() if name in here}
        load = {"waiting": by_pod(now, **waits), "running": by_pod(now, **runs)}
        given = row(now, replicas=3, guards=load, **load)
        if state.standing is not None and state.standing.suspicious(now):
            made = {"a": 90.0, "b": 90.0, "c": tokens(minute)}
            counted = by_pod(now, **{name: made[name] for name in here})
            given = replace(given, progress={"generation_tokens_per_second": counted})
        state, decision = decide(spec, state, given, now)
        decisions.append(decision)
    return decisions


def test_a_pod_that_stands_still_among_others_that_work_is_named(vllm):
    decisions = play_pods(vllm, 8, tokens=lambda _minute: 0.0)
    assert not at(decisions, 4.9).stalled
    told = at(decisions, 6).stalled
    assert "waiting 4, running 9 of c have not changed for 6m, and no token was counted there" in told
    assert " of a" not in told
    assert " of b" not in told
    assert at(decisions, 6).certainty == "raising"


def test_a_pod_that_makes_tokens_again_is_in_doubt_no_more(vllm):
    decisions = play_pods(vllm, 8, tokens=lambda minute: 0.0 if minute < 7 else 30.0)
    assert at(decisions, 6.9).stalled
    assert not at(decisions, 7.1).stalled


def test_a_pod_that_is_gone_for_a_while_is_followed_anew(vllm):
    def here(minute):
        return {"a", "b"} if 3 <= minute < 3.2 else {"a", "b", "c"}

    decisions = play_pods(vllm, 9, tokens=lambda _minute: 0.0, answering=here)
    assert not at(decisions, 8).stalled
    assert at(decisions, 8.5).stalled


def test_an_engine_that_counts_its_tokens_when_a_request_ends_is_given_half_an_hour():
    spec = workload(expression="waiting + running", target="8", model="m", engine="tgi")
    decisions = play(spec, 40)
    assert [bool(at(decisions, minute).stalled) for minute in (6, 25, 31)] == [False, False, True]


def test_counters_are_asked_for_of_a_suspicious_load_alone(vllm):
    extra = vllm.queries(suspicious=True) - vllm.queries()
    assert {query.signal for query in extra} == set(NOTHING)
    assert all(query.window for query in extra)


def test_time_that_nobody_has_seen_does_not_count(vllm):
    def tick(state, now):
        given = row(now, replicas=16, guards=ABORTED, **ABORTED)
        counted = {name: Reading(value, now) for name, value in NOTHING.items()}
        return decide(vllm, state, replace(given, progress=counted), now)

    state, _ = tick(State(), START)
    state, _ = tick(state, START + 5.0)
    _, after_a_gap = tick(state, START + 1000.0)
    assert not after_a_gap.stalled


# ---- what a gateway says ---------------------------------------------------------------------------------------------

IDLE = {"waiting": 0.0, "running": 0.0}


@pytest.fixture
def gateway():
    return workload(expression="queued", gateway="dynamo", engine="vllm", target="8", model="m")


def play_gateway(spec, minutes, queued=lambda _minute: 3.0, counted=lambda _minute: NOTHING):
    """Fold so many minutes of a gateway, and of its engine that says nothing waits or runs."""
    return play(spec, minutes, load=lambda minute: IDLE | {"queued": queued(minute)}, counted=counted, replicas=1)


def test_requests_that_a_gateway_has_lost_count_of_are_in_doubt(gateway):
    """Three clients went away, and the gateway still counts them: its engines do nothing."""
    decisions = play_gateway(gateway, 10)
    assert [at(decisions, minute).certainty for minute in (0, 4)] == ["certain", "certain"]
    doubted = at(decisions, 5.2)
    assert (doubted.replicas, doubted.active, doubted.certainty) == (1, True, "raising")
    assert "queued 3 at the gateway have not changed for 5m" in doubted.reason


@pytest.mark.parametrize(
    "play_on",
    [
        {"counted": lambda _minute: {**NOTHING, "generation_tokens_per_second": 40.0}},
        {"counted": lambda _minute: dict.fromkeys(NOTHING, None)},
        {"queued": lambda minute: 3.0 + int(minute) % 2},
        {"queued": lambda _minute: 0.0},
    ],
    ids=["tokens are made", "no engine is there yet", "it moves", "nothing waits"],
)
def test_what_a_gateway_counts_is_in_no_doubt_otherwise(gateway, play_on):
    assert not any(decision.stalled for decision in play_gateway(gateway, 10, **play_on))


def test_where_only_a_gateway_is_read_its_own_tokens_tell():
    """It counts them when a request ends, and so is given half an hour."""
    spec = workload(expression="in_flight", gateway="dynamo", target="8", model="m")
    assert {item.query.engine for item in spec.progress} == {"dynamo"}
    decisions = play(spec, 31, load=lambda _minute: {"in_flight": 3.0}, replicas=1)
    assert [bool(at(decisions, minute).stalled) for minute in (20, 30.2)] == [False, True]


def test_a_gateway_that_counts_no_tokens_is_in_no_doubt():
    spec = workload(expression="in_flight", gateway="vllm-router", target="8")
    assert spec.progress == ()


def test_one_question_of_a_gateway_is_told_once():
    spec = workload(
        "name: q\nmetrics: {queued: {signal: queued}, lately: {signal: queued, over: 30s}}\nformula: queued + lately * 0\n"
        "target: 8\n",
        model="m",
    )
    decisions = play(spec, 6, load=lambda _minute: IDLE | {"queued": 2.0, "lately": 2.0}, replicas=1)
    assert "not lowered: queued 2 at the gateway have not changed" in decisions[-1].reason


# ---- the bounds --------------------------------------------------------------------------------------------------------

GUARDS = (InputValue("waiting", 1.0, 1.0), InputValue("running", 2.0, 2.0))


def test_a_pod_that_says_but_a_part_of_its_load_is_not_followed():
    watched = {"waiting": by_pod(START, a=1.0, b=2.0), "running": by_pod(START, b=3.0, c=4.0)}
    assert follow(None, GUARDS, watched, {}, (), START) == Standing({"b": Still((2.0, 3.0), START)})


@pytest.mark.parametrize(("pods", "more"), [(3, ""), (4, ", and of 1 more pods,"), (5, ", and of 2 more pods,")])
def test_three_pods_are_named_and_the_others_counted(vllm, pods, more):
    still = Still((1.0, 2.0), START, START)
    told = doubt(vllm, Standing({f"p{number}": still for number in range(pods)}), GUARDS, (), START + 600)
    assert f"waiting 1, running 2 of p2{more} have not changed for 10m" in told


@pytest.mark.parametrize(("stood", "silent", "doubted"), [(300, 230, True), (299, 230, False), (300, 229, False)])
def test_the_counters_are_seen_for_as_long_as_they_were_asked_for(vllm, stood, silent, doubted):
    """They are asked for after a minute, and known a tick later or two: 300 - 60 - 2 x 5."""
    assert Still((1.0,), START - stood, START - silent).doubted(vllm, START) is doubted


def test_one_load_that_stands_still_is_enough_where_nothing_waits(vllm):
    decisions = play(vllm, 6, load=lambda _minute: {"waiting": 0.0, "running": 106.0})
    assert "running 106 have not changed" in decisions[-1].reason


def test_a_load_is_suspicious_from_the_first_second_on_that_it_stood_for_so_long():
    for pods, now, suspicious in (
        ({"a": Still((1.0,), 0.0)}, SUSPICIOUS, True),
        ({"a": Still((1.0,), 0.0)}, SUSPICIOUS - 1, False),
        ({"a": Still((1.0,), 0.0), "b": Still((1.0,), 50.0)}, SUSPICIOUS, True),
    ):
        assert Standing(pods).suspicious(now) is suspicious


# ---- engines of one pod ---------------------------------------------------------------------------------------------------

MOVES, STANDS = "a at a:8000, engine 0", "a at a:8000, engine 1"


def by_engine(now, pod, **engines):
    return Reading(pod, now, by_pod=(("a", pod),), by_engine=tuple(engines["told"].items()))


def play_engines(spec, minutes, counted):
    """Of two ranks of one pod the first works; the second stands still."""
    state, decisions = State(), []
    for step in range(int(minutes * 60 / TICK) + 1):
        now = START + step * TICK
        waits, runs = {MOVES: float(step % 3), STANDS: 4.0}, {MOVES: 5.0, STANDS: 9.0}
        load = {
            "waiting": by_engine(now, sum(waits.values()), told=waits),
            "running": by_engine(now, sum(runs.values()), told=runs),
        }
        given = row(now, replicas=1, guards=load, **load)
        if state.standing is not None and state.standing.suspicious(now):
            given = replace(given, progress={"generation_tokens_per_second": by_engine(now, 90.0, told=counted)})
        state, decision = decide(spec, state, given, now)
        decisions.append(decision)
    return decisions


def test_a_rank_that_stands_still_among_ranks_of_its_pod_that_work_is_named(vllm):
    decisions = play_engines(vllm, 8, {MOVES: 90.0, STANDS: 0.0})
    assert not at(decisions, 4.9).stalled
    told = at(decisions, 6).stalled
    assert f"waiting 4, running 9 of {STANDS} have not changed for 6m, and no token was counted there" in told
    assert MOVES not in told
    assert at(decisions, 6).certainty == "raising"


@pytest.mark.parametrize(
    ("counted", "stalled"),
    [
        ({MOVES: 90.0, STANDS: 1.0}, False),
        ({"a at a:8000": 90.0, "a at a:8001": 0.0}, False),  # of its page alone is told, and that works
        ({"a at a:8000": 0.0, "a at a:8001": 90.0}, True),
        ({}, False),  # of its pod alone
    ],
    ids=["it works", "its page works", "its page stands still", "its pod works"],
)
def test_a_rank_is_told_by_its_own_counters_or_else_by_those_of_its_page_or_its_pod(vllm, counted, stalled):
    assert bool(at(play_engines(vllm, 6, counted), 6).stalled) is stalled


def test_a_page_is_told_by_all_its_ranks(vllm):
    def load(value):
        return by_engine(START, value, told={"a at a:8000": value, "a at a:8001": value})

    watched = {"waiting": load(1.0), "running": load(2.0)}
    before = follow(None, GUARDS, watched, {}, (), START)
    assert sorted(before.pods) == ["a at a:8000", "a at a:8001"], "and not the pod again"
    made = {"a at a:8000, engine 0": 0.0, "a at a:8000, engine 1": 7.0, "a at a:8001, engine 0": 0.0}
    counted = {"generation_tokens_per_second": by_engine(START, 7.0, told=made)}
    after = follow(before, GUARDS, watched, counted, (), START + 70)
    assert after.pods == {
        "a at a:8000": Still((1.0, 2.0), START + 70),
        "a at a:8001": Still((1.0, 2.0), START, START + 70),
    }
