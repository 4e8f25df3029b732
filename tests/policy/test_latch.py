from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.model.objects import Job, ScaledResource
from scaler.policy import latch
from scaler.policy.latch import INITIAL, step
from scaler.policy.outcome import PolicyInput

MINUTE, HOUR = 60.0, 3600.0
REFUSED = ", or was refused to KEDA (its event KEDAJobCreateFailed would say so)"
OBJECT = ScaledResource(
    "ScaledJob", "team", "train", "uid", 1, ((),), (), "ScaledJob train", 0, 1, failed_history_limit=100, jobs=()
)


def spec(**changed):
    fields = Fields("f.yaml", {"resetBelow": 0.2, "retryAfter": "30m", "maxRetries": 2, **changed}, "policy")
    read = latch.parse(fields)
    fields.close()
    return read


def seen(value, *jobs, activated=None, doubt="", **told):
    """A tick at which the activation is `value > 0.3`; `jobs` are the newest first."""
    activated = value > 0.3 if activated is None else activated
    return PolicyInput(
        value, value, "" if activated else "it is 0.3 or less", scaled=replace(OBJECT, jobs=jobs, **told), doubt=doubt
    )


def succeeded(created, ended, name="train-a"):
    return Job(name, created, "succeeded", ended)


def failed(created, ended, name="train-a", **more):
    return Job(name, created, "failed", ended, **more)


def after(*values, until=0.0):
    """What is remembered of these values, a minute apart; as in history, nothing was told of Jobs."""
    past = INITIAL
    for index, value in enumerate(values):
        past, _ = step(spec(), past, PolicyInput(value, value), until + (index + 1 - len(values)) * MINUTE)
    return past


def answer(past, tick, now=MINUTE, setting=None):
    _, outcome = step(setting or spec(), past, tick, now)
    return outcome.replicas, outcome.reason


# ---- once for every rise -----------------------------------------------------------------------------------------------


def test_it_starts_when_the_value_has_never_been_answered_with_a_job():
    assert answer(INITIAL, seen(0.4)) == (1.0, "no job was ever started")


def test_one_that_starts_is_active():
    _, outcome = step(spec(), INITIAL, seen(0.4), 0.0)
    assert (outcome.replicas, outcome.active) == (1.0, True)


@pytest.mark.parametrize(
    ("span", "told"),
    [(-5, "0s"), (599, "9m59s"), (600.7, "10m"), (659, "10m"), (86399, "23h59m"), (91800, "1d1h")],
)
def test_spans_are_as_coarse_as_a_person_would_say_them(span, told):
    assert (
        answer(INITIAL, seen(0.4, Job("train-a", MINUTE - span)))[1]
        == f"job train-a started {told} ago and has not ended"
    )


def test_while_a_job_has_not_ended_no_other_is_started():
    running = Job("train-a", -HOUR)
    assert answer(after(0.1), seen(0.4, running)) == (0.0, "job train-a started 1h1m ago and has not ended")
    assert answer(after(0.1), seen(0.4, succeeded(-MINUTE, 0), running))[0] == 0.0


def test_it_does_not_start_again_while_the_value_stays_high():
    was, reason = answer(after(0.4, 0.4), seen(0.4, succeeded(-MINUTE, 0)), now=4 * MINUTE)
    assert (was, reason) == (0.0, "has not fallen below 0.2 since job train-a started 5m ago")


def test_it_starts_again_after_the_next_rise():
    was, reason = answer(after(0.4, 0.1), seen(0.4, succeeded(-HOUR, -MINUTE)))
    assert (was, reason) == (1.0, "risen since job train-a started 1h1m ago: was below 0.2 1m ago")


def test_a_value_between_the_thresholds_is_neither_a_rise_nor_a_fall():
    between = after(0.4, 0.25, 0.25)
    assert answer(between, seen(0.4, succeeded(-HOUR, -MINUTE)))[0] == 0.0
    reason = "no job was ever started; not yet, since it is 0.3 or less"
    assert answer(between, seen(0.25)) == (0.0, reason)


def test_a_value_at_the_threshold_is_no_fall_yet():
    assert answer(after(0.4, 0.2), seen(0.4, succeeded(-HOUR, -MINUTE)))[0] == 0.0
    assert answer(INITIAL, seen(0.2, activated=True))[0] == 1.0


def test_a_fall_before_the_job_started_is_the_rise_it_was_started_for():
    assert answer(after(0.1, 0.4), seen(0.4, succeeded(-30, 0)))[0] == 0.0


def test_clocks_that_differ_by_seconds_start_no_second_job():
    stamped_early = succeeded(-8, 0)
    assert answer(after(0.4, 0.1), seen(0.4, stamped_early))[0] == 0.0


def test_a_low_value_starts_nothing_whatever_the_activation_says():
    assert answer(INITIAL, seen(0.1, activated=True)) == (0.0, "below 0.2, ready for the next rise")


def test_the_activation_may_wait_for_gpus_and_their_coming_back_is_no_rise():
    past = after(0.4)
    for gpus in (True, False, True):
        assert answer(past, seen(0.4, succeeded(-HOUR, -MINUTE), activated=gpus))[0] == 0.0


DAYS = st.lists(st.tuples(st.floats(0, 1), st.integers(1, 5), st.booleans(), st.booleans()), max_size=60)


@given(DAYS)
def test_between_two_jobs_the_value_was_low(days):
    """Against a world that starts what is asked for; we are restarted, and Jobs that were seen and have ended are deleted."""
    past, jobs, told, active_at, low_since_start = INITIAL, (), (), None, True
    for tick, (value, duration, restarted, deleted) in enumerate(days):
        now = tick * MINUTE
        if restarted:
            past = after(*[value for value, *_ in days[max(tick - 5, 0) : tick]], until=now - MINUTE)
        jobs = tuple(replace(job, state="succeeded") if job.ended <= now else job for job in jobs)
        jobs = tuple(job for job in jobs if job.state == "unfinished" or not deleted or job.name not in told)
        told = [job.name for job in jobs]
        low_since_start |= value < 0.2
        past, outcome = step(spec(), past, seen(value, *jobs, last_active=active_at), now)
        if outcome.replicas:
            assert low_since_start
            assert not any(job.state == "unfinished" for job in jobs)
            jobs = (Job(f"train-{tick}", now + 1, "unfinished", now + duration * MINUTE), *jobs)
            active_at, low_since_start = now + 1, False


# ---- what KEDA has done with the wish -------------------------------------------------------------------------------------


def test_it_asks_until_the_job_is_seen():
    past, outcome = step(spec(), after(0.1), seen(0.4), 0.0)
    assert outcome.replicas == 1.0
    past, outcome = step(spec(), past, seen(0.4, last_active=3.0), 5.0)
    assert outcome.replicas == 1.0, "KEDA tried, and no Job came of it: an admission webhook may have refused it"
    past, outcome = step(spec(), past, seen(0.4, Job("train-a", 8.0), last_active=8.0), 10.0)
    assert outcome.replicas == 0.0
    _, outcome = step(spec(), past, seen(0.4, last_active=8.0), 20.0)
    assert outcome.replicas == 0.0, "the Job was there"


@pytest.mark.parametrize(
    "told",
    [{"minimum": 1}, {"other_trigger_types": ("cron",)}, {"triggers": ((), ())}],
    ids=["minimum", "others", "two of ours"],
)
def test_keda_s_word_counts_only_where_nobody_else_can_have_started_a_job(told):
    assert answer(after(0.1, 0.4), seen(0.4, last_active=0.0)) == (
        0.0,
        f"has not fallen below 0.2 since a job that is gone started 1m ago{REFUSED}",
    )
    assert answer(after(0.1, 0.4), seen(0.4, last_active=0.0, **told))[0] == 1.0


def test_jobs_that_are_gone_are_not_forgotten():
    older = succeeded(-HOUR, -HOUR)
    was, reason = answer(after(0.4), seen(0.4, older, last_active=-MINUTE * 5))
    assert (was, reason) == (
        0.0,
        f"has not fallen below 0.2 since a job that is gone started 6m ago{REFUSED}, as far as is known: the past was seen for 1m",
    )
    assert answer(after(0.4, 0.1), seen(0.4, older, last_active=-MINUTE * 5))[0] == 1.0


# ---- a restart -------------------------------------------------------------------------------------------------------------


def test_after_a_restart_the_past_and_the_jobs_say_the_same_as_before():
    history = (0.1, 0.4, 0.4, 0.1, 0.1, 0.4)
    for job in (succeeded(-4 * MINUTE, -3 * MINUTE), succeeded(-MINUTE / 2, 0)):
        risen = answer(after(*history), seen(0.4, job))[0]
        assert risen == (1.0 if job.created < -2 * MINUTE else 0.0)


def test_what_it_has_not_seen_starts_nothing():
    was, reason = answer(after(0.4, 0.4), seen(0.4, succeeded(-86400 * 3, -86400 * 3)))
    assert was == 0.0
    assert reason.endswith("as far as is known: the past was seen for 2m")


def test_it_says_how_far_back_it_has_seen_the_value_without_a_gap():
    past, now = after(0.4, 0.4, 0.4), 2 * HOUR
    past, _ = step(spec(), past, seen(0.4), now)
    _, reason = answer(past, seen(0.4, succeeded(-HOUR, 0)), now + MINUTE)
    assert reason.endswith("as far as is known: the past was seen for 1m")


# ---- failures ----------------------------------------------------------------------------------------------------------------


def test_a_job_that_failed_is_tried_again_after_a_while_and_so_many_times():
    first, second, third = (failed(at, at + MINUTE, f"train-{at:g}") for at in (-3 * HOUR, -2 * HOUR, -HOUR))
    past = after(0.4)
    soon = "job train--10800 failed 10m ago: retry 1 of 2 in 20m"
    assert answer(past, seen(0.4, first), -3 * HOUR + 11 * MINUTE) == (0.0, soon)
    again = "job train--10800 failed 40m ago: retry 1 of 2"
    assert answer(past, seen(0.4, first), -3 * HOUR + 41 * MINUTE) == (1.0, again)
    assert answer(past, seen(0.4, second, first))[0] == 1.0
    given_up = (
        "job train--3600 failed 1h ago after 2 of 2 retries: not tried again before the value has fallen below 0.2"
    )
    assert answer(past, seen(0.4, third, second, first)) == (0.0, given_up)


def test_a_retry_waits_for_the_activation_too():
    tick = seen(0.4, failed(-2 * HOUR, -HOUR), activated=False)
    assert answer(after(0.4), tick) == (
        0.0,
        "job train-a failed 1h1m ago: retry 1 of 2; not yet, since it is 0.3 or less",
    )


def test_failures_of_an_earlier_rise_do_not_count():
    before = [failed(-HOUR * at, -HOUR * at, f"train-{at}") for at in (5, 6, 7)]
    past = replace(after(0.4), low=-4 * HOUR)
    assert answer(past, seen(0.4, failed(-3 * HOUR, -2 * HOUR), *before))[0] == 1.0


def test_a_job_that_failed_when_the_value_was_last_low_is_of_the_rise_before():
    """Three failed since then would be one too many; of these the first was started in the very tick that was low."""
    jobs = [failed(-HOUR, -HOUR, "c"), failed(-2 * HOUR, -2 * HOUR, "b"), failed(-3 * HOUR, -3 * HOUR, "a")]
    assert answer(replace(after(0.4), low=-3 * HOUR), seen(0.4, *jobs))[0] == 1.0
    assert answer(replace(after(0.4), low=-4 * HOUR), seen(0.4, *jobs))[0] == 0.0


def test_a_success_ends_the_retries():
    assert answer(after(0.4), seen(0.4, succeeded(-HOUR, -HOUR), failed(-2 * HOUR, -2 * HOUR)))[0] == 0.0


@pytest.mark.parametrize(
    ("jobs", "kept", "why"),
    [
        (
            [failed(-HOUR, -HOUR)],
            1,
            "after 0 of 2 retries, since more than failedJobsHistoryLimit (1) cannot be counted",
        ),
        (
            [failed(-HOUR, -HOUR), succeeded(-2 * HOUR, -HOUR), *[failed(-3 * HOUR, -HOUR)] * 9],
            10,
            "after 0 of 2 retries, since more than failedJobsHistoryLimit (10) cannot be counted",
        ),
        (
            [failed(-HOUR, -HOUR, has_no_ttl=False)],
            100,
            "after 0 of 2 retries, since Jobs with ttlSecondsAfterFinished cannot be counted",
        ),
    ],
)
def test_failures_that_cannot_be_counted_are_not_tried_again(jobs, kept, why):
    was, reason = answer(after(0.4), seen(0.4, *jobs, failed_history_limit=kept))
    assert was == 0.0
    assert why in reason


# ---- what is not known ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tick", "problem"),
    [
        (PolicyInput(0.4, 0.4), "its Jobs are not known, since Kubernetes does not tell of the ScaledJob"),
        (
            PolicyInput(0.4, 0.4, scaled=replace(OBJECT, jobs=None)),
            "its Jobs are not known: may llm-scaler list and watch",
        ),
        (
            PolicyInput(0.4, 0.4, scaled=replace(OBJECT, kind="ScaledObject")),
            "policy latch starts Jobs, and this is a Scaled",
        ),
        (seen(0.4, doubt="Kubernetes was last heard 50s ago"), "Kubernetes was last heard 50s ago"),
    ],
)
def test_without_the_jobs_nothing_is_started_and_the_value_is_remembered(tick, problem):
    past, outcome = step(spec(), after(0.1), tick, MINUTE)
    assert (outcome.replicas, outcome.active) == (0.0, False)
    assert outcome.problem.startswith(problem)
    assert past.low == 0.0


def test_its_defaults():
    read = latch.parse(Fields("f.yaml", {"resetBelow": 0.2}, "policy"))
    assert read == latch.Latch(reset_below=0.2, retry_after=30 * MINUTE, max_retries=2, memory=6 * HOUR)


def test_it_declares_what_it_remembers():
    assert spec().metrics == frozenset()
    assert spec(memory="1d").memory == 86400


@pytest.mark.parametrize(
    "changed", [{"resetBelow": None}, {"resetBelow": "low"}, {"maxRetries": -1}, {"memory": "30d"}, {"unknown": 1}]
)
def test_what_is_wrong_is_refused(changed):
    with pytest.raises(ConfigError, match=r"f.yaml: policy\."):
        spec(**changed)


# ---- what the ScaledJob's own settings do to it ---------------------------------------------------------------------------

SOUND = {"successful_history_limit": 100, "gradual_rollout": True}


@pytest.mark.parametrize(
    ("told", "caution"),
    [
        ({"successful_history_limit": 0}, "successfulJobsHistoryLimit is 0"),
        ({"failed_history_limit": 0}, "failedJobsHistoryLimit is 0: too few failed Jobs are kept to count 2 retries"),
        ({"failed_history_limit": 2}, "failedJobsHistoryLimit is 2: too few failed Jobs are kept to count 2 retries"),
        ({"scaling_strategy": "eager", "maximum": 2}, "scalingStrategy eager may start a second Job while one runs"),
        (
            {"scaling_strategy": "accurate", "maximum": 2},
            "scalingStrategy accurate may start a second Job while one runs",
        ),
        ({"scaling_strategy": "custom"}, "scalingStrategy custom may start a second Job while one runs"),
        ({"minimum": 1}, "minReplicaCount is 1: KEDA starts Jobs without any rise"),
        ({"other_trigger_types": ("cron",)}, "other triggers start Jobs too"),
        ({"triggers": ((), ())}, "other triggers start Jobs too"),
        (
            {"gradual_rollout": False},
            "rollout.strategy is not gradual: an edit of the ScaledJob deletes the Job that runs",
        ),
        ({"scaling_strategy": "eager"}, ""),
        ({"maximum": 5}, ""),
        ({"failed_history_limit": 3}, ""),
        ({"kind": "ScaledObject", "gradual_rollout": False}, ""),
    ],
)
def test_settings_that_start_more_jobs_than_one_for_a_rise_are_told(told, caution):
    found = latch.warnings(spec(), replace(OBJECT, **SOUND | told))
    assert [text[: len(caution)] for text in found] == ([caution] if caution else [])


def test_without_retries_no_failed_job_need_be_kept():
    assert latch.warnings(spec(maxRetries=0), replace(OBJECT, **SOUND, failed_history_limit=0)) == ()
