"""The hardest cells of the benchmark of decisions under the real KEDA and HPA: `python tests/benchmarks/bench_cells.py`.

Three traces (jumps, shuffled, code) and two cold starts (60 s and 180 s): six cells, side by side in one cluster of
tests/laboratory. Each is a simulated fleet behind an object of a kind of its own, which has /scale and no pods. The real KEDA
asks the policy of tests/benchmarks/decisions over gRPC, the real HPA writes the replicas, and the fleet follows. The world runs SPEED times
faster: the HPA looks every 3 s instead of 15, KEDA polls every 3 s, the periods of `behavior` are as much shorter, and
the policy is told the time of the world.

The same cells are played in scaler/sim with its own KEDA and HPA, five times, each at another phase between scrapes and looks
and with other cold starts: their spread, twice the standard deviation, is the error that the simulation has, since
nobody chooses these.

    .venv/bin/python tests/benchmarks/bench_cells.py [--policy slo] [--seconds 3000] [--speed 5] [--trace NAME ...]
"""

import argparse
import itertools
import math
import os
import statistics
import sys
import time
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent / "decisions"))

import grpc
import policies
import traces
from laboratory.lab import Lab, condition
from laboratory.process import free_ports

from scaler.cluster.keda import Event, ScalerAnswer
from scaler.server.pb import externalscaler_pb2 as pb
from scaler.sim.fleet import FleetSpec
from scaler.sim.hardware import hardware
from scaler.sim.loop import World, run
from scaler.sim.play import Play, ScaleEvent
from scaler.sim.score import SloTarget, score
from scaler.sim.trace import cut

ROW, SEED, WARMUP, DRAIN, SCRAPE = "a100-8b-bf16", 1, 300.0, 150.0, 15.0
LEADS = (1.0, 4.0, 7.0, 10.0, 13.0)  # seconds from a scrape to the look of the HPA
GROUP, KIND = "lab.example.com", "PlayedFleet"
PAUSE = 0.1  # seconds between two looks at the objects


@dataclass(frozen=True)
class Setting:
    """What a policy is built of."""

    trace: tuple
    fleet: FleetSpec
    hardware: object
    startup: float
    past: tuple = ()  # the days before: none


class Cell:
    """One cell: what it is, and its world while the real KEDA and HPA scale it."""

    def __init__(self, name, startup, policy, span):
        self.label = f"{name} {startup:g} s"
        self.name = f"{name.replace(' ', '-')}-{startup:g}"
        trace = cut(traces.MADE[name](SEED), 0.0, span)
        machine = hardware(ROW)
        self.setting = Setting(trace, FleetSpec(machine, startup=startup), machine, startup)
        prompt, output = policies.prices(machine)
        first = sum(one.prompt * prompt + one.output * output for one in trace if one.at < 300.0) / 300.0
        self.ready = max(math.ceil(first / 0.5), 2)
        self.scaled, self.build = policies.POLICIES[policy]
        self.policy = self.build(self.setting)
        self.play = Play(self.setting.fleet, self.scaled, trace, seed=SEED, ready=self.ready)
        self.scraped = -math.inf

    def judge(self, timeline):
        """GPU-hours, and the share of requests that missed."""
        found = score(timeline, self.setting.fleet, SloTarget(), WARMUP)
        return found.gpu_hours, 1.0 - found.attainment

    def simulated(self):
        """The figures in scaler/sim, one for each phase and its cold starts."""
        world = World(self.setting.fleet, self.scaled, ready=self.ready, drain=DRAIN)
        runs = []
        for seed, lead in enumerate(LEADS, start=SEED):
            own = replace(world, scrape_lead=lead, seed=seed)
            runs.append(self.judge(run(own, self.setting.trace, self.build(self.setting))))
        return runs

    def follow(self, now, replicas):
        """Let the world go on to a time, scrape where that is due, and take over the replicas that were written."""
        while self.scraped + SCRAPE <= now or self.scraped < 0:
            self.scraped = max(self.scraped + SCRAPE, 0.0)
            self.play.advance(max(self.scraped, self.play.now))
            self.policy.observe(self.play.record())
        self.play.advance(max(now, self.play.now))
        before = self.play.fleet.desired
        if replicas != before:
            seen = self.play.fleet.snapshot()
            self.play.changes.append(ScaleEvent(Event(now, "HPA", before, replicas, ""), seen.queued + seen.waiting))
            self.play.fleet.scale(replicas)


class Wire(grpc.GenericRpcHandler):
    """KEDA's external scaler: the newest answer of each cell's policy."""

    def __init__(self, cells):
        self._cells = {cell.name: cell for cell in cells}

    def service(self, details):
        method = details.method.rpartition("/")[2]
        how = {"IsActive": self._active, "GetMetricSpec": self._spec, "GetMetrics": self._metrics}.get(method)
        if how is None:
            return None
        kind = pb.GetMetricsRequest if method == "GetMetrics" else pb.ScaledObjectRef
        return grpc.unary_unary_rpc_method_handler(how, kind.FromString, lambda answer: answer.SerializeToString())

    def _answer(self, name, context):
        cell = self._cells[name]
        said = cell.policy.answer(cell.play.now)
        if not isinstance(said, ScalerAnswer):
            context.abort(grpc.StatusCode.UNAVAILABLE, said.reason)
        return said

    def _active(self, ref, context):
        return pb.IsActiveResponse(result=self._answer(ref.name, context).active)

    def _spec(self, _ref, _context):
        return pb.GetMetricSpecResponse(metricSpecs=[pb.MetricSpec(metricName="replicas", targetSizeFloat=1.0)])

    def _metrics(self, request, context):
        value = self._answer(request.scaledObjectRef.name, context).value
        return pb.GetMetricsResponse(metricValues=[pb.MetricValue(metricName="replicas", metricValueFloat=value)])


def definition():
    """A kind with /scale and nothing behind it."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    paths = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
        "subresources": {"status": {}, "scale": {**paths, "labelSelectorPath": ".status.selector"}},
    }
    plural = f"{KIND.lower()}s"
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"kind": KIND, "plural": plural, "singular": KIND.lower()},
            "versions": [version],
        },
    }


def behavior(cell, speed):
    """The behavior of a cell's ScaledObject, its seconds as short as the world is fast."""

    def rules(one):
        written = [
            {"type": each.kind, "value": each.value, "periodSeconds": max(round(each.period / speed), 1)}
            for each in one.policies
        ]
        tolerance = cell.scaled.tolerance if one.tolerance is None else one.tolerance
        window = round(one.window / speed)
        return {"policies": written, "stabilizationWindowSeconds": window, "tolerance": f"{tolerance:g}"}

    own = cell.scaled.behavior
    return {"scaleUp": rules(own.up), "scaleDown": rules(own.down)}


def scaled_object(cell, address, speed):
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": cell.name, "namespace": "default"},
        "spec": {
            "scaleTargetRef": {"apiVersion": f"{GROUP}/v1", "kind": KIND, "name": cell.name},
            "minReplicaCount": cell.scaled.min_replica_count,
            "maxReplicaCount": cell.scaled.max_replica_count,
            "pollingInterval": max(round(cell.scaled.polling_interval / speed), 1),
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior(cell, speed)}},
            "triggers": [{"type": "external", "metadata": {"scalerAddress": address}}],
        },
    }


def play(cells, speed, span):
    """Let the real KEDA and HPA scale all cells at once."""
    with Lab(hpa_sync=max(round(SCRAPE / speed), 1), scrape=15) as lab:
        server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(Wire(cells),))
        address = f"127.0.0.1:{next(free_ports())}"
        server.add_insecure_port(address)
        server.start()
        stored = lambda: lab.get("CustomResourceDefinition", definition()["metadata"]["name"])  # noqa: E731
        lab.apply(definition())
        lab.wait(lambda: condition(stored() or {}, "Established"), 30, "the kind is established")
        lab.api = type(lab.api)(lab.api.url, *lab.api.files)  # which kinds there are is asked anew
        for cell in cells:
            cell.follow(0.0, cell.ready)
            spec = {"spec": {"replicas": cell.ready}}
            meta = {"name": cell.name, "namespace": "default"}
            lab.apply({"apiVersion": f"{GROUP}/v1", "kind": KIND, "metadata": meta, **spec})
            told(lab, cell, cell.ready)
            lab.apply(scaled_object(cell, address, speed))
        held = lambda: all(lab.get("HorizontalPodAutoscaler", f"keda-hpa-{cell.name}") for cell in cells)  # noqa: E731
        lab.wait(held, 90, "each has its HPA")
        began, slowest = time.monotonic(), 0.0
        while (now := (time.monotonic() - began) * speed) < span + DRAIN:
            looked = time.monotonic()
            written = {item["metadata"]["name"]: item["spec"]["replicas"] for item in lab.api.items(KIND, "default")}
            for cell in cells:
                before = cell.play.fleet.desired
                cell.follow(now, written[cell.name])
                if cell.play.fleet.desired != before:
                    told(lab, cell, cell.play.fleet.desired)
            slowest = max(slowest, time.monotonic() - looked)
            time.sleep(PAUSE)
        print(f"the slowest look at the objects took {slowest:.1f} s, {slowest * speed:.0f} s of the world")
        server.stop(None)


def told(lab, cell, replicas):
    """Say in the object's status how many there are, as a controller would."""
    status = {"status": {"replicas": replicas, "selector": f"app={cell.name}"}}
    lab.api.patch(KIND, cell.name, status, subresource="status")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", default="slo", choices=policies.POLICIES)
    parser.add_argument("--trace", nargs="*", default=["jumps", "shuffled", "code"])
    parser.add_argument("--startup", nargs="*", type=float, default=[60.0, 180.0])
    parser.add_argument("--seconds", type=float, default=3000.0)
    parser.add_argument("--speed", type=float, default=5.0)
    given = parser.parse_args()
    pairs = itertools.product(given.trace, given.startup)
    cells = [Cell(name, startup, given.policy, given.seconds) for name, startup in pairs]
    play(cells, given.speed, given.seconds)
    load = os.getloadavg()[1]
    within = 0
    print(f"{'':16}{'simulated':>32}{'real KEDA and HPA':>24}")
    for cell in cells:
        runs = cell.simulated()
        (hours, hours_error), (misses, misses_error) = (
            (statistics.mean(values), 2 * statistics.stdev(values)) for values in zip(*runs, strict=True)
        )
        real_hours, real_misses = cell.judge(cell.play.timeline())
        agrees = abs(real_hours - hours) <= hours_error and abs(real_misses - misses) <= misses_error
        within += agrees
        print(
            f"{cell.label:16}{hours:8.2f} ±{hours_error:5.2f} h {misses:7.2%} ±{misses_error:6.2%}"
            f"{real_hours:12.2f} h {real_misses:7.2%}   {'within' if agrees else 'outside'}"
        )
    print(f"{within} of {len(cells)} within the simulation's error; load {load:.0f}")


if __name__ == "__main__":
    main()
