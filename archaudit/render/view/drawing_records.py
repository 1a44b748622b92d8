"""The records of what is drawn: waterfalls, icicles, diagrams of the data flow, and the forward pass line by line.

They hold shares and texts, never coordinates on a page: those are the renderer's.

The charts (waterfall, icicle, roofline, history, Pareto plot) are bars, steps and points with text, drawn by the templates from these rows.
Vega-Lite through vl-convert was weighed: its first chart takes 1.1 to 1.5 s here, ten times what the whole page does, and its output is a
picture, while these have texts that can be selected, exact numbers on hover, and links to the layer's row. Laying out a graph is another
matter: `render/diagram.py` leaves it to Graphviz.
"""

from __future__ import annotations

from archaudit.render.view.figures import Figure
from archaudit.schema import Record


class Step(Record, frozen=True, kw_only=True):
    """A bar of a waterfall: from `start` to `start + width` per cent of the larger total. `kind` is `whole`, `fewer` or `more`."""

    label: str
    value: Figure
    note: str
    kind: str
    start: float
    width: float


class Waterfall(Record, frozen=True, kw_only=True):
    """From the total before to the total after, one step a group; `label` names the unit."""

    label: str
    steps: tuple[Step, ...]
    note: str = ""


class Cell(Record, frozen=True, kw_only=True):
    """A module in an icicle: `level` counts from the root, `left` and `width` are per cent. `kind` as in a LayerRow, or `rest`."""

    level: int
    left: float
    width: float
    label: str
    title: str
    kind: str
    mark: str


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
    """A module, an operator between modules, or an input in a diagram. `kind` is `module`, `operator` or `input`.

    `state` is `added`, `removed`, `changed` or empty; `change` says it in words. `share` is the share of the side's parameters, per cent.
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
    """The forward passes of the sides, as diagrams, as lines and in sentences; `message` says why there are no diagrams and lines."""

    diagrams: tuple[Diagram, ...]
    lines: tuple[FlowLine, ...]
    sentences: tuple[str, ...] = ()
    summary: str = ""
    message: str = ""
