"""scaler.policy.ray beside Ray Serve's own policy functions, step by step on generated loads.

Run by `make test-oracles ORACLES=ray`. Ray is installed from PyPI into an environment of its own below `.cache/`. What
differs is shrunk to a short series.

Different on purpose: Ray multiplies the load by the replicas and divides it by them again, so that 28 replicas with a
load of 29 want 29.000000000000004, and one more than they need; both ways are asked for, and whatever differs from the
one must be right by the other. Not generated: factors whose product with a whole number is not exact (1.1 x 10 is
11.000000000000002 there, and so 12; here 11); replicas that are decided and not yet running (there the factors
start from what runs, here from what was decided, so that replicas on their way are capacity); handles that fall silent;
ticks that bring no data.
"""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from scaler.model.fields import Fields
from scaler.policy import ray
from scaler.policy.outcome import PolicyInput

ROOT = Path(__file__).parents[2]
RELEASE = "2.60.0"
SEEDS = 2000

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def oracle():
    """Ask the real policy: a case in, the replicas of every step out."""
    place = ROOT / ".cache" / "oracles" / f"ray-{RELEASE}"
    python = place / "bin" / "python"
    uv = Path(sys.executable).parent / "uv"
    if not (place / "ready").exists():
        subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, place], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, f"ray[serve]=={RELEASE}"], check=True)
        (place / "ready").touch()

    program = [python, Path(__file__).parent / "ray" / "ask.py"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(case):
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


def series(chance):
    """Settings, and ongoing requests that wander, burst and stop."""
    config = {
        "target_ongoing_requests": chance.choice([1, 2, 4, 8]),
        "look_back_period_s": chance.choice([1, 10, 30, 60]),
        "upscale_delay_s": chance.choice([0, 10, 30]),
        "downscale_delay_s": chance.choice([0, 20, 60, 600]),
        "upscaling_factor": chance.choice([0.25, 0.5, 1, 1, 1.5, 2]),
        "downscaling_factor": chance.choice([0.125, 0.5, 1, 1, 2]),
        "aggregation_function": chance.choice(["mean", "max", "min"]),
    }
    if chance.random() < 0.5:
        config["downscale_to_zero_delay_s"] = chance.choice([0, 10, 300])
    every, load, steps = chance.choice([1, 5, 10]), 0, []
    for tick in range(chance.randint(3, 200)):
        load = chance.choice([load, load, load, load + chance.randint(0, 20), 0, load // 2, chance.randint(0, 300)])
        steps.append([tick * every, load])
    return {"config": config, "replicas": chance.choice([0, 1, 4, 20]), "every": every, "exact": False, "steps": steps}


def ours(case):
    """What our policy makes of a case."""
    config = dict(case["config"])
    target = config.pop("target_ongoing_requests")
    fields = Fields("case", config, "policy")
    spec = ray.parse(fields)
    fields.close()
    state, answers = ray.RayState(target=case["replicas"]), []
    for at, value in case["steps"]:
        state, outcome = ray.step(spec, state, PolicyInput(value / target, value), float(at))
        answers.append(outcome.replicas)
    return answers


def shrunk(case, differs):
    """The shortest series that still differs, of the least steps."""
    for size in range(1, len(case["steps"]) + 1):
        if differs({**case, "steps": case["steps"][:size]}):
            case = {**case, "steps": case["steps"][:size]}
            break
    index = 0
    while index < len(case["steps"]) - 1:
        left = [load for at, load in case["steps"][:index] + case["steps"][index + 1 :]]
        shorter = {**case, "steps": [[tick * case["every"], load] for tick, load in enumerate(left)]}
        case, index = (shorter, index) if differs(shorter) else (case, index + 1)
    return case


def test_the_real_policy_wants_the_same(oracle):
    noisy = 0
    for seed in range(SEEDS):
        case = series(random.Random(seed))
        answers = ours(case)
        if answers == oracle(case):
            continue
        noisy += 1
        exact = {**case, "exact": True}
        if answers != oracle(exact):
            small = shrunk(exact, lambda one: oracle(one) != ours(one))
            assert ours(small) == oracle(small), json.dumps(small)
    assert noisy < SEEDS / 20, "so many are no rounding"
