"""Draw the dashboards from a Prometheus, as pages: to see what their panels show where no Grafana is at hand.

    python deploy/dashboards/draw.py http://localhost:9090 FOLDER [--minutes 60] [--workload demo/llama]

It reads what Grafana reads: the JSON beside this file. What it draws is plainer, and the numbers are the same.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import requests

FOLDER = Path(__file__).parent
BOARDS = ("fleet", "workload", "llm-scaler")
POINTS = 240  # of a line
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 620.0, 190.0, 62.0, 22.0, 8.0
COLOURS = ("#0f766e", "#b45309", "#4338ca", "#be123c", "#4d7c0f", "#0369a1", "#7e22ce", "#57534e")
STYLE = """
body { font: 14px/1.4 system-ui, sans-serif; margin: 24px; background: #f6f7f8; color: #1c1f23 }
h1 { font-size: 20px; margin: 28px 0 10px } h2 { font-size: 14px; margin: 0 0 4px }
.board { display: grid; grid-template-columns: repeat(24, 1fr); gap: 12px; max-width: 1340px }
section { background: #fff; border: 1px solid #dfe3e6; border-radius: 6px; padding: 10px 14px }
svg { width: 100%; display: block } svg text { font-size: 11px; fill: #69727b }
table { font-size: 12px; border-collapse: collapse; width: 100% }
td, th { text-align: right; padding: 0 0 0 12px; font-weight: normal }
td:first-child, th:first-child { text-align: left; padding: 0 } th { color: #69727b }
i { display: inline-block; width: 12px; height: 3px; margin: 0 7px 3px 0 }
p { color: #be123c; margin: 60px 0; text-align: center }
"""

Points = Sequence[tuple[float, float]]  # seconds since the epoch, and the value


@dataclass(frozen=True, slots=True)
class Line:
    """A series of a panel."""

    name: str
    points: Points


@dataclass(frozen=True, slots=True)
class Span:
    """The time that is shown, in seconds since the epoch."""

    start: float
    end: float

    @property
    def step(self) -> float:
        """Seconds between two points."""
        return max(1.0, (self.end - self.start) / POINTS)


def page(board: Mapping[str, Any], prometheus: str, span: Span, workload: str) -> str:
    """Return a dashboard as a page of HTML.

    Args:
        board: as Grafana reads it.
        prometheus: URL of where it asks.
        span: that is shown.
        workload: NAMESPACE/NAME, which is chosen where one has to be.
    """
    chosen = _chosen(board, workload)
    panels = "".join(_panel(panel, lines(prometheus, panel, span, chosen), span) for panel in board["panels"])
    title = escape(board["title"]) + (f": {escape(workload)}" if workload in "/".join(chosen.values()) else "")
    head = f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{STYLE}</style>"
    return f'{head}<h1>{title}</h1><div class="board">{panels}</div>'


def _chosen(board: Mapping[str, Any], workload: str) -> dict[str, str]:
    """The value of each variable: all that there is, unless one has to be chosen."""
    one = dict(zip(("namespace", "scaled_object"), workload.split("/"), strict=True))
    variables = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    return {each["name"]: each.get("allValue") or one[each["name"]] for each in variables}


def lines(prometheus: str, panel: Mapping[str, Any], span: Span, chosen: Mapping[str, str]) -> list[Line]:
    """Ask Prometheus what a panel asks, with the values of the dashboard's variables."""
    found = []
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "1m")
        for variable, value in chosen.items():
            query = query.replace(f"${variable}", value)
        asked = {"query": query, "start": span.start, "end": span.end, "step": span.step}
        answer = requests.get(f"{prometheus}/api/v1/query_range", params=asked, timeout=30)
        answer.raise_for_status()
        for series in answer.json()["data"]["result"]:
            points = [(float(at), float(value)) for at, value in series["values"]]
            known = [point for point in points if math.isfinite(point[1])]
            found.append(Line(_legend(target["legendFormat"], series["metric"]), known))
    return found


def _legend(form: str, labels: Mapping[str, str]) -> str:
    for label, value in labels.items():
        form = form.replace(f"{{{{{label}}}}}", value)
    return form


def _panel(panel: Mapping[str, Any], drawn: Sequence[Line], span: Span) -> str:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    inside = f"{_plot(drawn, span, unit)}{_table(drawn, unit)}" if drawn else "<p>No data</p>"
    place = panel["gridPos"]
    column = f"grid-column: {place['x'] + 1} / span {place['w']}"
    return f'<section style="{column}"><h2>{escape(panel["title"])}</h2>{inside}</section>'


def _plot(drawn: Sequence[Line], span: Span, unit: str) -> str:
    top = max((value for line in drawn for _, value in line.points), default=0.0) or 1.0
    ticks = [0.0, 1.0] if unit == "bool" else list(_ticks(top, unit))
    top = ticks[-1]

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT) * (at - span.start) / (span.end - span.start)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * value / top

    parts = []
    for tick in ticks:
        parts.append(f'<path d="M{LEFT:g} {y(tick):.1f}H{WIDTH:g}" stroke="#e6e9eb"/>')
        parts.append(f'<text x="{LEFT - 8:g}" y="{y(tick) + 4:.1f}" text-anchor="end">{shown(tick, unit)}</text>')
    for part in range(1, 5):
        at = span.start + (span.end - span.start) * part / 5
        clock = time.strftime("%H:%M", time.gmtime(at))
        parts.append(f'<text x="{x(at):.1f}" y="{HEIGHT - 5:g}" text-anchor="middle">{clock}</text>')
    for place, line in enumerate(drawn):
        colour = COLOURS[place % len(COLOURS)]
        parts.append(f'<path d="{_path(line, x, y, span)}" fill="none" stroke="{colour}" stroke-width="1.7"/>')
    return f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}">{"".join(parts)}</svg>'


def _path(line: Line, x: Any, y: Any, span: Span) -> str:
    """Go on from the point before, unless there were none in between."""
    path, before = "", None
    for at, value in line.points:
        joined = before is not None and at - before < 1.5 * span.step
        path += f"{'L' if joined else 'M'}{x(at):.1f} {y(value):.1f}"
        before = at
    return path


def _ticks(top: float, unit: str) -> Iterator[float]:
    """Round steps from 0 to the first above `top`.

    >>> list(_ticks(7, "none")), list(_ticks(100, "s"))
    ([0, 2, 4, 6, 8], [0, 30, 60, 90, 120])
    """
    power = 10.0 ** math.floor(math.log10(top / 4))
    rounds = [power * factor for factor in (1, 2, 2.5, 5, 10)]
    if unit == "s" and top > 50:
        rounds = [30, 60, 120, 300, 600, 1800, 3600, 21600, 86400, top]
    if unit == "bytes":
        rounds = [2.0**power for power in range(60)]
    step = next(step for step in rounds if step * 4 >= top)
    step = int(step) if step >= 1 else step
    for count in range(5):
        yield count * step


def _table(drawn: Sequence[Line], unit: str) -> str:
    rows = ""
    for place, line in enumerate(drawn):
        values = [value for _, value in line.points]
        last, most = (shown(values[-1], unit), shown(max(values), unit)) if values else ("", "")
        colour = COLOURS[place % len(COLOURS)]
        rows += f'<tr><td><i style="background: {colour}"></i>{escape(line.name)}<td>{last}<td>{most}'
    return f"<table><tr><th><th>last<th>max{rows}</table>"


def shown(value: float, unit: str) -> str:
    """A value with its unit, as short as Grafana has it.

    >>> shown(0.25, "percentunit"), shown(90, "s"), shown(123456789, "bytes"), shown(3, "none"), shown(1, "bool")
    ('25%', '1.5 min', '118 MiB', '3', 'yes')
    """
    match unit:
        case "percentunit":
            return f"{100 * value:.3g}%"
        case "bytes":
            power = min(3, int(math.log(value, 1024))) if value >= 1 else 0
            return f"{value / 1024**power:.3g} {('B', 'KiB', 'MiB', 'GiB')[power]}"
        case "s":
            return _span(value)
        case "reqps":
            return f"{value:.3g}/s"
        case "bool":
            return {0: "no", 1: "yes"}.get(value, "")
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def _span(seconds: float) -> str:
    if seconds == 0:
        return "0 s"
    if abs(seconds) < 1:
        return f"{1000 * seconds:.3g} ms"
    if abs(seconds) < 60:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if abs(seconds) < 3600 else f"{seconds / 3600:.3g} h"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prometheus", metavar="URL")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="for the pages")
    parser.add_argument("--workload", default="demo/llama", metavar="NAMESPACE/NAME", help="that is shown by itself")
    parser.add_argument("--minutes", type=float, default=60.0, help="that are shown")
    options = parser.parse_args()
    now = time.time()  # noqa: TID251 - a command reads the clock
    span = Span(now - 60 * options.minutes, now)
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in BOARDS:
        board = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        drawn = page(board, options.prometheus.rstrip("/"), span, options.workload)
        (options.folder / f"{name}.html").write_text(drawn, encoding="utf-8")


if __name__ == "__main__":
    main()
