"""[latency]: the budget on measured time, off unless it is there."""

from __future__ import annotations

from typing import cast, get_args

from archaudit.config.names import Known, expect_model
from archaudit.config.records import BASELINE
from archaudit.config.tables import Table, describe, join_key, quote
from archaudit.metrics.quantities import format_percent
from archaudit.schema import Device, LatencyBudget, Precision

LATENCY_KEYS = ("id", "before", "after", "max_ratio", "max_increase", "min_change", "device", "dtype")
_DEFAULT_INCREASE = 5.0


def read_latency(top: Table, known: Known) -> LatencyBudget | None:
    """The budget; None where the config has none."""
    values = top.values.get("latency")
    if values is None:
        return None
    if not isinstance(values, dict):
        top.fault("latency", f"expected a table [{join_key(top.key, 'latency')}], not {describe(values)}")
        return None
    table = Table(values, join_key(top.key, "latency"), top.faults, LATENCY_KEYS)
    before, after = (table.read_text(side, required=True) for side in ("before", "after"))
    expect_model(table, "before", "" if before == BASELINE else before, known)
    expect_model(table, "after", after, known)
    ratio = _read_ratio(table)
    return LatencyBudget(
        id=table.read_text("id") or "latency",
        before=before,
        after=after,
        max_ratio=ratio,
        expected=f"{ratio:.4g}x",
        min_change_s=_read_seconds(table),
        device=cast(Device, table.read_text("device", choices=get_args(Device)) or "auto"),
        dtype=cast(Precision, table.read_text("dtype", choices=get_args(Precision)) or "float32"),
    )


def _read_ratio(table: Table) -> float:
    """After by before: `max_ratio = 1.05`, or `max_increase = "5%"`."""
    if "max_ratio" in table.values and "max_increase" in table.values:
        table.fault("max_increase", "says the same as max_ratio; leave one out")
    if "max_ratio" in table.values:
        figure = table.read_figure("max_ratio")
        if figure is not None and (figure.unit not in ("", "x") or figure.value <= 0):
            table.fault("max_ratio", f"{quote(figure.text)} is no ratio such as 1.05")
        return float(figure.value) if figure is not None else 1.0
    figure = table.read_figure("max_increase")
    if figure is not None and (figure.unit != "%" or figure.value < 0):
        table.fault("max_increase", f"{quote(figure.text)} should be a percentage such as {quote(format_percent(0.05))}")
    return 1 + (float(figure.value) if figure is not None else _DEFAULT_INCREASE) / 100


def _read_seconds(table: Table) -> float | None:
    """The change that never fails, as `0.1 ms`."""
    figure = table.read_figure("min_change")
    if figure is None:
        return None
    if figure.unit != "ms" or figure.value < 0:
        table.fault("min_change", f"{quote(figure.text)} should be a time in milliseconds such as '0.1 ms'")
    return float(figure.value) / 1e3
