"""A run as one page that opens from disk: plots drawn here, no script, nothing fetched. Pure.

All plots share one axis of time, in real seconds. Every decision that changed something is a dot on the line of what
was wanted; its sentence stands in the dot's title and in the list below.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from scaler.cli.demo.baselines import BaselineRow
from scaler.cli.demo.live import LiveWorld, Observation
from scaler.cli.demo.picture import CAPTION, HEADINGS, TITLE, cells
from scaler.cli.style import STYLE

WIDTH, LEFT, RIGHT = 960.0, 56.0, 12.0  # of a plot, in its own units
TOP, BOTTOM = 8.0, 22.0
MAX_LISTED = 200  # decisions
NAMED = "Load"  # the plot in which what went wrong is said in words


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """A decision, at the time at which KEDA first got it."""

    at: float  # world seconds
    replicas: int | None  # None: it was none
    certainty: str
    reason: str


@dataclass(frozen=True, slots=True)
class _Scale:
    """The frame of a plot: time to the right, values up."""

    end: float  # real seconds
    speed: float
    height: float
    top: float  # the largest value
    low: float = 0.0  # the least; above 0 the axis is logarithmic

    def x(self, at: float) -> float:
        """Return the place of a time, in world seconds."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(at / self.speed / self.end, 1.0)

    def y(self, value: float) -> float:
        """Return the place of a value."""
        if self.low:
            share = math.log(max(value, self.low) / self.low) / math.log(self.top / self.low)
        else:
            share = value / self.top
        return self.height - BOTTOM - (self.height - TOP - BOTTOM) * min(max(share, 0.0), 1.0)


PlotPoint = tuple[float, float]  # world seconds and value
Drawing = Callable[[_Scale], str]


def page(live: LiveWorld, told: Sequence[LoggedDecision], rows: Sequence[BaselineRow], speed: float) -> str:
    """Write the page.

    Args:
        live: the run.
        told: decisions, where they changed.
        rows: the comparison; ours comes first.
        speed: world seconds per real second.
    """
    views = live.views
    ours = rows[0].score
    most = max(view.ready for view in views)
    tiles = (
        (f"{ours.attainment:.1%}", f"of {ours.requests:,} requests in the SLO"),
        (f"{most}", "ready replicas at most"),
        (f"{ours.replica_hours:.2f}", "replica-hours"),
        (f"${ours.cost:.2f}", f"on {escape(live.scenario.fleet.hardware.title)}"),
    )
    slo = live.scenario.slo
    lead = (
        f"{live.now / speed:.0f} seconds in which the world ran {speed:g} times faster. "
        f"The SLO is a first token within {slo.ttft:g} s and {slo.tpot * 1000:g} ms for each further one."
    )
    body = "".join(
        (
            f"<h1>llm-scaler demo</h1><p>{lead}</p>",
            '<div class="tiles">',
            *(f"<div><b>{value}</b><span>{what}</span></div>" for value, what in tiles),
            "</div>",
            *_plots(live, told, speed),
            _comparison(rows),
            _decisions(told, speed),
        )
    )
    head = f'<meta charset="utf-8"><title>llm-scaler demo</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


# ---- the plots -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Plot:
    """One plot: what is drawn over the axes, the last on top."""

    title: str
    key: Sequence[tuple[str, str]]  # colour and what it is
    height: float
    top: float
    drawings: Sequence[Drawing]
    low: float = 0.0


def _plots(live: LiveWorld, told: Sequence[LoggedDecision], speed: float) -> Iterable[str]:
    for plot in (_load(live.views), _work(live.views), _replicas(live, told), _latency(live)):
        frame = _Scale(max(live.now / speed, 1.0), speed, plot.height, plot.top, plot.low)
        inside = "".join(draw(frame) for draw in (_axes, *plot.drawings, _marks(live, named=plot.title == NAMED)))
        key = "".join(f'<i style="background:var(--{colour})"></i>{escape(what)}' for colour, what in plot.key)
        yield f'<section><h2>{plot.title}<span class="key">{key}</span></h2>'
        box = f'viewBox="0 0 {WIDTH:g} {plot.height:g}" role="img" aria-label="{plot.title}"'
        yield f"<svg {box}>{inside}</svg></section>"


def _load(views: Sequence[Observation]) -> _Plot:
    load = [(view.at, view.load) for view in views]
    return _Plot("Load", [("blue", "requests per second")], 130, _top(load), [_area("blue", load)])


def _work(views: Sequence[Observation]) -> _Plot:
    running = [(view.at, float(view.running)) for view in views]
    waiting = [(view.at, float(view.queued + view.waiting)) for view in views]
    key = [("teal", "running"), ("violet", "waiting, at the gateway or in an engine")]
    return _Plot("Work", key, 130, _top([*running, *waiting]), [_area("teal", running), _curve("violet", waiting)])


def _replicas(live: LiveWorld, told: Sequence[LoggedDecision]) -> _Plot:
    ready = [(view.at, float(view.ready)) for view in live.views]
    both = [(view.at, float(view.ready + view.starting)) for view in live.views]
    wanted = [(one.at, float(one.replicas)) for one in told if one.replicas is not None]
    wanted += [(live.now, wanted[-1][1])] if wanted else []
    limit = live.scenario.scaled.max_replica_count
    drawings = [
        _area("amber", both, steps=True),
        _area("green", ready, steps=True, strength=0.55),
        _curve("dim", [(0.0, limit), (live.now, limit)], dashes="2 4"),
        _curve("ink", wanted, steps=True, dashes="4 3"),
        _dots(told),
    ]
    key = [
        ("green", "ready"),
        ("amber", "starting"),
        ("ink", "wanted (a dot is a decision)"),
        ("dim", "maxReplicaCount"),
    ]
    top = min(_top([*both, *wanted]), 1.5 * limit)
    most = max((count for _, count in wanted), default=0.0)
    title = "Replicas" if most <= top else f"Replicas (wanted goes up to {most:.0f}, which is above this plot)"
    return _Plot(title, key, 190, top, drawings)


def _latency(live: LiveWorld) -> _Plot:
    slo = live.scenario.slo.ttft
    latency = [(view.at, view.ttft) for view in live.views if view.ttft is not None]
    top = 10.0 ** math.ceil(math.log10(max([10.0, *(value for _, value in latency)])))
    drawings = [_curve("dim", [(0.0, slo), (live.now, slo)], dashes="6 4"), _curve("red", latency)]
    key = [("red", "95th percentile of the last requests, in seconds"), ("dim", "the SLO")]
    return _Plot("Time to first token", key, 150, top, drawings, low=0.01)


def _top(points: Sequence[PlotPoint]) -> float:
    """Return the largest value, with room above it."""
    return max(1.0, *(value for _, value in points)) * 1.15


def _axes(frame: _Scale) -> str:
    """Draw lines and numbers of both axes."""
    powers = [10.0**power for power in range(-2, 4)]
    values = powers if frame.low else _round_steps(frame.top)
    parts = []
    for value in (value for value in values if frame.low <= value <= frame.top):
        y = frame.y(value)
        parts.append(f'<path d="M{LEFT:g} {y:.1f}H{WIDTH - RIGHT:g}" stroke="var(--line)"/>')
        parts.append(f'<text x="{LEFT - 8:g}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for at in _round_steps(frame.end, 12):
        x = frame.x(at * frame.speed)
        parts.append(f'<text x="{x:.1f}" y="{frame.height - 6:g}" text-anchor="middle">{at:g} s</text>')
    return "".join(parts)


def _round_steps(top: float, most: int = 4) -> list[float]:
    """Round numbers from 0 to `top`, at most so many after the 0."""
    step = 10.0 ** math.floor(math.log10(top / most))
    size = next(step * factor for factor in (1, 2, 5, 10, 20) if top / (step * factor) <= most)
    return [size * count for count in range(int(top / size) + 1)]


def _line(points: Sequence[PlotPoint], frame: _Scale, *, steps: bool) -> str:
    """Draw the path through all points; in steps a value holds until the next one."""
    parts: list[str] = []
    for at, value in points:
        x, y = f"{frame.x(at):.1f}", f"{frame.y(value):.1f}"
        parts.append(f"M{x} {y}" if not parts else f"H{x}V{y}" if steps else f"L{x} {y}")
    return "".join(parts)


def _curve(colour: str, points: Sequence[PlotPoint], *, steps: bool = False, dashes: str = "") -> Drawing:
    def draw(frame: _Scale) -> str:
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        path = _line(points, frame, steps=steps)
        return f'<path d="{path}" fill="none" stroke="var(--{colour})" stroke-width="1.8"{dashed}/>' if path else ""

    return draw


def _area(colour: str, points: Sequence[PlotPoint], *, steps: bool = False, strength: float = 0.25) -> Drawing:
    def draw(frame: _Scale) -> str:
        path, ground = _line(points, frame, steps=steps), frame.y(frame.low)
        closed = f"{path}V{ground:.1f}H{frame.x(points[0][0]):.1f}Z"
        fill = f'<path d="{closed}" fill="var(--{colour})" fill-opacity="{strength:g}"/>'
        return f'{fill}<path d="{path}" fill="none" stroke="var(--{colour})" stroke-width="1.8"/>'

    return draw


def _dots(told: Sequence[LoggedDecision]) -> Drawing:
    def draw(frame: _Scale) -> str:
        changes = [one for before, one in zip((None, *told), told, strict=False) if one.replicas is not None
                   and (before is None or before.replicas != one.replicas)]  # fmt: skip
        return "".join(_dot(frame, one) for one in changes)

    return draw


def _dot(frame: _Scale, one: LoggedDecision) -> str:
    x, y = frame.x(one.at), frame.y(float(one.replicas or 0))
    colour = "amber" if one.certainty == "held" else "ink"
    circle = f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="var(--{colour})">'
    return f"{circle}<title>{escape(one.reason)}</title></circle>"


def _marks(live: LiveWorld, *, named: bool) -> Drawing:
    """Draw what went wrong: a band while the metrics were away, a line where a replica died or load came."""

    def draw(frame: _Scale) -> str:
        parts = []
        height = frame.height - BOTTOM - TOP
        for start, end in _spans(live.views):
            x, width = frame.x(start), frame.x(end) - frame.x(start)
            box = f'x="{x:.1f}" y="{TOP:g}" width="{width:.1f}" height="{height:g}"'
            parts.append(
                f'<rect {box} fill="var(--amber)" fill-opacity="0.13"><title>the metrics are away</title></rect>'
            )
            if named:
                parts.append(f'<text class="what" x="{x + 4:.1f}" y="{TOP + 11:g}">metrics away</text>')
        for at, what in live.notes:
            if "metrics" not in what:
                x = frame.x(at)
                parts.append(
                    f'<path d="M{x:.1f} {TOP:g}V{TOP + height:g}" stroke="var(--red)" stroke-dasharray="2 3"/>'
                )
                place = f'x="{x - 4:.1f}" y="{TOP + 11:g}" text-anchor="end"'
                parts += [f'<text class="what" {place}>{escape(what)}</text>'] if named else []
        return "".join(parts)

    return draw


def _spans(views: Sequence[Observation]) -> list[tuple[float, float]]:
    """List from when to when the metrics were away."""
    spans: list[tuple[float, float]] = []
    for before, view in pairwise(views):
        if view.metrics_down and not before.metrics_down:
            spans.append((view.at, view.at))
        if view.metrics_down or before.metrics_down:
            spans = [*spans[:-1], (spans[-1][0], view.at)] if spans else [(before.at, view.at)]
    return spans


# ---- the tables ----------------------------------------------------------------------------------------------------


def _comparison(rows: Sequence[BaselineRow]) -> str:
    head = "".join(f'<th class="n">{what}</th>' for what in HEADINGS)
    lines = "".join(_table_row(row, "" if place else " class=first") for place, row in enumerate(rows))
    return f"<section><h2>{TITLE}</h2><table><tr>{head}</tr>{lines}</table><p>{CAPTION}</p></section>"


def _table_row(row: BaselineRow, mark: str) -> str:
    figures = "".join(f'<td class="n">{cell}</td>' for cell in cells(row))
    return f"<tr{mark}><td>{escape(row.name)}</td>{figures}</tr>"


def _decisions(told: Sequence[LoggedDecision], speed: float) -> str:
    lines = "".join(
        f'<tr><td class="n">{one.at / speed:.0f} s</td><td>{one.certainty}</td><td>{escape(one.reason)}</td></tr>'
        for one in told[:MAX_LISTED]
    )
    left = f"<p>and {len(told) - MAX_LISTED} more</p>" if len(told) > MAX_LISTED else ""
    return f"<section><h2>Decisions</h2><table>{lines}</table>{left}</section>"
