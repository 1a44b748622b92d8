"""The records of what is drawn: waterfalls, icicles, diagrams of the data flow, and the forward pass line by line.

They hold shares and texts, never coordinates on a page: those are the renderer's.

The charts (waterfall, icicle, roofline, history, Pareto plot) are bars, steps and points with text, drawn by the templates from these rows.
Vega-Lite through vl-convert was weighed: its first chart takes 1.1 to 1.5 s here, ten times what the whole page does, and its output is a
picture of one width. These stretch with the page while their texts keep their size, can be selected, have exact numbers, and link to the
layer's row. Laying out a graph is another matter: `render/diagram.py` leaves it to Graphviz.
"""

from __future__ import annotations

from archaudit.render.view.axes import Tick
from archaudit.render.view.figures import Figure
from archaudit.schema import Record


class Step(Record, frozen=True, kw_only=True):
    """A bar of a waterfall: from `start` to `end` (which is to its left where the step takes away), in per cent of the axis.

    `kind` is `whole`, `fewer` or `more`.
    """

    label: str
    value: Figure
    note: str
    kind: str
    start: float
    end: float

    @property
    def left(self) -> float:
        """Where the bar begins on the page, in per cent of the axis."""
        return min(self.start, self.end)

    @property
    def width(self) -> float:
        """Its length, in per cent of the axis."""
        return round(abs(self.end - self.start), 2)


class Waterfall(Record, frozen=True, kw_only=True):
    """From the total before to the total after, one step a group; `label` names the unit.

    Where the steps are small next to the totals, the axis does not begin at zero, but at the number `starts_at`.
    """

    label: str
    steps: tuple[Step, ...]
    ticks: tuple[Tick, ...] = ()
    starts_at: str = ""
    note: str = ""


class Cell(Record, frozen=True, kw_only=True):
    """A module in an icicle: `level` counts from the root, `left` and `width` are per cent.

    `kind` is as in a LayerRow, or `inside` (a module inside it changed), or `rest` (several small modules).

    `anchor` is the link to its row, `share` its part of the side in words; both are empty for several modules together.
    """

    level: int
    left: float
    width: float
    label: str
    title: str
    kind: str
    mark: str
    anchor: str = ""
    share: str = ""


class Icicle(Record, frozen=True, kw_only=True):
    """Which modules one side's number is in, by width; `alt` says the largest in words."""

    side: str
    alt: str
    levels: int
    cells: tuple[Cell, ...]


class IciclePair(Record, frozen=True, kw_only=True):
    """The icicles of both sides at one scale."""

    label: str
    icicles: tuple[Icicle, ...]
    note: str = ""


class Box(Record, frozen=True, kw_only=True):
    """A module, an operator between modules, or an input in a diagram.

    `kind` is `module`, `operator`, `input`, or `enter` (where the inputs of a container come in).

    `state` is `added`, `removed`, `changed` or empty; `change` says it in words. `share` is the share of the side's parameters, per cent;
    `exact` has its exact numbers. `inside` is the number of the diagram inside it (see Flow), -1 for none. The `anchor` is the link to its
    row; boxes inside others have none, only the `path` of their module relative to the box.
    """

    kind: str
    name: str
    type: str
    shape: str
    figures: str
    share: float
    state: str
    change: str
    anchor: str
    exact: str = ""
    path: str = ""
    inside: int = -1


class Edge(Record, frozen=True, kw_only=True):
    """A connection from one box to another, by their positions; `state` is `added`, `removed` or empty."""

    source: int
    target: int
    state: str


class Diagram(Record, frozen=True, kw_only=True):
    """The data flow of one side; `alt` describes it in words. Without boxes, `message` says why there are none."""

    side: str
    title: str
    alt: str
    boxes: tuple[Box, ...] = ()
    edges: tuple[Edge, ...] = ()
    message: str = ""


class FlowLine(Record, frozen=True, kw_only=True):
    """One step of the forward pass before and after; a side that has none is empty. `mark` and `kind` as in a LayerRow."""

    mark: str
    kind: str
    before: str
    after: str


class Flow(Record, frozen=True, kw_only=True):
    """The forward passes of the sides, as diagrams, as lines and in sentences; `message` says why there are no diagrams and lines.

    `insides` are the diagrams inside boxes, by their number.
    """

    diagrams: tuple[Diagram, ...]
    lines: tuple[FlowLine, ...]
    insides: tuple[Diagram, ...] = ()
    sentences: tuple[str, ...] = ()
    summary: str = ""
    message: str = ""
