"""scaler.cluster.hpa beside the real HPA controller of Kubernetes 1.37.2, step by step on generated timelines.

Run by `make test-oracles`. Needs Go; the oracle is built below `.cache/` (a minute the first time, if the laboratory
was built before). Both see the same metrics at the same virtual times; the size and the reasons must agree at every step.
"""

import json
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from scaler.cluster.hpa import ExternalMetric, HpaRule, HpaSpec, step
from scaler.model.behavior import SCALE_DOWN, SCALE_UP, Behavior, HpaState, RatePolicy, Rules

ROOT = Path(__file__).parents[2]
GO = shutil.which("go") or "/usr/local/go/bin/go"
CASES_PER_SEED = 300

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory):
    """Ask the real controller: cases in, for every step its size and the reasons of its two conditions out."""
    program = ROOT / ".cache" / "oracles" / "hpa"
    program.parent.mkdir(parents=True, exist_ok=True)
    settings = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}  # as the laboratory's, so that what it has built serves
    folder = Path(__file__).parent / "hpa"
    subprocess.run([GO, "test", "-c", "-o", program, "."], cwd=folder, env=os.environ | settings, check=True)
    work = tmp_path_factory.mktemp("hpa")

    def ask(cases):
        files = {"HPA_CASES": str(work / "cases.json"), "HPA_ANSWERS": str(work / "answers.json")}
        Path(files["HPA_CASES"]).write_text(json.dumps(cases))
        run = subprocess.run([program], check=False, env=os.environ | files, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout[:2000] + run.stderr[:2000]
        return json.loads(Path(files["HPA_ANSWERS"]).read_text())

    return ask


def rules(chance, default):
    """One direction of a behavior as a manifest has it; what is left out is the API server's to fill in."""
    written = {}
    if chance.random() < 0.6:
        written["stabilizationWindowSeconds"] = chance.choice([0, 15, 30, 60, 100, 300])
    if chance.random() < 0.5:
        written["selectPolicy"] = chance.choice(["Max", "Min", "Disabled"])
    if chance.random() < 0.7:
        written["policies"] = [
            {
                "type": chance.choice(["Pods", "Percent"]),
                "value": chance.choice([1, 2, 4, 10, 33, 50, 100, 250]),
                "periodSeconds": chance.choice([15, 20, 30, 60, 180]),
            }
            for _ in range(chance.randint(1, 3))
        ]
    if chance.random() < 0.4:
        written["tolerance"] = chance.choice(["0", "0.05", "0.2"])
    return written


def timeline(chance):
    """A case as the oracle reads it."""
    behavior = None
    if chance.random() < 0.7:
        behavior = {}
        for key in ("scaleUp", "scaleDown"):
            if chance.random() < 0.8:
                behavior[key] = rules(chance, key)
    kinds = [chance.choice(["AverageValue", "AverageValue", "Value"]) for _ in range(chance.randint(1, 3))]
    targets = [chance.choice([1, 100, 999, 1000, 5000, 333]) for _ in kinds]
    scale = chance.choice([3, 12, 60, 400])
    steps = []
    for _ in range(chance.randint(5, 40)):
        values = [chance.randint(0, scale * target) for target in targets]
        if chance.random() < 0.3:  # whole replicas: the edges of ceil and of tolerance
            values = [chance.randint(0, scale) * target for target in targets]
        values = [None if chance.random() < 0.08 else value for value in values]
        if chance.random() < 0.02:
            values[0] = chance.choice([-5, 2**63 - 1, 10**18])
        if steps and chance.random() < 0.4:
            values = [metric["value"] for metric in steps[-1]["metrics"]]
        metrics = [
            {"kind": kind, "target": target, "value": value}
            for kind, target, value in zip(kinds, targets, values, strict=True)
        ]
        steps.append({"metrics": metrics, "current": chance.randint(0, 30) if chance.random() < 0.05 else None})
    minimum = chance.randint(1, 4)
    return {
        "minimum": minimum,
        "maximum": minimum + chance.choice([0, 3, 20, 200]),
        "ready": chance.randint(0, 9),
        "current": chance.randint(0, 15),
        "every": chance.choice([5, 15, 15, 15, 16, 45]),
        "tolerance": chance.choice([0.1, 0.1, 0.0, 0.3]),
        "behavior": behavior,
        "steps": steps,
    }


def ours_of(case):
    """The same case through scaler.cluster.hpa: sizes and reasons, in the oracle's words."""
    spec = HpaSpec(case["minimum"], case["maximum"], behavior_of(case["behavior"]), case["tolerance"])
    state, current, seen = HpaState(), case["current"], []
    for number, now in enumerate(case["steps"], start=1):
        before = current if now["current"] is None else now["current"]
        metrics = [
            ExternalMetric(f"m{index}", metric["target"] / 1000, thousandths(metric["value"]), metric["kind"])
            for index, metric in enumerate(now["metrics"])
        ]
        state, outcome = step(spec, state, metrics, before, number * case["every"], ready=case["ready"])
        current = outcome.replicas
        seen.append((current, *conditions(spec, outcome, before)))
    return seen


def thousandths(value):
    return None if value is None else value / 1000


def behavior_of(written):
    if written is None:
        return None
    sides = {"scaleUp": SCALE_UP, "scaleDown": SCALE_DOWN}
    for key, default in sides.items():
        side = written.get(key, {})
        policies = [RatePolicy(row["type"], row["value"], row["periodSeconds"]) for row in side.get("policies", [])]
        sides[key] = Rules(
            policies=tuple(policies) or default.policies,
            window=side.get("stabilizationWindowSeconds", default.window),
            select=side.get("selectPolicy", default.select),
            tolerance=float(side["tolerance"]) if "tolerance" in side else default.tolerance,
        )
    return Behavior(sides["scaleUp"], sides["scaleDown"])


def conditions(spec, outcome, before):
    """The reasons of AbleToScale and ScalingLimited that the controller would give for our outcome."""
    by_rule = {reason.rule: reason for reason in outcome.reasons}
    rescaled = outcome.replicas != before
    untouched = {HpaRule.DISABLED, HpaRule.HELD, HpaRule.ABOVE_MAXIMUM, HpaRule.BELOW_MINIMUM}
    if untouched & by_rule.keys():
        return ("SucceededRescale" if rescaled else "SucceededGetScale", "")
    proposal = max(reason.replicas for reason in outcome.reasons if reason.metric and reason.rule is not HpaRule.FAILED)
    stable = by_rule[HpaRule.STABILIZED].replicas if HpaRule.STABILIZED in by_rule else proposal
    able = "ReadyForNewScale"
    if stable != proposal:
        able = "ScaleUpStabilized" if spec.behavior and proposal >= before else "ScaleDownStabilized"
    rate = "ScaleUpLimit" if stable > before else "ScaleDownLimit"
    words = {
        HpaRule.TOO_MANY: "TooManyReplicas",
        HpaRule.TOO_FEW: "TooFewReplicas",
        HpaRule.LIMITED: rate,
        HpaRule.FORBIDDEN: rate,
    }
    return ("SucceededRescale" if rescaled else able, words.get(outcome.reasons[-1].rule, "DesiredWithinRange"))


def disagree(case, real):
    """Whether the sizes or the reasons of any step are not the same."""
    return ours_of(case) != [(row["replicas"], row["able"], row["limited"]) for row in real]


def simpler(case):
    """The same case with one thing less: a step, all steps after one, a part of the behavior, a metric."""
    steps, behavior = case["steps"], case["behavior"]
    for number in reversed(range(1, len(steps))):
        yield case | {"steps": steps[:number]}
    for number in range(len(steps)):
        if len(steps) > 1:
            yield case | {"steps": steps[:number] + steps[number + 1 :]}
    for metric in range(len(steps[0]["metrics"])):
        if len(steps[0]["metrics"]) > 1:
            without = [{**now, "metrics": now["metrics"][:metric] + now["metrics"][metric + 1 :]} for now in steps]
            yield case | {"steps": without}
    for direction, written in (behavior or {}).items():
        yield case | {"behavior": {key: value for key, value in behavior.items() if key != direction}}
        for left_out in written:
            less = {key: value for key, value in written.items() if key != left_out}
            yield case | {"behavior": behavior | {direction: less}}


def shrunk(oracle, case):
    """A simpler case that disagrees, too, and none that is simpler still."""
    while True:
        some = list(simpler(case))
        wrong = [one for one, real in zip(some, oracle(some), strict=True) if disagree(one, real)]
        if not wrong:
            return case
        case = min(wrong, key=lambda one: len(json.dumps(one)))


@pytest.mark.parametrize("seed", range(6))
def test_every_step_agrees(oracle, seed):
    chance = random.Random(seed)
    cases = [timeline(chance) for _ in range(CASES_PER_SEED)]
    strange = [case for case, real in zip(cases, oracle(cases), strict=True) if disagree(case, real)]
    assert not strange, f"{len(strange)} disagree, such as {json.dumps(shrunk(oracle, strange[0]))}"
    assert sum(len(case["steps"]) for case in cases) > CASES_PER_SEED * 5


@pytest.mark.parametrize("behavior", [None, {}])
def test_a_missing_behavior_is_not_an_empty_one(oracle, behavior):
    """KEDA leaves `behavior` out, and the API server does not fill in what is not there at all."""
    load = {"metrics": [{"kind": "AverageValue", "target": 1000, "value": 12_000}], "current": None}
    case = {"minimum": 1, "maximum": 100, "ready": 1, "current": 1, "every": 15, "tolerance": 0.1, "steps": [load] * 3}
    sizes = [row["replicas"] for row in oracle([case | {"behavior": behavior}])[0]]
    assert sizes == ([4, 8, 12] if behavior is None else [5, 10, 12])
    assert sizes == [row[0] for row in ours_of(case | {"behavior": behavior})]
