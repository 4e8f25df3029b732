"""What `decide` knows of one workload, and how a tick's measurements become what it reads. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scaler.cluster.view import gpu_reading, status
from scaler.config.defaults import Mode, ScaleDown
from scaler.config.metrics import Input
from scaler.config.outputs import Member
from scaler.config.schedule import Window
from scaler.formula import Program
from scaler.model.measurement import (
    CapacityQuery,
    Failure,
    HistoryProbe,
    Inputs,
    Measurement,
    Query,
    Reading,
    SignalQuery,
    TargetPods,
    TargetStatus,
    WorkloadKey,
)
from scaler.model.objects import UNSEEN, TargetView
from scaler.policy import POLICIES, Policy
from scaler.policy.outcome import PolicySpec


@dataclass(frozen=True, slots=True)
class WorkloadSpec:
    """Everything `decide` needs to know of one workload."""

    key: WorkloadKey
    formula: str  # the file's name, or "expression"
    where: str
    program: Program
    target: float
    activation: Program | float  # a condition, or a number that the value must exceed
    metric_type: str  # AverageValue | Value
    inputs: tuple[Input, ...]
    activity_signals: tuple[Input, ...]
    progress: tuple[Input, ...]  # what the engine counts while it works; asked for once the load has stood still
    replicas: Mapping[str, Query]  # current, ready, minimum, maximum of the scale target
    parameters: Mapping[str, float]
    policy_kind: str | None
    policy: PolicySpec | None
    policy_programs: Mapping[str, Program]  # the formulas that the policy reads, by their text
    interval: float
    hold_for: float
    idle_for: float
    capacity: Mode  # what is made of replicas that cannot be had
    startup: float  # seconds for which a replica that is not ready counts as on its way
    scale_down: ScaleDown | None  # how fast an answer may fall; None: at once
    member: Member | None = None  # of a group that is decided together; None: it is decided alone
    schedule: tuple[Window, ...] = ()  # when replicas have a floor or a ceiling

    @property
    def algorithm(self) -> Policy | None:
        """The row of POLICIES, or None for ceil(value / target)."""
        return POLICIES[self.policy_kind] if self.policy_kind else None

    @property
    def is_job(self) -> bool:
        """Tell whether the answer is Jobs to start, which cannot be taken back, and not replicas to keep."""
        return self.key.kind == "ScaledJob"

    @property
    def formula_names(self) -> frozenset[str]:
        """Names that the formula and the policy read, as against those of the activation alone."""
        return self.program.names.union(*(program.names for program in self.policy_programs.values()))

    @property
    def window(self) -> float:
        """Seconds of past that its inputs are reduced over."""
        return max((item.over for item in self.inputs), default=0.0)

    @property
    def memory(self) -> float:
        """Seconds of past that must have been seen before an answer may lower anything."""
        return max(self.window, self.policy.memory if self.policy else 0.0)

    @property
    def endpoints(self) -> frozenset[str]:
        """Names of the endpoints it measures."""
        return frozenset(
            item.query.endpoint
            for item in (*self.inputs, *self.activity_signals)
            if not isinstance(item.query, CapacityQuery)
        )

    @property
    def startup_limit(self) -> float:
        """Seconds for which a replica that is not ready counts as on its way; 0 where nothing can wait for it."""
        waits = any(item.is_backlog and item.name in self.program.names for item in self.inputs)
        return self.startup if waits and not self.is_job else 0.0

    @property
    def needs_gpus(self) -> bool:
        """Tell whether it matters what can be had."""
        return self.capacity != "off" or any(isinstance(item.query, CapacityQuery) for item in self.inputs)

    def why_inactive(self, scope: Mapping[str, float | None]) -> str:
        """Say why the activation is not true for these values."""
        if isinstance(self.activation, float):
            return f"the value is not above {self.activation:g}"
        return self.activation.why_false(scope)

    def inputs_of(
        self,
        answers: Mapping[Query, Measurement],
        target: TargetView = UNSEEN,
    ) -> Inputs:
        """Sort one tick's measurements into what `decide` reads.

        Args:
            answers: to all of `queries`.
            target: what the cluster says of the scale target at this time; of the past it says nothing.
        """

        def said(query: Query | CapacityQuery) -> Measurement:
            if isinstance(query, CapacityQuery):
                return gpu_reading(query, target)
            return answers.get(query, Failure("was not measured", 0.0))

        young = {
            endpoint for endpoint in self.endpoints if not _says(answers.get(HistoryProbe(endpoint, self.hold_for)))
        }
        known = _known({fact: _says(answers.get(query)) for fact, query in self.replicas.items()})
        return Inputs(
            readings={item.name: said(item.query) for item in self.inputs},
            activity_signals={item.name: said(item.query) for item in self.activity_signals},
            progress={item.name: said(item.query) for item in self.progress if item.query in answers},
            target_status=status(target, known),
            recently_started=frozenset(young),
            target=target,
        )

    def queries(self, *, counted: bool = False, suspicious: bool = False) -> frozenset[Query]:
        """Return all that is asked of the sources in one tick.

        Args:
            counted: Kubernetes says how many replicas there are, so that no source has to.
            suspicious: the load stands still, so that the engine's own counters are asked for too.
        """
        history = {HistoryProbe(endpoint, self.hold_for) for endpoint in self.endpoints}
        items = (*self.inputs, *self.activity_signals, *(self.progress if suspicious else ()))
        measured = {item.query for item in items if not isinstance(item.query, CapacityQuery)}
        return frozenset(measured | (set() if counted else set(self.replicas.values())) | history)

    def queries_of(
        self, own: TargetPods | None, *, counted: bool = False, suspicious: bool = False
    ) -> dict[Query, Query]:
        """Map every query to what is asked in its place where the target's own pods are known."""
        items = (*self.inputs, *self.activity_signals, *self.progress)
        narrow = {item.query for item in items if own and item.of_target}
        return {
            query: replace(query, target_pods=own) if query in narrow and isinstance(query, SignalQuery) else query
            for query in self.queries(counted=counted, suspicious=suspicious)
        }


def _says(measured: Measurement | None) -> float | None:
    return measured.value if isinstance(measured, Reading) else None


def _known(counts: Mapping[str, float | None]) -> TargetStatus:
    """Return what the replica signals say of the scale target."""
    known = {fact: None if count is None else round(count) for fact, count in counts.items()}
    current, ready = known.get("current"), known.get("ready")
    starting = max(current - ready, 0) if current is not None and ready is not None else None
    source = "kube-state-metrics" if current is not None else ""
    return TargetStatus(current, ready, starting, known.get("minimum"), known.get("maximum"), source)
