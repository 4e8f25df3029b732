"""What is decided and how it is explained, word by word, in timelines of every rule: memory, pace, outages, pods, windows.

The words are kept in told.txt; `RECORD=1 pytest tests/decision/test_told.py` writes it anew, to be read before it is kept.
"""

from dataclasses import replace
from pathlib import Path

from support.explained import as_data, as_text
from support.timelines import START, row, workload
from support.told import kept

from scaler.config.defaults import Defaults
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.availability import Availability, BoundedCount
from scaler.model.measurement import Reading, TargetStatus
from scaler.model.objects import Job, Pod, ScaledResource

TOLD = Path(__file__).with_name("told.txt")
LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 10\ninterval: 15s\nholdFor: 60s\n"
OVER = LOAD.replace("{prometheus: load}", "{prometheus: load, over: 45s, reduce: max}")
SIGNALS = """
name: sum
parameters: {model: {default: m}, engine: {default: vllm}}
metrics:
  waiting: {signal: waiting, over: 30s, reduce: mean}
  queued: {signal: queued, onMissing: zero}
  finished: {signal: requests_per_second, optional: true}
  kept: {prometheus: kept, onMissing: last}
formula: waiting + queued + (finished ?? 0) + kept
target: 4
activation: waiting + queued > 0
idleFor: 45s
interval: 15s
holdFor: 45s
"""
EACH = LOAD + "metricType: Value\n"
STEPS = LOAD + "policy: {kind: step, tiers: [{at: 100, percent: 20}, {at: 400, percent: 100}], hysteresis: 50}\n"
LATCH = (
    "name: train\nmetrics: {drift: {prometheus: drift}}\nformula: drift\nactivation: drift > 0.3\n"
    "policy: {kind: latch, resetBelow: 0.2, retryAfter: 60s}\ninterval: 15s\nholdFor: 60s\n"
)
THREE = LOAD.replace(
    "{load: {prometheus: load}}", "{a: {prometheus: a}, b: {prometheus: b, onMissing: 2}, c: {prometheus: c}}"
).replace("formula: load", "formula: a + b + (c ?? 3)")
GATE = (
    "name: gate\nmetrics: {load: {prometheus: load}, tokens: {prometheus: tokens}}\nformula: load\ntarget: 10\ninterval: 15s\n"
    "policy: {kind: hysteresis, metric: tokens / 2, above: 100, below: 50, memory: 0s, overlap: 0s}\n"
)
UNKNOWN = Availability(
    "1 nvidia.com/gpu", *[BoundedCount(None, reason="it cannot be read, since " + "so it is " * 60)] * 5
)
HOURS = [  # START is at 02:46:40 UTC
    {"name": "early", "hours": "02:47-02:49", "timezone": "UTC", "min": 3},
    {"name": "late", "hours": "02:48-02:50", "timezone": "UTC", "max": 5},
    {"name": "later", "hours": "02:48-02:49", "timezone": "UTC", "max": 4},
]


def several(*pairs):
    """Rows: so many times each."""
    return [given for count, given in pairs for _ in range(count)]


def known(current, ready=None, maximum=10, **more):
    return TargetStatus(current, current if ready is None else ready, 0, 0, maximum, "Kubernetes", **more)


def partly(value, answered, expected):
    return Reading(value, START, answered=answered, expected=expected)


def pods(ready, starting=(), pending=()):
    """Pods of a Deployment, those on their way by how old they are at the beginning."""
    own = [Pod(f"r{n}", "ready", START - 9000, ready_since=START - 8800) for n in range(ready)]
    own += [Pod(f"s{n}", "starting", START - age) for n, age in enumerate(starting)]
    own += [Pod(f"p{n}", "pending", START - age) for n, age in enumerate(pending)]
    scaled = ScaledResource(
        "ScaledObject", "team", "llama", "1", 1, ((),), (), "Deployment llama", 0, 20, len(own), pods=tuple(own)
    )
    count = TargetStatus(len(own), ready, len(starting), 0, 20, "Kubernetes", pending=len(pending), ever_ready=ready)
    return {"scaled": scaled, "replicas": count}


def room(schedulable, provisionable, why=""):
    none = BoundedCount(None, reason="not known")
    more = BoundedCount(provisionable, "upper", why) if why else BoundedCount(provisionable)
    return Availability("1 nvidia.com/gpu", BoundedCount(schedulable), none, none, more, none)


def jobs(*known_jobs):
    scaled = ScaledResource(
        "ScaledJob",
        "team",
        "train",
        "u",
        1,
        ((),),
        (),
        "ScaledJob train",
        0,
        1,
        failed_history_limit=9,
        jobs=known_jobs,
    )
    return {"scaled": scaled, "replicas": TargetStatus(sum(job.state == "unfinished" for job in known_jobs))}


TIMELINES = {
    "a burst, and the largest of 45 s counts": (OVER, {}, several((2, {"load": 12}), (1, {"load": 71}), (6, {"load": 12}))),
    "a fall at the usual pace": (
        LOAD, {"defaults": Defaults()}, several((6, {"load": 95, "replicas": known(10)}), (16, {"load": 20, "replicas": known(10)})),
    ),
    "an outage that ends, and one that lasts": (
        OVER,
        {},
        several((4, {"load": 40, "replicas": known(4)}), (3, {"load": "timed out", "replicas": known(4)}),
                (2, {"load": 30, "replicas": known(4)}), (7, {"load": "refused", "replicas": known(4)}), (2, {"load": 8})),
    ),
    "some pods do not answer": (
        LOAD,
        {},
        several((2, {"load": partly(40, 2, 2), "replicas": known(2)}), (2, {"load": partly(50, 1, 2), "replicas": known(2)}),
                (5, {"load": partly(10, 1, 2), "replicas": known(2)}), (1, {"load": partly(10, 2, 2), "replicas": known(2)})),
    ),
    "every way to go without a series": (
        SIGNALS,
        {},
        several((3, {"waiting": 6, "queued": 2, "finished": 4, "kept": 1}), (2, {"waiting": 6, "queued": None, "finished": 4, "kept": None}),
                (6, {"waiting": 2, "queued": None, "finished": None, "kept": "down"}), (2, {"waiting": 0, "queued": 0, "finished": 0, "kept": 0})),
    ),
    "quiet until it sleeps, and awake again": (
        SIGNALS,
        {},
        several((1, {"waiting": 3, "queued": 0, "finished": 1, "kept": 0, "replicas": known(1), "guards": {"running": 1}}),
                (5, {"waiting": 0, "queued": 0, "finished": 0, "kept": 0, "replicas": known(1), "guards": {"running": 0}}),
                (2, {"waiting": None, "queued": 0, "finished": None, "kept": 0, "replicas": known(0), "guards": {"running": None}}),
                (2, {"waiting": None, "queued": 5, "finished": None, "kept": 0, "replicas": known(0), "guards": {"running": None}})),
    ),
    "a value of each replica": (
        EACH, {}, several((1, {"load": 12, "replicas": known(3)}), (1, {"load": 12, "replicas": known(3, 2)}),
                          (1, {"load": 8, "replicas": known(3, 4)}), (1, {"load": 30, "replicas": known(0)}), (1, {"load": 60, "replicas": known(4)})),
    ),
    "tiers of a policy": (
        STEPS, {}, several((1, {"load": 5, "replicas": known(1)}), (1, {"load": 10, "replicas": known(1)}), (1, {"load": 44, "replicas": known(2)}),
                           (1, {"load": 36, "replicas": known(10)}), (1, {"load": 30, "replicas": known(10)}), (1, {"load": 30})),
    ),
    "replicas on their way": (
        LOAD, {}, several((1, {"load": 150, **pods(2)}), (4, {"load": 150, **pods(2, starting=[0, 45], pending=[10])}), (5, {"load": 150, **pods(5)})),
    ),
    "one that never comes": (LOAD, {}, several((2, {"load": 150, **pods(1, starting=[390, 410])}))),
    "no more than can be had": (
        LOAD + "capacity: clamp\n",
        {},
        several((1, {"load": 120, "available": room(1, 2), **pods(3)}), (1, {"load": 120, "available": room(0, 0, "NodePool gpu: limit 8"), **pods(3)}),
                (1, {"load": 120, "available": room(0, 0), **pods(3, pending=[100])}), (1, {"load": 20, "available": room(0, 0), **pods(3)})),
    ),
    "windows of a schedule": (
        LOAD, {"schedule": HOURS}, several((3, {"load": 10, "replicas": known(1)}), (6, {"load": 90, "replicas": known(9)}),
                                           (3, {"load": "down", "replicas": known(9)}), (3, {"load": 70, "replicas": known(9)})),
    ),
    "a Job for each rise": (
        LATCH,
        {"kind": "ScaledJob"},
        several((1, {"drift": 0.1, **jobs()}), (1, {"drift": 0.4, **jobs()}), (1, {"drift": 0.4, **jobs(Job("t", START + 20, "unfinished"))}),
                (1, {"drift": 0.4, **jobs(Job("t", START + 20, "failed", START + 40))}), (4, {"drift": 0.4, **jobs(Job("t", START + 20, "failed", START + 40))}),
                (1, {"drift": "down", **jobs(Job("t", START + 20, "succeeded", START + 40))})),
    ),
    "one part of a sum is measured in part, and one not at all": (
        THREE, {}, several((1, {"a": 5, "b": 7, "c": 1}), (1, {"a": partly(4, 1, 2), "b": None, "c": "down"})),
    ),
    "quiet, and not for long enough": (
        LOAD, {}, several((3, {"load": 20, "replicas": known(2)}), (2, {"load": 0, "replicas": known(2)})),
    ),
    "what can be had is not known, and why takes many words": (
        LOAD + "capacity: clamp\n", {}, several((1, {"load": 50, "available": UNKNOWN, **pods(2)})),
    ),
    "a policy that looks at a formula of its own": (
        GATE, {}, several((1, {"load": 30, "tokens": 90}), (1, {"load": 30, "tokens": 210}), (1, {"load": 30, "tokens": 90})),
    ),
    "the source is young": (LOAD, {}, several((2, {"load": 30, "young": True, "replicas": known(5)}), (2, {"load": 30, "replicas": known(5)}))),
    "no load at all": (LOAD, {}, several((1, {"load": -1}), (1, {"load": float("nan")}), (1, {"load": 1e300}), (1, {"load": 20_000_000}))),
}  # fmt: skip


def spec_of(text, schedule=None, **more):
    if schedule:
        lines = [f"{{{', '.join(f'{key}: {value}' for key, value in one.items())}}}" for one in schedule]
        text += f"schedule: [{', '.join(lines)}]\n"
    return workload(text, **more)


def in_words():
    for title, (text, more, rows) in TIMELINES.items():
        spec, state = spec_of(text, **more), State()
        yield title
        for tick, given in enumerate(rows):
            now = START + tick * spec.interval
            state, decision = decide(spec, state, row(now, **given), now)
            word = {True: ", active", False: ", inactive", None: ""}[decision.active]
            memory = f"{decision.memory_seen:g}s seen, uncertain for {decision.uncertain_for:g}s"
            yield f"  {now - START:3.0f}s {decision.certainty}{word} ({memory}): {decision.reason}"
        yield from (f"    | {line}".rstrip() for line in as_text(as_data(decision)).splitlines())
        yield ""


def test_what_is_told_is_what_was_read_and_kept():
    told = "\n".join(in_words())
    assert told == kept(told, TOLD)


def test_what_is_told_of_a_tick_hangs_on_nothing_but_what_it_was_given():
    """Twice the same, and the same again at another time of day, but for what a window of a schedule says."""
    assert list(in_words()) == list(in_words())
    spec, told = spec_of(OVER), []
    for start in (START, START + 86_400 * 3 + 7):
        state, words = State(), []
        for tick, load in enumerate((12, 71, 12, "down", 30)):
            now = start + tick * spec.interval
            state, decision = decide(replace(spec), state, row(now, load=load), now)
            words.append((decision.replicas, decision.certainty, decision.reason))
        told.append(words)
    assert told[0] == told[1]
