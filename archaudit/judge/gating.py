"""Metrics that a config declares as gated: one without a check is not green."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archaudit.schema import Check, Verdict


def judge_gated(gated: Sequence[str], models: Iterable[str], checks: Iterable[Check]) -> tuple[Verdict, ...]:
    """An inconclusive verdict for each model and declared metric that no check of level `error` is about."""
    asked = {(check.model, check.metric) for check in checks if check.level == "error"}
    return tuple(
        Verdict(
            id=f"gated-{metric}-{model}",
            origin="budget",
            model=model,
            metric=metric,
            scope="",
            comparison="gated",
            expected="",
            outcome="inconclusive",
            reason=f"{metric} is declared as gated, and no check of level error is about {metric} of {model}",
        )
        for model in models
        for metric in gated
        if (model, metric) not in asked
    )
