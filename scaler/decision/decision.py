"""What was decided, and everything it came from: the nouns of the fold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scaler.config.workload import WorkloadSpec
from scaler.decision.capacity import Capacity
from scaler.decision.pace import Pace
from scaler.decision.reason import sentence
from scaler.decision.schedule import Scheduled
from scaler.decision.starting import StartingReplicas
from scaler.model.errors import NoAnswer
from scaler.model.measurement import TargetStatus, WorkloadKey
from scaler.model.objects import ScaledResource

Certainty = Literal["certain", "raising", "held", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and the time of it."""

    replicas: int
    active: bool
    at: float


@dataclass(frozen=True, slots=True)
class InputValue:
    """One input as it was used."""

    name: str
    value: float | None  # what the formula got
    newest: float | None  # what was measured just now, before `over`
    problem: str = ""  # why it is not certain
    rule: str = ""  # why the value is not simply what was measured
    age: float | None = None
    answered: int | None = None
    expected: int | None = None
    source: str = ""
    unit: str = ""
    config_error: bool = False  # the question itself is wrong
    substituted: bool = False  # nothing was measured, and a rule gave the value

    @property
    def measured(self) -> float | None:
        """The formula's value where something was measured just now; None where a rule stands in for it, or nothing."""
        return None if self.substituted or self.newest is None else self.value


@dataclass(frozen=True, slots=True)
class Idle:
    """The time and the reasons that keep a workload from being inactive."""

    quiet: bool  # at this tick: certain, not activated, nothing running, waiting or starting
    busy: tuple[str, ...]  # what was seen to run, wait or start
    unread: tuple[str, ...]  # what could not be read
    seen: float  # seconds of gap-free quiet
    needed: float


@dataclass(frozen=True, slots=True)
class Partial:
    """The replicas for the measured part alone, where some inputs were not measured at all: at least so many."""

    value: float | None
    replicas: int | None
    without: tuple[str, ...]  # the inputs that were not measured


@dataclass(frozen=True, slots=True)
class GroupPart:
    """One member of a group: what it is told, and what it came to by itself; None: nothing can be said."""

    output: str
    name: str  # of its object
    certainty: Certainty
    replicas: int | None
    active: bool | None
    alone_replicas: int | None
    alone_active: bool | None


@dataclass(frozen=True, slots=True)
class Group:
    """The workloads that one is decided together with, itself among them."""

    name: str  # the trigger's `group`; empty where it has none
    parts: tuple[GroupPart, ...]
    reasons: tuple[str, ...]  # why they are told something else than what they came to
    mix: str = ""  # of variants: the replicas of each, what they cost, and for which demand
    apart_since: float | None = None  # it has not been whole since then; None: it is


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer and everything it came from."""

    spec: WorkloadSpec
    at: float
    certainty: Certainty
    answer: Answer | None  # None: nothing can be said
    activation: bool | None  # the activation was true on what was measured, certain or not; None: not known
    activate_now: bool  # and the policy agrees; for Jobs, certain only
    value: float | None  # the formula's; None also where it would have to do without an input
    desired: int | None  # replicas by formula and policy, before any other rule
    partial: Partial | None  # what is there in place of these two
    limited: int | None  # of these, what is not on its way and can be had
    input_values: tuple[InputValue, ...]
    activity_signals: tuple[InputValue, ...]
    scope: Mapping[str, float | None]  # every name the formula could use, with its value
    problems: tuple[str, ...]
    policy: str  # what the policy said
    idle: Idle
    memory_seen: float  # seconds, at most what the formula needs
    uncertain_for: float  # seconds since the last certain answer
    before: Answer | None  # the newest certain answer before this one
    minimum_answer: int | None  # the least that may be said on uncertain grounds
    target_status: TargetStatus
    config_error: bool = False  # the configuration is at fault: no holding
    scaled: ScaledResource | None = None  # what Kubernetes says of the object
    capacity: Capacity | None = None  # what can be had
    starting: StartingReplicas | None = None  # what is on its way
    pace: Pace | None = None  # how far it may fall
    schedule: Scheduled | None = None  # the bounds of the windows that hold
    stalled: str = ""  # why the load is in doubt, which stands still while its engine counts nothing; empty: it is not
    cannot_wake: str = ""  # why nothing that it reads can ever wake it from 0 replicas; empty: something may
    group: Group | None = None  # that it was decided together with; `answer` is what the group made of it
    apart_since: float | None = None  # its group has not been whole since then, as of the tick before; None: it was
    planned: int | None = None  # replicas of a variant in the cheapest mix, before any rule that keeps more
    told: str = ""  # the sentence that its group makes of it; empty: its own

    @property
    def key(self) -> WorkloadKey:
        """The workload it is for."""
        return self.spec.key

    @property
    def reason(self) -> str:
        """The decision in one sentence."""
        return self.told or sentence(self)

    @property
    def target(self) -> float:
        """The formula's target."""
        return self.spec.target

    @property
    def known_replicas(self) -> int | None:
        """Current replicas, where known."""
        return self.target_status.current

    @property
    def replicas(self) -> int | None:
        """The replicas that GetMetrics answers; None: there is no answer."""
        return self.answer.replicas if self.answer else None

    @property
    def active(self) -> bool | None:
        """The activity that IsActive answers; None: there is no answer."""
        return self.answer.active if self.answer else None

    @property
    def rests_on_nothing(self) -> bool:
        """Tell whether nothing was measured and replicas may be there: then the formula's value is not to be shown."""
        stand_ins = bool(self.input_values) and all(fact.substituted for fact in self.input_values)
        return stand_ins and self.target_status.current != 0

    @property
    def after_starting_credit(self) -> int | None:
        """The desired replicas, less the load that waits for starting ones."""
        return self.starting.within(self.desired) if self.starting else self.desired

    @property
    def falls_slowly(self) -> str:
        """Say why the answer has not come down to what is due, or return an empty text."""
        if self.pace is None or self.after_starting_credit is None or self.pace.least <= self.after_starting_credit:
            return ""
        return "" if self.schedule and self.schedule.replaces(self.pace.least) else self.pace.reason

    @property
    def bounded_by(self) -> str:
        """Say which window of the schedule moves the answer, or return an empty text."""
        if self.schedule is None:
            return ""
        if self.limited is None or self.certainty != "certain":
            raised = self.replicas is not None and self.replicas == self.schedule.least
            return self.schedule.says_floor() if raised else ""
        least = self.pace.least if self.pace and self.falls_slowly else 0
        return self.schedule.binds(
            self.after_starting_credit if self.after_starting_credit is None else max(self.after_starting_credit, least)
        )

    @property
    def kept_active(self) -> str:
        """Say which window of the schedule keeps it active whatever is measured, or return an empty text."""
        return self.schedule.says_floor() if self.schedule else ""

    def answer_or_error(self) -> Answer:
        """Return the answer that may be sent, or the error.

        Raises:
            NoAnswer: nothing certain enough; the text is for the user.
        """
        if self.answer is not None:
            return self.answer
        error = NoAnswer(self.reason)
        if self.config_error:
            error.code = "INVALID_ARGUMENT"
        raise error
