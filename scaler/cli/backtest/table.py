"""What a backtest says: a table for people, JSON for programs, names for `--fail-if`. Pure."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from scaler.model.fields import camel_case, seconds
from scaler.sim.backtest.compare import BacktestPlan, Comparison
from scaler.sim.backtest.judge import CLOSE, ENOUGH, Agreement, Figures

HEADINGS = ("", "SLO misses", "GPU-hours", "cost", "up", "down", "wrong\ndowns", "most\nreplicas")
NAMES = ("agreement", "gpu_hours_error", "slo_misses", "gpu_hours", "cost", "scale_events", "wrong_scale_downs")


def lead(comparison: Comparison, plan: BacktestPlan, title: str) -> list[str]:
    """Say what was played, how well it agrees with what was, and what may be relied on."""
    lines = [f"{title}: {_span(plan)}"]
    if comparison.agreement is None:
        lines.append("A trace says nothing of the replicas that were, so nothing here was compared with the past.")
    else:
        lines.append(_replayed(comparison.agreement))
    if plan.world is None:
        lines.append(
            "The load stays as it was measured, whatever the replicas: queues that fewer replicas would have made "
            "longer are not seen. With --hardware the requests are played on a simulated fleet."
        )
    else:
        fleet = plan.world.fleet
        lines.append(
            f"{len(plan.world.trace):,} requests on a simulated fleet of {fleet.hardware.title}, ready "
            f"{seconds(fleet.startup)} after the order; a request misses the SLO whose first token takes longer than "
            f"{plan.world.slo.ttft:g} s, or its further ones more than {plan.world.slo.tpot * 1000:g} ms each."
        )
    if comparison.on_fleet is not None:
        lines.append(_on_fleet(comparison.on_fleet))
    if comparison.agreement is not None:
        lines.append(_verdict(comparison))
    return lines


def _span(plan: BacktestPlan) -> str:
    if plan.record is None:
        world = plan.world
        return f"{len(world.trace):,} requests in {seconds(world.end)}" if world else ""
    ticks = f"{plan.record.ticks:,} ticks of {seconds(plan.record.step)}"
    if plan.record.start == 0:  # of a trace, whose times begin anywhere
        return f"{seconds(plan.record.span)}, {ticks}"
    start = datetime.fromtimestamp(plan.record.start, UTC).strftime("%Y-%m-%d %H:%M")
    return f"{seconds(plan.record.span)} from {start} UTC, {ticks}"


def _replayed(agreed: Agreement) -> str:
    return (
        f"Replay of what was: the same replicas after {agreed.equal_looks:.1%} of {agreed.looks:,} looks of the HPA, "
        f"at {agreed.equal:.1%} of {agreed.ticks:,} ticks, within {agreed.slack:.0f} s of a change at "
        f"{agreed.near:.1%}; {agreed.replayed_hours:.1f} replica-hours, and "
        f"{agreed.was_hours:.1f} there were ({agreed.error:+.1%})."
    )


def _on_fleet(agreed: Agreement) -> str:
    return (
        f"The object as it is on the simulated fleet: {agreed.replayed_hours:.1f} replica-hours, and "
        f"{agreed.was_hours:.1f} there were ({agreed.error:+.1%})."
    )


def _verdict(comparison: Comparison) -> str:
    if comparison.advises:
        return "It agrees, so the figures below may be relied on as far as that."
    replayed = comparison.agreement is None or comparison.agreement.good
    wanted = f"{ENOUGH:.0%} of the ticks and replica-hours within {CLOSE:.0%}"
    reason = "The fleet is not like yours: other hardware, start-up or requests" if replayed else (
        "Something else moved the replicas, or the load is not all in the record")  # fmt: skip
    return (
        f"It does not agree well enough to advise anything: that takes {wanted}. {reason}; --anyway shows all the same."
    )


def table(comparison: Comparison, *, candidates: bool) -> Table:
    """Lay out the figures, one line an object; without `candidates` only what was and its replay."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(HEADINGS):
        drawn.add_column(heading, justify="left" if place == 0 else "right", overflow="fold")
    if comparison.past:
        drawn.add_row("what was", *cells(comparison.past, None))
    for result in comparison.results if candidates else comparison.results[:1]:
        if result.figures is None:
            drawn.add_row(result.name, f"not played: {result.problem}")
        else:
            drawn.add_row(result.name, *cells(result.figures, comparison))
    return drawn


def cells(figures: Figures, comparison: Comparison | None) -> list[str]:
    """Write one line of figures, beside them the errors of the calibration; None: of what was, which has none."""
    error, misses_error, events = (
        (comparison.error, comparison.misses_error, comparison.events_error) if comparison else (None, None, None)
    )
    beside = "" if error is None else f" ±{abs(error):.1%}"
    late = "" if misses_error is None else f" ±{abs(misses_error):.1%}"
    ups, downs, wrong = ("", "", "")
    if events is not None:
        ups, downs, wrong = (f" ±{abs(count)}" for count in events)
    return [
        "-" if figures.slo_misses is None else f"{figures.slo_misses:.1%}{late}",
        f"{figures.gpu_hours:.1f}{beside}",
        "-" if figures.cost is None else f"{figures.cost:.2f}",
        f"{figures.scale_ups}{ups}",
        f"{figures.scale_downs}{downs}",
        f"{figures.wrong_scale_downs}{wrong}",
        str(figures.most),
    ]


def as_tree(comparison: Comparison, plan: BacktestPlan, title: str) -> dict[str, Any]:
    """Return all of it as JSON has it."""
    record = plan.record
    return {
        "object": title,
        "from": None if record is None else record.start,
        "step": record.step if record else plan.world.step if plan.world else None,
        "ticks": record.ticks if record else None,
        "fleet": plan.world.fleet.hardware.name if plan.world else None,
        "advises": comparison.advises,
        "agreement": _agreement(comparison.agreement),
        "onFleet": _agreement(comparison.on_fleet),
        "sloMissesError": comparison.misses_error,
        "scaleEventsErrors": comparison.events_error,
        "whatWas": None if comparison.past is None else _figures(comparison.past),
        "results": [
            {"name": one.name, **(_figures(one.figures) if one.figures else {"problem": one.problem})}
            for one in comparison.results
        ],
    }


def _agreement(agreed: Agreement | None) -> dict[str, Any] | None:
    if agreed is None:
        return None
    return {
        "ticks": agreed.ticks,
        "equal": agreed.equal,
        "looks": agreed.looks,
        "equalLooks": agreed.equal_looks,
        "near": agreed.near,
        "replicaHoursWere": agreed.was_hours,
        "replicaHoursReplayed": agreed.replayed_hours,
        "error": agreed.error,
    }


def _figures(figures: Figures) -> dict[str, Any]:
    return {camel_case(name): value for name, value in asdict(figures).items()}


def names(figures: Figures | None, comparison: Comparison) -> Mapping[str, float | None]:
    """Map the names that `--fail-if` may use to one object's values; None where one is not known."""
    known: dict[str, float | None] = dict.fromkeys(NAMES)
    if comparison.agreement is not None and comparison.error is not None:
        known |= {"agreement": comparison.agreement.equal, "gpu_hours_error": abs(comparison.error)}
    if figures is not None:
        known |= {
            "slo_misses": figures.slo_misses,
            "gpu_hours": figures.gpu_hours,
            "cost": figures.cost,
            "scale_events": float(figures.scale_ups + figures.scale_downs),
            "wrong_scale_downs": float(figures.wrong_scale_downs),
        }
    return known
