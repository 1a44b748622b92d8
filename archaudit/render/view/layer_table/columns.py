"""The number columns of a layer table, each with a function that fills it. A new column is one entry in `make_columns`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from archaudit.metrics.catalog import METRICS, Metric, is_unknown
from archaudit.render.formatting import make_visible
from archaudit.render.view.figures import NO_FIGURE, Figure, make_duration, make_figure, make_sides
from archaudit.render.view.latency_section import find_module_median
from archaudit.render.view.records import ColumnGroup
from archaudit.render.view.screen_records import UNIT_LABELS, Units, read_compute
from archaudit.schema import Cost, CounterRow, Latency, ModuleRecord, Pair, Profile

COMPARED = ("before", "after", "delta")
BOTH = ("before", "after")
ALONE = ("",)

_SAME = Figure(short="=", exact="=")

# The modules of a row; None for a missing side. A row of a single profile has its module on the before side.
ModulePair = Pair[ModuleRecord | None]


class CostColumn(NamedTuple):
    """Which cost a column shows, and whether it is a lower bound: where it is incomplete for a module, or unknown on a whole side."""

    read: Callable[[Cost], int]
    metric: Metric
    known: Pair[bool] = Pair(True, True)

    def is_complete(self, side: int, modules: Iterable[ModuleRecord | None]) -> bool:
        """Whether the cost of these modules of one side is the whole cost."""
        return self.known[side] and all(self.metric.is_complete(module) for module in modules if module)


class Column(NamedTuple):
    """A group of neighbouring columns, and the function that fills it for a row. `cost` is None if the rows cannot be summed."""

    group: ColumnGroup
    fill: Callable[[ModulePair], tuple[Figure, ...]]
    cost: CostColumn | None = None


def make_columns(profiles: Sequence[Profile], units: Units = "flops") -> tuple[Column, ...]:
    """The columns for one profile, or for two that are compared. The column `flops` is in `units`."""
    known = [not is_unknown(profile, "params") for profile in profiles]
    return (
        _make_cost_column(
            "params", "Parameters", CostColumn(lambda cost: cost.params, METRICS["params"], Pair(known[0], known[-1])), profiles
        ),
        _make_cost_column(
            "flops", UNIT_LABELS[units], CostColumn(lambda cost: read_compute(cost.flops, units), METRICS["flops"]), profiles
        ),
        *_make_latency_columns(profiles),
        *_make_counter_columns(profiles),
    )


def fill_columns(columns: Sequence[Column], pair: ModulePair) -> tuple[Figure, ...]:
    """All figures of a row."""
    return tuple(figure for column in columns for figure in column.fill(pair))


def sum_columns(columns: Sequence[Column], pairs: Sequence[ModulePair], *, inclusive: bool = False) -> tuple[Figure, ...]:
    """The figures of several rows together: sums of their own costs (`inclusive`: with submodules); empty in columns without a sum."""
    figures: list[Figure] = []
    before, after = ([pair[side] for pair in pairs] for side in (0, 1))
    for column in columns:
        width = len(column.group.columns)
        if column.cost is None:
            figures += [NO_FIGURE] * width
            continue
        complete = column.cost.is_complete(0, (*before, *after)) and column.cost.is_complete(1, ())
        read = column.cost.read
        sums = [sum(read(module.total if inclusive else module.own) for module in modules if module) for modules in (before, after)]
        figures += _make_figures(Pair(sums[0], sums[1]), column.cost.metric.unit, (complete, complete), width)
    return tuple(figures)


def _make_cost_column(key: str, label: str, cost: CostColumn, profiles: Sequence[Profile]) -> Column:
    headings = ALONE if len(profiles) == 1 else COMPARED
    width = len(headings)

    def fill(pair: ModulePair) -> tuple[Figure, ...]:
        values = pair.map(lambda module: None if module is None else cost.read(module.total))
        complete = (cost.is_complete(0, (pair.before,)), cost.is_complete(1, (pair.after,)))
        return _make_figures(values, cost.metric.unit, complete, width)

    return Column(ColumnGroup(key=key, label=label, columns=headings, exact=key != "flops"), fill, cost)


def _make_figures(values: Pair[int | None] | Pair[int], unit: str, complete: tuple[bool, bool], width: int) -> tuple[Figure, ...]:
    """Before, after and delta; of a single profile the first only."""
    if width < len(COMPARED):
        return (make_figure(values.before, unit, complete=complete[0]), make_figure(values.after, unit, complete=complete[1]))[:width]
    sides = make_sides(values.before, values.after, unit, complete=complete)
    return (sides.before, sides.after, sides.delta)


def _make_latency_columns(profiles: Sequence[Profile]) -> tuple[Column, ...]:
    if not any(profile.latency for profile in profiles):
        return ()
    latencies = [profile.latency for profile in profiles]

    def fill(pair: ModulePair) -> tuple[Figure, ...]:
        return tuple(
            make_duration(find_module_median(latency, module.path if module else None))
            for latency, module in zip(latencies, pair, strict=False)
        )

    label = f"Latency, ms{_name_devices(latencies)}"
    return (Column(ColumnGroup(key="latency", label=label, columns=BOTH if len(profiles) == 2 else ALONE), fill),)


def _name_devices(latencies: Sequence[Latency | None]) -> str:
    """` (CPU)` or ` (GPU)`, so that nobody takes the times of one for those of the other; empty if the device was not recorded."""
    kinds = {"cpu": "CPU", "cuda": "GPU"}
    named = [kinds.get(latency.settings.device, "") for latency in latencies if latency is not None and latency.settings is not None]
    devices = " and ".join(dict.fromkeys(filter(None, named)))
    return f" ({devices})" if devices else ""


def _make_counter_columns(profiles: Sequence[Profile]) -> tuple[Column, ...]:
    """The params and the MACs of each other counter that has a number for any module."""
    names = sorted({name for profile in profiles for name in profile.other_counters})
    return tuple(
        column
        for name in names
        for figure, label in (("params", "params"), ("macs", "MACs"))
        if (column := _make_counter_column(name, figure, label, profiles)) is not None
    )


def _make_counter_column(name: str, figure: str, label: str, profiles: Sequence[Profile]) -> Column | None:
    counts = [_collect_counts(profile, name, figure) for profile in profiles]
    if not any(counts):
        return None

    def fill(pair: ModulePair) -> tuple[Figure, ...]:
        return tuple(_make_counter_figure(known, module, figure) for known, module in zip(counts, pair, strict=False))

    heading = f"{make_visible(name)} {label}"
    return Column(ColumnGroup(key=f"{name} {figure}", label=heading, columns=BOTH if len(profiles) == 2 else ALONE, exact=True), fill)


def _make_counter_figure(counts: dict[str, int], module: ModuleRecord | None, figure: str) -> Figure:
    """The other counter's number of a module; `=` if it is archaudit's number too, so that differences stand out."""
    if module is None or module.path not in counts:
        return NO_FIGURE
    same = counts[module.path] == getattr(module.total, figure) and module.flops_complete
    return _SAME if same else make_figure(counts[module.path])


def _collect_counts(profile: Profile, name: str, figure: str) -> dict[str, int]:
    """The other counter's number of each module that it has one for."""
    rows: dict[str, CounterRow] = profile.other_counters[name].modules if name in profile.other_counters else {}
    return {path: value for path, row in rows.items() if (value := getattr(row, figure)) is not None}
