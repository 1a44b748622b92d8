"""Budgets and claims to checks."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from archaudit.config.records import BASELINE
from archaudit.config.tables import Table, quote, suggest
from archaudit.metrics import Metric
from archaudit.quantities import Quantity
from archaudit.schema import Check

_RELATIVE_LIMITS = ("max_increase", "max_decrease")
_LIMITS = ("max", "min", *_RELATIVE_LIMITS)
_BUDGET_KEYS = ("id", "model", "metric", "scope", *_LIMITS, "against")
_CLAIM_KEYS = ("id", "figure", "source", "model", "metric", "scope", "comparison", "against", "against_scope", "section", "expect", "why")

# What a claim's comparison is written in; "" is the metric's own unit. A count is exact and a ratio or percentage rounded, so the unit
# may not be left out.
_COMPARISON_UNITS = {"equals": "", "difference": "", "ratio": "x", "percent": "%"}
_RELATIONS = {"<": "below", "<=": "max", ">": "above", ">=": "min"}


class Known(NamedTuple):
    """Names that checks may refer to. Those of faulty tables are among them, so that one fault is not told twice."""

    models: tuple[str, ...]
    sections: tuple[str, ...]


class _Draft(NamedTuple):
    """A check, and whether its id was given and stands, or was derived and may still change."""

    check: Check
    id_is_given: bool


def read_checks(top: Table, known: Known) -> tuple[Check, ...]:
    """The checks of [[budgets]], then of [[claims]], each with an id of its own."""
    drafts: list[_Draft] = []
    keys_by_id: dict[str, str] = {}
    for key, values in top.list_tables("budgets"):
        table = Table(values, key, top.faults, _BUDGET_KEYS)
        drafts += _read_budget(table, known, _read_id(table, keys_by_id))
    for key, values in top.list_tables("claims"):
        table = Table(values, key, top.faults, _CLAIM_KEYS)
        drafts.append(_read_claim(table, known, _read_id(table, keys_by_id)))
    return _tell_apart(drafts)


# --- budgets --------------------------------------------------------------------------------------------------------


def _read_budget(table: Table, known: Known, given_id: str) -> list[_Draft]:
    """One check for each model and limit."""
    metric = table.read_metric()
    metric_name = metric.name if metric else ""
    scope = table.read_scope("scope", metric)
    limits = {name: _read_limit(table, name, metric) for name in _LIMITS if name in table.values}
    models = table.read_texts("model") or ("",)
    for model in models:
        _expect_model(table, "model", model, known)
    against = _read_against(table, known) or BASELINE
    if not limits:
        table.fault("max", f"is missing; a budget sets one of {', '.join(_LIMITS)}")
    elif "against" in table.values and not any(name in _RELATIVE_LIMITS for name in limits):
        table.fault("against", f"is for {' and '.join(_RELATIVE_LIMITS)} only")
    drafts = []
    for model in models:
        for name, figure in limits.items():
            suffix = [model] * (len(models) > 1) + [name] * (len(limits) > 1)
            relative = name in _RELATIVE_LIMITS
            check = Check(
                id=_derive_id(given_id, *suffix) if given_id else _derive_id(model, *scope, metric_name, name),
                origin="baseline" if relative and against == BASELINE else "budget",
                model=model,
                metric=metric_name,
                scope=scope,
                comparison=name,
                expected=figure.text if figure else "",
                against=against if relative else None,
            )
            stands = bool(given_id) and not suffix
            drafts.append(_Draft(msgspec.structs.replace(check, id=given_id) if stands else check, stands))
    return drafts


def _read_limit(table: Table, name: str, metric: Metric | None) -> Quantity | None:
    figure = table.read_figure(name)
    if figure is None:
        return None
    if figure.relation or figure.approximate:
        table.fault(name, f"{quote(figure.text)} should be a bare number; a limit is taken at its value")
    if figure.value < 0:
        table.fault(name, f"{quote(figure.text)} is negative")
    if metric is not None and not (figure.unit == "%" and name in _RELATIVE_LIMITS):
        table.expect_unit(name, figure, metric)
    return figure


# --- claims ---------------------------------------------------------------------------------------------------------


def _read_claim(table: Table, known: Known, given_id: str) -> _Draft:
    metric = table.read_metric()
    scope = table.read_scope("scope", metric)
    model = table.read_text("model")
    _expect_model(table, "model", model, known)
    comparison = table.read_text("comparison", choices=_COMPARISON_UNITS) or "equals"
    figure = _read_claimed_figure(table, comparison, metric)
    against, against_scope = _read_counterpart(table, known, comparison, metric)
    expect_outcome, why = _read_expectation(table)
    source = table.read_text("source")
    text = figure.text if figure else ""
    metric_name = metric.name if metric else ""
    check = Check(
        id=given_id or _derive_id(source or model or metric_name, text.replace(",", "")),
        origin="claim",
        model=model,
        metric=metric_name,
        scope=scope,
        comparison=_RELATIONS[figure.relation] if figure and figure.relation else comparison,
        expected=text,
        against=against or None,
        against_scope=against_scope,
        source=source or None,
        group=table.read_text("section", choices=known.sections) or None,
        expect_outcome="failed" if expect_outcome == "false" else "passed",
        why=why or None,
    )
    return _Draft(check, id_is_given=bool(given_id))


def _read_claimed_figure(table: Table, comparison: str, metric: Metric | None) -> Quantity | None:
    figure = table.read_figure("figure")
    if "figure" not in table.values:
        table.fault("figure", "is missing")
    if figure is None:
        return None
    unit = _COMPARISON_UNITS[comparison]
    shown = quote(figure.text)
    if figure.relation and comparison != "equals":
        table.fault("figure", f"{shown} is a bound, which is on the number itself; leave comparison = {comparison!r} out")
    elif unit and figure.unit != unit:
        table.fault("figure", f"{shown} is no {comparison}; write for example {'42x' if unit == 'x' else '63%'}")
    elif not unit and figure.unit in ("x", "%"):
        table.fault("figure", f"{shown} needs comparison = {'ratio' if figure.unit == 'x' else 'percent'!r}")
    elif not unit and metric is not None:
        table.expect_unit("figure", figure, metric)
    return figure


def _read_counterpart(table: Table, known: Known, comparison: str, metric: Metric | None) -> tuple[str, tuple[str, ...] | None]:
    """What a claim is compared with: `against` and `against_scope`."""
    against = _read_against(table, known)
    scope = table.read_scope("against_scope", metric) if "against_scope" in table.values else None
    if comparison != "equals" and "against" not in table.values:
        table.fault("against", f"is missing; comparison = {comparison!r} needs a model to compare with")
    if comparison == "equals":
        for name in ("against", "against_scope"):
            if name in table.values:
                table.fault(name, "is for comparison = 'ratio', 'percent' or 'difference' only")
    return against, scope


def _read_expectation(table: Table) -> tuple[str, str]:
    """`expect` and `why`: a claim known to be false says why."""
    expect = table.read_text("expect", choices=("true", "false")) or "true"
    why = table.read_text("why")
    if expect == "false" and "why" not in table.values:
        table.fault("why", "is missing; a claim expected to be false says why it is")
    if why and expect == "true":
        table.fault("why", "is for expect = 'false' only")
    return expect, why


# --- names ----------------------------------------------------------------------------------------------------------


def _expect_model(table: Table, name: str, model: str, known: Known) -> None:
    if model and model not in known.models:
        table.fault(name, f"{quote(model)} is not in [models]{suggest(model, known.models)}")


def _read_against(table: Table, known: Known) -> str:
    against = table.read_text("against")
    if against and against != BASELINE and against not in known.models:
        table.fault("against", f"{quote(against)} is neither {BASELINE!r} nor in [models]{suggest(against, (BASELINE, *known.models))}")
    return against


def _read_id(table: Table, keys_by_id: dict[str, str]) -> str:
    given = table.read_text("id")
    if given in keys_by_id:
        table.fault("id", f"{quote(given)} is the id of {keys_by_id[given]} too")
    elif given:
        keys_by_id[given] = table.key
    return given


def _derive_id(*parts: str) -> str:
    """A readable id: `after-classifier-params-max`, `section-6-884736`."""
    words = [re.sub(r"[^\w.]+", "-", part.casefold()).strip("-") for part in parts]
    return "-".join(word for word in words if word)


def _tell_apart(drafts: list[_Draft]) -> tuple[Check, ...]:
    """The checks, a derived id that was taken already ending in a number: `section-6-21k-2`. Given ids stay as they are."""
    taken = {draft.check.id for draft in drafts if draft.id_is_given}
    checks = []
    for check, id_is_given in drafts:
        number, name = 1, check.id
        while not id_is_given and name in taken:
            number += 1
            name = f"{check.id}-{number}"
        taken.add(name)
        checks.append(check if name == check.id else msgspec.structs.replace(check, id=name))
    return tuple(checks)
