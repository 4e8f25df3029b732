"""Objects, records and worlds for the tests of backtest."""

from scaler.config.catalog import load
from scaler.config.defaults import Defaults
from scaler.model.measurement import PromqlQuery, Reading
from scaler.sim.backtest.record import Record
from scaler.sim.backtest.subject import Context, read_subject

CATALOG = load()
DEFAULTS = Defaults()
START = 1_800_000_000.0  # a Friday in January 2027, 08:00 UTC


def bound(request):
    return CATALOG.bind(request, DEFAULTS).spec


def binding(**queries):
    return Context("test.yaml", bound, "default", queries)


def scaled_object(*triggers, **spec):
    """A ScaledObject as YAML has it."""
    return {
        "kind": "ScaledObject",
        "metadata": {"namespace": "demo", "name": "llama"},
        "spec": {"scaleTargetRef": {"name": "llama"}, "minReplicaCount": 1, "triggers": list(triggers), **spec},
    }


def ours(**metadata):
    told = {"scalerAddress": "llm-scaler.keda:6000", "formula": "queue-depth", "model": "llama", "target": "8"}
    return {"type": "external", "metadata": {**told, **metadata}}


def prometheus(query="load", threshold="5", name=None, **metadata):
    trigger = {"type": "prometheus", "metadata": {"query": query, "threshold": threshold, **metadata}}
    return trigger if name is None else {**trigger, "name": name}


def cron(start="0 8 * * *", end="0 18 * * *", replicas="3", zone="UTC", name=None):
    told = {"start": start, "end": end, "timezone": zone, "desiredReplicas": replicas}
    trigger = {"type": "cron", "metadata": told}
    return trigger if name is None else {**trigger, "name": name}


def subject(*triggers, queries=None, **spec):
    return read_subject(scaled_object(*triggers, **spec), binding(**(queries or {})))


def record(values, replicas=(), ready=(), step=15.0, query="load"):
    """What one query said, tick by tick: a number, None, or a Failure."""
    series = [
        Reading(value, START + tick * step) if value is None or isinstance(value, int | float) else value
        for tick, value in enumerate(values)
    ]
    return Record(
        "demo", "llama", START, step, len(values), {}, replicas, ready, {PromqlQuery("default", query): series}
    )
