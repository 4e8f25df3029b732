"""Which past a new workload folds."""

from itertools import pairwise

from scaler.config.bind import bind_example, parse_file
from scaler.config.catalog import shipped_formulas
from scaler.config.defaults import Defaults
from scaler.engine.schedule import history
from scaler.model.strict_yaml import parse_yaml


def bound(name, **given):
    file = shipped_formulas() / f"{name}.yaml"
    return bind_example(parse_file(parse_yaml(file.read_text(), name), name), given, Defaults())


def test_a_memory_of_seconds_is_folded_tick_by_tick():
    assert history(bound("queue-depth"), 1000.0) == tuple(1000.0 - 5 * step for step in range(12, -1, -1))


def test_what_a_policy_learns_over_hours_is_folded_in_steps_of_about_a_minute():
    for interval, step in {"5s": 60.0, "7s": 63.0, "2m": 120.0}.items():
        times = history(bound("slo", interval=interval), 9000.0)
        assert times[-1] == 9000.0
        assert {later - earlier for earlier, later in pairwise(times)} == {step}
        assert 7200 <= times[-1] - times[0] < 7200 + step
