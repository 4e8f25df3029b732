"""What is logged, and in which form."""

import io
import json
import logging
from dataclasses import replace

import pytest
from support import timelines

from scaler.decision.decision import Answer
from scaler.server import logs

CALM = timelines.fold(timelines.workload(expression="waiting", target="1"), [{"waiting": 3.0}])[1][0]


@pytest.fixture
def logged():
    """Configures logging into a text, and gives both back."""
    root, stream = logging.getLogger(), io.StringIO()
    kept = root.handlers[:], root.level

    def configured(form, level="info"):
        root.handlers = []
        logs.configure(level, form, stream)
        return stream

    yield configured
    root.handlers, root.level = kept


def test_a_json_line_is_the_event_with_its_fields(logged):
    out = logged("json")
    logging.getLogger("scaler.engine.engine").warning("a fold failed", extra={"workload": "a/b", "at": 3.5, "odd": {1}})
    line = json.loads(out.getvalue())
    assert line.pop("ts").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "scaler.engine.engine",
        "event": "a fold failed",
        "workload": "a/b",
        "at": 3.5,
        "odd": "{1}",
    }


def test_a_plain_line_is_for_people(logged):
    out = logged("text")
    logging.getLogger("x").info("listening", extra={"port": 6000, "reason": "two words"})
    assert out.getvalue()[8:] == ' INFO    listening  port=6000 reason="two words"\n'


@pytest.mark.parametrize("form", ["json", "text"])
def test_what_strangers_write_stays_on_its_line(logged, form):
    out = logged(form)
    logging.getLogger("x").info("asked", extra={"name_of": 'a\n{"level": "error"}'})
    assert out.getvalue().count("\n") == 1


def test_an_exception_brings_its_traceback(logged):
    for form in ("json", "text"):
        out = logged(form)
        try:
            raise ValueError("bad")
        except ValueError:
            logging.getLogger("x").exception("a call failed")
    assert "traceback" in json.loads(out.getvalue().splitlines()[0])
    assert out.getvalue().endswith("ValueError: bad\n")


def test_below_the_level_nothing_is_written(logged):
    out = logged("json", "warning")
    logging.getLogger("x").info("quiet")
    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:hunter2@prometheus:9090/api", "http://***@prometheus:9090/api"),
        ("Authorization: Bearer eyJhbGciOi.J9-x_y", "Authorization: Bearer ***"),
        ("authorization=basic dXNlcjpwYXNz==", "authorization=basic ***"),
        ("http://prometheus:9090/a@b", "http://prometheus:9090/a@b"),
    ],
)
@pytest.mark.parametrize("form", ["json", "text"])
def test_what_looks_like_a_credential_is_blacked_out(logged, form, text, shown):
    out = logged(form)
    logging.getLogger("x").info(text, extra={"field": text})
    assert out.getvalue().count(shown) == 2


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, False),
        ({"at": 5.0, "told": "other words", "value": 2.5, "uncertain_for": 3.0}, False),
        ({"answer": Answer(4, True, 0.0)}, True),
        ({"answer": Answer(3, False, 0.0)}, True),
        ({"answer": Answer(3, True, 5.0)}, False),
        ({"certainty": "held"}, True),
        ({"answer": None, "certainty": "unknown"}, True),
    ],
)
def test_a_decision_has_changed_when_the_wire_says_something_else(change, changed):
    assert logs.decision_changed(CALM, replace(CALM, **change)) is changed


def test_the_first_decision_is_a_change():
    assert logs.decision_changed(None, CALM) is True


def test_only_changes_are_logged_and_uncertain_ones_as_warnings(caplog):
    caplog.set_level("INFO")
    held = replace(CALM, certainty="held", told="no series")
    for old, new in ((None, CALM), (CALM, CALM), (CALM, held), (held, held), (held, CALM)):
        logs.log_decision(old, new)
    assert [(record.levelname, record.certainty, record.was) for record in caplog.records] == [
        ("INFO", "certain", None),
        ("WARNING", "held", 3),
        ("INFO", "certain", 3),
    ]
    assert caplog.records[1].workload == "team/llama"
    assert caplog.records[1].reason == "no series"
