"""`llm-scaler signals`: the engine catalogue as a table, as data, and as the page formulas/SIGNALS.md."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from scaler.config import signals
from scaler.config.signals import Metric, Signal
from scaler.model.fields import camel_case, seconds

INTRODUCTION = """\
What each engine, gateway and exporter offers, and under which names. Written by `make signals` from
`scaler/config/engines.yaml`; `llm-scaler signals ENGINE` shows the same.

Of each pod the first name that it has is read, so that a rolling upgrade counts every pod once. `+` begins what adds up
with that, `/` what a sum is divided by. A rate or quantile takes `window`, a quantile `quantile`, of which the defaults
are shown. What is neither is measured as it is now, or with `window` and `reduce` as its mean, max or min over it."""
HEAD = ("engine", "signal", "unit", "measured as", "name", "versions")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("engine", nargs="?", metavar="ENGINE", help="one engine or gateway; all if none")
    parser.add_argument("-o", "--output", choices=("text", "json", "markdown"), default="text")


def run(arguments: argparse.Namespace) -> int:
    """Print the catalogue, or one engine of it."""
    some = chosen(arguments.engine)
    if arguments.output == "json":
        print(json.dumps(as_data(some), indent=2))
    elif arguments.output == "markdown":
        print(as_markdown(), end="")
    elif sys.stdout.isatty():
        show(some, Console())
    else:
        print("\n".join(as_lines(some)))
    return 0


def chosen(engine: str | None) -> list[Signal]:
    """List the signals of one engine, or of all.

    Raises:
        ConfigError: no such engine.
    """
    names = signals.names(engine) if engine else ()
    if engine:
        return [signals.find(engine, name) for name in names]
    return [signal for offered in signals.engines().values() for signal in offered.values()]


def as_data(some: Iterable[Signal]) -> list[dict[str, Any]]:
    """Return the entries as JSON-ready data, under the catalogue's own words; labels are ours -> the engine's."""
    return [_entry(signal) for signal in some]


def _entry(signal: Signal) -> dict[str, Any]:
    known = {camel_case(key): value for key, value in asdict(signal).items() if key != "label_names"}
    known |= {"labels": dict(signal.label_names), "where": dict(signal.where)}
    known["metrics"] = [_metric(one) for one in signal.metrics]
    known["plus"] = [_metric(one) for one in signal.plus]
    known["dividedBy"] = [_metric(one) for one in signal.divided_by]
    return known


def _metric(metric: Metric) -> dict[str, Any]:
    known = {camel_case(key): value for key, value in asdict(metric).items() if key != "label_names"}
    return known | {"where": dict(metric.where), "labels": dict(metric.label_names)}


def as_lines(some: Iterable[Signal]) -> list[str]:
    """Write a plain table, one line a name, for pipes and files."""
    rows = [HEAD, *_rows(some)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_padded(row, widths) for row in rows]


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def show(some: Iterable[Signal], console: Console) -> None:
    """Show the same table on a terminal."""
    table = Table(*HEAD, box=SIMPLE_HEAD, pad_edge=False)
    before: tuple[str, ...] = ()
    for row in _rows(some):
        same = row[:2] == before
        table.add_row(*("" if same and at < 4 else cell for at, cell in enumerate(row)))
        before = row[:2]
    console.print(table)


def _rows(some: Iterable[Signal]) -> list[tuple[str, ...]]:
    return [
        (signal.engine, signal.name, signal.unit, _measured(signal), f"{sign}{_selector(metric, signal)}", versions)
        for signal in some
        for sign, metric, versions in _names(signal)
    ]


def _measured(signal: Signal) -> str:
    if signal.quantile is not None and signal.window is not None:
        return f"quantile {signal.quantile:g} over {seconds(signal.window)}"
    how = "ratio of sums" if signal.divided_by else signal.aggregation
    return f"{how} of rates over {seconds(signal.window)}" if signal.window is not None else how


def _names(signal: Signal) -> Iterator[tuple[str, Metric, str]]:
    """Yield the metrics of a signal: what is done with them, and the versions that have them."""
    for sign, metrics in (("", signal.metrics), ("+ ", signal.plus), ("/ ", signal.divided_by)):
        spelled_also = {one.versions for one in metrics if one.respelled}
        for metric in metrics:
            if not metric.respelled:
                also = "; with its dots too" if metric.versions in spelled_also else ""
                yield sign, metric, metric.versions + also


def _selector(metric: Metric, signal: Signal) -> str:
    named = ((name, f"${label}") for label, name in metric.label_names)
    own = [pair for pair in metric.where if pair not in signal.where]
    where = ",".join(f'{label}="{value}"' for label, value in (*own, *named))
    return f"{metric.name}{{{where}}}" if where else metric.name


def as_markdown() -> str:
    """Write the page formulas/SIGNALS.md."""
    parts = [
        "# Signals",
        INTRODUCTION,
        *(_section(engine) for engine in signals.engines()),
    ]
    return "\n\n".join(parts) + "\n"


def _section(engine: str) -> str:
    offered = signals.engines()[engine].values()
    usual, _ = Counter(map(_whose, offered)).most_common(1)[0]
    lines = [f"## {engine}", "", usual, ""]
    lines += ["| signal | unit | measured as | names and versions | meaning |", "|---|---|---|---|---|"]
    lines += [_row(signal, usual) for signal in offered]
    pages = {
        f"Its page is usually `:{signal.default_metrics_endpoint.port}{signal.default_metrics_endpoint.path}`."
        for signal in offered
        if signal.default_metrics_endpoint
    }
    lines += ["", *sorted(pages)] if pages else []
    sources = dict.fromkeys(signal.source for signal in offered)
    word = "Sources" if len(sources) > 1 else "Source"
    lines += ["", f"{word}: {'; '.join(sources)}."]
    return "\n".join(lines)


def _row(signal: Signal, usual: str) -> str:
    names = [f"{sign}`{_selector(metric, signal)}` {versions}" for sign, metric, versions in _names(signal)]
    meaning = [signal.description]
    if signal.max_reason:
        meaning.append(f"Bounded by {signal.max_reason}.")
    if signal.idles:
        meaning.append("0 of a pod that has not made its series yet.")
    if signal.withdrawn_at_zero:
        meaning.append(f"At 0 replicas it wakes nothing: {signal.withdrawn_at_zero}.")
    if signal.without_family:
        meaning.append(f"Where there is no such series at 0 replicas, {signal.without_family}.")
    if _whose(signal) != usual:
        meaning.append(_whose(signal))
    cells = (f"`{signal.name}`", signal.unit, _measured(signal), "<br>".join(names), " ".join(meaning))
    return f"| {' | '.join(cells)} |"


def _whose(signal: Signal) -> str:
    """Say which series are a workload's."""
    fixed = [f'`{label}="{value}"`' for label, value in signal.where if value]
    by = [f"{ours} `{exported}`" for ours, exported in signal.label_names if ours != exported]
    thing = "Of the object that `workload` names" if "workload" in signal.labels else "Of the object"
    whose = {"target": "Of the target's own pods", "gateway": "Of the gateway", "object": thing}[signal.scope]
    parts = [whose]
    if by:
        parts.append(f"by {', '.join(by)}")
    if fixed:
        parts.append(f"with {', '.join(fixed)}")
    return f"{', '.join(parts)}."
