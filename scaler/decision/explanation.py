"""Why a decision is what it is, as one value that the JSON API, `explain`, the page and the tests share.

    explain.py: Decision ──▶ Explanation ──▶ to_json, from_json: what the admin port says
                                         ──▶ render.py: text for a person

The JSON is the tree below, its names in camelCase: `answered_replicas` is `answeredReplicas`. `version` counts what
readers of the JSON would have to know: a key that goes, or means something else. New keys are no new version.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from scaler.model.availability import Bound
from scaler.model.fields import camel_case

VERSION = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WorkloadName:
    """The name of the workload."""

    namespace: str
    name: str
    kind: str
    trigger: str


@dataclass(frozen=True, slots=True)
class InputRow:
    """One input, as it was measured and used."""

    name: str
    value: float | None  # that was measured; None: it was not
    newest: float | None  # before `over`
    counts_as: float | None  # what stands in for what was not measured
    unit: str
    rule: str  # why the value is not simply what was measured
    problem: str  # why it is not certain
    age: float | None  # seconds
    answered: int | None  # pods
    expected: int | None
    measures: str  # in a few words
    looked_for: tuple[str, ...]  # names of the metric, by version
    source: str  # the very query


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a formula."""

    depth: int
    text: str
    value: Any  # of the formula language; a list is one of its arrays
    error: str
    without: tuple[str, ...] = ()  # inputs that were not measured
    counts_as: Mapping[str, float | None] | None = None  # and what stands in for them


@dataclass(frozen=True, slots=True)
class PartialRow:
    """The replicas for the measured part alone."""

    value: float | None
    desired_replicas: int | None
    without: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StartingRow:
    """Replicas on their way."""

    replicas: int
    oldest: float  # seconds
    overdue: int
    startup_seconds: float | None
    limit: float  # seconds
    credited_load: float
    message: str


@dataclass(frozen=True, slots=True)
class ScaleDownRow:
    """The bound below which the answer may not fall yet."""

    percent: float
    window_seconds: float
    startup_seconds: float | None
    least_replicas: int
    message: str


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """A window of time that holds, and bounds the answer."""

    window: str
    minimum: int | None
    maximum: int | None
    until: float  # seconds since the epoch
    message: str


@dataclass(frozen=True, slots=True)
class CountRow:
    """A number, and how far it may be believed."""

    value: int | None
    bound: Bound
    most: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class PendingRow:
    """Own replicas without a node."""

    replicas: int | None
    seconds: float | None  # of the one that waits longest


@dataclass(frozen=True, slots=True)
class CapacityRow:
    """The replicas that can be had."""

    mode: str
    resource: str
    scheduled_replicas: int | None
    replicas: Mapping[str, CountRow]
    gpus: Mapping[str, CountRow]
    available_replicas: int | None
    reason: str
    limit: int | None
    pending: PendingRow
    message: str


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """The replicas that a policy makes of the load."""

    kind: str | None
    message: str
    cautions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ActivationRow:
    """The activation: is there work at all."""

    text: str
    value: bool | None
    steps: tuple[StepRow, ...]
    message: str


@dataclass(frozen=True, slots=True)
class IdleRow:
    """The time and the reasons that keep it from being inactive."""

    quiet: bool
    blocked_by: tuple[str, ...]
    seconds: float
    needed: float
    no_in_flight_signal: bool


@dataclass(frozen=True, slots=True)
class HoldRow:
    """For how long the answer has stood on uncertain data."""

    seconds: float
    limit: float
    floor: int | None


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """The part of the memory that the formula needs and that was seen."""

    seconds: float
    needed: float


@dataclass(frozen=True, slots=True)
class ScaleTargetRow:
    """The replicas of the scale target, as far as they are known."""

    current: int | None
    ready: int | None
    starting: int | None
    minimum: int | None
    maximum: int | None
    pending: int | None
    source: str
    doubt: str


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """One condition in the status of an object."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class JobRow:
    """One Job; spans are seconds ago."""

    name: str
    state: str
    started: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class PendingPodRow:
    """One pod without a node."""

    pod: str
    seconds: float | None
    reason: str


@dataclass(frozen=True, slots=True)
class HpaStatusRow:
    """The HPA as it reports itself."""

    name: str
    current: int | None
    desired: int | None
    minimum: int | None
    maximum: int | None
    conditions: tuple[ConditionRow, ...]


@dataclass(frozen=True, slots=True)
class KubernetesRow:
    """The object, as Kubernetes reports it."""

    uid: str
    generation: int
    target: str
    minimum: int
    maximum: int
    idle: int | None
    paused: str
    fallback: str
    other_triggers: tuple[str, ...]
    scaling_modifiers: str
    conditions: tuple[ConditionRow, ...]
    jobs: tuple[JobRow, ...] | None
    pods: Mapping[str, str] | None  # by name: the state
    pending: tuple[PendingPodRow, ...]
    hpa: HpaStatusRow | None


@dataclass(frozen=True, slots=True)
class ToleranceRow:
    """The HPA's tolerance, as shares."""

    down: float
    up: float


@dataclass(frozen=True, slots=True)
class HpaStepRow:
    """The HPA's next step."""

    current: int
    desired: int
    why: str


@dataclass(frozen=True, slots=True)
class HpaRow:
    """The replicas that the HPA makes of the answer, as computed here."""

    value: int
    target: int
    type: str
    tolerance: ToleranceRow
    stabilization: float  # seconds
    surge: int  # pods of a rollout above the replicas
    rows: tuple[HpaStepRow, ...]


@dataclass(frozen=True, slots=True)
class GroupPartRow:
    """One member of a group: what it is told, and what it came to by itself."""

    output: str
    name: str  # of its object
    certainty: str
    replicas: int | None
    active: bool | None
    alone_replicas: int | None
    alone_active: bool | None


@dataclass(frozen=True, slots=True)
class GroupRow:
    """The workloads that one is decided together with, itself among them."""

    name: str
    output: str  # its own
    ratios: tuple[str, ...]  # in words
    order: tuple[str, ...]
    parts: tuple[GroupPartRow, ...]
    reasons: tuple[str, ...]
    mix: str  # of variants: the replicas of each, what they cost, and for which demand; empty for others


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision and everything it came from."""

    version: int
    workload: WorkloadName
    at: float  # seconds since the epoch
    formula: str
    notice: str  # why an edit of the formula is not in force
    unit: str  # replicas, or jobs
    certainty: str
    answered_replicas: int | None  # None: no answer
    active: bool | None
    reason: str
    inputs: tuple[InputRow, ...]
    activity_signals: tuple[InputRow, ...]
    parameters: Mapping[str, float]
    value: float | None  # the formula's
    steps: tuple[StepRow, ...]
    partial: PartialRow | None
    metric_type: str
    target: float
    desired_replicas: int | None
    limited_replicas: int | None
    starting: StartingRow | None
    scale_down: ScaleDownRow | None
    schedule: tuple[ScheduleRow, ...]  # at most two: the floor and the ceiling
    capacity: CapacityRow | None
    policy: PolicyRow | None
    group: GroupRow | None  # that it is decided together with; None: it is decided alone
    activation: ActivationRow
    idle: IdleRow
    stalled: str
    cannot_wake: str
    hold: HoldRow
    memory: MemoryRow
    problems: tuple[str, ...]
    scale_target: ScaleTargetRow
    kubernetes: KubernetesRow | None
    unknown: Mapping[str, str]  # what Kubernetes does not tell, and why
    hpa: HpaRow | None


# ---- as JSON -----------------------------------------------------------------------------------------------------


def to_json(value: Any) -> Any:
    """Return an explanation, or a part of it, as JSON-ready data."""
    if is_dataclass(value):
        return {camel_case(field.name): to_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_json(item) for item in value]
    return value


def from_json(data: Any) -> Explanation:
    """Read an explanation.

    Raises:
        ValueError: it is of another version, or no explanation.
    """
    version = data.get("version") if isinstance(data, Mapping) else None
    if version != VERSION:
        raise ValueError(f"an explanation of version {version!r}, and not of {VERSION}")
    try:
        read: Explanation = _read(data, Explanation)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no explanation ({type(error).__name__}: {error})") from error
    return read


def _read(data: Any, kind: Any) -> Any:
    """Read data as a type: a row, a tuple of rows, a mapping to rows, or any of these or nothing."""
    if data is None or kind is Any:
        return data
    if get_origin(kind) in {Union, UnionType}:
        [kind] = [one for one in get_args(kind) if one is not type(None)]
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        return tuple(_read(item, inner[0]) for item in data)
    if get_origin(kind) is not None and len(inner) == 2:
        return {key: _read(item, inner[1]) for key, item in data.items()}
    if is_dataclass(kind) and isinstance(kind, type):
        return kind(**{name: _read(data[camel_case(name)], of) for name, of in _types(kind).items()})
    return data


@cache
def _types(kind: type) -> Mapping[str, Any]:
    return get_type_hints(kind)
