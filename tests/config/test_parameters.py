"""Parameters of a formula file: declared, given by a trigger, and put into the template."""

import pytest

from scaler.config.parameters import (
    Parameter,
    declared_parameter,
    fill,
    parameter_at,
    place_for_promql,
    stand_in,
    typed,
)
from scaler.model.errors import ConfigError

PLACE = {"target": 8.0, "model": 'a"b', "on": True}


def declared(**tree):
    return declared_parameter("mine.yaml", "x", tree)


def test_a_parameter_that_says_nothing_is_a_text_that_the_trigger_must_give():
    assert declared_parameter("mine.yaml", "x", None) == Parameter("x", "text", None, None, "", "")


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [("text", "a b", "a b"), ("number", "8", 8.0), ("duration", "2m", 120.0), ("boolean", "true", True)],
)
def test_what_a_trigger_says_is_read_by_the_parameters_type(kind, raw, value):
    assert typed("trigger", declared(type=kind), raw) == value


@pytest.mark.parametrize(("kind", "raw"), [("number", "much"), ("duration", "1x"), ("boolean", "maybe")])
def test_what_is_not_of_the_type_is_said_of_whoever_said_it(kind, raw):
    with pytest.raises(ConfigError, match=f"trigger: x: '{raw}' is not allowed"):
        typed("trigger", declared(type=kind), raw)
    with pytest.raises(ConfigError, match=f"mine.yaml: parameters.x.default: '{raw}' is not allowed"):
        declared(type=kind, default=raw)


def test_without_a_trigger_the_default_counts_before_the_settings_the_example_and_something_of_the_type():
    assert stand_in(declared(type="number", default=0, example=3), {"x": 5.0}) == 0.0
    assert stand_in(declared(type="number", example=3), {"x": 5.0}) == 5.0
    assert stand_in(declared(type="number", example=3), {}) == 3.0
    assert [stand_in(declared(type=kind), {}) for kind in ("text", "number", "duration", "boolean")] == [
        "placeholder",
        1.0,
        60.0,
        True,
    ]


def test_a_whole_value_keeps_its_type_wherever_it_stands():
    tree = {"target": "$target", "metrics": {"a": {"where": ["$model", "$on", "plain", 4]}}}
    filled = fill("mine.yaml", "", tree, PLACE)
    assert filled == {"target": 8.0, "metrics": {"a": {"where": ['a"b', True, "plain", 4]}}}


def test_inside_promql_a_label_is_escaped_and_a_boolean_is_a_text():
    text = fill("mine.yaml", "metrics.a.prometheus", 'up{model="$model",on="$on"} > $target', PLACE)
    assert text == 'up{model="a\\"b",on="true"} > 8'
    assert place_for_promql(PLACE) == {"target": 8.0, "model": 'a"b', "on": "true"}


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("formula", "$target + 1", "formula: \\$ inside '\\$target \\+ 1'; a numeric parameter is a plain name here: target"),
        ("capacity", "x$target", "capacity: \\$ inside 'x\\$target'; allowed: \\$name as the whole value, or inside PromQL"),
        ("target", "$targt", "target: \\$targt is not a parameter, did you mean target\\?; allowed: target, model, on"),
    ],
)  # fmt: skip
def test_a_dollar_that_is_no_parameter_is_refused(path, value, problem):
    with pytest.raises(ConfigError, match=f"mine.yaml: {problem}"):
        fill("mine.yaml", path, value, PLACE)


@pytest.mark.parametrize(
    ("path", "name"),
    [("target", "target"), ("metrics.a.over", "wait"), ("metrics.a", ""), ("metrics.a.over.x", ""), ("none", "")],
)
def test_the_parameter_that_stands_at_a_path_is_found(path, name):
    assert parameter_at({"target": "$target", "metrics": {"a": {"over": "$wait", "text": "x$wait"}}}, path) == name
