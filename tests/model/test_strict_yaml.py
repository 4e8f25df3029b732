import pytest

from scaler.model.errors import ConfigError
from scaler.model.strict_yaml import parse_yaml


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a: &x [1]\nb: *x", r"aliases are not allowed \(at 2:4\)"),
        ("&a [*a]", "aliases are not allowed"),
        ("a: 1\nb: {c: 1, c: 2}", r"the key 'c' stands twice \(at 2:11\)"),
        ("? [1]\n: 2", "a key is not a plain value"),
        ("[" * 3000, "nested too deeply"),
        ("a: [1, 2", r"a bracket is not closed with \], or a comma is missing \(at 1:9\)"),
        ("a: 1\n---\nb: 2", "more than one document"),
        ("a: \x00", r"it has a character that no text has \(U\+0000, the 4. of the file\)"),
        ("a: b: c", r"a colon where no key can be: .* \(at 1:5\)"),
        ("a: 1\n  b: 2", "a colon where no key can be: a line is indented too far"),
        ("a: 'x\nb: 1", "a quote is opened and not closed"),
        ("key\nb: 1", "a colon where no key can be|a line is no KEY: VALUE"),
        ('a: "\\d"', r"in double quotes \\ with 'd' means nothing"),
        ('a: "\\ud800"', r"\\ud800 is half a character: write the character itself \(at 1:4\)"),
        ('"\\udfff": 1', r"\\udfff is half a character"),
        ('a: "\\U00110000"', r"an escape with \\U names no character"),
        ('a: "\\UFFFFFFFF"', r"an escape with \\U names no character"),
        ("a: %x", "a value cannot begin with '%': put it in quotes"),
        ("a: @x", "a value cannot begin with '@'"),
        ("a: &", "a value cannot begin with & or"),
        ('a: "x" y', "this does not belong to what stands above it: look at the indentation, and at quotes"),
        ("a: [1]]", "this does not belong to what stands above it: look at the indentation"),
        ("a: {b: 1\nc: 2", r"a bracket is not closed with }"),
        ("a: [\n", "a value is missing, or a bracket is not closed"),
        ("a: | x", r"a text after \| or > begins in the next line"),
        ("a: !x!y 1", "the tag '!x!' is not allowed"),
        ("a: - 1", "a list begins with - where none can be"),
        ("[" + "1," * 20_001 + "]", "more than 20000 values"),
        (
            "!!python/object/apply:os.system [ls]",
            r"the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not allowed \(at 1:1\)",
        ),
        ("a: !!timestamp 2024-99-99", "month must be in 1..12"),
        ("a: !!bool maybe", r"has a value that does not fit its tag \('maybe'\)"),
        ("a: !!int ''", "does not fit its tag"),
        ("a: !!float ''", "does not fit its tag"),
        ("a: !!timestamp x", "does not fit its tag"),
        ("a: 0x" + "f" * 5000, r"a number of 5002 characters \(at 1:4\)"),
        ("a: 1" + ":1" * 300 + ".5", "a number of 603 characters"),
        ("a: 1" + ":1" * 100_000, "a number of 200001 characters"),
    ],
)
def test_what_is_not_plain_bounded_yaml_is_one_clear_error(content, problem):
    with pytest.raises(ConfigError, match=problem):
        parse_yaml(content, "f.yaml")


def test_plain_yaml_is_read():
    assert parse_yaml("a: [1, x]\nb: {c: 2.5}", "f.yaml") == {"a": [1, "x"], "b": {"c": 2.5}}


def test_a_date_stays_the_text_that_it_is():
    assert parse_yaml("{a: 2026-01-01, b: 2026-01-01T10:00:00Z}", "f") == {
        "a": "2026-01-01",
        "b": "2026-01-01T10:00:00Z",
    }


def test_what_just_fits_is_read():
    assert len(parse_yaml("[" + "1," * 19_999 + "]", "f.yaml")) == 19_999
    assert parse_yaml("a: " + "1" * 100, "f.yaml") == {"a": int("1" * 100)}
    with pytest.raises(ConfigError, match="a number of 101 characters"):
        parse_yaml("a: " + "1" * 101, "f.yaml")


def test_two_hundred_characters_tell_what_is_wrong():
    with pytest.raises(ConfigError) as caught:
        parse_yaml("a: !!int " + "\U000e0001" * 90, "f.yaml")
    said = str(caught.value).removeprefix("f.yaml: is not YAML we can read: ")
    assert said.startswith("invalid literal for int() with base 10: ")
    assert len(said) == 200
