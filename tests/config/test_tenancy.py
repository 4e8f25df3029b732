"""What a trigger can read: whatever it says, its own namespace, unless the settings name another for gateways."""

import itertools

import pytest

from scaler.config import signals
from scaler.config.bind import bind, parse_file
from scaler.config.catalog import load, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.config.naming import Naming
from scaler.config.settings import read_settings
from scaler.config.trigger import parse_trigger
from scaler.model.errors import ConfigError, ScalerError
from scaler.model.measurement import HistoryProbe, PromqlQuery, SignalQuery, TriggerRef
from scaler.sources.prometheus.batch_query import group

HOSTILE = [
    "victim", ".*", 'x"} or y{namespace="victim', "x'} or y{namespace='victim", "$namespace", "victim|demo", "\\", "",
    "x\",namespace=~\".*", "a\nb", "`", "{{namespace}}",
]  # fmt: skip
CATALOG = load(shipped_formulas())
KEYS = ("model", "route", "pods", "engine", "gateway", "workload", "hpa", "namespace", "name", "id", "other", "serving")


def queries(request, defaults):
    """All that is asked for a trigger, or nothing where it is refused."""
    try:
        trigger = parse_trigger(request)
        file = CATALOG.find(trigger.formula) if trigger.formula else None
        return bind(file, trigger, defaults).queries()
    except ScalerError:
        return ()


def triggers():
    """Expressions over every signal, and every shipped formula, with hostile values for whatever they take."""
    names = sorted({name for own in signals.engines().values() for name in own})
    for number, (name, value) in enumerate(itertools.product(names, HOSTILE)):
        key = KEYS[number % len(KEYS)]
        yield {"expression": name, "target": "1", "model": "m", key: value}
    for formula, value, key in itertools.product(CATALOG.formulas, HOSTILE, KEYS):
        yield {"formula": formula, "model": "m", "target": "1", key: value}


def test_every_series_that_a_trigger_reads_is_of_its_own_namespace():
    read = 0
    for metadata in triggers():
        for query in queries(TriggerRef("evil", "w", tuple(sorted(metadata.items()))), Defaults()):
            if isinstance(query, HistoryProbe):
                continue
            read += 1
            assert not isinstance(query, PromqlQuery), "no shipped formula has a query of its own"
            assert dict(query.labels)["namespace"] == "evil", metadata
    assert read > 1000


@pytest.mark.parametrize("value", HOSTILE)
def test_a_query_that_is_written_for_it_selects_its_own_namespace_everywhere(value):
    query = SignalQuery("default", "vllm", "waiting", (("namespace", "evil"), ("model", value)))
    [grouped] = group([query], Naming())
    for selector in grouped.text.split("vllm:num_requests_waiting")[1:]:
        assert selector.startswith('{namespace="evil",')


def test_gateways_of_another_namespace_are_read_where_the_settings_say_so_and_nothing_else_is():
    elsewhere = Defaults(gateway="litellm", gateway_namespace="gateways")
    for metadata in triggers():
        for query in queries(TriggerRef("evil", "w", tuple(sorted(metadata.items()))), elsewhere):
            if isinstance(query, SignalQuery):
                shared = signals.find(query.engine, query.signal).shared
                assert dict(query.labels)["namespace"] == ("gateways" if shared else "evil")


SHARED = {"endpoints": {
    "default": {"url": "http://prometheus"},
    "team": {"url": "http://team", "namespaces": ["team-a", "team-b"]},
}}  # fmt: skip


@pytest.mark.parametrize(
    ("namespace", "allowed"), [("team-a", True), ("team-b", True), ("evil", False), ("team", False)]
)
def test_an_endpoint_for_some_namespaces_is_refused_to_all_others(namespace, allowed):
    """Whoever names it: the trigger, or the settings as the usual one, of the workload or of gateways."""
    named = {"expression": "waiting", "target": "1", "endpoint": "team"}
    usual = {"expression": "waiting", "target": "1"}
    gateways = {"expression": "queued", "target": "1"}
    for metadata, defaults in (
        (named, {}),
        (usual, {"endpoint": "team"}),
        (gateways, {"gatewayEndpoint": "team"}),
    ):
        settings = read_settings({**SHARED, "defaults": defaults}, "s", {}, {}).defaults
        trigger = parse_trigger(TriggerRef(namespace, "w", tuple(sorted(metadata.items()))))
        if allowed:
            assert "team" in bind(None, trigger, settings).endpoints
            continue
        with pytest.raises(ConfigError) as refused:
            bind(None, trigger, settings)
        assert str(refused.value) == (
            f"trigger: endpoint: 'team' is not for namespace {namespace}; allowed: default, pods"
        )


def test_a_namespace_that_has_no_endpoint_is_told_so():
    settings = read_settings(
        {"endpoints": {"default": {"url": "http://p", "namespaces": ["team-a"]}}, "kubernetes": {"enabled": "false"}},
        "s",
        {},
        {},
    )
    trigger = parse_trigger(TriggerRef("evil", "w", (("expression", "waiting"), ("target", "1"))))
    with pytest.raises(ConfigError, match="no endpoint for this namespace"):
        bind(None, trigger, settings.defaults)


QUERIES = [
    "sum(errors)",
    'max_over_time(up{job=~".*"}[5m:1m] offset 1m) / on (pod) group_left errors',
    '{__name__=~".+"}',
]


@pytest.mark.parametrize("written", QUERIES)
def test_the_queries_of_formula_files_select_the_triggers_namespace_where_the_endpoint_asks_for_it(written):
    tree = {"name": "own", "metrics": {"own": {"prometheus": written}}, "formula": "own", "target": 1}
    file = parse_file(tree, "own.yaml", "own")
    trigger = parse_trigger(TriggerRef("demo", "w", (("formula", "own"),)))
    for own, matcher in (
        ({}, None),
        ({"labels": {"namespace": "ns"}}, 'ns="demo"'),
        ({"labels": {}}, 'namespace="demo"'),
    ):
        endpoint = {"url": "http://p", "enforceNamespace": matcher is not None, **own}
        settings = read_settings({"endpoints": {"default": endpoint}}, "s", {}, {}).defaults
        [query] = [one for one in bind(file, trigger, settings).queries() if isinstance(one, PromqlQuery)]
        assert query.text.count(matcher or "demo") == (written.count("errors") + written.count("{") if matcher else 0)


def test_pages_have_no_promql_to_enforce_anything_in():
    with pytest.raises(ConfigError, match="enforceNamespace: is for a Prometheus"):
        read_settings({"endpoints": {"default": {"pods": {}, "enforceNamespace": True}}}, "s", {}, {})
