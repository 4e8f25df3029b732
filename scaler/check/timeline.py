"""The `tests:` of a formula file: what is measured over time, and what has to be answered when.

    - name: a burst                     # optional
      interval: 15s                     # between the samples of `given`; the formula's own interval when left out
      parameters: {target: 4}           # as a trigger would give them
      given: {waiting: "0 0 16x4", running: "0x6", replicas: "1x6"}
      expect: [{at: 30s, value: 16, active: true, replicas: 4}]

A sample stands until the next one, and a series ends with its last sample: nothing is expected later than that. A
metric may be left out of `given` where the formula says what its absence means (`onMissing`, `??`); it is absent then.
The activity signals (waiting and running of the target's pods, where the formula does not read them) are 0 when left
out. When `replicas` is given, `ready` is as many and `starting` is the difference of the two, unless the test says
otherwise.

In a file with several `outputs` a test names its `output`, and shows what that one comes to by itself.

For a formula that starts Jobs the test says which came of it, and how they ended:

      jobs: [{started: 6m, succeeded: 36m}, {started: 2h, failed: 3h}, {started: 4h}]

Before its first tick the past counts as seen, since most tests are about a workload that is long there: an answer may
be lowered at once. All other clocks (idleFor, holdFor, the policy's) start with the test. The pace at which answers
fall is part of a test only where the file or the test's parameters set `scaleDown`: most are about what is needed. In
the same way `schedule` is part of a test only where it says when it starts, by a clock whose offset is given:

      start: 2026-03-27T17:55:00+01:00
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, get_args

from scaler.check.series import GivenSeries, read_series
from scaler.config.bind import bind_example
from scaler.config.defaults import Defaults
from scaler.config.formula_file import FormulaFile, output_of
from scaler.config.metrics import TARGET_NAMES, Input
from scaler.config.workload import WorkloadSpec
from scaler.decision.decision import Certainty, Decision
from scaler.model.errors import ConfigError
from scaler.model.fields import Fields, boolean, choice, duration, listed, number, seconds, text, whole
from scaler.model.measurement import Inputs, Reading, TargetStatus
from scaler.model.objects import UNSEEN, Job, JobState, ScaledResource, TargetView

MAX_TICKS = 20_000  # of all tests of one file; at 5 s that is a day
MAX_EXPECTATIONS = 1_000  # of one test
MAX_JOBS = 50  # of one test
ENDS: tuple[JobState, ...] = ("succeeded", "failed")


@dataclass(frozen=True, slots=True)
class ExpectationKind:
    """One thing that a test can expect of a decision."""

    read: Callable[[object], Any]
    actual: Callable[[Decision], Any]
    fits: Callable[[Any, Any], bool]  # (wanted, came)


def _same(wanted: object, came: object) -> bool:
    return wanted == came


def _close(wanted: float, came: float | None) -> bool:
    return came is not None and math.isclose(wanted, came, rel_tol=1e-6, abs_tol=1e-9)


def _given_or_none(replicas: int | None) -> str:
    return "none" if replicas is None else "given"


def _within(wanted: str, came: str) -> bool:
    return wanted in came


WORDS: Mapping[str, ExpectationKind] = MappingProxyType(
    {
        "value": ExpectationKind(number(), lambda decision: decision.value, _close),
        "replicas": ExpectationKind(whole(0, 1_000_000), lambda decision: decision.replicas, _same),
        "active": ExpectationKind(boolean, lambda decision: decision.active, _same),
        "answer": ExpectationKind(choice("given", "none"), lambda decision: _given_or_none(decision.replicas), _same),
        "certainty": ExpectationKind(choice(*get_args(Certainty)), lambda decision: decision.certainty, _same),
        "error": ExpectationKind(text, lambda decision: "; ".join(decision.problems), _within),
        "policy": ExpectationKind(text, lambda decision: decision.policy, _within),
    }
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """The expectations of one moment of a test."""

    at: float  # seconds after the first tick
    wanted: Mapping[str, Any]  # word -> value


@dataclass(frozen=True, slots=True)
class FormulaTimeline:
    """One test, ready to be folded."""

    label: str  # "tests[0]", with the test's name when it has one
    spec: WorkloadSpec
    interval: float  # seconds between samples
    given: Mapping[str, GivenSeries]
    expect: tuple[Expectation, ...]  # in the order of time
    jobs: tuple[Job, ...] = ()  # the latest first, each as it is in the end
    start: float = 0.0  # of the first tick, in seconds since the epoch

    @property
    def ticks(self) -> int:
        """The number of ticks up to the last expectation."""
        return int(self.expect[-1].at // self.spec.interval) + 1

    def inputs(self, now: float) -> Inputs:
        """Return what is measured `now` seconds after the first tick."""
        by_query = {item.query: self.given[item.name] for item in self.spec.inputs if item.name in self.given}
        activity_signals = {
            item.name: by_query.get(item.query, self.given.get(item.name, (0.0,)))
            for item in self.spec.activity_signals
        }
        return Inputs(
            readings={item.name: self._reading(self.given.get(item.name, (None,)), now) for item in self.spec.inputs},
            activity_signals={name: self._reading(series, now) for name, series in activity_signals.items()},
            target_status=self._replicas(now),
            target=TargetView(self._scaled(now)) if self.spec.is_job else UNSEEN,
        )

    def _scaled(self, now: float) -> ScaledResource:
        """Make a ScaledJob with the Jobs that there are by then."""
        key = self.spec.key
        jobs = tuple(
            job if job.ended is None or job.ended <= now else replace(job, state="unfinished", ended=None)
            for job in self.jobs
            if job.created <= now
        )
        target = f"ScaledJob {key.name}"
        return ScaledResource(
            "ScaledJob", key.namespace, key.name, "", 1, ((),), (), target, 0, 1, jobs=jobs, failed_history_limit=100
        )

    def _reading(self, series: GivenSeries, now: float) -> Reading:
        return Reading(self._sample(series, now), self.start + now)

    def _sample(self, series: GivenSeries, now: float) -> float | None:
        """Return the sample that stands at that time; a series of one sample has it at all times asked about."""
        return series[min(int(now / self.interval + 1e-9), len(series) - 1)]

    def _replicas(self, now: float) -> TargetStatus:
        given = {name: self._sample(self.given[name], now) for name in TARGET_NAMES if name in self.given}
        known = {name: round(count) for name, count in given.items() if count is not None}
        current = known.get("replicas")
        ready = known.get("ready", None if "ready" in given else current)
        apart = None if current is None or ready is None else max(current - ready, 0)
        starting = known.get("starting", None if "starting" in given else apart)
        bounds = known.get("min"), known.get("max")
        return TargetStatus(current, ready, starting, *bounds, source="the test" if known else "")


def read_timeline(file: FormulaFile, index: int, defaults: Defaults) -> FormulaTimeline:
    """Read one of the tests of a formula file.

    Raises:
        ConfigError: the first thing that is wrong with it.
    """
    path = f"tests[{index}]"
    fields = Fields(file.where, file.tests[index], path)
    name = fields.take("name", text, "")
    spec = _spec(_part(file, fields), fields.inside("parameters"), defaults)
    start = fields.take("start", start_time, None) if spec.schedule else None
    spec = spec if start is not None else replace(spec, schedule=())
    timeline = FormulaTimeline(
        label=f"{path} ({name})" if name else path,
        spec=spec,
        interval=fields.take("interval", duration(1, 86400), spec.interval),
        given=_given(fields.inside("given"), spec),
        expect=_expect(fields),
        jobs=_jobs(fields) if spec.is_job else (),
        start=start or 0.0,
    )
    fields.close()
    _check_ends(timeline, file.where, path)
    return timeline


def _part(file: FormulaFile, fields: Fields) -> FormulaFile:
    """Return the output that a test is about: of a file with several a test names one."""
    named = fields.take("output", text, None) if file.outputs else None
    try:
        return output_of(file, {} if named is None else {"output": named})
    except ConfigError as error:
        raise fields.error(error.key, error.problem, error.allowed) from error


def start_time(raw: object) -> float:
    """Read a time with its offset from UTC, in seconds since the epoch."""
    written = text(raw)
    try:
        at = datetime.fromisoformat(written)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ValueError("a time with its offset, such as 2026-03-27T17:55:00+01:00")
    return at.timestamp()


def _spec(file: FormulaFile, parameters: Fields, defaults: Defaults) -> WorkloadSpec:
    given = {key: str(raw).lower() if isinstance(raw, bool) else str(raw) for key, raw in parameters.rest().items()}
    try:
        spec = bind_example(file, given, defaults)
    except ConfigError as error:
        raise parameters.error(error.key, error.problem, error.allowed) from error
    return spec if "scaleDown" in {*file.body, *given} else replace(spec, scale_down=None)


def _given(fields: Fields, spec: WorkloadSpec) -> Mapping[str, GivenSeries]:
    measured = [item.name for item in spec.inputs]
    names = dict.fromkeys((*measured, *(guard.name for guard in spec.activity_signals), *TARGET_NAMES))
    given = {name: fields.take(name, read_series) for name in names if fields.has(name)}
    fields.close()
    for item in spec.inputs:
        if item.name not in given and _absence_fails(item, spec):
            allowed = f"a series for {item.name}, '_' where it is absent"
            raise fields.error(item.name, "is not given, and its absence means nothing to the formula", allowed)
    return MappingProxyType(given)


def _absence_fails(item: Input, spec: WorkloadSpec) -> bool:
    return item.on_missing in ("error", "last") and item.name not in spec.program.nilable


def _expect(fields: Fields) -> tuple[Expectation, ...]:
    raws = fields.take("expect", listed(lambda raw: raw))
    if not 0 < len(raws) <= MAX_EXPECTATIONS:
        raise fields.error("expect", f"has {len(raws)} items", f"1 to {MAX_EXPECTATIONS:,}")
    items = [_expectation(Fields(fields.where, raw, f"{fields.path}.expect[{i}]")) for i, raw in enumerate(raws)]
    return tuple(sorted(items, key=lambda item: item.at))


def _expectation(fields: Fields) -> Expectation:
    at = fields.take("at", duration(0, 30 * 86400))
    wanted = {name: fields.take(name, word.read) for name, word in WORDS.items() if fields.has(name)}
    fields.close()
    if not wanted:
        raise ConfigError(fields.where, fields.path, "expects nothing", ", ".join(WORDS))
    return Expectation(at, wanted)


def _jobs(fields: Fields) -> tuple[Job, ...]:
    nothing: tuple[object, ...] = ()
    raws = fields.take("jobs", listed(lambda raw: raw), nothing)
    if len(raws) > MAX_JOBS:
        raise fields.error("jobs", f"has {len(raws)} items", f"at most {MAX_JOBS}")
    jobs = [_job(Fields(fields.where, raw, f"{fields.path}.jobs[{i}]"), f"job-{i + 1}") for i, raw in enumerate(raws)]
    return tuple(sorted(jobs, key=lambda job: job.created, reverse=True))


def _job(fields: Fields, name: str) -> Job:
    started = fields.take("started", duration(0, 30 * 86400))
    ends = {end: fields.take(end, duration(started, 30 * 86400)) for end in ENDS if fields.has(end)}
    fields.close()
    if len(ends) > 1:
        raise fields.error("failed", "and succeeded are both given", "one of them, or neither while it runs")
    state: JobState = next(iter(ends), "unfinished")
    return Job(name, started, state, ends.get(state))


def _check_ends(timeline: FormulaTimeline, where: str, path: str) -> None:
    """Refuse an expectation later than the end of a series: whoever means absence says so with `_`."""
    last = timeline.expect[-1].at
    for name, series in timeline.given.items():
        end = (len(series) - 1) * timeline.interval
        if last > end:
            problem = f"ends at {seconds(end)}, and something is expected at {seconds(last)}"
            raise ConfigError(where, f"{path}.given.{name}", problem, "samples up to there, '_' where it is absent")
