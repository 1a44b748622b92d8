"""One side's forward graph with a name for each part: modules with everything that runs inside them, and what runs between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import combinations

from archaudit.index import ModuleIndex, build_graph, find_owner, index_modules
from archaudit.schema import FlowNode, FlowPartKind, Profile, Setting, Shape

# Of more modules than this that became one, the first and the last are named.
_MOST_NAMED = 3
_ROOT = "model"  # the name of a model that is a single layer


@dataclass(slots=True)
class TensorShape:
    """The shape of a tensor: the sizes measured, and in terms of the input where that is known."""

    sizes: Shape | None
    symbolic: tuple[str, ...] | None


@dataclass(slots=True)
class Part:
    """A node of the graph: `paths` are its modules (none for an operator, an input and the output), `nodes` its flow nodes' ids;
    `arguments` are those of an operator other than tensors and sizes."""

    kind: FlowPartKind
    label: str
    paths: tuple[str, ...] = ()
    nodes: tuple[int, ...] = ()
    shape: TensorShape | None = None
    arguments: dict[str, Setting] | None = None

    @property
    def path(self) -> str | None:
        """The path of a part that is one module."""
        return self.paths[0] if len(self.paths) == 1 else None


@dataclass(slots=True)
class Edge:
    """A tensor: the output of one part and an input of another, with the shape that arrives there."""

    source: str
    target: str
    shape: TensorShape


@dataclass(slots=True)
class FlowGraph:
    """Parts by label in the order in which they first run, and edges in the order in which their targets run.

    `holders` names the part that each module belongs to; `output` is the label of the model's output.
    """

    output: str = "output"
    parts: dict[str, Part] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    holders: dict[str, str] = field(default_factory=dict)

    def contract(self, labels: list[str]) -> str:
        """Makes one part of several, in place of the first; its label."""
        names = labels if len(labels) <= _MOST_NAMED else [labels[0], "…", labels[-1]]
        name = " + ".join(names)
        members = [self.parts[label] for label in labels]
        merged = Part(
            "module",
            name,
            tuple(path for member in members for path in member.paths),
            tuple(sorted(node for member in members for node in member.nodes)),
            members[-1].shape,
        )
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


def build_flow_graph(profile: Profile, opened: Collection[str]) -> FlowGraph:
    """The graph in which each module that is not `opened` is one part, and each operator that an opened module runs itself is another."""
    index = index_modules(profile)
    holders = {}
    for path in {*index.modules, *(node.module for node in profile.flow)}:
        owner = find_owner(index, path, opened)
        holders[path] = _name_module(path if owner is None else owner)
    graph = FlowGraph(_choose_label(index, "output"), holders=holders)
    labels = _add_parts(graph, profile, opened)
    nodes = {node.id: node for node in profile.flow}
    taken: dict[str | None, set[Shape]] = {
        module.path: {shape for call in module.calls for shape in call.inputs} for module in profile.modules
    }
    inputs = [(source, labels[node.id]) for node in profile.flow if node.id in labels for source in node.inputs]
    inputs += [(node.id, graph.output) for node in _find_outputs(profile, labels)]
    for producer, target in dict.fromkeys(inputs):
        if producer in labels and (source := labels[producer]) != target:
            shape = _find_received(_read_shape(nodes[producer]), taken.get(graph.parts[target].path, set()))
            graph.edges.append(Edge(source, target, shape))
    return graph


def open_levels(profile: Profile, depth: int | None) -> frozenset[str]:
    """The modules above level `depth`, which counts from the root (None: the first level at which at least two modules run)."""
    index = index_modules(profile)
    chains = {path: index.list_chain(path) for path in {*index.modules, *(node.module for node in profile.flow)}}
    if depth is None:
        depth = _choose_depth(profile, chains)
    return frozenset(path for path, chain in chains.items() if len(chain) <= depth)


def _choose_depth(profile: Profile, chains: dict[str, tuple[str, ...]]) -> int:
    deepest = max((len(chains[node.module]) - 1 for node in profile.flow), default=1)
    for depth in range(1, deepest + 1):
        if len({chains[node.module][depth] for node in profile.flow if len(chains[node.module]) > depth}) > 1:
            return depth
    return max(1, deepest)


def _add_parts(graph: FlowGraph, profile: Profile, opened: Collection[str]) -> dict[int, str]:
    """Makes the parts; the label of the part that each flow node belongs to."""
    labels: dict[int, str] = {}
    counts: Counter[str] = Counter()
    index = index_modules(profile)
    names = iter(f"input {record.name}" if len(profile.inputs) > 1 else _choose_label(index, "input") for record in profile.inputs)
    for node in build_graph(profile, opened):
        nodes, shape = tuple(step.id for step in node.steps), _read_shape(node.last)
        if node.path is not None:
            part = Part("module", _name_module(node.path), (node.path,), nodes, shape)
        elif node.last.op == "input":
            part = Part("input", next(names, f"input {node.last.id}"), (), nodes, shape)
        else:
            name = f"{node.last.module}.{node.last.op.strip('_')}()".lstrip(".")
            counts[name] += 1
            part = Part("operator", name if counts[name] == 1 else f"{name}#{counts[name]}", (), nodes, shape, node.last.arguments or {})
        graph.parts[part.label] = part
        labels.update(dict.fromkeys(nodes, part.label))
    graph.parts[graph.output] = Part("output", graph.output)
    return labels


def _choose_label(index: ModuleIndex, label: str) -> str:
    """A label for an input or the output that is no module's path: a module may be called `output`."""
    return f"model {label}" if label in index else label


def _name_module(path: str) -> str:
    return path or _ROOT


def _read_shape(node: FlowNode) -> TensorShape:
    return TensorShape(node.shape, node.symbolic)


def _find_received(shape: TensorShape, taken: set[Shape]) -> TensorShape:
    """The shape that arrives at a module whose inputs have the shapes `taken` (empty where unknown) when a tensor of `shape` is passed on.

    Views are no operators of their own, so a tensor may arrive flattened, or as one slice of it; where there are several candidates, the
    shape is unknown.
    """
    if not taken or shape.sizes is None or shape.sizes in taken:
        return shape
    if len(taken) > 1:
        return TensorShape(None, None)
    (sizes,) = taken
    if shape.symbolic is None or len(shape.symbolic) != len(shape.sizes) or len(sizes) > len(shape.sizes):
        return TensorShape(sizes, None)
    named = zip(shape.sizes, shape.symbolic, strict=True)
    # The sizes that are left when some were dropped keep their names, if there is only one way to choose them.
    ways = {tuple(name for _, name in kept) for kept in combinations(named, len(sizes)) if tuple(size for size, _ in kept) == sizes}
    return TensorShape(sizes, ways.pop() if len(ways) == 1 else None)


def _find_outputs(profile: Profile, labels: dict[int, str]) -> list[FlowNode]:
    """The flow nodes that nothing takes as input and that have a shape which the model returns; all of them where none has."""
    taken = {source for node in profile.flow for source in node.inputs}
    ends = [node for node in profile.flow if node.id in labels and node.id not in taken and node.op != "input"]
    returned = {shape for module in profile.modules[:1] for call in module.calls for shape in call.outputs}
    return [node for node in ends if node.shape in returned] or ends
