"""`variants:` of a formula file: one model on several kinds of GPU, of which the cheapest mix is decided together.

    demand: {short: short, long: long}                          # requests a second of each kind, as formulas
    variants:                                                   # trigger of one ScaledObject: output: a10g
      a10g: {cost: 1.01, carries: {short: 2, long: 1}}          # of another one: output: a100
      a100: {cost: 3.67, carries: {short: 20, long: 20}}        # requests a second that one replica carries
    switching: 0.1                                              # what a new replica costs besides: a share of its cost
    slices: 4                                                   # parts that the demand of a kind may be divided into

Each variant is an output, with a formula that is written for it: the replicas that it would need if it carried all
alone, (short) / 2 + (long) / 1. A kind that it does not name it cannot carry. What the mix makes of that is decided in
decision/mix.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from scaler.config.keys import Key
from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import REQUIRED, Fields, number, show, text, whole
from scaler.policy.variants import INSTALL, MISSING, solvable

KIND_NAME = r"[A-Za-z][A-Za-z0-9_-]{0,62}"
MAX_KINDS = 16
WRITTEN_FOR_IT = ("formula", "target", "metricType", "metricKind", "policy", "ratios", "demand")

_AMOUNT = number(0, 1_000_000, above=True)
COST: Key[float] = Key("cost", _AMOUNT, REQUIRED, "of one replica, in any unit that all variants share")
CARRIES: Key[float] = Key("carries", _AMOUNT, REQUIRED, "requests a second of a kind that one replica carries")
SWITCHING = Key("switching", number(0, 100), 0.1, "what a new replica costs besides, as a share of its cost")
SLICES = Key("slices", whole(1, 32), 4, "parts that the demand of a kind may be divided into")
KEYS = ("demand", "variants", SWITCHING.path, SLICES.path)


@dataclass(frozen=True, slots=True)
class Offer:
    """One variant, as the file has it.

    Attributes:
        name: its own; the `output` of a trigger.
        cost: of one replica.
        carries: requests a second that one replica carries, by kind; a kind that is not there it cannot carry.
    """

    name: str
    cost: float
    carries: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class MixRules:
    """The rules of the mix of a model's variants, the same for all of them."""

    kinds: tuple[str, ...]
    offers: tuple[Offer, ...]
    switching: float
    slices: int


@dataclass(frozen=True, slots=True)
class MixText:
    """The keys of a file with variants, as written: parameters not filled in."""

    demand: Mapping[str, str]
    variants: Mapping[str, Mapping[str, object]]
    switching: object
    slices: object

    @property
    def tree(self) -> Mapping[str, object]:
        """The values that parameters may be filled into."""
        return {"variants": self.variants, SWITCHING.path: self.switching, SLICES.path: self.slices}


def read_variants(where: str, body: Mapping[str, object]) -> tuple[MixText, dict[str, dict[str, object]]]:
    """Part a formula file with `variants` into what each of them says itself, with its formula.

    Args:
        where: the file, for messages.
        body: its keys.

    Returns:
        What the mix goes by, and by name the keys of each output.

    Raises:
        ConfigError: there is no demand, a kind that nobody carries, a key that is written for the variants, or the
            solver is not installed.
    """
    if not solvable():
        raise ConfigError(where, "variants", MISSING, INSTALL)
    fields = Fields(where, body)
    raw = fields.inside("demand").rest()
    demand = {kind: Fields(where, raw, "demand").take(kind, text) for kind in raw}
    if not 0 < len(demand) <= MAX_KINDS:
        problem = f"has {len(demand)}: requests a second of each kind of request, as formulas"
        raise fields.error("demand", problem, f"1 to {MAX_KINDS}")
    for kind in demand:
        if not re.fullmatch(KIND_NAME, kind):
            raise fields.error("demand", f"{show(kind)} is no name", "letters, digits, '-' and '_', at most 63")
    for key in WRITTEN_FOR_IT:
        if key != "demand" and fields.has(key):
            raise fields.error(key, "is not for a file with variants, whose formulas come from demand", "leave it out")
    written = {name: Fields(where, raw, f"variants.{name}").rest() for name, raw in _variants(fields).items()}
    own, carried = {}, {}
    for name, keys in written.items():
        for key in WRITTEN_FOR_IT:
            if key in keys:
                raise ConfigError(where, f"variants.{name}.{key}", "is not for a variant", "cost, carries")
        carries = Fields(where, keys.get("carries"), f"variants.{name}.carries").rest()
        carried[name] = {"cost": keys.get("cost"), "carries": carries}
        alone = " + ".join(_alone(where, name, kind, demand, rate) for kind, rate in carries.items())
        rest = {key: value for key, value in keys.items() if key not in carried[name]}
        own[name] = {**rest, "formula": alone, "target": 1}
    for kind in demand:
        if not any(kind in _carries(keys) for keys in carried.values()):
            raise fields.error("demand", f"{show(kind)} is carried by no variant", "a kind that one of them carries")
    return MixText(demand, carried, body.get(SWITCHING.path), body.get(SLICES.path)), own


def _variants(fields: Fields) -> dict[str, object]:
    return fields.inside("variants").rest()


def _carries(keys: Mapping[str, object]) -> Mapping[object, object]:
    carries = keys["carries"]
    return carries if isinstance(carries, Mapping) else {}


def _alone(where: str, name: str, kind: str, demand: Mapping[str, str], rate: object) -> str:
    """Write what a variant needs for one kind alone: (short) / 2; a parameter is a plain name in a formula."""
    path = f"variants.{name}.carries"
    if kind not in demand:
        raise ConfigError(where, path, f"{show(kind)} is no kind of demand{nearest(kind, demand)}", ", ".join(demand))
    if isinstance(rate, str) and rate.startswith("$"):
        return f"({demand[kind]}) / {rate[1:]}"
    return f"({demand[kind]}) / {CARRIES.take(Fields(where, {'carries': rate}, f'{path}.{kind}'), REQUIRED):g}"


def read_mix(where: str, written: MixText, filled: Mapping[str, object]) -> MixRules:
    """Read what the mix goes by, parameters filled in.

    Raises:
        ConfigError: a cost, a rate, switching or slices that is not allowed.
    """
    fields = Fields(where, filled)
    offers = []
    inside = fields.inside("variants")
    for name in written.variants:
        one = inside.inside(name)
        cost = COST.take(one, COST.default)
        rates = one.inside("carries")
        kinds = [kind for kind in written.demand if rates.has(kind)]
        carries = tuple((kind, rates.take(kind, CARRIES.read)) for kind in kinds)
        offers.append(Offer(name, cost, carries))
    switching, slices = SWITCHING.take(fields, SWITCHING.default), SLICES.take(fields, SLICES.default)
    return MixRules(tuple(written.demand), tuple(offers), switching, slices)
