"""What one measurement says, on samples written by hand; no clock and no chance."""

import pytest

from archaudit.timing import Budget, decide, draw_order, find_pass_s, plan_rounds, warm_up, weigh
from archaudit.timing.evidence import Interval, bound_ratio, find_floor, find_oddities, has_two_modes

FLAT = [[0.010, 0.010]] * 8


def times(factor, rounds=FLAT):
    return [[factor * sample for sample in row] for row in rounds]


# --- order ----------------------------------------------------------------------------------------------------------


def test_a_round_is_a_palindrome_of_all_three_sides():
    for blocks in draw_order(20, seed=1):
        assert blocks == blocks[::-1]
        assert set(blocks) == {"before", "after", "again"}


def test_a_linear_drift_meets_every_side_of_a_round_alike():
    for blocks in draw_order(20, seed=2):
        moments = {side: [place for place, each in enumerate(blocks) if each == side] for side in blocks}
        assert {sum(places) for places in moments.values()} == {5}


def test_another_seed_gives_another_order():
    assert draw_order(20, 1) == draw_order(20, 1) != draw_order(20, 2)


@pytest.mark.parametrize(("before_s", "after_s"), [(1.0, 0.1), (1e-4, 1e-4), (0.01, 2.0), (60.0, 60.0)])
def test_rounds_fill_the_time_but_are_never_too_few(before_s, after_s):
    plan = plan_rounds(before_s, after_s, limit_s=10)
    assert 6 <= plan.rounds <= 20
    assert plan.passes * min(before_s, after_s) >= 0.02 or plan.passes == 25
    assert plan.rounds == 6 or plan.rounds * plan.passes * 2 * (2 * before_s + after_s) <= 10


# --- warm-up --------------------------------------------------------------------------------------------------------


def test_what_never_becomes_stable_ends_when_its_time_is_spent():
    passes = iter(1.0 + 0.2 * number for number in range(100))
    warmed = warm_up(lambda: next(passes), limit_s=12)
    assert not warmed.stable
    assert sum(warmed.samples_s[:-1]) < 12 <= sum(warmed.samples_s)


def test_many_short_passes_do_not_go_on_for_ever():
    passes = iter([0.001, 0.002] * 100)
    assert len(warm_up(lambda: next(passes), limit_s=100).samples_s) <= 50


def test_a_first_pass_that_loads_libraries_counts_for_nothing():
    passes = iter([5.0] + [0.02] * 100)
    warmed = warm_up(lambda: next(passes), limit_s=3)
    assert warmed.stable
    assert warmed.pass_s == 0.02
    assert find_pass_s((5.0, 0.02)) == 0.02
    assert find_pass_s((5.0,)) == 5.0


def test_short_passes_are_made_for_as_long_as_clocks_need():
    warmed = warm_up(lambda: 0.001, limit_s=3, least_s=0.5)
    assert warmed.stable
    assert sum(warmed.samples_s[1:]) == pytest.approx(0.5, abs=0.002)
    assert len(warm_up(lambda: 0.0, limit_s=3, least_s=0.5).samples_s) <= 5000


def test_a_pass_that_is_odd_when_the_least_time_is_over_is_waited_for():
    passes = iter([0.001] * 501 + [0.002] * 3 + [0.001] * 100)
    warmed = warm_up(lambda: next(passes), limit_s=3, least_s=0.503)
    assert warmed.stable
    assert len(warmed.samples_s) > 504


# --- intervals and floors -------------------------------------------------------------------------------------------


def test_without_noise_the_interval_is_the_ratio():
    assert bound_ratio(FLAT, times(1.5), seed=0) == pytest.approx((1.5, 1.5, 1.5))


def test_a_ratio_is_that_of_the_medians():
    before, after = [[1.0, 1.0, 50.0]] * 4, [[2.0, 2.0, 900.0]] * 4
    assert bound_ratio(before, after, seed=0).middle == 2


def test_the_same_samples_and_seed_give_the_same_interval():
    before = [[0.010 + 0.001 * (row % 3), 0.011] for row in range(8)]
    assert bound_ratio(before, times(2, before), 3) == bound_ratio(before, times(2, before), 3)
    assert bound_ratio(before, times(2, before), 3).width > 0


def test_what_rounds_have_in_common_is_no_noise():
    drifting = [[0.010 * (1 + row), 0.010 * (1 + row)] for row in range(8)]
    ratio = bound_ratio(drifting, times(1.1, drifting), seed=0)
    assert ratio == pytest.approx((1.1, 1.1, 1.1))


def test_there_is_no_ratio_without_samples():
    with pytest.raises(ValueError, match="round by round"):
        bound_ratio([], [], 0)
    with pytest.raises(ValueError, match="round by round"):
        bound_ratio(FLAT, FLAT[:3], 0)


@pytest.mark.parametrize(
    ("again", "ratio", "floor"),
    [
        (Interval(1.0, 1.0, 1.0), Interval(2.0, 2.0, 2.0), 0.0),
        (Interval(0.98, 1.0, 1.0192), Interval(1.0, 1.0, 1.0), 1.25 * 0.04),
        (Interval(1.09, 1.095, 1.1), Interval(1.0, 1.0, 1.0), 0.1),
        (Interval(0.8, 0.801, 0.802), Interval(1.0, 1.0, 1.0), 0.25),
        (Interval(1.0, 1.0, 1.0), Interval(1.0, 1.1, 1.2), 0.25),
    ],
)
def test_the_floor_is_what_the_pair_or_the_comparison_cannot_tell(again, ratio, floor):
    assert find_floor(again, ratio) == pytest.approx(floor)


# --- oddities -------------------------------------------------------------------------------------------------------


def test_two_modes_are_seen_and_two_outliers_are_none():
    assert has_two_modes([1.0, 1.001, 1.002, 1.003, 1.0, 1.002, 1.2, 1.201, 1.202, 1.2])
    assert not has_two_modes([1.0, 1.001, 1.002, 1.003, 1.0, 1.002, 1.001, 1.0, 1.003, 1.002, 1.001, 1.0, 1.9, 2.0])
    assert not has_two_modes([1.0 + 0.01 * step for step in range(20)])
    assert not has_two_modes([1.0] * 20)


def test_drift_and_too_few_samples_are_seen():
    assert find_oddities([1.0 + 0.01 * step for step in range(30)]) == ["drift"]
    assert find_oddities([1.0] * 30) == []
    assert find_oddities([1.0] * 5) == ["too few samples"]


# --- the rule -------------------------------------------------------------------------------------------------------


def evidence(factor, spread=0.0, scale=1.0, rounds=8, again=1.0):
    before = [[scale * 0.010 * (1 - spread), scale * 0.010 * (1 + spread)]] * rounds
    return weigh(before, times(factor, before), times(again, before), seed=0)


def test_each_outcome_has_its_reason():
    assert decide([evidence(1.0)], Budget()).outcome == "passed"
    assert decide([evidence(1.2)], Budget()).again
    failed = decide([evidence(1.2), evidence(1.19)], Budget())
    assert failed.outcome == "failed"
    assert "a second measurement agrees (1.190x" in failed.reason
    assert "limit 1.05x" in failed.reason
    assert decide([evidence(1.2), evidence(1.0)], Budget()).reason.startswith("noise: a second measurement does not agree")
    assert decide([evidence(1.2, rounds=3)], Budget()).reason.startswith("too few samples")
    assert decide([evidence(1.0)], Budget(), ["throttled: heat"]) == ("inconclusive", "throttled: heat", False)
    assert decide([evidence(1.1, scale=0.001)], Budget()).reason.startswith("the change of 1 µs is below the floor of 20 µs")


def test_a_regression_beyond_the_budget_but_not_beyond_the_floor_is_not_failed():
    found = decide([evidence(1.07, again=1.08)], Budget())
    assert (found.outcome, found.again) == ("inconclusive", False)


def test_a_machine_that_cannot_see_the_budget_passes_only_what_is_far_inside():
    assert decide([evidence(1.0, again=1.2)], Budget()).outcome == "inconclusive"
    assert decide([evidence(0.5, again=1.2)], Budget()).outcome == "passed"


def test_two_modes_are_the_reason_where_they_are():
    before = [[1.0, 1.001], [1.2, 1.201]] * 6
    found = decide([weigh(before, times(1.06, before[::-1]), before, 0)], Budget())
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("two modes")


@pytest.mark.parametrize(("share", "told"), [(0.0042, "0.42 %"), (0.043, "4.3 %"), (0.43, "43 %"), (0.999, "100 %"), (1.234, "123 %")])
def test_a_floor_is_told_with_the_digits_that_it_has(share, told):
    from archaudit.timing import spell_share

    assert spell_share(share) == told
