"""Words on what there is where something was looked for and not found: the nearest first, and never many. Pure."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from itertools import product

from scaler.config.signals import Signal, engines
from scaler.model.errors import ConfigError
from scaler.sources.pages.pods import pods_matcher

NAMED = 5  # names in a sentence
_LONGEST = 80  # characters of a stranger's word that are shown
_FOR_COLONS = (("_", "false"), (".", "dots"))  # what stands for a colon, and the setting that says so
_UNNAMED = frozenset({"nim", "kubernetes"})  # engines whose names do not begin with a word of their own


def nearest_first(wanted: str, names: Iterable[str]) -> list[str]:
    """Return a few of the names, those that are most like `wanted` first; cut, since they may be anybody's.

    The nearest is what differs in letter case alone.

    >>> nearest_first("lama", ["mistral", "llama"])
    ['llama', 'mistral']
    """
    likeness = {name: difflib.SequenceMatcher(None, wanted[:_LONGEST], name[:_LONGEST]).ratio() for name in set(names)}
    ordered = sorted(likeness, key=lambda name: (name.lower() != wanted.lower(), -likeness[name], name))
    more = [f"{len(ordered) - NAMED} more"] if len(ordered) > NAMED else []
    return [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..." for name in ordered[:NAMED]] + more


@cache
def beginnings() -> Mapping[str, frozenset[str]]:
    """Map the first words of all engines' and gateways' metrics to whose they are, such as `sglang:` and `tgi_`."""
    found: dict[str, set[str]] = {}
    for engine in engines().keys() - _UNNAMED:
        for signal in engines()[engine].values():
            for metric in signal.metrics:
                found.setdefault(_first_word(metric.name), set()).add(engine)
    return {word: frozenset(whose) for word, whose in found.items()}


def _first_word(name: str) -> str:
    return re.sub(r"^((?:ray_)?[a-z0-9]+(?:_omni)?[:_.]).*", r"\1", name)


def of_engines(signal: Signal, names: Collection[str]) -> str:
    """Say which metrics there are: of the same engine by name, of others by engine; empty where there are none."""
    words = beginnings()
    wanted = signal.metrics[0].name
    for metric, (mark, setting) in product(signal.metrics, _FOR_COLONS):
        respelled = metric.name.replace(":", mark)
        if respelled in names and respelled != metric.name:
            return (
                f"there is {respelled}: whoever scrapes it writes {mark} for the colon; set metricNameColons: {setting}"
            )
    strangers = [name for name in sorted(names) if _first_word(name) not in words]
    for name, metric in product(strangers, signal.metrics):
        if name.endswith(metric.name):
            more = _cut(name.removesuffix(metric.name))
            how = f"keep {metric.name} too, or set metricNamePrefix: {more} for this endpoint"
            return f"there is {_cut(name)}: whoever scrapes it writes {more} before its name; {how}"
    mine = [name for name in names if signal.engine in words.get(_first_word(name), ())]
    if mine:
        return f"of {signal.engine} there is {', '.join(nearest_first(wanted, mine))}"
    others = sorted({engine for name in names for engine in words.get(_first_word(name), ())})
    if others:
        shown = ", ".join(nearest_first(wanted, names))
        return f"there is nothing of {signal.engine}, but {shown}, as {' or '.join(others[:NAMED])} has them"
    if names:
        shown = ", ".join(nearest_first(wanted, names))
        return (
            f"there is nothing of {signal.engine}, but {shown}: is it another process, or one that keeps no statistics?"
        )
    return ""


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."


def emptied(
    signal: Signal,
    asked: Collection[tuple[str, str, str]],
    pod: str,
    series: Collection[Mapping[str, str]],
    pods: str | None = None,
) -> str:
    """Say which of our conditions leaves none of the series of a metric; empty where none does.

    Args:
        signal: what was looked for.
        asked: of every label that tells workloads apart: our name, the endpoint's, and its value.
        pod: what the endpoint calls the label of the pod.
        series: the labels of the metric's series in the workload's namespace.
        pods: the trigger's expression for the names of pods, if it has one.
    """
    left = list(series)
    for _, label, value in asked:
        fitting = [one for one in left if one.get(label, "") == value]
        if not fitting:
            return _differs(label, value, left)
        left = fitting
    for label, value in signal.where:
        fitting = [one for one in left if one.get(label, "") == value]
        if not fitting:
            there = ", ".join(map(repr, nearest_first(value, (one.get(label, "") for one in left))))
            only = (
                f"only those with {label} {value!r} count"
                if value
                else "what has that label is of somebody who repeats it"
            )
            return f"its series have {label} {there}, and {only}"
        left = fitting
    if signal.scope == "target" and not any(one.get(pod) for one in left):
        how = "have the scrape set it, or say in the settings what it is called"
        return f"its series have no label {pod} ({_labels(left)}): {how}"
    if not pods:
        return ""
    return _pods_that_are_not_meant(pods, {one[pod] for one in left if one.get(pod)})


def _pods_that_are_not_meant(pattern: str, names: Collection[str]) -> str:
    try:
        meant = pods_matcher(pattern)
    except (ConfigError, re.error):
        return ""
    if any(map(meant, names)):
        return ""
    shown = ", ".join(map(repr, nearest_first(pattern, names)))
    return f"its series are of the pods {shown}, and the trigger's pods {pattern!r} takes none of them"


def _differs(label: str, value: str, series: Collection[Mapping[str, str]]) -> str:
    values = {one[label] for one in series if one.get(label)}
    if not values:
        return f"its series have no label {label} ({_labels(series)})"
    nearest = nearest_first(value, values)
    case = f": {nearest[0]!r} differs in letter case alone" if nearest[0].lower() == value.lower() else ""
    return f"its series have {label} {', '.join(map(repr, nearest))}, and not {value!r}{case}"


def _labels(series: Iterable[Mapping[str, str]]) -> str:
    names = sorted({label for one in series for label in one if label != "__name__"})
    return f"they have {', '.join(names[: 2 * NAMED])}" if names else "they have none"
