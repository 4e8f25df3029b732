"""The scanner says what prometheus_client says, of every page that both can read."""

import math
import re

import pytest
from benchmarks.engine_page import engine_page
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from scaler.sources.pages.exposition import LONGEST_LINE, MOST_LINES, scan

NAMES = ["vllm:num_requests_waiting", "x_bucket", "x_count", "a", "ab", "up"]


def theirs(page, wanted):
    """prometheus_client's samples; without TYPE lines, which make it rename counters."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    return [(one.name, dict(one.labels), one.value, one.timestamp) for one in samples if one.name in wanted]


def ours(page, wanted):
    return [(one.name, dict(one.labels), one.value, one.at) for one in scan(page.encode(), wanted)]


def same(one, other):
    """Equal, where NaN equals NaN."""
    return repr([(n, lb, float(v), None if t is None else round(t, 6)) for n, lb, v, t in one]) == repr(
        [(n, lb, float(v), None if t is None else round(t, 6)) for n, lb, v, t in other]
    )


def escaped(value):
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


values = st.one_of(
    st.floats().map(repr), st.integers().map(str), st.sampled_from(["+Inf", "-Inf", "NaN", "1e3", ".5", "1.", "Inf"])
)
label_values = st.text(st.sampled_from('abc{}=,"\\\n #é\t'), max_size=8)
labels = st.dictionaries(st.sampled_from(["le", "model_name", "engine", "_x"]), label_values, max_size=3)
spaces = st.sampled_from(["", " ", "  "])


@st.composite
def lines(draw):
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(["", "# HELP a b", "# just words", "   "]))
    written = ",".join(f'{name}{draw(spaces)}="{escaped(value)}"' for name, value in draw(labels).items())
    braces = (
        draw(st.sampled_from(["{%s}", "{%s,}", "{ %s }"])) % written if written else draw(st.sampled_from(["", "{}"]))
    )
    time = draw(st.sampled_from(["", " 1700000000123", " -5"]))
    return f"{draw(spaces)}{draw(st.sampled_from(NAMES))}{braces} {draw(spaces)}{draw(values)}{time}{draw(spaces)}"


@given(st.lists(lines(), max_size=12), st.sets(st.sampled_from(NAMES)))
def test_a_page_reads_as_prometheus_client_reads_it(page, wanted):
    text = "\n".join(page)
    assert same(ours(text, wanted), theirs(text, wanted))


@given(st.text(st.sampled_from('a{}=",\\ 1.'), max_size=30))
def test_what_is_read_of_any_line_is_read_alike(rest):
    """Ours is the stricter one."""
    try:
        found = ours(f"a{rest}", {"a"})
    except ValueError:
        return
    assert not found or same(found, theirs(f"a{rest}", {"a"}))


@pytest.mark.parametrize(
    "line",
    [
        "a",
        "a{",
        'a{b="c" 1',
        'a{b="c"}',
        "a x",
        "a 1_0",
        'a{b="c",b="d"} 1',
        "a{b=c} 1",
        "a 1 2 3",
        "a 1 -Inf",
        "a 1 NaN",
        "a 1 1e300",
        'a{="x"} 1',
    ],
)
def test_a_wanted_line_that_cannot_be_read_is_named(line):
    with pytest.raises(ValueError, match="line 2 cannot be read"):
        scan(f"up 1\n{line}".encode(), {"a"})
    assert scan(f"up 1\n{line}".encode(), {"up"})[0].value == 1


FULL = LONGEST_LINE - 50
LONG = {  # what takes long where the time grows with the square of the length
    "blanks and no value": "a" + " " * FULL + "#",
    "blanks before what is no label": "a" + " " * FULL + "{",
    "blanks behind labels": 'a{b="c"}' + " " * FULL + "#",
    "a label without an end": 'a{b="' + "\\" * FULL + " 1",
    "quotes": "a{" + '"' * FULL + " 1",
    "braces": "a" + "{" * FULL + " 1",
}


@pytest.mark.parametrize("line", LONG.values(), ids=LONG)
def test_no_line_takes_long_to_refuse(line):
    with pytest.raises(ValueError, match="line 1 cannot be read"):
        scan(line.encode(), {"a"})


def test_a_line_is_no_longer_than_can_be_looked_at_beside_other_pages():
    """One label of 6 MB held all of the process for a second, and its neighbours' pages with it."""
    label = "x" * (LONGEST_LINE - len('a{b=""} 1'))
    assert scan(f'a{{b="{label}"}} 1\n'.encode(), {"a"})[0].value == 1
    with pytest.raises(ValueError, match=f"a line of it has {LONGEST_LINE + 1} bytes, more than {LONGEST_LINE}"):
        scan(f'a{{b="{label}x"}} 1\n'.encode(), {"a"})
    assert scan(f'c{{b="{label}x"}} 1\na 1\n'.encode(), {"a"})[0].value == 1, "nobody looks at that one"


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", " \n", "#\n"])
def test_a_page_has_no_more_lines_than_can_be_looked_at(end):
    assert scan(f"a 1\n{end * (MOST_LINES - 1)}".encode(), {"a"})[0].value == 1
    with pytest.raises(ValueError, match=f"it has {MOST_LINES + 1} lines, more than {MOST_LINES}"):
        scan(f"a 1\n{end * MOST_LINES}".encode(), {"a"})


def test_the_page_of_an_engine_reads_alike_the_first_time_and_every_other():
    for load in (7, 7, 8):
        text = engine_page(load).decode()
        names = set(re.findall(r"^[\w:]+", text, re.MULTILINE))
        assert len(names) > 100
        samples = [one for family in text_string_to_metric_families(text) for one in family.samples]
        assert same(ours(text, names), [(one.name, dict(one.labels), one.value, one.timestamp) for one in samples])


BROKEN = {
    "Windows' ends of lines": 'a 1\r\nab{x="y"} 2\r\n',
    "no end": "ab 2\na 1",
    "blanks and tabs": '\t a\t1\n  a{b = "c"}\t 2 \n',
    "a name within others": 'aa 1\na_b 2\na:b 3\nba 4\nx{y="a"} 5\n# HELP a 6\n# TYPE a gauge\na 7\n',
    "not UTF-8": b'a{b="\xff"} 1\n'.decode("utf-8", "replace"),
    "a series too long to be remembered": 'a{b="' + "x" * 5000 + '"} 1\na{b="' + "x" * 5000 + '"} 2\n',
    "braces in labels": 'a{b="}",c="{",d="\\\\"} 1\n',
    "times": 'a 1 1700000000123\nab{x="y z"} 2 -5\nab{x="y z"} 2\n',
    "numbers": "a NaN\na nan\na +Inf\na -inf\na 1e400\na 1E5\na .5\na -5.\n",
    "a long page": "".join(f'a{{b="{number}"}} {number}\nother{{b="{number}"}} 5\n' for number in range(20_000)),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_an_odd_page_reads_alike(text):
    for _ in range(2):  # the second time its series are known
        assert same(ours(text, {"a", "ab"}), theirs(text, {"a", "ab"}))
        assert ours(text, {"a", "ab"})


def test_no_more_samples_are_read_than_may_be():
    with pytest.raises(ValueError, match="3 series of it are wanted, more than 2"):
        scan(b"a 1\na 2\nb 1\na 3\n", {"a"}, most=2)
    assert len(scan(b"a 1\na 2\nb 1\n", {"a"}, most=2)) == 2


@given(st.sets(st.text("ab_", min_size=1, max_size=4), max_size=8), st.lists(st.text("ab_", min_size=1, max_size=4)))
def test_only_what_is_wanted_is_found(wanted, names):
    page = "\n".join(f"{name} 1" for name in names).encode()
    assert [one.name for one in scan(page, wanted)] == [name for name in names if name in wanted]


def test_an_exemplar_is_passed_over_and_a_time_of_openmetrics_is_in_seconds():
    (sample,) = scan(b'x_bucket{le="1"} 5 1700000000.5 # {trace_id="}\\""} 0.3 1700000000', {"x_bucket"}, 1.0)
    assert (sample.value, sample.at, dict(sample.labels)) == (5.0, 1700000000.5, {"le": "1"})
    assert math.isnan(scan(b"a NaN # {} 1", {"a"})[0].value)


def test_the_same_series_has_the_same_key_in_the_next_page():
    first, second = scan(b'a{b="c"} 1\na{b="d"} 1', {"a"}), scan(b'a{b="c"} 2', {"a"})
    assert first[0].key == second[0].key != first[1].key


@pytest.mark.parametrize(
    "again", [b'a{c="2",b="1"} 1', b'a{ b="1", c="2" } 1', b'a {b="1",c="2",} 1', b'{"a",c="2",b="1"} 1']
)
def test_a_series_has_one_key_however_its_labels_are_written(again):
    """Prometheus takes these for one series too; as two they would add up."""
    (first,) = scan(b'a{b="1",c="2"} 1', {"a"})
    (second,) = scan(again, {"a"})
    assert first.key == second.key


def test_quoted_names_are_read_as_older_releases_write_them():
    page = b"""{"vllm:num_requests_waiting",model_name="a,\\"b",engine="0"} 3
  { "gen_ai.requests" , "model.name"="m" , "x"="y"} 4
{"other"} 5
"""
    names = {"vllm:num_requests_waiting", "gen_ai_requests"}
    found = [(one.name, dict(one.labels), one.value) for one in scan(page, names)]
    assert found == [
        ("vllm:num_requests_waiting", {"model_name": 'a,"b', "engine": "0"}, 3.0),
        ("gen_ai_requests", {"model_name": "m", "x": "y"}, 4.0),
    ]


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        ('"model_name"="m"', {"model_name": "m"}),
        ('model_name="m","k8s.pod.name"="p"', {"model_name": "m", "k8s_pod_name": "p"}),
        ('"a}b" = "{c}" , ', {"a_b": "{c}"}),
    ],
)
def test_a_quoted_label_may_follow_a_plain_name(labels, read):
    (found,) = scan(f"x{{{labels}}} 3\n".encode(), {"x"})
    assert (dict(found.labels), found.value) == (read, 3.0)


def test_two_labels_that_are_spelled_alike_cannot_be_read():
    with pytest.raises(ValueError, match="^line 1 cannot be read$"):
        scan(b'x{a_b="1","a.b"="2"} 3\n', {"x"})


def test_a_line_with_a_quoted_name_that_cannot_be_read_is_told_by_its_number():
    with pytest.raises(ValueError, match="^line 2 cannot be read$"):
        scan(b'x 1\n{"x",secret} 1\n', {"x"})


@pytest.mark.parametrize(
    ("line", "name", "labels"),
    [
        ('{"vllm.running","k8s.pod.name"="a",engine="0"} 3', "vllm:running", {"k8s_pod_name": "a", "engine": "0"}),
        ('{"vllm:running",engine="0"} 3', "vllm:running", {"engine": "0"}),
        ('{"gen_ai.tokens"} 3', "gen_ai_tokens", {}),
        ('  { "vllm.running" } 3', "vllm:running", {}),
    ],
)
def test_a_dotted_name_is_read_as_the_engine_s_own_has_a_colon(line, name, labels):
    assert ours(f"# TYPE x gauge\n{line}\n", {"vllm:running", "gen_ai_tokens"}) == [(name, labels, 3.0, None)]


# ---- what stands before a name ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        b"\xef\xbb\xbfx 3\ny 4\n",
        b"\xef\xbb\xbf# HELP x X.\nx 3\n\n\t\ny 4\n",
        b"x 3\r\ny 4\r\n",
        b"# HELP x X.\rx 3\ry 4\r",
        b"\n\n \n#\n# \n##\n#x 9\n  x 3\n\ty 4",
    ],
    ids=["byte order mark", "before a comment", "CRLF", "CR alone", "blanks and empty comments"],
)
def test_nothing_is_lost_for_what_stands_before_it(page):
    assert [(one.name, one.value) for one in scan(page, {"x", "y"})] == [("x", 3.0), ("y", 4.0)]


@pytest.mark.parametrize(
    "odd", [b"\xef\xbb\xbf", b"\x0c", b"\xc2\xa0", b"\xe2\x80\x8b", b"- ", b"7", b"\t\x0b", b"; "], ids=repr
)
def test_a_wanted_name_after_what_is_no_name_makes_the_page_unreadable(odd):
    """It would be passed over, and the page would say less than it does."""
    with pytest.raises(ValueError, match="^line 2 cannot be read$"):
        scan(b"x 3\n" + odd + b"y 4\n", {"x", "y"})
    assert len(scan(b"x 3\n" + odd + b"z 4\n", {"x", "y"})) == 1, "what nobody wants is nobody's loss"


def test_underscores_stand_for_colons_also_beside_a_name_without_any():
    page = b'process_start_time_seconds 9\nvllm_num_requests_waiting{model_name="m"} 3\n'
    found = scan(page, {"process_start_time_seconds", "vllm:num_requests_waiting"})
    assert [(one.name, one.value) for one in found] == [
        ("process_start_time_seconds", 9.0),
        ("vllm:num_requests_waiting", 3.0),
    ]
