"""KEDA's cron trigger: where the end comes before the next start, it is inside."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from scaler.model.errors import ConfigError
from scaler.sim.backtest.schedule import CronWindow


def at(text, zone="Europe/Berlin"):
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


OFFICE = CronWindow("0 8 * * 1-5", "0 18 * * 1-5", "Europe/Berlin")
NIGHT = CronWindow("0 22 * * *", "30 5 * * *", "Europe/Berlin")


@pytest.mark.parametrize(
    ("window", "when", "inside"),
    [
        (OFFICE, "2026-11-23T07:59:59", False),  # a Monday
        (OFFICE, "2026-11-23T08:00:00", True),
        (OFFICE, "2026-11-23T17:59:59", True),
        (OFFICE, "2026-11-23T18:00:00", False),
        (OFFICE, "2026-11-28T12:00:00", False),  # a Saturday
        (NIGHT, "2026-11-28T23:00:00", True),
        (NIGHT, "2026-11-29T05:29:00", True),
        (NIGHT, "2026-11-29T05:30:00", False),
        (OFFICE, "2026-03-30T08:00:00", True),  # the day after the clocks went forward
        (OFFICE, "2026-10-26T07:59:00", False),  # and back
        (CronWindow("0 8 ? * *", "0 9 * * *", "Europe/Berlin"), "2026-11-23T08:30:00", True),
    ],
)
def test_a_window_holds_from_its_start_to_its_end(window, when, inside):
    assert window.holds(at(when)) is inside


@pytest.mark.parametrize(
    ("window", "key", "words"),
    [
        (CronWindow("0 8 * *", "0 9 * * *", "UTC"), "start", "five fields"),
        (CronWindow("0 8 * * *", "at nine", "UTC"), "end", "five fields"),
        (CronWindow("0 8 * * *", "0 9 * * *", "Berlin"), "timezone", "Europe/Berlin"),
        (CronWindow("0 8 * * *", "0 8 * * *", "UTC"), "end", "the same as start"),
    ],
)
def test_what_keda_could_not_read_is_refused_by_its_key(window, key, words):
    with pytest.raises(ConfigError, match=words) as error:
        window.check("so.yaml", "spec.triggers[0].metadata")
    assert error.value.key == f"spec.triggers[0].metadata.{key}"
