"""Tokens, not traffic: more load gives more replicas and idleness fewer, and two models hand over to each other without flapping."""

import time
from collections.abc import Callable
from typing import Any

import yaml
from laboratory.fleet import Load
from laboratory.lab import Lab
from laboratory.llm_scaler import LlmScaler
from laboratory.objects import model, scaled_object
from laboratory.simulation import Simulation
from laboratory.watch import Watch

from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware

SHORT = {"holdFor": "20s", "idleFor": "10s"}


def shortened(lab: Lab, name: str, seconds: int) -> LlmScaler:
    """Start llm-scaler with a shipped formula that looks back no further than so long, since nobody waits ten minutes here."""
    scaler = LlmScaler(lab)
    file = scaler.formulas / f"{name}.yaml"
    tree = yaml.safe_load(file.read_text())
    for metric in tree["metrics"].values():
        metric |= {key: f"{seconds}s" for key in ("window", "over") if key in metric}
    if "policy" in tree:
        tree["policy"]["memory"] = f"{2 * seconds}s"
    file.write_text(yaml.safe_dump({key: value for key, value in tree.items() if key != "tests"}))
    scaler.start()
    return scaler


def certain(scaler: LlmScaler, name: str, least: int) -> dict[str, Any] | None:
    """The explanation of a certain answer of so many replicas or more, if that is what it is."""
    told = scaler.explain(name)
    return told if told.get("certainty") == "certain" and told["answeredReplicas"] >= least else None


def test_token_latency_grows_with_the_load_and_shrinks_when_it_is_gone(lab: Lab):
    scaler = shortened(lab, "token-latency", 15)
    metadata = SHORT | {"formula": "token-latency", "model": "served", "slo": "0.02", "concurrency": "16"}
    lab.fleet.queued["served"] = 0
    lab.apply(model("served", lab.fleet.port, gpus=0, load="2s", replicas=0))
    lab.apply(scaled_object("served", scaler.address, metadata, minReplicaCount=1))
    with Watch(lab, "served") as watch, Simulation(lab, "served", FleetSpec(hardware("a100-8b-bf16"))) as fleet:
        lab.wait(lambda: fleet.snapshot().ready == 1, 60, "one replica serves")
        fleet.send(rate=2, prompt=300, output=200)
        lab.wait(lambda: scaler.explain("served").get("certainty") == "certain", 60, "llm-scaler is certain")
        lab.wait(
            lambda: (watch.seen("served") or [0])[-1] == scaler.explain("served")["answeredReplicas"],
            60,
            "it has settled",
        )
        quiet = watch.seen("served")[-1]
        fleet.send(rate=24, prompt=300, output=200)
        lab.wait(lambda: watch.seen("served")[-1] >= quiet + 2, 90, "more load gives more replicas")
        more = lambda: certain(scaler, "served", quiet + 2)  # noqa: E731
        busy = lab.wait(more, 60, "that is certain once the new pods answer")
        fleet.send(rate=0)
        lab.wait(lambda: watch.came_to("served", 1), 120, "idle, one is enough")
        idle = scaler.explain("served")
    assert idle["answeredReplicas"] <= 1
    seen = {fact["name"]: fact["value"] for fact in busy["inputs"]}
    lab.say(
        f"token-latency: {quiet} replicas for 2 requests/s, {watch.seen('served')} over 2, 24 and 0 requests/s; "
        f"at 24/s {seen['running']:.0f} running, {seen['tokens']:.0f} tokens/s"
    )
    lab.say(f"  {' '.join(busy['reason'].split())}")


def test_a_cheaper_model_takes_over_and_hands_back_without_flapping(lab: Lab):
    scaler = shortened(lab, "cheaper-model", 8)
    common = SHORT | {"formula": "cheaper-model", "above": "5000", "below": "4000", "overlap": "10s", "target": "4"}
    sides = {"small": ("large", "above"), "large": ("small", "below")}
    lab.fleet.queued |= dict.fromkeys(sides, 0)
    lab.fleet.load = None
    for name, (other, serves) in sides.items():
        lab.apply(model(name, lab.fleet.port, gpus=0, replicas=int(name == "large")))
        metadata = common | {"model": name, "other": other, "serves": serves}
        lab.apply(scaled_object(name, scaler.address, metadata, cooldownPeriod=5, initialCooldownPeriod=600))
    with Watch(lab, *sides) as watch:
        tokens = Tokens(lab)
        sure = lambda: all(scaler.explain(name).get("certainty") == "certain" for name in sides)  # noqa: E731
        tokens.flow((3000,), sure, "llm-scaler is certain of both")
        assert settled(lab, {"large": 1, "small": 0})
        tokens.flow((7000,), lambda: settled(lab, {"large": 0, "small": 1}), "the cheaper model takes over")
        said = scaler.reason("small")
        assert "gate open" in said
        assert "this side serves" in said
        turned = watch.now()
        tokens.flow((4300, 4900, 4100, 4700), lambda: watch.now() - turned > 20, "noise between the thresholds")
        assert settled(lab, {"large": 0, "small": 1})
        gate = lambda state: all(f"gate {state}" in scaler.reason(name) for name in sides)  # noqa: E731
        lab.wait(lambda: gate("open"), 20, "both sides say so")
        tokens.flow((3000,), lambda: settled(lab, {"large": 1, "small": 0}), "the large model takes over again")
        lab.wait(lambda: gate("closed"), 20, "both sides say so")
    lab.say(f"cheaper model: {said}")
    lab.say(f"  large {watch.seen('large')}, small {watch.seen('small')}")
    assert watch.seen("large") == [1, 0, 1]
    assert watch.seen("small") == [0, 1, 0]
    assert watch.changes["small"][1][0] < watch.changes["large"][1][0], "the one starts before the other goes"


def settled(lab: Lab, wanted: dict[str, int]) -> bool:
    return all(lab.replicas(name) == count for name, count in wanted.items())


class Tokens:
    """One request after the other, worked on by the model that a router would prefer at that rate, or else by the other."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._made = {"small": 0.0, "large": 0.0}  # tokens
        self._at = time.monotonic()

    def flow(self, rates: tuple[int, ...], until: Callable[[], bool], what: str) -> None:
        """Make tokens at these rates (per minute), a second each and in turn, until it is so."""

        def step() -> bool:
            now = time.monotonic()
            first = ("small", "large") if max(rates) > 4000 else ("large", "small")
            self._serve(first, rates[int(now) % len(rates)] / 60 * (now - self._at))
            self._at = now
            return until()

        self._lab.wait(step, 120, what)

    def _serve(self, models: tuple[str, str], tokens: float) -> None:
        serving = next((name for name in models if self._lab.ready(name)), "")
        for name in self._made:
            self._made[name] += tokens if name == serving else 0.0
            load = Load(model=name, running=int(name == serving), generation_tokens=int(self._made[name]))
            for pod in self._lab.pods(name):
                self._lab.fleet.loads[pod["status"].get("podIP", "")] = load
