"""The cheapest mix of GPU variants: Mélange's published example, and every mix there is for small ones."""

import random
from itertools import product

import pytest

from scaler.policy.variants import Variant, cheapest

A10G = Variant("A10G", 1.01, (2, 1, 5, 2), 100)
A100 = Variant("A100-80GB", 3.67, (20, 20, 40, 20), 100)
MELANGE = [30 * share for share in (0.2, 0.1, 0.5, 0.2)]


def test_melanges_example_gives_its_published_answer():
    mix = cheapest([A10G, A100], MELANGE)
    assert mix.replicas == {"A10G": 3, "A100-80GB": 1}
    assert mix.cost == pytest.approx(6.70)
    assert not mix.unmet


def test_what_cannot_be_had_is_not_planned():
    few = Variant("A100-80GB", 3.67, (20, 20, 40, 20), 0)
    assert cheapest([A10G, few], MELANGE).replicas == {"A10G": 12, "A100-80GB": 0}


def test_what_cannot_be_met_is_said_and_is_as_little_as_possible():
    few = Variant("A10G", 1.01, (2, 1, 5, 2), 6)
    mix = cheapest([few], MELANGE)
    assert mix.replicas == {"A10G": 6}
    assert mix.unmet in ({1: 3, 3: 6}, {0: 6, 1: 3})


def test_a_kind_that_a_variant_cannot_carry_goes_to_another():
    small, large = Variant("small", 1, (5, 0), 10), Variant("large", 10, (5, 5), 10)
    assert cheapest([small, large], [20, 5]).replicas == {"small": 4, "large": 1}


def test_a_change_costs():
    old, new = Variant("old", 1.0, (1,), 10, current=4), Variant("new", 0.9, (1,), 10)
    assert cheapest([old, new], [4]).replicas == {"old": 0, "new": 4}
    assert cheapest([old, new], [4], switching=0.5).replicas == {"old": 4, "new": 0}


def test_parts_of_a_kind_may_go_to_several():
    small, large = Variant("small", 1, (1,), 1), Variant("large", 5, (10,), 1)
    assert cheapest([small, large], [2]).replicas == {"small": 0, "large": 1}
    pair = Variant("small", 1, (1,), 1), Variant("other", 1.1, (1,), 1)
    assert cheapest(pair, [2], slices=2).replicas == {"small": 1, "other": 1}
    assert cheapest(pair, [2]).unmet == {0: 2}


def test_in_all_there_are_as_many_as_are_wanted_or_can_be_had():
    small, large = Variant("small", 1, (1,), 2), Variant("large", 5, (10,), 9)
    assert cheapest([small, large], [1], in_all=4).replicas == {"small": 2, "large": 2}
    assert cheapest([small, Variant("large", 5, (10,), 1)], [1], in_all=9).replicas == {"small": 2, "large": 1}


def test_no_demand_needs_nothing():
    assert cheapest([A10G, A100], [0, 0, 0, 0]).replicas == {"A10G": 0, "A100-80GB": 0}


@pytest.mark.parametrize("seed", range(25))
def test_no_mix_that_there_is_costs_less(seed):
    chance = random.Random(seed)
    variants = [
        Variant(name, chance.choice([1, 2.5, 4]), tuple(chance.choice([0.5, 1, 3, 8]) for _ in range(3)), 20)
        for name in "ab"
    ]
    demand = [chance.choice([0, 1, 2, 5]) for _ in range(3)]
    costs = []
    for where in product(range(2), repeat=3):
        loads = [
            sum(demand[kind] / one.carries[kind] for kind in range(3) if where[kind] == place)
            for place, one in enumerate(variants)
        ]
        counts = [-(-round(load, 9) // 1) for load in loads]
        if max(counts) <= 20:
            costs.append(sum(count * one.cost for count, one in zip(counts, variants, strict=True)))
    mix = cheapest(variants, demand)
    if costs:
        assert mix.cost == pytest.approx(min(costs))
    else:
        assert mix.unmet


@pytest.mark.parametrize("seed", range(12))
def test_of_what_cannot_be_met_as_little_as_possible_is_left(seed):
    """One replica of each of two: whichever whole kinds they carry, no choice leaves fewer requests a second."""
    chance = random.Random(seed)
    variants = [
        Variant(name, cost, tuple(chance.choice([1, 2, 4]) for _ in range(4)), 1) for name, cost in (("a", 1), ("b", 3))
    ]
    demand = [chance.choice([1, 2, 3, 5]) for _ in range(4)]
    least = min(
        sum(rate for rate, place in zip(demand, where, strict=True) if place is None)
        for where in product((0, 1, None), repeat=4)
        if all(_share(variants, demand, where, place) <= 1 for place in (0, 1))
    )
    assert sum(cheapest(variants, demand).unmet.values()) == least


def _share(variants, demand, where, place):
    """Of a replica, by what kinds are there."""
    return sum(demand[kind] / variants[place].carries[kind] for kind in range(4) if where[kind] == place)


def test_a_change_costs_its_share_of_each_new_replica_and_no_less():
    old, new = Variant("old", 1.0, (1,), 10, current=4), Variant("new", 0.9, (1,), 10)
    assert cheapest([old, new], [4], switching=0.10).replicas == {"old": 0, "new": 4}, "3.60 and 0.36 for the change"
    assert cheapest([old, new], [4], switching=0.12).replicas == {"old": 4, "new": 0}, "and 0.43 is more than is won"


def test_of_the_parts_that_nobody_carries_the_requests_are_told():
    assert cheapest([Variant("small", 1, (1,), 1)], [2], slices=4).unmet == {0: 1.0}


def test_of_what_cannot_be_met_requests_count_and_not_kinds():
    """One replica is full with five requests a second of one kind, or with two of each of two: four are left, and not five."""
    assert cheapest([Variant("one", 1, (5, 4, 4), 1)], [5, 2, 2]).unmet == {1: 2, 2: 2}
