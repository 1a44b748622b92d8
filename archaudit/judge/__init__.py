"""Checks and what was measured, to verdicts: passed, failed, or inconclusive.

A budget, a comparison with a baseline and a claim in a document are one kind of check. A ValueError on the way, with its reason, makes a
check inconclusive: nothing passes that was not measured. COMPARISONS judge numbers, READERS what need not be one. A false claim is tried
under the CONVENTIONS, and explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from archaudit.errors import ArchauditError
from archaudit.judge.claims import conclude_claim, explain
from archaudit.judge.comparisons import COMPARISONS, Case, Finding, blame
from archaudit.judge.conventions import CONVENTIONS, Side, find_reading
from archaudit.judge.facts import READERS, Subject
from archaudit.judge.measured import Sides, describe_inputs, measure, resolve_scope
from archaudit.judge.unchanged import compare_structure
from archaudit.metrics.catalog import find_metric, is_fact
from archaudit.metrics.quantities import parse
from archaudit.schema import Check, Contributor, Outcome, Profile, Verdict

__all__ = ["COMPARISONS", "CONVENTIONS", "READERS", "Case", "Finding", "conclude", "judge", "judge_gated"]


def judge(
    checks: Iterable[Check],
    profiles: Mapping[str, Profile],
    baselines: Mapping[str, Profile | ArchauditError],
    reference: Mapping[str, Profile] | None = None,
    today: str | None = None,
    unmeasured: Mapping[str, ArchauditError] | None = None,
) -> tuple[Verdict, ...]:
    """One verdict for each check, in order.

    A baseline that could not be read is given as its error; so is, in `unmeasured`, a model that could not be measured. `reference` maps a
    model to the profile that its growth is counted from where a check names nothing else (in a comparison: after to the before side's
    profile). `today` is the date (ISO) for limits that end; without it those are inconclusive.
    """
    sides = Sides(profiles=profiles, baselines=baselines, reference=reference or {}, unmeasured=unmeasured or {}, today=today)
    asked = tuple(checks)
    return explain(asked, [_judge_check(check, sides) for check in asked], profiles)


def conclude(verdicts: Iterable[Verdict]) -> Outcome:
    """The outcome of all: failed if any failed, else inconclusive if any is or if nothing was judged, else passed.

    Only level `error` decides; where everything is of another level, nothing can fail.
    """
    judged = list(verdicts)
    outcomes = {verdict.outcome for verdict in judged if verdict.level == "error"} or {"passed" for _ in judged}
    if "failed" in outcomes:
        return "failed"
    return "passed" if outcomes == {"passed"} else "inconclusive"


def _judge_check(check: Check, sides: Sides) -> Verdict:
    verdict = _start_verdict(check)
    if check.exempt is not None:
        return msgspec.structs.replace(verdict, outcome="passed", finding="exempt", reason=f"exempt: {check.exempt}")
    reading = None
    blamed: tuple[tuple[Contributor, ...], str] = ((), "")
    try:
        if check.comparison == "unchanged":
            finding, blamed = compare_structure(check, sides)
        elif _is_read_as_text(check):
            finding = _read_fact(check, sides)
        else:
            case, compared = _gather(check, sides)
            finding = COMPARISONS[check.comparison](case)
            blamed = ((), "") if finding.holds else blame(case, sides, finding.growth)
            reading = find_reading(case, compared) if check.origin == "claim" and not finding.holds else None
    except ValueError as error:
        return msgspec.structs.replace(verdict, reason=str(error))
    verdict = msgspec.structs.replace(
        verdict,
        limit=finding.limit,
        actual=finding.actual,
        measured=finding.measured,
        deviation=finding.actual - finding.limit if finding.actual is not None and finding.limit is not None else None,
        outcome="passed" if finding.holds else "failed",
        reason=finding.reason + blamed[1],
        contributors=blamed[0],
    )
    return conclude_claim(check, verdict, reading) if check.origin == "claim" else _expire(check, verdict, sides)


def _expire(check: Check, verdict: Verdict, sides: Sides) -> Verdict:
    """The verdict on a limit that ends; past its last day it fails, whatever was measured. Today's date is never told."""
    if check.until is None:
        return verdict
    if sides.today is None:
        return msgspec.structs.replace(verdict, outcome="inconclusive", reason=f"it ends on {check.until}, and today's date is not known")
    if sides.today <= check.until:
        return verdict
    reason = f"{check.comparison.replace('_', ' ')} {check.expected}".strip() + f" was for a time, until {check.until}, which is over"
    reason += f" ({check.why})" if check.why else ""
    return msgspec.structs.replace(verdict, outcome="failed", reason=f"{reason}: take it back, or renew it; {verdict.reason}")


def _start_verdict(check: Check) -> Verdict:
    return Verdict(
        id=check.id,
        origin=check.origin,
        model=check.model,
        metric=check.metric,
        scope=_describe_scope(check),
        comparison=check.comparison,
        expected=check.expected,
        outcome="inconclusive",
        reason="",
        finding="unbound" if check.origin == "claim" else None,
        source=check.source,
        group=check.group,
        why=check.why,
        document=check.document,
        level=check.level,
        scenario=check.scenario,
        until=check.until,
        floor=check.floor,
    )


def _describe_scope(check: Check) -> str:
    """`decoder + head [Conv2d]`."""
    types = f"[{', '.join(check.types)}]" if check.types else ""
    return " ".join(part for part in (" + ".join(check.scope), types) if part)


# --- what a check is about ------------------------------------------------------------------------------------------


def _is_read_as_text(check: Check) -> bool:
    """Whether the check is about a fact; a setting is a number where its figure is one."""
    if not is_fact(check.metric) or find_metric(check.metric) is None:
        return is_fact(check.metric)
    try:
        parse(check.expected)
    except ValueError:
        return check.comparison == "equals"
    return False


def _read_fact(check: Check, sides: Sides) -> Finding:
    if check.comparison != "equals":
        raise ValueError(f"{check.metric} is no number: it can only be compared with equals, not {check.comparison}")
    kind, _, argument = check.metric.partition(":")
    other = sides.find_other(check) if check.against is not None else None
    subject = Subject(
        profile=sides.find_profile(check.model, check.scenario),
        scope=check.scope,
        other=other,
        other_scope=check.scope if check.against_scope is None else check.against_scope,
    )
    return READERS[kind](subject, argument, check.expected)


def _gather(check: Check, sides: Sides) -> tuple[Case, tuple[Side, Side | None]]:
    """The case, and the two sides that its numbers are from."""
    metric = find_metric(check.metric)
    if metric is None or check.comparison not in COMPARISONS:
        raise ValueError(f"there is no metric {check.metric!r}" if metric is None else f"there is no comparison {check.comparison!r}")
    figure = parse(check.expected, check.tolerance)
    profile = sides.find_profile(check.model, check.scenario)
    scope = resolve_scope(check, profile)
    actual = measure(profile, metric, scope, profile.name)
    side = Side(actual, profile, scope)
    if check.against is None:
        return Case(check=check, metric=metric, figure=figure, actual=actual), (side, None)
    other = sides.find_other(check)
    other_name = "the baseline" if check.against == "baseline" else other.name
    if check.against == "baseline" and metric.depends_on_inputs and describe_inputs(other) != describe_inputs(profile):
        raise ValueError(f"the baseline was measured with input {describe_inputs(other)}, this is {describe_inputs(profile)}")
    against_scope = resolve_scope(check, other, check.against_scope, other_name)
    measured = measure(other, metric, against_scope, other_name)
    case = Case(check=check, metric=metric, figure=figure, actual=actual, other=measured, other_name=other_name)
    return case, (side, Side(measured, other, against_scope))


# --- metrics that a config declares as gated: one without a check is not green ---


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
