"""Every engine's real metrics page, read through a real Prometheus and directly: each signal, and the trigger of docs/engines.md."""

import re
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
import yaml
from sources.web import Web
from support.prometheus_server import series, values_of

from scaler.config import signals
from scaler.config.bind import bind, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.endpoint import Endpoint, Page, PodPages
from scaler.config.settings import read_settings
from scaler.config.trigger import parse_trigger
from scaler.model.measurement import PodAddress, SignalQuery, TargetPods, TriggerRef
from scaler.model.strict_yaml import parse_yaml
from scaler.sources.pages.source import ScrapeSource
from scaler.sources.prometheus.source import PrometheusSource

HERE = Path(__file__).parent
ENGINES = (HERE.parents[1] / "docs/engines.md").read_text()
PAGES = yaml.safe_load((HERE / "pages.yaml").read_text())
TRIGGERS = {
    engine: yaml.safe_load(text) for engine, text in re.findall(r"^\| `([\w-]+)` \|.* `(\{.*\})` \|$", ENGINES, re.M)
}
EXPECTED = [(engine, name, value) for engine, page in PAGES.items() for name, value in page["expect"].items()]

START = 1_790_000_000.0
AT = START + 600
HISTOGRAMS = {"slow": ("0.1", "0.2"), "slow_ms": ("100", "200")}  # bounds in the unit of the engine
PODS = ("llm-0", "llm-1")
LABELS = {"model": "m", "route": "r"}
OPERATOR = {  # what the Prometheus operator adds to every target, and a store behind it
    "endpoint": "http",
    "container": "main",
    "service": "svc",
    "node": "n1",
    "prometheus": "monitoring/k8s",
    "prometheus_replica": "prometheus-k8s-0",
    "cluster": "eu",
}


def lines(engine, namespace, page):
    """The samples of both pods of an engine, which has a namespace of its own."""
    written = []
    for pod in PODS:
        scrape = {"job": namespace, "instance": pod, "pod": pod, "namespace": namespace}
        written += series("up", scrape, "1x40", START)
        for line in page:
            exported, values = line.replace("$namespace", namespace).rsplit(" ", 1)
            name, _, inner = exported.partition("{")
            labels = {**scrape, **dict(re.findall(r'(\w+)="([^"]*)"', inner))}
            for suffix, more, samples in expanded(values):
                written += series(name + suffix, {**labels, **more}, samples, START)
    return written


def renamed(engine):
    """Newest name -> an older one, of each metric of an engine that has had several."""
    offered = signals.engines()[engine].values()
    kept = [
        metrics for signal in offered if signal.scope != "object" for metrics in (signal.metrics, signal.divided_by)
    ]
    lists = [[one for one in metrics if not one.respelled] for metrics in kept]
    return {names[0].name: names[-1].name for names in lists if len({one.name for one in names}) > 1}


def older(engine):
    """The page as a release had it that knew only the older names."""
    names = renamed(engine)
    written = []
    for line in PAGES[engine]["page"].splitlines():
        name = re.match(r"[\w:]+", line)[0]
        if name not in names.values():
            written.append(names.get(name, name) + line[len(name) :])
    return written


def expanded(values):
    if values not in HISTOGRAMS:
        return [("", {}, values)]
    fast, slow = HISTOGRAMS[values]
    buckets = [("_bucket", {"le": le}, f"0+{count}x40") for le, count in ((fast, 0), (slow, 10), ("+Inf", 10))]
    return [*buckets, ("_count", {}, "0+10x40"), ("_sum", {}, "0+1.5x40")]


def as_the_operator_scrapes_it(line):
    """The same line with what the operator adds; a label of the engine's own that is called so is `exported_`."""
    name, labels, rest = re.fullmatch(r"([\w:]+)\{(.*)\}( .*)", line).groups()
    said = {
        f"exported_{one}" if one in OPERATOR else one: value for one, value in re.findall(r'(\w+)="([^"]*)"', labels)
    }
    written = ",".join(f'{one}="{value}"' for one, value in {**said, **OPERATOR}.items())
    return f"{name}{{{written}}}{rest}"


@pytest.fixture(scope="module")
def source(start_prometheus):
    written = [line for engine, page in PAGES.items() for line in lines(engine, engine, page["page"].splitlines())]
    written += [line for engine in PAGES if renamed(engine) for line in lines(engine, f"old-{engine}", older(engine))]
    server = start_prometheus(written)
    return PrometheusSource(Endpoint("default", server.url, timeout=20))


def query_of(signal, namespace, own=None):
    known = {"namespace": namespace, **LABELS}
    labels = tuple((label, known[label]) for label in signal.labels)
    query = SignalQuery("default", signal.engine, signal.name, labels, window=signal.window, quantile=signal.quantile)
    return replace(query, target_pods=own) if signal.scope == "target" else query


def read(source, signal, namespace):
    query = query_of(signal, namespace)
    return source.fetch([query], [AT])[query][0]


@pytest.mark.real
def test_with_the_labels_of_the_operator_all_is_the_same_and_certain(start_prometheus):
    of_pods = {engine: page["page"].splitlines() for engine, page in PAGES.items() if engine != "kubernetes"}
    written = [line for engine, page in of_pods.items() for line in lines(engine, engine, page)]
    server = start_prometheus(map(as_the_operator_scrapes_it, written))
    source = PrometheusSource(Endpoint("default", server.url, timeout=20))
    values = {
        query_of(signals.find(engine, name), engine): value for engine, name, value in EXPECTED if engine in of_pods
    }
    found = source.fetch(list(values), [AT])
    source.close()
    told = {query: (one.value, one.incomplete_reason) for query, (one,) in found.items()}
    assert told == {query: (pytest.approx(value), "") for query, value in values.items()}


@pytest.mark.real
@pytest.mark.parametrize(("engine", "name", "value"), EXPECTED)
def test_a_signal_of_an_engine(engine, name, value, source):
    reading = read(source, signals.find(engine, name), engine)
    assert reading.value == pytest.approx(value)
    assert (reading.answered, reading.expected, reading.incomplete_reason) == (2, 2, "")


@pytest.mark.real
@pytest.mark.parametrize(
    ("engine", "name", "value"),
    [case for case in EXPECTED if signals.find(*case[:2]).metrics[0].name in renamed(case[0])],
)
def test_a_signal_of_a_release_with_older_names(engine, name, value, source):
    reading = read(source, signals.find(engine, name), f"old-{engine}")
    assert (reading.value, reading.answered) == (pytest.approx(value), 2)


# ---- the same, without Prometheus ---------------------------------------------------------------------------------------


def text(engine, page, step):
    """A pod's page as it is after so many times 15 s."""
    written = []
    for line in page:
        exported, values = line.replace("$namespace", engine).rsplit(" ", 1)
        name, _, inner = exported.rstrip("}").partition("{")
        for suffix, more, samples in expanded(values):
            labels = ",".join([*filter(None, [inner]), *(f'{label}="{value}"' for label, value in more.items())])
            written.append(f"{name}{suffix}{{{labels}}} {values_of(samples)[step]}\n")
    return "".join(written)


@pytest.fixture(scope="module")
def web():
    server = Web()
    yield server
    server.close()


def directly(web, engine, page):
    """All signals of an engine, as its two pods say them within ten minutes, of which the last half is read."""
    signed = {name: query_of(signals.find(engine, name), engine, own(engine)) for name in PAGES[engine]["expect"]}
    listed = tuple(Page(web.url(f"/{engine}/{pod}"), {"namespace": engine, "pod": pod}) for pod in PODS)
    endpoint = Endpoint("default", pages=listed, pods=PodPages(web.port), networks=(ip_network("127.0.0.0/8"),))
    now = [0.0]
    source = ScrapeSource(endpoint, lambda: now[0])
    for step in range(20, 41, 4):  # the shortest window is a minute
        now[0] = START + 15.0 * step
        web.paths |= {f"/{engine}/{pod}": text(engine, page, step) for pod in PODS}
        found = source.fetch(list(signed.values()), now)
    source.close()
    return {name: found[query][0] for name, query in signed.items()}


def own(engine):
    places = [PodAddress(engine, pod, "127.0.0.1", (("path", f"/{engine}/{pod}"),)) for pod in PODS]
    return TargetPods(frozenset(PODS), frozenset(PODS), addresses=frozenset(places))


@pytest.mark.parametrize("engine", PAGES)
def test_the_signals_of_an_engine_read_directly_are_those_of_prometheus(engine, web):
    versions = [PAGES[engine]["page"].splitlines(), *([older(engine)] if renamed(engine) else [])]
    for page in versions:
        read = directly(web, engine, page)
        wanted = {
            name: value
            for name, value in PAGES[engine]["expect"].items()
            if page is versions[0] or signals.find(engine, name).metrics[0].name in renamed(engine)
        }
        assert {name: read[name].value for name in wanted} == pytest.approx(wanted)
        assert {(read[name].answered, read[name].expected, read[name].incomplete_reason) for name in wanted} == {
            (2, 2, "")
        }


# ---- whole ----------------------------------------------------------------------------------------------------------------


def test_every_signal_is_on_a_page():
    offered = {(engine, name) for engine, own in signals.engines().items() for name in own}
    objects = {
        (one.engine, one.name) for own in signals.engines().values() for one in own.values() if one.scope == "object"
    }
    assert {(engine, name) for engine, name, _ in EXPECTED} == offered - objects


def test_every_engine_has_a_trigger_in_the_readme():
    assert set(TRIGGERS) == set(signals.engines()) == set(PAGES)


@pytest.mark.real
@pytest.mark.parametrize("engine", PAGES)
def test_the_trigger_of_the_readme_reads_the_page(engine, source):
    written = TRIGGERS[engine]
    assert all(isinstance(value, str) for value in written.values()), "KEDA wants text"
    assert len(written) <= 6, "a ScaledObject with it has ten lines more"
    here = {**written, **{key: value for key, value in LABELS.items() if key in written}}
    trigger = parse_trigger(TriggerRef(engine, "llm", tuple(sorted(here.items()))))
    spec = bind(formula(trigger.formula), trigger, read_settings({"prometheus": "http://p"}, "s", {}, {}).defaults)
    answers = {
        query: readings[0] for query, readings in source.fetch([item.query for item in spec.inputs], [AT]).items()
    }
    values = {item.name: number(answers[item.query], item) for item in spec.inputs}
    assert spec.program.evaluate({**values, **spec.parameters}) == pytest.approx(PAGES[engine]["load"])


def formula(name):
    if name is None:
        return None
    path = shipped_formulas() / f"{name}.yaml"
    return parse_file(parse_yaml(path.read_text(), path.name), path.name, path.stem)


def number(reading, item):
    """What a formula reads; behind a gateway there is no replica, since it is the waking that it is there for."""
    if reading.value is not None:
        return reading.value
    return 0.0 if item.on_missing == "zero" else item.value_at_zero_replicas
