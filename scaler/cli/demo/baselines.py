"""The same load without us: a fixed fleet of equal cost, and KEDA's own trigger on the length of the queue.

Both are played in virtual time on the requests that really came, without the incidents: these are ours alone.
"""

from dataclasses import dataclass, replace

from scaler.cli.demo.live import Live
from scaler.sim.loop import Latest, Timeline, World, fixed, queue_length, run
from scaler.sim.score import Score, score

THRESHOLD = 5.0  # of waiting requests, as in most examples of that trigger


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the comparison."""

    name: str
    score: Score
    timeline: Timeline


def compare(live: Live) -> tuple[Row, ...]:
    """Score the run, and what the others would have done; ours comes first."""
    ours = live.timeline()
    plan = live.scenario
    last = ours.trace[-1].at if ours.trace else 0.0
    size = max(1, round(ours.replica_seconds / ours.end))
    drain = max(ours.end - last, 0.0)
    always = replace(plan.scaled, min_replica_count=size, max_replica_count=size)
    fleet = World(plan.fleet, always, ready=size, drain=drain)
    trigger = replace(plan.scaled, min_replica_count=1, target=THRESHOLD, fallback=None)
    queue = World(plan.fleet, trigger, ready=1, drain=drain)
    timelines = {
        "llm-scaler": ours,
        f"fixed fleet of {size}": run(fleet, ours.trace, Latest(fixed(size))),
        f"KEDA on queue length {THRESHOLD:g}": run(queue, ours.trace, Latest(queue_length)),
    }
    return tuple(Row(name, score(timeline, plan.fleet, plan.slo), timeline) for name, timeline in timelines.items())
