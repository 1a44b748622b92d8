"""Checks and what was measured, to verdicts: passed, failed, or inconclusive.

Budgets, comparisons with a baseline and claims of documents are judged alike. COMPARISONS compare numbers, FACT_COMPARISONS what need not
be a number. CannotJudge, raised on the way, makes a check inconclusive, so nothing passes that was not measured; any other exception is a
defect and propagates. A false claim is tried under the CONVENTIONS, and explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from archaudit.errors import ArchauditError, CannotJudge
from archaudit.judge.claims import add_hints, conclude_claim
from archaudit.judge.comparisons import COMPARISONS, Case, Finding, find_contributors
from archaudit.judge.conventions import CONVENTIONS, Measurement, find_reading
from archaudit.judge.evidence import (
    Evidence,
    describe_assumptions,
    describe_inputs,
    is_of_other_model,
    measure,
    require_figure,
    resolve_scope,
)
from archaudit.judge.facts import FACT_COMPARISONS, Subject
from archaudit.judge.gate import conclude, judge_gated, judge_overridden
from archaudit.judge.unchanged import compare_structure
from archaudit.metrics.catalog import Metric, find_metric, is_fact
from archaudit.schema import Check, Profile, Verdict

__all__ = [
    "COMPARISONS",
    "CONVENTIONS",
    "FACT_COMPARISONS",
    "Case",
    "Finding",
    "conclude",
    "is_of_other_model",
    "judge",
    "judge_gated",
    "judge_overridden",
]


def judge(
    checks: Iterable[Check],
    profiles: Mapping[str, Profile],
    baselines: Mapping[str, Profile | ArchauditError],
    earlier: Mapping[str, Profile] | None = None,
    today: str | None = None,
    unmeasured: Mapping[str, ArchauditError] | None = None,
    *,
    strict: bool = False,
) -> tuple[Verdict, ...]:
    """One verdict for each check, in order.

    `baselines` has the error in place of a baseline that cannot be read; `unmeasured` the errors of models without a profile. `earlier`
    maps a model to the profile that its growth is counted from if a check names no other side (`compare` maps after to before's profile).
    `today` is the date (ISO) for limits with a last day; without it they are inconclusive. With `strict`, so are checks on figures that
    depend on an assumption of the measurement, such as random weights.
    """
    evidence = Evidence(
        profiles=profiles, baselines=baselines, earlier=earlier or {}, unmeasured=unmeasured or {}, today=today, strict=strict
    )
    judged = tuple(checks)
    return add_hints(judged, [_judge_check(check, evidence) for check in judged], profiles)


def _judge_check(check: Check, evidence: Evidence) -> Verdict:
    verdict = _start_verdict(check)
    if check.exempt is not None:
        return msgspec.structs.replace(verdict, outcome="passed", finding="exempt", reason=f"exempt: {check.exempt}")
    reading = None
    try:
        if check.comparison == "unchanged":
            finding = compare_structure(check, evidence)
        elif _is_text(check):
            finding = _compare_fact(check, evidence)
        else:
            case, model, other = _gather(check, evidence)
            assumptions = _list_assumptions(case.metric, [each for each in (model, other) if each is not None], strict=evidence.strict)
            verdict = msgspec.structs.replace(verdict, assumptions=assumptions)
            finding = COMPARISONS[check.comparison](case)
            if not finding.holds:
                finding = find_contributors(finding, case, evidence)
                reading = find_reading(case, model, other) if check.origin == "claim" else None
            if assumptions and check.origin != "claim":
                finding = msgspec.structs.replace(finding, reason=f"{finding.reason}; this assumes: {'; '.join(assumptions)}")
    except CannotJudge as error:
        return msgspec.structs.replace(verdict, reason=str(error))
    verdict = msgspec.structs.replace(
        verdict,
        limit=finding.limit,
        actual=finding.actual,
        measured=finding.measured,
        deviation=finding.actual - finding.limit if finding.actual is not None and finding.limit is not None else None,
        outcome="passed" if finding.holds else "failed",
        reason=finding.reason,
        contributors=finding.contributors,
    )
    return conclude_claim(check, verdict, reading) if check.origin == "claim" else _apply_last_day(check, verdict, evidence.today)


def _apply_last_day(check: Check, verdict: Verdict, today: str | None) -> Verdict:
    """The verdict; after the limit's last day it fails. The reason does not contain today's date, so that outputs are stable."""
    if check.until is None:
        return verdict
    if today is None:
        reason = f"the limit ends on {check.until}, and today's date is not known"
        return msgspec.structs.replace(verdict, outcome="inconclusive", reason=reason)
    if today <= check.until:
        return verdict
    limit = f"{check.comparison.replace('_', ' ')} {check.expected}".strip()
    why = f" ({check.why})" if check.why else ""
    reason = f"{limit} was allowed until {check.until} only{why}: remove it or renew it; {verdict.reason}"
    return msgspec.structs.replace(verdict, outcome="failed", reason=reason)


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
        key=check.key,
    )


def _describe_scope(check: Check) -> str:
    """`decoder + head [Conv2d]`."""
    types = f"[{', '.join(check.types)}]" if check.types else ""
    return " ".join(part for part in (" + ".join(check.scope), types) if part)


# --- the two sides of a check ----------------------------------------------------------------------------------------


def _is_text(check: Check) -> bool:
    """Whether a check compares texts or shapes; a setting is compared as a number if the check expects one."""
    if not is_fact(check.metric) or find_metric(check.metric) is None:
        return is_fact(check.metric)
    return check.figure is None and check.comparison == "equals"


def _compare_fact(check: Check, evidence: Evidence) -> Finding:
    if check.comparison != "equals":
        raise CannotJudge(f"{check.metric} is not a number: its comparison must be equals, not {check.comparison}")
    kind, _, argument = check.metric.partition(":")
    other = evidence.find_other(check) if check.against is not None else None
    subject = Subject(
        profile=evidence.find_profile(check.model, check.scenario),
        scope=check.scope,
        other=other,
        other_scope=check.scope if check.against_scope is None else check.against_scope,
    )
    return FACT_COMPARISONS[kind](subject, argument, check.expected)


def _list_assumptions(metric: Metric, measurements: Sequence[Measurement], *, strict: bool) -> tuple[str, ...]:
    """The assumptions that decide the figures. Raises CannotJudge for any with `strict`."""
    found = [each for one in measurements for each in describe_assumptions(one.profile, metric, one.scope)]
    assumptions = tuple(dict.fromkeys(found))
    if assumptions and strict:
        raise CannotJudge(f"{metric.name} depends on an assumption, and the config is strict: {'; '.join(assumptions)}")
    return assumptions


def _gather(check: Check, evidence: Evidence) -> tuple[Case, Measurement, Measurement | None]:
    """The case, and the measurements that its numbers are from: the model's, and the other side's."""
    metric = find_metric(check.metric)
    if metric is None or check.comparison not in COMPARISONS:
        raise CannotJudge(f"there is no metric {check.metric!r}" if metric is None else f"there is no comparison {check.comparison!r}")
    figure = require_figure(check)
    profile = evidence.find_profile(check.model, check.scenario)
    scope = resolve_scope(check, profile)
    actual = measure(profile, metric, scope, profile.name)
    model = Measurement(actual, profile, scope)
    if check.against is None:
        return Case(check=check, metric=metric, figure=figure, actual=actual), model, None
    other = evidence.find_other(check)
    other_name = "the baseline" if check.against == "baseline" else other.name
    known = other.device is not None and profile.device is not None
    if check.against == "baseline" and metric.depends_on_device and known and other.device != profile.device:
        raise CannotJudge(
            f"the memory of the baseline is that of {other.device}, this is that of {profile.device}: use --device {other.device}"
        )
    if check.against == "baseline" and metric.depends_on_inputs and describe_inputs(other) != describe_inputs(profile):
        raise CannotJudge(f"the baseline was measured with input {describe_inputs(other)}, this is {describe_inputs(profile)}")
    evidence.refuse_other_model(check, other)
    against_scope = resolve_scope(check, other, check.against_scope, other_name)
    measured = measure(other, metric, against_scope, other_name)
    case = Case(check=check, metric=metric, figure=figure, actual=actual, other=measured, other_name=other_name)
    return case, model, Measurement(measured, other, against_scope)
