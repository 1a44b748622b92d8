"""Layout of diagrams: the positions of boxes and edges, for a template to draw.

Graphviz's `dot` computes the layout. It comes with the package `graphviz-pure`: one binary, about 5 ms per graph, and the same coordinates
on every platform, for which the version is pinned in pyproject.toml. Without it the system's `dot` is used; without both, a message
replaces the diagram. Only numbers go to `dot` and come back, so no name needs escaping and no font matters.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from archaudit.render.formatting import ELLIPSIS
from archaudit.render.layout import shorten
from archaudit.render.view.drawing_records import Box, Diagram
from archaudit.schema import Record

NO_PROGRAM = "No diagram: neither the package graphviz-pure nor Graphviz is installed."

_PROGRAMS = ("graphviz-pure", "dot")
_TIMEOUT_S = 20
# Graphviz uses inches of 72 points; a point is a pixel here.
_DPI = 72
_MARGIN = 6
_WIDTHS = {"module": 208, "operator": 150, "input": 130, "enter": 44}
# Characters of the monospaced title, and of the smaller lines below it, that fit into a box. A module's title leaves room for a button.
_TITLE_WIDTHS = {"module": 24, "operator": 19, "input": 16, "enter": 5}
_LINE_WIDTHS = {"module": 28, "operator": 22, "input": 19, "enter": 5}
_FIRST_LINE, _LINE = 17, 15
_ARROW = 7.0
# Weight of the edges on the longest path from input to output, which are drawn as straight as possible.
_SPINE = 8


class PlacedBox(Record, frozen=True, kw_only=True):
    """A box with its corner and size in pixels; `lines` are the lines below its name as (offset from the top, CSS class, text)."""

    box: Box
    name: str
    x: int
    y: int
    width: int
    height: int
    lines: tuple[tuple[int, str, str], ...]


class PlacedEdge(Record, frozen=True, kw_only=True):
    """An edge as an SVG path, and its arrowhead as the points of a polygon; `source` and `target` are positions of boxes."""

    path: str
    head: str
    state: str
    source: int
    target: int


class Placed(Record, frozen=True, kw_only=True):
    """A diagram with its size in pixels."""

    width: int
    height: int
    boxes: tuple[PlacedBox, ...]
    edges: tuple[PlacedEdge, ...]


def place_diagram(diagram: Diagram) -> Placed | None:
    """The layout of a diagram; None if no layout program is installed or it fails."""
    return place_diagrams([diagram])[0]


def place_diagrams(diagrams: Sequence[Diagram]) -> list[Placed | None]:
    """The layouts of several diagrams, by one run of the program: its start takes as long as a layout."""
    program = _find_program()
    drawn = [diagram for diagram in diagrams if diagram.boxes]
    if program is None or not drawn:
        return [None] * len(diagrams)
    lines = [[_list_lines(box) for box in diagram.boxes] for diagram in drawn]
    sizes = [
        [(_WIDTHS[box.kind], _measure_height(box, each)) for box, each in zip(diagram.boxes, found, strict=True)]
        for diagram, found in zip(drawn, lines, strict=True)
    ]
    graphs = "\n".join(_write_dot(diagram, found) for diagram, found in zip(drawn, sizes, strict=True))
    try:
        done = subprocess.run([program, "-Tplain"], input=graphs, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
        texts = done.stdout.split("stop\n")
        placed = iter([_read_plain(*each) for each in zip(texts[: len(drawn)], drawn, sizes, lines, strict=True)])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return [None] * len(diagrams)
    return [next(placed) if diagram.boxes else None for diagram in diagrams]


def _measure_height(box: Box, lines: Sequence[tuple[str, str]]) -> int:
    return _FIRST_LINE + _LINE * len(lines) + (14 if box.kind == "module" else 9)


@lru_cache(maxsize=1)
def _find_program() -> str | None:
    folders = [sysconfig.get_path("scripts"), str(Path(sys.executable).parent)]
    for name in _PROGRAMS:
        found = next((each for folder in folders if (each := shutil.which(name, path=folder))), None) or shutil.which(name)
        if found:
            return found
    return None


def _list_lines(box: Box) -> list[tuple[str, str]]:
    """The lines below the name of a box, each with its CSS class."""
    marks = {"added": "+", "removed": "-", "changed": "~"}
    change = f"{marks[box.state]} {box.change}" if box.state else ""
    lines = [("dim", box.type), ("dim", _cut_shapes(box.shape, _LINE_WIDTHS[box.kind])), ("num", box.figures), (f"is {box.state}", change)]
    return [(kind, shorten(text, _LINE_WIDTHS[box.kind])) for kind, text in lines if text]


def _cut_shapes(text: str, width: int) -> str:
    """As many of several shapes as there is room for."""
    cut = text.rfind(",", 0, width - 2)
    return text if len(text) <= width or cut < 0 else f"{text[:cut]}, {ELLIPSIS}"


def _write_dot(diagram: Diagram, sizes: list[tuple[int, int]]) -> str:
    lines = ['digraph{rankdir=TB;nodesep=0.25;ranksep=0.36;node[shape=box,fixedsize=true,label=""];edge[arrowsize=0.7];']
    lines += [f"n{place}[width={width / _DPI:.4f},height={height / _DPI:.4f}];" for place, (width, height) in enumerate(sizes)]
    spine = _find_spine(diagram)
    lines += [f"n{edge.source}->n{edge.target}[weight={_SPINE if (edge.source, edge.target) in spine else 1}];" for edge in diagram.edges]
    return "\n".join([*lines, "}"])


def _find_spine(diagram: Diagram) -> set[tuple[int, int]]:
    """The edges of the longest path. An edge that leads back to a reused module is on no path."""
    lengths = [(1, -1)] * len(diagram.boxes)
    for edge in sorted(diagram.edges, key=lambda edge: (edge.target, edge.source)):
        if edge.source < edge.target and lengths[edge.source][0] + 1 > lengths[edge.target][0]:
            lengths[edge.target] = (lengths[edge.source][0] + 1, edge.source)
    place = max(range(len(lengths)), key=lambda place: (lengths[place][0], place))
    spine = set()
    while lengths[place][1] >= 0:
        spine.add((lengths[place][1], place))
        place = lengths[place][1]
    return spine


def _read_plain(text: str, diagram: Diagram, sizes: list[tuple[int, int]], lines: list[list[tuple[str, str]]]) -> Placed:
    """Reads Graphviz's plain output: inches from the lower left corner, a line for each node and edge."""
    rows = [line.split() for line in text.splitlines()]
    width, height = (_scale(each) for each in rows[0][2:4])
    boxes: dict[int, PlacedBox] = {}
    edges = []
    states = {(edge.source, edge.target): edge.state for edge in diagram.edges}
    for row in rows[1:]:
        if row[0] == "node":
            place = int(row[1][1:])
            box_width, box_height = sizes[place]
            boxes[place] = PlacedBox(
                box=diagram.boxes[place],
                name=shorten(diagram.boxes[place].name, _TITLE_WIDTHS[diagram.boxes[place].kind]),
                x=round(_scale(row[2]) - box_width / 2) + _MARGIN,
                y=round(height - _scale(row[3]) - box_height / 2) + _MARGIN,
                width=box_width,
                height=box_height,
                lines=tuple((_FIRST_LINE + _LINE * (number + 1), kind, line) for number, (kind, line) in enumerate(lines[place])),
            )
        elif row[0] == "edge":
            points = [float(each) for each in row[4 : 4 + 2 * int(row[3])]]
            pixels = [(points[at] * _DPI + _MARGIN, height - points[at + 1] * _DPI + _MARGIN) for at in range(0, len(points), 2)]
            edges.append(_draw_edge(pixels, states, (int(row[1][1:]), int(row[2][1:]))))
    return Placed(
        width=round(width) + 2 * _MARGIN,
        height=round(height) + 2 * _MARGIN,
        boxes=tuple(boxes[place] for place in sorted(boxes)),
        edges=tuple(edges),
    )


def _scale(inches: str) -> float:
    return float(inches) * _DPI


def _draw_edge(points: list[tuple[float, float]], states: dict[tuple[int, int], str], ends: tuple[int, int]) -> PlacedEdge:
    """A Bézier curve with its arrowhead, for which `dot` leaves room at the end of the curve."""
    (x1, y1), (x2, y2) = points[-2], points[-1]
    length = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1.0
    along, across = (x2 - x1) / length, (y2 - y1) / length
    corners = [
        (x2 + along * _ARROW, y2 + across * _ARROW),
        (x2 - across * _ARROW / 2, y2 + along * _ARROW / 2),
        (x2 + across * _ARROW / 2, y2 - along * _ARROW / 2),
    ]
    start, *rest = points
    return PlacedEdge(
        path=f"M{_write_points([start])}C{_write_points(rest)}",
        head=_write_points(corners),
        state=states[ends],
        source=ends[0],
        target=ends[1],
    )


def _write_points(points: list[tuple[float, float]]) -> str:
    # Whole pixels, because the last digits may differ between machines and the files are committed.
    return " ".join(f"{round(x)},{round(y)}" for x, y in points)
