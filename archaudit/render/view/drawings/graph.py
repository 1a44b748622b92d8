"""The data flow of one side at a depth that can be read: a node for each module that is not opened, each operator between, each input.

The root is opened always. A model that wraps nearly everything in one module would be a single box, so such modules are opened too, and
runs of layers that are alike become one node.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from typing import NamedTuple

from archaudit.schema import FlowNode, Profile, Shape

# Fewer modules than this show no structure; one that holds more than this share of the parameters hides what there is to see.
_FEWEST_MODULES = 4
_LARGEST_SHARE = 0.9
# No module is opened beyond this many nodes, where boxes side by side begin to be too small.
_MOST_NODES = 24
_SHORTEST_RUN = 3


class Node(NamedTuple):
    """What stands for `paths` (modules; none for operators and inputs), and the positions of the nodes that it reads from, ascending."""

    op: str
    paths: tuple[str, ...]
    sources: tuple[int, ...]
    shape: Shape | None = None
    symbolic: tuple[str, ...] | None = None

    @property
    def is_module(self) -> bool:
        """Whether it stands for modules."""
        return bool(self.paths)


Graph = tuple[Node, ...]


def build_graph(profile: Profile, opened: Collection[str]) -> Graph:
    """The flow with everything inside a module that is not opened drawn together, in order of first execution."""
    made: list[tuple[FlowNode, str]] = []
    sources: list[set[int]] = []
    places: dict[int, int] = {}
    modules: dict[str, int] = {}
    for node in profile.flow:
        owner = "" if node.op == "input" else _find_owner(node.module, opened)
        place = modules.get(owner) if owner else None
        if place is None:
            place = len(made)
            made.append((node, owner))
            sources.append(set())
            if owner:
                modules[owner] = place
        else:
            made[place] = (node, owner)
        places[node.id] = place
        sources[place].update(places[feeder] for feeder in node.inputs if feeder in places and places[feeder] != place)
    return tuple(
        Node("call" if owner else node.op, (owner,) if owner else (), tuple(sorted(feeders)), node.shape, node.symbolic)
        for (node, owner), feeders in zip(made, sources, strict=True)
    )


def _find_owner(path: str, opened: Collection[str]) -> str:
    """The outermost module on the way to `path` that is not opened; empty where all are, so that an operator stands for itself."""
    end = path.find(".")
    while end >= 0:
        if path[:end] not in opened:
            return path[:end]
        end = path.find(".", end + 1)
    return "" if path in opened else path


def choose_opened(profiles: Sequence[Profile], find_twin: Callable[[int, str], str | None]) -> list[frozenset[str]]:
    """For each side the modules to open. What is opened on one side is opened on the other, so that both stay comparable."""
    opened: list[set[str]] = [{""} for _ in profiles]
    parents = [{module.path.rpartition(".")[0] for module in profile.modules if module.path} for profile in profiles]
    totals = [{module.path: module.total.params for module in profile.modules} for profile in profiles]
    refused: set[tuple[int, str]] = set()
    while True:
        graphs = [build_graph(profile, each) for profile, each in zip(profiles, opened, strict=True)]
        few = any(sum(node.is_module for node in graph) < _FEWEST_MODULES for graph in graphs)
        candidates = [
            (totals[side].get(path, 0) / max(1, profiles[side].totals.params), -side, path)
            for side, graph in enumerate(graphs)
            for node in graph
            for path in node.paths
            if path in parents[side] and (side, path) not in refused
        ]
        if not candidates or not (few or max(candidates)[0] > _LARGEST_SHARE):
            return [frozenset(each) for each in opened]
        _, negative, path = max(candidates)
        _open(profiles, opened, refused, (-negative, path), find_twin)


def _open(
    profiles: Sequence[Profile],
    opened: list[set[str]],
    refused: set[tuple[int, str]],
    candidate: tuple[int, str],
    find_twin: Callable[[int, str], str | None],
) -> None:
    """Opens a module and its twin, or refuses it where that makes too many nodes."""
    side, path = candidate
    wider = [set(each) for each in opened]
    wider[side].add(path)
    if len(profiles) > 1 and (twin := find_twin(side, path)) is not None:
        wider[1 - side].add(twin)
    types = [{module.path: (module.type, module.total.params) for module in profile.modules} for profile in profiles]
    for position, profile in enumerate(profiles):
        graph = build_graph(profile, wider[position])
        kinds = [types[position].get(node.paths[0]) if node.paths else None for node in graph]
        if len(fold_repeats(graph, kinds)[0]) > _MOST_NODES:
            refused.add(candidate)
            return
    opened[:] = wider


def fold_repeats(graph: Graph, kinds: Sequence[Hashable | None]) -> tuple[Graph, tuple[int, ...]]:
    """The graph with runs of like siblings in one node each, and the new position of each old node.

    `kinds` says what is alike; None is like nothing. In a run each node reads the one before and otherwise only what the first one reads.
    """
    readers = list_readers(graph)
    heads = list(range(len(graph)))
    for position in range(len(graph)):
        if heads[position] != position or kinds[position] is None:
            continue
        run = [position]
        while (following := _find_next(graph, readers, kinds, run)) is not None:
            run.append(following)
        if len(run) >= _SHORTEST_RUN:
            for member in run:
                heads[member] = position
    return merge_nodes(graph, heads)


def _find_next(graph: Graph, readers: Sequence[Sequence[int]], kinds: Sequence[Hashable | None], run: Sequence[int]) -> int | None:
    last = run[-1]
    if len(readers[last]) != 1:
        return None
    (following,) = readers[last]
    alike = kinds[following] == kinds[last] and _parent(graph[following]) == _parent(graph[last])
    others = set(graph[following].sources) - {last}
    return following if alike and following > last and others <= set(graph[run[0]].sources) else None


def _parent(node: Node) -> str:
    return node.paths[0].rpartition(".")[0]


def fold_chains(graph: Graph, quiet: Sequence[bool]) -> tuple[Graph, tuple[int, ...]]:
    """The graph with stretches of quiet modules, where each is read only by the next, in one node each."""
    readers = list_readers(graph)
    heads = list(range(len(graph)))
    for position, node in enumerate(graph):
        if len(node.sources) != 1 or not node.is_module:
            continue
        (source,) = node.sources
        joined = quiet[position] and quiet[source] and graph[source].is_module and readers[source] == [position]
        if joined and source < position:
            heads[position] = heads[source]
    return merge_nodes(graph, heads)


def list_readers(graph: Graph) -> list[list[int]]:
    """For each node the positions of those that read from it."""
    readers: list[list[int]] = [[] for _ in graph]
    for position, node in enumerate(graph):
        for source in node.sources:
            readers[source].append(position)
    return readers


def merge_nodes(graph: Graph, heads: Sequence[int]) -> tuple[Graph, tuple[int, ...]]:
    """One node for all that have the same head, which says the last one's shape; and the new position of each old node."""
    kept = [position for position, head in enumerate(heads) if head == position]
    places = {head: place for place, head in enumerate(kept)}
    moved = tuple(places[head] for head in heads)
    members: list[list[Node]] = [[] for _ in kept]
    for node, place in zip(graph, moved, strict=True):
        members[place].append(node)
    merged = tuple(
        Node(
            op=nodes[0].op,
            paths=tuple(path for node in nodes for path in node.paths),
            sources=tuple(sorted({moved[source] for node in nodes for source in node.sources} - {place})),
            shape=nodes[-1].shape,
            symbolic=nodes[-1].symbolic,
        )
        for place, nodes in enumerate(members)
    )
    return merged, moved
