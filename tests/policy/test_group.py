"""Roles that belong together: vectors of Kthena's, those where Kthena leaves the band, and the laws of a plan."""

import random
from dataclasses import replace
from itertools import product

import pytest

from scaler.policy.group import Band, Budget, Role, plan


def roles(*wants, maxima=(8, 16), minima=(0, 0), current=(0, 0), ready=(0, 0)):
    names = ("prefill", "decode", "encode", "route")
    rows = zip(names, wants, minima, maxima, current, ready, strict=False)
    return [Role(name, want, least, most, now, up) for name, want, least, most, now, up in rows]


def pd(least, most):
    return [Band("prefill", "decode", least, most)]


def numbers(found):
    return None if found is None else tuple(found.replicas.values())


@pytest.mark.parametrize(
    ("wants", "answer"), [((2, 4), (2, 4)), ((1, 8), (2, 8)), ((0, 4), (1, 4)), ((0, 0), (0, 0)), ((4, 0), (4, 4))]
)
def test_kthenas_vectors(wants, answer):
    assert numbers(plan(roles(*wants), pd(0.25, 1))) == answer


@pytest.mark.parametrize(("band", "wants", "answer"), [((0.35, 0.4), (1, 1), (2, 5)), ((0.3, 0.4), (1, 4), (2, 5))])
def test_where_theirs_leaves_the_band(band, wants, answer):
    assert numbers(plan(roles(*wants, minima=(1, 1)), pd(*band))) == answer


def test_more_than_fits_is_cut_in_ratio():
    found = plan(roles(20, 3), pd(0.5, 1))
    assert numbers(found) == (8, 8)
    assert found.reasons == (
        "prefill: 8 and not 20, since more cannot be kept in ratio",
        "decode: 8 and not 3, for the ratio",
    )


def test_bounds_without_any_pair_in_the_band_have_no_plan():
    assert plan(roles(1, 1, maxima=(2, 3), minima=(1, 1)), pd(0.35, 0.4)) is None


def test_a_role_whose_data_failed_holds_its_part_and_the_group_says_so():
    found = plan(roles(1, None, current=(2, 6), ready=(2, 6)), pd(0.25, 1))
    assert numbers(found) == (2, 6)
    assert found.held == ("decode",)
    assert found.reasons[0] == "decode: its data failed, so it holds 6"


def test_one_whose_data_failed_keeps_the_others_from_zero():
    assert numbers(plan(roles(0, None, current=(1, 1), ready=(1, 1)), pd(0.25, 1))) == (1, 1)


BAND3 = [Band("prefill", "decode", 0.25, 0.5), Band("encode", "prefill", 0.5, 1.0)]


def test_three_roles():
    wants = roles(1, 8, 0, maxima=(8, 16, 8), minima=(0, 0, 0), current=(0,) * 3, ready=(0,) * 3)
    assert numbers(plan(wants, BAND3)) == (2, 8, 1)


def feasible(found, bands):
    return all(band.holds(found) for band in bands)


@pytest.mark.parametrize("seed", range(300))
def test_it_is_the_least_of_all_plans_that_meet_what_is_wanted(seed):
    """Beside every pair that there is."""
    chance = random.Random(seed)
    least = chance.choice([0, 0.1, 0.25, 0.35, 0.5, 1])
    bands = pd(least, least + chance.choice([0.05, 0.1, 0.25, 1]))
    maxima, minima = (chance.randint(1, 9), chance.randint(1, 16)), (chance.randint(0, 1), chance.randint(0, 1))
    wants = (chance.randint(0, 10), chance.randint(0, 18))
    found = numbers(plan(roles(*wants, maxima=maxima, minima=minima), bands))
    if wants == (0, 0) and minima == (0, 0):
        assert found == (0, 0)
        return
    pairs = [
        pair
        for pair in product(range(1, maxima[0] + 1), range(1, maxima[1] + 1))
        if feasible(dict(zip(("prefill", "decode"), pair, strict=True)), bands)
    ]
    if not pairs:
        assert found is None
        return
    assert found in pairs
    enough = [pair for pair in pairs if pair[0] >= wants[0] and pair[1] >= wants[1]]
    if enough:
        assert found == min(enough, key=sum)
        assert all(found[0] <= pair[0] and found[1] <= pair[1] for pair in enough)


ORDER = ("decode", "prefill")


def test_a_dependent_role_waits_until_the_other_is_ready():
    found = plan(roles(4, 8, current=(0, 0), ready=(0, 0)), pd(0.25, 0.5), ORDER)
    assert numbers(found) == (0, 8)
    assert found.reasons == ("prefill: 0 of 4 until decode is ready",)
    assert numbers(plan(roles(4, 8, current=(0, 8), ready=(0, 4)), pd(0.25, 0.5), ORDER)) == (2, 8)
    assert numbers(plan(roles(4, 8, current=(2, 8), ready=(2, 8)), pd(0.25, 0.5), ORDER)) == (4, 8)


def test_on_the_way_down_the_dependent_role_goes_first():
    found = plan(roles(1, 2, current=(4, 8), ready=(4, 8)), pd(0.25, 0.5), ORDER)
    assert numbers(found) == (1, 8)
    assert numbers(plan(roles(1, 2, current=(1, 8), ready=(1, 8)), pd(0.25, 0.5), ORDER)) == (1, 2)


def test_the_order_counts_for_the_other_role_too():
    order = ("prefill", "decode")
    grown = plan(roles(4, 8, current=(0, 0), ready=(1, 0)), pd(0.25, 0.5), order)
    assert numbers(grown) == (4, 4), "decode: four for the one prefill that is ready"
    shrunk = plan(roles(1, 2, current=(4, 8), ready=(4, 8)), pd(0.25, 0.5), order)
    assert numbers(shrunk) == (2, 2)
    assert shrunk.reasons == ("prefill: 2, not yet 1, until decode has gone",)


def test_a_role_that_waits_for_nobody_is_not_told_of():
    order = ("prefill", "decode")
    assert plan(roles(1, 2, current=(4, 4), ready=(4, 4)), pd(0.25, 0.5), order).reasons == ()
    assert plan(roles(2, 4, current=(1, 2), ready=(1, 2)), pd(0.5, 0.5), ()).reasons == ()
    assert plan(roles(1, 4, current=(1, 2), ready=(1, 2)), pd(0.25, 0.5), order).reasons == ()


@pytest.mark.parametrize("seed", range(100))
def test_on_the_way_no_prefill_is_without_its_decode_and_no_role_alone(seed):
    """Shifts by a factor of 4 and back, in order, each answer carried out, pods ready a tick later."""
    chance = random.Random(seed)
    bands, current, ready = pd(0.25, 0.5), [2, 4], [2, 4]
    for tick in range(60):
        wants = (chance.choice([1, 4, 8]), chance.choice([2, 8, 16]))
        members = roles(*wants, minima=(1, 1), current=current, ready=ready)
        found = plan(members, bands, ORDER).replicas
        before = list(current)
        current = [found["prefill"], found["decode"]]
        ready = [min(now, was) for now, was in zip(current, before, strict=True)]
        assert current[0] <= 0.5 * current[1] + 1e-9, "no prefill without its decode"
        assert current[0] > 0 < current[1], tick


# ---- a budget of GPUs ------------------------------------------------------------------------------------------------


def within(least, most, prefill=1, decode=1):
    return Budget(least, most, (("prefill", prefill), ("decode", decode)))


@pytest.mark.parametrize(
    ("wants", "gpus", "bounds", "answer"),
    [
        ((8, 8), (1, 1), (0, 8), (4, 4)),
        ((6, 2), (2, 4), (0, 12), (3, 1)),
        ((10, 1), (1, 1), (0, 8), (7, 1)),
        ((3, 9), (1, 2), (0, 10), (1, 4)),
        ((1, 1), (1, 1), (6, 8), (3, 3)),
        ((2, 1), (2, 2), (5, 5), (1, 1)),
        ((1, 1), (4, 4), (0, 6), None),  # theirs goes to 0 and 0; here a group that cannot be lowers nobody
    ],
)
def test_dynamos_vectors_of_the_proportional_clamp(wants, gpus, bounds, answer):
    assert numbers(plan(roles(*wants, maxima=(16, 16), minima=(1, 1)), [], (), within(*bounds, *gpus))) == answer


def test_what_the_budget_cuts_stays_in_ratio_and_says_so():
    found = plan(roles(8, 8, maxima=(16, 16)), pd(0.25, 0.5), (), within(0, 12))
    assert numbers(found) == (4, 8)
    assert found.reasons[0] == "24 GPUs would be needed, and the budget is 12"


@pytest.mark.parametrize("seed", range(50))
def test_no_instant_is_above_the_budget_and_a_shift_does_not_stick(seed):
    """ai-dynamo/dynamo#12428: each answer is carried out at some time later, and in any order."""
    chance = random.Random(seed)
    budget, current, told = within(0, 8), {"prefill": 6, "decode": 2}, {"prefill": 6, "decode": 2}
    for tick in range(200):
        wants = (6, 2) if tick // 50 % 2 else (2, 6)
        pair = (current["prefill"], current["decode"])
        members = [replace(role, told=told[role.name]) for role in roles(*wants, current=pair, ready=pair)]
        told = dict(plan(members, [], (), budget).replicas)
        for name in told:
            if chance.random() < 0.4:
                current[name] = told[name]
                assert budget.of(current) <= 8
        if tick % 50 == 49:
            assert tuple(current.values()) == wants, "it has come to where it was to go"


def test_what_the_budget_leaves_free_is_told_of_nobody():
    found = plan(roles(6, 2, current=(3, 2), ready=(3, 2)), [], (), within(0, 8))
    assert (numbers(found), found.reasons) == ((6, 2), ())
