"""Windows of time as users write them: in a file, in a trigger, and what is refused."""

import jsonschema
import pytest
from support.timelines import workload

from scaler.config.schedule import DAYS, days, hours, schedule
from scaler.config.schema import formula_schema
from scaler.model.errors import ConfigError
from scaler.model.strict_yaml import parse_yaml

LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\n"
WORK = "{name: work days, days: Mon-Fri, hours: 08:00-18:00, timezone: Europe/Berlin, min: 4}"


def windows(text):
    return workload(f"{LOAD}schedule:\n- {text}\n").schedule


def test_a_trigger_says_the_same_as_a_file_as_one_text():
    [window] = windows(WORK)
    assert (window.name, window.minimum, window.maximum) == ("work days", 4, None)
    assert (window.start, window.end, window.timezone) == (480, 1080, "Europe/Berlin")
    assert workload(LOAD, schedule=f"- {WORK}").schedule == (window,)
    assert workload(LOAD, schedule=f"[{WORK}]").schedule == (window,)


def test_a_trigger_takes_the_place_of_the_file():
    text = f"{LOAD}schedule: [{WORK}]\n"
    assert [window.minimum for window in workload(text, schedule="[{timezone: UTC, min: 2}]").schedule] == [2]


def test_a_parameter_can_give_a_bound():
    text = LOAD + "parameters: {floor: {type: number, default: 3}}\nschedule: [{timezone: UTC, min: $floor}]\n"
    assert workload(text).schedule[0].minimum == 3
    assert workload(text, floor="7").schedule[0].minimum == 7


def test_what_is_left_out_is_every_day_all_day_and_the_name_says_so():
    [window] = schedule([{"timezone": "UTC", "min": 1}])
    assert (window.name, window.days, window.start, window.end) == ("always", frozenset(range(7)), 0, 1440)
    assert (
        schedule([{"days": "Sat,Sun", "hours": "0:00-9:30", "timezone": "UTC", "max": 1}])[0].name
        == "Sat,Sun 0:00-9:30"
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("Mon-Fri", "Mon Tue Wed Thu Fri"), ("Sat, Sun", "Sat Sun"), ("Fri-Mon", "Fri Sat Sun Mon"), ("Wed", "Wed")],
)
def test_days_of_the_week(written, meant):
    assert days(written) == {DAYS.index(day) for day in meant.split()}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("08:00-18:00", (480, 1080)),
        ("22:00-06:00", (1320, 360)),
        ("00:00-24:00", (0, 1440)),
        ("22:00-00:00", (1320, 1440)),
    ],
)
def test_hours_of_the_day(written, meant):
    assert hours(written) == meant


WRONG = [
    (
        "{days: Mon-Fry, timezone: UTC, min: 1}",
        r"schedule\[0\].days: 'Mon-Fry' is not allowed; allowed: days of the week",
    ),
    ("{hours: 08:00-25:00, timezone: UTC, min: 1}", r"schedule\[0\].hours: '08:00-25:00' is not allowed"),
    ("{hours: 08:00-08:00, timezone: UTC, min: 1}", r"schedule\[0\].hours: .*has to end at another time"),
    ("{hours: 24:00-08:00, timezone: UTC, min: 1}", r"schedule\[0\].hours: "),
    ("{timezone: Europe/Berln, min: 1}", r"schedule\[0\].timezone: 'Europe/Berln' is not allowed.*Europe/Berlin"),
    ("{timezone: Europe, min: 1}", r"schedule\[0\].timezone: "),
    ("{timezone: ../../etc/passwd, min: 1}", r"schedule\[0\].timezone: "),
    ("{hours: 08:00-18:00, min: 1}", r"schedule\[0\].timezone: is missing"),
    ("{timezone: UTC}", r"schedule\[0\].min: is missing, and so is max"),
    ("{timezone: UTC, min: 5, max: 4}", r"schedule\[0\].min: 5 is more than max; allowed: at most max, which is 4"),
    ("{timezone: UTC, min: 0}", r"schedule\[0\].min: 0 is not allowed"),
    ("{timezone: UTC, min: 1, hour: 3}", r"schedule\[0\].hour: unknown key"),
    ("work days", r"schedule\[0\]: 'work days' stands where keys and values belong"),
]


@pytest.mark.parametrize(("window", "told"), WRONG)
def test_what_is_wrong_is_told_with_its_place(window, told):
    with pytest.raises(ConfigError, match=f"^test.yaml: {told}"):
        windows(window)
    with pytest.raises(ConfigError, match=f"^trigger: {told}"):
        workload(LOAD, schedule=f"- {window}")


@pytest.mark.parametrize("wrong", ["4", "[]", "{timezone: UTC, min: 1}", "[", "- &a {timezone: UTC, min: 1}\n- *a"])
def test_what_is_no_list_of_windows_is_refused(wrong):
    with pytest.raises(ConfigError, match="^trigger: schedule: "):
        workload(LOAD, schedule=wrong)


def test_fifty_windows_are_taken_and_no_more():
    assert len(windows("\n- ".join([WORK] * 50))) == 50
    with pytest.raises(ConfigError, match="a list of 1 to 50 windows"):
        windows("\n- ".join([WORK] * 51))


def test_jobs_have_no_schedule():
    with pytest.raises(ConfigError, match="trigger: schedule: bounds replicas, and a ScaledJob starts Jobs"):
        workload(LOAD, schedule=f"- {WORK}", kind="ScaledJob")


@pytest.mark.parametrize(
    ("written", "valid"),
    [
        (f"[{WORK}]", True),
        ("[{timezone: UTC, min: $floor}]", True),
        ("$windows", True),
        ("[{timezone: UTC, hours: 08:00-25:00, min: 1}]", False),
        ("[{timezone: UTC}]", False),
        ("[]", False),
    ],
)
def test_the_schema_takes_what_the_reader_takes(written, valid):
    tree = parse_yaml(f"{LOAD}schedule: {written}\n", "test.yaml")
    assert jsonschema.Draft202012Validator(formula_schema()).is_valid(tree) is valid


def test_minutes_are_added_to_the_hour():
    assert hours("08:30-18:45") == (510, 1125)
