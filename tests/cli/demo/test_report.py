"""The report: well formed, self-contained, and its plots are true."""

import re
from html.parser import HTMLParser

import pytest
from support.fleets import by_load, drive

from scaler.cli.demo.baselines import compare
from scaler.cli.demo.live import LiveWorld
from scaler.cli.demo.report import LoggedDecision, _round_steps, page
from scaler.cli.demo.scenario import SHORTEST, scenario

VOID = {"meta", "br"}


class Tree(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def written():
    live = drive(LiveWorld(scenario(SHORTEST)), by_load)
    told = [
        LoggedDecision(0.0, 0, "certain", "0 replicas"),
        LoggedDecision(40.0, 2, "certain", "2 replicas: <b>a & b</b>"),
        LoggedDecision(60.0, None, "unknown", "no answer"),
        LoggedDecision(300.0, 0, "held", "0 replicas, held"),
    ]
    return page(live, told, compare(live), 20.0)


@pytest.fixture(scope="module")
def tree(written):
    parsed = Tree()
    parsed.feed(written)
    assert parsed.open == []
    return parsed.seen


def test_it_needs_nothing_else(written, tree):
    assert not {tag for tag, _ in tree} & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?:|@import|url\(|on\w+=", written)


def test_what_was_said_is_shown_as_it_was_said(written):
    assert "<b>a & b</b>" not in written
    assert written.count("2 replicas: &lt;b&gt;a &amp; b&lt;/b&gt;") == 2  # in the list, and at its dot


def test_every_plot_stays_within_its_frame(tree):
    frames = [tuple(map(float, attrs["viewbox"].split())) for tag, attrs in tree if tag == "svg"]
    assert len(frames) == 4
    tallest = max(frame[3] for frame in frames)
    for tag, attrs in tree:
        if tag == "path":
            numbers = re.findall(r"([MLHV])([\d.-]+)(?: ([\d.-]+))?", attrs["d"])
            for kind, first, second in numbers:
                across = [float(first)] if kind in "MLH" else []
                down = [float(second)] if kind in "ML" else [float(first)] if kind == "V" else []
                assert all(0 <= x <= 960 for x in across)
                assert all(0 <= y <= tallest for y in down)


def test_every_change_of_what_was_wanted_is_a_dot(tree):
    dots = [attrs for tag, attrs in tree if tag == "circle"]
    assert len(dots) == 3
    places = [float(dot["cx"]) for dot in dots]
    assert places == sorted(places)
    assert "amber" in dots[-1]["fill"]


@pytest.mark.parametrize(
    ("top", "expected"),
    [(1.0, [0, 0.5, 1.0]), (16.0, [0, 5, 10, 15]), (60.0, [0, 20, 40, 60]), (450.0, [0, 200, 400])],
)
def test_axes_have_round_numbers(top, expected):
    assert _round_steps(top) == pytest.approx(expected)


def test_what_does_not_fit_a_plot_is_said():
    live = drive(LiveWorld(scenario(SHORTEST)), by_load, until=100)
    assert "wanted goes up to 999" in page(
        live, [LoggedDecision(40.0, 999, "certain", "999 replicas")], compare(live), 20.0
    )
