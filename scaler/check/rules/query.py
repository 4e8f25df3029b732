"""Queries for what the engine catalogue knows: their names change with the engine's version, and then scaling stops."""

import re
from collections.abc import Mapping
from functools import cache

from scaler.check.evidence import Evidence, Found
from scaler.config import signals
from scaler.config.signals import Signal
from scaler.model.measurement import QueryAsk

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


def known_signal(evidence: Evidence) -> Found:
    """A query that names what is a signal."""
    for item in evidence.spec.inputs:
        if isinstance(item.ask, QueryAsk):
            words = _NAME.findall(item.ask.text)
            names = (name for word in words for name in (word, re.sub(r"_(bucket|sum|count)$", "", word)))
            for name in dict.fromkeys(name for name in names if name in _known()):
                signal = _known()[name]
                rather = f"{{signal: {signal.name}, engine: {signal.engine}}}"
                yield f"{item.name} reads {name}; {rather} is right for every version", ""
