"""Variants of one model, decided together: the cheapest mix of GPUs that meets the demand within what can be had.

    demand by kind ─┐
    cost, rates ────┼─▶ policy/variants.py ─▶ the mix ─▶ first up, then down, at a pace ─▶ what each variant is told
    what can be had ┘

    3 x a10g and 1 x a100 at 6.7, the cheapest for ss 6, sl 3, ls 15, ll 6
    no a100 can be had:  12 x a10g at 12.12

Its laws:

- The demand is of the whole model, so what one variant measures of it all have measured: where the data of one is not
  certain nobody is lowered, and the mix that the measured part asks for may raise.
- First up, then down: while a variant that the mix wants more of is not ready, no other is lowered.
- Down at a pace, as any answer: what counts as the need of a variant is its number in the mix.
- What cannot be had of one variant is met by the others. Where they cannot meet it nobody is lowered, and one replica
  more is asked for of each that is short, so that what was out of stock is tried again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scaler.config.variants import MixRules, Offer
from scaler.decision.members import Part, all_of, by_output, certain, doubt_of, has_work, kept_from_zero
from scaler.model.errors import EvaluationError
from scaler.policy.variants import MOST, Mix, Variant, cheapest

DIGITS = 6  # of a demand that count: what is beyond them is noise, and would be solved anew


@dataclass(frozen=True, slots=True)
class InMix:
    """The variants of one model, and what they come to.

    Attributes:
        outputs: the workloads of every variant that has one, in the order of the file.
        doubt: why they are not whole, in half a sentence; empty where they are.
        demand: requests a second, by kind; None: it could not be evaluated.
        limits: replicas that can be had, by variant, of those of which that is known and less than maxReplicaCount.
        found: the cheapest mix; None where there is a doubt, or no demand.
    """

    outputs: Mapping[str, Sequence[Part]]
    doubt: str
    demand: Mapping[str, float] | None
    limits: Mapping[str, int]
    found: Mix | None

    @classmethod
    def of(cls, parts: Sequence[Part]) -> "InMix":
        """Put the variants together, and find their mix."""
        outputs = by_output(parts)
        doubt = doubt_of(parts, outputs, parts[0].member)
        rules = parts[0].member.mix
        if doubt or rules is None:
            return cls(outputs, doubt, None, {}, None)
        demand = _demand(rules, parts)
        limits = {name: limit for name, same in outputs.items() if (limit := _limit(same)) is not None}
        if demand is None:
            return cls(outputs, "", None, limits, None)
        whole = all(certain(same) for same in outputs.values())
        variants = [_variant(offer, rules, outputs[offer.name], limits, held=not whole) for offer in rules.offers]
        works = any(part.works for part in parts)
        found = cheapest(
            variants,
            [demand[kind] for kind in rules.kinds],
            slices=rules.slices,
            switching=rules.switching,
            in_all=1 if works else 0,
        )
        doubt = "" if found else "no mix was found within the bound of the search: fewer kinds or slices may help"
        return cls(outputs, doubt, demand, limits, found)

    @property
    def active(self) -> bool | None:
        """Tell whether there is work; None where that is not known."""
        return has_work(self.outputs, self.doubt)

    @property
    def mix(self) -> str:
        """Say what the mix is, what it costs, and for which demand."""
        if self.found is None or self.demand is None:
            return ""
        counts = [f"{count} x {name}" for name, count in self.found.replicas.items() if count]
        load = ", ".join(f"{kind} {rate:g}" for kind, rate in self.demand.items())
        return f"{_listed(counts) or 'nothing'} at {self.found.cost:g}, the cheapest for {load}"

    def planned(self, name: str) -> int | None:
        """Return the replicas of a variant in the mix."""
        return self.found.replicas[name] + self._probe(name) if self.found else None

    def replicas(self, name: str) -> int:
        """Return the replicas that a variant is told."""
        planned = self.planned(name)
        if planned is None:
            return self._held(name)
        if planned >= self._there(name):
            return planned
        return max(planned, *(least for least, _ in self._keeping(name)))

    def rests(self, name: str) -> bool:
        """Tell whether the mix has no use for a variant."""
        return self.found is not None and self.replicas(name) == 0

    def reasons(self) -> tuple[str, ...]:
        """Say in half a sentence each why a variant gets another answer than the mix has."""
        if self.doubt:
            return (f"nobody is lowered: {self.doubt}",)
        uncertain = [name for name, same in self.outputs.items() if not certain(same)]
        found = [f"nobody is lowered: the data of {name} is not certain" for name in uncertain[:1]]
        if self.demand is None:
            found.append("each keeps what it has: the demand is not known")
        found += [f"{_listed([*self._unmet()])} cannot be carried with what can be had"] if self._unmet() else []
        found += [f"{name}: {limit} can be had" for name, limit in self.limits.items() if self._binds(name)]
        found += [reason for name in self.outputs for reason in self._kept(name)]
        kept = kept_from_zero(self.outputs)
        if kept and not any(part.said and part.said.active for part in all_of(self.outputs)):
            found.append(f"it is kept active: minReplicaCount of {' and '.join(kept)} is above 0")
        return tuple(found)

    def _unmet(self) -> list[str]:
        """Say how much of each kind nobody carries."""
        rules = all_of(self.outputs)[0].member.mix
        if self.found is None or rules is None or self.demand is None:
            return []
        kinds = [(rules.kinds[number], rate) for number, rate in self.found.unmet.items()]
        return [f"{kind} {rate:g} of {self.demand[kind]:g}" for kind, rate in kinds]

    def _binds(self, name: str) -> bool:
        """Tell whether the mix has all replicas of a variant that can be had."""
        return self.found is not None and name in self.limits and self.found.replicas[name] >= self.limits[name]

    def _probe(self, name: str) -> int:
        """Return 1, to ask for one more than can be had, where the other variants cannot carry the rest; else 0."""
        if self.found is None or not self.found.unmet or not self._binds(name):
            return 0
        return 1 if self.found.replicas[name] < _most(self.outputs[name]) else 0

    def _there(self, name: str) -> int:
        return max(part.there or 0 for part in self.outputs[name])

    def _held(self, name: str) -> int:
        """Return a variant's replicas without a mix: those that it has; at zero and with work, one to begin with."""
        wants = any(part.said and part.said.active and part.said.replicas for part in self.outputs[name])
        return max(self._there(name), 1 if wants and not self._any_there() else 0)

    def _any_there(self) -> bool:
        return any(self._there(name) for name in self.outputs)

    def _keeping(self, name: str) -> list[tuple[int, str]]:
        """Return what a variant keeps that the mix has fewer of, and why: first up, then down, and at a pace."""
        found = [(0, "")]
        if self.found and self.found.unmet:
            found.append((self._there(name), "since not all can be carried"))
        awaited = self._awaited()
        if awaited:
            found.append((self._there(name), f"until {_listed(awaited)} ready"))
        paces = [part.decision.pace for part in self.outputs[name] if part.decision.pace]
        return found + [(pace.least, f"since {pace.reason}") for pace in paces]

    def _awaited(self) -> list[str]:
        """List the variants of which the mix wants more than are ready."""
        return [
            f"{planned} x {name}"
            for name, same in self.outputs.items()
            if (planned := self.planned(name)) and (ready := same[0].decision.target_status.ready) is not None
            if planned - self._probe(name) > ready
        ]

    def _kept(self, name: str) -> list[str]:
        planned, told = self.planned(name), self.replicas(name)
        if planned is None or told <= planned:
            return []
        _, why = max(self._keeping(name), key=lambda kept: kept[0])
        return [f"{name}: {told}, not yet {planned}, {why}"]


def _listed(parts: Sequence[str]) -> str:
    """List words: a, b and c."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _demand(rules: MixRules, parts: Sequence[Part]) -> Mapping[str, float] | None:
    """Evaluate the demand of each kind: the greatest that a variant has measured; None where one is not known."""
    found: dict[str, float] = {}
    for part in parts:
        for kind, program in part.member.demand.items():
            try:
                value = program.evaluate(part.decision.scope)
            except EvaluationError:
                continue
            if value is not None:
                found[kind] = max(found.get(kind, 0.0), round(float(value), DIGITS))
    if not found.keys() >= set(rules.kinds):
        return None
    return {kind: found[kind] for kind in rules.kinds}


def _variant(offer: Offer, rules: MixRules, same: Sequence[Part], limits: Mapping[str, int], *, held: bool) -> Variant:
    """Make one variant for the solver; `held`: it is not lowered."""
    carries, decision = dict(offer.carries), same[0].decision
    there = max(part.there or 0 for part in same)
    current = there if held else decision.target_status.current or 0
    most = min(_most(same), limits.get(offer.name, MOST))
    floor = decision.schedule.least if decision.schedule else None
    least = min(max(decision.target_status.minimum or 0, floor or 0), most)
    return Variant(
        name=offer.name,
        cost=offer.cost,
        carries=tuple(carries.get(kind, 0.0) for kind in rules.kinds),
        most=max(most, current if held else 0),
        current=current,
        least=max(least, current if held else 0),
    )


def _most(same: Sequence[Part]) -> int:
    """Return the most replicas that a variant may have, by maxReplicaCount and schedule."""
    decision = same[0].decision
    bounds = (decision.target_status.maximum, decision.schedule.most if decision.schedule else None, MOST)
    return min(bound for bound in bounds if bound is not None)


def _limit(same: Sequence[Part]) -> int | None:
    """Return the replicas of a variant that can be had, no fewer than there are; None where that is not known."""
    decision = same[0].decision
    had = decision.capacity.replicas if decision.capacity else None
    return None if had is None else max(had, decision.target_status.ready or 0)
