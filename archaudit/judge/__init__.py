"""Checks and what was measured, to verdicts: passed, failed, or inconclusive.

A budget, a comparison with a baseline and a claim in a document are one kind of check. A ValueError on the way, with its reason, makes a
check inconclusive: nothing passes that was not measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from archaudit.errors import ArchauditError
from archaudit.judge.comparisons import COMPARISONS, Case, Finding, format_amount
from archaudit.metrics import METRICS, Metric, measure_scope, nearest_paths, select_modules
from archaudit.quantities import parse
from archaudit.schema import Check, Contributor, Outcome, Profile, Record, Verdict

__all__ = ["COMPARISONS", "Case", "Finding", "conclude", "judge"]

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
    return tuple(_judge_check(check, sides) for check in checks)


def conclude(verdicts: Iterable[Verdict]) -> Outcome:
    """The outcome of all: failed if any failed, else inconclusive if any is or if nothing was judged, else passed."""
    outcomes = {verdict.outcome for verdict in verdicts}
    if "failed" in outcomes:
        return "failed"
    return "passed" if outcomes == {"passed"} else "inconclusive"


def _judge_check(check: Check, sides: _Sides) -> Verdict:
    verdict = Verdict(
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
    )
    try:
        case = _gather(check, sides)
        finding = COMPARISONS[check.comparison](case)
    except ValueError as error:
        return msgspec.structs.replace(verdict, reason=str(error))
    contributors, blame = ((), "") if finding.holds else _blame(case, sides, finding.growth)
    verdict = msgspec.structs.replace(
        verdict,
        limit=finding.limit,
        actual=finding.actual,
        deviation=finding.actual - finding.limit,
        outcome="passed" if finding.holds else "failed",
        reason=finding.reason + blame,
        contributors=contributors,
    )
    return _conclude_claim(check, verdict) if check.origin == "claim" else verdict


def _conclude_claim(check: Check, verdict: Verdict) -> Verdict:
    """What the gate makes of a claim: false is as it should be where the claim is marked so, and then true is not."""
    true = verdict.outcome == "passed"
    if check.expect_outcome != "failed":
        reason = f"{'true' if true else 'false'}: {verdict.reason}"
    elif true:
        reason = f"marked as false but is now true: remove `expect`. {verdict.reason[:1].upper()}{verdict.reason[1:]}"
    else:
        reason = f"false, as expected: {verdict.reason}" + (f"; {check.why}" if check.why else "")
    outcome: Outcome = "passed" if true == (check.expect_outcome != "failed") else "failed"
    return msgspec.structs.replace(verdict, outcome=outcome, finding="true" if true else "false", reason=reason)


# --- what a check is about ------------------------------------------------------------------------------------------


def _gather(check: Check, sides: _Sides) -> Case:
    metric = METRICS.get(check.metric)
    if metric is None or check.comparison not in COMPARISONS:
        raise ValueError(f"there is no metric {check.metric!r}" if metric is None else f"there is no comparison {check.comparison!r}")
    figure = parse(check.expected)
    profile = _find_profile(check.model, sides)
    actual = _measure(profile, metric, check.scope, profile.name)
    if check.against is None:
        return Case(check=check, metric=metric, figure=figure, actual=actual)
    other = _find_other(check, sides)
    other_name = "the baseline" if check.against == "baseline" else other.name
    if check.against == "baseline" and metric.depends_on_inputs and _describe_inputs(other) != _describe_inputs(profile):
        raise ValueError(f"the baseline was measured with input {_describe_inputs(other)}, this is {_describe_inputs(profile)}")
    against_scope = check.scope if check.against_scope is None else check.against_scope
    measured = _measure(other, metric, against_scope, other_name)
    return Case(check=check, metric=metric, figure=figure, actual=actual, other=measured, other_name=other_name)


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


def _measure(profile: Profile, metric: Metric, scope: tuple[str, ...], name: str) -> int:
    for pattern in scope if metric.additive else ():  # each by itself: a pattern that matches nothing may not hide behind one that does
        if not select_modules(profile, (pattern,)):
            near = nearest_paths(profile, pattern)
            raise ValueError(f"no module of {name} matches {pattern!r}" + (f"; the nearest are {', '.join(near)}" if near else ""))
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
