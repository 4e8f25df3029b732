"""The schemas for editors: all that is right is valid, and a misspelt key or an odd value is not, as for the reader."""

import re
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from scaler.config.bind import parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.schema import formula_schema, settings_schema
from scaler.config.settings import KEYS, as_tree, read_settings
from scaler.model.errors import ConfigError
from scaler.model.fields import Fields
from scaler.policy import POLICIES

REPO = Path(__file__).parents[2]
FORMULA, SETTINGS = Draft202012Validator(formula_schema()), Draft202012Validator(settings_schema())
SHIPPED = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(shipped_formulas().glob("*.yaml"))}
BLOCKS = [
    yaml.safe_load(block)
    for page in (REPO / "README.md", *sorted((REPO / "docs").rglob("*.md")))
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    if "---" not in block
]
WRITTEN = [
    block for block in BLOCKS if isinstance(block, dict) and block.keys() & {"formula", "outputs"} and "name" in block
]
SET = [block for block in BLOCKS if isinstance(block, dict) and block.keys() & {"endpoints", "grpc", "defaults"}]
OF_METRICS = {"metrics", "endpoints", "headers", "matchers", "labels"}
FREE = {*OF_METRICS, "parameters", "tests", "outputs", "ratios"}  # names in them are the user's


def misspelt(tree, path=()):
    """Every tree with one key misspelt, and the path of that key."""
    for key, value in tree.items():
        own = not path or path[-1] not in FREE
        if own and "tests" not in path:
            yield {**{k: v for k, v in tree.items() if k != key}, f"{key}x": value}, (*path, key)
        if isinstance(value, dict):
            for below, where in misspelt(value, (*path, key)):
                yield {**tree, key: below}, where


def is_formula(tree):
    try:
        parse_file(tree, "test.yaml")
    except ConfigError:
        return False
    return True


def test_there_is_something_to_validate():
    assert len(SHIPPED) >= 9
    assert len(WRITTEN) >= 2
    assert len(SET) >= 1


@pytest.mark.parametrize("tree", [*SHIPPED.values(), *WRITTEN], ids=lambda tree: tree["name"])
def test_every_formula_that_is_shipped_or_shown_is_valid(tree):
    FORMULA.check_schema(FORMULA.schema)
    assert [f"{list(error.path)}: {error.message}" for error in FORMULA.iter_errors(tree)] == []


@pytest.mark.parametrize("tree", SHIPPED.values(), ids=SHIPPED)
def test_a_misspelt_key_is_refused_by_the_schema_and_by_the_reader(tree):
    for broken, path in misspelt(tree):
        assert not FORMULA.is_valid(broken), path
        assert not is_formula(broken), path


ONE = "{name: one, metrics: {load: {prometheus: load}}, formula: load, target: 1, %s}"


@pytest.mark.parametrize(
    "line",
    [
        "interval: 5s", "interval: 15", "holdFor: 2m", "idleFor: 1h", "target: 2.5", "target: '2'", "startup: 0s",
        "capacity: off", "capacity: clamp", "scaleDown: off", "scaleDown: 10% 5m", "scaleDown: {percent: 5}",
        "activation: load > 1", "activation: true", "activationTarget: 3", "metricType: Value", "metrics: {}",
        "policy: {kind: kpa, stable-window: 60s}", "policy: {kind: hpa, behavior: {scaleUp: {selectPolicy: Max}}}",
        "policy: {kind: kthena, metricKind: x}", "policy: {kind: other}", "policy: {kind: ray, upscale_delay: 3}",
        "interval: 700", "interval: soon", "interval: -1", "target: 0", "target: many", "holdFor: 2 minutes",
        "capacity: some", "scaleDown: fast", "scaleDown: {percentage: 5}", "metricType: Average", "idlefor: 3s",
        "metrics: {load: {prometheus: load, window: 5m}}", "metrics: {load: {}}", "metrics: {load: {signal: waiting, gpus: free}}",
        "metrics: {load: {signal: waiting, over: 30s, reduce: max}}", "metrics: {load: {signal: waiting, over: 30s, reduce: most}}",
        "metrics: {load: {gpus: free}}", "metrics: {load: {gpus: all}}", "metrics: {load-a: {gpus: free}}",
        "parameters: {a: {type: numbr}}", "parameters: {a: {type: number, default: 3}}", "parameters: {a: }", "Name: two",
    ],
)  # fmt: skip
def test_schema_and_reader_agree_on_a_line(line):
    tree = {**yaml.safe_load(ONE % "description: x"), **yaml.safe_load(f"{{{line}}}")}
    needs_load = not tree["metrics"]  # which the formula reads: no matter of a schema
    assert FORMULA.is_valid(tree) == is_formula(tree) or needs_load


def read_policy(kind, fields):
    fields.take("kind", str)
    POLICIES[kind].parse(fields)
    fields.close()


@pytest.mark.parametrize("kind", POLICIES)
def test_a_policy_has_the_keys_that_its_reader_takes(kind):
    tree = {**yaml.safe_load(ONE % "description: x"), "policy": {"kind": kind, "noSuchKey": 1}}
    assert not FORMULA.is_valid(tree)
    [form] = [
        one for one in FORMULA.schema["properties"]["policy"]["oneOf"] if one["properties"]["kind"]["const"] == kind
    ]
    fields = Fields("test.yaml", {"noSuchKey": 1, **dict.fromkeys(form.get("required", []), 1)}, "policy")
    with pytest.raises(ConfigError) as refused:
        read_policy(kind, fields)
    if "noSuchKey" in str(refused.value):
        assert set(refused.value.allowed.split(", ")) == set(form["properties"])


@pytest.mark.parametrize("tree", SET, ids=",".join)
def test_settings_that_are_shown_are_valid(tree):
    assert [f"{list(error.path)}: {error.message}" for error in SETTINGS.iter_errors(tree)] == []
    for broken, path in misspelt(tree):
        assert not SETTINGS.is_valid(broken), path


def test_what_print_settings_shows_is_valid():
    SETTINGS.check_schema(SETTINGS.schema)
    tree = as_tree(read_settings({"prometheus": "http://prometheus:9090"}, "settings", {}, {}))
    tree = {name: section for name, section in tree.items() if name != "prometheus"}
    assert [f"{list(error.path)}: {error.message}" for error in SETTINGS.iter_errors(_without_nothing(tree))] == []


def _without_nothing(tree):
    if not isinstance(tree, dict):
        return tree
    return {key: _without_nothing(value) for key, value in tree.items() if value is not None}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_setting_says_which_values_it_takes(key):
    place = settings_schema()
    for name in key.path.split("."):
        place = place["properties"][name]
    assert place.keys() & {"type", "enum", "anyOf"}
    assert place["description"] == key.meaning


@pytest.mark.parametrize(
    "tree",
    [
        {"grpc": {"adress": ":6000"}}, {"grpc": {"address": "nowhere"}}, {"defaults": {"interval": "often"}},
        {"endpoints": {"default": {"url": "ftp://x"}}}, {"endpoints": {"default": {"uri": "http://x"}}},
        {"endpoints": {"default": {"url": "http://x", "pods": {}}}}, {"endpoints": {"Default": {"url": "http://x"}}},
        {"endpoints": {"own": {"pods": {"ports": 8000}}}}, {"log": {"level": "loud"}}, {"heartbeat": "up"},
    ],
)  # fmt: skip
def test_odd_settings_are_refused_by_the_schema_and_by_the_reader(tree):
    assert not SETTINGS.is_valid(tree)
    with pytest.raises(ConfigError):
        read_settings(tree, "settings", {}, {})
