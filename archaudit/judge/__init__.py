"""Checks and what was measured, to verdicts: passed, failed, or inconclusive.

A budget, a comparison with a baseline and a claim in a document are one kind of check. A ValueError on the way, with its reason, makes a
check inconclusive: nothing passes that was not measured. COMPARISONS judge numbers, READERS what need not be one. A false claim is tried
under the CONVENTIONS, and explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from archaudit.errors import ArchauditError
from archaudit.judge.claims import conclude_claim, explain
from archaudit.judge.comparisons import COMPARISONS, Case, Finding, format_amount
from archaudit.judge.conventions import CONVENTIONS, Side, find_reading
from archaudit.judge.readers import READERS, Subject
from archaudit.metrics import Metric, find_metric, is_fact, measure_scope, nearest_paths, select_modules
from archaudit.quantities import parse
from archaudit.schema import Check, Contributor, Outcome, Profile, Record, Verdict

__all__ = ["COMPARISONS", "CONVENTIONS", "READERS", "Case", "Finding", "conclude", "judge"]

# As many as fit in a sentence; the verdict holds a few more for tables.
_NAMED, _LISTED = 3, 5


class _Sides(Record, frozen=True, kw_only=True):
    """What checks are judged by, each keyed by a model's name: its profile, its baseline, and what its growth is counted from."""

    profiles: Mapping[str, Profile]
    baselines: Mapping[str, Profile | ArchauditError]
    reference: Mapping[str, Profile]


def judge(
    checks: Iterable[Check],
    profiles: Mapping[str, Profile],
    baselines: Mapping[str, Profile | ArchauditError],
    reference: Mapping[str, Profile] | None = None,
) -> tuple[Verdict, ...]:
    """One verdict for each check, in order.

    A baseline that could not be read is given as its error. `reference` maps a model to the profile that its growth is counted from
    where a check names nothing else (in a comparison: after to the before side's profile).
    """
    sides = _Sides(profiles=profiles, baselines=baselines, reference=reference or {})
    asked = tuple(checks)
    return explain(asked, [_judge_check(check, sides) for check in asked], profiles)


def conclude(verdicts: Iterable[Verdict]) -> Outcome:
    """The outcome of all: failed if any failed, else inconclusive if any is or if nothing was judged, else passed."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if "failed" in outcomes:
        return "failed"
    return "passed" if outcomes == {"passed"} else "inconclusive"


def _judge_check(check: Check, sides: _Sides) -> Verdict:
    verdict = _start_verdict(check)
    if check.exempt is not None:
        return msgspec.structs.replace(verdict, outcome="passed", finding="exempt", reason=f"exempt: {check.exempt}")
    reading = None
    blamed: tuple[tuple[Contributor, ...], str] = ((), "")
    try:
        if _is_read_as_text(check):
            finding = _read_fact(check, sides)
        else:
            case, compared = _gather(check, sides)
            finding = COMPARISONS[check.comparison](case)
            blamed = ((), "") if finding.holds else _blame(case, sides, finding.growth)
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
    return conclude_claim(check, verdict, reading) if check.origin == "claim" else verdict


def _start_verdict(check: Check) -> Verdict:
    return Verdict(
        id=check.id,
        origin=check.origin,
        model=check.model,
        metric=check.metric,
        scope=" + ".join(check.scope),
        comparison=check.comparison,
        expected=check.expected,
        outcome="inconclusive",
        reason="",
        finding="unbound" if check.origin == "claim" else None,
        source=check.source,
        group=check.group,
        why=check.why,
        document=check.document,
    )


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


def _read_fact(check: Check, sides: _Sides) -> Finding:
    if check.comparison != "equals":
        raise ValueError(f"{check.metric} is no number: it can only be compared with equals, not {check.comparison}")
    kind, _, argument = check.metric.partition(":")
    other = _find_other(check, sides) if check.against is not None else None
    subject = Subject(
        profile=_find_profile(check.model, sides),
        scope=check.scope,
        other=other,
        other_scope=check.scope if check.against_scope is None else check.against_scope,
    )
    return READERS[kind](subject, argument, check.expected)


def _gather(check: Check, sides: _Sides) -> tuple[Case, tuple[Side, Side | None]]:
    """The case, and the two sides that its numbers are from."""
    metric = find_metric(check.metric)
    if metric is None or check.comparison not in COMPARISONS:
        raise ValueError(f"there is no metric {check.metric!r}" if metric is None else f"there is no comparison {check.comparison!r}")
    figure = parse(check.expected, check.tolerance)
    profile = _find_profile(check.model, sides)
    actual = _measure(profile, metric, check.scope, profile.name)
    side = Side(actual, profile, check.scope)
    if check.against is None:
        return Case(check=check, metric=metric, figure=figure, actual=actual), (side, None)
    other = _find_other(check, sides)
    other_name = "the baseline" if check.against == "baseline" else other.name
    if check.against == "baseline" and metric.depends_on_inputs and _describe_inputs(other) != _describe_inputs(profile):
        raise ValueError(f"the baseline was measured with input {_describe_inputs(other)}, this is {_describe_inputs(profile)}")
    against_scope = check.scope if check.against_scope is None else check.against_scope
    measured = _measure(other, metric, against_scope, other_name)
    case = Case(check=check, metric=metric, figure=figure, actual=actual, other=measured, other_name=other_name)
    return case, (side, Side(measured, other, against_scope))


def _find_profile(name: str, sides: _Sides) -> Profile:
    if name not in sides.profiles:
        known = ", ".join(sorted(filter(None, sides.profiles))) or "none"
        raise ValueError(f"no model {name!r} was measured; measured were: {known}")
    return sides.profiles[name]


def _find_other(check: Check, sides: _Sides) -> Profile:
    if check.against is not None and check.against != "baseline":
        return _find_profile(check.against, sides)
    baseline = sides.baselines.get(check.model)
    if isinstance(baseline, ArchauditError):
        raise ValueError(". ".join(part.rstrip(".") for part in (baseline.message, baseline.hint) if part))
    if baseline is None:
        name = check.model or sides.profiles[check.model].name
        raise ValueError(f"{name} has no baseline yet: `archaudit baseline {name}` writes it")
    return baseline


def _measure(profile: Profile, metric: Metric, scope: tuple[str, ...], name: str) -> float:
    for pattern in (
        scope if metric.additive or metric.of_scope else ()
    ):  # each by itself: a pattern that matches nothing may not hide behind one that does
        if not select_modules(profile, (pattern,)):
            near = nearest_paths(profile, pattern)
            raise ValueError(f"no module of {name} matches {pattern!r}" + (f"; the nearest are {', '.join(near)}" if near else ""))
    if metric.of_scope is not None:
        return metric.of_scope(profile, scope)
    measured = measure_scope(profile, metric, scope)
    if measured.value is None:
        raise ValueError(measured.reason if name == profile.name else f"{name}: {measured.reason}")
    return measured.value


def _describe_inputs(profile: Profile) -> str:
    """`1x3x512x512`, or `int64[1x128]`. Without names: an argument may be renamed, which costs nothing."""
    shapes = [("x".join(map(str, record.shape)), record.dtype) for record in profile.inputs]
    return ", ".join(shape if shape and dtype == "float32" else f"{dtype}[{shape}]" for shape, dtype in shapes) or "none"


# --- whom to blame --------------------------------------------------------------------------------------------------


def _blame(case: Case, sides: _Sides, growth: int) -> tuple[tuple[Contributor, ...], str]:
    """The modules that grew (or shrank) most against the other side; where there is none, those that cost most."""
    check, of_cost = case.check, case.metric.of_cost
    if of_cost is None or not growth:
        return (), ""
    side = sides.reference.get(check.model) if check.against is None else _find_other(check, sides)
    other_scope = check.scope if check.against_scope is None else check.against_scope
    now = {module.path: of_cost(module.own) for module in select_modules(sides.profiles[check.model], check.scope)}
    was = {module.path: of_cost(module.own) for module in select_modules(side, other_scope)} if side else {}
    changes = {path: now.get(path, 0) - was.get(path, 0) for path in (*now, *(path for path in was if path not in now))}
    signed, word = side is not None and any(change * growth > 0 for change in changes.values()), "mostly"
    if not signed:
        changes, word = (now if growth > 0 else {}), "largest:"
    ranked = sorted(((path, change) for path, change in changes.items() if change * growth > 0), key=lambda pair: -pair[1] * growth)
    named = [
        f"{path or 'the root module'} ({('+' if change > 0 else '-') if signed else ''}{format_amount(abs(change), case.metric)})"
        for path, change in ranked[:_NAMED]
    ]
    contributors = tuple(Contributor(path=path, delta=change) for path, change in ranked[:_LISTED])
    return contributors, f"; {word} {', '.join(named)}" if named else ""
