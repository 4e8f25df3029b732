"""Engines of a pod at ports that nobody has listed: what a page there is beside the one that is known. Pure.

A pod may run several engines, or ranks of one, each at a port of its own, and name a single port in its annotation. To
read that one alone would be a part that looks like the whole. So where a single port is named, each other port that the
pod's containers declare is tried too; it need not answer. What answers with the engine's series is, beside the page at
the named port:

    other labels                            another rank: it adds up
    the same labels, of another process     another engine: it adds up
    the same labels, of the same process    the same page again, such as behind a proxy of the pod: it is left out
    the same labels, nobody says whose      the same numbers: the same page again; other numbers: nobody knows

The process is known by `process_start_time_seconds`, which most engines export. Where nobody knows, nothing is certain,
and the sentence says what to write. `otherPorts: ignore` of the endpoint ends all of this.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from scaler.sources.pages.counters import PROCESS, process_start
from scaler.sources.pages.pods import PageResult

_ADVICE = "one engine twice, or several? List the ports in prometheus.io/port, or set otherPorts: ignore for the pods"

Series = dict[str, float]  # by name and labels, as they are written


def with_other_ports(listed: Sequence[PageResult], others: Iterable[PageResult]) -> list[PageResult]:
    """Return the listed pages, and of those at other ports of the same pods the ones that are more of the same.

    Args:
        listed: pages at the ports that the pods, the settings or the engine name.
        others: pages at other ports; those that never had anything of the engine's are passed over.
    """
    found = list(listed)
    for visit in others:
        before = replace(visit, samples={**visit.lost, **visit.samples})
        if not _series(before):
            continue
        near = [one for one in found if one.page.labels == visit.page.labels and _series(one)]
        doubts = [_relation(one, before) for one in near]
        if not any(doubt is None for doubt in doubts):
            found.append(replace(visit, unclear=next(filter(None, doubts), "")))
    return found


def _relation(known: PageResult, other: PageResult) -> str | None:
    """Say what a page is beside a known one: None is the same again, empty is more of it, a text is a doubt."""
    here, there = _series(known), _series(other)
    shared = here.keys() & there.keys()
    if not shared:
        return ""
    began, other_began = process_start(known.samples), process_start(other.samples)
    if began is not None and other_began is not None:
        return None if began == other_began else ""
    if all(here[key] == there[key] for key in shared):
        return None
    return f"{known.page.address} and {other.page.address} have the same series with other numbers: {_ADVICE}"


def _series(visit: PageResult) -> Series:
    """Return the series on a page that are the engine's."""
    samples = (sample for name, found in visit.samples.items() if name != PROCESS for sample in found)
    return {sample.key: sample.value for sample in samples}
