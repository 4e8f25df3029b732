"""How fast a load moves replicas: KEDA's own prometheus trigger beside llm-scaler, on the same load in one laboratory.

    .venv/bin/python tests/benchmarks/bench_reaction.py [--repetitions N] [--scrape SECONDS] [--seed N]

Two questions, in the cluster of tests/laboratory with KEDA's and the HPA's periods as they are by default:

    step   from a step in the load of one replica to the HPA's new desiredReplicas
    wake   from the first request at zero replicas to the first pod that is created

Every way of asking has, for every repetition, a ScaledObject, a Deployment and a served model of its own; a repetition has one
gateway for all. They are alike but for the trigger, and every trigger asks for the same sum over the same target. A reaction is
mostly waiting for somebody's next look: Prometheus' scrape, KEDA's poll, the HPA's period. So all ways meet a repetition in the
same phase of scrape and poll, which an object gets by when it is created and when its load steps, and the repetitions cover all
phases evenly. The ticks of llm-scaler fall as they may.

Targets, of KEDA's median: 1.1 (step) and 1/2 (wake) through Prometheus, 0.6 and 1/5 where pages are read directly.
"""

import argparse
import math
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import yaml
from laboratory.api import Object
from laboratory.fleet import Load
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, node, scaled_object, trigger
from laboratory.process import LabError

POLL, LOOK, COOLDOWN = 30, 15, 300  # seconds: KEDA's pollingInterval, the HPA's period, KEDA's cooldownPeriod; defaults
USUAL = (
    "--defaults-interval",
    "5s",
    "--defaults-hold-for",
    "120s",
    "--defaults-idle-for",
    "60s",
)  # llm-scaler's defaults
TARGET = 8  # requests per replica
BEFORE = Load(running=4)  # one replica
AFTER = Load(waiting=14, running=8)  # three, also with the mean of `running` over the last 30 s
WANTED = 3
SETTLE = 75  # seconds from a ScaledObject's creation to its step, at least
SPACING = 30  # seconds between repetitions: KEDA's client puts off what is more than 20 requests a second
PATIENCE = 2 * POLL + 60  # seconds after the last step
PODS = 100  # a node
GOLDEN = (math.sqrt(5) - 1) / 2
STEP, WAKE = "step", "wake"

QUEUED, WAITING, RUNNING = "llm_d_epp_flow_control_queue_size", "vllm:num_requests_waiting", "vllm:num_requests_running"
NAMED = {QUEUED: "target_model_name", WAITING: "model_name", RUNNING: "model_name"}
QUERY = " + ".join(
    f'(sum({name}{{namespace="default",{label}="MODEL"}}) or vector(0))' for name, label in NAMED.items()
)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of asking."""

    slug: str
    title: str
    metadata: Mapping[str, str] | None = None  # of llm-scaler's trigger; None: KEDA's own
    targets: Mapping[str, float] = field(default_factory=dict)  # STEP, WAKE -> how much of KEDA's median, at most


WAYS = (
    Way("keda", "KEDA's prometheus trigger"),
    Way("prometheus", "llm-scaler, Prometheus", {}, {STEP: 1.1, WAKE: 0.5}),
    Way("prometheus-1s", "llm-scaler, Prometheus, interval 1s", {"interval": "1s"}),
    Way("pods", "llm-scaler, direct", {"endpoint": "pods"}, {STEP: 0.6, WAKE: 0.2}),
    Way("pods-1s", "llm-scaler, direct, interval 1s", {"endpoint": "pods", "interval": "1s"}),
)


@dataclass(slots=True)
class Subject:
    """One ScaledObject, its Deployment and its model, which share a name. Times are seconds since the epoch."""

    kind: str  # STEP or WAKE
    way: Way
    number: int  # of the repetition
    since_scrape: float  # seconds from the last scrape to the step
    since_poll: float  # seconds from KEDA's last poll to the step; and from the HPA's last look, but for a whole period
    due: float = 0.0
    stepped: float = 0.0
    reacted: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.way.slug}-{self.number}"

    @property
    def gateway(self) -> str:
        """The gateway before the models of one repetition."""
        return f"gateway-{self.number}"

    @property
    def shown_by(self) -> str:
        """On whose page the load is to be seen."""
        return self.name if self.kind == STEP else self.gateway


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--scrape", type=int, default=15, help="seconds between two scrapes of Prometheus")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    subjects = plan(asked.repetitions, asked.scrape, random.Random(asked.seed))
    with Lab(hpa_sync=LOOK, scrape=asked.scrape) as lab:
        measure(lab, subjects, asked.scrape)
    busy = os.getloadavg()[2]
    print(f"{asked.repetitions} repetitions, a scrape every {asked.scrape} s; load average of 15 minutes {busy:.1f}")
    for kind in (STEP, WAKE):
        report(kind, [subject for subject in subjects if subject.kind == kind])


def plan(repetitions: int, scrape: float, chance: random.Random) -> list[Subject]:
    """The same phases for every way; over the repetitions an even lattice of them, at a random place."""
    subjects = []
    for kind in (STEP, WAKE):
        first, second = chance.random(), chance.random()
        for number in range(repetitions):
            since_scrape = (first + number * GOLDEN) % 1 * scrape
            since_poll = (second + number / repetitions) % 1 * POLL
            subjects += [Subject(kind, way, number, since_scrape, since_poll) for way in WAYS]
    return subjects


def measure(lab: Lab, subjects: list[Subject], scrape: float) -> None:
    """Fill in when each load stepped, and when it was reacted to."""
    lab.fleet.load = None  # a pod that was not there before the step has nothing to say
    lab.apply([node(f"cpu-{number}") for number in range(1, 2 + WANTED * len(subjects) // PODS)])
    shown_by = {subject.shown_by for subject in subjects}
    for name in shown_by | {subject.name for subject in subjects}:
        lab.apply(model(name, lab.fleet.port, gpus=0, replicas=int(name in shown_by)))
    lab.wait(lambda: shown_by <= addresses(lab).keys(), 60, "every page has its pod")
    at = addresses(lab)
    for subject in subjects:
        lab.fleet.gateways.setdefault(at[subject.gateway], {})[subject.name] = 0
        if subject.kind == STEP:
            lab.fleet.loads[at[subject.name]] = replace(BEFORE, model=subject.name)
    lab.wait(lambda: shown_by <= scraped(lab).keys(), 90, "every page has been scraped")
    schedule(subjects, scraped(lab), scrape)
    scaler = start(lab, {at[subject.gateway] for subject in subjects})
    follow(lab, subjects)
    obey([action for subject in subjects for action in actions(lab, scaler, subject, at)])
    try:
        lab.wait(lambda: all(one.reacted for one in subjects), PATIENCE, "all have reacted")
    except LabError as error:
        raise LabError(f"no reaction of {[one.name for one in subjects if not one.reacted]}") from error


def start(lab: Lab, gateways: Iterable[str]) -> LlmScaler:
    """Start llm-scaler with its own defaults; `pods` is the endpoint of pages that it reads itself."""
    pages = [{"url": f"http://{at}:{lab.fleet.port}/metrics", "namespace": "default"} for at in gateways]
    pods = {"pods": {"port": lab.fleet.port}, "pages": pages, "networks": ["127.0.0.0/8"]}
    settings = lab.home / "settings.yaml"
    settings.write_text(yaml.safe_dump({"endpoints": {"pods": pods}}))
    scaler = LlmScaler(lab, "--settings", str(settings), *USUAL)
    scaler.start()
    return scaler


def schedule(subjects: Iterable[Subject], seen: Mapping[str, float], scrape: float) -> None:
    """Set when each is due: in its phase of the scrapes, when its repetition's turn has come."""
    begin = time.time() + SETTLE + POLL + 1
    for subject in subjects:
        turn = begin + subject.number * SPACING
        phase = seen[subject.shown_by] + subject.since_scrape
        subject.due = turn + (phase - turn) % scrape


Action = tuple[float, Callable[[], None]]  # when it is due, and what to do


def actions(lab: Lab, scaler: LlmScaler, subject: Subject, at: Mapping[str, str]) -> list[Action]:
    """What is to be done for a subject. KEDA polls from the ScaledObject's creation on, and that makes the HPA."""

    def create() -> None:
        least = int(subject.kind == STEP)
        spec = {"minReplicaCount": least, "pollingInterval": POLL, "cooldownPeriod": COOLDOWN, "advanced": {}}
        lab.apply(scaled_object(subject.name, "", triggers=[asking(lab, scaler, subject)], **spec))

    def step() -> None:
        subject.stepped = time.time()
        if subject.kind == STEP:
            lab.fleet.loads[at[subject.name]] = replace(AFTER, model=subject.name)
        else:
            lab.fleet.gateways[at[subject.gateway]][subject.name] = 1

    return [(subject.due - SETTLE - subject.since_poll, create), (subject.due, step)]


def asking(lab: Lab, scaler: LlmScaler, subject: Subject) -> Object:
    """The trigger."""
    if subject.way.metadata is None:
        query = QUERY.replace("MODEL", subject.name)
        metadata = {"serverAddress": lab.prometheus_url, "query": query, "threshold": str(TARGET)}
        return {"type": "prometheus", "metadata": metadata}
    asked = {"formula": "queue-depth", "model": subject.name, "target": str(TARGET)}
    return trigger(scaler.address, push=True, **asked, **subject.way.metadata)


def obey(actions: Iterable[Action]) -> None:
    """Do everything at its time."""
    for due, action in sorted(actions, key=lambda one: one[0]):
        time.sleep(max(due - time.time(), 0))
        action()


def follow(lab: Lab, subjects: Iterable[Subject]) -> None:
    """Note from now on, in threads, when an HPA wants more replicas and when a first pod is created."""
    named = {subject.name: subject for subject in subjects}

    def hpas() -> None:
        for item in lab.api.watch("HorizontalPodAutoscaler", "default"):
            subject = named[item["spec"]["scaleTargetRef"]["name"]]
            if subject.kind == STEP and item["status"].get("desiredReplicas", 0) >= WANTED:
                subject.reacted = subject.reacted or time.time()

    def pods() -> None:
        for item in lab.api.watch("Pod", "default"):
            subject = named.get(item["metadata"]["labels"]["app"])
            if subject and subject.kind == WAKE:
                subject.reacted = subject.reacted or time.time()

    for watch in (hpas, pods):
        threading.Thread(target=watch, name=watch.__name__, daemon=True).start()


def addresses(lab: Lab) -> dict[str, str]:
    """The address of each Deployment's one pod."""
    pods = [pod for pod in lab.api.items("Pod", "default") if pod["status"].get("podIP")]
    return {pod["metadata"]["labels"]["app"]: pod["status"]["podIP"] for pod in pods}


def scraped(lab: Lab) -> dict[str, float]:
    """When the page of each Deployment's one pod was last scraped, in seconds since the epoch."""
    apps = {pod["metadata"]["name"]: pod["metadata"]["labels"]["app"] for pod in lab.api.items("Pod", "default")}
    times = lab.query(f'timestamp({{__name__=~"{RUNNING}|{QUEUED}"}})')
    return {apps[pod]: at for pod, at in times.items() if pod in apps}


def report(kind: str, subjects: Iterable[Subject]) -> None:
    """Print a line a way."""
    took: dict[str, list[float]] = {way.slug: [] for way in WAYS}
    for subject in subjects:
        took[subject.way.slug].append(subject.reacted - subject.stepped)
    usual = statistics.median(took[WAYS[0].slug])
    title = {STEP: "step in load -> HPA's desiredReplicas", WAKE: "first request at zero -> first pod"}[kind]
    print(f"\n{title:39}{'median':>7}{'mean':>7}  {'quartiles':13}{'min..max':13}{'of KEDA':>9}  target")
    for way in WAYS:
        times = took[way.slug]
        median, (low, _, high) = statistics.median(times), statistics.quantiles(times, n=4, method="inclusive")
        most = way.targets.get(kind)
        verdict = f"{most:g} {'met' if median <= most * usual else 'missed'}" if most else ""
        quartiles, span = f"{low:.1f}..{high:.1f}", f"{min(times):.1f}..{max(times):.1f}"
        middle = f"{median:7.1f}{statistics.mean(times):7.1f}"
        print(f"  {way.title:37}{middle}  {quartiles:13}{span:13}{median / usual:8.2f}x  {verdict}")


if __name__ == "__main__":
    main()
