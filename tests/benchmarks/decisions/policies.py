"""The policies that are compared, one setting each: ours through the product's own fold, and its peers' rules.

Peers that are controllers of their own act at once on what they decide (DIRECT); those that go through KEDA and the HPA
have the HPA's default behavior, and we have what our README tells users to set: no stabilization window, since the pace
is in our answer.
"""

import math
import sys
from collections import deque
from dataclasses import replace
from pathlib import Path

from scaler.cluster.keda import Refusal, ScaledObject, ScalerAnswer
from scaler.config.bind import bind, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.defaults import Defaults
from scaler.config.trigger import parse_trigger
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.behavior import Behavior, RatePolicy, Rules
from scaler.model.measurement import Inputs, TargetStatus, TriggerRef
from scaler.model.nodes import ReplicaTemplate
from scaler.model.objects import Pod, ScaledResource, TargetView
from scaler.model.strict_yaml import parse_yaml
from scaler.sim.loop import Latest, fixed

sys.path.insert(0, str(Path(__file__).parent))
from seen import Scrapes

LONG_AGO = 3600.0  # seconds
MOST = 64  # maxReplicaCount
BASE = ScaledObject(min_replica_count=1, max_replica_count=MOST, polling_interval=15.0)
AT_ONCE = Rules(policies=(RatePolicy("Pods", 1000, 15.0),), window=0.0)
DIRECT = replace(BASE, behavior=Behavior(AT_ONCE, AT_ONCE), tolerance=0.0)
OURS = replace(
    BASE, behavior=Behavior(down=Rules(policies=(RatePolicy("Percent", 100, 15.0),), window=0.0)), tolerance=0.0
)
KPA = """
name: kpa
parameters: {model: {}}
metrics: {running: {signal: running}, waiting: {signal: waiting}, queued: {signal: queued, onMissing: zero}}
formula: running + waiting + queued
target: 4
policy: {kind: kpa}
"""
RAY = KPA.replace("name: kpa", "name: ray").replace("target: 4", "target: 2").replace("kind: kpa", "kind: ray")
OTHERS = {  # the other policies that we speak, with the settings that their own examples have
    "aibrix-kpa": "{kind: aibrix-kpa}",
    "apa": "{kind: apa}",
    "kthena": "{kind: kthena}",
    "hpa": "{kind: hpa}",
    "wallaroo": "{kind: wallaroo, scale_up_queue_depth: 10}",
    "step": "{kind: step, tiers: [{at: 4, percent: 5}, {at: 40, percent: 15}, {at: 120, percent: 50}, {at: 400, percent: 100}]}",
}


class Ours:
    """A formula through the product's fold, over what Prometheus and Kubernetes would say of a fleet."""

    def __init__(self, text, startup, past=(), seats=None, tells_cache=True, **metadata):
        self.startup, self.past, self.template = startup, past, ReplicaTemplate((), seats=seats)
        tree = parse_yaml(text, "benchmark.yaml")
        file = parse_file(tree, "benchmark.yaml")
        given = {"formula": file.name, "model": "llama", **metadata}
        request = TriggerRef("team", "llama", tuple(sorted(given.items())))
        self.spec = bind(file, parse_trigger(request), Defaults())
        self.spec = replace(self.spec, interval=15.0)
        self.state, self.decision = State(), None
        self.born, self.ready, self.scrapes = {}, {}, Scrapes(tells_cache)

    def observe(self, seen):
        self.scrapes.add(seen)
        if self.past:
            policy = self.spec.algorithm.recall.fold(self.spec.algorithm.initial, self.past, seen.at)
            self.state, self.past = replace(self.state, policy=policy), ()
        if not self.born:  # those that are there from the start were ordered once, as Kubernetes would know
            self.ready = {one.serial: -LONG_AGO for one in seen.replicas}
            self.born = {one.serial: -LONG_AGO - self.startup for one in seen.replicas}
        for one in seen.replicas:
            self.born.setdefault(one.serial, one.ordered)
            if one.phase == "ready":
                self.ready.setdefault(one.serial, seen.at)
        pods = tuple(
            Pod(str(one.serial), one.phase, self.born[one.serial], ready_since=self.ready.get(one.serial))
            for one in seen.replicas
            if one.phase != "draining"
        )
        scaled = ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 1, MOST, pods=pods)
        scaled = replace(scaled, template=self.template)
        known = TargetStatus(seen.desired, seen.ready, seen.starting, 1, MOST, pending=0, ever_ready=seen.ready)
        readings = {item.name: self.scrapes.read(item.query) for item in self.spec.inputs}
        guards = {item.name: self.scrapes.read(item.query) for item in self.spec.activity_signals}
        self.state, self.decision = decide(
            self.spec, self.state, Inputs(readings, guards, target_status=known, target=TargetView(scaled)), seen.at
        )

    def answer(self, now):
        told = self.decision
        if told is None or told.replicas is None:
            return Refusal("GetMetrics", told.reason if told else "nothing was measured yet")
        return ScalerAnswer(told.replicas, active=told.active)


def prices(hardware):
    """Seconds of a replica's time that a prompt token and an output token take, as a profile of it would give them."""
    return hardware.token * 1.03, (hardware.overhead + hardware.weights) / 25


class Work:
    """Replicas' worth of work per second, from counters and arrivals, as a profiled rule sees it.

    Args:
        hardware: its prices.
        window: seconds that the rate is taken over.
        level: what a replica is trusted with.
        every: seconds between two decisions.
        decode_apart: take the larger of prefill and decode instead of their sum.
    """

    def __init__(self, hardware, window, level, every, *, apart=False):
        self.prompt, self.output = prices(hardware)
        self.window, self.level, self.every, self.apart = window, level, every, apart
        self.kept, self.said, self.next = deque(), 1, 0.0

    def observe(self, seen):
        self.kept.append((seen.at, seen.prompt_tokens, seen.generation_tokens))
        while self.kept[0][0] < seen.at - self.window:
            self.kept.popleft()
        (start, p0, g0), (end, p1, g1) = self.kept[0], self.kept[-1]
        if end == start:
            self.said = max(seen.desired, 1)
        elif seen.at >= self.next:
            self.next = seen.at + self.every
            prefill, decode = (p1 - p0) * self.prompt / (end - start), (g1 - g0) * self.output / (end - start)
            work = max(prefill, decode) / self.level if self.apart else (prefill + decode) / self.level
            self.said = max(math.ceil(work), 1)

    def answer(self, now):
        return ScalerAnswer(self.said, active=True)


class Velocity(Work):
    """Token velocity: arrivals' tokens and not only those worked off, so that what waits counts."""

    def __init__(self, hardware, level=0.4):
        super().__init__(hardware, 60.0, level, 15.0)
        self.mean = (1000.0, 200.0)

    def observe(self, seen):
        self.kept.append((seen.at, seen.arrived, seen.prompt_tokens, seen.generation_tokens, seen.finished))
        while self.kept[0][0] < seen.at - 300.0:
            self.kept.popleft()
        (_, _, p0, g0, f0), (_, _, p1, g1, f1) = self.kept[0], self.kept[-1]
        if f1 > f0:
            self.mean = (p1 - p0) / (f1 - f0), (g1 - g0) / (f1 - f0)
        first = next(one for one in self.kept if one[0] >= seen.at - self.window)
        if seen.at == first[0]:
            self.said = max(seen.desired, 1)
            return
        rate = (seen.arrived - first[1]) / (seen.at - first[0])
        self.said = max(math.ceil(rate * (self.mean[0] * self.prompt + self.mean[1] * self.output) / self.level), 1)


class Oracle:
    """Knows all arrivals: has enough for each half minute to come, orders a cold start ahead, keeps over short gaps."""

    def __init__(self, hardware, trace, startup, level):
        prompt, output = prices(hardware)
        self.step, self.ahead, self.level = 10.0, startup * 1.35 + 30.0, level
        end = trace[-1].at if trace else 0.0
        self.work = [0.0] * (int(end / self.step) + 2)
        for one in trace:
            at, span = one.at, one.output * 0.025  # its decoding is spread over its stay
            place = int(at / self.step)
            self.work[place] += one.prompt * prompt
            steps = max(int(span / self.step), 1)
            for i in range(steps):
                if place + i < len(self.work):
                    self.work[place + i] += one.output * output / steps
        window = 3
        rate = [sum(self.work[i : i + window]) / (window * self.step) for i in range(len(self.work))]
        need = [max(math.ceil(one / level), 1) for one in rate]
        far = int(self.ahead / self.step) + 1
        self.need, best = [], deque()
        for i in range(len(need) - 1, -1, -1):
            while best and need[best[-1]] <= need[i]:
                best.pop()
            best.append(i)
            while best[0] > i + far:
                best.popleft()
            self.need.append(need[best[0]])
        self.need.reverse()

    def observe(self, seen):
        pass

    def answer(self, now):
        place = min(int(now / self.step), len(self.need) - 1)
        return ScalerAnswer(self.need[place], active=True)


def shipped(name):
    """A shipped formula file's text."""
    return (shipped_formulas() / f"{name}.yaml").read_text()


def spoken(kind):
    """A formula with one of the other policies, over requests anywhere, at 4 a replica."""
    text = KPA.replace("name: kpa", "name: other").replace("policy: {kind: kpa}", f"policy: {OTHERS[kind]}")
    if kind == "wallaroo":  # it reads a queue, and has thresholds of its own
        text = text.replace("target: 4\n", "").replace("running + waiting", "waiting")
    return f"{text}metricKind: total\n"


def keda_queue(seen):
    return ScalerAnswer(seen.waiting + seen.queued, active=True)


def hpa_running(seen):
    return ScalerAnswer(seen.running, active=True)


# name -> (what KEDA and the HPA do with it, the policy of a run)
POLICIES = {
    "slo": (OURS, lambda run: Ours(shipped("slo"), run.startup, run.past)),
    "slo, no days": (OURS, lambda run: Ours(shipped("slo"), run.startup)),
    "queue-depth": (OURS, lambda run: Ours(shipped("queue-depth"), run.startup)),
    "KEDA waiting/5": (replace(BASE, target=5.0), lambda run: Latest(keda_queue)),
    "HPA running/4": (replace(BASE, target=4.0), lambda run: Latest(hpa_running)),
    "Knative 4": (DIRECT, lambda run: Ours(KPA, run.startup)),
    "Ray 2": (DIRECT, lambda run: Ours(RAY, run.startup)),
    **{kind: (DIRECT, lambda run, kind=kind: Ours(spoken(kind), run.startup)) for kind in OTHERS},
    "Dynamo-like": (DIRECT, lambda run: Work(run.hardware, 60.0, 0.3, 60.0, apart=True)),
    "token velocity": (DIRECT, lambda run: Velocity(run.hardware)),
}
HINDSIGHT_LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the oracle and the fixed fleet
PEERS = ("KEDA waiting/5", "HPA running/4", "Knative 4", "Ray 2", "Dynamo-like", "token velocity")
ALWAYS = fixed
