"""What is inside the boxes of a diagram: the modules and operators of a container, or the layers of a run, for a page that opens them.

Blocks with the same inside share one diagram, also across the two sides, so names in it are relative to the box that it is in. What changed
is what the module rows say: a module inside that was added, removed or changed, or that has such a module inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import msgspec

from archaudit.index import GraphNode, build_graph, index_modules
from archaudit.render.view.drawing_records import Box, Diagram
from archaudit.render.view.drawing_records import Edge as DrawnEdge
from archaudit.render.view.flow_graph import Edge, Graph, Node, fold_repeats, split_members
from archaudit.render.view.flow_sides import Side
from archaudit.schema import FlowPartChange, Profile

# More boxes than this at once are too many to read.
_MOST_BOXES = 16
# A page holds at most so many boxes inside others: each takes about half a kilobyte. Those of changed boxes come first.
_MOST_INSIDE = 400
# Deeper levels, and more boxes than this before equal ones are shared, are not looked at.
_DEEPEST, _MOST_DRAWN = 12, 12_000

Key = str | int
# Draws the boxes of a graph: the side and its position, the graph, and the path that names are relative to.
DrawBoxes = Callable[[Side, int, Graph, str], list[Box]]


class Insides:
    """The diagrams inside the boxes of several sides, each once."""

    def __init__(self, draw_boxes: DrawBoxes) -> None:
        self._draw_boxes = draw_boxes
        self._ids: dict[Diagram, int] = {}
        self._drawn = 0

    def find(self, side: Side, place: int, boxes: Sequence[Box]) -> list[Box]:
        """The outer boxes of one side, each with the number of what is inside it."""
        graphs = read_insides(side)
        ranked = sorted(range(len(boxes)), key=lambda number: not boxes[number].state)
        numbers = {number: self._find((side, place, graphs), side.graph.nodes[number], "", 0) for number in ranked}
        return [msgspec.structs.replace(box, inside=numbers[number]) for number, box in enumerate(boxes)]

    def _find(self, drawn: tuple[Side, int, dict[str, Graph]], node: Node, base: str, depth: int) -> int:
        """The number of the diagram inside a node; -1 for none."""
        if depth > _DEEPEST or self._drawn > _MOST_DRAWN:
            return -1
        side, place, graphs = drawn
        if node.members is not None:
            graph = split_members(node.members, _MOST_BOXES)
        elif len(node.paths) == 1 and node.paths[0] in graphs:
            graph, base = graphs[node.paths[0]], node.paths[0]
        else:
            return -1
        boxes = self._draw_boxes(side, place, graph, base)
        self._drawn += len(boxes)
        inner = tuple(
            msgspec.structs.replace(box, anchor="", inside=self._find(drawn, each, base, depth + 1))
            for box, each in zip(boxes, graph.nodes, strict=True)
        )
        diagram = Diagram(side="", title="", alt="", boxes=inner, edges=make_edges(graph))
        return self._ids.setdefault(diagram, len(self._ids))

    def select(self, sides: Iterable[Diagram]) -> tuple[list[Diagram], tuple[Diagram, ...]]:
        """The outer diagrams and the inner ones that a page has room for: level by level, changed ones first. Numbers follow."""
        outer = list(sides)
        known = list(self._ids)
        level = [box for diagram in outer for box in diagram.boxes]
        numbers: dict[int, int] = {-1: -1}
        room = _MOST_INSIDE
        while level:
            found = [box.inside for box in sorted(level, key=lambda box: not box.state) if box.inside not in numbers]
            level = []
            for inside in dict.fromkeys(found):
                if len(known[inside].boxes) <= room:
                    room -= len(known[inside].boxes)
                    numbers[inside] = len(numbers) - 1
                    level += known[inside].boxes
        kept = sorted((number, inside) for inside, number in numbers.items() if inside >= 0)
        return [_renumber(each, numbers) for each in outer], tuple(_renumber(known[inside], numbers) for _, inside in kept)


def _renumber(diagram: Diagram, numbers: dict[int, int]) -> Diagram:
    boxes = tuple(msgspec.structs.replace(box, inside=numbers.get(box.inside, -1)) for box in diagram.boxes)
    return msgspec.structs.replace(diagram, boxes=boxes)


def make_edges(graph: Graph) -> tuple[DrawnEdge, ...]:
    """The edges of a graph as those of a diagram."""
    return tuple(DrawnEdge(source=edge.source, target=edge.target, state=edge.state) for edge in graph.edges)


# --- the graph inside each container -----------------------------------------------------------------------------------


def read_insides(side: Side) -> dict[str, Graph]:
    """For each module with modules inside it: these, the operators between them, and a node `enter` for what comes from outside."""
    profile = side.profile
    index = index_modules(profile)
    containers = [module.path for module in index if not index.is_leaf(module.path)]
    lowest = build_graph(profile, {"", *containers})
    homes = [_list_homes(profile, node, place) for place, node in enumerate(lowest)]
    orders: dict[str, dict[Key, int]] = {}
    for home in homes:
        for container, key in home:
            orders.setdefault(container, {}).setdefault(key, len(orders[container]))
    links: dict[str, set[tuple[Key | None, Key]]] = {}
    for node, home in zip(lowest, homes, strict=True):
        for source in node.sources:
            for container, source_key, key in _connect(homes[source], home):
                links.setdefault(container, set()).add((source_key, key))
    del orders[""]
    return {path: _make_graph(side, lowest, order, links.get(path, set())) for path, order in orders.items()}


def _list_homes(profile: Profile, node: GraphNode, place: int) -> list[tuple[str, Key]]:
    """The containers that hold a node, outermost first, each with the part of it that has the node: a module's path, or an operator."""
    if node.last.op == "input":
        return [("", place)]
    chain = index_modules(profile).list_chain(node.path if node.path is not None else node.last.module)
    inner: list[tuple[str, Key]] = list(pairwise(chain))
    return inner if node.path is not None else [*inner, (chain[-1], place)]


def _connect(source: Sequence[tuple[str, Key]], target: Sequence[tuple[str, Key]]) -> Iterable[tuple[str, Key | None, Key]]:
    """The edges that one connection makes: between two parts of the innermost common container, and into each container below that."""
    common = 0
    while common < min(len(source), len(target)) and source[common] == target[common]:
        common += 1
    if common < min(len(source), len(target)) and source[common][0] == target[common][0]:
        yield (target[common][0], source[common][1], target[common][1])
        common += 1
    yield from ((container, None, key) for container, key in target[common:])


def _make_graph(side: Side, lowest: Sequence[GraphNode], order: dict[Key, int], links: set[tuple[Key | None, Key]]) -> Graph:
    nodes = [_make_node(side, lowest, key) for key in order]
    enters = {order[key] + 1 for source, key in links if source is None}
    shift = int(bool(enters))
    placed = {(order[source] + shift, order[key] + shift) for source, key in links if source is not None}
    edges = [Edge(*ends, state=_find_state(nodes[ends[0] - shift], nodes[ends[1] - shift])) for ends in placed]
    if enters:
        nodes.insert(0, Node((), "enter", ()))
        edges += [Edge(0, place) for place in enters]
    graph = Graph(tuple(nodes), tuple(sorted(edges, key=lambda edge: (edge.target, edge.source))))
    (graph,) = fold_repeats([graph], [side.profile])
    return split_members(graph, 2 * _MOST_BOXES)


def _make_node(side: Side, lowest: Sequence[GraphNode], key: Key) -> Node:
    if isinstance(key, str):
        return Node((), "call", (key,), side.find_change(key))
    last = lowest[key].last
    arguments = tuple(last.arguments.items()) if last.arguments else ()
    return Node((), last.op, (), "same", last.shape, last.symbolic, arguments)


def _find_state(source: Node, target: Node) -> str:
    """An edge from or to a module that is on one side only is as new or as gone as that module."""
    changes: list[FlowPartChange] = [source.change, target.change]
    return next((change for change in ("added", "removed") if change in changes), "")
