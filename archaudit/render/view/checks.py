"""Verdicts as rows: budgets and baselines in one table, claims in another, and the claims about a section of the breakdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from archaudit.metrics.catalog import find_metric
from archaudit.metrics.quantities import format_exact, format_short, format_signed
from archaudit.render.formatting import NOTHING, SYMBOLS, count, join_names, make_visible, name_path, round_quotient
from archaudit.render.view.records import CheckRow, ClaimRow, Conclusion, Remark
from archaudit.schema import Outcome, Verdict, name_run

_BOUNDS = {"max": "≤", "max_increase": "≤", "max_ratio": "≤", "below": "<", "min": "≥", "max_decrease": "≥", "above": ">"}
_MOST_CONTRIBUTORS = 3
_MOST_FALSE = 6
_SUFFIXES = {"bytes": " bytes", "%": " %", "x": "x", "ms": " ms"}


def view_conclusion(checks: Sequence[Verdict], outcome: Outcome) -> Conclusion:
    """The outcome of all checks together; `NO CHECKS` without any."""
    if not checks:
        why = "there are no budgets, baselines or claims to check"
        return Conclusion(outcome=outcome, symbol=NOTHING, verdict="NO CHECKS", why=why)
    outcomes = Counter(check.outcome for check in checks if check.level == "error")
    parts = [f"{outcomes[each]:,} {each}" for each in ("failed", "inconclusive", "passed") if outcomes[each]]
    why = ", ".join([count(len(checks), "check"), *(parts or ["none of level error"])])
    if known := sum(check.finding == "false" and check.outcome == "passed" for check in checks):
        why += f" ({count(known, 'claim')} false, as expected)"
    if assuming := sum(bool(check.assumptions) and check.outcome == "passed" and check.origin != "claim" for check in checks):
        why += f" ({assuming:,} on an assumption)"
    for level, noun in (("warn", "warning"), ("info", "note")):
        missed = sum(check.level == level and check.outcome != "passed" for check in checks)
        passed = sum(check.level == level and check.outcome == "passed" for check in checks)
        open_checks = sum(check.level == level and check.outcome == "inconclusive" for check in checks)
        why += f"; {count(missed, noun)}" if missed else ""
        why += f" ({open_checks:,} inconclusive)" if open_checks else ""
        why += f"; {passed:,} of level {level} passed" if passed else ""
    return Conclusion(outcome=outcome, symbol=SYMBOLS[outcome], verdict=outcome.upper(), why=why)


def count_falsehoods(checks: Sequence[Verdict]) -> str:
    """`4 claims are false`; empty if none is."""
    number = len(_find_false(checks))
    return count(number, "claim is", "claims are") + " false" if number else ""


def _find_false(checks: Sequence[Verdict]) -> list[Verdict]:
    return [check for check in checks if check.origin == "claim" and check.finding == "false"]


def list_falsehoods(checks: Sequence[Verdict]) -> str:
    """`4 claims are false: 884,736 (measured 700,416), …`, so that nobody takes PASSED for true; empty if none is."""
    false = _find_false(checks)
    if not false:
        return ""
    named = [f"{make_visible(check.expected)} (measured {_describe_measured(check)})" for check in false]
    return f"{count_falsehoods(checks)}: {join_names(named, _MOST_FALSE)}."


def view_checks(checks: Iterable[Verdict]) -> tuple[CheckRow, ...]:
    """Budgets and comparisons with baselines, in the order of the config."""
    return tuple(_view_check(check) for check in checks if check.origin != "claim")


def _view_check(check: Verdict) -> CheckRow:
    unit = _find_unit(check)
    return CheckRow(
        outcome=check.outcome,
        symbol=SYMBOLS[check.outcome],
        id=make_visible(check.id) or NOTHING,
        origin=check.origin,
        what=_describe_subject(check),
        expected=_describe_expected(check, unit),
        bound=_describe_bound(check, unit),
        plain=NOTHING if check.actual is None else _format_plain(check.actual, unit),
        actual=_format_value(check.actual, unit),
        deviation=NOTHING if check.deviation is None else format_signed(round_quotient(check.deviation)) + _SUFFIXES.get(unit, ""),
        reason=make_visible(check.reason),
        growth=_describe_growth(check),
        level="" if check.level == "error" else check.level,
        assumptions=make_visible("; ".join(check.assumptions)),
    )


def view_claims(checks: Iterable[Verdict]) -> tuple[ClaimRow, ...]:
    """The claims, in the order of the config."""
    return tuple(_view_claim(check) for check in checks if check.origin == "claim")


def _view_claim(check: Verdict) -> ClaimRow:
    finding = check.finding or "unbound"
    why = check.why if check.outcome != "passed" else None  # a reason as expected ends with it already
    reasons = [make_visible(text) for text in (check.reason, why) if text]
    return ClaimRow(
        figure=make_visible(check.expected) or NOTHING,
        what=_describe_subject(check),
        measured=_describe_measured(check),
        reading=_describe_reading(check),
        finding=finding,
        symbol=SYMBOLS[finding],
        expected=_describe_expectation(check, finding),
        outcome=check.outcome,
        source=make_visible(check.source or "") or NOTHING,
        reason="; ".join(reasons),
    )


def _describe_expectation(check: Verdict, finding: str) -> str:
    """The expectation, if finding and outcome seem to contradict each other."""
    if finding == "false" and check.outcome == "passed":
        return "expected false"
    if finding == "true" and check.outcome == "failed":
        return "expected false"
    return ""


def make_remark(check: Verdict) -> Remark:
    """A claim in a few words, for its section of the breakdown."""
    finding = check.finding or "unbound"
    return Remark(
        figure=make_visible(check.expected) or NOTHING,
        about=_describe_subject(check),
        finding=finding,
        symbol=SYMBOLS[finding],
        measured=_describe_measured(check),
    )


def _describe_measured(check: Verdict) -> str:
    """The measured number, or the text for a claim that is no number."""
    if check.actual is None and check.measured is not None:
        return make_visible(check.measured) or NOTHING
    return _format_value(check.actual, _find_unit(check))


def _describe_reading(check: Verdict) -> str:
    """The numbers that the figure means: `exactly`, `2,515,000 to 2,525,000`, `under 3,000,000`; or the other convention that fits."""
    if check.reading is not None:
        return f"as {make_visible(check.reading)}"
    if check.interval is None:
        return NOTHING
    low, high = (None if end is None else format_exact(round_quotient(end)) for end in check.interval)
    if low is None or high is None:
        return f"under {high}" if low is None else f"over {low}"
    return "exactly" if low == high else f"{low} to {high}"


def _describe_subject(check: Verdict) -> str:
    """`params of decoder.0, before`."""
    scope = f" of {make_visible(check.scope)}" if check.scope else ""
    model = f", {make_visible(name_run(check.model, check.scenario))}" if check.model else ""
    return f"{make_visible(check.metric)}{scope}{model}"


def _describe_expected(check: Verdict, unit: str) -> str:
    """The limit as written, and its number if that is another text."""
    comparison = make_visible(check.comparison).replace("_", " ")
    written = make_visible(check.expected)
    if check.floor not in (None, "0"):
        written += f" or {make_visible(check.floor)}"
    if not written:  # a comparison without a figure
        return comparison
    if check.limit is None or _format_value(check.limit, unit) == written or format_exact(round_quotient(check.limit)) == written:
        return f"{comparison} {written}"
    return f"{comparison} {written} = {_format_value(check.limit, unit)}"


def _describe_bound(check: Verdict, unit: str) -> str:
    """The limit as a bound, `≤ 6,831,509`; as written if it is no bound."""
    sign = _BOUNDS.get(check.comparison)
    return _describe_expected(check, unit) if sign is None or check.limit is None else f"{sign} {_format_plain(check.limit, unit)}"


def _find_unit(check: Verdict) -> str:
    """The unit of the verdict's numbers: percent, a ratio, or the metric's unit."""
    if check.comparison in ("percent", "ratio", "max_ratio"):
        return "%" if check.comparison == "percent" else "x"
    metric = find_metric(check.metric)
    return metric.unit if metric else ""  # a fact or a count of changed modules has no unit


def _format_value(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    exact = _format_plain(value, unit)
    return f"{exact} ({format_short(value, unit)})" if unit == "bytes" and abs(value) >= 1024 else exact


def _format_plain(value: float, unit: str) -> str:
    return format_exact(round_quotient(value)) + _SUFFIXES.get(unit, "")


def _describe_growth(check: Verdict) -> str:
    grown = [f"{name_path(each.path)} {format_signed(each.delta)}" for each in check.contributors]
    if len(grown) > _MOST_CONTRIBUTORS:
        return ", ".join(grown[:_MOST_CONTRIBUTORS]) + f" and {len(grown) - _MOST_CONTRIBUTORS:,} more"
    return ", ".join(grown)
