"""The rule: FAILED only for what is beyond every doubt and was seen twice, PASSED only where the whole interval is inside, else
INCONCLUSIVE with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from archaudit.timing.evidence import Evidence
from archaudit.timing.schedule import LEAST_ROUNDS

# A change of less than this is a few launches or one cache line, whatever share of the time it is.
MIN_CHANGE_S = 20e-6


class Budget(NamedTuple):
    """What is allowed: after by before at most `max_ratio`. A change smaller than `min_change_s` seconds never fails."""

    max_ratio: float = 1.05
    min_change_s: float = MIN_CHANGE_S


class Decision(NamedTuple):
    """The outcome with its reason. `again` says that a second measurement has to agree before it may be FAILED."""

    outcome: Literal["passed", "failed", "inconclusive"]
    reason: str
    again: bool = False


def decide(measurements: Sequence[Evidence], budget: Budget, doubts: Sequence[str] = ()) -> Decision:
    """What one or two measurements come to; `doubts` are reasons not to trust the run as a whole (throttled, another device)."""
    if doubts:
        return Decision("inconclusive", "; ".join(doubts))
    first = measurements[0]
    if any(each.rounds < LEAST_ROUNDS for each in measurements):
        return Decision("inconclusive", f"too few samples: {first.rounds} rounds, {LEAST_ROUNDS} are needed")
    told = _tell(first, budget)
    if _is_beyond(first, budget):
        return _decide_again(measurements, budget, told)
    if first.ratio.high <= budget.max_ratio and _has_power(first, budget):
        return Decision("passed", told)
    return Decision("inconclusive", f"{_explain_doubt(first, budget)}: {told}")


def _decide_again(measurements: Sequence[Evidence], budget: Budget, told: str) -> Decision:
    if len(measurements) < 2:
        return Decision("inconclusive", f"a second measurement is due: {told}", again=True)
    if all(_is_beyond(each, budget) for each in measurements):
        return Decision("failed", f"{told}; a second measurement agrees ({_spell(measurements[1])})")
    return Decision("inconclusive", f"noise: a second measurement does not agree ({_spell(measurements[1])}): {told}")


def _is_beyond(evidence: Evidence, budget: Budget) -> bool:
    """Whether the interval as a whole is beyond the budget and the floor, by more than the absolute floor."""
    floor = 1 + evidence.floor if budget.max_ratio >= 1 else budget.max_ratio * (1 + evidence.floor)
    return evidence.ratio.low > max(budget.max_ratio, floor) and _find_excess_s(evidence, budget) > budget.min_change_s


def _find_excess_s(evidence: Evidence, budget: Budget) -> float:
    """How much longer a pass takes than before, or, where it has to be faster than before, than it may."""
    before_s = evidence.change_s / (evidence.ratio.middle - 1) if evidence.ratio.middle != 1 else 0.0
    return evidence.change_s if budget.max_ratio >= 1 else before_s * (evidence.ratio.middle - budget.max_ratio)


def _has_power(evidence: Evidence, budget: Budget) -> bool:
    """Whether a pass says anything: the machine sees regressions as small as the budget, or a whole floor of room is left."""
    return evidence.floor <= budget.max_ratio - 1 or evidence.ratio.high * (1 + evidence.floor) <= budget.max_ratio


def _explain_doubt(evidence: Evidence, budget: Budget) -> str:
    if evidence.ratio.low > budget.max_ratio and _find_excess_s(evidence, budget) <= budget.min_change_s:
        return f"the change of {evidence.change_s * 1e6:.0f} µs is below the floor of {budget.min_change_s * 1e6:.0f} µs"
    return " and ".join(evidence.oddities) or "noise"


def _tell(evidence: Evidence, budget: Budget) -> str:
    return f"{_spell(evidence)}, limit {budget.max_ratio:.4g}x; the smallest regression visible is {spell_share(evidence.floor)}"


def spell_share(share: float) -> str:
    """`4.2 %`, `43 %`, `120 %`: a floor is not known better than that."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:,.0f} %"


def _spell(evidence: Evidence) -> str:
    """`1.102x, 99 % interval 1.094x to 1.110x`."""
    ratio = evidence.ratio
    return f"{_digits(ratio.middle)}x the time before, 99 % interval {_digits(ratio.low)}x to {_digits(ratio.high)}x"


def _digits(ratio: float) -> str:
    """Four significant digits."""
    return f"{ratio:.3f}" if 1 <= ratio < 10 else f"{ratio:.4g}"
