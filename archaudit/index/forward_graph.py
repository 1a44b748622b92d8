"""The forward graph of a profile at a level of detail: a node for each module that is not opened, each operator between, each input.

The root is always opened. A model that wraps nearly everything in one module would be a single node, so `choose_opened` opens such modules
too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

from archaudit.index.modules import ModuleIndex, index_modules, parent_path
from archaudit.schema import FlowNode, Profile

# Fewer modules than this show no structure; a module with more than this share of the parameters hides the structure.
_FEWEST_MODULES = 4
_LARGEST_SHARE = 0.9
# No module is opened beyond this many nodes: a diagram with more has boxes too small to read.
_MOST_NODES = 24
# A shorter run of equal layers is readable layer by layer.
_SHORTEST_RUN = 3


class GraphNode(NamedTuple):
    """A module with everything that runs inside it (`path` is its path), or a single operator or input (`path` is None).

    `steps` are the profile's flow nodes in it, in the order of execution; `sources` the positions of the nodes that it takes inputs from,
    ascending.
    """

    path: str | None
    steps: tuple[FlowNode, ...]
    sources: tuple[int, ...]

    @property
    def last(self) -> FlowNode:
        """The flow node that makes its output."""
        return self.steps[-1]


def build_graph(profile: Profile, opened: Collection[str]) -> tuple[GraphNode, ...]:
    """The nodes in the order in which they first run. Operators that no input and no module reaches (constants) are left out."""
    index = index_modules(profile)
    steps: list[list[FlowNode]] = []
    sources: list[set[int]] = []
    paths: list[str | None] = []
    places: dict[int, int] = {}
    modules: dict[str, int] = {}
    owners: dict[str, str | None] = {}
    for node in profile.flow:
        if node.module not in owners:
            owners[node.module] = find_owner(index, node.module, opened)
        path = None if node.op == "input" else node.module if node.op == "call" and owners[node.module] is None else owners[node.module]
        known_sources = [places[source] for source in node.inputs if source in places]
        if path is None and node.op != "input" and not known_sources:
            continue
        place = modules.get(path) if path is not None else None
        if place is None:
            place = len(steps)
            steps.append([])
            sources.append(set())
            paths.append(path)
            if path is not None:
                modules[path] = place
        steps[place].append(node)
        places[node.id] = place
        sources[place].update(source for source in known_sources if source != place)
    nodes = [GraphNode(path, tuple(run), tuple(sorted(found))) for path, run, found in zip(paths, steps, sources, strict=True)]
    lists = {node.path for node in nodes if node.path is not None and node.path in index and not index[node.path].calls}
    return _join_loops(nodes, lists) if lists else tuple(nodes)


def _join_loops(nodes: Sequence[GraphNode], lists: Collection[str]) -> tuple[GraphNode, ...]:
    """The nodes, where an operator in a loop belongs to the list of blocks whose output it takes.

    A list of blocks is one node, and so it takes the sums that the model computes between its blocks, and they take its output: a residual
    stream that runs inside of it, in terms of the nodes. A module that is called several times is a step of its own.
    """
    loops = _number_loops([node.sources for node in nodes])
    owners = list(range(len(nodes)))
    for place, node in enumerate(nodes):
        if node.path is None:  # its sources come before it, so their owners are known
            found = (owners[source] for source in node.sources if loops[source] == loops[place] and nodes[owners[source]].path in lists)
            owners[place] = next(found, place)
    if owners == list(range(len(nodes))):
        return tuple(nodes)
    kept = [place for place, owner in enumerate(owners) if place == owner]
    places = {place: number for number, place in enumerate(kept)}
    steps: dict[int, list[FlowNode]] = {place: [] for place in kept}
    sources: dict[int, set[int]] = {place: set() for place in kept}
    for place, owner in enumerate(owners):
        steps[owner] += nodes[place].steps
        sources[owner].update(places[owners[source]] for source in nodes[place].sources if owners[source] != owner)
    return tuple(
        GraphNode(nodes[place].path, tuple(sorted(steps[place], key=lambda step: step.id)), tuple(sorted(sources[place]))) for place in kept
    )


def _number_loops(sources: Sequence[Sequence[int]]) -> list[int]:
    """A number for each node, equal for those that are in one loop (the strongly connected components).

    Source: S. R. Kosaraju, 1978, as in A. Aho, J. Hopcroft, J. Ullman, Data Structures and Algorithms, 1983, section 6.7.
    """
    readers = list_readers(sources)
    finished: list[int] = []
    seen: set[int] = set()
    for start in range(len(sources)):
        pending = [] if start in seen else [(start, iter(readers[start]))]
        seen.add(start)
        while pending:
            node, rest = pending[-1]
            following = next((reader for reader in rest if reader not in seen), None)
            if following is None:
                finished.append(node)
                pending.pop()
            else:
                seen.add(following)
                pending.append((following, iter(readers[following])))
    numbers = [-1] * len(sources)
    for start in reversed(finished):
        waiting = [start] if numbers[start] < 0 else []
        while waiting:
            node = waiting.pop()
            numbers[node] = start
            waiting += [source for source in sources[node] if numbers[source] < 0]
    return numbers


def find_owner(index: ModuleIndex, path: str, opened: Collection[str]) -> str | None:
    """The outermost module on the way down to `path` that is not opened; None where all are."""
    return next((above for above in index.list_chain(path) if above not in opened), None)


def choose_opened(
    profiles: Sequence[Profile], opened: Sequence[Collection[str]], find_counterpart: Callable[[int, str], str | None]
) -> list[frozenset[str]]:
    """For each profile the modules to open for a readable graph, beyond those in `opened`.

    `find_counterpart(side, path)` is the matched module of the other profile: what is opened on one side is opened on both, so that they
    stay comparable.
    """
    chosen = [set(each) for each in opened]
    indexes = [index_modules(profile) for profile in profiles]
    refused: set[tuple[int, str]] = set()
    graphs = [build_graph(profile, each) for profile, each in zip(profiles, chosen, strict=True)]
    while True:
        few = any(sum(node.path is not None for node in graph) < _FEWEST_MODULES for graph in graphs)
        candidates = [
            (indexes[side][node.path].total.params / max(1, profiles[side].totals.params), -side, node.path)
            for side, graph in enumerate(graphs)
            for node in graph
            if node.path is not None and node.path in indexes[side] and not indexes[side].is_leaf(node.path)
            # an opened module whose call has no inner nodes is still a node, and opening it again changes nothing
            if (side, node.path) not in refused and node.path not in chosen[side]
        ]
        if not candidates or not (few or max(candidates)[0] > _LARGEST_SHARE):
            return [frozenset(each) for each in chosen]
        _, negative, path = max(candidates)
        wider = [set(each) for each in chosen]
        wider[-negative].add(path)
        if len(profiles) > 1 and (counterpart := find_counterpart(-negative, path)) is not None:
            wider[1 + negative].add(counterpart)
        opening = [build_graph(profile, each) for profile, each in zip(profiles, wider, strict=True)]
        if any(_count_folded(graph, index) > _MOST_NODES for graph, index in zip(opening, indexes, strict=True)):
            refused.add((-negative, path))
        else:
            chosen, graphs = wider, opening


def _count_folded(graph: Sequence[GraphNode], index: ModuleIndex) -> int:
    """How many nodes are left when each run of equal layers is one."""
    kinds = [describe_kind(index, node.path) for node in graph]
    return len(graph) - len(find_repeats([node.sources for node in graph], kinds))


def describe_kind(index: ModuleIndex, path: str | None) -> Hashable | None:
    """What equal layers of one list have in common; None for what is not a module."""
    module = index.get(path)
    return None if path is None or module is None else (module.type, module.total.params, module.total.flops, parent_path(path))


def find_repeats(sources: Sequence[Sequence[int]], kinds: Sequence[Hashable | None]) -> list[tuple[int, int]]:
    """The connections inside runs of equal layers, as (position, next position).

    In a run each node takes the output of the one before, and other than that only what the first one takes. Nodes of equal kind are
    alike; None is like nothing.
    """
    readers = list_readers(sources)
    links: list[tuple[int, int]] = []
    taken: set[int] = set()
    for position in range(len(sources)):
        if position in taken or kinds[position] is None:
            continue
        run = [position]
        while (following := _find_next(sources, readers, kinds, run)) is not None:
            run.append(following)
        if len(run) >= _SHORTEST_RUN:
            taken.update(run)
            links += pairwise(run)
    return links


def _find_next(
    sources: Sequence[Sequence[int]], readers: Sequence[Sequence[int]], kinds: Sequence[Hashable | None], run: Sequence[int]
) -> int | None:
    last = run[-1]
    if len(readers[last]) != 1:
        return None
    (following,) = readers[last]
    others = set(sources[following]) - {last}
    return following if kinds[following] == kinds[last] and following > last and others <= set(sources[run[0]]) else None


def list_readers(sources: Sequence[Sequence[int]]) -> list[list[int]]:
    """For each node the positions of those that take its output."""
    readers: list[list[int]] = [[] for _ in sources]
    for position, found in enumerate(sources):
        for source in found:
            readers[source].append(position)
    return readers
