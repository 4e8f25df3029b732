"""Tiers: a share of maxReplicaCount for every range of the load, with a hysteresis.

    load in percent of the target ─▶ the highest tier that it reaches ─▶ percent of maxReplicaCount

For workloads whose size is not to follow every turn of the load, such as a live stream: 10 % of the target brings half
of maxReplicaCount, 100 % brings all of it. A tier that was reached is left only once the load is `hysteresis` percent
of the target below it. Below the lowest tier nothing is wanted.

    maxReplicaCount 10, tiers 10 -> 50 and 100 -> 100, hysteresis 5: a load of 12 % is 5 replicas, 100 % is 10, 96 % is
    still 10, and 94 % is 5 again

Source of the need: kedacore/keda#8203 (2026-09).
"""

import math
from dataclasses import dataclass
from itertools import pairwise

from scaler.model.fields import Fields, duration, listed, number
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec

MAX_TIERS = 50


@dataclass(frozen=True, slots=True)
class Tier:
    """A range of the load, up to the next tier."""

    at: float  # percent of the target from which on it holds
    percent: float  # of maxReplicaCount


@dataclass(frozen=True, slots=True)
class Step(PolicySpec):
    """The tiers, the lowest first."""

    tiers: tuple[Tier, ...]
    hysteresis: float  # percent of the target
    memory: float  # seconds of past from which a fresh process learns which tier it is in


@dataclass(frozen=True, slots=True)
class StepState:
    """The tier that it is in: 0 is none of them, 1 the lowest."""

    tier: int = 0


INITIAL = StepState()


def parse(fields: Fields) -> Step:
    """Read `policy: {kind: step, ...}`.

    Raises:
        ConfigError: an unknown key, no tier, or tiers that do not rise.
    """
    raws = fields.take("tiers", listed(lambda raw: raw))
    if not 0 < len(raws) <= MAX_TIERS:
        raise fields.error("tiers", f"has {len(raws)} items", f"1 to {MAX_TIERS}")
    tiers = tuple(_tier(Fields(fields.where, raw, f"{fields.path}.tiers[{i}]")) for i, raw in enumerate(raws))
    for index, (one, other) in enumerate(pairwise(tiers)):
        if other.at <= one.at or other.percent <= one.percent:
            problem = f"at {other.at:g}, percent {other.percent:g} is not above at {one.at:g}, percent {one.percent:g}"
            raise fields.error(f"tiers[{index + 1}]", problem, "tiers that rise in both")
    hysteresis = fields.take("hysteresis", number(0, 1e6), 0.0)
    least = min(other.at - one.at for one, other in pairwise((Tier(0, 0), *tiers)))
    if hysteresis > least:
        raise fields.error("hysteresis", f"{hysteresis:g} is wider than a tier ({least:g})", f"up to {least:g}")
    return Step(tiers, hysteresis, fields.take("memory", duration(0, 6 * 3600), 300.0))


def _tier(fields: Fields) -> Tier:
    tier = Tier(fields.take("at", number(0, 1e6, above=True)), fields.take("percent", number(0, 100, above=True)))
    fields.close()
    return tier


def step(spec: Step, state: StepState, seen: PolicyInput, now: float) -> tuple[StepState, PolicyResult]:
    """Decide one tick.

    Args:
        spec: the tiers.
        state: the tier after the last tick.
        seen: the load in replicas, which are the targets that it fills, and maxReplicaCount.
        now: seconds.
    """
    del now  # tiers have no time of their own
    load = 100 * (seen.load if not seen.each else seen.ratio(seen.ready or 0))
    reached = sum(load >= tier.at for tier in spec.tiers)
    left = sum(load >= tier.at - spec.hysteresis for tier in spec.tiers)
    chosen = max(reached, min(state.tier, left))
    held = f", held by the hysteresis of {spec.hysteresis:g}" if chosen > reached else ""
    state = StepState(chosen)
    if not chosen:
        return state, PolicyResult(
            0.0, False, f"{load:.4g}% of the target, below the lowest tier ({spec.tiers[0].at:g}%)"
        )
    if seen.maximum is None:
        problem = "policy step needs maxReplicaCount, which is not known: that needs access to Kubernetes"
        return state, PolicyResult(0.0, False, "", f"{problem}, or kube-state-metrics in the endpoint")
    tier = spec.tiers[chosen - 1]
    replicas = math.ceil(round(seen.maximum * tier.percent / 100, 6))
    shares = f"{tier.percent:g}% of {seen.maximum} replicas"
    return state, PolicyResult(replicas, True, f"{load:.4g}% of the target, tier from {tier.at:g}%{held}: {shares}")
