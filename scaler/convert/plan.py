"""What a reader makes of another autoscaler's configuration: a formula file, a ScaledObject, and what is left.

A Line is one line of YAML with the reason why it is there:

    Line("target", 70.0, "100 x 70 %")       target: 70.0  # 100 x 70 %
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Tree = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """One key of a YAML document, its value, and where it comes from; a tuple of lines is a mapping of its own."""

    key: str
    value: object
    why: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """The target that is scaled."""

    name: str
    kind: str = "Deployment"
    api_version: str = "apps/v1"
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """One formula file and the ScaledObject that names it.

    Attributes:
        source: what was read, such as "Knative Service llama".
        name: of the formula file and of the ScaledObject.
        namespace: of the ScaledObject.
        target: what is scaled.
        minimum: minReplicaCount.
        maximum: maxReplicaCount.
        formula: the lines of the formula file, below its name and description.
        model: the served model, where it is known.
        engine: of the pods, where a metric's name says it; empty: the settings' own.
        beside: triggers of other types that stay, as KEDA reads them.
        spec: further lines of the ScaledObject's spec.
        behavior: of the HPA, where the original's is kept; None: as a formula with or without a policy needs it.
        left: what could not be carried over, a sentence each.
    """

    source: str
    name: str
    namespace: str
    target: Target
    minimum: Line
    maximum: Line
    formula: tuple[Line, ...]
    model: str = ""
    engine: str = ""
    beside: tuple[Tree, ...] = ()
    spec: tuple[Line, ...] = ()
    behavior: Line | None = None
    left: tuple[str, ...] = ()

    @property
    def with_policy(self) -> bool:
        """Tell whether the formula has a policy, so that the HPA has to stand aside."""
        return any(line.key == "policy" for line in self.formula)

    def leaving(self, *sentences: str) -> "Plan":
        """Add sentences about what could not be carried over."""
        return replace(self, left=(*self.left, *sentences))


@dataclass(frozen=True, slots=True)
class Term:
    """One metric and its target.

    Attributes:
        name: what the formula calls it.
        tree: how the formula file measures it.
        target: for each replica.
        each: the value is each replica's own; otherwise a total.
        why: where it comes from.
        engine: whose metric it is, where its name says so.
    """

    name: str
    tree: Tree
    target: float
    each: bool
    why: str
    engine: str = ""

    @property
    def in_replicas(self) -> str:
        """The part of a formula that says how many replicas it wants.

        >>> Term("waiting", {}, 4, each=True, why="").in_replicas
        'ready * waiting / 4'
        """
        factor = "ready * " if self.each else ""
        return f"{factor}{self.name} / {self.target:g}"


ACTIVITY: tuple[tuple[str, Tree, str], ...] = (
    ("waiting", {"signal": "waiting"}, "in the engines' own queues"),
    ("running", {"signal": "running"}, "being answered"),
    ("queued", {"signal": "queued", "onMissing": "zero"}, "held at a gateway: the only load there is at 0 replicas"),
)


def load_lines(target: Line | None) -> tuple[Line, ...]:
    """Write a formula over all requests that wait or run, which most originals call concurrency or ongoing."""
    metrics = tuple(Line(name, tree, why) for name, tree, why in ACTIVITY)
    return (
        Line("metrics", metrics),
        Line("formula", "queued + waiting + running", "all requests that are not answered yet"),
        *((target,) if target else ()),
        Line("metricKind", "total", "shared among the replicas"),
        Line("activation", "queued + waiting + running > 0", "what wakes it from 0, and keeps it awake"),
    )


def term_lines(terms: Sequence[Term], *, declared: bool) -> tuple[Line, ...]:
    """Write a formula over some metrics, of which the one that wants most replicas counts.

    Two totals of targets 10 and 5: `max(a / 10, b / 5)`, in replicas, at a target of 1. What is each replica's own is
    multiplied by the ready ones.
    """
    named = {term.name: Line(term.name, term.tree, term.why) for term in terms}
    named |= {name: Line(name, tree, why) for name, tree, why in ACTIVITY if name not in named}
    if len(terms) == 1:
        term = terms[0]
        formula = Line("formula", term.name, "the one metric")
        target = Line("target", term.target, "for each replica")
        kind = Line("metricKind", "mean" if term.each else "total", "each replica's own" if term.each else "over all")
    else:
        parts = [term.in_replicas for term in terms]
        formula = Line("formula", f"max({', '.join(parts)})", "replicas; the metric that wants most counts")
        target, kind = (
            Line("target", 1, "the formula is in replicas already"),
            Line("metricKind", "total", "in replicas"),
        )
    return (
        Line("metrics", tuple(named.values())),
        formula,
        target,
        *((kind,) if declared or kind.value == "mean" else ()),
        Line("activation", "queued + waiting + running > 0", "what wakes it from 0, and keeps it awake"),
    )
