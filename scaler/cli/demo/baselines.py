"""The same load by other ways: `formula: slo`, a fixed fleet of equal cost, and KEDA's own trigger on the queue.

All are played in virtual time on the requests that really came, and with the same incidents: a replica dies, and the
metrics are away, when it was so for us. `slo` is the product's own fold, which decides as often as the one before
your eyes; it is told the SLO and no target, and is as new to this model. A fixed fleet needs no metrics. To KEDA's
trigger a series that is gone is 0, which is what its `ignoreNullValues` is set to if nobody says otherwise.
"""

from dataclasses import dataclass, replace

from scaler.cli.demo.live import LiveWorld
from scaler.cli.demo.scenario import HOLD_FOR, IDLE_FOR
from scaler.cluster.keda import KedaTrigger, ScalerAnswer
from scaler.config.catalog import load
from scaler.config.defaults import Defaults
from scaler.model.measurement import TriggerRef
from scaler.sim.backtest import fleet as backtest
from scaler.sim.backtest.replay import Timing
from scaler.sim.backtest.subject import FormulaTrigger, Subject
from scaler.sim.loop import Latest, World, fixed, queue_length, run
from scaler.sim.play import Timeline
from scaler.sim.score import Score, score

THRESHOLD = 5.0  # of waiting requests, as in most examples of that trigger
OURS, SLO = "llm-scaler, queue-depth", "llm-scaler, slo"


@dataclass(frozen=True, slots=True)
class BaselineRow:
    """One line of the comparison."""

    name: str
    score: Score
    timeline: Timeline


def verdict(rows: tuple[BaselineRow, ...]) -> str:
    """Say in a few sentences what the comparison shows."""
    own, slo, fixed_fleet, queue = rows
    ours, fleet = own.score.attainment, fixed_fleet.score.attainment
    told = [_slo_verdict(own.score, slo.score)]
    told.append(f"The {fixed_fleet.name} costs what queue-depth cost, and was chosen after the fact.")
    figures = f"({fleet:.1%}, queue-depth {ours:.1%})"
    if fleet < ours:
        told.append(f"It serves less in time {figures}: the peak is too high for it.")
    else:
        told.append(f"It serves more in time here {figures}: it is warm before the first request comes,")
        told.append("which waits for a cold start with llm-scaler; the shorter the run, the more that weighs.")
    if queue.score.attainment < ours:
        told.append("KEDA's trigger on the queue sees no load until requests wait, and takes missing metrics for 0.")
    return " ".join(told)


def _slo_verdict(own: Score, slo: Score) -> str:
    """Say what slo did beside queue-depth, whichever was better."""
    more = "more" if slo.attainment > own.attainment else "fewer"
    dearer = "more" if slo.cost > own.cost else "less"
    served = f"{more} requests in time ({slo.attainment:.1%} and {own.attainment:.1%})"
    if f"{slo.attainment:.1%}" == f"{own.attainment:.1%}":
        served = f"as many requests in time ({own.attainment:.1%})"
    return (
        "formula: slo was given the SLO alone, and queue-depth a target that somebody had to find: slo served "
        f"{served} for {dearer} (${slo.cost:.2f} and ${own.cost:.2f}). "
        "It learns while it serves what a replica carries, and is careful until it knows."
    )


def compare(live: LiveWorld, span: float = 10.0) -> tuple[BaselineRow, ...]:
    """Score the run, and what the others would have done; ours comes first.

    Args:
        live: the run.
        span: seconds of the world between two decisions.
    """
    ours = live.timeline()
    plan = live.scenario
    last = ours.trace[-1].at if ours.trace else 0.0
    size = max(1, round(ours.replica_seconds / ours.end))
    drain = max(ours.end - last, 0.0)
    always = replace(plan.scaled, min_replica_count=size, max_replica_count=size)
    fleet = World(plan.fleet, always, ready=size, drain=drain, incidents=live.happened)
    trigger = replace(plan.scaled, min_replica_count=1, target=THRESHOLD, fallback=None)
    queue = World(plan.fleet, trigger, ready=1, drain=drain, incidents=live.happened)
    lost = Latest(queue_length, stale=queue.scrape_interval + queue.scrape_lead, gone=ScalerAnswer(0.0, active=False))
    timelines = {
        OURS: ours,
        SLO: _by_slo(live, ours, span),
        f"fixed fleet of {size}": run(fleet, ours.trace, Latest(fixed(size))),
        f"KEDA on queue length {THRESHOLD:g}": run(queue, ours.trace, lost),
    }
    return tuple(
        BaselineRow(name, score(timeline, plan.fleet, plan.slo), timeline) for name, timeline in timelines.items()
    )


def _by_slo(live: LiveWorld, ours: Timeline, span: float) -> Timeline:
    """Play the same ScaledObject with a trigger that asks for slo."""
    plan = live.scenario
    said = {"formula": "slo", "model": "llama", "ttft": f"{plan.slo.ttft:g}s", "itl": f"{plan.slo.tpot * 1000:g}ms"}
    waits = {"interval": f"{span:g}s", "holdFor": f"{HOLD_FOR:g}s", "idleFor": f"{IDLE_FOR:g}s"}
    request = TriggerRef("demo", "llama", tuple(sorted({**said, **waits}.items())))
    spec = load().bind(request, Defaults()).spec
    scaled = replace(plan.scaled, triggers=(KedaTrigger(),), push=True)
    subject = Subject("demo", "llama", "llama", scaled, (FormulaTrigger(spec, push=True),))
    world = backtest.FleetWorld(
        ours.trace, plan.fleet, plan.slo, span=ours.end, step=span, scrape=span, incidents=live.happened
    )
    return backtest.played(subject, world, Timing())
