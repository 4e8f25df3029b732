"""Formula files with several outputs: what each of them is, and what is refused."""

import pytest

from scaler.check import check_file
from scaler.config.bind import bind, parse_file
from scaler.config.defaults import Defaults
from scaler.config.outputs import Member
from scaler.config.trigger import parse_trigger
from scaler.model.errors import ConfigError, FormulaSyntaxError
from scaler.model.measurement import TriggerRef
from scaler.policy.group import Band, Budget

TREE = {
    "name": "pd",
    "parameters": {"least": {"type": "number", "default": 2}, "share": {"type": "number", "default": 4}},
    "metrics": {"queued": {"prometheus": "queued"}, "used": {"prometheus": "used"}},
    "activation": "queued > 0",
    "outputs": {
        "prefill": {"formula": "queued / share", "target": 1},
        "decode": {
            "formula": "used",
            "target": 8,
            "activation": "used > 0",
            "ratios": {"prefill": {"least": "$least", "most": 4}},
        },
    },
    "order": ["prefill", "decode"],
}


def changed(**outputs):
    return {**TREE, "outputs": {**TREE["outputs"], **outputs}}


def spec_of(tree=TREE, kind="ScaledObject", **metadata):
    given = {"formula": "pd", "kind": kind, **metadata}
    request = TriggerRef("demo", "llama", tuple(given.items()))
    return bind(parse_file(tree, "pd.yaml"), parse_trigger(request), Defaults())


def test_an_output_is_the_file_with_its_own_keys_in_place():
    prefill, decode = spec_of(output="prefill"), spec_of(output="decode", group="blue", target="16", least="3")
    assert (prefill.program.text, prefill.target, prefill.activation.text) == ("queued / share", 1, "queued > 0")
    assert (decode.program.text, decode.target, decode.activation.text) == ("used", 16, "used > 0")
    assert prefill.member == Member(
        "", "prefill", ("prefill", "decode"), (Band("decode", "prefill", 2, 4),), ("prefill", "decode")
    )
    assert (decode.member.group, decode.member.bands) == ("blue", (Band("decode", "prefill", 3, 4),))


def test_what_an_output_does_not_name_is_not_measured_for_it():
    assert [item.name for item in spec_of(output="prefill").inputs] == ["queued"]
    assert [item.name for item in spec_of(output="decode").inputs] == ["used"]


def test_a_file_without_outputs_is_no_group():
    plain = {"name": "pd", "metrics": {"queued": {"prometheus": "queued"}}, "formula": "queued", "target": 1}
    assert spec_of(plain).member is None
    for key in ("output", "group"):
        with pytest.raises(ConfigError, match=f"trigger: {key}: unknown key"):
            spec_of(plain, **{key: "prefill"})


@pytest.mark.parametrize(
    ("metadata", "problem"),
    [
        ({}, "trigger: output: is missing: pd has several outputs; allowed: prefill, decode"),
        ({"output": "prefil"}, "trigger: output: 'prefil' is not an output of pd, did you mean"),
        ({"output": "prefill", "group": "a b"}, "trigger: group: 'a b' is not allowed"),
        ({"output": "prefill", "kind": "ScaledJob"}, "pd.yaml: outputs: are for ScaledObjects"),
        ({"output": "decode", "least": "9"}, "pd.yaml: outputs.decode.ratios.prefill.least: 9 is more than most, 4"),
        ({"output": "decode", "target": "0"}, "trigger: target: '0' is not allowed"),
    ],
)
def test_a_trigger_names_an_output_that_there_is(metadata, problem):
    with pytest.raises(ConfigError) as raised:
        spec_of(**metadata)
    assert problem.split(", did")[0] in str(raised.value)


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({**TREE, "outputs": {}}, "pd.yaml: outputs: has 0; allowed: 2 to 16"),
        ({**TREE, "outputs": [1]}, "pd.yaml: outputs: [1] stands where keys and values belong"),
        (changed(decode=3), "pd.yaml: outputs.decode: 3 stands where keys and values belong"),
        (changed(Decode={}), "pd.yaml: outputs: 'Decode' is no name"),
        (changed(decode={"formula": "used", "target": 0}), "pd.yaml: outputs.decode.target: 0 is not allowed"),
        (changed(decode={"formula": "used"}), "pd.yaml: target: is missing"),
        (changed(decode={"formula": "used +", "target": 1}), "pd.yaml: outputs.decode.formula: "),
        (changed(decode={"formula": "used", "target": 1, "tests": []}), "outputs.decode.tests: is of the whole file"),
        (changed(decode={"formula": "used", "target": 1, "colour": 1}), "outputs.decode.colour: unknown key"),
        (changed(decode={"formula": "queued", "target": 1}), "pd.yaml: metrics.used: no output names it"),
        ({**TREE, "order": ["prefill", "encode"]}, "pd.yaml: order: 'encode' is not an output"),
        ({**TREE, "order": ["prefill", "prefill"]}, "pd.yaml: order: ['prefill', 'prefill'] is no order"),
        ({"name": "pd", "formula": "1", "target": 1, "order": ["a", "b"]}, "order: is for a file with several outputs"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tree, problem):
    with pytest.raises(ConfigError) as raised:
        parse_file(tree, "pd.yaml")
    assert problem in str(raised.value)


def test_a_budget_is_gpus_of_all_outputs_together_and_parameters_fill_it():
    tree = {**changed(prefill={**TREE["outputs"]["prefill"], "gpus": 2}), "budget": {"most": "$most"}}
    tree["parameters"] = {**TREE["parameters"], "most": {"type": "number", "default": 16}}
    expected = Budget(0, 16, (("prefill", 2), ("decode", 1)))
    assert [spec_of(tree, output=name).member.budget for name in ("prefill", "decode")] == [expected] * 2
    assert spec_of(tree, output="decode", most="9").member.budget.most == 9


@pytest.mark.parametrize(
    ("budget", "problem"),
    [
        ({}, "pd.yaml: budget.most: is missing"),
        ({"most": 1}, "pd.yaml: budget.most: 1 is less than one replica of each output needs; allowed: 2 or more"),
        ({"least": 9, "most": 8}, "pd.yaml: budget.least: 9 is more than most, 8"),
        ({"most": 8, "gpus": 1}, "pd.yaml: budget.gpus: unknown key"),
    ],
)
def test_a_budget_holds_one_of_each(budget, problem):
    with pytest.raises(ConfigError) as raised:
        parse_file({**TREE, "budget": budget}, "pd.yaml")
    assert problem in str(raised.value)


def test_bounds_that_are_equal_leave_one_number_and_are_taken():
    decode = {**TREE["outputs"]["decode"], "ratios": {"prefill": {"least": 2, "most": 2}}}
    both = {**changed(decode=decode), "budget": {"least": 3, "most": 3}}
    member = spec_of(both, output="decode").member
    assert (member.budget.least, member.budget.most) == (3, 3)
    assert [(band.least, band.most) for band in member.bands] == [(2, 2)]
    assert spec_of({**TREE, "budget": {"most": 2}}, output="decode").member.budget.most == 2, "one replica of each"


@pytest.mark.parametrize(
    ("ratios", "problem"),
    [
        ({"encode": {"least": 1, "most": 2}}, "'encode' is no other output"),
        ({"decode": {"least": 1, "most": 2}}, "'decode' is no other output"),
        ({"prefill": {"least": 1}}, "outputs.decode.ratios.prefill.most: is missing"),
        ({"prefill": {"least": 1, "most": 0}}, "outputs.decode.ratios.prefill.most: 0 is not allowed"),
        ({"prefill": {"least": 0.0001, "most": 0.0002}}, "no numbers of replicas keep all of its ratios"),
    ],
)
def test_a_ratio_is_to_another_output_and_can_be_kept(ratios, problem):
    decode = {**TREE["outputs"]["decode"], "ratios": ratios}
    with pytest.raises(ConfigError) as raised:
        parse_file(changed(decode=decode), "pd.yaml")
    assert problem in str(raised.value)


def test_a_syntax_error_keeps_its_caret():
    with pytest.raises(FormulaSyntaxError, match=r"outputs\.decode\.formula[\s\S]*\^"):
        parse_file(changed(decode={"formula": "used +", "target": 1}), "pd.yaml")


# ---- check -----------------------------------------------------------------------------------------------------------

TESTS = [
    {"output": "prefill", "given": {"queued": "8x2"}, "expect": [{"at": "0s", "value": 2, "replicas": 2}]},
    {"output": "decode", "given": {"used": "8x2"}, "expect": [{"at": "0s", "value": 8, "replicas": 1}]},
]


def checked(tests):
    return check_file(parse_file({**TREE, "tests": tests}, "pd.yaml"), Defaults(endpoints=()))


def test_a_test_names_its_output():
    report = checked(TESTS)
    assert (report.tests, report.problems, report.failures) == (2, (), ())
    wrong = checked([{**TESTS[0], "output": "decode"}, {**TESTS[0], "output": "encode"}, {"expect": []}])
    assert [problem.split(": ")[1] for problem in wrong.problems] == [
        "tests[0].given.queued", "tests[1].output", "tests[2].output",
    ]  # fmt: skip
    assert checked([{**TESTS[1], "expect": [{"at": "0s", "replicas": 7}]}]).failures


def test_mistakes_are_said_of_their_output_and_what_one_output_reads_is_no_mistake_of_the_other():
    assert not [finding for finding in checked(TESTS).findings if finding.rule.startswith("unused")]
    falls = {**TREE["outputs"]["decode"], "formula": "100 - used", "metrics": {"used": {"prometheus": "running"}}}
    tree = changed(decode=falls)
    report = check_file(parse_file({**tree, "metrics": {"queued": {"prometheus": "queued"}}}, "pd.yaml"), Defaults())
    assert any(finding.message.startswith("output decode: ") for finding in report.findings)
    spare = {**TREE, "parameters": {**TREE["parameters"], "spare": {"type": "number", "default": 1}}}
    unused = [one.message for one in check_file(parse_file(spare, "pd.yaml"), Defaults()).findings
              if one.rule == "unused-parameter"]  # fmt: skip
    named = check_file(parse_file(TREE, "pd.yaml"), Defaults(), {"output": "decode"}).findings
    assert not [one for one in named if one.rule == "unused-parameter"], "the other output reads it"
    assert unused == ["the parameter spare changes nothing: it is read nowhere"]


def test_a_file_has_two_outputs_at_least_and_sixteen_at_most():
    for count, taken in ((1, False), (2, True), (16, True), (17, False)):
        tree = {"name": "n", "metrics": {"a": {"prometheus": "a"}}}
        tree["outputs"] = {f"o{number}": {"formula": "a", "target": 1} for number in range(count)}
        if taken:
            assert len(parse_file(tree, "n.yaml").outputs) == count
        else:
            with pytest.raises(ConfigError, match=f"has {count}; allowed: 2 to 16"):
                parse_file(tree, "n.yaml")
