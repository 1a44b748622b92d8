"""What all verdicts mean together, and whether they limit what the config declares as gated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archaudit.metrics.quantities import format_exact
from archaudit.schema import Check, Outcome, Overridden, Verdict, name_run

# Comparisons that bound a metric from above.
_UPPER_LIMITS = ("max", "max_increase")
# A limit that a model can exceed a hundredfold before the check fails limits nothing. Small models have room: any limit up to ten million
# is accepted.
_VACUOUS_FACTOR, _SMALLEST = 100, 100_000


def conclude(verdicts: Iterable[Verdict]) -> Outcome:
    """The outcome of all: failed if any failed, else inconclusive if any is or if there is none, else passed.

    Only level `error` decides. If everything is of another level, nothing can fail, and it is inconclusive if no check could be judged.
    """
    judged = list(verdicts)
    outcomes = {verdict.outcome for verdict in judged if verdict.level == "error"}
    if not outcomes:
        return "passed" if any(verdict.outcome != "inconclusive" for verdict in judged) else "inconclusive"
    if "failed" in outcomes:
        return "failed"
    return "passed" if outcomes == {"passed"} else "inconclusive"


def judge_gated(
    gated: Sequence[str], models: Mapping[str, Sequence[str]], checks: Sequence[Check], verdicts: Sequence[Verdict]
) -> tuple[Verdict, ...]:
    """An inconclusive verdict for each model and gated metric without an upper limit of level `error` on the whole model.

    Each input scenario of a model needs such a limit; `models` has the scenarios by model. `verdicts` are those on `checks`, in order.
    """
    judged = list(zip(checks, verdicts, strict=True))
    missing = []
    for model, scenarios in models.items():
        for metric in gated:
            about = [(check, verdict) for check, verdict in judged if (check.model, check.metric) == (model, metric)]
            if problem := _find_gap(metric, model, scenarios, about):
                missing.append(_make_verdict(f"gated-{metric}-{model}", model, metric, "gated", problem))
    return tuple(missing)


def _find_gap(metric: str, model: str, scenarios: Sequence[str], about: Sequence[tuple[Check, Verdict]]) -> str:
    """What the checks on a gated metric of a model leave open; empty if they cover it."""
    head = f"{metric} is declared as gated, and"
    errors = [(check, verdict) for check, verdict in about if check.level == "error"]
    if not errors:
        return f"{head} no check of level error is about {metric} of {model}"
    upper = [(check, verdict) for check, verdict in errors if check.comparison in _UPPER_LIMITS]
    if not upper:
        return f"{head} no check limits {metric} of {model} from above: add max or max_increase"
    whole = [(check, verdict) for check, verdict in upper if check.scope == ("",) and not check.types and not check.section]
    if not whole:
        scopes = " and ".join(sorted({verdict.scope for _, verdict in upper}))
        return f"{head} no check limits {metric} of the whole {model}, only of {scopes}"
    covered = {check.scenario for check, _ in whole}
    open_scenarios = [each for each in scenarios if each not in covered and None not in covered]
    if open_scenarios:
        return f"{head} no check limits {metric} of {' and '.join(name_run(model, each) for each in open_scenarios)}"
    runs: Sequence[str | None] = scenarios or [None]
    for scenario in runs:
        of_run = [verdict for check, verdict in whole if check.scenario in (scenario, None)]
        if all(_is_vacuous(verdict) for verdict in of_run):
            verdict = of_run[0]
            return (
                f"{head} the limit of {name_run(model, scenario)} limits nothing: {verdict.id} allows "
                f"{format_exact(verdict.limit or 0)}, more than {_VACUOUS_FACTOR} times what was measured, {verdict.actual:,}"
            )
    return ""


def _is_vacuous(verdict: Verdict) -> bool:
    """Whether a limit that holds allows a hundred times what was measured."""
    if verdict.outcome != "passed" or verdict.limit is None or verdict.actual is None:
        return False
    return verdict.limit > _VACUOUS_FACTOR * max(verdict.actual, _SMALLEST)


def judge_overridden(overridden: Iterable[Overridden], checks: Sequence[Check]) -> tuple[Verdict, ...]:
    """A warning for each limit that a budget replaces, where no check of level `error` limits the metric of the model in that way any more.

    A limit from above is not replaced by one from below, and one on the whole model not by one on a part.
    """
    limited = {
        (check.model, check.metric, check.comparison in _UPPER_LIMITS, whole)
        for check in checks
        if check.level == "error"
        for whole in {False, check.scope == ("",) and not check.types}
    }
    judged = {check.model for check in checks}
    return tuple(
        _make_verdict(
            f"overridden-{each.metric}-{each.model}",
            each.model,
            each.metric,
            "overridden",
            f"{each.by} replaces {each.key}, and no other check of level error limits {each.metric} "
            f"of {'the whole ' * each.whole}{each.model} from {'above' if each.comparison in _UPPER_LIMITS else 'below'}",
            level="warn",
        )
        for each in dict.fromkeys(overridden)
        if each.model in judged and (each.model, each.metric, each.comparison in _UPPER_LIMITS, each.whole) not in limited
    )


def _make_verdict(identifier: str, model: str, metric: str, comparison: str, reason: str, level: str = "error") -> Verdict:
    return Verdict(
        id=identifier,
        origin="budget",
        model=model,
        metric=metric,
        scope="",
        comparison=comparison,
        expected="",
        outcome="inconclusive",
        reason=reason,
        level="warn" if level == "warn" else "error",
    )
