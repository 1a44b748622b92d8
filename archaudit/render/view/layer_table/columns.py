"""The number columns of a layer table, each with how to fill it. A new column is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from archaudit.render.formatting import make_visible
from archaudit.render.view.figures import NO_FIGURE, Figure, make_duration, make_figure, make_sides
from archaudit.render.view.latency.section import find_module_median
from archaudit.render.view.records import ColumnGroup
from archaudit.schema import Cost, Latency, ModuleRecord, Profile, WitnessRow

COMPARED = ("before", "after", "delta")
BOTH = ("before", "after")
ALONE = ("",)

_SAME = Figure(short="=", exact="=")

# What a row stands for: a module before and one after; a single profile has the first only.
Pair = tuple[ModuleRecord | None, ModuleRecord | None]


class CostColumn(NamedTuple):
    """Which cost a column shows, and whether it is only as complete as the module's FLOPs."""

    read: Callable[[Cost], int]
    needs_flops: bool


class Column(NamedTuple):
    """A group of neighbouring columns, and how to fill it for a row. `cost` is None where rows do not add up to anything."""

    group: ColumnGroup
    fill: Callable[[Pair], tuple[Figure, ...]]
    cost: CostColumn | None = None


def make_columns(profiles: Sequence[Profile]) -> tuple[Column, ...]:
    """The columns for one profile or for two that are compared."""
    return (
        _cost_column("params", "Parameters", CostColumn(lambda cost: cost.params, False), profiles),
        _cost_column("flops", "FLOPs", CostColumn(lambda cost: cost.flops, True), profiles),
        *_latency_columns(profiles),
        *_witness_columns(profiles),
    )


def fill_columns(columns: Sequence[Column], pair: Pair) -> tuple[Figure, ...]:
    """All figures of a row."""
    return tuple(figure for column in columns for figure in column.fill(pair))


def sum_columns(columns: Sequence[Column], pairs: Sequence[Pair], *, inclusive: bool = False) -> tuple[Figure, ...]:
    """The figures of several rows together: the sums of their own costs (`inclusive`: with all below), nothing where there is no sum."""
    figures: list[Figure] = []
    for column in columns:
        width = len(column.group.columns)
        if column.cost is None:
            figures += [NO_FIGURE] * width
            continue
        before, after = ([pair[side] for pair in pairs] for side in (0, 1))
        complete = all(module.flops_complete for module in (*before, *after) if module) or not column.cost.needs_flops
        read = column.cost.read
        sums = [sum(read(module.total if inclusive else module.own) for module in modules if module) for modules in (before, after)]
        figures += _spread(sums[0], sums[1], (complete, complete), width)
    return tuple(figures)


def _cost_column(key: str, label: str, cost: CostColumn, profiles: Sequence[Profile]) -> Column:
    headings = ALONE if len(profiles) == 1 else COMPARED
    width = len(headings)

    def fill(pair: Pair) -> tuple[Figure, ...]:
        values = [None if module is None else cost.read(module.total) for module in pair]
        complete = tuple(module is None or module.flops_complete or not cost.needs_flops for module in pair)
        return _spread(values[0], values[1], (complete[0], complete[1]), width)

    return Column(ColumnGroup(key=key, label=label, columns=headings, exact=key != "flops"), fill, cost)


def _spread(before: int | None, after: int | None, complete: tuple[bool, bool], width: int) -> tuple[Figure, ...]:
    if width < len(COMPARED):
        return (make_figure(before, complete=complete[0]), make_figure(after, complete=complete[1]))[:width]
    sides = make_sides(before, after, complete=complete)
    return (sides.before, sides.after, sides.delta)


def _latency_columns(profiles: Sequence[Profile]) -> tuple[Column, ...]:
    if not any(profile.latency for profile in profiles):
        return ()
    latencies = [profile.latency for profile in profiles]

    def fill(pair: Pair) -> tuple[Figure, ...]:
        return tuple(
            make_duration(find_module_median(latency, module.path if module else None))
            for latency, module in zip(latencies, pair, strict=False)
        )

    label = f"Latency, ms{_name_devices(latencies)}"
    return (Column(ColumnGroup(key="latency", label=label, columns=BOTH if len(profiles) == 2 else ALONE), fill),)


def _name_devices(latencies: Sequence[Latency | None]) -> str:
    """` (CPU)`, ` (GPU)`: times of one are never taken for those of the other. Nothing where it was not noted."""
    kinds = {"cpu": "CPU", "cuda": "GPU"}
    named = [kinds.get(latency.settings.device, "") for latency in latencies if latency is not None and latency.settings is not None]
    told = " and ".join(dict.fromkeys(filter(None, named)))
    return f" ({told})" if told else ""


def _witness_columns(profiles: Sequence[Profile]) -> tuple[Column, ...]:
    """For each witness its params and its MACs, where it says anything of them for any module."""
    names = sorted({name for profile in profiles for name in profile.witnesses})
    return tuple(
        column
        for name in names
        for figure, label in (("params", "params"), ("macs", "MACs"))
        if (column := _witness_column(name, figure, label, profiles)) is not None
    )


def _witness_column(name: str, figure: str, label: str, profiles: Sequence[Profile]) -> Column | None:
    spoken = [_collect(profile, name, figure) for profile in profiles]
    if not any(spoken):
        return None

    def fill(pair: Pair) -> tuple[Figure, ...]:
        return tuple(_say(known, module, figure) for known, module in zip(spoken, pair, strict=False))

    heading = f"{make_visible(name)} {label}"
    return Column(ColumnGroup(key=f"{name} {figure}", label=heading, columns=BOTH if len(profiles) == 2 else ALONE, exact=True), fill)


def _say(known: dict[str, int], module: ModuleRecord | None, figure: str) -> Figure:
    """What a witness says of a module; that it says what we say is shorter, and lets the others stand out."""
    if module is None or module.path not in known:
        return NO_FIGURE
    return _SAME if known[module.path] == getattr(module.total, figure) and module.flops_complete else make_figure(known[module.path])


def _collect(profile: Profile, name: str, figure: str) -> dict[str, int]:
    """What a witness says of each module; modules that it says nothing of are left out."""
    rows: dict[str, WitnessRow] = profile.witnesses[name].modules if name in profile.witnesses else {}
    return {path: value for path, row in rows.items() if (value := getattr(row, figure)) is not None}
