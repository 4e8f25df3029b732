"""What a server is asked of itself: every question is PromQL, or is what only some servers know."""

import re

import promql_parser

from scaler.config.naming import AMBIGUOUS_LABELS, Naming
from scaler.sources.prometheus.capabilities import (
    labels_of_targets,
    question_about_the_targets,
    questions_about_the_language,
    targets_of_note,
)


def test_targets_are_counted_that_have_each_ambiguous_label_and_that_have_it_not_within_the_endpoints_own():
    text = labels_of_targets(Naming(up_selector='up{job="vllm"}', matchers={"cluster": "a"}))
    promql_parser.parse(text)
    for label in AMBIGUOUS_LABELS:
        for has, matcher in (("has", '!=""'), ("lacks", '=""')):
            assert f'"{has}", "{label}", "", "")' in text
            assert f"{label}{matcher}" in text
    assert text.count('cluster="a"') == text.count('job="vllm"') == 2 * len(AMBIGUOUS_LABELS)


def test_each_question_is_a_field_of_what_an_endpoint_calls_things_and_keeps_to_its_own_series():
    questions = questions_about_the_language({"cluster": "a"})
    assert all(hasattr(Naming(), what) for what in questions)
    assert all('cluster="a"' in text for text in questions.values())
    promql_parser.parse(questions["knows_natives"])


def test_what_is_true_of_targets_is_one_question_within_the_endpoints_own():
    names = Naming(up_selector='up{job="vllm"}', matchers={"cluster": "a"}, labels={"instance": "where"})
    text = question_about_the_targets(targets_of_note(names))
    promql_parser.parse(text)
    told = re.findall(r'"is", "(\w+)", "", ""', text)
    assert told == ["has_portless", "has_twins", "has_copies", "has_nobodys", "has_turns"]
    assert 'where!~".+:.+"' in text
    assert text.count('cluster="a"') == 8, (
        "twins are of two kinds of targets, and processes are looked at in three ways"
    )
