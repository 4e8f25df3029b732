"""Logs: one JSON object a line on standard error, or plain lines for people at a terminal.

Events are constant texts, and what varies stands in fields of its own. A decision is logged when it changes, not when
it is taken: KEDA asks, and the engine decides, many times a minute. Nothing that KEDA sends is logged but names.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

from scaler.decision.decision import Decision

logger = logging.getLogger(__name__)

_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECRETS = (
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]*@"), "***@"),  # a user and password in a URL
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
)


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send all logs to one place in one form.

    Args:
        level: debug, info, warning or error.
        form: "json" or "text".
        stream: standard error when not given.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Json() if form == "json" else Plain())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class Json(logging.Formatter):
    """One JSON object a line: ts, level, logger, event, then the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {"ts": _time(record), "level": record.levelname.lower(), "logger": record.name}
        line |= dict(_told(record, self))
        return _hide(json.dumps(line, default=str, ensure_ascii=False))


class Plain(logging.Formatter):
    """One line a person reads: time, level, event, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the traceback below it."""
        told = dict(_told(record, self))
        event, trace = told.pop("event"), told.pop("traceback", "")
        fields = " ".join(f"{key}={json.dumps(value, default=str, ensure_ascii=False)}" for key, value in told.items())
        head = f"{_time(record)[11:19]} {record.levelname:<7} {event}"
        return _hide("\n".join(part for part in (f"{head}  {fields}".rstrip(), str(trace)) if part))


def _told(record: logging.LogRecord, form: logging.Formatter) -> Iterator[tuple[str, object]]:
    yield "event", record.getMessage()
    yield from ((key, value) for key, value in vars(record).items() if key not in _OWN)
    if record.exc_info:
        yield "traceback", form.formatException(record.exc_info)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _hide(text: str) -> str:
    """Black out what looks like a credential: nothing should bring one here, and this is the last gate."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


def decision_changed(old: Decision | None, new: Decision) -> bool:
    """Tell whether the wire would say something else, or say it on other grounds."""
    if old is None:
        return True
    return (old.replicas, old.active, old.certainty) != (new.replicas, new.active, new.certainty)


def log_decision(old: Decision | None, new: Decision) -> None:
    """Log a decision that has changed; one that is not certain any more is a warning."""
    if not decision_changed(old, new):
        return
    level = logging.WARNING if new.certainty in {"held", "unknown"} else logging.INFO
    fields = {
        "workload": str(new.key),
        "trigger": new.key.trigger,
        "formula": new.spec.formula,
        "replicas": new.replicas,
        "active": new.active,
        "certainty": new.certainty,
        "was": old.replicas if old else None,
        "reason": new.reason,
    }
    logger.log(level, "decision changed", extra=fields)
