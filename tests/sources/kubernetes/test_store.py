"""What is kept up with every change of a pod."""

from hypothesis import given
from hypothesis import strategies as st
from support.cluster import on, spec

from scaler.model.nodes import ANY, HOST, AntiAffinityTerm, LimitRange, LimitRangeDefaults, Requirement
from scaler.sources.kubernetes.read_objects import ObjectReader
from scaler.sources.kubernetes.store import PodTable, by_target, limit_ranges


def apart(app):
    term = {"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


changes = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["", "n", "m"]),
        st.integers(0, 3),
        st.sampled_from([None, 0, 9]),
        st.sampled_from(["Running", "Failed"]),
    ),
    max_size=12,
)


@given(changes)
def test_what_is_kept_up_with_every_change_is_what_the_last_of_them_come_to(timeline):
    reader, kept, last = ObjectReader(), PodTable(), {}
    for name, where, gpus, priority, phase in timeline:
        of = spec(gpus, priority=priority, affinity=apart(f"app-{gpus}"))
        last[name] = reader.pod(on(name, where, of, phase=phase))
        kept.put(("team", name), last[name])
    anew = PodTable()
    for name, record in last.items():
        anew.put(("team", name), record)
    assert (kept.records, kept.groups, kept.waiting) == (anew.records, anew.groups, anew.waiting)
    assert (kept.loads, kept.shy) == (anew.loads, anew.shy)


def test_of_several_limit_ranges_the_least_counts_since_each_may_be_the_first():
    ranges = {
        ("red", "a"): LimitRange({"cpu": 100, "memory": 7}),
        ("red", "b"): LimitRange({"cpu": 50, "memory": 7}),
        ("blue", "a"): LimitRange({"cpu": 1}),
    }
    assert limit_ranges(ranges) == {
        "red": LimitRangeDefaults({"cpu": 50, "memory": 7}, ("cpu",)),
        "blue": LimitRangeDefaults({"cpu": 1}),
    }


def test_pods_that_stay_apart_are_found_by_the_namespace_of_those_who_are_not_wanted():
    near, far = AntiAffinityTerm((), HOST), AntiAffinityTerm((), "zone", ("blue", "green"))
    everywhere, unsure = (
        AntiAffinityTerm((), "zone", namespace_scope="all"),
        AntiAffinityTerm((), "zone", ("blue",), namespace_scope="some"),
    )
    pods = [("red", one, "n", 0) for one in (near, far, everywhere, unsure)]
    found = by_target(pods)
    assert {space: set(there) for space, there in found.items()} == {
        ("red", None): {near},
        ("blue", None): {far, unsure},
        ("green", None): {far},
        (ANY, None): {everywhere, unsure},
    }
    assert by_target([*pods, ("red", near, "m", 5)])["red", None][near] == {("n", 0), ("m", 5)}


def test_pods_that_stay_apart_are_found_by_a_label_of_those_who_are_not_wanted():
    exists = Requirement("team", "Exists")
    named = AntiAffinityTerm((exists, Requirement("app", "In", ("a", "b"))), HOST)
    other = AntiAffinityTerm((exists, Requirement("app", "NotIn", ("a",))), HOST)
    found = by_target([("red", one, "n", 0) for one in (named, other)])
    assert {place: set(there) for place, there in found.items()} == {
        ("red", ("app", "a")): {named},
        ("red", ("app", "b")): {named},
        ("red", None): {other},
    }
