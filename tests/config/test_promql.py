"""Parameters and matchers go into a query and nothing else about it changes; promql_parser is the judge."""

import json
import math
import re
import urllib.parse
import urllib.request

import promql_parser
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from scaler.config.promql import LENGTH_LIMIT, enforce, insert, quote, quote_regex, series_name, substitute
from scaler.model.errors import ConfigError

VALUE = re.compile(r'value: "(?:[^"\\]|\\.)*"|Regex\(\s*"(?:[^"\\]|\\.)*",?\s*\)', re.DOTALL)


def shape(text):
    """The parsed tree without the values of label matchers, and with numbers as such."""
    tree = VALUE.sub("VALUE", repr(promql_parser.parse(text)))
    return re.sub(r"val: [-+.\w]+", "val: NUMBER", tree)


def selectors(node):
    """Every vector selector below a node."""
    if isinstance(node, promql_parser.VectorSelector):
        return [node]
    children = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "param", "vector_selector")]
    children += getattr(node, "args", None) or []
    return [found for child in children if child is not None for found in selectors(child)]


def matchers(selector):
    return [(str(one.op), one.name, one.value) for one in selector.matchers.matchers]


def parsed(text):
    try:
        return promql_parser.parse(text)
    except ValueError:  # well-formed, but of wrong types
        return reject()


def fill(text, **parameters):
    return substitute(text, parameters, "test.yaml", "metrics.m.prometheus")


NASTY = st.text(st.sampled_from("\"'`\\{}[]()$#\n\t\r\0,=~|.*+?^-x é\U0001f600"), max_size=12) | st.text(max_size=30)

PLACES = [
    'm{model="$x"}',
    "m{model='$x'}",
    "m{model=`$x`}",
    'm{model!="a$x"}',
    'm{model=~"$x"}',
    "m{model=~'^(a|$x)-[0-9]+$'}",
    'm{model!~"a\\\\.b$x+"}',
    "m{model!~`a.b$x+`}",
    'sum by (pod) (rate(m{a="b", model="pre-$x-post"}[5m] offset 1m)) # "$x"',
]


@pytest.mark.parametrize("place", PLACES)
@given(value=NASTY)
def test_no_value_changes_the_shape_of_a_query(place, value):
    assert shape(fill(place, x=value)) == shape(place.replace("$x", "plain"))


@given(value=NASTY)
def test_a_label_is_compared_with_the_value_itself(value):
    for place in PLACES[:3]:
        (selector,) = selectors(promql_parser.parse(fill(place, x=value)))
        assert [found for _, _, found in matchers(selector)] == [value]


@given(value=NASTY, other=NASTY)
def test_a_regular_expression_takes_the_value_for_itself_alone(value, other):
    (selector,) = selectors(promql_parser.parse(fill('m{model=~"$x"}', x=value)))
    expression = re.compile(matchers(selector)[0][2])
    assert expression.fullmatch(value)
    assert bool(expression.fullmatch(other)) == (value == other)


def test_a_repetition_in_a_regular_expression_is_of_the_whole_value():
    assert fill('m{pod=~"$x?"}', x="a.b") == 'm{pod=~"(?:a\\\\.b)?"}'


@given(number=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_number_reads_as_the_same_number(number):
    written = fill("topk($n, m)", n=number)
    node = promql_parser.parse(written).param
    value = node.expr.val if isinstance(node, promql_parser.ParenExpr) else node.val
    assert value == number


def test_a_negative_number_stays_one_operand():
    assert fill("$n ^ 2 - $n", n=-3.0) == "(-3) ^ 2 - (-3)"
    assert fill('m{version="v$n"}', n=3.0) == 'm{version="v3"}'


@pytest.mark.parametrize(
    "text",
    [
        "vector(1)",
        'label_replace(m, "a", "$1", "b", "(.*)")',
        'm{a=~"^x$"}',
        'm{a="$", b="\\$x"}',
        "m # $x",
        '"text"',
        "m{}",
    ],
)
def test_a_dollar_that_is_no_parameter_is_left_alone(text):
    assert fill(text, x="1") == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("$x", r"\$x is the text 'a' where a number must stand; declare it with type: number"),
        ("$x{}", "'{' is not PromQL here|a number must stand"),
        ("rate(m[$n])", r"parameter in \[\$n\] stands neither"),
        ("m offset $n", r"\$n stands neither inside a quoted label value nor in the place of a number"),
        ("m @ $n", "stands neither"),
        ("m{$x='a'}", "stands neither"),
        ("m{a=$x}", "stands neither"),
        ("sum by ($x) (m)", "stands neither"),
        ("sum($x) by ($x)", "must stand|stands neither"),
        ("m $n", "stands neither"),
        ("5$n", "stands neither"),
        ("$n($n)", "is not PromQL here"),
        ('label_replace(m, "$x", "", "", "")', r"\$x stands neither"),
        ("sum by ('$x') (m)", r"\$x stands neither"),
        ('m{a="$y"}', r"\$y is not a parameter, did you mean x\?|\$y is not a parameter"),
        ("m > $y", r"\$y is not a parameter"),
        ("m > $infinite", "inf, not a finite number"),
        ('m{a=~"[$x]"}', r"stands inside \[...\] or behind a backslash"),
        ('m{a=~"[^]$x]"}', "stands inside"),
        ('m{a=~"[[:alpha:]$x]"}', "stands inside"),
        ('m{a=~"\\\\$x"}', "behind a backslash"),
        ("m{a=~`\\$x`}", "behind a backslash"),
    ],
)
def test_a_parameter_anywhere_else_is_an_error(text, problem):
    with pytest.raises(ConfigError, match=f"^test.yaml: metrics.m.prometheus: .*({problem})"):
        fill(text, x="a", n=5.0, infinite=math.inf)


def test_a_parameter_behind_a_class_of_characters_is_right():
    assert fill('m{a=~"[$]a]*\\\\[$x"}', x="b") == 'm{a=~"[$]a]*\\\\[b"}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m{",
        "m{a}",
        "m{a=}",
        'm{a="b" or c="d"}',  # VictoriaMetrics' own; not known here, so not sent with half its matchers
        "m{a='b'",
        'm{a="b\n"}',
        'm{"a" "b"}',
        "m n",
        "m)",
        "(m",
        "m,",
        "m + ",
        "sum by (a) m",
        "sum by (a b) (m)",
        "sum by a (m)",
        "m * on 5 n",
        "m offset",
        "m @ now()",
        "m[5m",
        "m{5='a'}",
        "m ^^ n",
        "5x",
        "é",
        "m # comment \r + n",  # where such a comment ends is not the same everywhere
        "m; n",
        "f(m,)",
    ],
)
def test_what_is_not_promql_is_refused(text):
    with pytest.raises(ConfigError, match="is not PromQL here|is not closed"):
        enforce(text, {"cluster": "eu"})


def test_an_enormous_query_is_refused():
    with pytest.raises(ConfigError, match=f"has {LENGTH_LIMIT + 1} characters; allowed: at most {LENGTH_LIMIT}"):
        enforce("m" * (LENGTH_LIMIT + 1), {"cluster": "eu"})


@pytest.mark.parametrize(
    ("text", "enforced"),
    [
        ("up", "up{C}"),
        ("up{}", "up{C}"),
        ('up{a="b",}', 'up{C,a="b",}'),
        ('{__name__=~"a.*"}', '{C,__name__=~"a.*"}'),
        ('{"up", a="b"}', '{C,"up", a="b"}'),
        ("sum(up) by (job)", "sum(up{C}) by (job)"),
        ("SUM BY (job) (up)", "SUM BY (job) (up{C})"),
        ("sum without (job,) (up)", "sum without (job,) (up{C})"),
        ("sum", "sum{C}"),  # a metric of that name
        ("and and and", "and{C} and and{C}"),
        (":a:b", ":a:b{C}"),
        ("max_over_time(up[5m:1m] @ start() offset -5m)", "max_over_time(up{C}[5m:1m] @ start() offset -5m)"),
        ("up @ 1609746000.5 offset 1h30m", "up{C} @ 1609746000.5 offset 1h30m"),
        ("up @ -5", "up{C} @ -5"),
        ("a / on (x) group_left (y) b", "a{C} / on (x) group_left (y) b{C}"),
        ("a * ignoring () group_right b", "a{C} * ignoring () group_right b{C}"),
        ("a > bool -b", "a{C} > bool -b{C}"),
        ("a unless b or c atan2 d", "a{C} unless b{C} or c{C} atan2 d{C}"),
        ("time() - Inf + nan + 0x1F + .5e-3", "time() - Inf + nan + 0x1F + .5e-3"),
        ('count_values("v", up) # up', 'count_values("v", up{C}) # up'),
        ("rate(a[5m])\n# b\nand c", "rate(a{C}[5m])\n# b\nand c{C}"),
        ("vector(1) or 'a{b=`c`}'", "vector(1) or 'a{b=`c`}'"),
        ("sum by ('x') (a)", "sum by ('x') (a{C})"),
    ],
)
def test_every_selector_gets_the_matcher(text, enforced):
    assert enforce(text, {"cluster": 'e"u'}) == enforced.replace("C", 'cluster="e\\"u"')
    assert enforce(text, {}) == text


NAMES = st.sampled_from(["m", "a:b", "sum", "by", "rate_total", "offset", "or_not"])
LABELS = st.sampled_from(['a="b"', "c!='}'", 'd=~"(x|{)+"', 'e!~`"`', '__name__=~".+"'])
SPANS = st.sampled_from(["5m", "1h30m", "90s"])


def bracketed(inside):
    return st.lists(LABELS, max_size=3).map(lambda some: "{" + ", ".join(some) + "}" if some or not inside else "")


VECTORS = st.builds("{}{}".format, NAMES, bracketed(inside=True)) | st.lists(LABELS, min_size=1, max_size=3).map(
    lambda some: "{" + ",".join(some) + "}"
)
SELECTED = st.builds(
    "{}{}{}".format,
    VECTORS,
    st.sampled_from(["", " offset 5m", " offset -1h"]),
    st.sampled_from(["", " @ 100", " @ end()", " @ -3.5"]),
)


def combined(inner):
    return st.one_of(
        st.builds("({})".format, inner),
        st.builds("-({})".format, inner),
        st.builds("rate({}[{}])".format, VECTORS, SPANS),
        st.builds("max_over_time(({})[{}:{}])".format, inner, SPANS, SPANS | st.just("")),
        st.builds("sum by (a, b) ({})".format, inner),
        st.builds("avg({}) without (pod)".format, inner),
        st.builds("topk(3, {})".format, inner),
        st.builds('count_values("{{", {})'.format, inner),
        st.builds('label_replace({}, "a", "$1", "b", "(.*)")'.format, inner),
        st.builds(
            "({}) {} ({})".format, inner, st.sampled_from("+ - * / % ^ == != > < >= <= and or unless".split()), inner
        ),
        st.builds("{} * on (a) group_left (b) {}".format, VECTORS, VECTORS),
        st.builds("{} > bool ignoring (a) {}".format, VECTORS, VECTORS),
        st.builds("({}) # {{a=`\n + 1".format, inner),
    )


QUERIES = st.recursive(SELECTED, combined, max_leaves=8)


@given(text=QUERIES, value=NASTY)
def test_enforcing_adds_one_matcher_to_each_selector_and_changes_nothing_else(text, value):
    before = selectors(parsed(text))
    after = selectors(promql_parser.parse(enforce(text, {"cluster": value})))
    equal = str(promql_parser.parse("m{a='b'}").matchers.matchers[0].op)
    assert [matchers(one) for one in after] == [[(equal, "cluster", value), *matchers(one)] for one in before]
    assert [one.name for one in after] == [one.name for one in before]
    assert shape(enforce(text, {"cluster": value})) == shape(enforce(text, {"cluster": ""}))


def test_matchers_that_are_written_out():
    assert insert('up{a="b"}', ['c=~"|d"', 'e!=""']) == 'up{c=~"|d",e!="",a="b"}'


def test_prometheus_reads_a_quoted_text_as_the_text_itself(start_prometheus):
    text = "".join(map(chr, range(128))) + "é€\ufffd\ufffe\U0001f600 $1 `'\"\\"
    url = start_prometheus().url
    for written, meant in ((text, text), ("lone \ud800", "lone ?")):
        query = urllib.parse.urlencode({"query": quote(written)})
        with urllib.request.urlopen(f"{url}/api/v1/query?{query}", timeout=10) as answer:
            assert json.load(answer)["data"]["result"][1] == meant


def test_prometheus_takes_a_quoted_expression_for_itself_alone(start_prometheus):
    text = "".join(map(chr, range(1, 128))) + "é\ufffd"
    expression = quote(quote_regex(text))
    query = f'label_replace(label_replace(vector(1), "a", {quote(text.replace("$", "$$"))}, "", ""), "b", "same", "a", {expression})'
    data = urllib.parse.urlencode({"query": query}).encode()
    with urllib.request.urlopen(f"{start_prometheus().url}/api/v1/query", data=data, timeout=10) as answer:
        (row,) = json.load(answer)["data"]["result"]
    assert row["metric"] == {"a": text, "b": "same"}


@pytest.mark.parametrize(
    ("text", "enforced"),
    [
        ("m", 'm{"k8s.cluster.name"="eu"}'),
        ('{"vllm.running",a="b"}', '{"k8s.cluster.name"="eu","vllm.running",a="b"}'),
        (
            'sum by ("k8s.pod.name") ({"vllm.running"})',
            'sum by ("k8s.pod.name") ({"k8s.cluster.name"="eu","vllm.running"})',
        ),
    ],
)
def test_names_that_older_releases_do_not_know_stand_in_quotes(text, enforced):
    assert enforce(text, {"k8s.cluster.name": "eu"}) == enforced


def test_a_name_that_older_releases_do_not_know_stands_in_quotes():
    assert series_name("vllm:running", ['a="b"', 'c="d"']) == 'vllm:running{a="b",c="d"}'
    assert series_name("vllm.running", ['a="b"']) == '{"vllm.running",a="b"}'
    assert series_name("", ['a="b"']) == '{a="b"}'


def test_of_a_long_query_twenty_characters_before_and_after_a_fault_are_shown():
    with pytest.raises(ConfigError) as raised:
        enforce("abcdefghij + klmnopqrst + ) + uvwxyzabcd + efghijklmn", {"namespace": "team"})
    assert "(at 26, near 'ghij + klmnopqrst + ) + uvwxyzabcd + efg')" in str(raised.value)


def test_a_value_that_is_repeated_in_an_expression_is_repeated_as_a_whole():
    assert fill('m{a=~"$x+b"}', x="ab") == 'm{a=~"(?:ab)+b"}'
    assert fill('m{a=~"$x{2}"}', x="ab") == 'm{a=~"(?:ab){2}"}'
    assert fill('m{a=~"$x-b+"}', x="ab") == 'm{a=~"ab-b+"}'
