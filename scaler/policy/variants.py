"""GPU variants of one model: the cheapest mix that meets the demand within what can be had.

    demand by kind of request x what a replica of each variant carries of it ─▶ integer program ─▶ replicas of each

Every kind of request (long prompts, short answers ...) goes to one variant, or in `slices` parts to several; a replica
carries its share of each, so the shares that a variant is given add up to no more than its replicas. A change costs
too: `switching` is added, as a share of its cost, for each replica that is not there yet, so that a mix is left only
for one that is really cheaper. What cannot be met is said, and as little as possible of it is left.

    A10G  1.01, carries 2, 1, 5, 2 requests/s of four kinds       A100  3.67, carries 20, 20, 40, 20
    6, 3, 15, 6 requests/s:  three A10G and one A100, 6.70

Source of the model: Griggs et al., "Mélange" (2024), and its use in vllm-project/aibrix (gpu-optimizer), which know
neither what can be had nor what a change costs. Solved by HiGHS through scipy, of the extra `variants`.
"""

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scaler.model.errors import ConfigError

UNMET = 1e4  # cost of a part of the demand that nobody carries, in the dearest replica's


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of GPU that the model runs on.

    Attributes:
        name: of the variant.
        cost: of one replica, in any unit that all share.
        carries: requests a second of each kind that one replica carries within the objectives; 0: none.
        most: replicas that can be had.
        current: replicas that there are.
    """

    name: str
    cost: float
    carries: tuple[float, ...]
    most: int
    current: int = 0


@dataclass(frozen=True, slots=True)
class Mix:
    """Replicas of every variant.

    Attributes:
        replicas: by variant.
        cost: of these, without what the change costs.
        unmet: requests a second, by the number of their kind, that cannot be carried with what can be had.
    """

    replicas: Mapping[str, int]
    cost: float
    unmet: Mapping[int, float]


def cheapest(variants: Sequence[Variant], demand: Sequence[float], *, slices: int = 1, switching: float = 0.0) -> Mix:
    """Find the cheapest mix.

    Args:
        variants: what the model runs on.
        demand: requests a second of each kind, as many as each variant's `carries`.
        slices: parts that the demand of a kind may be divided into.
        switching: cost of a replica that is not there yet, as a share of the variant's cost.

    Raises:
        ConfigError: scipy is not installed.
    """
    kinds = [kind for kind, rate in enumerate(demand) if rate > 0]
    parts = [(kind, part) for kind in kinds for part in range(slices)]
    columns = len(parts) * len(
        variants
    )  # share of a part that a variant carries, then: replicas, new ones, unmet parts
    total = columns + 2 * len(variants) + len(parts)
    if not parts:
        return Mix({variant.name: 0 for variant in variants}, 0.0, {})
    numpy, optimize = (_library(name) for name in ("numpy", "scipy.optimize"))
    dearest = max(variant.cost for variant in variants)
    cost, upper = numpy.zeros(total), numpy.ones(total)
    rows: list[Any] = []
    low: list[float] = []
    high: list[float] = []
    for index, (kind, _) in enumerate(parts):  # each part is carried once, or not met
        row = numpy.zeros(total)
        row[[index * len(variants) + other for other in range(len(variants))]] = 1
        row[columns + 2 * len(variants) + index] = 1
        cost[columns + 2 * len(variants) + index] = UNMET * dearest * max(demand[kind], 1e-6)
        rows, low, high = [*rows, row], [*low, 1.0], [*high, 1.0]
    for place, variant in enumerate(variants):
        replicas, fresh = columns + place, columns + len(variants) + place
        cost[replicas], cost[fresh] = variant.cost, variant.cost * switching
        upper[replicas] = upper[fresh] = max(variant.most, 0)
        row = numpy.zeros(total)
        for index, (kind, _) in enumerate(parts):
            share = demand[kind] / slices / variant.carries[kind] if variant.carries[kind] > 0 else 0.0
            row[index * len(variants) + place] = share
            if not variant.carries[kind] > 0:
                upper[index * len(variants) + place] = 0
        row[replicas] = -1
        rows, low, high = [*rows, row], [*low, -numpy.inf], [*high, 0.0]
        row = numpy.zeros(total)  # new ones are those beyond the ones that there are
        row[replicas], row[fresh] = 1, -1
        rows, low, high = [*rows, row], [*low, -numpy.inf], [*high, float(variant.current)]
    limits = optimize.LinearConstraint(numpy.array(rows), low, high)
    bounds, exactly = optimize.Bounds(0, upper), {"mip_rel_gap": 0.0}
    found = optimize.milp(cost, constraints=limits, bounds=bounds, integrality=numpy.ones(total), options=exactly)
    chosen = [round(value) for value in found.x]
    mix = {variant.name: chosen[columns + place] for place, variant in enumerate(variants)}
    unmet: dict[int, float] = {}
    for index, (kind, _) in enumerate(parts):
        if chosen[columns + 2 * len(variants) + index]:
            unmet[kind] = unmet.get(kind, 0.0) + demand[kind] / slices
    return Mix(mix, sum(variant.cost * mix[variant.name] for variant in variants), unmet)


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        problem = "variants of a model need scipy, which is not installed"
        raise ConfigError("variants", "", problem, "pip install 'keda-llm-scaler[variants]'") from None
