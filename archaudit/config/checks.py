"""Budgets to checks, and all checks of a config together."""

from __future__ import annotations

import msgspec

from archaudit.config.claims import CLAIM_KEYS, read_claim
from archaudit.config.naming import Draft, Known, derive_id, expect_model, read_against, read_id, tell_apart
from archaudit.config.records import BASELINE
from archaudit.config.tables import Table, quote
from archaudit.metrics import Metric
from archaudit.quantities import Quantity
from archaudit.schema import Check

_RELATIVE_LIMITS = ("max_increase", "max_decrease")
_LIMITS = ("max", "min", *_RELATIVE_LIMITS)
_BUDGET_KEYS = ("id", "model", "metric", "scope", *_LIMITS, "against")


def read_checks(top: Table, known: Known) -> tuple[Check, ...]:
    """The checks of [[budgets]], then of [[claims]], each with an id of its own."""
    drafts: list[Draft] = []
    keys_by_id: dict[str, str] = {}
    for key, values in top.list_tables("budgets"):
        table = Table(values, key, top.faults, _BUDGET_KEYS)
        drafts += _read_budget(table, known, read_id(table, keys_by_id))
    drafts += _read_claims(top, known, keys_by_id)
    return tell_apart(drafts)


def read_claims_alone(top: Table, known: Known) -> tuple[Check, ...]:
    """The checks of [[claims]] only."""
    return tell_apart(_read_claims(top, known, {}))


def _read_claims(top: Table, known: Known, keys_by_id: dict[str, str]) -> list[Draft]:
    drafts = []
    for key, values in top.list_tables("claims"):
        table = Table(values, key, top.faults, CLAIM_KEYS)
        drafts.append(read_claim(table, known, read_id(table, keys_by_id)))
    return drafts


# --- budgets --------------------------------------------------------------------------------------------------------


def _read_budget(table: Table, known: Known, given_id: str) -> list[Draft]:
    """One check for each model and limit."""
    metric = table.read_metric()
    metric_name = metric.name if metric else ""
    scope = table.read_scope("scope", metric)
    limits = {name: _read_limit(table, name, metric) for name in _LIMITS if name in table.values}
    models = table.read_texts("model") or ("",)
    for model in models:
        expect_model(table, "model", model, known)
    against = read_against(table, known) or BASELINE
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
                id=derive_id(given_id, *suffix) if given_id else derive_id(model, *scope, metric_name, name),
                origin="baseline" if relative and against == BASELINE else "budget",
                model=model,
                metric=metric_name,
                scope=scope,
                comparison=name,
                expected=figure.text if figure else "",
                against=against if relative else None,
            )
            stands = bool(given_id) and not suffix
            drafts.append(Draft(msgspec.structs.replace(check, id=given_id) if stands else check, stands))
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
