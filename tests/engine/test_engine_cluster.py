"""The engine where Kubernetes tells it who asks, which pods are namespaces, and how many: timelines of pods that carry load."""

import asyncio
from dataclasses import dataclass, field, replace
from itertools import pairwise

import pytest

from scaler.config.bind import parse_file
from scaler.config.catalog import Catalog
from scaler.config.defaults import Defaults
from scaler.engine.engine import Engine
from scaler.engine.limits import Limits
from scaler.engine.registry import LISTED_AT_ONCE
from scaler.model.errors import ConfigError, NoAnswer
from scaler.model.measurement import NO_NAMESPACES, Failure, HistoryProbe, PromqlQuery, Reading, SignalQuery, TriggerRef
from scaler.model.objects import Cluster, HpaStatus, Job, Pod, ScaledResource
from scaler.model.strict_yaml import parse_yaml

START = 100_000.0
LOAD = """
name: load
parameters: {model: {default: m}}
metrics: {waiting: {signal: waiting}, running: {signal: running}, queued: {signal: queued, onMissing: zero}}
formula: queued + waiting + running
target: 10
idleFor: 10s
holdFor: 60s
"""
WINDOW = LOAD.replace("name: load", "name: window").replace("{signal: running}", "{signal: running, over: 60s}")
RETRAIN = """
name: retrain
metrics: {drift: {prometheus: drift}, free: {prometheus: free}}
formula: drift
activation: drift > 0.3 && free >= 1
policy: {kind: latch, resetBelow: 0.2, memory: 5m}
"""
RATIO = LOAD.replace("name: load", "name: ratio") + "metricType: Value\n"


def catalog():
    texts = {"load": LOAD, "window": WINDOW, "ratio": RATIO, "retrain": RETRAIN}
    return Catalog({name: parse_file(parse_yaml(text, name), name) for name, text in texts.items()})


@dataclass
class World:
    """Pods that carry load, as a Prometheus would have them, and what Kubernetes says."""

    load: dict = field(default_factory=dict)  # pod -> requests running on it
    queued: float = 0.0
    now: float = START
    old: float | None = 1.0  # None: the Prometheus holds no data older than holdFor
    asked: set = field(default_factory=set)
    drift: dict = field(default_factory=dict)  # seconds past the start -> the drift from then on
    fetched: list = field(default_factory=list)  # seconds past the start, one for each call
    direct: tuple = ()
    current: float | None = None  # replicas, as kube-state-metrics has them

    def __post_init__(self):
        limits, names = Limits(budget=0.01, direct=frozenset(self.direct)), ("default", *self.direct)
        gateway = "gateway" if "gateway" in self.direct else None
        defaults = Defaults(endpoints=names, gateway_endpoint=gateway, scale_down=None)
        sources = dict.fromkeys(names, self)
        self.engine = Engine(sources, catalog(), defaults, lambda: self.now, limits)

    def fetch(self, queries, times, namespaces=NO_NAMESPACES):
        self.asked |= set(queries)
        self.fetched.append(self.now - START)
        return {query: [self.measure(query, at) for at in times] for query in queries}

    def measure(self, query, at):
        if isinstance(query, HistoryProbe):
            return Reading(self.old, at)
        if isinstance(query, PromqlQuery):
            return self.query(query.text, at)
        if query.signal == "queued":
            return Reading(self.queued, at)
        if query.signal not in {"waiting", "running"}:
            return Reading(self.current if query.signal == "current_replicas" else None, at)
        own = {pod for pod in self.load if query.target_pods is None or pod in query.target_pods.names}
        silent = query.target_pods.ready - own if query.target_pods else ()
        value = sum(self.load[pod] for pod in own) if own else None
        return Reading(
            0.0 if own and query.signal == "waiting" else value,
            at,
            answered=len(own),
            expected=len(own) + len(silent),
            incomplete_reason=f"{len(silent)} pods do not answer" if silent else "",
        )

    def query(self, text, at):
        if text == "free":
            return Failure("of the past nobody knows", at) if at < self.now - 6 else Reading(4.0, at)
        return Reading(max((since, drift) for since, drift in self.drift.items() if START + since <= at)[1], at)

    async def at(self, seconds, cluster=None):
        """Tick so many seconds past the start, after Kubernetes said this; gives the decision of each object."""
        self.now = START + seconds
        if cluster is not None:
            self.engine.update_cluster(cluster)
        await self.engine.tick(self.now)
        return {f"{one.key.kind} {one.key.name}": one for one in self.engine.decisions()}


def pods(*names, state="ready"):
    return tuple(Pod(name, state) for name in names)


def trigger(**metadata):
    return tuple(sorted({"scalerAddress": "llm-scaler.keda:6000", "formula": "load", **metadata}.items()))


def scaled(name="llama", replicas=1, own=(), *, kind="ScaledObject", uid="1", triggers=None, **more):
    triggers = (trigger(),) if triggers is None else triggers
    known = {"minimum": 0, "maximum": 20, "pod_name_pattern": f"{name}-.*", **more}
    return ScaledResource(
        kind, "team", name, uid, 1, triggers, (), f"Deployment {name}", replicas=replicas, pods=own, **known
    )


def cluster(*objects, heard=None, now=START, **more):
    named = {}
    for one in objects:
        named[one.namespace, one.name] = (*named.get((one.namespace, one.name), ()), one)
    return Cluster(
        named,
        last_synced=now if heard is None else heard,
        synced_kinds=frozenset({"ScaledObject", "ScaledJob"}),
        **more,
    )


def request(name="llama", **metadata):
    return TriggerRef("team", name, trigger(**metadata))


def play(scenario):
    asyncio.run(asyncio.wait_for(scenario(), 30))


# ---- who asks --------------------------------------------------------------------------------------------------------------


def test_a_fresh_process_knows_every_workload_before_keda_asks():
    async def scenario():
        world = World(load={"a": 25, "b": 20})
        decided = await world.at(0, cluster(scaled(replicas=2, own=pods("a", "b"))))
        assert (decided["ScaledObject llama"].replicas, decided["ScaledObject llama"].active) == (5, True)
        assert await world.engine.read(request()) is decided["ScaledObject llama"], (
            "KEDA's own call is the same workload"
        )
        assert len(world.engine.decisions()) == 1

    play(scenario)


def test_many_that_kubernetes_lists_at_once_are_registered_in_turns_so_that_calls_come_between():
    async def scenario():
        world = World(load={"a": 25})
        world.engine.update_cluster(cluster(*(scaled(f"m{number}") for number in range(200))))
        seen = [len(world.engine.registry.workloads)]
        while seen[-1] < 200:
            await asyncio.sleep(0)
            seen.append(len(world.engine.registry.workloads))
        assert max(later - earlier for earlier, later in pairwise([0, *seen])) == LISTED_AT_ONCE
        assert all(item.listed for item in world.engine.registry.workloads.values())
        world.engine.update_cluster(cluster(scaled("m0")))
        await asyncio.sleep(0)
        assert [one.name for one in world.engine.registry.workloads] == ["m0"]
        await world.engine.close()

    play(scenario)


def test_a_fresh_process_before_a_fresh_prometheus_may_raise_for_as_long_as_hold_for():
    async def scenario():
        world = World(load={"a": 25}, old=None)
        llama = scaled(replicas=1, own=pods("a"))
        decided = (await world.at(0, cluster(llama)))["ScaledObject llama"]
        assert (decided.certainty, decided.replicas, decided.active, decided.uncertain_for) == ("held", 3, True, 0)
        decided = [(await world.at(at, cluster(llama, now=START + at)))["ScaledObject llama"] for at in range(5, 70, 5)]
        assert [one.at - START for one in decided if one.replicas is None] == [65]

    play(scenario)


def test_an_object_that_keda_knows_first_waits_a_moment_for_kubernetes_and_takes_no_load_of_others():
    async def scenario():
        world = World(load={"a": 25, "b": 20})
        other = scaled("other", replicas=1, own=pods("b"))
        await world.at(0, cluster(other))
        with pytest.raises(NoAnswer):
            await world.engine.read(request())
        assert "ScaledObject llama" not in await world.at(1)
        decided = await world.at(1.2, cluster(other, scaled(own=pods("a"))))
        assert decided["ScaledObject llama"].replicas == 3

    play(scenario)


def test_a_request_for_an_object_that_kubernetes_never_lists_is_answered_all_the_same():
    async def scenario():
        world = World(load={"a": 25})
        await world.at(0, cluster())
        with pytest.raises(NoAnswer):
            await world.engine.read(request())
        assert await world.at(1) == {}
        assert (await world.at(2))["ScaledObject llama"].value == 25

    play(scenario)


def test_a_trigger_that_is_wrong_harms_nobody_and_is_told_to_keda():
    async def scenario():
        world = World(load={"a": 5})
        bad = scaled("bad", triggers=(trigger(formula="nothing"), trigger(oops="1")))
        decided = await world.at(0, cluster(bad, scaled(own=pods("a"))))
        assert list(decided) == ["ScaledObject llama"]

    play(scenario)


def test_a_trigger_with_values_of_the_environment_is_known_when_keda_asks():
    async def scenario():
        world = World(load={"a": 5})
        written = scaled(own=pods("a"), triggers=(trigger(modelFromEnv="MODEL"),))
        assert await world.at(0, cluster(written)) == {}
        with pytest.raises(NoAnswer):
            await world.engine.read(request(modelFromEnv="m"))
        decided = await world.at(5)
        assert decided["ScaledObject llama"].target_status.current == 1

    play(scenario)


def test_a_scaled_job_is_told_from_a_scaled_object_of_its_name_without_kind():
    async def scenario():
        world = World(load={"a": 5})
        both = cluster(
            scaled("x", own=pods("a")),
            scaled("x", 0, (), kind="ScaledJob", uid="2", triggers=(trigger(formula="window"),)),
        )
        decided = await world.at(0, both)
        assert set(decided) == {"ScaledObject x", "ScaledJob x"}
        assert decided["ScaledJob x"].key.kind == "ScaledJob"
        assert (await world.engine.read(request("x", formula="window"))).key.kind == "ScaledJob"

    play(scenario)


def test_a_workload_that_asked_before_kubernetes_was_known_is_recognized():
    async def scenario():
        world = World(load={"a": 5})
        with pytest.raises(NoAnswer):
            await world.engine.read(request())
        decided = await world.at(0)
        assert (decided["ScaledObject llama"].target_status.current, decided["ScaledObject llama"].scaled) == (
            None,
            None,
        )
        decided = await world.at(5, cluster(scaled(kind="ScaledJob", own=pods("a"))))
        assert list(decided) == ["ScaledJob llama"]

    play(scenario)


def test_an_edited_trigger_takes_the_place_of_the_old_one_at_once():
    async def scenario():
        world = World(load={"a": 100})
        before = await world.at(0, cluster(scaled(own=pods("a"))))
        assert before["ScaledObject llama"].replicas == 10
        world.load = {"a": 1}
        edited = scaled(own=pods("a"), triggers=(trigger(formula="window"),))
        decided = await world.at(5, cluster(edited))
        assert [one.spec.formula for one in world.engine.decisions()] == ["window"]
        assert decided["ScaledObject llama"].replicas == 1, "its past was measured"

    play(scenario)


def test_an_object_that_is_deleted_is_forgotten_and_one_that_comes_again_is_another():
    async def scenario():
        world = World(load={"a": 100})
        await world.at(0, cluster(scaled(own=pods("a"))))
        assert await world.at(5, cluster()) == {}
        await world.at(10, cluster(scaled(own=pods("a"))))
        world.load = {"b": 10}
        decided = await world.at(15, cluster(scaled(own=pods("b"), uid="another")))
        assert (decided["ScaledObject llama"].replicas, decided["ScaledObject llama"].minimum_answer) == (1, 1)

    play(scenario)


def test_another_object_that_comes_while_the_old_one_is_measured_is_measured_itself():
    async def scenario():
        world = World(load={"a": 100, "b": 10})
        world.engine.update_cluster(cluster(scaled(own=pods("a"))))
        ticking = asyncio.ensure_future(world.engine.tick(START))
        [workload] = world.engine.registry.workloads.values()
        while not workload.plan.pods:  # noqa: ASYNC110 - until it is asked about
            await asyncio.sleep(0)
        world.engine.update_cluster(cluster(scaled(own=pods("b"), uid="another")))
        await ticking
        assert world.engine.decisions() == []
        assert (await world.at(5))["ScaledObject llama"].replicas == 1

    play(scenario)


def test_a_list_that_is_not_known_forgets_nobody():
    async def scenario():
        world = World(load={"a": 5})
        await world.at(0, cluster(scaled(own=pods("a"))))
        decided = await world.at(5, Cluster(problems={"scaledobjects.keda.sh": "403"}))
        assert list(decided) == ["ScaledObject llama"]

    play(scenario)


def test_whom_kubernetes_lists_is_kept_however_long_nobody_asks():
    async def scenario():
        world = World(load={"a": 5})
        await world.at(0, cluster(scaled(own=pods("a"))))
        assert list(await world.at(8000)) == ["ScaledObject llama"]
        await world.at(8005, Cluster(problems={"scaledobjects.keda.sh": "403"}))
        assert list(await world.at(15000)) == ["ScaledObject llama"]
        assert list(await world.at(15300)) == [], "no list, and nobody has asked for two hours"

    play(scenario)


def test_a_formula_that_comes_later_is_taken_by_those_who_wait_for_it():
    async def scenario():
        world = World(load={"a": 5})
        world.engine.update_catalog(Catalog({}))
        assert await world.at(0, cluster(scaled(own=pods("a")))) == {}
        world.engine.update_catalog(catalog())
        assert list(await world.at(5)) == ["ScaledObject llama"]

    play(scenario)


def test_whom_kubernetes_lists_is_not_driven_out():
    async def scenario():
        world = World(load={"a": 5})
        world.engine.registry.limits = Limits(workloads=10, budget=0.001)
        await world.at(0, cluster(scaled(own=pods("a"))))
        for number in range(50):
            world.engine.registry.asked(request(f"made-up-{number}"), world.now)
        assert request() in world.engine.registry.workloads

    play(scenario)


def test_more_objects_than_the_limit_are_not_taken_in():
    async def scenario():
        world = World(load={"a": 5})
        world.engine.registry.limits = Limits(workloads=3)
        decided = await world.at(0, cluster(*(scaled(f"o{number}", own=pods("a")) for number in range(9))))
        assert sorted(decided) == ["ScaledObject o0", "ScaledObject o1", "ScaledObject o2"]

    play(scenario)


# ---- whose load ------------------------------------------------------------------------------------------------------------


def test_two_variants_of_one_model_do_not_see_each_others_load():
    async def scenario():
        world = World(load={"llama-a": 10, "llama-b": 10, "canary-a": 50}, queued=0)
        both = cluster(
            scaled("llama", 2, pods("llama-a", "llama-b")),
            scaled("canary", 1, pods("canary-a"), triggers=(trigger(model="m"),)),
        )
        decided = await world.at(0, both)
        assert decided["ScaledObject llama"].replicas == 2
        assert decided["ScaledObject canary"].replicas == 5
        [gateway] = {query for query in world.asked if getattr(query, "signal", "") == "queued"}
        assert gateway.target_pods is None, "the gateway is the whole model's"

    play(scenario)


def test_without_kubernetes_all_pods_of_the_labels_count_as_before():
    async def scenario():
        world = World(load={"llama-a": 10, "canary-a": 50})
        with pytest.raises(NoAnswer):
            await world.engine.read(request())
        assert (await world.at(0))["ScaledObject llama"].replicas == 6

    play(scenario)


def test_pods_that_are_not_known_are_not_none():
    async def scenario():
        world = World(load={"a": 10, "b": 10})
        decided = await world.at(0, cluster(scaled(replicas=2, own=None)))
        assert (decided["ScaledObject llama"].replicas, decided["ScaledObject llama"].target_status.ready) == (2, None)

    play(scenario)


def test_a_ready_pod_that_is_silent_forbids_to_lower_and_a_loading_one_does_not():
    async def scenario():
        world = World(load={"a": 25, "b": 25})
        await world.at(0, cluster(scaled(replicas=2, own=pods("a", "b"))))
        world.load = {"a": 3}
        decision = (await world.at(5))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas) == ("held", 5)
        loading = (*pods("a"), *pods("b", state="starting"))
        decision = (await world.at(10, cluster(scaled(replicas=2, own=loading))))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas) == ("certain", 1)

    play(scenario)


# ---- how many --------------------------------------------------------------------------------------------------------------


def test_from_zero_while_the_model_loads_the_queue_alone_decides():
    async def scenario():
        world = World(queued=3)
        decision = (await world.at(0, cluster(scaled(replicas=0))))["ScaledObject llama"]
        assert (decision.replicas, decision.active, decision.input_values[0].rule) == (
            1,
            True,
            "0 replicas, so nothing is there to measure",
        )
        pending = pods("a", state="pending")
        decision = (await world.at(5, cluster(scaled(replicas=1, own=pending))))["ScaledObject llama"]
        assert (decision.certainty, decision.target_status.pending, decision.target_status.starting) == (
            "certain",
            1,
            0,
        )
        starting = pods("a", state="starting")
        world.queued = 0
        for at in range(10, 200, 5):
            decision = (await world.at(at, cluster(scaled(replicas=1, own=starting), now=START + at)))[
                "ScaledObject llama"
            ]
            assert (decision.certainty, decision.replicas, decision.active) == ("certain", 0, True), "it still loads"
        assert decision.input_values[0].rule == "no pod is ready yet, so nothing is there to measure"
        assert decision.idle.busy == ("1 starting",)

    play(scenario)


@pytest.mark.parametrize("state", ["ready", "unready"])
def test_pods_that_may_hold_load_and_say_nothing_are_not_idle(state):
    async def scenario():
        world = World(load={"a": 5})
        await world.at(0, cluster(scaled(replicas=3, own=pods("a"))))
        world.load = {}
        decision = (await world.at(5, cluster(scaled(replicas=3, own=pods("a", state=state)))))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas, decision.active) == ("held", 3, True)

    play(scenario)


def test_pods_that_end_at_zero_replicas_do_not_hold_up_the_end():
    async def scenario():
        world = World()
        for at in range(0, 20, 5):
            ending = cluster(scaled(replicas=0, own=pods("a", state="terminating")), now=START + at)
            decision = (await world.at(at, ending))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas, decision.active) == ("certain", 0, False)

    play(scenario)


def test_a_rollout_with_surge_does_not_ratchet_replicas_up():
    """While old and new pods run side by side there are more pods than replicas; load and replicas are what they were."""

    async def scenario():
        world = World()
        said = []
        old, new = [f"old-{number}" for number in range(4)], [f"new-{number}" for number in range(4)]
        for step in range(40):
            up, down = (
                min(step // 4, 4),
                max(0, min(step // 4 - 1, 4)),
            )  # a new pod every 20 s, an old one goes 20 s later
            running = old[down:] + new[:up]
            world.load = {pod: 40 / len(running) for pod in running}  # the total stays 40
            if step % 4 == 0 and up:
                del world.load[new[up - 1]]  # and the newest is not scraped yet
            own = (*pods(*old[down:]), *pods(*new[:up]), *pods(*old[max(down - 1, 0) : down], state="terminating"))
            at = cluster(scaled(replicas=4, own=own), now=START + 5 * step)
            decision = (await world.at(5 * step, at))["ScaledObject llama"]
            said.append(decision.replicas)
        assert set(said) == {4}
        assert len(running) == 4

    play(scenario)


def test_a_rollout_does_not_ratchet_replicas_up_by_a_ratio_that_is_right_as_it_is():
    """metricType Value multiplies by the ready pods, of which a surge has more than replicas."""

    async def scenario():
        world = World()
        replicas = 4
        for step in range(20):
            own = pods(*(f"pod-{number}" for number in range(replicas + 2)))  # two more than replicas, all along
            world.load = dict.fromkeys((pod.name for pod in own), 10 / len(own))
            at = cluster(scaled(replicas=replicas, own=own, triggers=(trigger(formula="ratio"),)), now=START + 5 * step)
            replicas = (await world.at(5 * step, at))["ScaledObject llama"].replicas
            assert replicas == 4
        world.load["pod-0"] += 10
        assert (await world.at(100, replace(at, last_synced=START + 100)))["ScaledObject llama"].replicas == 12

    play(scenario)


def test_old_news_from_kubernetes_raises_and_does_not_lower():
    async def scenario():
        world = World(load={"a": 25, "b": 25})
        told = cluster(scaled(replicas=5, own=pods("a", "b")))
        await world.at(0, told)
        world.load = {"a": 1, "b": 1}
        decision = (await world.at(50, replace(told, last_synced=START)))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas) == ("held", 5)
        assert "Kubernetes was last heard 50s ago" in decision.reason
        world.load = {"a": 60, "b": 60}
        assert (await world.at(55))["ScaledObject llama"].replicas == 12
        world.load = {}
        decision = (await world.at(60))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas) == ("held", 12), "what was answered is a floor"
        back = replace(told, last_synced=START + 65)
        world.load = {"a": 1, "b": 1}
        decision = (await world.at(65, back))["ScaledObject llama"]
        assert (decision.certainty, decision.replicas) == ("certain", 1)

    play(scenario)


def test_zero_replicas_on_old_news_is_no_proof_that_nothing_runs():
    async def scenario():
        world = World()
        told = cluster(scaled(replicas=0))
        await world.at(0, told)
        decision = (await world.at(50))["ScaledObject llama"]
        assert decision.certainty != "certain"

    play(scenario)


def test_what_kubernetes_says_is_in_the_decision():
    async def scenario():
        world = World(load={"a": 5})
        hpa = HpaStatus("keda-hpa-llama", 1, 1, 1, 20)
        told = scaled(replicas=3, own=(*pods("a"), *pods("b", state="pending")), hpa=hpa, minimum=1, maximum=6)
        known = (await world.at(0, cluster(told)))["ScaledObject llama"]
        assert known.scaled is told
        assert (known.target_status.current, known.target_status.ready, known.target_status.pending) == (3, 1, 1)
        assert (known.target_status.minimum, known.target_status.maximum, known.target_status.source) == (
            1,
            6,
            "Kubernetes",
        )

    play(scenario)


def test_an_unchanged_picture_costs_nothing():
    async def scenario():
        world = World(load={"a": 5})
        told = cluster(scaled(own=pods("a")))
        for at in (0, 5):  # the first asks about the past
            await world.at(at, told)
        item = world.engine.registry.workloads[request()]
        queries = item.plan.queries
        await world.at(10, replace(told, last_synced=START + 10))
        assert item.plan.queries is queries
        assert world.engine.cluster.last_synced == START + 10

    play(scenario)


# ---- Jobs -------------------------------------------------------------------------------------------------------------------


def train(*jobs):
    return cluster(scaled("train", 0, (), kind="ScaledJob", triggers=(trigger(formula="retrain"),), jobs=jobs))


def test_a_job_that_has_come_or_ended_is_counted_before_the_next_tick():
    async def scenario():
        world = World(drift={-1000: 0.1, -10: 0.4})
        job = Job("train-a", START + 2)
        assert (await world.at(0, train()))["ScaledJob train"].replicas == 1
        assert (await world.at(3, train(job)))["ScaledJob train"].reason.endswith("started 0s ago and has not ended")
        ended = replace(job, state="succeeded", ended=START + 4)
        decided = (await world.at(4.5, train(ended)))["ScaledJob train"]
        assert (decided.replicas, decided.active, decided.at) == (0, False, START)
        assert decided.reason.endswith("has not fallen below 0.2 since job train-a started 0s ago")
        before = decided
        assert (await world.at(4.9, train(ended)))["ScaledJob train"] is before, "nothing has changed"

    play(scenario)


@pytest.mark.parametrize(("fell", "jobs"), [(-100, 1), (-200, 0), (-2000, 0)])
def test_after_a_restart_history_says_whether_the_drift_has_risen_since_the_last_job(fell, jobs):
    async def scenario():
        world = World(drift={-10_000: 0.4, fell: 0.1, fell + 30: 0.4})
        ended = Job("train-a", START - 150, "succeeded", START - 120)
        decided = (await world.at(0, train(ended)))["ScaledJob train"]
        assert (decided.certainty, decided.replicas) == ("certain", jobs)

    play(scenario)


def test_no_source_is_asked_for_replicas_that_kubernetes_counts():
    async def scenario():
        world = World(load={"a": 5})
        asked = []
        for at, replicas in ((0, 1), (5, 1), (10, None), (15, 1)):
            world.asked.clear()
            await world.at(at, cluster(scaled(replicas=replicas, own=pods("a")), now=START + at))
            asked.append(
                any(query.signal == "current_replicas" for query in world.asked if isinstance(query, SignalQuery))
            )
        assert asked == [True, False, True, False], "of the past, and of what it does not know, others may know"

    play(scenario)


# ---- nobody there yet ------------------------------------------------------------------------------------------------------


def value_of(decision):
    """The formula's value, or where the engines' part was not measured, that of the rest."""
    return decision.partial.value if decision.partial else decision.value


@pytest.mark.parametrize(
    ("direct", "replicas", "seen_at"),
    [
        (("default",), 0, 2),  # pages, and nobody who works: every second
        ((), 0, 2),  # of a Prometheus the gateway's signals alone
        ((), 1, 5),
        (("default",), 1, 5),
        (("default",), None, 5),  # what is not known is not zero
        (("gateway",), 0, 2),  # a Prometheus for the pods, and the gateway's own page
    ],
)
def test_what_waits_for_a_target_without_replicas_is_seen_within_a_second(direct, replicas, seen_at):
    async def scenario():
        world = World(direct=direct)
        told = cluster(scaled(replicas=replicas, own=pods("a") if replicas else ()))
        await world.at(0, told)
        await world.at(1)
        world.queued = 3.0
        seen = [at for at in range(2, 7) if value_of((await world.at(at))["ScaledObject llama"]) == 3.0]
        assert seen[0] == seen_at

    play(scenario)


def test_one_question_a_second_serves_all_that_sleep_and_none_that_work():
    async def scenario():
        world = World({"a": 1}, direct=("default",))
        sleeping = [scaled(name, replicas=0) for name in ("one", "two", "three")]
        await world.at(0, cluster(*sleeping, scaled("awake", replicas=1, own=pods("a"))))
        world.fetched.clear()
        for at in range(1, 11):
            await world.at(at)
        assert world.fetched == [1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 10, 10], "who works is asked about apart: none waits"

    play(scenario)


def test_beside_a_prometheus_the_gateways_own_page_is_read_every_second():
    async def scenario():
        world = World(direct=("gateway",))
        await world.at(0, cluster(scaled(replicas=0)))
        asked = []
        for second in range(1, 12):
            world.asked.clear()
            world.queued = 4.0 if second >= 7 else 0.0
            decided = (await world.at(second))["ScaledObject llama"]
            asked.append(len({query.endpoint for query in world.asked}))
            assert decided.certainty == "certain"
            assert decided.value == world.queued
        assert asked == [2, 1, 1, 1, 2, 1, 1, 1, 1, 2, 1], "after its past, the Prometheus in its own time"

    play(scenario)


def test_a_prometheus_is_asked_every_second_of_gateways_alone_and_once_for_all():
    async def scenario():
        world = World()
        await world.at(0, cluster(*(scaled(name, replicas=0) for name in ("one", "two", "three"))))
        asked = []
        for second in range(1, 7):
            world.asked.clear()
            await world.at(second)
            asked.append(sorted({getattr(query, "signal", "") for query in world.asked}))
        assert asked[1:4] == [["queued"]] * 3
        assert len(asked[4]) > 1, "its own tick"
        assert world.fetched.count(3) == 1

    play(scenario)


def test_an_edit_is_folded_at_once_though_nothing_else_is_new():
    async def scenario():
        world = World(direct=("default",), current=0.0)
        with pytest.raises(NoAnswer):
            await world.engine.read(request())
        for at in (0, 1):
            await world.at(at)
        edited = parse_file(parse_yaml(LOAD.replace("target: 10", "target: 5"), "load"), "load")
        world.engine.update_catalog(Catalog({"load": edited}))
        assert (await world.at(2))["ScaledObject llama"].spec.target == 5

    play(scenario)


def test_a_look_at_what_sleeps_that_shows_nothing_new_is_no_decision():
    async def scenario():
        world = World(direct=("default",))
        await world.at(0, cluster(scaled(replicas=0)))
        at = []
        for second in range(1, 12):
            world.queued = {3: 1.0, 4: 1.0, 7: 2.0}.get(second, 0.0)
            at.append((await world.at(second))["ScaledObject llama"].at - START)
        assert at == [1, 1, 3, 3, 5, 5, 7, 8, 8, 10, 10]

    play(scenario)


def test_who_wakes_goes_on_in_its_own_time_and_never_back():
    async def scenario():
        world = World(direct=("default",))
        await world.at(0, cluster(scaled(replicas=0)))
        at = []
        for second in range(1, 13):
            now = scaled(replicas=1 if second > 3 else 0, own=pods("a", state="starting") if second > 3 else ())
            world.queued = 1.0 if second >= 3 else 0.0
            decided = await world.at(second, cluster(now, now=START + second))
            at.append(decided["ScaledObject llama"].at - START)
        assert at == [1, 1, 3, 3, 5, 5, 5, 5, 5, 10, 10, 10]
        await world.at(-600)
        assert world.engine.decisions()[0].at == START - 600, "a clock that was set back stops nobody"

    play(scenario)


def test_a_trigger_whose_metric_type_multiplies_the_replicas_is_refused_where_its_object_is_seen():
    world = World({"llama-a": 5.0})
    asking = request()

    async def scenario():
        await world.at(0, cluster(scaled(own=pods("llama-a"))))
        assert await world.engine.read(asking)
        world.engine.update_cluster(cluster(scaled(own=pods("llama-a"), by_value=(trigger(), trigger(model="new")))))
        for one in (asking, request(model="new")):
            with pytest.raises(ConfigError, match=r"trigger: metricType: is not AverageValue.*leave it out"):
                await world.engine.read(one)
        world.engine.update_cluster(cluster(scaled(own=pods("llama-a"), by_value=(trigger(formula="window"),))))
        assert await world.engine.read(asking), "another trigger of the object is meant"

    asyncio.run(scenario())
