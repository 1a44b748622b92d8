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
    input), `shape` that of its last output, `arguments` those of an operator. `members` are the nodes that were folded into it, if any;
    `steps` is how many these are, down to the last level."""

    parts: tuple[int, ...]
    op: str
    paths: tuple[str, ...]
    change: FlowPartChange = "same"
    shape: Shape | None = None
    symbolic: tuple[str, ...] | None = None
    arguments: tuple[tuple[str, Setting], ...] = ()
    members: Graph | None = None
    steps: int = 1

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


def fold_quiet(graphs: Sequence[Graph]) -> list[Graph]:
    """The graphs with everything between two changes in one node each, with any connections: changes and their neighbours are left.

    A run is a stretch of the order of execution, so that no fold makes a loop.
    """
    links = []
    for graph in graphs:
        changed = [bool(node.state) for node in graph.nodes]
        next_to = {place for edge in graph.edges if changed[edge.source] != changed[edge.target] for place in (edge.source, edge.target)}
        quiet = [not node.state and node.op != "input" and place not in next_to for place, node in enumerate(graph.nodes)]
        links.append([(place, place + 1) for place in range(len(quiet) - 1) if quiet[place] and quiet[place + 1]])
    return _fold(graphs, links, 2, needs_edge=False)


def fold_evenly(graphs: Sequence[Graph], most: int) -> list[Graph]:
    """The graphs with neighbours in the order of execution in one node each, so that about `most` are left on each side.

    What both sides have is merged on both or on none; steps of one side only are merged among themselves. The members of a node may have
    changed in any way.
    """
    links = []
    for graph in graphs:
        one_sided = [node.change if node.change in _ONE_SIDED else "" for node in graph.nodes]
        joined = [node.op != "input" for node in graph.nodes]
        pairs = ((place, place + 1) for place in range(len(graph.nodes) - 1))
        links.append([(one, other) for one, other in pairs if joined[one] and joined[other] and one_sided[one] == one_sided[other]])
    runs = [_list_runs(found, 2) for found in _keep_common(graphs, links)]
    size = max(-(-len(graph.nodes) // most) for graph in graphs)
    cut = [[run[start : start + size] for run in found for start in range(0, len(run), size)] for found in runs]
    return [_merge(graph, [run for run in found if len(run) > 1]) for graph, found in zip(graphs, cut, strict=True)]


def split_members(graph: Graph, most: int) -> Graph:
    """The graph in stretches of at most `most` nodes, which have the rest as their members, so that it is readable when it is opened."""
    while len(graph.nodes) > most:
        size = max(2, -(-len(graph.nodes) // most))
        runs = [list(range(start, min(start + size, len(graph.nodes)))) for start in range(0, len(graph.nodes), size)]
        graph = _merge(graph, [run for run in runs if len(run) > 1])
    return graph


def _fold(graphs: Sequence[Graph], links: Sequence[Sequence[Link]], shortest: int, *, needs_edge: bool = True) -> list[Graph]:
    """Merges the nodes along links, in runs of at least `shortest`. What is on both sides is merged on both sides or on none, and no run
    hides an edge that was added or removed between parts that were not; without `needs_edge` the nodes of a run need no edges."""
    kept = [_drop_changed(graph, found) if needs_edge else found for graph, found in zip(graphs, links, strict=True)]
    return [_merge(graph, _list_runs(found, shortest)) for graph, found in zip(graphs, _keep_common(graphs, kept), strict=True)]


def _keep_common(graphs: Sequence[Graph], links: Sequence[Sequence[Link]]) -> list[list[Link]]:
    """The links between nodes that both sides have, where both sides link them; and all links between nodes of one side only."""
    if len(graphs) == 1:
        return [list(found) for found in links]
    names = [
        {(graph.nodes[one].parts, graph.nodes[other].parts) for one, other in found} for graph, found in zip(graphs, links, strict=True)
    ]
    common = names[0] & names[1]
    return [
        [
            (one, other)
            for one, other in found
            if graph.nodes[one].change in _ONE_SIDED or (graph.nodes[one].parts, graph.nodes[other].parts) in common
        ]
        for graph, found in zip(graphs, links, strict=True)
    ]


def _drop_changed(graph: Graph, links: Sequence[Link]) -> list[Link]:
    states: dict[Link, set[str]] = {}
    for edge in graph.edges:
        states.setdefault((edge.source, edge.target), set()).add(edge.state)
    changes = [node.change if node.change in _ONE_SIDED else "" for node in graph.nodes]
    return [(one, other) for one, other in links if states[one, other] == {changes[one]} == {changes[other]}]


def _list_runs(links: Sequence[Link], shortest: int) -> list[list[int]]:
    following = dict(links)
    inside = set(following.values())
    starts = [one for one in following if one not in inside]
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
    nodes = tuple(_join_nodes(graph, members.get(head, [head])) for head in kept)
    moved = {
        Edge(places[heads.get(edge.source, edge.source)], places[heads.get(edge.target, edge.target)], edge.state) for edge in graph.edges
    }
    return Graph(nodes, _sort_edges([edge for edge in moved if edge.source != edge.target]))


def _join_nodes(graph: Graph, run: Sequence[int]) -> Node:
    """One node for the nodes of a run; it keeps them, and the edges between them, as its members."""
    nodes = [graph.nodes[position] for position in run]
    if len(nodes) == 1:
        return nodes[0]
    places = {position: place for place, position in enumerate(run)}
    inside = [
        Edge(places[edge.source], places[edge.target], edge.state)
        for edge in graph.edges
        if edge.source in places and edge.target in places
    ]
    return nodes[-1]._replace(
        parts=tuple(part for node in nodes for part in node.parts),
        op=nodes[0].op,
        paths=tuple(path for node in nodes for path in node.paths),
        change=_join_changes([node.change for node in nodes]),
        members=Graph(tuple(nodes), _sort_edges(inside)),
        steps=sum(node.steps for node in nodes),
    )


def _join_changes(changes: Sequence[FlowPartChange]) -> FlowPartChange:
    """The strongest change; where only some were added or removed, `changed`."""
    strongest = max(changes, key=_CHANGES.index)
    return "changed" if strongest in _ONE_SIDED and len(set(changes)) > 1 else strongest
