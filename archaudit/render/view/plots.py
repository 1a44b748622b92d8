"""The view of a history or sweep: a table, plots, and sentences; and the layout of the plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_short
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

# Room around a plot for the numbers of its axes, and its size, in pixels.
LEFT, TOP, WIDTH, HEIGHT = 70, 26, 640, 220
_ASIDE, _BELOW = 28, 8  # how far names may extend to the right of the plot (to the edge of the image) and below it (to the axis' numbers)
_LETTER, _LINE = 6.4, 13  # the room that a letter and a line of a name take, in pixels
_NEAR, _DOT = 8, 5  # the distance of a name from its point, and the point's own size


class Point(Record, frozen=True, kw_only=True):
    """A point of a plot in pixels; `marked` ones are highlighted. Its `name` is drawn if there is room (`anchor` is SVG's text-anchor)."""

    x: float
    y: float
    label: str
    marked: bool = False
    name: str = ""
    name_x: float = 0
    name_y: float = 0
    anchor: str = ""

    @property
    def is_apart(self) -> bool:
        """Whether the name is so far from the point that a line connects them."""
        return bool(self.anchor) and self.y - self.name_y > _NEAR + _LINE


class Plot(Record, frozen=True, kw_only=True):
    """A plot: points, optionally joined by a line, and the numbers at its axes. `names` and `values` are for Mermaid's charts.

    `across` and `up` are the titles of the axes, if they need some.
    """

    label: str
    alt: str
    points: tuple[Point, ...]
    line: str = ""
    across: str = ""
    up: str = ""
    y_ticks: tuple[tuple[float, str], ...] = ()
    x_ticks: tuple[tuple[float, str], ...] = ()
    names: tuple[str, ...] = ()
    values: tuple[int, ...] = ()


def place_values(values: Sequence[int], unit: str) -> tuple[list[float], tuple[tuple[float, str], ...]]:
    """The y positions of values on an axis from zero, in pixels from the top, and the axis' numbers."""
    largest = max(values) or 1
    heights = [round(TOP + HEIGHT * (1 - value / largest), 1) for value in values]
    return heights, ((float(TOP + HEIGHT), "0"), (float(TOP), format_short(largest, unit)))


def name_points(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points with the places of their names, the marked ones' first: right, left, above or below, covering no point and no other name.

    A name that fits nowhere is left out; the tooltip of the point still has it.
    """
    taken = [(point.x - _DOT, point.y - _DOT, point.x + _DOT, point.y + _DOT) for point in points]
    named = list(points)
    for number, point in sorted(enumerate(points), key=lambda each: not each[1].marked):
        found = next((place for place in _list_places(point) if _is_free(place[0], taken)), None) if point.name else None
        if found is not None:
            box, x, y, anchor = found
            taken.append(box)
            named[number] = msgspec.structs.replace(point, name_x=round(x, 1), name_y=round(y, 1), anchor=anchor)
    return tuple(named)


def _list_places(point: Point) -> Iterator[tuple[Box, float, float, str]]:
    """Positions for a name, the best first: its box, and the text's position and anchor. Names of marked points may be further away."""
    width = _LETTER * len(point.name)
    sides = ((point.x + _NEAR, "start"), (point.x - _NEAR - width, "end"))
    centre = (point.x - width / 2, "middle")
    up, down = point.y - _NEAR - _LINE, point.y + _NEAR
    rows = [(point.y - _LINE / 2, sides), (up, (centre,)), (down, (centre,))]
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
