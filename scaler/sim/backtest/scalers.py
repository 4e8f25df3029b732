"""What the triggers of an object answer, as KEDA asks them: ours by the fold that serves, KEDA's own by their rules.

A formula sees every tick, and answers as of the last one, as the service does: an answer is not measured anew. A query
of KEDA's own is asked whenever KEDA or the HPA wants to know.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from scaler.cluster.keda import Refusal, ScalerAnswer
from scaler.config.workload import WorkloadSpec
from scaler.decision.decide import decide
from scaler.decision.decision import Decision
from scaler.decision.state import State
from scaler.model.measurement import Failure, HistoryProbe, Measurement, Query, Reading, SignalQuery
from scaler.model.objects import ScaledResource, TargetView
from scaler.sim.backtest.subject import CronTrigger, FormulaTrigger, QueryTrigger, Subject

_REPLICAS = frozenset({"current_replicas", "ready_replicas", "spec_replicas", "min_replicas", "max_replicas"})


@dataclass(frozen=True, slots=True)
class Sight:
    """The measurements and replicas that can be seen at one tick."""

    at: float
    measured: Callable[[Query], Measurement]
    scaled: ScaledResource  # the scale target, as Kubernetes tells of it


class Scaler(Protocol):
    """The scaler that answers for one trigger."""

    def observe(self, sight: Sight) -> None:
        """See one tick."""
        ...

    def answer(self, now: float) -> ScalerAnswer | Refusal:
        """Answer GetMetrics and IsActive."""
        ...


class FormulaScaler:
    """Llm-scaler itself: the fold of one workload."""

    def __init__(self, spec: WorkloadSpec) -> None:
        self._spec = spec
        self._queries = spec.queries(counted=True)
        self._state = State()
        self.decision: Decision | None = None

    def observe(self, sight: Sight) -> None:
        """Fold one tick."""
        answers: dict[Query, Measurement] = {}
        for query in self._queries:
            answers[query] = Reading(1.0, sight.at) if isinstance(query, HistoryProbe) else sight.measured(query)
        inputs = self._spec.inputs_of(answers, TargetView(sight.scaled))
        self._state, self.decision = decide(self._spec, self._state, inputs, sight.at)

    def answer(self, now: float) -> ScalerAnswer | Refusal:
        """Return the newest decision; a refusal where there is none."""
        if self.decision is None or self.decision.answer is None:
            return Refusal("GetMetrics", self.decision.reason if self.decision else f"nothing was measured by {now:g}")
        return ScalerAnswer(self.decision.answer.replicas, self.decision.answer.active)


class QueryScaler:
    """A trigger whose value is a query."""

    def __init__(self, trigger: QueryTrigger) -> None:
        self._trigger = trigger
        self._newest: Measurement = Failure("was not measured yet", 0.0)

    def observe(self, sight: Sight) -> None:
        """Keep what the query said."""
        self.ask(sight.measured)

    def ask(self, measured: Callable[[Query], Measurement]) -> None:
        """Ask the query."""
        self._newest = measured(self._trigger.query)

    def answer(self, now: float) -> ScalerAnswer | Refusal:  # noqa: ARG002 - it was asked just now
        """Return its value; an absent one is 0, unless the trigger says otherwise."""
        newest = self._newest
        if isinstance(newest, Failure):
            return Refusal("GetMetrics", newest.reason)
        if newest.value is None and not self._trigger.absent_is_zero:
            return Refusal("GetMetrics", "the query's result is empty")
        value = newest.value or 0.0
        return ScalerAnswer(value, active=self._trigger.wakes and value > self._trigger.activation)


class CronScaler:
    """A trigger that goes by the clock."""

    def __init__(self, trigger: CronTrigger) -> None:
        self._trigger = trigger

    def observe(self, sight: Sight) -> None:
        """See nothing: it reads the clock alone."""

    def answer(self, now: float) -> ScalerAnswer | Refusal:
        """Return the replicas it wants inside its window, and 0 outside."""
        inside = self._trigger.window.holds(now)
        return ScalerAnswer(self._trigger.replicas if inside else 0.0, active=inside)


def scalers_of(subject: Subject) -> list[Scaler]:
    """List the scaler of each trigger of an object."""
    found: list[Scaler] = []
    for trigger in subject.triggers:
        if isinstance(trigger, FormulaTrigger):
            found.append(FormulaScaler(trigger.spec))
        elif isinstance(trigger, QueryTrigger):
            found.append(QueryScaler(trigger))
        else:
            found.append(CronScaler(trigger))
    return found


def answers_of(
    scalers: Sequence[Scaler], now: float, measured: Callable[[Query], Measurement]
) -> list[ScalerAnswer | Refusal]:
    """List KEDA's answers of every trigger: llm-scaler's newest decision, or a query's value at that moment."""
    for scaler in scalers:
        if isinstance(scaler, QueryScaler):
            scaler.ask(measured)
    return [scaler.answer(now) for scaler in scalers]


def pushing(subject: Subject, scalers: Sequence[Scaler], now: float) -> frozenset[int]:
    """Return the places of the external-push triggers that say that they are active.

    They say it when it becomes so, and again as long as there are 0 replicas.
    """
    found: set[int] = set()
    for place, (trigger, scaler) in enumerate(zip(subject.triggers, scalers, strict=True)):
        answer = scaler.answer(now)
        pushes = isinstance(trigger, FormulaTrigger) and trigger.push
        if pushes and isinstance(answer, ScalerAnswer) and answer.active:
            found.add(place)
    return frozenset(found)


def of_target(query: Query) -> bool:
    """Tell whether a query is one for the scale target's own numbers, which a replay makes itself."""
    return isinstance(query, SignalQuery) and query.engine == "kubernetes" and query.signal in _REPLICAS
