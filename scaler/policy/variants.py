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
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

UNMET = 1e4  # cost of a request a second that nobody carries, in the dearest replica's
KEEPING = 1e-6  # least `switching`: of two mixes that cost the same the one that is there stays
MOST = 10_000  # replicas of a variant: more is a fault of the numbers, and would cost the solver its precision
NODES = 20_000  # of the search tree: a bound that does not hang on how busy the machine is
MISSING = "variants of a model need scipy, which is not installed"
INSTALL = "pip install 'keda-llm-scaler[variants]'"


@dataclass(frozen=True, slots=True)
class Variant:
    """One kind of GPU that the model runs on.

    Attributes:
        name: of the variant.
        cost: of one replica, in any unit that all share.
        carries: requests a second of each kind that one replica carries within the objectives; 0: none.
        most: replicas that can be had.
        current: replicas that there are.
        least: replicas that it keeps, whatever the demand.
    """

    name: str
    cost: float
    carries: tuple[float, ...]
    most: int
    current: int = 0
    least: int = 0


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


def solvable() -> bool:
    """Tell whether the solver is installed."""
    return importlib.util.find_spec("scipy") is not None


def cheapest(
    variants: Sequence[Variant],
    demand: Sequence[float],
    *,
    slices: int = 1,
    switching: float = 0.0,
    in_all: int = 0,
) -> Mix | None:
    """Find the cheapest mix.

    Args:
        variants: what the model runs on.
        demand: requests a second of each kind, as many as each variant's `carries`.
        slices: parts that the demand of a kind may be divided into.
        switching: cost of a replica that is not there yet, as a share of the variant's cost.
        in_all: replicas of all variants together, at least, as far as so many can be had.

    Returns:
        The mix; None where none was found within the bound of the search.

    Raises:
        ImportError: scipy is not installed.
    """
    return _cheapest(tuple(variants), tuple(demand), slices, max(switching, KEEPING), in_all)


@lru_cache(maxsize=1024)  # a demand that stands still is solved once
def _cheapest(
    variants: tuple[Variant, ...], demand: tuple[float, ...], slices: int, switching: float, in_all: int
) -> Mix | None:
    kinds = [kind for kind, rate in enumerate(demand) if rate > 0]
    if not kinds and not in_all:
        replicas = {variant.name: variant.least for variant in variants}
        return Mix(replicas, _cost(variants, replicas), {})
    numpy, optimize = (importlib.import_module(name) for name in ("numpy", "scipy.optimize"))
    program = _Program(variants, [(kind, demand[kind]) for kind in kinds], slices, switching)
    rows, low, high = program.rows(in_all)
    found = optimize.milp(
        numpy.array(program.costs()),
        constraints=optimize.LinearConstraint(numpy.array(rows), low, high),
        bounds=optimize.Bounds(*program.bounds()),
        integrality=numpy.ones(program.columns),
        options={"mip_rel_gap": 0.0, "node_limit": NODES},
    )
    if found.x is None:
        return None
    return program.mix([round(value) for value in found.x])


def _cost(variants: Sequence[Variant], replicas: Mapping[str, int]) -> float:
    return sum(variant.cost * replicas[variant.name] for variant in variants)


@dataclass(frozen=True, slots=True)
class _Program:
    """The integer program. Its columns, in this order:

    - parts of a kind that a variant carries, for every kind each variant
    - replicas of each variant
    - of these, new ones
    - parts of each kind that nobody carries
    """

    variants: Sequence[Variant]
    kinds: Sequence[tuple[int, float]]  # (its number, requests a second)
    slices: int
    switching: float

    @property
    def columns(self) -> int:
        """The number of columns of the program, in the order above."""
        return (len(self.kinds) + 2) * len(self.variants) + len(self.kinds)

    def part(self, kind: int, variant: int) -> int:
        """Return the column of the parts of a kind that a variant carries."""
        return kind * len(self.variants) + variant

    def replicas(self, variant: int) -> int:
        """Return the column of a variant's replicas."""
        return len(self.kinds) * len(self.variants) + variant

    def new(self, variant: int) -> int:
        """Return the column of a variant's new replicas."""
        return self.replicas(variant) + len(self.variants)

    def unmet(self, kind: int) -> int:
        """Return the column of the parts of a kind that nobody carries."""
        return self.new(len(self.variants) - 1) + 1 + kind

    def costs(self) -> list[float]:
        """Return what one of each column costs."""
        costs = [0.0] * self.columns
        dearest = max(variant.cost for variant in self.variants)
        for place, variant in enumerate(self.variants):
            costs[self.replicas(place)] = variant.cost
            costs[self.new(place)] = variant.cost * self.switching
        for place, (_, rate) in enumerate(self.kinds):
            costs[self.unmet(place)] = UNMET * dearest * rate / self.slices
        return costs

    def bounds(self) -> tuple[list[float], list[float]]:
        """Return the least and the most of each column."""
        low, high = [0.0] * self.columns, [float(self.slices)] * self.columns
        for place, variant in enumerate(self.variants):
            least = min(max(variant.least, 0), MOST)
            most = max(min(variant.most, MOST), least)
            low[self.replicas(place)], high[self.replicas(place)] = least, most
            high[self.new(place)] = most
            for kind, (number, _) in enumerate(self.kinds):
                high[self.part(kind, place)] = self.slices if variant.carries[number] > 0 else 0
        return low, high

    def rows(self, in_all: int) -> tuple[list[list[float]], list[float], list[float]]:
        """Return the constraints: a row each, with the least and the most that it may come to."""
        endless = float("inf")
        rows: list[list[float]] = []
        low: list[float] = []
        high: list[float] = []

        def add(columns: Mapping[int, float], least: float, most: float) -> None:
            rows.append([columns.get(column, 0.0) for column in range(self.columns)])
            low.append(least)
            high.append(most)

        for kind, _ in enumerate(self.kinds):  # each part is carried once, or not met
            parts = {self.part(kind, place): 1.0 for place, _ in enumerate(self.variants)}
            add({**parts, self.unmet(kind): 1.0}, self.slices, self.slices)
        for place, variant in enumerate(self.variants):
            add({**self._shares(place, variant), self.replicas(place): -1.0}, -endless, 0.0)
            add({self.replicas(place): 1.0, self.new(place): -1.0}, -endless, float(variant.current))
        had = sum(max(min(variant.most, MOST), variant.least) for variant in self.variants)
        counted = {self.replicas(place): 1.0 for place, _ in enumerate(self.variants)}
        add(counted, float(min(in_all, had)), endless)
        return rows, low, high

    def _shares(self, place: int, variant: Variant) -> dict[int, float]:
        """Return the share of a replica that one part of each kind takes."""
        return {
            self.part(kind, place): rate / self.slices / variant.carries[number]
            for kind, (number, rate) in enumerate(self.kinds)
            if variant.carries[number] > 0
        }

    def mix(self, found: Sequence[int]) -> Mix:
        """Return what the columns came to."""
        replicas = {variant.name: found[self.replicas(place)] for place, variant in enumerate(self.variants)}
        unmet = {
            number: rate * found[self.unmet(kind)] / self.slices
            for kind, (number, rate) in enumerate(self.kinds)
            if found[self.unmet(kind)]
        }
        return Mix(replicas, _cost(self.variants, replicas), unmet)
