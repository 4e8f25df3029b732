"""What can be had: what is asked for against what there is, in timelines; see scaler/decision/capacity.py for the law."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.timelines import START, fold, row, said, workload

from scaler.cluster.hpa import replicas_for_average_value
from scaler.decision.capacity import capacity
from scaler.model.availability import Availability, BoundedCount, unknown
from scaler.model.behavior import Behavior, Rules
from scaler.model.measurement import Inputs, TargetStatus
from scaler.model.nodes import PodRequirements, ReplicaTemplate
from scaler.model.objects import HpaStatus, Pod, ScaledResource, TargetView

LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 10\nholdFor: 60s\n"
CLAMP = LOAD + "capacity: clamp\n"


def count(value):
    return value if isinstance(value, BoundedCount) else BoundedCount(value)


def available(schedulable=0, provisionable=0):
    none = BoundedCount(None, reason="its pods ask for no GPU")
    return Availability("1 nvidia.com/gpu", count(schedulable), none, none, count(provisionable), none)


def target(*, ready=0, starting=0, pending=(), current=None, kind="ScaledObject", tolerance=None):
    """What Kubernetes says of a scale target; `pending` holds for how long each pod without a node has waited."""
    pods = [Pod(f"r{n}", "ready") for n in range(ready)] + [Pod(f"s{n}", "starting") for n in range(starting)]
    pods += [Pod(f"p{n}", "pending", START - since) for n, since in enumerate(pending)]
    current = len(pods) if current is None else current
    hpa = (
        None
        if tolerance is None
        else HpaStatus("h", None, None, None, None, behavior=Behavior(up=Rules((), 0.0, tolerance=tolerance)))
    )
    scaled = ScaledResource(kind, "team", "llama", "1", 1, (), (), "Deployment llama", 0, 99, pods=tuple(pods), hpa=hpa)
    known = TargetStatus(current=current, ready=ready, starting=starting, pending=len(pending), ever_ready=ready)
    return {"scaled": scaled, "replicas": known}


def decided(load, has, text=CLAMP, **of):
    return fold(workload(text), [{"load": load, "available": has, **target(**of)}])[1][-1]


# ---- clamp -----------------------------------------------------------------------------------------------------------


def test_growth_ends_one_replica_after_what_can_be_had():
    decision = decided(120, available(1, 1), ready=3)
    assert (decision.desired, decision.limited, decision.replicas) == (12, 6, 6)
    assert decision.certainty == "certain"
    assert decision.reason == (
        "6 replicas, not 12, since 5 can be had (3 on nodes, 1 schedulable, 1 provisionable): load = 120, at 10 a replica"
    )


def test_what_binds_is_named_and_so_is_who_waits():
    pool = BoundedCount(0, reason="NodePool gpu: its limit of 8 nvidia.com/gpu is used up")
    decision = decided(
        120,
        available(BoundedCount(0, reason="insufficient nvidia.com/gpu on 2 nodes"), pool),
        ready=3,
        pending=[30, 95],
    )
    assert decision.replicas == 5
    assert decision.reason == (
        "5 replicas, not 12, since 3 can be had (3 on nodes, 0 schedulable, 0 provisionable; insufficient nvidia.com/gpu on "
        "2 nodes; NodePool gpu: its limit of 8 nvidia.com/gpu is used up), 2 pending for 1m35s: load = 120, at 10 a replica"
    )


def test_a_pod_that_began_to_wait_ahead_of_our_clock_waits_since_now():
    assert decided(120, available(0, 0), ready=3, pending=[-5]).reason.startswith(
        "4 replicas, not 12, since 3 can be had (3 on nodes, 0 schedulable, 0 provisionable), 1 pending for 0s"
    )


def test_a_long_list_of_obstacles_is_cut_in_the_sentence():
    decision = decided(120, available(BoundedCount(0, reason="insufficient cpu on 1 node, " * 50)), ready=3)
    assert len(decision.reason) < 400
    assert len(decision.capacity.reason) > 1000


def test_nobody_is_on_the_way_while_more_is_asked_for_than_can_be_had():
    coming = decided(120, available(0, 0), ready=3, pending=[60]).starting
    assert (coming.replicas, coming.oldest, coming.late, coming.owed, coming.current) == (0, 0.0, 0, 0.0, 4)


@pytest.mark.parametrize(("length", "shown"), [(200, "x" * 200), (201, "x" * 197 + "...")])
def test_it_is_cut_from_two_hundred_characters_on(length, shown):
    reason = decided(120, available(BoundedCount(0, reason="x" * length)), ready=3).reason
    assert f"0 provisionable; {shown}): load" in reason


def test_what_can_be_had_is_not_limited():
    decision = decided(50, available(1, 1), ready=3)
    assert decision.replicas == 5
    assert decision.reason == "5 replicas: load = 50, at 10 a replica"


def test_a_pool_that_was_out_of_stock_is_tried_again_from_zero():
    assert decided(120, available(0, 0)).replicas == 1


def test_it_grows_as_soon_as_more_can_be_had():
    of = target(ready=2, pending=[60])
    rows = [{"load": 80, "available": available(places), **of} for places in (0, 0, 3, 9)]
    assert said(fold(workload(CLAMP), rows)[1]) == [(3, True), (3, True), (6, True), (8, True)]


def test_a_job_of_several_pods_is_one_replica():
    of = target(ready=8, current=2, kind="ScaledJob")
    shape = PodRequirements((("nvidia.com/gpu", 1), ("pods", 1)))
    scaled = replace(of["scaled"], template=ReplicaTemplate(((shape, 4),)))
    inputs = Inputs({}, target_status=of["replicas"], target=TargetView(scaled, available=available(1, 0)))
    found = capacity("clamp", inputs, START)
    assert (found.bound, found.replicas, found.most) == (2, 3, 4)


def test_replicas_that_are_there_are_never_taken_away():
    """A node has died, and its pods wait."""
    assert decided(120, available(0, 0), ready=2, pending=[5, 5, 5]).replicas == 5
    assert decided(20, available(0, 0), ready=2, pending=[5, 5, 5]).replicas == 2, "less load does"


@pytest.mark.parametrize(("current", "replicas"), [(9, 10), (10, 12), (20, 23), (100, 111)])
def test_the_probe_is_large_enough_for_the_hpa_to_act(current, replicas):
    decision = decided(9999, available(0, 0), ready=current)
    assert decision.replicas == replicas
    assert not replicas_for_average_value(replicas, 1, current)[1]


def test_the_probe_follows_the_hpas_own_tolerance_and_a_scaled_job_has_none():
    assert decided(9999, available(0, 0), ready=100, tolerance=0.0).replicas == 101
    assert decided(9999, available(0, 0), ready=20, tolerance=0.15).replicas == 24, (
        "23 / 20 is 1.15, but not for a float"
    )
    assert decided(9999, available(0, 0), ready=20, tolerance=1e300).replicas == 1000, "nothing is enough for it"
    assert decided(9999, available(0, 0), ready=100, kind="ScaledJob").replicas == 101


@pytest.mark.parametrize(
    ("has", "reason"),
    [
        (unknown("nodes: list and watch nodes: 403"), "nodes: list and watch nodes: 403"),
        (available(0, BoundedCount(None, reason="no Karpenter")), "no Karpenter"),
        (available(BoundedCount(0, "lower", "some pods are not seen")), "at least 0: some pods are not seen"),
    ],
)
def test_what_is_not_known_limits_nothing(has, reason):
    decision = decided(120, has, ready=3)
    assert decision.replicas == 12
    assert (decision.capacity.replicas, decision.capacity.reason) == (None, reason)


def test_that_others_may_give_way_limits_what_they_make_room_for():
    preempting = BoundedCount(1, "lower", "pods of lower priority may give way: 4 at most", upper_bound=4)
    decision = decided(120, available(preempting), ready=3)
    assert decision.replicas == 8, "3 and 4 and the probe"
    assert "7 can be had (3 on nodes, 4 schedulable" in decision.reason


@pytest.mark.parametrize("ceiling", [None, 4])
def test_an_estimate_limits_only_where_it_is_known_how_many_there_are_at_most(ceiling):
    decision = decided(120, available(BoundedCount(1, "estimate", "both", ceiling)), ready=3)
    assert decision.replicas == (12 if ceiling is None else 8)
    assert decision.capacity.reason == ("about 1: both" if ceiling is None else "both")


def test_an_upper_bound_limits_since_there_is_no_more():
    assert decided(120, available(BoundedCount(2, "upper", "topology spread")), ready=3).replicas == 6


def test_old_news_limits_nothing():
    told = target(ready=3)
    told["replicas"] = TargetStatus(3, 3, 0, pending=0, stale_reason="Kubernetes was last heard 50s ago")
    _, decisions = fold(workload(CLAMP), [{"load": 120, "available": available(0, 0), **told}])
    assert decisions[0].replicas == 12


def test_pods_that_are_not_known_limit_nothing():
    of = {"replicas": TargetStatus(current=3), "available": available(0, 0)}
    assert fold(workload(CLAMP), [{"load": 120, **of}])[1][0].replicas == 12


def test_an_uncertain_answer_rises_within_what_can_be_had_and_never_falls():
    spec, of = workload(CLAMP), target(ready=3)
    rows = [
        {"load": 80, "available": available(5), **of},
        {"load": "timed out", "available": available(1), **of},
        {"load": 120, "available": available(1), "young": True, **of},
    ]
    assert said(fold(spec, rows)[1]) == [(8, True), (8, True), (8, True)]


# ---- report and off --------------------------------------------------------------------------------------------------


def test_a_report_says_it_and_changes_nothing():
    decision = decided(120, available(1, 1), LOAD, ready=3)
    assert decision.replicas == decision.limited == 12
    assert decision.reason == (
        "12 replicas, though 5 can be had (3 on nodes, 1 schedulable, 1 provisionable): load = 120, at 10 a replica"
    )


def test_off_says_nothing():
    decision = decided(120, available(1, 1), LOAD + "capacity: off\n", ready=3)
    assert (decision.replicas, decision.capacity) == (12, None)
    assert decision.reason == "12 replicas: load = 120, at 10 a replica"


def test_a_trigger_says_what_is_made_of_it():
    assert workload(LOAD, capacity="clamp").capacity == "clamp"
    assert workload(CLAMP, capacity="off").capacity == "off"
    assert workload(LOAD).capacity == "report"


# ---- the law ---------------------------------------------------------------------------------------------------------

counts = st.one_of(
    st.none().map(lambda _: BoundedCount(None, reason="?")),
    st.builds(BoundedCount, st.integers(0, 50), st.sampled_from(["exact", "upper", "lower", "estimate"])),
    st.builds(
        BoundedCount, st.integers(0, 50), st.sampled_from(["lower", "estimate"]), upper_bound=st.integers(50, 90)
    ),
)


def most(count):
    return count.value if count.bound in {"exact", "upper"} else count.upper_bound


@given(
    asked=st.integers(0, 200),
    schedulable=counts,
    provisionable=counts,
    ready=st.integers(0, 60),
    starting=st.integers(0, 5),
    pending=st.integers(0, 20),
    tolerance=st.sampled_from([None, 0.0, 0.05, 0.15, 0.3, 1.0]),
)
def test_a_clamp_limits_growth_alone_to_what_is_known_to_be_there_and_a_probe(
    asked, schedulable, provisionable, ready, starting, pending, tolerance
):
    of = target(ready=ready, starting=starting, pending=[1] * pending, tolerance=tolerance)
    inputs = row(START, available=available(schedulable, provisionable), **of)
    found = capacity("clamp", inputs, START)
    answer, current = found.within(asked), ready + starting + pending
    assert answer <= asked
    assert answer >= min(asked, current), "what is there stays"
    if None in {most(schedulable), most(provisionable)}:
        assert answer == asked, "what is not known limits nothing"
        return
    had = ready + starting + most(schedulable) + most(provisionable)
    assert answer >= min(asked, had + 1), "the probe"
    if answer > max(had + 1, current):  # only where the HPA would do nothing about less
        assert replicas_for_average_value(answer - 1, 1, current, 0.1 if tolerance is None else tolerance)[1]
    if asked > had:
        assert answer > had, "somebody waits for a machine"


def test_nobody_looked():
    assert capacity("clamp", Inputs({}), START) is None


@given(
    loads=st.lists(st.one_of(st.integers(0, 900), st.just("timed out")), min_size=2, max_size=20),
    places=st.lists(counts, min_size=20, max_size=20),
    ready=st.integers(0, 30),
    pending=st.integers(0, 10),
)
def test_no_limit_ever_takes_away_what_is_there_or_was_held(loads, places, ready, pending):
    of = target(ready=ready, pending=[60] * pending)
    free = [{"load": load, **of} for load in loads]
    limited = [row | {"available": available(count)} for row, count in zip(free, places, strict=False)]
    pairs = zip(fold(workload(LOAD + "startup: 0s\n"), free)[1], fold(workload(CLAMP), limited)[1], strict=True)
    said = None
    for plain, decision in pairs:
        if plain.replicas is None:
            assert decision.replicas is None
            continue
        assert decision.replicas <= plain.replicas
        assert decision.replicas >= min(plain.replicas, ready + pending)
        if decision.certainty == "held":
            assert said is None or decision.replicas >= said, "an uncertain answer never falls"
        said = decision.replicas
