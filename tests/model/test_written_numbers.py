"""Numbers of YAML that are names: a model called 1.10 is not 1.1."""

import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields, number, text
from scaler.model.strict_yaml import parse_yaml


def fields(written):
    return Fields("f.yaml", parse_yaml(f"key: {written}", "f.yaml"))


@pytest.mark.parametrize("written", ["1.10", "1_000", "+8", "1.", ".5", "0x10", "8"])
def test_a_number_that_stands_for_a_text_is_what_was_written(written):
    assert fields(written).take("key", text) == written


@pytest.mark.parametrize(("written", "value"), [("1.10", 1.1), ("1_000", 1000), ("8", 8), ("0", 0), ("0.5", 0.5)])
def test_a_number_is_the_number(written, value):
    assert fields(written).take("key", number()) == value


@pytest.mark.parametrize("written", ["010", "-07", "12:30", "1:30:00.5"])
def test_what_yaml_reads_as_another_number_is_refused(written):
    with pytest.raises(ConfigError, match="is another number in YAML: write it without a leading 0 or a colon"):
        fields(written)
    assert fields(f'"{written}"').take("key", text) == written


@pytest.mark.parametrize("word", ["no", "off", "yes", "true"])
def test_a_word_that_yaml_takes_for_true_or_false_wants_quotes(word):
    with pytest.raises(ConfigError, match="put such a word in quotes"):
        fields(word).take("key", text)


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("name: {{ .Release.Name }}", "a template's {{ ... }} has to be rendered first"),
        ("a: 1\n---\nb: 2", "it has more than one document: a second one begins with ---"),
        ("a:\n\tb: 1", "a tab stands where blanks must"),
    ],
)
def test_what_newcomers_paste_is_told_in_words(written, told):
    with pytest.raises(ConfigError) as raised:
        parse_yaml(written, "f.yaml")
    assert told in str(raised.value)
