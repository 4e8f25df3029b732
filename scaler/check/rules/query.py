"""Queries: what is no PromQL, and what the engine catalogue knows, whose names change with the engine's version."""

import re
from collections.abc import Iterator, Mapping
from functools import cache

import promql_parser

from scaler.check.evidence import Evidence, MessagesFound
from scaler.config import signals
from scaler.config.promql import quoted_name
from scaler.config.signals import Signal
from scaler.model.measurement import PromqlQuery

_UNSURE = ("invalid promql query", "unexpected character inside brackets")  # also said of what is newer than the parser
_NAME = re.compile(r"[A-Za-z_:][\w:]*")


@cache
def _known() -> Mapping[str, Signal]:
    """Name of a metric -> a signal that is measured by it, if possible without a detour."""
    measured = [
        (metric.info_join is None, metric.name, signal)
        for offered in signals.engines().values()
        for signal in offered.values()
        for metric in signal.metrics
    ]
    known: dict[str, Signal] = {}
    for _, name, signal in sorted(measured, key=lambda one: not one[0]):
        known.setdefault(name, signal)
    return known


def known_signal(evidence: Evidence) -> MessagesFound:
    """Find a query that names what is a signal."""
    for item in evidence.spec.inputs:
        if isinstance(item.query, PromqlQuery):
            words = _NAME.findall(item.query.text)
            names = (name for word in words for name in (word, re.sub(r"_(bucket|sum|count)$", "", word)))
            for name in dict.fromkeys(name for name in names if name in _known()):
                signal = _known()[name]
                rather = f"{{signal: {signal.name}, engine: {signal.engine}}}"
                yield f"{item.name} reads {name}; {rather} is right for every version", ""


def not_promql(evidence: Evidence) -> MessagesFound:
    """Find a query that no Prometheus would take, such as one with an unknown function or a bracket too few."""
    for name, problem in _refused(evidence):
        if not problem.startswith(_UNSURE):
            yield f"{name} is not PromQL: {problem}", ""


def perhaps_not_promql(evidence: Evidence) -> MessagesFound:
    """Find a query that the parser of `check` does not read: most likely a mistake, or else newer than the parser."""
    for name, problem in _refused(evidence):
        if problem.startswith(_UNSURE):
            yield f"{name} may not be PromQL ({problem}); try it in Prometheus before you rely on it", ""


def _refused(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Name of a metric, and what the parser says of its query."""
    for item in evidence.spec.inputs:
        if isinstance(item.query, PromqlQuery):
            try:
                promql_parser.parse(item.query.text)
            except ValueError as error:
                dot = item.query.text.find(".") if "'.'" in str(error) else -1
                yield item.name, f"{error}{quoted_name(item.query.text, dot)}"
