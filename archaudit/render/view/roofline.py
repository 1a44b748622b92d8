"""The roofline: each layer's achieved FLOP/s over its FLOPs a byte, under the ceilings that were measured in the same run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import Protocol

from archaudit.metrics.quantities import format_percent, format_short
from archaudit.render.formatting import name_path
from archaudit.render.view.method_records import Roofline, RooflinePoint, RooflineTick
from archaudit.schema import Latency, ModuleRecord
from archaudit.timing import Ceilings, Work

# Layers below this share of the time are left out, because they would cover the others.
_LEAST_SHARE = 0.004
_MOST_LABELS = 5
# The size of a label, in per cent of the plot.
_LABEL_WIDTH, _LABEL_HEIGHT = 22.0, 5.0

# The side, the path, what it does, and its share of the side's time.
Layer = tuple[str, str, Work, float]


class TimedSide(Protocol):
    """One side as the latency section knows it."""

    @property
    def side(self) -> str:
        """What to call it."""

    @property
    def latency(self) -> Latency:
        """Its times."""

    @property
    def modules(self) -> dict[str, ModuleRecord]:
        """Its modules by path."""

    @property
    def ceilings(self) -> Ceilings | None:
        """What its device can do."""


def draw_roofline(timed: Sequence[TimedSide]) -> Roofline | None:
    """The plot of all layers with FLOPs; None without ceilings or without such layers."""
    ceilings = next((each.ceilings for each in timed if each.ceilings is not None), None)
    layers = [(each.side, path, work, share) for each in timed for path, work, share in _list_layers(each)]
    if ceilings is None or not layers:
        return None
    ridge = ceilings.flops_per_s / ceilings.bytes_per_s
    intensities = [work.flops / work.moved_bytes for _, _, work, _ in layers]
    speeds = [work.flops_per_s for _, _, work, _ in layers]
    across = _Axis(min(*intensities, ridge / 2), max(*intensities, ridge * 4))
    up = _Axis(min(*speeds, ceilings.flops_per_s / 10), max(*speeds, ceilings.flops_per_s))
    left_roof = max(across.low, up.low / ceilings.bytes_per_s)
    roof = [(left_roof, left_roof * ceilings.bytes_per_s), (ridge, ceilings.flops_per_s), (across.high, ceilings.flops_per_s)]
    return Roofline(
        alt=_tell(layers, ceilings),
        roof=tuple((across.place(x), 100 - up.place(y)) for x, y in roof),
        roof_texts=(f"copy {format_short(ceilings.bytes_per_s)}B/s", f"matrix product {format_short(ceilings.flops_per_s)}FLOP/s"),
        across=tuple(RooflineTick(place=across.place(value), text=_spell(value)) for value in across.ticks),
        up=tuple(RooflineTick(place=100 - up.place(value), text=format_short(value)) for value in up.ticks),
        points=_place_points(layers, across, up),
    )


def _place_points(layers: Sequence[Layer], across: _Axis, up: _Axis) -> tuple[RooflinePoint, ...]:
    """A point for each layer, the largest first. The first few have labels, if these do not overlap."""
    points: list[RooflinePoint] = []
    named: list[tuple[float, float]] = []
    for side, path, work, share in sorted(layers, key=lambda layer: -layer[3]):
        left, top = across.place(work.flops / work.moved_bytes), 100 - up.place(work.flops_per_s)
        free = all(abs(left - x) > _LABEL_WIDTH or abs(top - y) > _LABEL_HEIGHT for x, y in named)
        is_named = free and len(named) < _MOST_LABELS
        named += [(left, top)] * is_named
        points.append(
            RooflinePoint(
                kind="after" if side == "after" else "before",
                left=left,
                top=round(top, 2),
                size=round(math.sqrt(share), 3),
                title=_describe_layer(side, path, work, share),
                label=name_path(path) if is_named else "",
                label_left=left > 100 - _LABEL_WIDTH,
            )
        )
    return tuple(points)


def _list_layers(timed: TimedSide) -> list[tuple[str, Work, float]]:
    """Each layer with FLOPs of its own: its path, its work, and its share of the side's time."""
    times = {path: median(samples) for path, samples in timed.latency.own_s.items()}
    whole = sum(times.values())
    found = []
    for path, seconds in times.items():
        module = timed.modules.get(path)
        if module is None or not module.own.flops or not module.own.moved_bytes or seconds <= 0 or seconds < _LEAST_SHARE * whole:
            continue
        found.append((path, Work(module.own.flops, module.own.moved_bytes, timed.latency.launches.get(path, 0), seconds), seconds / whole))
    return found


def _tell(layers: Sequence[Layer], ceilings: Ceilings) -> str:
    largest = sorted(layers, key=lambda layer: -layer[3])[:3]
    listed = "; ".join(_describe_layer(side, path, work, share) for side, path, work, share in largest)
    return (
        f"Roofline: FLOP/s over FLOPs per byte of {len(layers)} layers, ceilings {format_short(ceilings.flops_per_s)}FLOP/s and "
        f"{format_short(ceilings.bytes_per_s)}B/s. Largest: {listed}"
    )


def _describe_layer(side: str, path: str, work: Work, share: float) -> str:
    name = f"{side}: {name_path(path)}" if side else name_path(path)
    intensity = _spell(work.flops / work.moved_bytes)
    return f"{name}, {format_percent(share)} of the time, {intensity} FLOPs per byte, {format_short(work.flops_per_s)}FLOP/s"


def _spell(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else format_short(value)


class _Axis:
    """A logarithmic axis from one power of ten to another."""

    def __init__(self, low: float, high: float) -> None:
        self.first, self.last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        if self.first == self.last:
            self.last += 1
        self.low, self.high = 10.0**self.first, 10.0**self.last

    def place(self, value: float) -> float:
        """Where a value is, in per cent of the axis."""
        return round(100 * (math.log10(value) - self.first) / (self.last - self.first), 2)

    @property
    def ticks(self) -> list[float]:
        """Every power of ten."""
        return [10.0**power for power in range(self.first, self.last + 1)]
