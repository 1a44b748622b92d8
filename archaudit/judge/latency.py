"""The budget on measured time: two latencies to a verdict. The decision rule is `timing.decide`, which does not depend on the config."""

from __future__ import annotations

import msgspec

from archaudit.schema import Latency, LatencyBudget, Verdict
from archaudit.timing import Budget, compare_latencies, decide, find_problems


def make_budget(budget: LatencyBudget | None) -> Budget:
    """The budget for the decision rule; the default if none is configured."""
    default = Budget()
    if budget is None:
        return default
    return Budget(budget.max_ratio, default.min_change_s if budget.min_change_s is None else budget.min_change_s)


def judge_latency(model: str, before: Latency | None, after: Latency | None, budget: LatencyBudget) -> Verdict:
    """The verdict on the latency of `model`, after divided by before; inconclusive if nothing was measured."""
    verdict = Verdict(
        id=budget.id,
        origin="budget",
        model=model,
        metric="latency",
        scope="",
        comparison="max_ratio",
        expected=budget.expected,
        limit=budget.max_ratio,
        outcome="inconclusive",
        reason="",
    )
    problems = find_problems(before, after)
    evidence = compare_latencies(before, after) if before is not None and after is not None and not problems else ()
    if not evidence:
        return _conclude(verdict, "inconclusive", "; ".join(problems) or "too few samples", None)
    decision = decide(evidence, make_budget(budget))
    return _conclude(verdict, decision.outcome, decision.reason, evidence[0].ratio.middle)


def _conclude(verdict: Verdict, outcome: str, reason: str, ratio: float | None) -> Verdict:
    deviation = ratio - verdict.limit if ratio is not None and verdict.limit is not None else None
    return msgspec.structs.replace(verdict, outcome=outcome, reason=reason, actual=ratio, deviation=deviation)
