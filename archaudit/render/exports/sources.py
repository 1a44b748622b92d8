"""What a table is about: the sections, layers or models of a comparison, the layers of a profile, the variants of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from archaudit.errors import ConfigError
from archaudit.index import index_modules
from archaudit.metrics.catalog import METRICS, Metric, is_unknown
from archaudit.render.exports.extra import Extra
from archaudit.render.exports.metric_fields import (
    ADDITIVE,
    Number,
    make_complete_field,
    make_metric_field,
    make_pair_fields,
    make_share_field,
)
from archaudit.render.exports.models import describe_profile_models, describe_report_models, describe_sweep_models, tabulate_models
from archaudit.render.exports.tables import Field, Table, choose_columns, make_number, read_text
from archaudit.render.formatting import format_outputs, make_visible, name_path
from archaudit.render.view.screen_records import Units
from archaudit.render.view.sections import TOTAL, find_incomplete, has_complete_params
from archaudit.render.view.summary import name_comparison, name_profile
from archaudit.schema import Cost, ModuleDiff, ModuleRecord, Pair, Profile, Report, Sweep

Rows = Literal["sections", "layers", "models"]
# What the rows can be, the first by default.
ROWS: dict[type, tuple[Rows, ...]] = {Report: ("sections", "layers", "models"), Profile: ("layers", "models"), Sweep: ("models",)}
_NOTE = "FLOPs = 2 × MACs."


class Selection(NamedTuple):
    """Which table of a record: its rows (empty: the default), its columns by name (none: the default), and columns from a file.

    Of layers, `depth` limits the levels and `only_changes` leaves out what did not change.
    """

    rows: str = ""
    columns: Sequence[str] = ()
    extra: Extra | None = None
    units: Units = "flops"
    depth: int | None = None
    only_changes: bool = False


def tabulate(record: Report | Profile | Sweep, selection: Selection) -> tuple[Table, list[str]]:
    """The table, and sentences on what of `extra` matched nothing. Raises ConfigError for rows or columns that do not exist."""
    known = next(rows for kind, rows in ROWS.items() if isinstance(record, kind))
    rows = selection.rows or ("models" if selection.extra is not None else known[0])
    if rows not in known:
        raise ConfigError(f"there are no rows {rows!r} here", f"Rows: {', '.join(known)}.")
    if rows == "models":
        if isinstance(record, Sweep):
            models = describe_sweep_models(record)
        else:
            models = describe_report_models(record) if isinstance(record, Report) else describe_profile_models(record)
        return tabulate_models(models, selection.columns, selection.extra)
    if selection.extra is not None:
        raise ConfigError(f"{selection.extra.source} is about models, not about {rows}", "Add it to the rows models.")
    if isinstance(record, Profile):
        return _tabulate_profile(record, selection), []
    assert isinstance(record, Report)
    return (_tabulate_sections if rows == "sections" else _tabulate_layers)(record, selection), []


def _finish(
    title: str, fields: Sequence[Field], rows: Sequence[Any], selection: Selection, default: Sequence[str], *, has_total: bool = False
) -> Table:
    """The table; whether its figures are complete is a column by default if some are not."""
    whole = next(field for field in fields if field.name == "complete")
    listed = [*default, *([] if all(whole.read(row).value for row in rows) else ["complete"])]
    columns = choose_columns(fields, rows, selection.columns, listed)
    return Table(title=title, columns=columns, notes=(_NOTE,), has_total=has_total)


# --- sections of a comparison -----------------------------------------------------------------------------------------


class _Section(NamedTuple):
    name: str
    costs: Pair[Cost]
    flops_complete: tuple[bool, bool]


def _tabulate_sections(report: Report, selection: Selection) -> Table:
    sides = Pair(report.before, report.after)
    incomplete = sides.map(find_incomplete)
    rows = [
        _Section(
            make_visible(group.name),
            Pair(group.before, group.after),
            (incomplete.before.isdisjoint(group.before_paths), incomplete.after.isdisjoint(group.after_paths)),
        )
        for group in report.groups
    ]
    rows.append(_Section(TOTAL, sides.map(lambda profile: profile.totals), (report.before.flops_complete, report.after.flops_complete)))
    params_complete = has_complete_params(report)

    def read(section: _Section, metric: Metric, side: int) -> Number:
        complete = {
            "flops": section.flops_complete[side],
            "params": params_complete[side],
            "memory": sides[side].memory_complete,
        }
        assert metric.of_cost is not None
        known = not is_unknown(sides[side], metric.name)
        whole = metric.completeness is None or complete[metric.completeness]
        return Number(metric.of_cost(section.costs[side]) if known else None, whole)

    def before(section: _Section, metric: Metric) -> Number:
        return read(section, metric, 0)

    def after(section: _Section, metric: Metric) -> Number:
        return read(section, metric, 1)

    fields = [
        read_text("section", "Section", lambda row: row.name),
        *(field for metric in ADDITIVE for field in make_pair_fields(metric, before, after)),
        make_complete_field(before, after),
    ]
    default = ["section", *(f"{name}_{part}" for name in ("params", selection.units) for part in ("before", "after", "percent"))]
    shown = [field for field in fields if field.right and field.name in (selection.columns or default)]
    filled = [row for row in rows[:-1] if not shown or any(field.read(row).value for field in shown)]
    return _finish(name_comparison(*sides), fields, [*filled, rows[-1]], selection, default, has_total=True)


# --- layers -----------------------------------------------------------------------------------------------------------


class _Layer(NamedTuple):
    diff: ModuleDiff
    modules: Pair[ModuleRecord | None]


def _read_module(profile: Profile, module: ModuleRecord | None, metric: Metric, *, own: bool = False) -> Number:
    if module is None or metric.of_cost is None or is_unknown(profile, metric.name):
        return Number(None)
    return Number(metric.of_cost(module.own if own else module.total), metric.is_complete(module))


def _tabulate_layers(report: Report, selection: Selection) -> Table:
    sides = Pair(report.before, report.after)
    indexes = sides.map(index_modules)
    rows = [
        _Layer(row, Pair(indexes.before.get(row.before_path), indexes.after.get(row.after_path)))
        for row in report.modules
        if not (selection.only_changes and row.changes == ("same",)) and _is_within(row.after_path or row.before_path or "", selection)
    ]

    def make_reader(side: int, *, own: bool) -> Any:
        return lambda row, metric: _read_module(sides[side], row.modules[side], metric, own=own)

    total, own = ((make_reader(0, own=each), make_reader(1, own=each)) for each in (False, True))
    fields = [
        read_text("before_path", "Before", lambda row: _name_path(row.diff.before_path)),
        read_text("after_path", "After", lambda row: _name_path(row.diff.after_path)),
        *(_make_side_field(side, "type", "Type", _name_type) for side in (0, 1)),
        read_text("changes", "Changes", lambda row: make_visible(", ".join(row.diff.changes))),
        Field("confidence", "Confidence", lambda row: make_number(row.diff.confidence), right=True),
        read_text("reason", "Reason", lambda row: make_visible(row.diff.reason)),
        *(_make_side_field(side, "output", "Output", _name_output) for side in (0, 1)),
        *(field for metric in ADDITIVE for field in make_pair_fields(metric, *total)),
        *(field for metric in ADDITIVE for field in make_pair_fields(metric, *own, "own_", f"Own {metric.label}")),
        make_complete_field(*total),
    ]
    figures = [f"{name}_{part}" for name in ("params", selection.units) for part in ("before", "after", "delta")]
    return _finish(name_comparison(*sides), fields, rows, selection, ["before_path", "after_path", "changes", *figures])


def _make_side_field(side: int, name: str, heading: str, read: Callable[[ModuleRecord | None], str | None]) -> Field:
    word = ("before", "after")[side]
    return read_text(f"{word}_{name}", f"{heading} {word}", lambda row: read(row.modules[side]))


def _tabulate_profile(profile: Profile, selection: Selection) -> Table:
    rows = [module for module in profile.modules if _is_within(module.path, selection)]

    def read(module: ModuleRecord, metric: Metric) -> Number:
        return _read_module(profile, module, metric)

    def read_own(module: ModuleRecord, metric: Metric) -> Number:
        return _read_module(profile, module, metric, own=True)

    fields = [
        read_text("path", "Layer", lambda row: _name_path(row.path)),
        read_text("type", "Type", _name_type),
        Field("depth", "Depth", lambda row: make_number(_count_levels(row.path)), right=True),
        Field("calls", "Calls", lambda row: make_number(len(row.calls)), right=True),
        read_text("output_shape", "Output shape", _name_output),
        *(make_metric_field(metric, read) for metric in ADDITIVE),
        *(make_metric_field(metric, read_own, f"own_{metric.name}", f"Own {metric.label}") for metric in ADDITIVE),
        *(make_share_field(METRICS[name], read, getattr(profile.totals, name)) for name in ("params", "macs", "flops")),
        make_complete_field(read),
    ]
    return _finish(name_profile(profile), fields, rows, selection, ["path", "type", "output_shape", "params", "macs", "flops"])


def _is_within(path: str, selection: Selection) -> bool:
    return selection.depth is None or _count_levels(path) <= selection.depth


def _count_levels(path: str) -> int:
    return path.count(".") + bool(path)


def _name_path(path: str | None) -> str | None:
    return None if path is None else name_path(path)


def _name_type(module: ModuleRecord | None) -> str | None:
    return None if module is None else make_visible(module.type)


def _name_output(module: ModuleRecord | None) -> str | None:
    return None if module is None else format_outputs(module)
