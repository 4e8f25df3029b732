"""What a trigger can read: whatever it says, its own namespace, unless the settings name another for gateways."""

import itertools

import pytest

from scaler.config import signals
from scaler.config.catalog import load, shipped_formulas
from scaler.config.defaults import Defaults
from scaler.config.formula_file import bind
from scaler.config.naming import Dialect
from scaler.config.trigger import parse_trigger
from scaler.model.errors import ScalerError
from scaler.model.measurement import HistoryAsk, QueryAsk, Request, SignalAsk
from scaler.sources.prometheus.batch_query import group

HOSTILE = [
    "victim", ".*", 'x"} or y{namespace="victim', "x'} or y{namespace='victim", "$namespace", "victim|demo", "\\", "",
    "x\",namespace=~\".*", "a\nb", "`", "{{namespace}}",
]  # fmt: skip
CATALOG = load(shipped_formulas())
KEYS = ("model", "route", "pods", "engine", "gateway", "workload", "hpa", "namespace", "name", "id", "other", "serving")


def asks(request, defaults):
    """All that is asked for a trigger, or nothing where it is refused."""
    try:
        trigger = parse_trigger(request)
        file = CATALOG.find(trigger.formula) if trigger.formula else None
        return bind(file, trigger, defaults).asks()
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
        for ask in asks(Request("evil", "w", tuple(sorted(metadata.items()))), Defaults()):
            if isinstance(ask, HistoryAsk):
                continue
            read += 1
            assert not isinstance(ask, QueryAsk), "no shipped formula has a query of its own"
            assert dict(ask.labels)["namespace"] == "evil", metadata
    assert read > 1000


@pytest.mark.parametrize("value", HOSTILE)
def test_a_query_that_is_written_for_it_selects_its_own_namespace_everywhere(value):
    ask = SignalAsk("default", "vllm", "waiting", (("namespace", "evil"), ("model", value)))
    [grouped] = group([ask], Dialect())
    for selector in grouped.text.split("vllm:num_requests_waiting")[1:]:
        assert selector.startswith('{namespace="evil",')


def test_gateways_of_another_namespace_are_read_where_the_settings_say_so_and_nothing_else_is():
    elsewhere = Defaults(gateway="litellm", gateway_namespace="gateways")
    for metadata in triggers():
        for ask in asks(Request("evil", "w", tuple(sorted(metadata.items()))), elsewhere):
            if isinstance(ask, SignalAsk):
                shared = signals.find(ask.engine, ask.signal).shared
                assert dict(ask.labels)["namespace"] == ("gateways" if shared else "evil")
