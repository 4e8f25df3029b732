"""A backtest as one page that opens from disk: plots drawn here, no script, nothing fetched. Pure."""

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from scaler.cli.backtest.table import HEADINGS, cells
from scaler.cli.style import STYLE
from scaler.model.fields import seconds
from scaler.model.measurement import Reading, SignalQuery
from scaler.sim.backtest.compare import BacktestPlan, Comparison
from scaler.sim.backtest.record import Record

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 960.0, 180.0, 48.0, 12.0, 10.0, 22.0
COLOURS = ("blue", "violet", "teal", "amber", "red", "green")
COLUMNS = 1200  # points of a line; of more, each shows the largest and the smallest of its share
DRAWN = 6  # candidates; more would hide each other

PlotLine = Sequence[tuple[float, float]]  # seconds after the start, and value


def page(comparison: Comparison, plan: BacktestPlan, title: str, words: Sequence[str]) -> str:
    """Write the page.

    Args:
        comparison: what was played.
        plan: on what.
        title: of the object.
        words: what the text output says above its table.
    """
    body = "".join(
        (
            f"<h1>{escape(title)}</h1>",
            *(f"<p>{escape(line)}</p>" for line in words),
            _table(comparison),
            _replicas(comparison, plan),
            *_load(plan),
        )
    )
    head = f'<meta charset="utf-8"><title>backtest of {escape(title)}</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


def _table(comparison: Comparison) -> str:
    rows = [("what was", cells(comparison.past, None))] if comparison.past else []
    rows += [(one.name, cells(one.figures, comparison) if one.figures else [one.problem]) for one in comparison.results]
    first, *others = HEADINGS
    head = f"<th>{escape(first)}</th>" + "".join(f'<th class="n">{escape(word)}</th>' for word in others)
    lines = "".join(_row(name, row) for name, row in rows)
    return f"<section><h2>What it cost</h2><table><tr>{head}</tr>{lines}</table></section>"


def _row(name: str, row: Sequence[str]) -> str:
    figures = "".join(f'<td class="n">{escape(cell)}</td>' for cell in row)
    return f"<tr><td>{escape(name)}</td>{figures}</tr>"


def _replicas(comparison: Comparison, plan: BacktestPlan) -> str:
    """Draw the replicas that were, and those of every run."""
    lines: list[tuple[str, str, PlotLine]] = []
    if plan.record is not None and plan.record.replicas:
        was = [
            (tick * plan.record.step, float(count))
            for tick, count in enumerate(plan.record.replicas)
            if count is not None
        ]
        lines.append(("what was", "ink", was))
    played = [one for one in comparison.results if one.run is not None][:DRAWN]
    for place, result in enumerate(played):
        run = result.run
        if run is not None:
            points = [(tick * run.step, float(count)) for tick, count in enumerate(run.replicas)]
            lines.append((result.name, COLOURS[place % len(COLOURS)], points))
    start = plan.record.start if plan.record else 0.0
    return _plot("Replicas", lines, start, steps=True)


def _load(plan: BacktestPlan) -> Iterator[str]:
    """Draw the load: as it was measured, or the requests of a trace."""
    if plan.record is not None:
        signals = [(query.signal, points) for query, points in _signals(plan.record)]
        for names, title in (
            (("queued", "waiting", "running"), "Requests"),
            (("requests_per_second",), "Requests a second"),
        ):
            lines = [(name, COLOURS[names.index(name)], points) for name, points in signals if name in names and points]
            if lines:
                yield _plot(title, lines, plan.record.start, steps=False)
    elif plan.world is not None and plan.world.trace:
        width = max(plan.world.end / 200, 1.0)
        counts = [0] * (int(plan.world.end / width) + 1)
        for arrival in plan.world.trace:
            if arrival.at < plan.world.end:
                counts[int(arrival.at / width)] += 1
        points = [(place * width, count / width) for place, count in enumerate(counts)]
        yield _plot("Requests a second", [("arrivals", "blue", points)], plan.world.start, steps=False)


def _signals(record: Record) -> Iterator[tuple[SignalQuery, PlotLine]]:
    """Yield each signal once, as it was measured."""
    seen: set[str] = set()
    for query, measured in record.series.items():
        if isinstance(query, SignalQuery) and query.signal not in seen and query.reduce is None:
            seen.add(query.signal)
            values = enumerate(measured)
            known = ((tick, one.value) for tick, one in values if isinstance(one, Reading) and one.value is not None)
            yield query, [(tick * record.step, value) for tick, value in known]


# ---- a plot ----------------------------------------------------------------------------------------------------------


def _plot(title: str, lines: Sequence[tuple[str, str, PlotLine]], start: float, *, steps: bool) -> str:
    end = max((points[-1][0] for _, _, points in lines if points), default=1.0) or 1.0
    top = max((value for _, _, points in lines for _, value in points), default=1.0) or 1.0

    def x(at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * at / end

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / (top * 1.08)

    parts = []
    for value in _round_steps(top):
        parts.append(f'<path d="M{LEFT:g} {y(value):.1f}H{WIDTH - RIGHT:g}" stroke="var(--line)"/>')
        parts.append(f'<text x="{LEFT - 8:g}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for turn in range(7):
        at = end * turn / 6
        anchor = "start" if turn == 0 else "end" if turn == 6 else "middle"
        text = escape(_moment(start, at, end))
        parts.append(f'<text x="{x(at):.1f}" y="{HEIGHT - 6:g}" text-anchor="{anchor}">{text}</text>')
    for name, colour, points in lines:
        path = ""
        for at, value in _thinned(points):
            place = f"{x(at):.1f}", f"{y(value):.1f}"
            path += (
                f"M{place[0]} {place[1]}"
                if not path
                else f"H{place[0]}V{place[1]}"
                if steps
                else f"L{place[0]} {place[1]}"
            )
        style = f'fill="none" stroke="var(--{colour})" stroke-width="1.6"'
        parts.append(f'<path d="{path}" {style}><title>{escape(name)}</title></path>')
    key = "".join(f'<i style="background:var(--{colour})"></i>{escape(name)}' for name, colour, _ in lines)
    box = f'viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img" aria-label="{escape(title)}"'
    return f'<section><h2>{escape(title)}<span class="key">{key}</span></h2><svg {box}>{"".join(parts)}</svg></section>'


def _thinned(points: PlotLine) -> PlotLine:
    """Keep as many points as can be seen: of each share the smallest and the largest, in the order of time."""
    if len(points) <= COLUMNS:
        return points
    size = len(points) / (COLUMNS / 2)
    kept: list[tuple[float, float]] = []
    for place in range(COLUMNS // 2):
        share = points[int(place * size) : int((place + 1) * size)]
        kept += sorted({min(share, key=lambda point: point[1]), max(share, key=lambda point: point[1])})
    return kept


def _round_steps(top: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to `top`, at most so many after the 0."""
    step = 10.0 ** math.floor(math.log10(top / most))
    size = next(step * factor for factor in (1, 2, 5, 10, 20) if top / (step * factor) <= most)
    return [size * count for count in range(int(top / size) + 1)]


def _moment(start: float, at: float, end: float) -> str:
    """Write a time as the axis shows it: of a day or less the hour, else the day."""
    if start == 0:
        return seconds(at) if at else "0"
    moment = datetime.fromtimestamp(start + at, UTC)
    return moment.strftime("%H:%M:%S" if end < 7200 else "%H:%M" if end <= 86400 else "%m-%d %H:%M")
