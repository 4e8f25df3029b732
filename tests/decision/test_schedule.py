"""A schedule: windows on the clock of a time zone, over midnight and over its changes; floors and ceilings."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.timelines import fold, said, workload

from scaler.config.defaults import Defaults
from scaler.config.schedule import schedule
from scaler.decision.explain import explain
from scaler.decision.explanation import from_json, to_json
from scaler.decision.render import as_text
from scaler.decision.schedule import holds_until, scheduled

LOAD = """
name: load
metrics: {load: {prometheus: load}}
formula: load
target: 1
interval: 10s
holdFor: 60s
"""
WORK = "{name: work days, days: Mon-Fri, hours: 08:00-18:00, timezone: Europe/Berlin, min: 4}"
NIGHTS = "{name: nights, hours: 22:00-06:00, timezone: Europe/Berlin, max: 2}"


def at(written):
    return datetime.fromisoformat(written).timestamp()


def window(**keys):
    return schedule([{"timezone": "Europe/Berlin", "min": 1, **keys}])[0]


def holds(one, written):
    return holds_until(one, at(written)) is not None


def minutes_of(one, day):
    """For how many minutes a window holds, looked at every minute of a day in UTC and the hours around it."""
    start = at(f"{day}T00:00+00:00") - 6 * 3600
    return sum(holds_until(one, start + 60 * minute) is not None for minute in range(24 * 60))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-03-27T07:59:59+01:00", False),
        ("2026-03-27T08:00:00+01:00", True),
        ("2026-03-27T17:59:59+01:00", True),
        ("2026-03-27T18:00:00+01:00", False),
        ("2026-03-28T12:00:00+01:00", False),  # Saturday
        ("2026-03-30T08:00:00+02:00", True),  # in summer an hour earlier by UTC
        ("2026-03-30T08:00:00+01:00", True),
        ("2026-03-30T17:30:00+01:00", False),
    ],
)
def test_a_window_holds_from_its_beginning_to_before_its_end_by_the_clock_on_the_wall(when, expected):
    assert holds(window(days="Mon-Fri", hours="08:00-18:00"), when) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-01-16T22:00:00+01:00", True),  # Friday
        ("2026-01-17T05:59:59+01:00", True),  # Saturday, but it began on Friday
        ("2026-01-17T06:00:00+01:00", False),
        ("2026-01-17T22:30:00+01:00", False),
        ("2026-01-16T05:00:00+01:00", False),  # it would have begun on Thursday
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_on_which_it_begins(when, expected):
    assert holds(window(days="Fri", hours="22:00-06:00"), when) is expected


@pytest.mark.parametrize(
    ("hours", "usual", "missing", "twice"),
    [
        ("02:00-04:00", 120, 60, 180),
        ("01:00-03:00", 120, 60, 180),
        ("02:00-03:00", 60, 0, 120),
        ("02:30-04:00", 90, 60, 150),  # from the change on
        ("01:00-02:30", 90, 60, 150),  # until the change
        ("02:15-02:45", 30, 0, 90),  # from the first to the last time that the clock shows it
        ("23:00-05:00", 360, 300, 420),
    ],
)
def test_over_the_hour_that_is_missing_or_there_twice(hours, usual, missing, twice):
    one = window(hours=hours)
    assert minutes_of(one, "2026-03-15") == usual
    assert minutes_of(one, "2026-03-29") == missing
    assert minutes_of(one, "2026-10-25") == twice


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Africa/Cairo", "2026-04-24", 23),  # there is no midnight: the clock goes from 00:00 to 01:00
        ("Australia/Lord_Howe", "2026-04-05", 24.5),  # by half an hour
        ("Asia/Kathmandu", "2026-04-05", 24),
    ],
)
def test_a_whole_day_is_as_long_as_it_is(zone, day, expected):
    weekday = datetime.fromisoformat(day).strftime("%a")
    one = window(days=weekday, timezone=zone)
    start = at(f"{day}T00:00+00:00") - 86400
    held = [start + 300 * tick for tick in range(3 * 288) if holds_until(one, start + 300 * tick) is not None]
    assert len(held) / 12 == expected
    assert {datetime.fromtimestamp(moment, one.zone).date().isoformat() for moment in held} == {day}


ZONES = ["Europe/Berlin", "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]


@given(
    zone=st.sampled_from(ZONES),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
    now=st.integers(1_300_000_000, 1_900_000_000),
)
@settings(max_examples=150, deadline=None)
def test_it_holds_whenever_the_clock_shows_a_time_in_it(zone, start, length, now):
    end = (start + length) % 1440
    hours = f"{start // 60:02}:{start % 60:02}-{end // 60:02}:{end % 60:02}"
    one = window(hours=hours, timezone=zone)
    clock = datetime.fromtimestamp(now, one.zone)
    into = (clock.hour * 60 + clock.minute - start) % 1440
    until = holds_until(one, now)
    if into < length:
        assert until is not None
    if until is not None:
        assert now < until <= now + timedelta(hours=26).total_seconds()
        assert holds_until(one, until) is None or holds_until(one, until) > until


def test_the_largest_floor_and_the_lowest_ceiling_count_and_a_floor_wins():
    bounds = scheduled(
        schedule([{"timezone": "UTC", "min": 2}, {"timezone": "UTC", "min": 5}, {"timezone": "UTC", "max": 9}]), 0.0
    )
    assert [bounds.within(due) for due in (0, 5, 7, 9, 12, None)] == [5, 5, 7, 9, 9, None]
    odd = scheduled(schedule([{"timezone": "UTC", "min": 5}, {"timezone": "UTC", "max": 3}]), 0.0)
    assert [odd.within(due) for due in (0, 4, 9)] == [5, 5, 5]
    assert "gives way to the floor of 5" in odd.says_ceiling()


# ---- in the fold -------------------------------------------------------------------------------------------------


def run(schedules, rows, start, defaults=None, **more):
    spec = workload(f"{LOAD}schedule: [{schedules}]\n", defaults, **more)
    return fold(spec, rows, start=at(start))[1]


def test_a_floor_begins_and_ends_with_its_window_and_says_so():
    rows = [{"load": 1, "replicas": 1}] * 4
    begins = run(WORK, rows, "2026-01-16T07:59:40+01:00")
    assert [one.replicas for one in begins] == [1, 1, 4, 4]
    assert "4 replicas, not 1, since schedule `work days`: at least 4 until 18:00 Europe/Berlin" in begins[2].reason
    ends = run(WORK, rows, "2026-01-16T17:59:40+01:00")
    assert [one.replicas for one in ends] == [4, 4, 1, 1]
    assert "schedule" not in ends[3].reason


def test_a_load_above_the_floor_is_answered_as_ever():
    [decision] = run(WORK, [{"load": 9, "replicas": 4}], "2026-01-16T09:00:00+01:00")
    assert decision.replicas == 9
    assert "schedule" not in decision.reason


def test_a_floor_wakes_from_zero_and_keeps_active_and_after_it_idle_for_decides():
    rows = [{"load": 0, "replicas": 0}] * 12
    decisions = run(WORK, rows, "2026-01-16T07:59:40+01:00")
    assert said(decisions)[:3] == [(0, False), (0, False), (4, True)]
    assert "kept active by the schedule" in decisions[2].reason
    quiet = run(WORK, [{"load": 0, "replicas": 4}] * 12, "2026-01-16T17:59:40+01:00")
    assert said(quiet)[1] == (4, True)
    assert said(quiet)[-1] == (0, False)


def test_without_data_a_floor_holds_and_after_hold_for_an_outage_is_an_error():
    rows = [{"load": 1, "replicas": 1}] * 2 + [{"load": "down", "replicas": 1}] * 10
    decisions = run(WORK, rows, "2026-01-16T07:59:30+01:00")
    assert [one.replicas for one in decisions[:5]] == [1, 1, 1, 4, 4]
    assert "schedule `work days`: at least 4 until 18:00 Europe/Berlin" in decisions[3].reason
    assert decisions[-1].replicas is None


def test_a_ceiling_limits_what_is_certain_and_missing_data_lowers_nothing():
    rows = [{"load": 9, "replicas": 9}] * 4
    certain = run(NIGHTS, rows, "2026-01-16T21:59:40+01:00")
    assert [one.replicas for one in certain] == [9, 9, 2, 2]
    assert "2 replicas, not 9, since schedule `nights`: at most 2 until 06:00 Europe/Berlin" in certain[2].reason
    gone = [*rows[:2], {"load": "down", "replicas": 9}, {"load": "down", "replicas": 9}, {"load": 9, "replicas": 9}]
    assert [one.replicas for one in run(NIGHTS, gone, "2026-01-16T21:59:40+01:00")] == [9, 9, 9, 9, 2]


def test_after_a_floor_the_answer_falls_at_its_pace_and_a_ceiling_holds_at_once():
    long = [{"load": 1, "replicas": 4}] * 60
    falling = run(WORK, long, "2026-01-16T17:55:00+01:00", Defaults())
    assert [one.replicas for one in falling[::6]] == [4, 4, 4, 4, 4, 3, 2, 1, 1, 1]
    capped = run(NIGHTS, [{"load": 9, "replicas": 9}] * 24, "2026-01-16T21:58:00+01:00", Defaults())
    assert [one.replicas for one in capped[::6]] == [9, 9, 2, 2]
    assert "schedule `nights`: at most 2 until 06:00" in capped[-1].reason
    kept = run(WORK, [{"load": 1, "replicas": 4}] * 3, "2026-01-16T09:00:00+01:00", Defaults())
    assert all("not 1, since schedule `work days`: at least 4 until 18:00" in one.reason for one in kept)


def test_explain_shows_what_holds():
    [decision] = run(
        f"{WORK}, {WORK.replace('min: 4', 'max: 8').replace('work days', 'budget')}",
        [{"load": 1, "replicas": 4}],
        "2026-01-16T09:00:00+01:00",
    )
    explained = explain(decision)
    assert from_json(to_json(explained)) == explained
    assert [row.message for row in explained.schedule] == [
        "schedule `work days`: at least 4 until 18:00 Europe/Berlin",
        "schedule `budget`: at most 8 until 18:00 Europe/Berlin",
    ]
    assert "schedule `work days`: at least 4 until 18:00 Europe/Berlin\n" in as_text(explained)


def test_a_floor_is_told_where_nothing_is_needed_and_one_is_kept():
    one = WORK.replace("min: 4", "min: 1")
    [decision] = run(one, [{"load": 0, "replicas": 0}], "2026-01-16T09:00:00+01:00")
    assert decision.reason.startswith("1 replica, not 0, since schedule `work days`: at least 1 until 18:00")


loads = st.one_of(st.integers(0, 12), st.just("down"))


@given(rows=st.lists(st.tuples(loads, st.integers(0, 12)), min_size=1, max_size=8), memory=st.sampled_from([0, 30]))
@settings(max_examples=60, deadline=None)
def test_a_window_is_named_only_where_its_bound_is_the_answer(rows, memory):
    """Uncertain data is not lowered to a ceiling, so no ceiling is named for it either."""
    measured = "{prometheus: load}" if not memory else f"{{prometheus: load, over: {memory}s, reduce: max}}"
    spec = workload(f"{LOAD.replace('{prometheus: load}', measured)}schedule: [{WORK}, {NIGHTS}]\n")
    taken = [{"load": load, "replicas": replicas} for load, replicas in rows]
    for start, bound in (("2026-01-16T09:00:00+01:00", 4), ("2026-01-16T23:00:00+01:00", 2)):
        for decision in fold(spec, taken, start=at(start))[1]:
            assert not decision.bounded_by or decision.replicas == bound
            assert bound == 4 or "at least" not in decision.bounded_by


def test_of_several_ceilings_the_lowest_counts():
    bounds = scheduled(schedule([{"timezone": "UTC", "max": count} for count in (9, 5, 7)]), 0.0)
    assert (bounds.within(12), bounds.within(5)) == (5, 5)


def test_where_the_clock_goes_back_into_a_window_that_has_just_begun_it_holds_until_the_next_day():
    """From 02:30 to 02:15 of the next day: at 02:45, which comes twice, that of the day before holds still, and the new one."""
    one = window(hours="02:30-02:15")
    assert holds_until(one, at("2026-10-25T02:45:00+02:00")) == at("2026-10-26T02:15:00+01:00")
