"""Reads [[budgets]] and [[unchanged]] into checks, and [latency]; [defaults] has the values that they do not set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import msgspec

from archaudit.config.declaration import BUDGET, LIMITS, RELATIVE_LIMITS, UNCHANGED, TableType
from archaudit.config.names import Draft, KnownNames, derive_id, expect_model, read_against, read_id
from archaudit.config.records import BASELINE
from archaudit.config.tables import Table, quote, suggest
from archaudit.errors import InputError
from archaudit.metrics.catalog import Metric
from archaudit.scaling import SCALED, parse_growth, parse_sizes
from archaudit.schema import Check, Device, LatencyBudget, Overridden, Precision, Quantity


class _Subject(NamedTuple):
    """The models and scenarios of a budget or a pin, and the fields that its checks share."""

    models: tuple[str, ...]
    scenarios: tuple[str | None, ...]
    fields: dict[str, Any]


def read_budgets(top: Table, known: KnownNames, keys_by_id: dict[str, str]) -> tuple[list[Draft], tuple[Overridden, ...]]:
    """One check for each budget, model, scenario and limit; then one for each pin of [[unchanged]]. And what budgets replace."""
    defaults = _read_defaults(top, known)
    drafts: list[Draft] = []
    # the models that another budget replaces a budget for, with that other budget's key; by the replaced budget's id
    overridden: dict[str, dict[str, str]] = {}
    replaced: list[Overridden] = []
    budgets: list[tuple[str, list[Draft]]] = []
    for key, values in top.list_tables("budgets"):
        table = Table(_fill(values, defaults, BUDGET), key, top.faults, BUDGET)
        given_id = read_id(table, keys_by_id)
        found = _read_budget(table, known, given_id)
        if "overrides" in values:
            overridden.setdefault(_read_overridden(table, keys_by_id), {}).update({draft.check.model: key for draft in found})
        budgets.append((given_id, found))
    for given_id, found in budgets:
        models = overridden.get(given_id, {}) if given_id else {}
        drafts += [draft for each in found for draft in _remove_models(each, set(models), known)]
        replaced += [each for draft in found for each in _list_replaced(draft.check, models, known)]
    for key, values in top.list_tables("unchanged"):
        table = Table(_fill(values, defaults, UNCHANGED), key, top.faults, UNCHANGED)
        drafts += _read_unchanged(table, known, read_id(table, keys_by_id))
    return drafts, tuple(dict.fromkeys(replaced))


# --- defaults and overrides ---


def _read_defaults(top: Table, known: KnownNames) -> Mapping[str, Any]:
    """The values of [defaults]; none where one of them is faulty."""
    before = len(top.faults)
    table = top.open_table("defaults")
    if table is None:
        return {}
    table.read_text("level")
    table.read_number("floor")
    read_against(table, known)
    table.read_texts("scenario")
    for model in table.read_texts("model"):
        expect_model(table, "model", model, known)
    return table.values if len(top.faults) == before else {}


def _fill(values: dict[str, Any], defaults: Mapping[str, Any], declared: TableType) -> dict[str, Any]:
    """A table with the defaults that it does not set; those of a comparison only where the table compares."""
    compares = declared is UNCHANGED or any(name in values for name in RELATIVE_LIMITS)
    limits = [values.get(name) for name in RELATIVE_LIMITS]
    in_percent = any("%" in limit for limit in limits if isinstance(limit, str))
    fits = {"against": compares, "floor": in_percent}
    return {name: value for name, value in defaults.items() if name in declared.fields and fits.get(name, True)} | values


def _read_overridden(table: Table, keys_by_id: Mapping[str, str]) -> str:
    name = table.read_text("overrides")
    if name and (name not in keys_by_id or keys_by_id[name] == table.key):
        table.fault("overrides", f"{quote(name)} is not the id of a budget above{suggest(name, keys_by_id)}")
    return name


def _remove_models(draft: Draft, models: set[str], known: KnownNames) -> list[Draft]:
    """A budget without the models that another budget replaces it for; a budget on every model becomes one for each model that is left."""
    if not models or (draft.check.model and not models & {"", draft.check.model}):
        return [draft]
    if models & {"", draft.check.model}:
        return []
    left = [model for model in known.models if model not in models]
    return [Draft(msgspec.structs.replace(draft.check, model=model, id=derive_id(draft.check.id, model)), False) for model in left]


def _list_replaced(check: Check, models: Mapping[str, str], known: KnownNames) -> list[Overridden]:
    """The models of a check that other budgets replace it for; `models` has those budgets' keys by model, empty for every model."""
    if check.level != "error":
        return []
    return [
        Overridden(
            model=model,
            metric=check.metric,
            comparison=check.comparison,
            key=check.key or "",
            by=models[name],
            whole=check.scope == ("",) and not check.types,
        )
        for model in ([check.model] if check.model else known.models)
        for name in dict.fromkeys((model, ""))
        if name in models
    ]


# --- one table ---


def _read_budget(table: Table, known: KnownNames, given_id: str) -> list[Draft]:
    metric = table.read_metric()
    metric_name = metric.name if metric else ""
    limits = {name: _read_limit(table, name, metric) for name in LIMITS if name in table.values}
    subject = _read_subject(table, known, metric)
    against = read_against(table, known) or BASELINE
    floor = _read_floor(table, metric, limits)
    if limits and "against" in table.values and not any(name in RELATIVE_LIMITS for name in limits):
        table.fault("against", f"is for {' and '.join(RELATIVE_LIMITS)} only")
    at, growth = _read_sizes(table, metric), _read_growth(table, metric)
    if at and any(name in RELATIVE_LIMITS for name in limits):
        table.fault("at", "is for max and min only")
    drafts = []
    for model in subject.models:
        for scenario in subject.scenarios:
            if growth:
                check_id, is_given = _choose_id(given_id, model, scenario, subject, [metric_name, "growth"], ["growth"] * bool(limits))
                check = Check(
                    id=check_id,
                    origin="budget",
                    model=model,
                    scenario=scenario,
                    metric=metric_name,
                    comparison="growth",
                    expected=growth,
                    **subject.fields,
                )
                drafts.append(Draft(check, is_given))
            for name, figure in limits.items():
                relative = name in RELATIVE_LIMITS
                check_id, is_given = _choose_id(given_id, model, scenario, subject, [metric_name, name], [name] * (len(limits) > 1))
                check = Check(
                    id=check_id,
                    origin="baseline" if relative and against == BASELINE else "budget",
                    model=model,
                    scenario=scenario,
                    metric=metric_name,
                    comparison=name,
                    expected=figure.text if figure else "",
                    against=against if relative else None,
                    at=at or None,
                    floor=floor.text if floor is not None and figure is not None and figure.unit == "%" else None,
                    **subject.fields,
                )
                drafts.append(Draft(check, is_given))
    return drafts


def _read_unchanged(table: Table, known: KnownNames, given_id: str) -> list[Draft]:
    """One check for each model and scenario: nothing in the scope may change."""
    subject = _read_subject(table, known, None)
    against = read_against(table, known) or BASELINE
    drafts = []
    for model in subject.models:
        for scenario in subject.scenarios:
            check_id, is_given = _choose_id(given_id, model, scenario, subject, ["unchanged"], [])
            check = Check(
                id=check_id,
                origin="baseline" if against == BASELINE else "budget",
                model=model,
                scenario=scenario,
                metric="structure",
                comparison="unchanged",
                expected="",
                against=against,
                **subject.fields,
            )
            drafts.append(Draft(check, is_given))
    return drafts


def _choose_id(given_id: str, model: str, scenario: str | None, subject: _Subject, words: list[str], suffix: list[str]) -> tuple[str, bool]:
    """The id of a check, and whether it is the given one. If a table has several checks, each has the given id with a suffix."""
    if not given_id:
        where = subject.fields["section"] or subject.fields["scope"]
        return derive_id(model, scenario or "", *([where] if isinstance(where, str) else where), *subject.fields["types"], *words), False
    parts = [model] * (len(subject.models) > 1) + [scenario or ""] * (len(subject.scenarios) > 1) + suffix
    return (derive_id(given_id, *parts), False) if parts else (given_id, True)


def _read_subject(table: Table, known: KnownNames, metric: Metric | None) -> _Subject:
    models = table.read_texts("model") or ("",)
    for model in models:
        expect_model(table, "model", model, known)
    scenarios = table.read_texts("scenario")
    for scenario in scenarios:
        if scenario not in known.scenarios:
            table.fault("scenario", f"{quote(scenario)} is not an input scenario of a model{suggest(scenario, known.scenarios)}")
    section = table.read_text("section", choices=known.sections)
    types = table.read_texts("type")
    if types and metric is not None and metric.of_profile is not None:
        table.fault("type", f"{metric.name} is measured for the whole model only; remove `type`")
    fields: dict[str, Any] = {
        "scope": known.section_scopes.get(section, ("",)) if section else table.read_scope("scope", metric),
        "section": section or None,
        "types": types,
        "level": table.read_text("level"),
        "why": table.read_text("reason") or None,
        "until": table.read_date("until"),
        "key": table.key,
    }
    return _Subject(models, scenarios or (None,), fields)


def _read_limit(table: Table, name: str, metric: Metric | None) -> Quantity | None:
    figure = table.read_number(name)
    if figure is None:
        return None
    if figure.relation or figure.approximate:
        table.fault(name, f"{quote(figure.text)} must be an exact number, without ~ or a relation")
    if figure.value < 0:
        table.fault(name, f"{quote(figure.text)} is negative")
    if metric is not None and not (figure.unit == "%" and name in RELATIVE_LIMITS):
        table.expect_unit(name, figure, metric)
    return figure


def _read_sizes(table: Table, metric: Metric | None) -> str:
    """The sizes at which a formula is judged; empty without any."""
    at = table.read_text("at")
    if at and metric is not None and metric.name not in SCALED:
        table.fault("at", f"{metric.name} has no formula in the sizes of the input; those that have one are {', '.join(SCALED)}")
    try:
        parse_sizes(at)
    except InputError as error:
        table.fault("at", f"{error.message}; {(error.hint or '').lower()}")
    return at


def _read_growth(table: Table, metric: Metric | None) -> str:
    """The largest growth, `<= T`; empty without one."""
    growth = table.read_text("growth")
    if not growth:
        return ""
    if metric is not None and metric.name not in SCALED:
        table.fault("growth", f"{metric.name} has no formula in the sizes of the input; those that have one are {', '.join(SCALED)}")
    try:
        parse_growth(growth)
    except InputError as error:
        table.fault("growth", f"{error.message}; {(error.hint or '').lower()}")
    return growth


def _read_floor(table: Table, metric: Metric | None, limits: Mapping[str, Quantity | None]) -> Quantity | None:
    floor = _read_limit(table, "floor", metric)
    if floor is not None and not any(figure is not None and figure.unit == "%" for figure in limits.values()):
        table.fault("floor", "is for max_increase and max_decrease in percent: the percentage and the floor must both be exceeded")
        return None
    return floor


# --- [latency] ---


def read_latency(top: Table, known: KnownNames) -> LatencyBudget | None:
    """The budget on measured time; None where the config has none."""
    table = top.open_table("latency")
    if table is None:
        return None
    before, after = table.read_text("before"), table.read_text("after")
    expect_model(table, "before", "" if before == BASELINE else before, known)
    expect_model(table, "after", after, known)
    ratio = _read_ratio(table)
    return LatencyBudget(
        id=table.read_text("id"),
        before=before,
        after=after,
        max_ratio=ratio,
        expected=f"{ratio:.4g}x",
        min_change_s=_read_min_change_s(table),
        device=cast(Device, table.read_text("device")),
        dtype=cast(Precision, table.read_text("dtype")),
    )


def _read_ratio(table: Table) -> float:
    """The largest allowed ratio of after to before: `max_ratio = 1.05`, or `max_increase = "5%"`."""
    if "max_ratio" in table.values:
        ratio = table.read_number("max_ratio")
        if ratio is not None and (ratio.unit not in ("", "x") or ratio.value <= 0):
            table.fault("max_ratio", f"{quote(ratio.text)} is not a ratio; write for example 1.05")
        return float(ratio.value) if ratio is not None else 1.0
    increase = table.read_number("max_increase")
    if increase is not None and (increase.unit != "%" or increase.value < 0):
        table.fault("max_increase", f"{quote(increase.text)} is not a percentage; write for example 5%")
    return 1 + float(increase.value) / 100 if increase is not None else 1.0


def _read_min_change_s(table: Table) -> float | None:
    """The change in seconds up to which the budget never fails, written as `0.1 ms`."""
    change = table.read_number("min_change")
    if change is None:
        return None
    if change.unit != "ms" or change.value < 0:
        table.fault("min_change", f"{quote(change.text)} is not a time in milliseconds; write for example '0.1 ms'")
    return float(change.value) / 1e3
