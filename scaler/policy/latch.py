"""One Job for every rise: a model that has drifted is trained again once, not for as long as it stays drifted.

A Job is started when the activation is true and the value has been below `resetBelow` since the last Job started.

    activation: drift > 0.3, resetBelow 0.2

    drift   0.1    0.4 ────────────── 0.4   0.25   0.4   0.1   0.4
    Jobs           starts ··· ends     no    no     no   no    starts

When the last Job started is read from the Jobs, and where these are gone from the ScaledJob's `lastActiveTime`, which
KEDA writes whenever it starts one; so neither a restart nor an edit starts a second. When the value was last low is
folded, from history after a restart; a fall further back than `memory` is not known, and what is not known starts
nothing. Because only the value resets, the activation may wait for anything else as well (free GPUs, a quiet hour):
that a Job takes the GPUs it waited for, and gives them back, is no new rise.

A Job that failed is tried again after `retryAfter`, `maxRetries` times for each rise. The attempts are counted in the
failed Jobs, so that none is made where some of these may be gone: when there are as many as KEDA keeps
(failedJobsHistoryLimit; which of them it deletes is chance, since it sorts by a time that failed Jobs do not have).

KEDA asks again at every poll and subtracts unfinished Jobs (v2.20.2, pkg/scaling/executor/scale_jobs.go), so the wish
for a Job stands until the Job is seen, and no longer: the first poll after its end would start the next one.

Source of the need: the first formula of "Use KEDA Scaling Modifiers to Manage AI Infrastructure" (2024), which starts a
Job at every poll while the drift is high and GPUs are free.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

from scaler.model.fields import Fields, duration, number, seconds, whole
from scaler.model.objects import Job, ScaledResource
from scaler.policy.outcome import PolicyInput, PolicyResult, PolicySpec

CLOCK_SKEW = 10.0  # seconds that the API server's clock, which stamps Jobs, may be behind ours
CREATION_DELAY = 60.0  # seconds within which KEDA's word and the Job it speaks of are seen
MAX_GAP = 300.0  # seconds without a value in which it may have fallen and risen unseen


@dataclass(frozen=True, slots=True)
class Latch(PolicySpec):
    """Options of latch."""

    reset_below: float  # the value that ends a rise, in the formula's unit
    retry_after: float  # seconds after a Job failed
    max_retries: int  # for each rise
    memory: float  # seconds of past in which a fresh process looks for a fall


@dataclass(frozen=True, slots=True)
class LatchState:
    """The state of latch: the values that were seen, and what was asked for."""

    since: float | None = None  # the value is known since then
    at: float | None = None  # the newest tick
    low: float | None = None  # the newest tick with a value below resetBelow
    wish: float | None = None  # a Job has been asked for since then, and none has come


INITIAL = LatchState()


def parse(fields: Fields) -> Latch:
    """Read `policy: {kind: latch, ...}`.

    Raises:
        ConfigError: an unknown key, or a value that is not allowed.
    """
    return Latch(
        reset_below=fields.take("resetBelow", number()),
        retry_after=fields.take("retryAfter", duration(0, 7 * 86400), 1800.0),
        max_retries=fields.take("maxRetries", whole(0, 20), 2),
        memory=fields.take("memory", duration(0, 7 * 86400), 6 * 3600.0),
    )


def step(spec: Latch, past: LatchState, seen: PolicyInput, now: float) -> tuple[LatchState, PolicyResult]:
    """Ask for one Job, or for none.

    Args:
        spec: what it was set to.
        past: what the last tick left.
        seen: the value, the activation and the Jobs. Without the Jobs the value is still remembered.
        now: seconds.

    Returns:
        The past, and 1 or 0 Jobs.
    """
    blind = past.at is None or now - past.at > MAX_GAP
    past = replace(past, since=now if blind else past.since, at=now)
    if seen.value < spec.reset_below:
        past = replace(past, low=now, wish=None)
    scaled = seen.scaled
    problem = _unknown(scaled, seen.doubt)
    if scaled is None or scaled.jobs is None or problem:
        return past, PolicyResult(0.0, False, "", problem)
    came = past.wish is not None and any(job.created >= past.wish - CLOCK_SKEW for job in scaled.jobs)
    past = replace(past, wish=None) if came else past
    wanted, reason = _judge(spec, past, seen, scaled, scaled.jobs, now)
    if not wanted:
        return past, PolicyResult(0.0, False, reason)
    if seen.inactive:
        return past, PolicyResult(0.0, False, f"{reason}; not yet, since {seen.inactive}")
    return replace(past, wish=now if past.wish is None else past.wish), PolicyResult(1.0, True, reason)


def warnings(spec: Latch, scaled: ScaledResource) -> Sequence[str]:
    """List the settings of a ScaledJob that may start more Jobs for one rise, or lose count of them.

    Source: KEDA 2.20.2, pkg/scaling/executor/scale_jobs.go (GetEffectiveMaxScale, cleanUp) and
    controllers/keda/scaledjob_controller.go (deletePreviousVersionScaleJobs).
    """
    if scaled.kind != "ScaledJob":
        return ()
    kept, retries = scaled.failed_history_limit, spec.max_retries
    strategy = scaled.scaling_strategy
    crowded = strategy == "custom" or (strategy != "default" and scaled.maximum > 1)
    found = {
        "successfulJobsHistoryLimit is 0: the Job that answers a rise is deleted at its end, and may be started again; "
        "keep 1 or more": scaled.successful_history_limit < 1,
        f"failedJobsHistoryLimit is {kept}: too few failed Jobs are kept to count {retries} retries; keep more than "
        f"{retries}": kept <= retries and retries > 0,
        f"scalingStrategy {strategy} may start a second Job while one runs: use default, which never does"
        + (", or maxReplicaCount: 1" if strategy != "custom" else ""): crowded,
        f"minReplicaCount is {scaled.minimum}: KEDA starts Jobs without any rise": scaled.minimum > 0,
        "other triggers start Jobs too, and each is taken for the answer to a rise": bool(scaled.other_trigger_types)
        or len(scaled.triggers) > 1,
        "rollout.strategy is not gradual: an edit of the ScaledJob deletes the Job that runs, and it is not started "
        "again": not scaled.gradual_rollout,
    }
    return tuple(text for text, holds in found.items() if holds)


def _unknown(scaled: ScaledResource | None, doubt: str) -> str:
    """Say why the Jobs are not known, or return an empty text."""
    if scaled is None:
        return "its Jobs are not known, since Kubernetes does not tell of the ScaledJob"
    if scaled.kind != "ScaledJob":
        return f"policy latch starts Jobs, and this is a {scaled.kind}"
    return doubt or ("its Jobs are not known: may llm-scaler list and watch jobs.batch?" if scaled.jobs is None else "")


def _judge(
    spec: Latch, past: LatchState, seen: PolicyInput, scaled: ScaledResource, jobs: Sequence[Job], now: float
) -> tuple[bool, str]:
    """Decide whether another Job may be started at this value, and say why."""
    last = jobs[0] if jobs else None
    running = next((job for job in jobs if job.state == "unfinished"), None)
    if running:
        return False, f"job {running.name} started {_ago(running.created, now)} ago and has not ended"
    started = _started(past, scaled, last)
    if seen.value < spec.reset_below:
        return False, f"below {spec.reset_below:g}, ready for the next rise"
    if started is None:
        return True, "no job was ever started"
    there = last is not None and started - last.created <= CREATION_DELAY
    which = f"job {last.name}" if last and there else "a job that is gone"
    since = f"{which} started {_ago(started, now)} ago"
    if past.low is not None and past.low > started + CLOCK_SKEW:
        return True, f"risen since {since}: was below {spec.reset_below:g} {_ago(past.low, now)} ago"
    if last and last.state == "failed" and there:
        return _again(spec, past, scaled, jobs, now)
    maybe = "" if there else ", or was refused to KEDA (its event KEDAJobCreateFailed would say so)"
    return False, f"has not fallen below {spec.reset_below:g} since {since}{maybe}{_horizon(past, started, now)}"


def _started(past: LatchState, scaled: ScaledResource, last: Job | None) -> float | None:
    """Return when the last Job started, even if it is gone since; None: never.

    KEDA's word counts where nothing but this trigger can have started the Job, and not while our own wish is open: it
    is given for every try, also for one that an admission webhook or a quota refused. After a restart nothing tells a
    Job that was refused from one that is gone, and no second one is started.
    """
    alone = not scaled.other_trigger_types and len(scaled.triggers) == 1 and scaled.minimum == 0
    said = scaled.last_active if alone else None
    if said is not None and past.wish is not None and said >= past.wish - CLOCK_SKEW:
        said = None
    return max((time for time in (said, last.created if last else None) if time is not None), default=None)


def _again(spec: Latch, past: LatchState, scaled: ScaledResource, jobs: Sequence[Job], now: float) -> tuple[bool, str]:
    """Decide whether the last Job, which failed, is tried again."""
    last, since = jobs[0], float("-inf") if past.low is None else past.low
    done = len(list(takewhile(lambda job: job.state == "failed" and job.created > since, jobs[1:])))
    most, limit = spec.max_retries, ""
    if not last.has_no_ttl:
        most, limit = done, ", since Jobs with ttlSecondsAfterFinished cannot be counted"
    elif done < most and sum(job.state == "failed" for job in jobs) >= scaled.failed_history_limit:
        most, limit = (
            done,
            f", since more than failedJobsHistoryLimit ({scaled.failed_history_limit}) cannot be counted",
        )
    ended = last.created if last.ended is None else last.ended
    what = f"job {last.name} failed {_ago(ended, now)} ago"
    if done >= most:
        again = f"not tried again before the value has fallen below {spec.reset_below:g}"
        return False, f"{what} after {done} of {spec.max_retries} retries{limit}: {again}"
    retry = f"retry {done + 1} of {most}"
    if now - ended < spec.retry_after:
        return False, f"{what}: {retry} in {_ago(now, ended + spec.retry_after)}"
    return True, f"{what}: {retry}"


def _horizon(past: LatchState, started: float, now: float) -> str:
    """Say how far back was looked, where that is less than it should be."""
    if past.since is None or past.since <= started:
        return ""
    return f", as far as is known: the past was seen for {_ago(past.since, now)}"


def _ago(time: float, now: float) -> str:
    """Write a span of time as coarsely as a person would say it."""
    span = max(now - time, 0.0)
    return seconds(span if span < 600 else span - span % (60 if span < 86400 else 3600))
