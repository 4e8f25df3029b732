"""Pieces of PromQL: what is written into them is compared as it is."""

import re

import promql_parser
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaler.sources.prometheus.selectors import (
    any_of_each,
    equal,
    joined,
    listed,
    numbers_up_to,
    one_of,
    relabelled,
    span,
)


def test_the_worked_examples():
    assert one_of(["llama"]) == '="llama"'
    assert one_of(["llama", "a.b"]) == r'=~"llama|a\\.b"'
    assert listed(["namespace", "a.b"]) == 'namespace, "a.b"'
    assert span(0.5) == "500ms"


@pytest.mark.parametrize(("seconds", "written"), [(60.0, "60s"), (1.5, "1500ms"), (86400.0, "86400s")])
def test_a_time_is_written_in_seconds_or_milliseconds(seconds, written):
    assert span(seconds) == written


def test_a_matcher_for_each_label():
    assert equal([("a", 'x"y'), ("b", "z")]) == (("a", r'="x\"y"'), ("b", '="z"'))
    assert any_of_each({"a": ["x"], "b": ["y", "z"]}) == (("a", '="x"'), ("b", '=~"y|z"'))


def test_series_get_a_label_beside_the_one_they_have():
    assert relabelled("up", "model", "model_name") == 'label_replace(up, "model", "$1", "model_name", "(.*)")'


def test_the_parts_of_a_question_are_one_question():
    text = joined(["up", relabelled("up", "a", "b")])
    assert text.startswith("up\nor ")
    promql_parser.parse(text)


@given(st.decimals(0, 400, places=4), st.decimals(0, 400, places=4), st.sampled_from([1, 10, 1000]))
def test_the_expression_for_numbers_up_to_a_bound_takes_these_and_no_others(bound, number, coarse):
    number = round(float(number) * coarse) / coarse
    for written in {repr(number), f"{number:g}"}:
        assert bool(re.fullmatch(numbers_up_to(float(bound)), written)) == (float(written) <= float(bound))
    assert re.fullmatch(numbers_up_to(number), f"{number:g}")
    assert not re.fullmatch(numbers_up_to(float(bound)), "+Inf")
