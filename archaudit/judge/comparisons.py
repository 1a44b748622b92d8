"""COMPARISONS: each a small function from a measured case to a finding.

Numbers are judged unrounded. A reason never shows two different numbers as the same text.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import msgspec

from archaudit.errors import CannotJudge
from archaudit.judge.evidence import Evidence, resolve_scope
from archaudit.metrics.catalog import Metric
from archaudit.metrics.quantities import format_change, format_exact, format_pair, format_percent, format_short
from archaudit.metrics.selection import select_modules
from archaudit.schema import Check, Contributor, Quantity, Record

_UNIT_SUFFIXES = {"flops": " FLOPs", "macs": " MACs", "x": "x", "ms": " ms"}


class Case(Record, frozen=True, kw_only=True):
    """A check with its numbers: `actual` of the model, and `other` of the other side, which messages call `other_name`."""

    check: Check
    metric: Metric
    figure: Quantity
    actual: float
    other: float | None = None
    other_name: str = ""


class Finding(Record, frozen=True, kw_only=True):
    """The result of a comparison. `growth` is 1 if growth makes it fail, -1 if shrinking does, 0 if neither does.

    `actual` and `limit` are None, and `measured` is the result as text, if it is no number. `actual_text` is what was measured as it is in
    `reason`. `contributors` are the modules that changed the number most, the largest first.
    """

    holds: bool
    actual: float | None = None
    limit: float | None = None
    reason: str
    growth: int = 0
    measured: str | None = None
    actual_text: str = ""
    contributors: tuple[Contributor, ...] = ()


def _max(case: Case) -> Finding:
    return _compare_limit(case, case.actual <= case.figure.value, growth=1)


def _below(case: Case) -> Finding:
    return _compare_limit(case, case.actual < case.figure.value, growth=1)


def _min(case: Case) -> Finding:
    return _compare_limit(case, case.actual >= case.figure.value, growth=-1)


def _above(case: Case) -> Finding:
    return _compare_limit(case, case.actual > case.figure.value, growth=-1)


def _max_increase(case: Case) -> Finding:
    return _compare_change(case, growth=1)


def _max_decrease(case: Case) -> Finding:
    return _compare_change(case, growth=-1)


def _equals(case: Case) -> Finding:
    return _compare_figure(case, case.actual, _format_with_unit(case.actual, case.metric), unit=case.metric.unit)


def _ratio(case: Case) -> Finding:
    other = _require_other(case)
    if case.actual == 0 or other == 0:
        raise CannotJudge(f"there is no ratio: {case.other_name} has {other:,} {case.metric.name}, the model {case.actual:,}")
    ratio = other / case.actual
    return _compare_figure(case, ratio, f"{_round(ratio)}x ({other:,} / {case.actual:,})", unit="x")


def _percent(case: Case) -> Finding:
    """A reduction, "63 % fewer"; if the figure has a sign, "-63 %", the change."""
    other = _require_other(case)
    if other == 0:
        raise CannotJudge(f"there is no percentage: {case.other_name} has 0 {case.metric.name}")
    percent = _apply_sign(case, 100 * (other - case.actual) / other)
    return _compare_figure(case, percent, f"{_round(percent)} % ({other:,} → {case.actual:,})", unit="%")


def _difference(case: Case) -> Finding:
    """A reduction, "3M fewer"; if the figure has a sign, "-3M", the change."""
    other = _require_other(case)
    difference = _apply_sign(case, other - case.actual)
    terms = f"{case.actual:,} − {other:,}" if case.figure.is_signed else f"{other:,} − {case.actual:,}"
    return _compare_figure(case, difference, f"{_format_with_unit(difference, case.metric)} ({terms})", unit=case.metric.unit)


def _apply_sign(case: Case, reduction: float) -> float:
    return -reduction if case.figure.is_signed else reduction


COMPARISONS: dict[str, Callable[[Case], Finding]] = {
    "max": _max,
    "min": _min,
    "below": _below,
    "above": _above,
    "max_increase": _max_increase,
    "max_decrease": _max_decrease,
    "equals": _equals,
    "ratio": _ratio,
    "percent": _percent,
    "difference": _difference,
}

# The relation that a figure such as `<3M` may have in a comparison that is itself a relation.
_RELATIONS = {"max": "<=", "below": "<", "min": ">=", "above": ">"}


def _require_other(case: Case) -> float:
    if case.other is None:
        raise CannotJudge(f"{case.check.comparison} needs a second model: name a model or `baseline` in `against`")
    return case.other


def _require_unit(case: Case, *allowed: str) -> None:
    unit = case.figure.unit
    if unit and unit not in allowed:
        needed = " or ".join(filter(None, allowed)) or "a figure without a unit"
        raise CannotJudge(f"{case.check.expected!r} is in {unit}: {case.check.comparison} of {case.metric.name} needs {needed}")


def _compare_limit(case: Case, holds: bool, growth: int) -> Finding:
    _require_unit(case, case.metric.unit)
    comparison, limit = case.check.comparison, case.figure.value
    if case.figure.relation not in ("", _RELATIONS[comparison]):
        raise CannotJudge(f"{case.check.expected!r} contradicts {comparison}, which is {_RELATIONS[comparison]}")
    actual, limit_text = _format_both(case.actual, limit, case.metric, written=case.check.expected.strip().lstrip("<>=≤≥ "))
    name = "limit" if growth > 0 else "minimum"
    gap = case.actual - limit
    if gap == 0:
        reason = f"{actual} is exactly the {name} of {limit_text}" + ("" if holds else ", and must be " + comparison + " it")
    elif holds:
        reason = f"{actual} is {format_amount(abs(gap), case.metric)} {'under' if growth > 0 else 'over'} the {name} of {limit_text}"
    else:
        share = f" ({'+' if gap > 0 else ''}{format_percent(gap / limit)})" if limit > 0 else ""
        what = "budget" if case.check.origin == "budget" and growth > 0 else name
        verb = "exceeded" if growth > 0 else "missed"
        reason = f"{limit_text} {what} {verb} by {format_amount(abs(gap), case.metric)}{share}: {actual}"
    return Finding(holds=holds, actual=case.actual, limit=limit, reason=reason, growth=growth)


def _compare_change(case: Case, growth: int) -> Finding:
    _require_unit(case, case.metric.unit, "%")
    if case.figure.relation or case.figure.approximate:
        raise CannotJudge(f"{case.check.expected!r} is not a limit: write the number without {case.figure.relation or '~'}")
    other = _require_other(case)
    # Fractions: a growth of exactly 1 % is within a limit of 1 %.
    figure = Fraction(str(case.figure.value))
    allowed = Fraction(other) * figure / 100 if case.figure.unit == "%" else figure
    floor = _read_floor(case)
    limit = Fraction(other) + growth * max(allowed, floor)
    if isinstance(case.actual, int):  # a count has no fractions: the limit is the last whole number that is allowed
        limit = Fraction(math.floor(limit) if growth > 0 else math.ceil(limit))
    over = growth * (Fraction(case.actual) - limit)
    within_floor = over <= 0 and growth * (Fraction(case.actual) - Fraction(other)) > allowed
    actual, before = _format_both(case.actual, other, case.metric)
    reason = f"{actual}, the same as {case.other_name}"
    if case.actual != other:
        more = "more" if case.actual > other else "less"
        amount = format_amount(abs(case.actual - other), case.metric)
        reason = f"{actual} is {amount} ({format_change(other, case.actual)}) {more} than {case.other_name}'s {before}"
    if within_floor:
        reason += f"; more than the allowed {case.check.expected}, but within the floor of {case.check.floor}"
    elif over > 0:
        larger = case.check.expected if allowed >= floor else case.check.floor
        reason += f": {format_amount(over, case.metric)} beyond the allowed {larger}"
    else:
        reason += f"; {case.check.expected} {'more' if growth > 0 else 'less'} is allowed"
    return Finding(holds=over <= 0, actual=case.actual, limit=_to_number(limit), reason=reason, growth=growth)


def _read_floor(case: Case) -> Fraction:
    """The largest change that is allowed even if its share is beyond the limit; -1 if there is none."""
    if case.check.floor is None:
        return Fraction(-1)
    floor = case.check.floor_figure
    if floor is None:
        raise CannotJudge(f"the floor {case.check.floor!r} is not a number")
    if floor.unit not in ("", case.metric.unit):
        needed = case.metric.unit or "a number without a unit"
        raise CannotJudge(f"the floor {case.check.floor!r} is in {floor.unit}: {case.metric.name} needs {needed}")
    return Fraction(str(floor.value))


def _compare_figure(case: Case, actual: float, text: str, unit: str) -> Finding:
    """Whether `actual` rounds to the figure, or is on the side of it that its relation requires."""
    _require_unit(case, unit)
    value = case.figure.value
    relations = {"<": actual < value, "<=": actual <= value, ">": actual > value, ">=": actual >= value}
    holds = relations.get(case.figure.relation, case.figure.contains(actual))
    label = "document says" if case.check.origin == "claim" else "expected"
    return Finding(holds=holds, actual=actual, limit=value, reason=f"{label} {case.check.expected}, measured {text}", actual_text=text)


# --- numbers in a sentence ------------------------------------------------------------------------------------------


def _to_number(number: Fraction) -> float:
    return int(number) if number.denominator == 1 else float(number)


def _format_with_unit(value: float, metric: Metric) -> str:
    return _round(value) + (" bytes" if metric.unit == "bytes" else _UNIT_SUFFIXES.get(metric.unit, ""))


def format_amount(value: float | Fraction, metric: Metric) -> str:
    """A difference: counts of parameters are exact, larger units short."""
    value = _to_number(value) if isinstance(value, Fraction) else value
    return _round(value) if metric.unit in ("params", "") else format_short(value, metric.unit)


def _round(value: float) -> str:
    """At most three decimals; but all of them if three would make the number look whole."""
    rounded = f"{value:,.3f}"
    if rounded.endswith(".000"):
        return format_exact(value)
    return rounded.rstrip("0") if float(rounded.replace(",", "")) == value else rounded


def _format_both(actual: float, limit: float, metric: Metric, written: str = "") -> tuple[str, str]:
    """The measured number and its limit, different texts unless equal; the limit as written, but bytes in the measured number's unit."""
    if metric.unit in ("params", ""):
        return format_exact(actual), written or format_exact(limit)
    first, second = format_pair(actual, limit, metric.unit)
    if metric.unit == "bytes":
        exact = first == format_exact(actual)
        return (_format_with_unit(actual, metric), _format_with_unit(limit, metric)) if exact else (first, second)
    return first + _UNIT_SUFFIXES.get(metric.unit, ""), written or second


# --- contributors ---------------------------------------------------------------------------------------------------


# As many as fit in a sentence; the verdict has a few more for tables.
_NAMED, _LISTED = 3, 5


def find_contributors(finding: Finding, case: Case, evidence: Evidence) -> Finding:
    """The finding with the modules that grew (or shrank) most since the other side; if none did, those with the highest cost."""
    check, of_cost, growth = case.check, case.metric.of_cost, finding.growth
    if of_cost is None or not growth:
        return finding
    earlier = evidence.find_earlier(check, case.metric)
    profile = evidence.find_profile(check.model, check.scenario)
    after = {module.path: of_cost(module.own) for module in select_modules(profile, resolve_scope(check, profile))}
    before = {}
    if earlier is not None:
        earlier_scope = resolve_scope(check, earlier, check.against_scope)
        before = {module.path: of_cost(module.own) for module in select_modules(earlier, earlier_scope)}
    changes = {path: after.get(path, 0) - before.get(path, 0) for path in (*after, *(path for path in before if path not in after))}
    signed, word = earlier is not None and any(change * growth > 0 for change in changes.values()), "mostly"
    if not signed:
        changes, word = (after if growth > 0 else {}), "largest:"
    ranked = sorted(((path, change) for path, change in changes.items() if change * growth > 0), key=lambda pair: -pair[1] * growth)
    named = [
        f"{path or 'the root module'} ({('+' if change > 0 else '-') if signed else ''}{format_amount(abs(change), case.metric)})"
        for path, change in ranked[:_NAMED]
    ]
    return msgspec.structs.replace(
        finding,
        contributors=tuple(Contributor(path=path, delta=change) for path, change in ranked[:_LISTED]),
        reason=finding.reason + (f"; {word} {', '.join(named)}" if named else ""),
    )
