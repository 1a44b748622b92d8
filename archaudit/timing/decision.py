"""The decision rule for latency: FAILED only where the whole interval is beyond the budget in two measurements, PASSED only where the whole
interval is within it, else INCONCLUSIVE with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from archaudit.timing.evidence import Evidence
from archaudit.timing.schedule import MIN_ROUNDS

# A smaller change is a few kernel launches or one cache line, even if it is a large share of the time.
MIN_CHANGE_S = 20e-6


class Budget(NamedTuple):
    """The limit: the time after divided by the time before is at most `max_ratio`. A change below `min_change_s` seconds never fails."""

    max_ratio: float = 1.05
    min_change_s: float = MIN_CHANGE_S


class Decision(NamedTuple):
    """The outcome with its reason. `needs_second`: a second measurement must agree before the outcome may be failed."""

    outcome: Literal["passed", "failed", "inconclusive"]
    reason: str
    needs_second: bool = False


def decide(measurements: Sequence[Evidence], budget: Budget, problems: Sequence[str] = ()) -> Decision:
    """The decision on one or two measurements; `problems` are reasons not to trust the run as a whole (throttling, another device)."""
    if problems:
        return Decision("inconclusive", "; ".join(problems))
    first = measurements[0]
    if any(each.rounds < MIN_ROUNDS for each in measurements):
        return Decision("inconclusive", f"too few samples: {first.rounds} rounds, {MIN_ROUNDS} are needed")
    description = _describe(first, budget)
    if _is_beyond(first, budget):
        return _decide_on_both(measurements, budget, description)
    if first.ratio.high <= budget.max_ratio and _is_sensitive(first, budget):
        return Decision("passed", description)
    return Decision("inconclusive", f"{_explain_inconclusive(first, budget)}: {description}")


def _decide_on_both(measurements: Sequence[Evidence], budget: Budget, description: str) -> Decision:
    if len(measurements) < 2:
        return Decision("inconclusive", f"a second measurement is needed: {description}", needs_second=True)
    second = _format_ratio(measurements[1])
    if all(_is_beyond(each, budget) for each in measurements):
        return Decision("failed", f"{description}; a second measurement agrees ({second})")
    return Decision("inconclusive", f"noise: a second measurement does not agree ({second}): {description}")


def _is_beyond(evidence: Evidence, budget: Budget) -> bool:
    """Whether the whole interval is beyond the budget and beyond what is detectable, and the change above the absolute minimum."""
    detectable = (1 if budget.max_ratio >= 1 else budget.max_ratio) * (1 + evidence.min_detectable)
    return evidence.ratio.low > max(budget.max_ratio, detectable) and _find_excess_s(evidence, budget) > budget.min_change_s


def _find_excess_s(evidence: Evidence, budget: Budget) -> float:
    """How many seconds longer a pass takes than before; or than allowed, where the budget demands that it is faster than before."""
    before_s = evidence.change_s / (evidence.ratio.middle - 1) if evidence.ratio.middle != 1 else 0.0
    return evidence.change_s if budget.max_ratio >= 1 else before_s * (evidence.ratio.middle - budget.max_ratio)


def _is_sensitive(evidence: Evidence, budget: Budget) -> bool:
    """Whether a pass means anything: the budget is detectable, or the ratio is within the budget by more than what is detectable."""
    detectable = evidence.min_detectable
    return detectable <= budget.max_ratio - 1 or evidence.ratio.high * (1 + detectable) <= budget.max_ratio


def _explain_inconclusive(evidence: Evidence, budget: Budget) -> str:
    if evidence.ratio.low > budget.max_ratio and _find_excess_s(evidence, budget) <= budget.min_change_s:
        return f"the change of {evidence.change_s * 1e6:.0f} µs is below the minimum of {budget.min_change_s * 1e6:.0f} µs"
    return " and ".join(evidence.anomalies) or "noise"


def _describe(evidence: Evidence, budget: Budget) -> str:
    detectable = format_share(evidence.min_detectable)
    return f"{_format_ratio(evidence)}, limit {budget.max_ratio:.4g}x; the smallest detectable regression is {detectable}"


def format_share(share: float) -> str:
    """`4.2 %`, `43 %`, `120 %`: two significant digits, since a detectable regression is not known more exactly."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:,.0f} %"


def _format_ratio(evidence: Evidence) -> str:
    """`1.102x the time before, 99 % interval 1.094x to 1.110x`."""
    ratio = evidence.ratio
    return f"{_format_digits(ratio.middle)}x the time before, 99 % interval {_format_digits(ratio.low)}x to {_format_digits(ratio.high)}x"


def _format_digits(ratio: float) -> str:
    """Four significant digits."""
    return f"{ratio:.3f}" if 1 <= ratio < 10 else f"{ratio:.4g}"
