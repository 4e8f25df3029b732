"""Everything that can go wrong, as one tree.

    ScalerError                 INTERNAL             never raised itself
    ├── ConfigError             INVALID_ARGUMENT     a file or a trigger says something that is not allowed
    │   ├── FormulaSyntaxError                       a formula that cannot be read; carries offset and caret
    │   ├── OfAnotherKind                            an answer that is no vector (sources/prometheus/identity.py)
    │   └── UnsupportedError    UNIMPLEMENTED        known to the design, not built yet
    ├── UnknownFormula          NOT_FOUND            no formula file of that name
    ├── UnknownMetric           NOT_FOUND            GetMetrics for a metric that was never offered
    ├── EvaluationError         FAILED_PRECONDITION  division by zero, nil, overflow, reached while evaluating
    ├── SourceError             UNAVAILABLE          a measurement could not be had
    │   ├── QueryError                               the server refuses this one question; others it may answer
    │   ├── SlowError                                no answer in time, for this question or for all of them
    │   ├── Refused                                  Kubernetes will not give a resource (sources/kubernetes/api.py)
    │   │   └── Missing                              it has no such resource
    │   └── Gone                                     a watch has to begin again with a list
    ├── NoAnswer                UNAVAILABLE          nothing certain enough to be said
    └── Overloaded              RESOURCE_EXHAUSTED   more is asked than this server carries

`code` is the name of a gRPC status, kept as text so that the pure rooms need no grpc; `server/status.py` maps it.
The text of an error is what users read in the events of their ScaledObject: what, where, the value, and what is
allowed. It carries no secret.
"""

import difflib
from collections.abc import Iterable


def unreadable(error: OSError | ValueError) -> str:
    """Say why a text file cannot be read: in the operating system's words, or that it is not UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 (byte {error.start})"
    return getattr(error, "strerror", None) or str(error)


class ScalerError(Exception):
    """Base of the tree."""

    code = "INTERNAL"


class ConfigError(ScalerError):
    """A file or a trigger says something that is not allowed.

    Args:
        where: the file, or "trigger".
        key: the path of the key, such as `metrics.waiting.over`; empty when the whole is meant.
        problem: what is wrong, with the value.
        allowed: what would be right; empty when `problem` says it.
    """

    code = "INVALID_ARGUMENT"

    def __init__(self, where: str, key: str, problem: str, allowed: str = "") -> None:
        self.where = where
        self.key = key
        self.problem = problem
        self.allowed = allowed
        place = f"{where}: {key}" if key else where
        super().__init__(f"{place}: {problem}" + (f"; allowed: {allowed}" if allowed else ""))


class UnsupportedError(ConfigError):
    """Known to the design, and not built yet."""

    code = "UNIMPLEMENTED"

    def __init__(self, where: str, key: str) -> None:
        super().__init__(where, key, f"{key.rpartition('.')[2]} is not supported yet")


class FormulaSyntaxError(ConfigError):
    """A formula that cannot be read.

    Args:
        text: the whole formula.
        offset: where the fault starts, in characters.
        problem: what is wrong.
        where: the file or trigger it stands in.
        key: the key it stands under.
    """

    def __init__(self, text: str, offset: int, problem: str, where: str = "formula", key: str = "") -> None:
        self.text = text
        self.offset = max(0, min(offset, len(text)))
        line_start = text.rfind("\n", 0, self.offset) + 1
        line_end = text.find("\n", self.offset)
        self.line = text.count("\n", 0, self.offset) + 1
        self.column = self.offset - line_start + 1
        start = max(line_start, self.offset - 60)
        line = text[start : line_end if line_end >= 0 else len(text)][:120].replace("\t", " ")
        self.snippet = f"  {line}\n  {' ' * (self.offset - start)}^"
        super().__init__(where, key, f"{problem} (at {self.line}:{self.column})\n{self.snippet}")
        self.problem = problem

    def placed(self, where: str, key: str) -> "FormulaSyntaxError":
        """Say the same fault of the file and key it stands in."""
        return FormulaSyntaxError(self.text, self.offset, self.problem, where, key)


class UnknownFormula(ScalerError):
    """No formula file of that name."""

    code = "NOT_FOUND"


class UnknownMetric(ScalerError):
    """GetMetrics asked for a metric that GetMetricSpec never offered."""

    code = "NOT_FOUND"


class EvaluationError(ScalerError):
    """A formula that could not be evaluated on these values: division by zero, nil, overflow."""

    code = "FAILED_PRECONDITION"


class SourceError(ScalerError):
    """A measurement could not be had."""

    code = "UNAVAILABLE"


class QueryError(SourceError):
    """The server refuses this one question, or its answer is too large; others it may answer."""


class SlowError(SourceError):
    """There was no answer in time; it may be for the question, or for the server."""


class NoAnswer(ScalerError):
    """Nothing certain enough to be said; the text says since when and why."""

    code = "UNAVAILABLE"


class Overloaded(ScalerError):
    """More is asked at once than this server carries."""

    code = "RESOURCE_EXHAUSTED"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `, did you mean X?` for the known word nearest to `word`, or an empty text when none is near."""
    words = sorted(known)
    alike = [one for one in words if one.lower() == word.strip().lower()]
    close = alike or difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""
