"""[[budgets]] and [[unchanged]] to checks, with what [defaults] says where they do not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from archaudit.config.names import Draft, Known, derive_id, expect_model, read_against, read_id
from archaudit.config.records import BASELINE
from archaudit.config.tables import Table, describe, quote, suggest
from archaudit.metrics.catalog import METRICS, Metric
from archaudit.metrics.quantities import Quantity
from archaudit.schema import Check

LEVELS = ("error", "warn", "info")
RELATIVE_LIMITS = ("max_increase", "max_decrease")
LIMITS = ("max", "min", *RELATIVE_LIMITS)
# What budgets and pins may both say, and what [defaults] may say for all of them.
_SHARED_KEYS = ("id", "model", "scenario", "scope", "type", "section", "against", "level", "reason", "until")
BUDGET_KEYS = ("metric", *LIMITS, "floor", "overrides", *_SHARED_KEYS)
UNCHANGED_KEYS = _SHARED_KEYS
DEFAULT_KEYS = ("model", "scenario", "against", "level", "floor")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class _Subject(NamedTuple):
    """What a budget or a pin is about, and how it is judged."""

    models: tuple[str, ...]
    scenarios: tuple[str | None, ...]
    fields: dict[str, Any]


def read_budgets(top: Table, known: Known, keys_by_id: dict[str, str]) -> list[Draft]:
    """One check for each budget, model, scenario and limit; then one for each pin of [[unchanged]]."""
    defaults = _read_defaults(top, known)
    drafts: list[Draft] = []
    replaced: dict[str, set[str]] = {}
    tables: list[tuple[str, list[Draft]]] = []
    for key, values in top.list_tables("budgets"):
        table = Table(_fill(values, defaults, BUDGET_KEYS), key, top.faults, BUDGET_KEYS)
        given = read_id(table, keys_by_id)
        found = _read_budget(table, known, given)
        if "overrides" in values:
            replaced.setdefault(_read_overridden(table, keys_by_id), set()).update(draft.check.model for draft in found)
        tables.append((given, found))
    for given, found in tables:
        gone = replaced.get(given, set()) if given else set()
        drafts += [draft for each in found for draft in _without(each, gone, known)]
    for key, values in top.list_tables("unchanged"):
        table = Table(_fill(values, defaults, UNCHANGED_KEYS), key, top.faults, UNCHANGED_KEYS)
        drafts += _read_unchanged(table, known, read_id(table, keys_by_id))
    return drafts


def read_gated(top: Table) -> tuple[str, ...]:
    """The metrics that every model must have a check on."""
    names = top.read_texts("gated")
    for name in names:
        if name not in METRICS:
            top.fault("gated", f"{quote(name)} is not a metric{suggest(name, METRICS)}")
    return tuple(dict.fromkeys(names))


# --- defaults and overrides ------------------------------------------------------------------------------------------


def _read_defaults(top: Table, known: Known) -> Mapping[str, Any]:
    """The values of [defaults] that are fit to stand in for a budget's own."""
    values = top.values.get("defaults", {})
    if not isinstance(values, dict):
        top.fault("defaults", f"expected a table [defaults], not {describe(values)}")
        return {}
    before = len(top.faults)
    table = Table(values, f"{top.key}.defaults" if top.key else "defaults", top.faults, DEFAULT_KEYS)
    table.read_text("level", choices=LEVELS)
    table.read_figure("floor")
    read_against(table, known)
    table.read_texts("scenario")
    for model in table.read_texts("model"):
        expect_model(table, "model", model, known)
    return values if len(top.faults) == before else {}


def _fill(values: dict[str, Any], defaults: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """A table with the defaults that fit it; those about comparing are for tables that compare."""
    relative = "metric" not in keys or any(name in values for name in RELATIVE_LIMITS)
    percent = any("%" in str(values.get(name, "")) for name in RELATIVE_LIMITS)
    fitting = {"against": relative, "floor": percent}
    return {name: value for name, value in defaults.items() if name in keys and fitting.get(name, True)} | values


def _read_overridden(table: Table, keys_by_id: Mapping[str, str]) -> str:
    name = table.read_text("overrides")
    if name and (name not in keys_by_id or keys_by_id[name] == table.key):
        table.fault("overrides", f"{quote(name)} is not the id of a budget above{suggest(name, keys_by_id)}")
    return name


def _without(draft: Draft, models: set[str], known: Known) -> list[Draft]:
    """A budget but for models that another one overrides it for; one about every model is spelled out for those that are left."""
    if not models or (draft.check.model and not models & {"", draft.check.model}):
        return [draft]
    if models & {"", draft.check.model}:
        return []
    left = [model for model in known.models if model not in models]
    return [Draft(msgspec.structs.replace(draft.check, model=model, id=derive_id(draft.check.id, model)), False) for model in left]


# --- one table -------------------------------------------------------------------------------------------------------


def _read_budget(table: Table, known: Known, given_id: str) -> list[Draft]:
    metric = table.read_metric()
    metric_name = metric.name if metric else ""
    limits = {name: _read_limit(table, name, metric) for name in LIMITS if name in table.values}
    subject = _read_subject(table, known, metric)
    against = read_against(table, known) or BASELINE
    floor = _read_floor(table, metric, limits)
    if not limits:
        table.fault("max", f"is missing; a budget sets one of {', '.join(LIMITS)}")
    elif "against" in table.values and not any(name in RELATIVE_LIMITS for name in limits):
        table.fault("against", f"is for {' and '.join(RELATIVE_LIMITS)} only")
    drafts = []
    for model in subject.models:
        for scenario in subject.scenarios:
            for name, figure in limits.items():
                relative = name in RELATIVE_LIMITS
                suffix = [model] * (len(subject.models) > 1) + [scenario or ""] * (len(subject.scenarios) > 1) + [name] * (len(limits) > 1)
                check = Check(
                    id=derive_id(given_id, *suffix) if given_id else _derive_id(model, scenario, subject, metric_name, name),
                    origin="baseline" if relative and against == BASELINE else "budget",
                    model=model,
                    scenario=scenario,
                    metric=metric_name,
                    comparison=name,
                    expected=figure.text if figure else "",
                    against=against if relative else None,
                    floor=floor.text if floor is not None and figure is not None and figure.unit == "%" else None,
                    **subject.fields,
                )
                stands = bool(given_id) and not suffix
                drafts.append(Draft(msgspec.structs.replace(check, id=given_id) if stands else check, stands))
    return drafts


def _read_unchanged(table: Table, known: Known, given_id: str) -> list[Draft]:
    """Pins: nothing of a scope may change."""
    subject = _read_subject(table, known, None)
    against = read_against(table, known) or BASELINE
    drafts = []
    for model in subject.models:
        for scenario in subject.scenarios:
            suffix = [model] * (len(subject.models) > 1) + [scenario or ""] * (len(subject.scenarios) > 1)
            check = Check(
                id=derive_id(given_id, *suffix) if given_id else _derive_id(model, scenario, subject, "unchanged"),
                origin="baseline" if against == BASELINE else "budget",
                model=model,
                scenario=scenario,
                metric="structure",
                comparison="unchanged",
                expected="",
                against=against,
                **subject.fields,
            )
            stands = bool(given_id) and not suffix
            drafts.append(Draft(msgspec.structs.replace(check, id=given_id) if stands else check, stands))
    return drafts


def _derive_id(model: str, scenario: str | None, subject: _Subject, *words: str) -> str:
    where = subject.fields["section"] or subject.fields["scope"]
    return derive_id(model, scenario or "", *([where] if isinstance(where, str) else where), *subject.fields["types"], *words)


def _read_subject(table: Table, known: Known, metric: Metric | None) -> _Subject:
    models = table.read_texts("model") or ("",)
    for model in models:
        expect_model(table, "model", model, known)
    scenarios = table.read_texts("scenario")
    for scenario in scenarios:
        if scenario not in known.scenarios:
            table.fault("scenario", f"{quote(scenario)} is no input scenario of a model{suggest(scenario, known.scenarios)}")
    section = table.read_text("section", choices=known.sections)
    if section and "scope" in table.values:
        table.fault("scope", "says again what `section` says; leave one of them out")
    types = table.read_texts("type")
    if types and metric is not None and metric.of_profile is not None:
        table.fault("type", f"{metric.name} is known for the whole model only; leave the type out")
    fields: dict[str, Any] = {
        "scope": known.section_scopes.get(section, ("",)) if section else table.read_scope("scope", metric),
        "section": section or None,
        "types": types,
        "level": table.read_text("level", choices=LEVELS) or "error",
        "why": table.read_text("reason") or None,
        "until": _read_until(table),
        "key": table.key,
    }
    return _Subject(models, scenarios or (None,), fields)


def _read_until(table: Table) -> str | None:
    """The last day on which the limit holds, as ISO; a raise that ends says why it was made."""
    value = table.values.get("until")
    if value is None:
        return None
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            table.fault("until", f"{quote(str(value))} is no day of the calendar")
            return None
    if not isinstance(value, date) or isinstance(value, datetime):
        table.fault("until", f"expected a day such as 2026-12-31, not {describe(value)}")
        return None
    if "reason" not in table.values:
        table.fault("reason", "is missing; a limit that ends says why it was raised")
    return value.isoformat()


def _read_limit(table: Table, name: str, metric: Metric | None) -> Quantity | None:
    figure = table.read_figure(name)
    if figure is None:
        return None
    if figure.relation or figure.approximate:
        table.fault(name, f"{quote(figure.text)} should be a bare number; a limit is taken at its value")
    if figure.value < 0:
        table.fault(name, f"{quote(figure.text)} is negative")
    if metric is not None and not (figure.unit == "%" and name in RELATIVE_LIMITS):
        table.expect_unit(name, figure, metric)
    return figure


def _read_floor(table: Table, metric: Metric | None, limits: Mapping[str, Quantity | None]) -> Quantity | None:
    floor = _read_limit(table, "floor", metric)
    if floor is not None and not any(figure is not None and figure.unit == "%" for figure in limits.values()):
        table.fault("floor", "is for max_increase and max_decrease in percent: both the share and the floor must be exceeded")
        return None
    return floor
