"""A formula file as it is read, before anybody binds it: name, parameters, template, and a file for each output."""

import pytest

from scaler.config.bind import read_file
from scaler.config.formula_file import output_of
from scaler.model.errors import ConfigError

TREE = {"name": "mine", "parameters": {"x": {"type": "number"}}, "formula": "a", "tests": [{"name": "one"}]}
PAIR = TREE | {"metrics": {"a": {"signal": "waiting"}}, "outputs": {"prefill": {"target": 1}, "decode": {"target": 2}}}


def test_what_is_no_name_parameter_or_test_is_the_template():
    file = read_file(TREE, "mine.yaml")
    assert (file.name, file.where, [one.name for one in file.parameters]) == ("mine", "mine.yaml", ["x"])
    assert file.body == {"formula": "a"}
    assert file.tests == ({"name": "one"},)
    assert file.parts == (file,)
    assert output_of(file, {"output": "whatever"}) is file


def test_a_file_with_outputs_has_a_file_for_each_without_the_tests():
    file = read_file(PAIR, "mine.yaml")
    assert [part.output.name for part in file.parts] == ["prefill", "decode"]
    assert [part.body["target"] for part in file.parts] == [1, 2]
    assert all(part.body["formula"] == "a" and part.tests == () for part in file.parts)
    assert output_of(file, {"output": "decode"}) is file.outputs["decode"]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "output: is missing: mine has several outputs; allowed: prefill, decode"),
        (
            {"output": "decod"},
            "output: 'decod' is not an output of mine, did you mean decode?; allowed: prefill, decode",
        ),
    ],
)
def test_a_trigger_has_to_name_an_output_that_there_is(given, problem):
    with pytest.raises(ConfigError) as raised:
        output_of(read_file(PAIR, "mine.yaml"), given)
    assert str(raised.value).endswith(problem)


def test_it_is_not_looked_at_whether_the_template_makes_sense():
    assert read_file({"name": "mine", "formula": "1 +"}, "mine.yaml").body == {"formula": "1 +"}
