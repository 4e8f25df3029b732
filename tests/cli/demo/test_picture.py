"""What the demo shows: curves, a picture of fixed width, a line."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from scaler.cli.demo.baselines import OURS, SLO, BaselineRow
from scaler.cli.demo.live import Observation
from scaler.cli.demo.picture import BARS, Frame, LastDecision, curve, line, picture, table
from scaler.sim.score import Score, SloTarget

VIEW = Observation(
    at=500.0, load=12.34, queued=3, waiting=4, running=85, ready=7, starting=2, draining=1, desired=9, wanted=9,
    ttft=0.234, finished=4210, met=0.987, lost=0, cost=1.5, metrics_down=False,
)  # fmt: skip
FRAME = Frame(
    views=[VIEW],
    said=LastDecision("9 replicas: queued + waiting + running = 98, at 12 a replica", "certain"),
    events=["  41 s  KEDA 0 -> 1: the trigger pushed", "  43 s  HPA 1 -> 5: what the metric asks for"],
    seconds=50.0,
    of=120.0,
    speed=10.0,
    slo=SloTarget(),
    price=2 / 3600,
    keys="keys: q end",
    where="llm-scaler explain demo/llama",
)


@given(st.lists(st.floats(0, 1e6), max_size=200))
def test_a_curve_is_as_wide_as_it_should_be_and_its_highest_bar_is_full(values):
    drawn = curve(values, 36)
    assert len(drawn) == 36
    assert set(drawn) <= set(BARS)
    assert (BARS[-1] in drawn) == any(value > 0 for value in values)


def test_a_curve_grows_from_the_right_and_shows_zero_as_nothing():
    assert curve([0, 1, 8], 5) == "   ▁█"


def rendered(frame, columns=100):
    console = Console(width=columns, file=io.StringIO())
    console.print(picture(frame, columns))
    return console.file.getvalue()


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_the_picture_says_it_all(columns):
    text = rendered(FRAME, columns)
    for part in (
        "12.3 requests/s", "3 at the gateway, 4 in engines", "85 in the engines", "7 ready, 2 starting, 9 wanted",
        "■■■■■■■□□·", "0.23 s", "$1.50", "9 replicas: queued + waiting + running = 98", "HPA 1 -> 5",
        "98.7% of 4,210 requests in the SLO", "50 s of 120 s", "10 times faster", "explain demo/llama", "keys: q end",
    ):  # fmt: skip
        assert part in text
    assert all(len(row) <= min(columns, 100) for row in text.splitlines())
    assert "…" not in text, "nothing is cut"


def test_the_newest_value_is_at_the_right_of_a_curve_at_80_columns():
    views = [replace(VIEW, load=float(at)) for at in range(100)]
    (row,) = [row for row in rendered(replace(FRAME, views=views), 80).splitlines() if " load " in row]
    assert f"{BARS[-1]} 99.0 requests/s" in row


def test_the_table_is_whole_at_80_columns():
    score = Score(15008, 0.9876, 0.9, 1, 2, 12.34, 12.34, 23.45, 12, 34, 5)
    rows = [BaselineRow(name, score, None) for name in (OURS, SLO, "fixed fleet of 16", "KEDA on queue length 5")]
    console = Console(width=80, file=io.StringIO())
    console.print(table(rows))
    text = console.file.getvalue()
    for part in (
        OURS,
        SLO,
        "KEDA on queue length 5",
        "15,005 of 15,008",
        "98.8%",
        "12.34",
        "$23.45",
        "34, 5",
        "replica",
        "downs,",
    ):
        assert part in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("change", "part"),
    [({"metrics_down": True}, "the metrics are away"), ({"wanted": None}, "? wanted"), ({"ttft": None}, "- (95th")],
)
def test_the_picture_says_what_is_missing(change, part):
    assert part in rendered(replace(FRAME, views=[replace(VIEW, **change)]))


def test_texts_cannot_speak_the_picture_s_own_language():
    text = rendered(replace(FRAME, said=LastDecision("[bold]no[/] markup[/x]", "held"), where="[red]x[/red]"))
    assert "[bold]no[/] markup[/x]" in text
    assert "[red]x[/red]" in text


def test_the_line_says_the_same_in_short():
    assert line(FRAME) == (
        "   50s  load  12.3/s  queue    7  running   85  replicas  7 ready  2 starting  9 wanted  TTFT  0.23s  $1.50"
        "  | 9 replicas: queued + waiting + running = 98, at 12 a replica"
    )
    assert "METRICS AWAY" in line(replace(FRAME, views=[replace(VIEW, metrics_down=True)]))
