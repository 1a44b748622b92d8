"""A study as every format shows it: a table, plots, and what is said about them."""

from __future__ import annotations

import msgspec

from archaudit.metrics import METRICS
from archaudit.render.view.studies.plots import Plot
from archaudit.schema import HistoryStep, Record, Variant


class Column(Record, frozen=True, kw_only=True):
    """A column of a study's table; `rank` says how soon it goes where there is no room, `least` how far it may be narrowed."""

    heading: str
    cells: tuple[str, ...]
    rank: int = 0
    right: bool = False
    least: int = 0


class StudyView(Record, frozen=True, kw_only=True):
    """A study, ready to be written in any format. `details` has what is told below a row of the table, by its place."""

    title: str
    sentence: str
    columns: tuple[Column, ...]
    details: dict[int, tuple[str, ...]] = msgspec.field(default_factory=dict)
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()


def read_value(record: HistoryStep | Variant, metric: str) -> int | None:
    """A metric of a step or a variant; None where it was not measured."""
    if record.totals is None:
        return None
    if metric.startswith("peak_") or metric == "saved_bytes":
        value: int | None = getattr(record.peaks, metric.removeprefix("peak_"))
        return value
    known = METRICS[metric]
    return known.of_cost(record.totals) if known.of_cost is not None else None
