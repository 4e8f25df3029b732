"""One thing that is wrong: what, by what evidence, and the one command or line that repairs it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]  # error: it does not scale as it should; warning: it will not, one day


@dataclass(frozen=True, slots=True)
class Found:
    """The words of a finding."""

    what: str
    evidence: str
    repair: str
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding, and the rule that found it."""

    rule: str
    what: str
    evidence: str
    repair: str
    severity: Severity


def warn(what: str, evidence: str, repair: str) -> Found:
    """Make a finding that does no harm yet."""
    return Found(what, evidence, repair, "warning")
