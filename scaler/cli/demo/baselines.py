"""The same load without us: a fixed fleet of equal cost, and KEDA's own trigger on the length of the queue.

Both are played in virtual time on the requests that really came, and with the same incidents: a replica dies, and the
metrics are away, when it was so for us. A fixed fleet needs no metrics. To KEDA's trigger a series that is gone is 0,
which is what its `ignoreNullValues` is set to if nobody says otherwise.
"""

from dataclasses import dataclass, replace

from scaler.cli.demo.live import Live
from scaler.cluster.keda import Answer
from scaler.sim.loop import Latest, World, fixed, queue_length, run
from scaler.sim.play import Timeline
from scaler.sim.score import Score, score

THRESHOLD = 5.0  # of waiting requests, as in most examples of that trigger


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison."""

    name: str
    score: Score
    timeline: Timeline


def verdict(rows: tuple[Row, ...]) -> str:
    """What one sees in the comparison, in a few sentences."""
    ours, fleet, queue = (row.score.attainment for row in rows)
    told = [f"The {rows[1].name} costs what llm-scaler cost, and was chosen after the fact."]
    figures = f"({fleet:.1%}, llm-scaler {ours:.1%})"
    if fleet < ours:
        told.append(f"It serves less in time {figures}: the peak is too high for it.")
    else:
        told.append(f"It serves more in time here {figures}: it is warm before the first request comes,")
        told.append("which waits for a cold start with llm-scaler; the shorter the run, the more that weighs.")
    if queue < ours:
        told.append("KEDA's trigger on the queue sees no load until requests wait, and takes missing metrics for 0.")
    return " ".join(told)


def compare(live: Live) -> tuple[Row, ...]:
    """Score the run, and what the others would have done; ours comes first."""
    ours = live.timeline()
    plan = live.scenario
    last = ours.trace[-1].at if ours.trace else 0.0
    size = max(1, round(ours.replica_seconds / ours.end))
    drain = max(ours.end - last, 0.0)
    always = replace(plan.scaled, min_replica_count=size, max_replica_count=size)
    fleet = World(plan.fleet, always, ready=size, drain=drain, incidents=live.happened)
    trigger = replace(plan.scaled, min_replica_count=1, target=THRESHOLD, fallback=None)
    queue = World(plan.fleet, trigger, ready=1, drain=drain, incidents=live.happened)
    lost = Latest(queue_length, stale=queue.scrape_interval + queue.scrape_lead, gone=Answer(0.0, active=False))
    timelines = {
        "llm-scaler": ours,
        f"fixed fleet of {size}": run(fleet, ours.trace, Latest(fixed(size))),
        f"KEDA on queue length {THRESHOLD:g}": run(queue, ours.trace, lost),
    }
    return tuple(Row(name, score(timeline, plan.fleet, plan.slo), timeline) for name, timeline in timelines.items())
