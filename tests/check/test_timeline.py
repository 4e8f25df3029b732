import pytest
from support.formula_files import QUEUE, read, with_tests

from scaler.check.fold import mismatches
from scaler.check.timeline import WORDS, read_timeline
from scaler.config.defaults import Defaults
from scaler.model.errors import ConfigError
from scaler.model.measurement import Reading, TargetStatus
from scaler.model.objects import Job

EVERYTHING = "waiting: '0 4x3', running: '1x4', queued: '0x4'"


def timeline(test, text=QUEUE):
    return read_timeline(read(with_tests(test, text=text)), 0, Defaults())


def test_a_test_is_read():
    one = timeline(
        "{name: a burst, interval: 15s, given: {waiting: '0 4x3', running: '0x4'}, expect: [{at: 1m, value: 4}]}"
    )
    assert (one.label, one.interval, one.ticks) == ("tests[0] (a burst)", 15.0, 13)
    assert one.given["waiting"] == (0, 4, 4, 4, 4)
    assert [(item.at, dict(item.wanted)) for item in one.expect] == [(60.0, {"value": 4.0})]


def test_without_an_interval_it_is_the_formulas():
    one = timeline("{parameters: {interval: 2s}, given: {waiting: 1, running: 1}, expect: [{at: 0s, value: 2}]}")
    assert (one.interval, one.label) == (2.0, "tests[0]")


def test_expectations_come_in_the_order_of_time():
    expect = "[{at: 10s, value: 4}, {at: 0s, value: 0}]"
    assert [item.at for item in timeline(f"{{given: {{{EVERYTHING}}}, expect: {expect}}}").expect] == [0.0, 10.0]


def test_parameters_are_those_of_a_trigger():
    text = QUEUE.replace("target: {type", "loud: {type: boolean, default: false}\n  target: {type")
    one = timeline(
        "{parameters: {target: 4, loud: true}, given: {waiting: 1, running: 1}, expect: [{at: 0s, value: 2}]}", text
    )
    assert (one.spec.target, one.spec.parameters) == (4.0, {"target": 4.0})


def test_a_sample_stands_until_the_next_one():
    one = timeline("{interval: 15s, given: {waiting: '1 2 3', running: '0x2'}, expect: [{at: 30s, value: 3}]}")
    values = [one.inputs(now).readings["waiting"] for now in (0.0, 5.0, 14.9, 15.0, 29.0, 30.0)]
    assert [reading.value for reading in values] == [1, 1, 1, 2, 2, 3]
    assert values[1] == Reading(1.0, 5.0)


def test_what_is_left_out_is_absent_where_absence_has_a_meaning():
    one = timeline("{given: {waiting: '1x2', running: '1x2'}, expect: [{at: 10s, value: 2}]}")
    assert one.inputs(10.0).readings["queued"] == Reading(None, 10.0)


def test_the_guards_are_the_same_series_and_0_where_nobody_gives_them():
    text = "name: t\nmetrics: {load: {signal: waiting}}\nformula: load\ntarget: 1\n"
    one = timeline("{given: {load: 7}, expect: [{at: 0s, value: 7}]}", text)
    assert {name: reading.value for name, reading in one.inputs(0.0).activity_signals.items()} == {
        "waiting": 7.0,
        "running": 0.0,
    }
    one = timeline("{given: {load: 7, running: 3}, expect: [{at: 0s, value: 7}]}", text)
    assert one.inputs(0.0).activity_signals["running"].value == 3.0


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("", TargetStatus()),
        (", replicas: 4", TargetStatus(4, 4, 0, source="the test")),
        (", replicas: 4, ready: 1", TargetStatus(4, 1, 3, source="the test")),
        (", replicas: 1, ready: 4", TargetStatus(1, 4, 0, source="the test")),
        (", replicas: 4, ready: 1, starting: 2", TargetStatus(4, 1, 2, source="the test")),
        (", ready: 2", TargetStatus(None, 2, None, source="the test")),
        (", replicas: _, ready: _", TargetStatus()),
        (", replicas: 3, ready: _, starting: _", TargetStatus(3, None, None, source="the test")),
    ],
)
def test_the_replicas_are_given_like_metrics(given, known):
    one = timeline(f"{{given: {{waiting: 0, running: 0{given}}}, expect: [{{at: 0s, value: 0}}]}}")
    assert one.inputs(0.0).target_status == known


LATCH = """
name: t
metrics: {drift: {prometheus: drift}}
formula: drift
activation: drift > 3
policy: {kind: latch, resetBelow: 2}
"""


WORK_DAYS = (
    QUEUE + "schedule: [{name: work days, days: Mon-Fri, hours: 08:00-18:00, timezone: Europe/Berlin, min: 4}]\n"
)
QUIET = f"given: {{{EVERYTHING}}}, expect: [{{at: 0s, replicas: 4}}]"


def test_the_schedule_is_part_of_a_test_that_says_when_it_starts():
    assert timeline(f"{{{QUIET}}}", WORK_DAYS).spec.schedule == ()
    assert list(mismatches(timeline(f"{{start: 2026-01-16T08:00:00+01:00, {QUIET}}}", WORK_DAYS))) == []
    [early] = mismatches(timeline(f"{{start: 2026-01-16T07:59:00+01:00, {QUIET}}}", WORK_DAYS))
    assert (early.differences[0].wanted, early.differences[0].actual) == (4, 1)


@pytest.mark.parametrize("start", ["8:00", "2026-01-16T08:00:00", "today", "8"])
def test_a_start_is_a_time_with_its_offset(start):
    with pytest.raises(ConfigError, match=r"tests\[0\].start: .*a time with its offset"):
        timeline(f"{{start: '{start}', {QUIET}}}", WORK_DAYS)


def test_the_jobs_that_came_are_told_as_they_were_at_each_time():
    one = timeline(
        "{given: {drift: 4}, jobs: [{started: 5s, failed: 9s}, {started: 15s}], expect: [{at: 0s, value: 4}]}", LATCH
    )
    assert [one.inputs(now).target.scaled.jobs for now in (0.0, 5.0, 9.0, 20.0)] == [
        (),
        (Job("job-1", 5.0),),
        (Job("job-1", 5.0, "failed", 9.0),),
        (Job("job-2", 15.0), Job("job-1", 5.0, "failed", 9.0)),
    ]
    assert timeline("{given: {waiting: 1, running: 1}, expect: [{at: 0s, value: 2}]}").inputs(0.0).target.scaled is None


@pytest.mark.parametrize(
    ("jobs", "problem"),
    [
        ("7", "tests[0].jobs: 7 is not allowed; allowed: a list"),
        ("[{succeeded: 1m}]", "tests[0].jobs[0].started: is missing"),
        ("[{started: 2m, failed: 1m}]", "tests[0].jobs[0].failed: '1m' is not allowed; allowed: a duration from 2m to"),
        ("[{started: 1m, failed: 2m, succeeded: 2m}]", "tests[0].jobs[0].failed: and succeeded are both given"),
        ("[{started: 1m, ended: 2m}]", "tests[0].jobs[0].ended: unknown key"),
        (f"[{'{started: 1m}, ' * 51}]", "tests[0].jobs: has 51 items; allowed: at most 50"),
    ],
)
def test_wrong_jobs_are_one_error(jobs, problem):
    with pytest.raises(ConfigError) as raised:
        timeline(f"{{given: {{drift: 4}}, jobs: {jobs}, expect: [{{at: 0s, value: 4}}]}}", LATCH)
    assert problem in str(raised.value)


def test_jobs_belong_to_formulas_that_start_jobs():
    with pytest.raises(ConfigError, match=r"tests\[0\].jobs: unknown key"):
        timeline("{given: {waiting: 1, running: 1}, jobs: [], expect: [{at: 0s, value: 2}]}")


@pytest.mark.parametrize(
    ("test", "problem"),
    [
        ("{given: {waitin: 1}, expect: [{at: 0s, value: 0}]}", "mine.yaml: tests[0].given.waitin: unknown key, did you mean waiting?"),
        (f"{{given: {{{EVERYTHING}, depth: 1}}, expect: [{{at: 0s, value: 0}}]}}", "tests[0].given.depth: unknown key"),
        ("{given: {waiting: 1}, expect: [{at: 0s, value: 0}]}", "tests[0].given.running: is not given, and its absence means nothing"),
        ("{given: {waiting: 1y, running: 1}, expect: [{at: 0s, value: 0}]}", "tests[0].given.waiting: '1y' is not allowed; allowed: samples in"),
        ("{given: {waiting: 1, running: 1}, expect: [{at: 5s, value: 0}]}", "tests[0].given.waiting: ends at 0s, and something is expected at 5s"),
        ("{given: {waiting: 1, running: 1}}", "tests[0].expect: is missing"),
        ("{given: {waiting: 1, running: 1}, expect: []}", "tests[0].expect: has 0 items; allowed: 1 to 1,000"),
        ("{given: {waiting: 1, running: 1}, expect: 7}", "tests[0].expect: 7 is not allowed; allowed: a list"),
        ("{given: {waiting: 1, running: 1}, expect: [{value: 0}]}", "tests[0].expect[0].at: is missing"),
        ("{given: {waiting: 1, running: 1}, expect: [{at: 0s}]}", f"tests[0].expect[0]: expects nothing; allowed: {', '.join(WORDS)}"),
        ("{given: {waiting: 1, running: 1}, expect: [{at: 0s, vale: 0}]}", "tests[0].expect[0].vale: unknown key, did you mean value?"),
        ("{given: {waiting: 1, running: 1}, expect: [{at: 0s, active: 2}]}", "tests[0].expect[0].active: 2 is not allowed; allowed: true or false"),
        ("{given: {waiting: 1, running: 1}, expect: [{at: 0s, answer: some}]}", "allowed: given, none"),
        ("{given: {waiting: 1, running: 1}, expect: [{at: 0s, certainty: sure}]}", "allowed: certain, raising, held, unknown"),
        ("{interval: 0s, given: {waiting: 1, running: 1}, expect: [{at: 0s, value: 2}]}", "tests[0].interval: '0s' is not allowed"),
        ("{parameters: {targte: 1}, given: {waiting: 1}, expect: [{at: 0s, value: 2}]}", "tests[0].parameters.targte: unknown key, did you mean target?"),
        ("{parameters: {target: no}, given: {waiting: 1}, expect: [{at: 0s, value: 2}]}", "tests[0].parameters.target: 'false' is not allowed"),
        ("{grace: 1, given: {waiting: 1, running: 1}, expect: [{at: 0s, value: 2}]}", "tests[0].grace: unknown key"),
        ("7", "tests[0]: 7 stands where keys and values belong"),
    ],
)  # fmt: skip
def test_a_wrong_test_is_one_error(test, problem):
    with pytest.raises(ConfigError) as raised:
        timeline(test)
    assert problem in str(raised.value)
