"""What a workload is told of a query that it shared with others."""

import re

import pytest

from scaler.config.naming import Naming
from scaler.decision.own_query import _alternatives, own_query
from scaler.model.measurement import CapacityQuery, HistoryProbe, SignalQuery
from scaler.sources.prometheus.batch_query import group

DIALECT = Naming()
ODD = ["a", "b", "a|b", "b\\", "\\", "|", ".*", '"', 'a"', "x\n", "(a)", "\\|", "a\\|b", "\u00e9"]


def query(namespace, model, **more):
    return SignalQuery("default", "vllm", "waiting", (("namespace", namespace), ("model", model)), **more)


def shared(*queries):
    [grouped] = group(queries, DIALECT)
    return grouped.text


def test_others_are_left_out_and_the_rest_is_as_it_was():
    own = query("red", "llama")
    told = own_query(shared(own, query("blue", "secret-model")), own)
    assert "blue" not in told
    assert "secret" not in told
    assert told.replace('namespace=~"|red"', "HERE") == shared(own).replace('namespace=~"|red"', "HERE")


def test_what_nobody_else_shares_is_told_as_it_is():
    own = query("red", "llama")
    assert own_query(shared(own), own) == shared(own)
    assert own_query('x{a=~"b|c"}', HistoryProbe("default", 60.0)) == 'x{a=~"b|c"}'
    assert own_query('x{a=~"b|c"}', CapacityQuery("free")) == 'x{a=~"b|c"}'


def test_a_list_of_which_nothing_is_its_own_is_told_as_it_is():
    assert own_query('x{a=~"b|c", d=~"|e"}', query("red", "llama")) == 'x{a=~"b|c", d=~"|e"}'


@pytest.mark.parametrize("value", ODD)
def test_whatever_a_model_is_called_only_its_own_name_is_told(value):
    others = [query("blue", other) for other in ODD if other != value]
    own = query("red", value)
    told = own_query(shared(own, *others), own)
    assert re.findall(r'model_name[^,]*?"(?:[^"\\]|\\.)*"', told) == re.findall(
        r'model_name[^,]*?"(?:[^"\\]|\\.)*"', shared(own)
    )
    assert "blue" not in told


def test_a_list_is_cut_where_it_was_joined():
    assert _alternatives("a|b") == ["a", "b"]
    assert _alternatives("|a") == ["", "a"]
    assert _alternatives(r"a\\|b") == [r"a\\|b"]
    assert _alternatives(r"a\\\\|b") == [r"a\\\\", "b"]
