"""One side's forward graph as people talk about it: modules with all that runs inside them, and what runs between."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations
from typing import Literal

from archaudit.schema import FlowNode, Profile, Shape

Kind = Literal["module", "operator", "input", "output"]
OUTPUT = "output"
# Of more modules than this that became one, the first and the last are named.
_MOST_NAMED = 3
_ROOT = "model"  # what a model that is a single layer is called


@dataclass(slots=True)
class Given:
    """A shape that runs along an edge: the sizes measured, and in terms of the input where that is known."""

    sizes: Shape | None
    symbolic: tuple[str, ...] | None


@dataclass(slots=True)
class Part:
    """A node of the graph; `path` is the module's (None for what is no module)."""

    kind: Kind
    label: str
    path: str | None = None
    given: Given | None = None


@dataclass(slots=True)
class Edge:
    """A tensor that one part makes and another reads."""

    source: str
    target: str
    given: Given


@dataclass(slots=True)
class FlowGraph:
    """Parts by label in the order in which they first run, and edges in the order in which they are read.

    `holders` names the part that each module belongs to.
    """

    parts: dict[str, Part] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    holders: dict[str, str] = field(default_factory=dict)

    def contract(self, labels: list[str]) -> str:
        """Makes one part of several, in place of the first; its label."""
        names = labels if len(labels) <= _MOST_NAMED else [labels[0], "…", labels[-1]]
        name = " + ".join(names)
        last = self.parts[labels[-1]]
        merged = Part("module", name, None, last.given)
        self.parts = {
            name if label == labels[0] else label: merged if label == labels[0] else part
            for label, part in self.parts.items()
            if label == labels[0] or label not in labels
        }
        for edge in self.edges:
            edge.source = name if edge.source in labels else edge.source
            edge.target = name if edge.target in labels else edge.target
        self.edges = [edge for edge in self.edges if edge.source != edge.target]
        self.holders = {path: name if label in labels else label for path, label in self.holders.items()}
        return name


def build_graph(profile: Profile, depth: int | None = None) -> FlowGraph:
    """The graph in which modules `depth` levels below the root are one part each (None: the first level with at least two parts).

    An operator that runs inside a part belongs to it; one that a module above runs itself is a part of its own. What no input reaches (a
    table of positions, a constant) is left out.
    """
    chains = _list_chains(profile)
    if depth is None:
        depth = _choose_depth(profile, chains)
    graph = FlowGraph(holders={path: _name(chain[min(depth, len(chain) - 1)]) for path, chain in chains.items()})
    labels = _add_parts(graph, profile, chains, depth)
    seen: set[tuple[int, str]] = set()
    nodes = {node.id: node for node in profile.flow}
    readings = [(feeder, labels[node.id]) for node in profile.flow if node.id in labels for feeder in node.inputs]
    readings += [(node.id, OUTPUT) for node in _find_outputs(profile, labels)]
    taken = {module.path: {shape for call in module.calls for shape in call.inputs} for module in profile.modules}
    for feeder, target in readings:
        source = labels.get(feeder)
        if source is not None and source != target and (feeder, target) not in seen:
            seen.add((feeder, target))
            path = graph.parts[target].path
            graph.edges.append(
                Edge(source, target, _receive(_describe(nodes[feeder]), taken.get(path, set()) if path is not None else set()))
            )
    return graph


def _receive(given: Given, taken: set[Shape]) -> Given:
    """What a module that takes tensors of these shapes (none: nobody knows) gets of one that is given.

    Views are no operators of their own, so a tensor may arrive flattened, or one slice of it; which, where there are several, is unknown.
    """
    if not taken or given.sizes is None or given.sizes in taken:
        return given
    if len(taken) > 1:
        return Given(None, None)
    (sizes,) = taken
    if given.symbolic is None or len(given.symbolic) != len(given.sizes) or len(sizes) > len(given.sizes):
        return Given(sizes, None)
    named = zip(given.sizes, given.symbolic, strict=True)
    # What is left when sizes were dropped keeps its names, if there is one way only to read it so.
    ways = {tuple(name for _, name in kept) for kept in combinations(named, len(sizes)) if tuple(size for size, _ in kept) == sizes}
    return Given(sizes, ways.pop() if len(ways) == 1 else None)


def _list_chains(profile: Profile) -> dict[str, list[str]]:
    """For each module, the paths from the root down to it. A name may hold a dot, so parents are looked up."""
    chains: dict[str, list[str]] = {"": [""]}
    paths = {module.path for module in profile.modules} | {node.module for node in profile.flow}
    for path in sorted(paths, key=len):
        up = path.rpartition(".")[0]
        while up and up not in chains:
            up = up.rpartition(".")[0]
        if path:
            chains[path] = [*chains[up], path]
    return chains


def _choose_depth(profile: Profile, chains: dict[str, list[str]]) -> int:
    deepest = max((len(chains[node.module]) - 1 for node in profile.flow), default=1)
    for depth in range(1, deepest + 1):
        if len({chains[node.module][depth] for node in profile.flow if len(chains[node.module]) > depth}) > 1:
            return depth
    return max(1, deepest)


def _add_parts(graph: FlowGraph, profile: Profile, chains: dict[str, list[str]], depth: int) -> dict[int, str]:
    """Makes the parts; the label of the part that each node belongs to."""
    labels: dict[int, str] = {}
    counts: Counter[str] = Counter()
    names = iter(f"input {record.name}" if len(profile.inputs) > 1 else "input" for record in profile.inputs)
    for node in profile.flow:
        chain = chains[node.module]
        if node.op == "input":
            part = Part("input", next(names, f"input {node.id}"))
        elif not any(feeder in labels for feeder in node.inputs):
            continue
        elif node.op == "call" or len(chain) > depth:
            path = chain[min(depth, len(chain) - 1)]
            part = Part("module", _name(path), path)
        else:
            name = f"{node.module}.{node.op.strip('_')}()".lstrip(".")
            counts[name] += 1
            part = Part("operator", name if counts[name] == 1 else f"{name}#{counts[name]}")
        part = graph.parts.setdefault(part.label, part)
        part.given = _describe(node)
        labels[node.id] = part.label
    graph.parts[OUTPUT] = Part("output", OUTPUT)
    return labels


def _name(path: str) -> str:
    return path or _ROOT


def _describe(node: FlowNode) -> Given:
    return Given(node.shape, node.symbolic)


def _find_outputs(profile: Profile, labels: dict[int, str]) -> list[FlowNode]:
    """What nothing reads and has a shape that the model returns; where none has, everything that nothing reads."""
    read = {feeder for node in profile.flow for feeder in node.inputs}
    ends = [node for node in profile.flow if node.id in labels and node.id not in read and node.op != "input"]
    returned = {shape for module in profile.modules[:1] for call in module.calls for shape in call.outputs}
    return [node for node in ends if node.shape in returned] or ends
