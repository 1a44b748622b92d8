"""Budgets on formulas: a limit at sizes that were not measured, and a limit on how a cost grows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from archaudit.errors import ArchauditError, CannotJudge, InputError
from archaudit.metrics.quantities import format_exact
from archaudit.metrics.selection import match_named
from archaudit.scaling.expressions import compile_text, evaluate_code
from archaudit.scaling.reading import find_degree, leading_terms, parse_expression, parse_growth, parse_sizes
from archaudit.schema import Check, Law, ScalingLaws, Verdict


def is_about_formula(check: Check) -> bool:
    """Whether a check is judged by the formula of its metric, not by what was measured with one input."""
    return check.at is not None or check.comparison == "growth"


def judge_formulas(checks: Iterable[Check], laws: Mapping[str, ScalingLaws | ArchauditError]) -> tuple[Verdict, ...]:
    """One verdict for each check; `laws` has the formulas of each run by its name, or the error why there are none."""
    return tuple(_judge(check, laws) for check in checks)


def _judge(check: Check, laws: Mapping[str, ScalingLaws | ArchauditError]) -> Verdict:
    verdict = Verdict(
        id=check.id,
        origin=check.origin,
        model=check.model,
        metric=check.metric,
        scope=" + ".join(check.scope),
        comparison=check.comparison,
        expected=check.expected if check.at is None else f"{check.expected} at {check.at}",
        outcome="inconclusive",
        reason="",
        why=check.why,
        level=check.level,
        scenario=check.scenario,
        until=check.until,
        key=check.key,
    )
    found = laws.get(check.run) or laws.get(check.model)
    try:
        if found is None or isinstance(found, ArchauditError):
            raise CannotJudge("no formula was found" if found is None else found.message)
        if check.types or check.until:
            raise CannotJudge("a limit on a formula cannot have `type` or `until`")
        expression = _find_expression(check, found)
        return (
            _judge_growth(check, verdict, expression, found)
            if check.comparison == "growth"
            else _judge_limit(check, verdict, expression, found)
        )
    except CannotJudge as error:
        return msgspec.structs.replace(verdict, reason=str(error))


def _find_expression(check: Check, laws: ScalingLaws) -> str:
    """The formula of the check's metric over its scope. Raises CannotJudge if it is not known."""
    if laws.wrong:
        raise CannotJudge(f"the formulas of {laws.name} do not hold in the runs that checked them")
    if check.scope == ("",):
        law = laws.laws.get(check.metric, Law(reason="it has no formula"))
        return _require(check, law)
    named = match_named([module.path for module in laws.modules], check.scope)
    tops = [path for path in named if not any(path.startswith(f"{other}.") for other in named)]
    if not tops:
        raise CannotJudge(f"no module of {laws.name} matches {', '.join(map(repr, check.scope))}")
    name = "macs" if check.metric == "flops" else check.metric
    if name not in ("macs", "activation_bytes"):
        raise CannotJudge(f"{check.metric} has a formula for the whole model only")
    parts = [_require(check, module.laws[name]) for module in laws.modules if module.path in tops and name in module.laws]
    factor = "2*" if check.metric == "flops" else ""
    return " + ".join(f"{factor}({part})" for part in parts) or "0"


def _require(check: Check, law: Law) -> str:
    if law.expression is None:
        raise CannotJudge(f"the formula of {check.metric} is not known: {law.reason}")
    return law.expression


def _judge_limit(check: Check, verdict: Verdict, expression: str, laws: ScalingLaws) -> Verdict:
    assert check.at is not None
    if check.figure is None:
        raise CannotJudge(f"{check.expected!r} is not a number")
    known = {variable.name: variable for variable in laws.variables}
    try:
        sizes = {name: variable.base for name, variable in known.items()} | parse_sizes(check.at, known)
    except InputError as error:
        raise CannotJudge(f"{error.message}. {error.hint}") from error
    uneven = [name for name, variable in known.items() if (sizes[name] - variable.base) % variable.step]
    if uneven:
        raise CannotJudge(f"{laws.name} does not accept {', '.join(f'{name}={sizes[name]}' for name in uneven)}")
    value, limit = evaluate_code(compile_text(expression), sizes), check.figure.value
    holds = value <= limit if check.comparison == "max" else value >= limit
    beyond = [name for name, variable in known.items() if not variable.low <= sizes[name] <= variable.high]
    note = f", by a formula that was checked up to {', '.join(f'{name}={known[name].high:,}' for name in beyond)}" if beyond else ""
    distance = format_exact(abs(float(value - limit)))
    place = "at" if value == limit else f"{distance} {'under' if value < limit else 'over'}"
    reason = f"{format_exact(value)} at {check.at} is {place} the limit of {check.expected}{note}"
    return msgspec.structs.replace(
        verdict, outcome="passed" if holds else "failed", reason=reason, actual=value, limit=limit, deviation=value - limit
    )


def _judge_growth(check: Check, verdict: Verdict, expression: str, laws: ScalingLaws) -> Verdict:
    bound = parse_growth(check.expected)
    known = [variable.name for variable in laws.variables]
    missing = [name for name in bound if name not in known]
    if missing:
        raise CannotJudge(f"{missing[0]} does not vary in {laws.name}: its sizes are {', '.join(known)}")
    for name, most in bound.items():
        degree = find_degree(expression, name)
        if degree > most:
            terms = leading_terms(parse_expression(expression), name, most).format()
            reason = f"it grows with the power {degree} of {name}: {terms}"
            return msgspec.structs.replace(verdict, outcome="failed", reason=reason, measured=f"{name}**{degree}")
    return msgspec.structs.replace(
        verdict, outcome="passed", reason=f"no term grows faster than {check.expected.removeprefix('<=').strip()}"
    )
