"""The columns of metrics: one side's figure, or both sides' with their difference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from archaudit.metrics.catalog import METRICS, Metric
from archaudit.metrics.quantities import format_percent
from archaudit.render.exports.tables import Cell, Field, make_difference, make_flag, make_number, make_percentage, make_share

# Parameters are compared digit by digit; of compute and bytes three digits are read.
_EXACT_UNITS = ("params", "")
_HEADINGS = {"params": "Params", "peak_activation_bytes": "Peak memory", "activation_bytes": "Activations", "moved_bytes": "Bytes moved"}
# The metrics that the modules below one add up to.
ADDITIVE = tuple(metric for metric in METRICS.values() if metric.additive)


class Number(NamedTuple):
    """A metric of one row and side: None if it is not known, not `complete` if it is a lower bound."""

    value: float | None
    complete: bool = True


Read = Callable[[Any, Metric], Number]


def head_metric(metric: Metric) -> str:
    """The heading of a metric's column."""
    return _HEADINGS.get(metric.name, metric.label)


def make_metric_field(metric: Metric, read: Read, name: str = "", heading: str = "") -> Field:
    """One column with the figures of a metric."""

    def make(row: Any) -> Cell:
        number = read(row, metric)
        return make_number(number.value, metric.unit, exact=metric.unit in _EXACT_UNITS, complete=number.complete)

    return Field(name or metric.name, heading or head_metric(metric), make, right=True)


def make_share_field(metric: Metric, read: Read, whole: float) -> Field:
    """One column with the shares of a total, in per cent."""

    def make(row: Any) -> Cell:
        value = read(row, metric).value
        return make_share(value, whole, format_percent(value / whole) if value is not None and whole else "")

    return Field(f"{metric.name}_share", f"{head_metric(metric)} share", make, right=True)


def make_pair_fields(metric: Metric, before: Read, after: Read, prefix: str = "", heading: str = "") -> Iterator[Field]:
    """Four columns: before, after, their difference, and that in per cent of before."""
    exact, group = metric.unit in _EXACT_UNITS, heading or head_metric(metric)
    name = f"{prefix}{metric.name}"

    def read_both(row: Any) -> tuple[float | None, float | None, bool]:
        one, other = before(row, metric), after(row, metric)
        return one.value, other.value, one.complete and other.complete

    def delta(row: Any) -> Cell:
        one, other, complete = read_both(row)
        return make_difference(one, other, metric.unit, exact=exact, complete=complete)

    def percent(row: Any) -> Cell:
        one, other, complete = read_both(row)
        return make_percentage(one, other, complete=complete)

    yield make_metric_field(metric, before, f"{name}_before", "before")._replace(group=group)
    yield make_metric_field(metric, after, f"{name}_after", "after")._replace(group=group)
    yield Field(f"{name}_delta", "delta", delta, group, right=True)
    yield Field(f"{name}_percent", "change", percent, group, right=True)


def make_complete_field(*readers: Read) -> Field:
    """Whether all additive figures of a row are whole numbers, not lower bounds."""
    return Field(
        "complete",
        "complete",
        lambda row: make_flag(all(read(row, metric).complete for read in readers for metric in ADDITIVE)),
    )
