"""The ways of asking: each a small function from a measured case to what was found, in COMPARISONS by name.

Numbers are judged unrounded; a reason never shows two different numbers alike.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from archaudit.judge.measured import Sides, resolve_scope
from archaudit.metrics.catalog import Metric, select_modules
from archaudit.metrics.quantities import Quantity, format_change, format_exact, format_pair, format_percent, format_short, parse
from archaudit.schema import Check, Contributor, Record

_NOUNS = {"flops": " FLOPs", "macs": " MACs", "x": "x", "ms": " ms"}


class Case(Record, frozen=True, kw_only=True):
    """One check with its numbers at hand: `actual` of the model and `other` of what it is compared with, called `other_name`."""

    check: Check
    metric: Metric
    figure: Quantity
    actual: float
    other: float | None = None
    other_name: str = ""


class Finding(Record, frozen=True, kw_only=True):
    """What a comparison found. `growth` is 1 where growing makes it fail, -1 where shrinking does, 0 where neither is to blame.

    `actual` and `limit` are None, and `measured` is text, where what was found is no number.
    """

    holds: bool
    actual: float | None = None
    limit: float | None = None
    reason: str
    growth: int = 0
    measured: str | None = None


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
    return _compare_figure(case, case.actual, _exact(case.actual, case.metric), unit=case.metric.unit)


def _ratio(case: Case) -> Finding:
    other = _other(case)
    if case.actual == 0 or other == 0:
        raise ValueError(f"there is no ratio: {case.other_name} has {other:,} {case.metric.name}, the model {case.actual:,}")
    ratio = other / case.actual
    return _compare_figure(case, ratio, f"{_round(ratio)}x ({other:,} / {case.actual:,})", unit="x")


def _percent(case: Case) -> Finding:
    """A reduction, "63 % fewer"; where the figure has a sign, "-63 %", the change."""
    other = _other(case)
    if other == 0:
        raise ValueError(f"there is no percentage: {case.other_name} has 0 {case.metric.name}")
    percent = _direct(case, 100 * (other - case.actual) / other)
    return _compare_figure(case, percent, f"{_round(percent)} % ({other:,} → {case.actual:,})", unit="%")


def _difference(case: Case) -> Finding:
    """What is saved, "3M fewer"; where the figure has a sign, "-3M", the change."""
    other = _other(case)
    difference = _direct(case, other - case.actual)
    terms = f"{case.actual:,} − {other:,}" if case.figure.is_signed else f"{other:,} − {case.actual:,}"
    return _compare_figure(case, difference, f"{_exact(difference, case.metric)} ({terms})", unit=case.metric.unit)


def _direct(case: Case, reduction: float) -> float:
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

# Which relation a figure such as `<3M` may carry where the comparison has one of its own.
_RELATIONS = {"max": "<=", "below": "<", "min": ">=", "above": ">"}


def _other(case: Case) -> float:
    if case.other is None:
        raise ValueError(f"{case.check.comparison} compares with something: name a model or `baseline` in `against`")
    return case.other


def _require_unit(case: Case, *allowed: str) -> None:
    unit = case.figure.unit
    if unit and unit not in allowed:
        needed = " or ".join(filter(None, allowed)) or "a figure without a unit"
        raise ValueError(f"{case.check.expected!r} is in {unit}: {case.check.comparison} of {case.metric.name} needs {needed}")


def _compare_limit(case: Case, holds: bool, growth: int) -> Finding:
    _require_unit(case, case.metric.unit)
    comparison, limit = case.check.comparison, case.figure.value
    if case.figure.relation not in ("", _RELATIONS[comparison]):
        raise ValueError(f"{case.check.expected!r} contradicts {comparison}, which is {_RELATIONS[comparison]}")
    actual, limit_text = _pair(case.actual, limit, case.metric, written=case.check.expected.strip().lstrip("<>=≤≥ "))
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
        raise ValueError(f"{case.check.expected!r} is no limit: write the figure alone")
    other = _other(case)
    # In fractions: a limit of exactly 1 % is met by exactly 1 %.
    figure = Fraction(str(case.figure.value))
    allowed = Fraction(other) * figure / 100 if case.figure.unit == "%" else figure
    floor = _read_floor(case)
    limit = Fraction(other) + growth * max(allowed, floor)
    over = growth * (Fraction(case.actual) - limit)
    within_floor = over <= 0 and growth * (Fraction(case.actual) - Fraction(other)) > allowed
    actual, before = _pair(case.actual, other, case.metric)
    reason = f"{actual}, the same as {case.other_name}"
    if case.actual != other:
        more = "more" if case.actual > other else "less"
        amount = format_amount(abs(case.actual - other), case.metric)
        reason = f"{actual} is {amount} ({format_change(other, case.actual)}) {more} than {case.other_name}'s {before}"
    if within_floor:
        reason += f"; beyond the {case.check.expected} that is allowed, but no more than the floor of {case.check.floor}"
    elif over > 0:
        larger = case.check.expected if allowed >= floor else case.check.floor
        reason += f": {format_amount(over, case.metric)} beyond the {larger} that is allowed"
    else:
        reason += f"; {case.check.expected} {'more' if growth > 0 else 'less'} is allowed"
    return Finding(holds=over <= 0, actual=case.actual, limit=_plain(limit), reason=reason, growth=growth)


def _read_floor(case: Case) -> Fraction:
    """The change that is too small to care about, however large its share; below 0 where there is none."""
    if case.check.floor is None:
        return Fraction(-1)
    floor = parse(case.check.floor)
    if floor.unit not in ("", case.metric.unit):
        raise ValueError(
            f"the floor {case.check.floor!r} is in {floor.unit}: {case.metric.name} needs {case.metric.unit or 'a bare number'}"
        )
    return Fraction(str(floor.value))


def _compare_figure(case: Case, actual: float, text: str, unit: str) -> Finding:
    """Whether `actual` would be written as the figure, or lies where the figure's relation says."""
    _require_unit(case, unit)
    value = case.figure.value
    relations = {"<": actual < value, "<=": actual <= value, ">": actual > value, ">=": actual >= value}
    holds = relations.get(case.figure.relation, case.figure.contains(actual))
    says = "document says" if case.check.origin == "claim" else "expected"
    return Finding(holds=holds, actual=actual, limit=value, reason=f"{says} {case.check.expected}, measured {text}")


# --- numbers in a sentence ------------------------------------------------------------------------------------------


def _plain(number: Fraction) -> float:
    return int(number) if number.denominator == 1 else float(number)


def _exact(value: float, metric: Metric) -> str:
    return _round(value) + (" bytes" if metric.unit == "bytes" else _NOUNS.get(metric.unit, ""))


def format_amount(value: float | Fraction, metric: Metric) -> str:
    """A difference, by itself: counts of parameters exactly, larger units short."""
    value = _plain(value) if isinstance(value, Fraction) else value
    return _round(value) if metric.unit in ("params", "") else format_short(value, metric.unit)


def _round(value: float) -> str:
    """Three decimals; fewer where those are all, and all of them where three would make a number look whole that is not."""
    rounded = f"{value:,.3f}"
    if rounded.endswith(".000"):
        return format_exact(value)
    return rounded.rstrip("0") if float(rounded.replace(",", "")) == value else rounded


def _pair(actual: float, limit: float, metric: Metric, written: str = "") -> tuple[str, str]:
    """The measured number and its limit, never alike unless equal; the limit as written, but bytes in one unit with what was measured."""
    if metric.unit in ("params", ""):
        return format_exact(actual), written or format_exact(limit)
    first, second = format_pair(actual, limit, metric.unit)
    if metric.unit == "bytes":
        exact = first == format_exact(actual)
        return (_exact(actual, metric), _exact(limit, metric)) if exact else (first, second)
    return first + _NOUNS.get(metric.unit, ""), written or second


# --- whom to blame for a limit that does not hold: the modules that grew, or those that cost most ---


# As many as fit in a sentence; the verdict holds a few more for tables.
_NAMED, _LISTED = 3, 5


def blame(case: Case, sides: Sides, growth: int) -> tuple[tuple[Contributor, ...], str]:
    """The modules that grew (or shrank) most against the other side; where there is none, those that cost most. Largest first."""
    check, of_cost = case.check, case.metric.of_cost
    if of_cost is None or not growth:
        return (), ""
    side = sides.find_reference(check)
    profile = sides.find_profile(check.model, check.scenario)
    now = {module.path: of_cost(module.own) for module in select_modules(profile, resolve_scope(check, profile))}
    was = {}
    if side is not None:
        other_scope = resolve_scope(check, side, check.against_scope)
        was = {module.path: of_cost(module.own) for module in select_modules(side, other_scope)}
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
