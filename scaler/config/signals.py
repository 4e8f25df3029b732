"""The engine catalogue as values: which signal each engine offers, under which names, and what it means.

The facts are in engines.yaml, whose head explains the keys. This file only reads them, once, and refuses what it does
not know; batch_query.py makes queries of them.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Literal, cast

from scaler.model.errors import ConfigError, nearest
from scaler.model.fields import Fields, boolean, choice, listed, matching, number, show, text
from scaler.model.strict_yaml import parse_yaml

FILE = "engines.yaml"

SignalScope = Literal["target", "gateway", "object"]
SignalType = Literal["gauge", "counter", "histogram"]
Aggregation = Literal["sum", "mean", "max", "quantile"]
Pairs = tuple[tuple[str, str], ...]

_metric_name = matching(r"[a-zA-Z_:][a-zA-Z0-9_:]*", "a metric's name")
_dotted_name = matching(r"[a-zA-Z_][a-zA-Z0-9_.]*", "a name as OpenTelemetry has it")
_family_name = matching(r"[a-zA-Z_:][a-zA-Z0-9_:.]*\*?", "a metric's name, or its beginning and a *")
_NO_NAMES: tuple[str, ...] = ()
_NO_LABELS: tuple[str, ...] | None = ()
_NO_REPEATS: tuple[str, ...] = ()
_label = matching(r"[a-zA-Z_][a-zA-Z0-9_]*", "a label's name")
_UNIT = "_seconds"  # what a pipeline writes behind a name of OpenTelemetry's, where it writes units


@dataclass(frozen=True, slots=True)
class InfoJoin:
    """The way to a metric of a thing from the object that points at the thing."""

    info: str  # the metric that says who points at whom, always 1
    where: Pairs  # matchers of it
    label: str  # its label that names the thing
    names: str  # the label of the thing's own metric that names it


@dataclass(frozen=True, slots=True)
class DefaultEndpoint:
    """The place where an engine has its metrics page, unless somebody moved it."""

    port: int
    path: str


@dataclass(frozen=True, slots=True)
class Metric:
    """One name under which a signal is or was exported."""

    name: str
    versions: str
    where: Pairs  # label -> value, those of the signal too
    info_join: InfoJoin | None
    label_names: Pairs  # our name -> the metric's, where that is not the signal's
    respelled: bool = False  # another spelling of the one before it, as pipelines of OpenTelemetry write it

    @property
    def is_dotted(self) -> bool:
        """Tell whether the metric or a label of it has a name that only a Prometheus of UTF-8 names knows."""
        return any("." in name for name in (self.name, *dict(self.where), *dict(self.label_names).values()))

    @property
    def histogram(self) -> str:
        """The histogram whose sum or count it is called after; empty: it is none."""
        return next((self.name.removesuffix(end) for end in ("_sum", "_count") if self.name.endswith(end)), "")

    def plain(self) -> "Metric":
        """Return the same under the names that the text format has, where a dot is an underscore."""
        where = tuple((plain_name(label), value) for label, value in self.where)
        label_names = tuple((ours, plain_name(name)) for ours, name in self.label_names)
        return replace(self, name=plain_name(self.name), where=where, label_names=label_names)


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that one engine measures."""

    engine: str
    name: str
    description: str
    unit: str
    type: SignalType
    aggregation: Aggregation  # across pods
    scope: SignalScope
    shared: bool  # a gateway that may serve many namespaces, under the one of its own scrape
    labels: tuple[str, ...]  # our names of what identifies a workload: namespace, model, route, hpa, workload
    label_names: Pairs  # our name -> the engine's
    unnamed: Pairs  # our name -> what the label says where the engine does not know it: whoever asks may be meant
    lowercased: tuple[str, ...]  # our names of labels whose values the engine writes in lower case
    where: Pairs  # label -> value, of every selector; each metric has them too
    sum_within_pod_by: tuple[str, ...] | None  # the engine's own labels, as far as they are known; None: none is named
    repeated_by: tuple[str, ...]  # labels whose series are the same thing again; by all others they add up
    scraped_by: tuple[str, ...]  # labels of the scrape by which the same thing comes twice, besides those of any scrape
    metrics: tuple[Metric, ...]  # newest name first
    plus: tuple[Metric, ...]  # what adds up with that, of each pod that has it
    divided_by: tuple[Metric, ...]  # what to divide by; empty: nothing
    scale: float
    max: float | None  # the largest possible value
    max_reason: str  # what bounds it, in words; empty: nothing does
    value_at_zero_replicas: float | None  # the value at 0 replicas; None: there is none
    window: float | None  # seconds, the default; None: it is what it is now, unless a window is given
    quantile: float | None  # the default; None: it takes none
    source: str  # where the names were read
    family_names: tuple[
        str, ...
    ]  # names, or with a `*` their beginnings, that show that the engine or gateway is there
    counted_per_step: bool  # a counter that moves at every step of the engine, and not only when a request ends
    counts_from_birth: bool  # a counter of which a series that is new was 0 before: what it says was counted since
    created_on_use: (
        bool  # its series are made when first needed: a pod with a name of the family and without them has 0
    )
    without_family: (
        str  # of a gateway: why nothing waits there while nothing of the family is to be seen; a sentence's end
    )
    withdrawn_at_zero: str  # of a gateway: why it says nothing of a target without replicas; likewise
    default_metrics_endpoint: DefaultEndpoint | None = None  # None: nothing is usual there

    @property
    def is_backlog(self) -> bool:
        """Tell whether it may grow only because replicas are not ready yet: a queue does, no rate does."""
        return self.type != "counter" and self.max is None and not self.max_reason

    @property
    def most(self) -> float:
        """The most that a gauge can be; of rates no bound is exact."""
        return self.max if self.type == "gauge" and self.max is not None else math.inf

    def also_called(self, label: str, value: str) -> tuple[str, ...]:
        """Return what else a label may say for a value that is asked for: that it is not known, or lower case."""
        lower = (value.lower(),) if label in self.lowercased and value != value.lower() else ()
        return (*(said for ours, said in self.unnamed if ours == label), *lower)

    @property
    def idles(self) -> bool:
        """Tell whether a pod that has nothing but the engine's family counts as one without work."""
        return self.created_on_use and not self.divided_by and not self.takes_quantile

    @property
    def watched_family(self) -> tuple[str, ...]:
        """The names of its family that say something of a signal that is missing; empty: none does."""
        return self.family_names if self.idles or self.scope == "gateway" else ()

    @property
    def shown_by(self) -> tuple[str, ...]:
        """Names of samples that show that a gateway holds what comes; with a `*`, their beginnings."""
        suffix = "_bucket" if self.takes_quantile else ""
        own = tuple(metric.name + suffix for metric in self.metrics)
        natively = tuple(metric.histogram for metric in self.metrics if metric.histogram and self.type == "counter")
        return self.watched_family if self.without_family else (*own, *natively, *self.watched_family)

    @property
    def takes_window(self) -> bool:
        """Tell whether it can only be measured over a window."""
        return self.type != "gauge"

    @property
    def takes_quantile(self) -> bool:
        """Tell whether it is a quantile."""
        return self.type == "histogram"


@cache
def engines() -> Mapping[str, Mapping[str, Signal]]:
    """Return the whole catalogue: engine -> name of the signal -> signal."""
    return read((files("scaler.config") / FILE).read_text(encoding="utf-8"))


def names(engine: str) -> tuple[str, ...]:
    """List the signals of an engine.

    Raises:
        ConfigError: no such engine.
    """
    if engine not in engines():
        problem = f"{show(engine)} is not in the catalogue{nearest(engine, engines())}"
        raise ConfigError("signals", "engine", problem, ", ".join(engines()))
    return tuple(engines()[engine])


@cache
def all_signal_names() -> frozenset[str]:
    """Return the names of all signals that anybody has."""
    return frozenset(name for own in engines().values() for name in own)


@cache
def gateway_signals() -> frozenset[str]:
    """Return the signals that only gateways have: what there is to say of a target without replicas."""
    offered = [signal for own in engines().values() for signal in own.values()]
    at_gateways = {signal.name for signal in offered if signal.scope == "gateway"}
    return frozenset(at_gateways - {signal.name for signal in offered if signal.scope == "target"})


@cache
def gateways() -> Mapping[str, tuple[str, ...]]:
    """Map the gateways of the catalogue to the signals of each that no engine has."""
    found = {}
    for name, own in engines().items():
        if any(signal.scope == "gateway" for signal in own.values()):
            found[name] = tuple(signal for signal in own if signal in gateway_signals())
    return found


def names_at_gateway(gateway: str) -> tuple[str, ...]:
    """List the signals of a gateway that no engine has.

    Raises:
        ConfigError: no such gateway.
    """
    known = gateways()
    if gateway not in known:
        problem = f"{show(gateway)} is not a gateway{nearest(gateway, known)}"
        raise ConfigError("signals", "gateway", problem, ", ".join(known))
    return known[gateway]


def find(engine: str, signal: str) -> Signal:
    """Look up a signal.

    Raises:
        ConfigError: no such engine, or an engine that has no such signal; the text says what it has.
    """
    known = names(engine)
    if signal not in known:
        problem = f"{engine} has no signal {show(signal)}{nearest(signal, known)}"
        raise ConfigError("signals", "signal", problem, ", ".join(known))
    return engines()[engine][signal]


def offered(engine: str, signal: str) -> Signal | None:
    """Look up a signal; None where there is none of that name."""
    return engines().get(engine, {}).get(signal)


def read(written: str) -> Mapping[str, Mapping[str, Signal]]:
    """Read a catalogue.

    Raises:
        ConfigError: naming the key that is wrong.
    """
    top = Fields(FILE, parse_yaml(written, FILE))
    things = top.inside("signals").rest()
    catalogue = {name: _engine(name, tree, things) for name, tree in top.inside("engines").rest().items()}
    top.close()
    return MappingProxyType(catalogue)


def _engine(engine: str, tree: object, things: Mapping[str, object]) -> Mapping[str, Signal]:
    fields = Fields(FILE, tree, f"engines.{engine}")
    signals = fields.inside("signals").rest()
    common = fields.rest()
    return MappingProxyType({name: _signal(engine, name, own, common, things) for name, own in signals.items()})


def _signal(engine: str, name: str, own: object, common: dict[str, object], things: Mapping[str, object]) -> Signal:
    path = f"engines.{engine}.signals.{name}"
    layers = [Fields(FILE, layer, path).rest() for layer in (things.get(name, {}), common, own)]
    fields = Fields(FILE, {key: value for layer in layers for key, value in layer.items()}, path)
    kind = cast("SignalType", fields.take("type", choice("gauge", "counter", "histogram")))
    label_names, where = _pairs(fields, "labels"), _pairs(fields, "where")
    dotted = {plain_name(name): name for name in fields.take("dottedLabels", listed(_dotted_name), _NO_NAMES)}
    respelled = _Respelled(label_names, where, dotted)
    scope = cast("SignalScope", fields.take("scope", choice("target", "gateway", "object")))
    at_zero = fields.take("valueAtZeroReplicas", number(), None)
    signal = Signal(
        engine=engine,
        name=name,
        description=fields.take("description", text),
        unit=fields.take("unit", text),
        type=kind,
        aggregation=cast("Aggregation", fields.take("aggregation", choice("sum", "mean", "max", "quantile"))),
        scope=scope,
        shared=fields.take("shared", boolean, False),
        labels=tuple(ours for ours, _ in label_names),
        label_names=label_names,
        unnamed=_pairs(fields, "unnamed"),
        lowercased=fields.take("lowercased", listed(_label), _NO_REPEATS),
        where=where,
        sum_within_pod_by=fields.take("sumWithinPodBy", _parts, _NO_LABELS),
        repeated_by=fields.take("repeatedBy", listed(_label), _NO_REPEATS),
        scraped_by=fields.take("scrapedBy", listed(_label), _NO_REPEATS),
        metrics=_metrics(fields, "metrics", respelled),
        plus=_metrics(fields, "plusMetrics", respelled),
        divided_by=_metrics(fields, "dividedBy", respelled),
        scale=fields.take("scale", number(), 1.0),
        max=fields.take("max", number(), None),
        max_reason=fields.take("maxReason", text, ""),
        value_at_zero_replicas=at_zero if scope == "target" else None,
        window=fields.take("window", number(1, 86400)) if kind != "gauge" else None,
        quantile=fields.take("quantile", number(0, 1)) if kind == "histogram" else None,
        source=fields.take("source", text),
        family_names=fields.take("familyNames", listed(_family_name), _NO_NAMES),
        counted_per_step=fields.take("countedPerStep", boolean, False),
        counts_from_birth=fields.take("countsFromBirth", boolean, False),
        created_on_use=fields.take("createdOnUse", boolean, False),
        without_family=fields.take("withoutFamily", text, ""),
        withdrawn_at_zero=fields.take("withdrawnAtZero", text, ""),
        default_metrics_endpoint=fields.take("defaultMetricsEndpoint", _page, None),
    )
    fields.close()
    if not signal.metrics:
        raise fields.error("metrics", "is missing")
    return signal


@dataclass(frozen=True, slots=True)
class _Respelled:
    """The spelling of a signal's metrics where a pipeline keeps the names of OpenTelemetry."""

    label_names: Pairs  # our name -> the signal's
    where: Pairs  # of the signal
    dotted: Mapping[str, str]  # label -> the same with its dots

    def spellings(self, metric: Metric, base: str) -> Iterator[Metric]:
        """Yield a metric under each of its names, the written one first.

        A Prometheus that takes in OTLP has four ways (its `translation_strategy`): with and without dots, with and
        without the unit. `a.b`, which is written a_b_seconds_count: a_b_count, a.b_seconds_count, a.b_count.
        """
        yield metric
        if not base:
            return
        written = metric.name.removeprefix(plain_name(base))
        short = written.removeprefix(_UNIT)
        spelled = [(plain_name(base) + short, False), (base + written, True), (base + short, True)]
        known = {metric.name}
        for name, dotted in spelled:
            if name not in known:
                known.add(name)
                yield self._dotted(metric, name) if dotted else replace(metric, name=name, respelled=True)

    def _dotted(self, metric: Metric, name: str) -> Metric:
        where = tuple((self.dotted.get(label, label), value) for label, value in metric.where)
        called = {**dict(self.label_names), **dict(metric.label_names)}
        label_names = tuple((ours, self.dotted[label]) for ours, label in called.items() if label in self.dotted)
        return replace(metric, name=name, where=where, label_names=label_names, respelled=True)


def plain_name(name: str) -> str:
    """Return a name as the text format writes it: with `_` for each dot."""
    return name.replace(".", "_")


def _metrics(fields: Fields, key: str, respelled: _Respelled) -> tuple[Metric, ...]:
    trees = fields.take(key, listed(_as_it_is)) if fields.has(key) else ()
    found: list[Metric] = []
    for at, tree in enumerate(trees):
        found += _metric(Fields(fields.where, tree, f"{fields.path}.{key}[{at}]"), respelled)
    return tuple(found)


def _metric(fields: Fields, respelled: _Respelled) -> list[Metric]:
    metric = Metric(
        name=fields.take("name", _metric_name),
        versions=fields.take("versions", text),
        where=(*respelled.where, *_pairs(fields, "where")),
        info_join=_through(fields.inside("infoJoin")) if fields.has("infoJoin") else None,
        label_names=_pairs(fields, "labels"),
    )
    base = fields.take("openTelemetry", _dotted_name, "")
    if not metric.name.startswith(plain_name(base)):
        raise fields.error("openTelemetry", f"{metric.name} does not begin with {plain_name(base)}")
    fields.close()
    return list(respelled.spellings(metric, base))


def _through(fields: Fields) -> InfoJoin:
    info_join = InfoJoin(
        info=fields.take("infoMetric", _metric_name),
        where=_pairs(fields, "where"),
        label=fields.take("infoLabel", _label),
        names=fields.take("joinLabel", _label),
    )
    fields.close()
    return info_join


def _page(raw: object) -> DefaultEndpoint:
    found = re.fullmatch(r":(\d{1,5})(/[\w/]+)", text(raw))
    if found is None:
        raise ValueError(":PORT/PATH")
    return DefaultEndpoint(int(found[1]), found[2])


def _pairs(fields: Fields, key: str) -> Pairs:
    inner = fields.inside(key)
    return tuple((label, text(value)) for label, value in inner.rest().items())


def _as_it_is(raw: object) -> object:
    return raw


def _parts(raw: object) -> tuple[str, ...] | None:
    return None if raw == "all" else listed(_label)(raw)
