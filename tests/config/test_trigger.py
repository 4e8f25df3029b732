import pytest

from scaler.config.trigger import metric_name, parse_trigger
from scaler.model.errors import ConfigError, UnsupportedError
from scaler.model.measurement import TriggerRef


def trigger(namespace="team", name="llama", **metadata):
    return parse_trigger(TriggerRef(namespace, name, tuple(sorted(metadata.items()))))


def test_a_trigger_is_sorted_into_what_it_says():
    read = trigger(
        scalerAddress="a:6000", enableTLS="false", unsafeSsl="x", formula="queue-depth", model="m", target="8"
    )
    assert (read.formula, read.expression) == ("queue-depth", None)
    assert read.given == {"model": "m", "target": "8"}
    assert str(read.key) == "team/llama"
    assert read.key.kind == "ScaledObject"


def test_a_value_from_the_workloads_environment_is_read_as_if_it_stood_there():
    assert trigger(formula="f", modelFromEnv="m").given == {"model": "m"}
    assert trigger(formulaFromEnv="f").formula == "f"
    with pytest.raises(ConfigError, match="model: is given twice"):
        trigger(formula="f", model="a", modelFromEnv="b")


def test_triggers_that_differ_are_different_workloads_and_keda_own_keys_do_not_count():
    first, same, other = (
        trigger(formula="f", scalerAddress="a:1"),
        trigger(formula="f", scalerAddress="b:2"),
        trigger(formula="g"),
    )
    assert first.key == same.key != other.key
    assert trigger(formula="f", id="x").key == trigger(formula="g", id="x").key
    assert trigger(formula="f", kind="ScaledJob").key.kind == "ScaledJob"


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "neither formula nor expression"),
        ({"formula": "f", "expression": "1"}, "both formula and expression"),
        ({"formula": "f", "kind": "Deployment"}, "kind: 'Deployment' is not allowed; allowed: ScaledObject, ScaledJob"),
        ({"formula": "f", "id": "a b"}, "id: 'a b' is not allowed"),
        ({"formula": "f", "x": "y" * 9000}, "x: a value of 9000 characters; allowed: at most 8192"),
        ({"formula": "f", "k" * 200: ""}, "a key of 200 characters"),
        ({"formula": "f", **{f"k{n}": "" for n in range(80)}}, "metadata: has 81 keys"),
        ({"formula": "f", **{f"k{n}": "v" * 1000 for n in range(20)}}, "metadata: has 20058 characters"),
    ],
)
def test_what_is_wrong_is_said(metadata, problem):
    with pytest.raises(ConfigError, match=problem):
        trigger(**metadata)


def test_what_is_planned_is_refused_by_name():
    with pytest.raises(UnsupportedError, match="trigger: mode: mode is not supported yet"):
        trigger(formula="f", mode="x")


@pytest.mark.parametrize("namespace", ["", "UPPER", "a_b", "a/b", "-a", "x" * 64, 'a"}'])
def test_an_odd_namespace_is_refused(namespace):
    with pytest.raises(ConfigError, match="is not a namespace"):
        trigger(namespace=namespace, formula="f")


@pytest.mark.parametrize("name", ["", "a..b", "x" * 254, "a\n"])
def test_an_odd_name_is_refused(name):
    with pytest.raises(ConfigError, match="is not the name of an object"):
        trigger(name=name, formula="f")


@pytest.mark.parametrize(
    ("metadata", "name"),
    [
        ({"formula": "queue-depth", "target": "8"}, "queue-depth"),
        ({"formulaFromEnv": "My Formula!"}, "my-formula"),
        ({"expression": "a + b"}, "llm-scaler"),
        ({}, "llm-scaler"),
        ({"formula": "%%%"}, "llm-scaler"),
        ({"formula": "x" * 5000}, "x" * 60),
    ],
)
def test_the_metrics_name_comes_from_the_text_alone_and_never_fails(metadata, name):
    assert metric_name(metadata) == name


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({"x" * 128: "1", "formula": "f"}, ""),
        ({"x" * 129: "1", "formula": "f"}, "a key of 129 characters; allowed: at most 128"),
        ({"a": "x" * 8192, "b": "x" * 8182, "formula": "f"}, ""),
        ({"a": "x" * 8192, "b": "x" * 8183, "formula": "f"}, "has 16385 characters; allowed: at most 16384"),
        ({**{f"k{number}": "1" for number in range(63)}, "formula": "f"}, ""),
        ({**{f"k{number}": "1" for number in range(64)}, "formula": "f"}, "has 65 keys; allowed: at most 64"),
    ],
)
def test_how_much_a_trigger_may_say(metadata, problem):
    if not problem:
        assert trigger(**metadata).formula == "f"
        return
    with pytest.raises(ConfigError, match=problem):
        trigger(**metadata)


def test_of_a_long_key_forty_characters_are_shown():
    with pytest.raises(ConfigError, match=f"'{'x' * 36}[.][.][.]: a key of"):
        trigger(**{"x" * 129: "1", "formula": "f"})
