"""What the demo shows while it runs: a picture for a terminal, a line for anything else. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from scaler.cli.demo.baselines import BaselineRow
from scaler.cli.demo.live import Observation
from scaler.sim.score import SloTarget

HEADINGS = ("", "served", "SLO met", "replica\nhours", "GPU\ncost", "downs,\nwrong")
TITLE = "The same load, four ways"
CAPTION = (
    "The same requests, dying replicas and missing metrics for all; but for the first line played in virtual time."
)
BARS = " ▁▂▃▄▅▆▇█"
WIDTHS = (80, 100)  # of the picture, the least and the most; the curves get what the words leave
LABEL, FIGURES = 11, 37  # columns of the picture beside its curves
EDGES = 8  # columns of its border and gaps
_CERTAINTY = {"certain": "green", "raising": "cyan", "held": "yellow", "unknown": "red"}


@dataclass(frozen=True, slots=True)
class LastDecision:
    """The last decision of the scaler."""

    reason: str = "nobody has asked yet"
    certainty: str = "unknown"


@dataclass(frozen=True, slots=True)
class Frame:
    """Everything in one picture."""

    views: Sequence[Observation]  # all so far, the newest last
    said: LastDecision
    events: Sequence[str]  # the newest last
    seconds: float  # real ones, since the start
    of: float
    speed: float
    slo: SloTarget
    price: float  # USD per replica and second of the world
    keys: str  # what the keyboard does; empty without one
    where: str  # how to ask for an explanation


def curve(values: Sequence[float], width: int) -> str:
    """Draw the values as a row of bars, the newest at the right, each the largest of its share."""
    if not values:
        return " " * width
    step = max(len(values) / width, 1.0)
    columns = min(width, len(values))
    parts = [values[int(at * step) : max(int((at + 1) * step), int(at * step) + 1)] for at in range(columns)]
    top = max(values) or 1.0
    bars = "".join(BARS[min(int(max(part) / top * (len(BARS) - 2) + 1), 8) if max(part) > 0 else 0] for part in parts)
    return bars.rjust(width) if len(values) < width else bars


def picture(frame: Frame, columns: int) -> RenderableType:
    """Draw the picture, as wide as a terminal of so many columns allows."""
    whole = min(max(columns, WIDTHS[0]), WIDTHS[1])
    width = whole - LABEL - FIGURES - EDGES
    now, views = frame.views[-1], frame.views
    limit = frame.slo.ttft
    late = now.ttft is not None and now.ttft > limit
    met = "" if now.met is None else f"{now.met:.1%} of {now.finished:,} requests in the SLO"
    rows = (
        ("load", [view.load for view in views], f"[bold]{now.load:.1f}[/] requests/s", "blue"),
        ("queue", [view.queued + view.waiting for view in views], _queue(now), "magenta"),
        ("running", [view.running for view in views], f"[bold]{now.running}[/] in the engines", "cyan"),
        ("first token", [view.ttft or 0.0 for view in views], _ttft(now, limit), "red" if late else "green"),
        ("cost", [view.cost for view in views], _cost(now, frame.price), "white"),
        ("replicas", [view.ready + view.starting for view in views], _replicas(now), "green"),
    )
    grid = Table.grid(padding=(0, 1))
    for column in (LABEL, width, FIGURES):
        grid.add_column(width=column, no_wrap=True)
    for name, values, text, colour in rows:
        grid.add_row(f"[dim]{name}[/]", Text(curve(values, width), style=colour), text)
    grid.add_row("", "", f"[green]{'■' * now.ready}[/][yellow]{'□' * now.starting}[/][dim]{'·' * now.draining}[/]")
    head = f"{frame.seconds:.0f} s of {frame.of:.0f} s; the world runs {frame.speed:g} times faster"
    colour = _CERTAINTY[frame.said.certainty]
    why = Text.assemble(("why  ", "dim"), (frame.said.reason, colour))
    lines: list[RenderableType] = [grid, "", why, ""]
    lines += [Text(event, style="dim") for event in frame.events[-4:]] or [Text("")]
    lines += ["", f"[dim]{met or 'no request has ended yet'}[/]", f"[dim]{escape(frame.where)}[/]"]
    lines += [f"[dim]{escape(frame.keys)}[/]"] if frame.keys else []
    dark = "[bold yellow] the metrics are away [/]" if now.metrics_down else ""
    return Panel(Padding(Group(*lines), (0, 1)), title=f"llm-scaler demo  {dark}", subtitle=head, width=whole)


def _queue(now: Observation) -> str:
    return f"[bold]{now.queued}[/] at the gateway, [bold]{now.waiting}[/] in engines"


def _replicas(now: Observation) -> str:
    wanted = "?" if now.wanted is None else str(now.wanted)
    return f"[bold]{now.ready}[/] ready, [bold]{now.starting}[/] starting, [bold]{wanted}[/] wanted"


def _ttft(now: Observation, limit: float) -> str:
    shown = "-" if now.ttft is None else f"{now.ttft:.2f} s"
    return f"[bold]{shown}[/] (95th percentile; SLO {limit:g} s)"


def _cost(now: Observation, price: float) -> str:
    rate = (now.ready + now.starting + now.draining) * price * 3600
    return f"[bold]${now.cost:.2f}[/], now ${rate:.2f} an hour"


def line(frame: Frame) -> str:
    """Write the same in one line."""
    now = frame.views[-1]
    wanted = "?" if now.wanted is None else str(now.wanted)
    ttft = "-" if now.ttft is None else f"{now.ttft:.2f}s"
    dark = "  METRICS AWAY" if now.metrics_down else ""
    return (
        f"{frame.seconds:5.0f}s  load {now.load:5.1f}/s  queue {now.queued + now.waiting:4d}  running {now.running:4d}"
        f"  replicas {now.ready:2d} ready {now.starting:2d} starting {wanted:>2} wanted  TTFT {ttft:>6}"
        f"  ${now.cost:.2f}{dark}  | {frame.said.reason}"
    )


def table(rows: Sequence[BaselineRow]) -> Table:
    """Lay out the comparison at the end."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.title, shown.caption = TITLE, CAPTION
    shown.title_justify = shown.caption_justify = "left"
    for heading in HEADINGS:
        shown.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        shown.add_row(row.name, *cells(row))
    return shown


def cells(row: BaselineRow) -> tuple[str, ...]:
    """Write one way's figures: served, in the SLO, replica-hours, cost, scale-downs with wrong ones."""
    score = row.score
    served = score.requests - score.lost - score.unfinished
    return (
        f"{served:,} of {score.requests:,}",
        f"{score.attainment:.1%}",
        f"{score.replica_hours:.2f}",
        f"${score.cost:.2f}",
        f"{score.scale_downs}, {score.wrong_scale_downs}",
    )
