"""The law of exact counts: what is called exact does not change when what is not known is filled in, either way.

The worlds are small and made up. Of each, some tables could not be read (quotas, LimitRanges, RuntimeClasses and
PriorityClasses); then they are read, with whatever is in them. There is no Karpenter. What webhooks add to pods
nobody can read, and is left aside.
"""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.cluster import GPU, node, on, picture, spec

from scaler.cluster.availability import availability
from scaler.model.availability import GPU_COUNTS

TAINT = {"key": GPU, "value": "present", "effect": "NoSchedule"}
OTHER = ("ReplicaSet", "other-5d8f")


def named(name, **more):
    return {"metadata": {"name": name, "namespace": "team"}, **more}


def quota(**hard):
    said = {name.replace("__", "/"): amount for name, amount in hard.items()}
    return named("q", spec={"hard": said}, status={"hard": said, "used": dict.fromkeys(said, "0")})


def limit_range(cpu):
    return named("l", spec={"limits": [{"type": "Container", "defaultRequest": {"cpu": cpu}, "default": {"cpu": cpu}}]})


def runtime(**more):
    return {"metadata": {"name": "gpu"}, **more}


def priority(value):
    return {"metadata": {"name": "high"}, "value": value}


KNOWN = {  # each table -> what may be in it, once it is read
    "quotas": [(), (quota(**{"requests.nvidia.com__gpu": "2"}),), (quota(pods="1"),)],
    "ranges": [(), (limit_range("1"),), (limit_range("40"),)],
    "runtimes": [
        (),
        (runtime(),),
        (runtime(overhead={"podFixed": {"cpu": "30"}}),),
        (runtime(scheduling={"nodeSelector": {"pool": "none"}}),),
    ],
    "priorities": [(), (priority(1000),), (priority(-5),)],
}

nodes = st.lists(
    st.fixed_dictionaries(
        {"gpus": st.integers(0, 4), "taints": st.sampled_from([(), (TAINT,)]), "cordoned": st.booleans()}
    ),
    min_size=1,
    max_size=3,
)
templates = st.fixed_dictionaries(
    {"gpus": st.integers(0, 2)},
    optional={"runtimeClassName": st.just("gpu"), "priorityClassName": st.just("high")},
)
others = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 2), st.sampled_from([None, "high"])), max_size=3)


def pod_of(gpus, priority_class=None, **more):
    return spec(gpus, **more, **({"priorityClassName": priority_class} if priority_class else {}))


def counted(machines, template, pods, tables):
    """Every count of Deployment llama; a table that is None could not be read."""
    made = [node(f"n{at}", **machine) for at, machine in enumerate(machines)]
    running = [
        on(f"x{at}", f"n{where}" if 0 <= where < len(made) else "", pod_of(gpus, name), owner=OTHER)
        for at, (where, gpus, name) in enumerate(pods)
    ]
    cluster = picture(made, running, {"llama": spec(**template)}, **tables)
    [scaled] = cluster
    seen = availability(cluster, scaled)
    return {name: of(seen) for name, (of, _) in GPU_COUNTS.items()}


@given(
    nodes,
    templates,
    others,
    st.sets(st.sampled_from(sorted(KNOWN)), min_size=1),
    st.fixed_dictionaries({table: st.sampled_from(those) for table, those in KNOWN.items()}),
)
@settings(max_examples=150)
def test_what_is_called_exact_stays_so_when_the_unknown_is_filled_in(machines, template, pods, unread, tables):
    before = counted(machines, template, pods, tables | dict.fromkeys(unread))
    after = counted(machines, template, pods, tables)
    for name, count in before.items():
        if count.bound == "exact" and count.value is not None:
            assert after[name].value == count.value, f"{name} was exact {count.value} ({count.reason})"
