"""What follows from a decision alone."""

from dataclasses import replace

import pytest
from support.timelines import fold, workload

from scaler.config.schedule import Window
from scaler.decision.pace import Pace
from scaler.decision.schedule import Held, Scheduled

LOAD = "name: load\nmetrics: {load: {prometheus: load}}\nformula: load\ntarget: 1\n"


def decided(text=LOAD, **row):
    return fold(workload(text), [row])[1][0]


def window(minimum=None, maximum=None):
    held = Held(Window("night", frozenset(range(7)), 0, 1440, "UTC", minimum, maximum), 0.0)
    return Scheduled(held if minimum else None, held if maximum else None)


@pytest.mark.parametrize(("load", "replicas", "nothing"), [(None, 1, True), (None, 0, False), (4, 1, False)])
def test_it_rests_on_nothing_where_all_was_made_up_and_replicas_are_there(load, replicas, nothing):
    text = LOAD.replace("{prometheus: load}", "{prometheus: load, onMissing: zero}")
    assert decided(text, load=load, replicas=replicas).rests_on_nothing is nothing


@pytest.mark.parametrize(("least", "told"), [(8, "why"), (4, ""), (3, "")])
def test_it_falls_slowly_where_the_pace_keeps_more_than_is_due(least, told):
    paced = replace(decided(load=4), pace=Pace(least, 120.0, 10.0, None, "why"))
    assert paced.falls_slowly == told


def test_a_floor_is_told_only_where_it_and_not_the_pace_keeps_the_answer():
    paced = replace(decided(load=2), pace=Pace(8, 120.0, 10.0, None, "why"), limited=8)
    assert replace(paced, schedule=window(minimum=4)).bounded_by == ""
    assert replace(paced, schedule=window(minimum=9)).bounded_by.startswith("schedule `night`: at least 9")
