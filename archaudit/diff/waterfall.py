"""A waterfall: from the total before to the total after, one step a group."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.metrics import Metric
from archaudit.schema import Diff, Group, Record, Report


class Step(Record, frozen=True, kw_only=True):
    """What one group adds to a metric (negative: takes away), and what the running total is then."""

    name: str
    delta: int
    total: int


def list_steps(compared: Diff | Report, metric: Metric) -> tuple[Step, ...]:
    """The steps of an additive metric in the order of the groups; the last one's `total` is the after side's.

    Groups of no change are left out. Without groups, which partition both models, there is one step.
    """
    assert metric.of_cost is not None, f"{metric.name} does not add up"
    total = metric.of_cost(compared.before.totals)
    groups: Sequence[Group] = compared.groups
    parts = [(group.name, metric.of_cost(group.delta)) for group in groups] if groups else [("total", metric.of_cost(compared.delta))]
    steps = []
    for name, delta in parts:
        if delta:
            total += delta
            steps.append(Step(name=name, delta=delta, total=total))
    assert total == metric.of_cost(compared.after.totals), "the groups' deltas must sum to the total's"
    return tuple(steps)
