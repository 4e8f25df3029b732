"""scaler.policy.kpa beside Knative's own autoscaler, step by step on generated loads.

Run by `make test-oracles ORACLES=kpa`. Needs Go; the oracle is built below `.cache/`. Both see the same load and ready
pods at the same times, and must want the same pods at every step. What differs is shrunk to a short series.

Of knative.dev/serving the decision and its windows are compiled as they are released: autoscaler.go, bucketing.go and
max/. The packages around them ask for modules that the Go proxy does not have, so a few declarations stand in their
place (kpa/serving).

Different on purpose, and so not generated: ticks that bring no data within a window (Knative counts them as 0; here a
tick without data is not decided on), metrics other than concurrency, unreachable revisions, and burst capacity.
"""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from scaler.model.fields import Fields
from scaler.policy import kpa
from scaler.policy.outcome import PolicyInput

ROOT = Path(__file__).parents[2]
FOLDER = Path(__file__).parent / "kpa"
GO = shutil.which("go") or "/usr/local/go/bin/go"
SEEDS = 2000
RELEASE = "v0.51.0"
RELEASED = [  # compiled as they are
    "pkg/autoscaler/scaling/autoscaler.go",
    "pkg/autoscaler/aggregation/bucketing.go",
    "pkg/autoscaler/aggregation/max/window.go",
    "pkg/autoscaler/aggregation/max/timewindow.go",
]

pytestmark = pytest.mark.timeout(1200)


def go(*words, folder):
    run = subprocess.run(
        [GO, *words], cwd=folder, env=os.environ | {"CGO_ENABLED": "0"}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return run.stdout


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Ask the real autoscaler: cases in, the pods that it wants at every step out."""
    build = tmp_path_factory.mktemp("kpa")
    released = Path(json.loads(go("mod", "download", "-json", f"knative.dev/serving@{RELEASE}", folder=build))["Dir"])
    shutil.copytree(FOLDER, build, dirs_exist_ok=True)
    for path in RELEASED:
        target = build / "serving" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(released / path, target)
    program = ROOT / ".cache" / "oracles" / "kpa"
    program.parent.mkdir(parents=True, exist_ok=True)
    go("build", "-o", str(program), ".", folder=build)

    def ask(cases):
        lines = "".join(json.dumps(case) + "\n" for case in cases)
        run = subprocess.run([program], input=lines, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in run.stdout.splitlines()]

    return ask


def series(chance):
    """A case as the oracle reads it: settings, and a load that wanders, bursts and stops."""
    stable = chance.choice([6, 10, 30, 60, 120])
    share = chance.choice([value for value in (10, 20, 50, 100) if stable * value >= 200])
    case = {
        "target": chance.choice([1, 2, 4, 10, 64, 70]),
        "stable": stable,
        "panic": stable * share / 100,
        "threshold": chance.choice([1.1, 1.5, 2, 2, 3.5, 10]),
        "up": chance.choice([1.1, 2, 10, 1000]),
        "down": chance.choice([1.1, 2, 10]),
        "delay": chance.choice([0, 0, 2, 10, 60]),
        "activationScale": chance.choice([1, 1, 2, 5]),
    }
    load, ready, at, steps = 0.0, chance.choice([0, 1, 1, 4, 30]), 0, []
    for _ in range(chance.randint(3, 150)):
        load = chance.choice(
            [load, load, load, load + chance.randint(0, 40), 0.0, load / 2, chance.randint(0, 2000) / 1.0]
        )
        load = round(load, 3)
        ready = chance.choice([ready, ready, ready, ready + 1, max(ready - 1, 0), chance.randint(0, 40)])
        steps.append({"at": at, "value": load, "ready": ready})
        at += 2 if chance.random() < 0.97 else stable + 2 * chance.randint(0, 20)
    return {**case, "steps": steps}


def ours(case):
    """What our policy makes of a case."""
    written = {
        "stable-window": case["stable"],
        "panic-window-percentage": 100 * case["panic"] / case["stable"],
        "panic-threshold-percentage": 100 * case["threshold"],
        "max-scale-up-rate": case["up"],
        "max-scale-down-rate": case["down"],
        "scale-down-delay": case["delay"],
    }
    if case["activationScale"] > 1:
        written["activation-scale"] = case["activationScale"]
    fields = Fields("case", written, "policy")
    spec = kpa.parse(fields)
    fields.close()
    state, wanted = kpa.INITIAL, []
    for one in case["steps"]:
        seen = PolicyInput(one["value"] / case["target"], one["value"], ready=one["ready"])
        state, outcome = kpa.step(spec, state, seen, float(one["at"]))
        wanted.append(outcome.replicas)
    return wanted


def shrunk(case, differs):
    """The shortest series that still differs, and the smallest numbers."""
    for size in range(1, len(case["steps"]) + 1):
        if differs({**case, "steps": case["steps"][:size]}):
            case = {**case, "steps": case["steps"][:size]}
            break
    changed = True
    while changed:
        changed = False
        for index in range(len(case["steps"]) - 1):
            shorter = {**case, "steps": without(case["steps"], index)}
            if differs(shorter):
                case, changed = shorter, True
                break
    return case


def without(steps, index):
    """The steps less one; those after it move up, so that no hole is left."""
    gap = steps[index + 1]["at"] - steps[index]["at"]
    return [*steps[:index], *({**one, "at": one["at"] - gap} for one in steps[index + 1 :])]


def test_the_real_autoscaler_wants_the_same(oracle):
    cases = [series(random.Random(seed)) for seed in range(SEEDS)]
    answers = oracle(cases)
    assert sum(len(answer) for answer in answers) > 100 * len(cases) / 2
    for case, answer in zip(cases, answers, strict=True):
        if ours(case) != answer:
            small = shrunk(case, lambda one: oracle([one])[0] != ours(one))
            assert ours(small) == oracle([small])[0], json.dumps(small)
