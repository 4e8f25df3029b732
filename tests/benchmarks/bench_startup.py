"""What a slow model load makes of the replicas: `python tests/benchmarks/bench_startup.py`, by hand; three minutes.

The fold decides, the simulated KEDA and HPA carry out: with nothing left out of the account (`startup: 0s`), with a plain
asked - pending, and with `startup: 15m`. In virtual time, so that the machine does not matter.
"""

from scaler.cluster.keda import Refusal, ScaledObject, ScalerAnswer
from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.trigger import parse_trigger
from scaler.decision.decide import decide
from scaler.decision.state import State
from scaler.model.behavior import Behavior, RatePolicy, Rules
from scaler.model.measurement import Inputs, Reading, TargetStatus, TriggerRef
from scaler.model.objects import Pod, ScaledResource, TargetView
from scaler.model.strict_yaml import parse_yaml
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.loop import World, run
from scaler.sim.score import SloTarget, score
from scaler.sim.trace import merge, ramp

CALM_DOWN = Behavior(down=Rules((RatePolicy("Percent", 100, 15.0),), window=300.0))
SCALED = ScaledObject(
    min_replica_count=0, max_replica_count=200, polling_interval=15.0, cooldown_period=300.0, behavior=CALM_DOWN
)
FLEETS = (("a100-8b-bf16", 300.0, 12), ("h100-70b-fp8-tp4", 600.0, 8))  # hardware, seconds to load, target


class Ours:
    """The fold over what is seen of a fleet."""

    def __init__(self, target, startup, *, less_pending=False):
        text = f"name: load\nmetrics: {{load: {{prometheus: load}}}}\nformula: load\ntarget: {target}\nstartup: {startup}\n"
        request = TriggerRef("team", "llama", (("formula", "load"),))
        self.spec = bind(
            parse_file(parse_yaml(text, "load"), "load"), parse_trigger(request), Defaults(scale_down=None)
        )
        self.state, self.decision, self.less_pending = State(), None, less_pending
        self.born, self.ready = {}, {}

    def observe(self, seen):
        for replica in seen.replicas:
            self.born.setdefault(replica.serial, seen.at)
            if replica.phase == "ready":
                self.ready.setdefault(replica.serial, seen.at)
        pods = tuple(
            Pod(str(one.serial), one.phase, self.born[one.serial], ready_since=self.ready.get(one.serial))
            for one in seen.replicas
            if one.phase != "draining"
        )
        scaled = ScaledResource("ScaledObject", "team", "llama", "1", 1, (), (), "Deployment llama", 0, 200, pods=pods)
        known = TargetStatus(seen.desired, seen.ready, seen.starting, pending=0, ever_ready=seen.ready)
        load = Reading(float(seen.queued + seen.waiting + seen.running), seen.at)
        self.state, self.decision = decide(
            self.spec, self.state, Inputs({"load": load}, target_status=known, target=TargetView(scaled)), seen.at
        )

    def answer(self, now):
        told = self.decision
        if told is None or told.replicas is None:
            return Refusal("GetMetrics", "nothing was measured yet")
        replicas = told.replicas
        if self.less_pending and told.desired > told.target_status.current:
            replicas = max(told.target_status.current, told.desired - told.target_status.starting)
        return ScalerAnswer(replicas, active=told.active)


def requests(start, end, first, last, seed):
    return ramp(start, end, first=first, last=last, prompt=964, output=259, seed=seed)


LOADS = (  # name, requests, replicas that are ready at the start
    ("from zero to 6 requests/s", requests(60, 3600, 6, 6, 3), 0),
    ("from 3 to 20 requests/s", merge(requests(0, 1200, 3, 3, 1), requests(1200, 4800, 20, 20, 2)), 1),
    (
        "from 2 to 40 in 10 minutes",
        merge(requests(0, 600, 2, 2, 1), requests(600, 1200, 2, 40, 2), requests(1200, 4200, 40, 40, 3)),
        1,
    ),
    (
        "3, then 8, a minute later 40",
        merge(requests(0, 600, 3, 3, 1), requests(600, 660, 8, 8, 2), requests(660, 4200, 40, 40, 3)),
        1,
    ),
)


def main():
    for name, loads_for, target in FLEETS:
        fleet = FleetSpec(hardware(name), startup=loads_for)
        print(f"{fleet.hardware.title}, {loads_for:.0f} s to load, {target} requests per replica")
        for load, trace, ready in LOADS:
            world = World(fleet, SCALED, ready=ready, scrape_interval=5.0, scrape_lead=2.0)
            policies = {
                "startup: 0s": Ours(target, "0s"),
                "asked - pending": Ours(target, "0s", less_pending=True),
                "startup: 15m": Ours(target, "15m"),
            }
            for label, policy in policies.items():
                seen = run(world, trace, policy)
                result, most = score(seen, fleet, SloTarget()), max(point.desired for point in seen.points)
                print(f"  {load:30} {label:16} {most:4} replicas at most {result.replica_hours:7.1f} hours  ", end="")
                print(f"{result.attainment:.1%} in the SLO", flush=True)


if __name__ == "__main__":
    main()
