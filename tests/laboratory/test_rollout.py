"""llm-scaler itself is rolled out: from an earlier revision to this one and back, and no answer shows it."""

import shutil
from pathlib import Path
from typing import Any

from laboratory.fleet import Load
from laboratory.front import Front
from laboratory.lab import Lab
from laboratory.listener import Listener
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object, trigger
from laboratory.revision import earlier
from laboratory.watch import Watch
from laboratory.workloads import QUEUED

SHORT = {"holdFor": "20s", "idleFor": "10s"}
# A gate that is open once more than 10 are queued, and stays open until fewer than 4 are.
LATCHED = """
name: latched
parameters: {model: {}}
metrics: {queued: {signal: queued}}
formula: queued
target: 1
policy: {kind: hysteresis, metric: queued, above: 10, below: 4, memory: 100s}
"""
TRIGGERS = {
    "depth": {"formula": "queue-depth", "model": "depth", "target": "4", **SHORT},  # the mean of what runs for 30 s
    "latched": {"formula": "latched", "model": "latched", **SHORT},  # what it once was
    "asleep": QUEUED | {"model": "asleep"},  # nothing to do, and a push is to wake it afterwards
}
REPLICAS = {"depth": 3, "latched": 6, "asleep": 0}
SETTLED = 15  # seconds that each revision serves alone


def test_a_rolling_update_from_an_earlier_revision_and_back_shows_in_no_answer(lab: Lab):
    revision, source = earlier()
    older = LlmScaler(lab, name="older", source=source, formulas=_formulas(lab, "older", source / "formulas"))
    newer = LlmScaler(lab, name="newer")
    for scaler in (older, newer):
        (scaler.formulas / "latched.yaml").write_text(LATCHED)
    older.start()
    lab.fleet.queued |= {"depth": 0, "latched": 12, "asleep": 0}
    for name in TRIGGERS:
        lab.apply(model(name, lab.fleet.port, gpus=0, replicas=REPLICAS[name]))
    lab.wait(lambda: lab.ready("depth") == REPLICAS["depth"], 60, "its replicas are ready")
    for pod in lab.pods("depth"):
        lab.fleet.loads[pod["status"]["podIP"]] = Load(model="depth", running=4)
    with Front(older.address) as front, Watch(lab, *TRIGGERS) as watch:
        for name, metadata in TRIGGERS.items():
            asks = trigger(front.address, push=True, **metadata)
            lab.apply(scaled_object(name, "", triggers=[asks], initialCooldownPeriod=600, maxReplicaCount=20))
        # As long as the policy remembers. What comes below takes less, so that who is new still finds the opening.
        sure = lambda told: (told.get("certainty"), _answered(told)) == ("certain", 12)  # noqa: E731
        lab.wait(lambda: sure(older.explain("latched")), 180, "its gate is open")
        lab.fleet.queued["latched"] = REPLICAS["latched"]

        def settled(scaler: LlmScaler) -> bool:
            """Whether this one answers what is right for all."""
            told = {name: scaler.explain(name) for name in TRIGGERS}
            sure = all(one.get("certainty") == "certain" for one in told.values())
            return sure and {name: _answered(one) for name, one in told.items()} == REPLICAS

        lab.wait(lambda: settled(older), 60, "the earlier revision is certain of all")
        lab.wait(lambda: all(watch.came_to(name, count) for name, count in REPLICAS.items()), 60, "all have settled")
        began = {name: len(changes) for name, changes in watch.changes.items()}
        with Listener(front.address, TRIGGERS) as listener:
            watch.hold(SETTLED)
            for coming, going in ((newer, older), (older, newer)):
                coming.start()
                front.behind = coming.address  # it is ready; new connections go to it
                going.stop()
                watch.hold(SETTLED)
                assert settled(coming)
                assert coming.metric("llm_scaler_streams") == len(TRIGGERS) * lab.streams, "KEDA listens to it"
        moved = {name: watch.seen(name)[began[name] :] for name in TRIGGERS}
        lab.fleet.queued["asleep"] = 1
        at = watch.now()
        lab.wait(lambda: watch.came_to("asleep", 1), 60, "a push wakes what slept")
        woken = watch.at("asleep", 1) - at
    repeated = sum(len(one.repeated) for one in listener.answers.values())
    answers = {name: (one.seen(), one.errors) for name, one in listener.answers.items()}
    lab.say(
        f"rolled out from {revision} and back: {listener.rounds()} answers about each of {len(TRIGGERS)}, all the same, {repeated} asked for twice"
    )
    lab.say(f"  afterwards a push woke what slept after {woken:.0f} s")
    assert answers == {name: ([(float(count), count > 0)], []) for name, count in REPLICAS.items()}
    assert not any(moved.values()), moved


def _answered(told: dict[str, Any]) -> int | None:
    """Return the replicas of an explanation, in the words of this revision or in those of 2026-11-21."""
    found: int | None = told.get("answeredReplicas", told.get("replicas"))
    return found


def _formulas(lab: Lab, name: str, shipped: Path) -> Path:
    return shutil.copytree(shipped, lab.home / f"formulas-{name}")
