"""A study as every format shows it: a table, plots, and what is said about them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_short
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


# --- plots of studies: points in pixels, the numbers at their axes, and names beside the points that matter ---


# Left, top, right, bottom.
Box = tuple[float, float, float, float]

# Room around a plot for the numbers of its axes, and its size, in pixels.
LEFT, TOP, WIDTH, HEIGHT = 70, 26, 640, 220
_ASIDE, _BELOW = 28, 8  # how far names may stand out to the right, where the drawing ends, and below, where the axis' numbers are
_LETTER, _LINE = 6.4, 13  # the room that a letter and a line of a name take, in pixels
_NEAR, _DOT = 8, 5  # the distance of a name from its point, and the point's own size


class Point(Record, frozen=True, kw_only=True):
    """A point of a plot in pixels; `marked` ones are told apart. A `name` stands beside it where there is room (`anchor` is SVG's)."""

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
        """Whether the name stands so far off that a line has to lead to it."""
        return bool(self.anchor) and self.y - self.name_y > _NEAR + _LINE


class Plot(Record, frozen=True, kw_only=True):
    """A plot: points, joined to a line or not, and the numbers at its axes. `names` and `values` are for what draws by itself.

    `across` and `up` are what its axes show, where that has to be said.
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
    """Heights of values from zero up, in pixels from the top, and the axis' numbers."""
    largest = max(values) or 1
    heights = [round(TOP + HEIGHT * (1 - value / largest), 1) for value in values]
    return heights, ((float(TOP + HEIGHT), "0"), (float(TOP), format_short(largest, unit)))


def name_points(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points with the places of their names, the marked ones' first: right, left, above or below, covering no point and no other name.

    A name that fits nowhere stays away; it is still told when the point is pointed at.
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
    """Where a name may stand, the best first: its box, and the text's own place and anchor. A marked point's may stand further off."""
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
