import pytest

from scaler.model.errors import ConfigError
from scaler.model.fields import Fields, boolean, choice, duration, listed, matching, number, seconds, show, text, whole


@pytest.mark.parametrize(
    ("read", "raw", "value"),
    [
        (text, "a", "a"),
        (text, 8, "8"),
        (boolean, True, True),
        (boolean, "False", False),
        (number(), "1.5", 1.5),
        (number(0, 10), 10, 10.0),
        (whole(1, 9), "9", 9),
        (whole(1, 9), 2.0, 2),
        (duration(), "1h30m", 5400.0),
        (duration(), "500ms", 0.5),
        (duration(), 7.25, 7.25),
        (choice("a", "b"), "b", "b"),
        (matching("[a-z]+", "letters"), "abc", "abc"),
        (listed(text), ["a", 1], ("a", "1")),
    ],
)
def test_values_are_read_from_yaml_and_from_text_alike(read, raw, value):
    assert read(raw) == value


@pytest.mark.parametrize(
    ("read", "raw"),
    [
        (text, True),
        (text, ["a"]),
        (boolean, "yes"),
        (boolean, 1),
        (number(), True),
        (number(), "x"),
        (number(), "nan"),
        (number(), 10**400),
        (number(0, above=True), 0),
        (number(0, 10), 11),
        (whole(1, 9), 10),
        (whole(1, 9), 1.5),
        (whole(1, 9), True),
        (whole(1, 9), "9" * 30),
        (duration(), "1h3"),
        (duration(), "-1s"),
        (duration(), True),
        (duration(), "1e3"),
        (duration(1, 60), "2m"),
        (choice("a"), "b"),
        (matching("[a-z]+", "letters"), "ABC"),
        (listed(text), "a"),
    ],
)
def test_what_is_not_allowed_says_what_is(read, raw):
    with pytest.raises(ValueError, match=r".+"):
        read(raw)


def test_a_duration_may_be_as_short_and_as_long_as_its_bounds():
    read = duration(6, 60)
    assert [read(raw) for raw in ("6s", "1m", 6, 60)] == [6, 60, 6, 60]
    for raw in ("5999ms", "61s"):
        with pytest.raises(ValueError, match="from 6s to 1m"):
            read(raw)


def test_an_error_names_file_key_value_and_what_is_allowed():
    fields = Fields("f.yaml", {"metrics": {"over": "soon"}}).inside("metrics")
    with pytest.raises(ConfigError) as raised:
        fields.take("over", duration(0, 60))
    assert str(raised.value) == (
        "f.yaml: metrics.over: 'soon' is not allowed; allowed: a duration from 0s to 1m, such as 30s, 5m or 1h30m"
    )


def test_an_unknown_key_is_refused_with_the_nearest_known_one():
    fields = Fields("f.yaml", {"taget": 1})
    fields.take("target", number(), 1.0)
    with pytest.raises(ConfigError, match=r"f.yaml: taget: unknown key, did you mean target\?; allowed: target"):
        fields.close()


def test_a_key_that_is_missing_for_a_typing_error_names_it():
    with pytest.raises(ConfigError, match="f.yaml: formula: is missing, and 'formla' is not a key"):
        Fields("f.yaml", {"formla": "1"}).take("formula", text)


def test_a_key_without_value_counts_as_absent():
    fields = Fields("f.yaml", {"a": None, "b": None})
    assert fields.take("a", text, "default") == "default"
    assert not fields.has("b")
    with pytest.raises(ConfigError, match="f.yaml: b: is missing"):
        fields.take("b", text)


@pytest.mark.parametrize("tree", [[], "a", {1: 2}, {"inner": [1]}])
def test_only_mappings_with_text_keys_are_read(tree):
    with pytest.raises(ConfigError):
        Fields("f.yaml", tree).inside("inner").close()


def test_what_is_left_can_be_taken_whole():
    fields = Fields("f.yaml", {"a": 1, "b": 2})
    fields.take("a", whole(0, 9))
    assert fields.rest() == {"b": 2}
    fields.close()
    assert "f.yaml: k: no" in str(fields.error("k", "no"))


def test_long_values_are_shown_cut():
    assert len(show("x" * 1000)) == 80
    assert show("x" * 78) == repr("x" * 78)
    assert show("x" * 79) == "'" + "x" * 76 + "..."


@pytest.mark.parametrize(
    ("span", "shown"),
    [(0, "0s"), (0.25, "250ms"), (7.25, "7.2s"), (5, "5s"), (59.6, "1m"), (90, "1m30s"), (90061, "1d1h1m1s")],
)
def test_spans_are_shown_as_people_write_them(span, shown):
    assert seconds(span) == shown
