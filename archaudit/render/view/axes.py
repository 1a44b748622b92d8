"""Axes of charts: the range that the values need, ticks at round numbers, and a note where an axis does not begin at zero."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from archaudit.metrics.quantities import format_short

# Values between zero and this share of the largest are drawn on an axis from zero; others would be squeezed at its end.
_MOST_EMPTY = 0.5
# Values that differ by this factor are drawn on a logarithmic axis; on a linear one the small ones would be one point.
_LOGARITHMIC_FROM = 50
# About so many ticks are on an axis.
_TICKS = 5
_STEPS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K"))
# The room before the smallest value, on an axis that does not begin at zero, as a share of the range of the values.
_ROOM = 0.08


class Tick(NamedTuple):
    """A number of an axis: `place` is its share of the way along, 0 to 1."""

    place: float
    text: str


class Axis(NamedTuple):
    """A range of values; `values` are those of its ticks."""

    low: float
    high: float
    values: tuple[float, ...]
    unit: str = ""
    is_log: bool = False

    def place(self, value: float) -> float:
        """The share of the way along the axis, 0 to 1."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        """The ticks, from low to high."""
        return tuple(Tick(round(self.place(value), 4), text) for value, text in zip(self.values, _write_ticks(self), strict=True))

    @property
    def starts_at(self) -> str:
        """The value at which it starts, as its first tick has it; empty for zero."""
        return self.ticks[0].text if self.low else ""

    @property
    def note(self) -> str:
        """What a reader must know of the scale; empty for a linear axis from zero."""
        return "logarithmic" if self.is_log else f"from {self.starts_at}" if self.low else ""


def make_axis(values: Iterable[float], unit: str = "", *, may_be_log: bool = False, room: float = 0.0, ticks: int = _TICKS) -> Axis:
    """An axis for values of at least zero: from zero, unless more than half of it would be empty, to the largest value.

    `room` is left after that, as a share of the range. There are about so many `ticks`.
    """
    known = list(values)
    smallest, largest = min(known, default=0), max(known, default=0)
    if may_be_log and smallest > 0 and largest / smallest >= _LOGARITHMIC_FROM:
        return _make_log_axis(smallest, largest, unit)
    base = smallest - _ROOM * (largest - smallest) if smallest > _MOST_EMPTY * largest and smallest < largest else 0.0
    step = _choose_step(max(largest - base, 1e-12) / ticks, unit)
    low = step * math.floor(base / step + 1e-9)
    high = max(largest + room * (largest - low), low + step / ticks)
    first, last = round(low / step), math.floor(high / step + 1e-9)
    return Axis(low, high, tuple(place * step for place in range(first, last + 1)), unit)


def _make_log_axis(smallest: float, largest: float, unit: str) -> Axis:
    first, last = math.floor(math.log10(smallest)), math.ceil(math.log10(largest))
    powers = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    inside = [value for value, following in pairwise(powers) if following > smallest]
    kept = [value for value in inside if value <= largest]
    low, high = kept[0], next((value for value in inside if value >= largest), kept[-1] * 2)
    ticks = [*kept, *([high] if high > kept[-1] else [])]
    if len(ticks) > 2 * _TICKS:
        ticks = [value for value in ticks if math.log10(value) % 1 < 1e-9]
    return Axis(low, high, tuple(ticks), unit, is_log=True)


def _choose_step(least: float, unit: str) -> float:
    """The smallest round step of at least `least`: 1, 2 or 5 times a power of ten; for bytes a power of two."""
    if unit == "bytes":
        return 2.0 ** math.ceil(math.log2(least))
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _write_ticks(axis: Axis) -> list[str]:
    """The numbers of an axis in short; with more digits, in one unit, where three do not write them exactly."""
    if axis.unit == "bytes" or all(math.isclose(float(f"{value:.3g}"), value, rel_tol=1e-9) for value in axis.values):
        return [format_short(value, axis.unit) for value in axis.values]
    step, letter = next((each for each in _STEPS if max(axis.values) >= each[0]), (1, ""))
    return [f"{value / step:.9g}{letter}" for value in axis.values]
