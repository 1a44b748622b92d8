"""The evidence of one measurement and the decision on it, on samples written by hand; without a clock and without random noise."""

import pytest

from archaudit.timing import Budget, compare_samples, decide, draw_order, estimate_pass_s, plan_rounds, warm_up
from archaudit.timing.evidence import Interval, estimate_ratio, find_anomalies, find_min_detectable, has_two_modes

FLAT = [[0.010, 0.010]] * 8


def times(factor, rounds=FLAT):
    return [[factor * sample for sample in row] for row in rounds]


# --- order ----------------------------------------------------------------------------------------------------------


def test_a_round_is_a_palindrome_of_all_three_sides():
    for blocks in draw_order(20, seed=1):
        assert blocks == blocks[::-1]
        assert set(blocks) == {"before", "after", "again"}


def test_a_linear_drift_affects_every_side_of_a_round_alike():
    for blocks in draw_order(20, seed=2):
        moments = {side: [place for place, each in enumerate(blocks) if each == side] for side in blocks}
        assert {sum(places) for places in moments.values()} == {5}


def test_another_seed_gives_another_order():
    assert draw_order(20, 1) == draw_order(20, 1) != draw_order(20, 2)


@pytest.mark.parametrize(("before_s", "after_s"), [(1.0, 0.1), (1e-4, 1e-4), (0.01, 2.0), (60.0, 60.0)])
def test_rounds_fill_the_time_but_are_at_least_six(before_s, after_s):
    plan = plan_rounds(before_s, after_s, limit_s=10)
    assert 6 <= plan.rounds <= 20
    assert plan.passes * min(before_s, after_s) >= 0.02 or plan.passes == 25
    assert plan.rounds == 6 or plan.rounds * plan.passes * 2 * (2 * before_s + after_s) <= 10


# --- warm-up --------------------------------------------------------------------------------------------------------


def test_warming_up_an_unstable_model_ends_after_the_time_limit():
    passes = iter(1.0 + 0.2 * number for number in range(100))
    warmed = warm_up(lambda: next(passes), limit_s=12)
    assert not warmed.stable
    assert sum(warmed.samples_s[:-1]) < 12 <= sum(warmed.samples_s)


def test_warming_up_with_unstable_short_passes_ends_after_fifty():
    passes = iter([0.001, 0.002] * 100)
    assert len(warm_up(lambda: next(passes), limit_s=100).samples_s) <= 50


def test_the_first_pass_is_ignored():
    passes = iter([5.0] + [0.02] * 100)
    warmed = warm_up(lambda: next(passes), limit_s=3)
    assert warmed.stable
    assert warmed.pass_s == 0.02
    assert estimate_pass_s((5.0, 0.02)) == 0.02
    assert estimate_pass_s((5.0,)) == 5.0


def test_short_passes_run_for_the_minimum_time():
    warmed = warm_up(lambda: 0.001, limit_s=3, min_s=0.5)
    assert warmed.stable
    assert sum(warmed.samples_s[1:]) == pytest.approx(0.5, abs=0.002)
    assert len(warm_up(lambda: 0.0, limit_s=3, min_s=0.5).samples_s) <= 5000


def test_slow_passes_at_the_end_of_the_minimum_time_prolong_the_warm_up():
    passes = iter([0.001] * 501 + [0.002] * 3 + [0.001] * 100)
    warmed = warm_up(lambda: next(passes), limit_s=3, min_s=0.503)
    assert warmed.stable
    assert len(warmed.samples_s) > 504


# --- intervals -------------------------------------------------------------------------------------------


def test_without_noise_the_interval_is_the_ratio():
    assert estimate_ratio(FLAT, times(1.5), seed=0) == pytest.approx((1.5, 1.5, 1.5))


def test_the_ratio_is_that_of_the_medians():
    before, after = [[1.0, 1.0, 50.0]] * 4, [[2.0, 2.0, 900.0]] * 4
    assert estimate_ratio(before, after, seed=0).middle == 2


def test_the_same_samples_and_seed_give_the_same_interval():
    before = [[0.010 + 0.001 * (row % 3), 0.011] for row in range(8)]
    assert estimate_ratio(before, times(2, before), 3) == estimate_ratio(before, times(2, before), 3)
    assert estimate_ratio(before, times(2, before), 3).width > 0


def test_a_change_common_to_both_sides_of_a_round_is_not_noise():
    drifting = [[0.010 * (1 + row), 0.010 * (1 + row)] for row in range(8)]
    ratio = estimate_ratio(drifting, times(1.1, drifting), seed=0)
    assert ratio == pytest.approx((1.1, 1.1, 1.1))


def test_there_is_no_ratio_without_samples():
    with pytest.raises(ValueError, match="round by round"):
        estimate_ratio([], [], 0)
    with pytest.raises(ValueError, match="round by round"):
        estimate_ratio(FLAT, FLAT[:3], 0)


@pytest.mark.parametrize(
    ("again", "ratio", "detectable"),
    [
        (Interval(1.0, 1.0, 1.0), Interval(2.0, 2.0, 2.0), 0.0),
        (Interval(0.98, 1.0, 1.0192), Interval(1.0, 1.0, 1.0), 1.25 * 0.04),
        (Interval(1.09, 1.095, 1.1), Interval(1.0, 1.0, 1.0), 0.1),
        (Interval(0.8, 0.801, 0.802), Interval(1.0, 1.0, 1.0), 0.25),
        (Interval(1.0, 1.0, 1.0), Interval(1.0, 1.1, 1.2), 0.25),
    ],
)
def test_the_smallest_detectable_regression_follows_from_both_intervals(again, ratio, detectable):
    assert find_min_detectable(again, ratio) == pytest.approx(detectable)


# --- anomalies -------------------------------------------------------------------------------------------------------


def test_two_modes_are_found_and_two_outliers_are_not_a_mode():
    assert has_two_modes([1.0, 1.001, 1.002, 1.003, 1.0, 1.002, 1.2, 1.201, 1.202, 1.2])
    assert not has_two_modes([1.0, 1.001, 1.002, 1.003, 1.0, 1.002, 1.001, 1.0, 1.003, 1.002, 1.001, 1.0, 1.9, 2.0])
    assert not has_two_modes([1.0 + 0.01 * step for step in range(20)])
    assert not has_two_modes([1.0] * 20)


def test_drift_and_too_few_samples_are_found():
    assert find_anomalies([1.0 + 0.01 * step for step in range(30)]) == ["drift"]
    assert find_anomalies([1.0] * 30) == []
    assert find_anomalies([1.0] * 5) == ["too few samples"]


# --- the decision -------------------------------------------------------------------------------------------------------


def evidence(factor, spread=0.0, scale=1.0, rounds=8, again=1.0):
    before = [[scale * 0.010 * (1 - spread), scale * 0.010 * (1 + spread)]] * rounds
    return compare_samples(before, times(factor, before), times(again, before), seed=0)


def test_each_outcome_has_its_reason():
    assert decide([evidence(1.0)], Budget()).outcome == "passed"
    assert decide([evidence(1.2)], Budget()).needs_second
    failed = decide([evidence(1.2), evidence(1.19)], Budget())
    assert failed.outcome == "failed"
    assert "a second measurement agrees (1.190x" in failed.reason
    assert "limit 1.05x" in failed.reason
    assert decide([evidence(1.2), evidence(1.0)], Budget()).reason.startswith("noise: a second measurement does not agree")
    assert decide([evidence(1.2, rounds=3)], Budget()).reason.startswith("too few samples")
    assert decide([evidence(1.0)], Budget(), ["throttled: heat"]) == ("inconclusive", "throttled: heat", False)
    assert decide([evidence(1.1, scale=0.001)], Budget()).reason.startswith("the change of 1 µs is below the minimum of 20 µs")


def test_a_regression_beyond_the_budget_that_is_not_detectable_does_not_fail():
    found = decide([evidence(1.07, again=1.08)], Budget())
    assert (found.outcome, found.needs_second) == ("inconclusive", False)


def test_where_the_budget_is_not_detectable_only_a_ratio_far_below_it_passes():
    assert decide([evidence(1.0, again=1.2)], Budget()).outcome == "inconclusive"
    assert decide([evidence(0.5, again=1.2)], Budget()).outcome == "passed"


def test_two_modes_are_the_reason():
    before = [[1.0, 1.001], [1.2, 1.201]] * 6
    found = decide([compare_samples(before, times(1.06, before[::-1]), before, 0)], Budget())
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("two modes")


@pytest.mark.parametrize(("share", "text"), [(0.0042, "0.42 %"), (0.043, "4.3 %"), (0.43, "43 %"), (0.999, "100 %"), (1.234, "123 %")])
def test_a_share_has_two_significant_digits(share, text):
    from archaudit.timing import format_share

    assert format_share(share) == text
