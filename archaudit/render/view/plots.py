"""The view of a history or sweep: a table, plots, and sentences; and the layout of the plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from archaudit.metrics.catalog import METRICS
from archaudit.render.view.axes import Axis, Tick
from archaudit.schema import HistoryStep, Record, Variant


class Column(Record, frozen=True, kw_only=True):
    """A column of the table; `rank` and `least` as in layout.TextColumn."""

    heading: str
    cells: tuple[str, ...]
    rank: int = 0
    right: bool = False
    least: int = 0


class StudyView(Record, frozen=True, kw_only=True):
    """A history or sweep for any format. `details` has the lines below a row, by its position."""

    title: str
    sentence: str
    columns: tuple[Column, ...]
    details: dict[int, tuple[str, ...]] = msgspec.field(default_factory=dict)
    plots: tuple[Plot, ...] = ()
    notes: tuple[str, ...] = ()


def read_value(record: HistoryStep | Variant, metric: str) -> int | None:
    """A metric of a step or a variant; None if it was not measured."""
    if record.totals is None:
        return None
    if metric in ("peak_activation_bytes", "saved_bytes"):
        value: int | None = getattr(record.peaks, metric.removeprefix("peak_"))
        return value
    known = METRICS[metric]
    return known.of_cost(record.totals) if known.of_cost is not None else None


# --- plots: points in pixels, the numbers at the axes, and names next to important points ---


# Left, top, right, bottom.
Box = tuple[float, float, float, float]

# Where a plot begins, and its size, in pixels. A page stretches it to the width that there is, so names have this much room at least.
LEFT, TOP, WIDTH, HEIGHT = 0, 26, 640, 260
# What is left free at the end of an axis, as a share of its range, so that the last point is not at the edge.
END_ROOM = 0.06
_ASIDE, _BELOW = 28, 8  # how far names may extend to the right of the plot (to the edge of the image) and below it (to the axis' numbers)
_LETTER, _LINE = 6.4, 13  # the room that a letter and a line of a name take, in pixels
_NEAR, _DOT = 8, 5  # the distance of a name from its point, and the point's own size


class Point(Record, frozen=True, kw_only=True):
    """A point of a plot in pixels; `marked` ones are highlighted. Its `name` is drawn if there is room (`anchor` is SVG's text-anchor).

    `series` is the number of its series, `label` has its exact numbers.
    """

    x: float
    y: float
    label: str
    marked: bool = False
    series: int = 0
    name: str = ""
    name_x: float = 0
    name_y: float = 0
    anchor: str = ""

    @property
    def is_apart(self) -> bool:
        """Whether the name is so far from the point that a line connects them."""
        return bool(self.anchor) and self.y - self.name_y > _NEAR + _LINE


class Line(Record, frozen=True, kw_only=True):
    """A line through places in pixels, in the colour of its series."""

    places: tuple[tuple[float, float], ...]
    series: int = 0


class Plot(Record, frozen=True, kw_only=True):
    """A plot: points, lines, and the ticks of its axes (`across` and `up` are their titles). `names` and `values` are for Mermaid's charts.

    `series` names what differs between the points of several series; it is empty for one. Only lines connect points, and only those of
    one series.
    """

    label: str
    alt: str
    points: tuple[Point, ...]
    lines: tuple[Line, ...] = ()
    across: str = ""
    up: str = ""
    y_ticks: tuple[Tick, ...] = ()
    x_ticks: tuple[Tick, ...] = ()
    series: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()


def place_across(axis: Axis, value: float) -> float:
    """The x position of a value in pixels."""
    return round(LEFT + WIDTH * axis.place(value), 1)


def place_up(axis: Axis, value: float) -> float:
    """The y position of a value in pixels from the top."""
    return round(TOP + HEIGHT * (1 - axis.place(value)), 1)


def title_axis(label: str, axis: Axis) -> str:
    """`FLOPs (from 2G)`: the title of an axis, with what a reader must know of its scale."""
    return f"{label} ({axis.note})" if axis.note else label


def name_points(points: Sequence[Point], *, on_line: bool = False) -> tuple[Point, ...]:
    """The points with the places of their names, the marked ones' first: right, left, above or below, covering no point and no other name.

    Names of points `on_line`, which goes on to the right, are not next to them. A name that fits nowhere is left out; the tooltip of the
    point still has it.
    """
    taken = [(point.x - _DOT, point.y - _DOT, point.x + _DOT, point.y + _DOT) for point in points]
    named = list(points)
    for number, point in sorted(enumerate(points), key=lambda each: not each[1].marked):
        found = next((place for place in _list_places(point, on_line=on_line) if _is_free(place[0], taken)), None) if point.name else None
        if found is not None:
            box, x, y, anchor = found
            taken.append(box)
            named[number] = msgspec.structs.replace(point, name_x=round(x, 1), name_y=round(y, 1), anchor=anchor)
    return tuple(named)


def _list_places(point: Point, *, on_line: bool = False) -> Iterator[tuple[Box, float, float, str]]:
    """Positions for a name, the best first: its box, and the text's position and anchor. Names of marked points may be further away."""
    width = _LETTER * len(point.name)
    sides = ((point.x + _NEAR, "start"), (point.x - _NEAR - width, "end"))
    centre = (point.x - width / 2, "middle")
    up, down = point.y - _NEAR - _LINE, point.y + _NEAR
    rows: list[tuple[float, tuple[tuple[float, str], ...]]] = [(up, (centre,)), (down, (centre,))]
    rows = [*rows, (up, sides), (down, sides)] if on_line else [(point.y - _LINE / 2, sides), *rows]
    if point.marked:
        rows += [(up - step * _LINE, (centre, *sides)) for step in range(4)]
    for top, places in rows:
        for left, anchor in places:
            x = {"start": left, "middle": point.x, "end": left + width}[anchor]
            yield (left, top, left + width, top + _LINE), x, top + _LINE - 3, anchor


def _is_free(box: Box, taken: Sequence[Box]) -> bool:
    left, top, right, bottom = box
    if left < LEFT - _NEAR / 2 or right > LEFT + WIDTH + _ASIDE or top < 0 or bottom > TOP + HEIGHT + _BELOW:
        return False
    return not any(left < x2 and x1 < right and top < y2 and y1 < bottom for x1, y1, x2, y2 in taken)
