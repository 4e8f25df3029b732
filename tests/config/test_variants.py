"""Formula files with variants of one model: the outputs that are written for them, and what is refused."""

import copy
import sys

import jsonschema
import pytest

from scaler.check import check_file
from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.schema import formula_schema
from scaler.config.trigger import parse_trigger
from scaler.config.variants import MixRules, Offer
from scaler.model.errors import ConfigError
from scaler.model.measurement import TriggerRef

TREE = {
    "name": "mix",
    "parameters": {"price": {"type": "number", "default": 3.67}, "rate": {"type": "number", "default": 20}},
    "metrics": {"short": {"prometheus": "short"}, "long": {"prometheus": "long"}, "more": {"prometheus": "more"}},
    "demand": {"short": "short", "long": "long + more"},
    "variants": {
        "a10g": {"cost": 1.01, "carries": {"short": 2, "long": 1}},
        "a100": {"cost": "$price", "carries": {"short": 20, "long": "$rate"}},
        "l4": {"cost": 0.5, "carries": {"short": 1}, "idleFor": "2m"},
    },
    "switching": 0.2,
}


def changed(path, value):
    tree = copy.deepcopy(TREE)
    *sections, key = path.split(".")
    place = tree
    for section in sections:
        place = place[section]
    if value is None:
        del place[key]
    else:
        place[key] = value
    return tree


def spec_of(tree=TREE, **metadata):
    request = TriggerRef("demo", "llama", tuple({"formula": "mix", **metadata}.items()))
    return bind(parse_file(tree, "mix.yaml"), parse_trigger(request), Defaults())


def test_a_variant_is_an_output_with_the_formula_of_what_it_would_need_alone():
    spec = spec_of(output="a100", rate="30")
    assert (spec.program.text, spec.target) == ("(short) / 20 + (long + more) / rate", 1)
    assert spec.program.evaluate({"short": 40.0, "long": 20.0, "more": 40.0, "rate": 30.0}) == 4
    assert {kind: program.text for kind, program in spec.member.demand.items()} == TREE["demand"]


def test_what_the_mix_goes_by_is_the_same_for_all_with_parameters_filled_in():
    rules = spec_of(output="a10g", price="4").member.mix
    assert rules == MixRules(
        ("short", "long"),
        (
            Offer("a10g", 1.01, (("short", 2), ("long", 1))),
            Offer("a100", 4, (("short", 20), ("long", 20))),
            Offer("l4", 0.5, (("short", 1),)),
        ),
        0.2,
        4,
    )
    assert spec_of(output="l4", price="4").member.mix == rules


def test_a_variant_measures_the_kinds_that_it_carries_and_has_keys_of_its_own():
    spec = spec_of(output="l4")
    assert ([item.name for item in spec.inputs], spec.idle_for) == (["short"], 120)


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("demand", None, "demand: has 0: requests a second of each kind of request, as formulas; allowed: 1 to 16"),
        ("demand.short", ["short"], "demand.short: ['short'] is not allowed; allowed: a text"),
        ("demand.short", "short +", "mix.yaml: demand"),
        ("demand.odd", "short", "demand: 'odd' is carried by no variant"),
        ("demand.9", "short", "demand: '9' is no name"),
        ("variants.a10g.cost", None, "variants.a10g.cost: is missing"),
        ("variants.a10g.cost", 0, "variants.a10g.cost: 0 is not allowed; allowed: a number above 0"),
        ("variants.a10g.carries", None, "variants.a10g.carries: is empty"),
        ("variants.a10g.carries", {"shor": 1}, "variants.a10g.carries: 'shor' is no kind of demand, did you mean"),
        ("variants.a10g.carries.short", 0, "variants.a10g.carries.short"),
        ("variants.a10g.formula", "short", "variants.a10g.formula: is not for a variant; allowed: cost, carries"),
        ("variants.a10g.slices", 2, "variants.a10g.slices: is of the whole file"),
        ("variants.a10g.colour", 1, "variants.a10g.colour: unknown key"),
        ("variants.A10G", {"cost": 1, "carries": {"short": 1}}, "variants: 'A10G' is no name"),
        ("formula", "short", "formula: is not for a file with variants"),
        ("policy", {"kind": "kpa"}, "policy: is not for a file with variants"),
        ("outputs", {"a": {}, "b": {}}, "variants: and outputs, order or budget are both given"),
        ("order", ["a10g", "l4"], "variants: and outputs, order or budget are both given"),
        ("switching", -1, "switching: -1 is not allowed"),
        ("slices", 0, "slices: 0 is not allowed"),
        ("variants", None, "demand: is for a file with several variants; allowed: variants, or leave it out"),
        ("metrics.short", {"signal": "running"}, "demand.short: reads short, which is of the pods of each variant by"),
        ("demand.short", "short * replicas", "demand.short: reads replicas, which is of the pods of each variant by"),
        ("metrics.spare", {"prometheus": "spare"}, "metrics.spare: no output names it"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(path, value, problem):
    with pytest.raises(ConfigError) as raised:
        parse_file(changed(path, value), "mix.yaml")
    assert problem in str(raised.value)


def test_one_variant_is_no_mix():
    with pytest.raises(ConfigError, match="variants: has 1; allowed: 2 to 16"):
        parse_file({**TREE, "variants": {"a10g": TREE["variants"]["a10g"]}}, "mix.yaml")


def test_without_the_solver_the_file_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ConfigError) as raised:
        parse_file(TREE, "mix.yaml")
    assert str(raised.value) == (
        "mix.yaml: variants: variants of a model need scipy, which is not installed;"
        " allowed: pip install 'keda-llm-scaler[variants]'"
    )


def test_the_schema_takes_it_and_refuses_what_the_reader_refuses():
    validator = jsonschema.Draft202012Validator(formula_schema())
    validator.validate(TREE)
    for path, value in (("variants.a10g.cost", None), ("demand", None), ("slices", 0), ("variants.a10g.formula", "1")):
        assert not validator.is_valid(changed(path, value)), path


def test_check_finds_nothing_wrong_and_its_tests_are_about_one_variant_alone():
    test = {"output": "a10g", "given": {"short": "4x2", "long": "1x2", "more": "1x2"},
            "expect": [{"at": "0s", "value": 4, "replicas": 4}]}  # fmt: skip
    report = check_file(parse_file({**TREE, "tests": [test]}, "mix.yaml"), Defaults(endpoints=()))
    assert (report.tests, report.problems, report.failures) == (1, (), ())
    assert [one.message for one in report.findings if one.rule.startswith("unused")] == []


def test_one_kind_of_request_is_enough_and_sixteen_are_the_most():
    def of(count):
        kinds = [f"k{number}" for number in range(count)]
        variants = {
            "a10g": {"cost": 1, "carries": dict.fromkeys(kinds, 2)},
            "a100": {"cost": 3, "carries": dict.fromkeys(kinds, 9)},
        }
        return {
            "name": "mix",
            "metrics": {"load": {"prometheus": "load"}},
            "demand": dict.fromkeys(kinds, "load"),
            "variants": variants,
        }

    for count in (1, 16):
        assert len(spec_of(of(count), output="a100").member.mix.kinds) == count
    for count in (0, 17):
        with pytest.raises(ConfigError, match=rf"demand: has {count}: requests a second .*; allowed: 1 to 16"):
            spec_of(of(count), output="a100")
