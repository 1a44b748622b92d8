"""How often the decision is wrong, on simulated noise with a known truth."""

from collections import Counter

from archaudit.timing import Budget, decide

from .conftest import simulate

COMPARISONS = 1000
BUDGET = Budget(max_ratio=1.05)


def compare(noise, effect, seed):
    """The decision, and the smallest regression that its measurements detect."""
    measurements = [simulate(noise, effect, 2 * seed)]
    decision = decide(measurements, BUDGET)
    if decision.needs_second:
        measurements.append(simulate(noise, effect, 2 * seed + 1))
        decision = decide(measurements, BUDGET)
    return decision, max(each.min_detectable for each in measurements)


def test_of_a_thousand_comparisons_of_a_model_with_itself_at_most_one_fails(noise):
    outcomes = Counter(compare(noise, 1.0, seed)[0].outcome for seed in range(COMPARISONS))
    assert outcomes["failed"] <= COMPARISONS // 1000
    assert outcomes["passed"] > 0, "a rule that never passes is useless"


def test_a_planted_slowdown_never_passes_and_fails_wherever_it_is_detectable(noise):
    outcomes = Counter()
    for seed in range(COMPARISONS):
        decision, detectable = compare(noise, 1.10, COMPARISONS + seed)
        outcomes[decision.outcome] += 1
        assert decision.outcome == "failed" or detectable >= 0.05, (seed, detectable, decision.reason)
    assert outcomes["passed"] == 0
    assert outcomes["failed"] > 0
