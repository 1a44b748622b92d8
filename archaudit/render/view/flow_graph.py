"""The graphs that are drawn: one side of `Report.flow`, or one profile, and runs of layers folded into one node each.

What changed is what `Report.flow` says. Nothing is compared here.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from archaudit.index import build_graph, choose_opened, describe_kind, find_repeats, index_modules, list_readers
from archaudit.schema import FlowDiff, FlowNode, FlowPartChange, Pair, Profile, Setting, Shape

# In ascending order: a folded node shows the strongest change of its parts.
_CHANGES: tuple[FlowPartChange, ...] = ("same", "resized", "rewired", "changed", "added", "removed")
# A state of a node or an edge as it is drawn: other shapes alone are not.
_STATES = {"same": "", "resized": "", "rewired": "changed", "changed": "changed", "added": "added", "removed": "removed"}
_ONE_SIDED = ("added", "removed")
# A shorter run of equal layers is readable layer by layer.
_SHORTEST_RUN = 3

Link = tuple[int, int]


class Node(NamedTuple):
    """What is drawn as one box: `parts` are the positions of its parts in the FlowDiff, `paths` its modules (none for an operator or an
    input), `shape` that of its last output, `arguments` those of an operator."""

    parts: tuple[int, ...]
    op: str
    paths: tuple[str, ...]
    change: FlowPartChange = "same"
    shape: Shape | None = None
    symbolic: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, Setting], ...] = ()

    @property
    def is_module(self) -> bool:
        """Whether it is one module or several."""
        return bool(self.paths)

    @property
    def state(self) -> str:
        """`added`, `removed`, `changed`, or empty."""
        return _STATES[self.change]


class Edge(NamedTuple):
    """A connection by the positions of two nodes; `state` is `added`, `removed` or empty."""

    source: int
    target: int
    state: str = ""


class Graph(NamedTuple):
    """Nodes in the order in which they first run; edges by their target, then their source."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def list_sources(self) -> list[list[int]]:
        """For each node the positions of those that it takes inputs from."""
        sources: list[list[int]] = [[] for _ in self.nodes]
        for edge in self.edges:
            if edge.source not in sources[edge.target]:
                sources[edge.target].append(edge.source)
        return sources

    def list_readers(self) -> list[list[int]]:
        """For each node the positions of those that take its output."""
        return list_readers(self.list_sources())


def read_profile(profile: Profile) -> Graph:
    """The graph of one profile, with modules opened until it is readable."""
    (opened,) = choose_opened([profile], [{""}], lambda _side, _path: None)
    found = build_graph(profile, opened)
    nodes = tuple(_make_node((place,), () if node.path is None else (node.path,), node.last, "same") for place, node in enumerate(found))
    return Graph(nodes, tuple(Edge(source, target) for target, node in enumerate(found) for source in node.sources))


def read_sides(flow: FlowDiff, profiles: Pair[Profile]) -> Pair[Graph]:
    """The graphs of both sides. The model's output is not drawn."""
    flow = flow.detail or flow
    return Pair(
        _read_side(
            profiles.before,
            [(part.before, part.before_paths, part.before_nodes, part.change) for part in flow.parts],
            [(edge.before, edge.change) for edge in flow.edges],
        ),
        _read_side(
            profiles.after,
            [(part.after, part.after_paths, part.after_nodes, part.change) for part in flow.parts],
            [(edge.after, edge.change) for edge in flow.edges],
        ),
    )


def _read_side(
    profile: Profile,
    parts: Sequence[tuple[str | None, tuple[str, ...], tuple[int, int] | None, FlowPartChange]],
    edges: Sequence[tuple[tuple[str, str] | None, str]],
) -> Graph:
    order = {node.id: place for place, node in enumerate(profile.flow)}
    drawn = sorted((order[part[2][0]], number) for number, part in enumerate(parts) if part[2] is not None)
    nodes: list[Node] = []
    places: dict[str | None, int] = {}
    for _, number in drawn:
        label, paths, steps, change = parts[number]
        assert steps is not None
        places[label] = len(nodes)
        nodes.append(_make_node((number,), paths, profile.flow[order[steps[1]]], change))
    found = {
        Edge(places[edge[0]], places[edge[1]], change if change in _ONE_SIDED else "")
        for edge, change in edges
        if edge is not None and edge[0] in places and edge[1] in places
    }
    return Graph(tuple(nodes), _sort_edges(found))


def _make_node(parts: tuple[int, ...], paths: tuple[str, ...], last: FlowNode, change: FlowPartChange) -> Node:
    arguments = () if paths or not last.arguments else tuple(last.arguments.items())
    return Node(parts, "call" if paths else last.op, paths, change, last.shape, last.symbolic, arguments)


def _sort_edges(edges: Collection[Edge]) -> tuple[Edge, ...]:
    return tuple(sorted(edges, key=lambda edge: (edge.target, edge.source, edge.state)))


# --- folding: equal layers in a row, and chains without a change, are one node each -----------------------------------


def fold_repeats(graphs: Sequence[Graph], profiles: Sequence[Profile]) -> list[Graph]:
    """The graphs with runs of equal layers of one list, changed alike, in one node each."""
    links = []
    for graph, profile in zip(graphs, profiles, strict=True):
        index = index_modules(profile)
        kinds = [(describe_kind(index, node.paths[0]), node.state) if len(node.paths) == 1 else None for node in graph.nodes]
        links.append(find_repeats(graph.list_sources(), kinds))
    return _fold(graphs, links, _SHORTEST_RUN)


def fold_chains(graphs: Sequence[Graph]) -> list[Graph]:
    """The graphs with chains of modules that did not change in one node each."""
    links = []
    for graph in graphs:
        sources, readers = graph.list_sources(), graph.list_readers()
        quiet = [node.is_module and not node.state for node in graph.nodes]
        single = [(found[0], target) for target, found in enumerate(sources) if len(found) == 1 and found[0] < target]
        links.append([(source, target) for source, target in single if quiet[source] and quiet[target] and readers[source] == [target]])
    return _fold(graphs, links, 2)


def _fold(graphs: Sequence[Graph], links: Sequence[Sequence[Link]], shortest: int) -> list[Graph]:
    """Merges the nodes along links, in runs of at least `shortest`. What is on both sides is merged on both sides or on none, and no run
    hides an edge that was added or removed between parts that were not."""
    kept = [_drop_changed(graph, found) for graph, found in zip(graphs, links, strict=True)]
    if len(graphs) > 1:
        names = [
            {(graph.nodes[one].parts, graph.nodes[other].parts) for one, other in found} for graph, found in zip(graphs, kept, strict=True)
        ]
        common = names[0] & names[1]
        kept = [
            [
                (one, other)
                for one, other in found
                if graph.nodes[one].change in _ONE_SIDED or (graph.nodes[one].parts, graph.nodes[other].parts) in common
            ]
            for graph, found in zip(graphs, kept, strict=True)
        ]
    return [_merge(graph, _list_runs(found, shortest)) for graph, found in zip(graphs, kept, strict=True)]


def _drop_changed(graph: Graph, links: Sequence[Link]) -> list[Link]:
    states: dict[Link, set[str]] = {}
    for edge in graph.edges:
        states.setdefault((edge.source, edge.target), set()).add(edge.state)
    changes = [node.change if node.change in _ONE_SIDED else "" for node in graph.nodes]
    return [(one, other) for one, other in links if states[one, other] == {changes[one]} == {changes[other]}]


def _list_runs(links: Sequence[Link], shortest: int) -> list[list[int]]:
    following = dict(links)
    starts = [one for one in following if one not in set(following.values())]
    runs = []
    for start in starts:
        run = [start]
        while run[-1] in following:
            run.append(following[run[-1]])
        runs.append(run)
    return [run for run in runs if len(run) >= shortest]


def _merge(graph: Graph, runs: Sequence[Sequence[int]]) -> Graph:
    """One node for each run, in place of its first; a node that is in no run stays."""
    members = {run[0]: run for run in runs}
    heads = {position: run[0] for run in runs for position in run}
    kept = [position for position in range(len(graph.nodes)) if heads.get(position, position) == position]
    places = {head: place for place, head in enumerate(kept)}
    nodes = tuple(_join_nodes([graph.nodes[position] for position in members.get(head, [head])]) for head in kept)
    moved = {
        Edge(places[heads.get(edge.source, edge.source)], places[heads.get(edge.target, edge.target)], edge.state) for edge in graph.edges
    }
    return Graph(nodes, _sort_edges([edge for edge in moved if edge.source != edge.target]))


def _join_nodes(nodes: Sequence[Node]) -> Node:
    return nodes[-1]._replace(
        parts=tuple(part for node in nodes for part in node.parts),
        op=nodes[0].op,
        paths=tuple(path for node in nodes for path in node.paths),
        change=max((node.change for node in nodes), key=_CHANGES.index),
    )
