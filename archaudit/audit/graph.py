"""The values of one forward pass as a graph: every operator and every call of a layer, with its operands in order and its readers.

It is the program of the model with the programs of its modules in place of their calls. A layer of torch is one node. So is a module that
runs differently from call to call: what it runs is then not known here.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from archaudit.errors import CannotJudge
from archaudit.index import ModuleIndex, index_modules
from archaudit.index.programs import ProgramNode, Source, build_program_graph, has_programs, read_programs
from archaudit.schema import Call, ModuleRecord, Profile, Setting

# Steps that change the shape or the order of a tensor's elements, and none of its values.
REARRANGING = frozenset(
    ("reshape", "permute", "slice", "select", "expand", "detach", "unsqueeze", "squeeze", "contiguous", "flatten", "clone")
)


class Reader(NamedTuple):
    """A node that reads a value, and which of its operands the value is."""

    node: int
    operand: int


class ValueGraph:
    """The nodes in the order in which they ran, numbered from 0."""

    def __init__(self, profile: Profile, nodes: Sequence[ProgramNode], returns: Sequence[Source]) -> None:
        self.index: ModuleIndex = index_modules(profile)
        self.nodes = tuple(nodes)
        self._ties = profile.ties
        self.returned = frozenset(source.node for source in returns if source.node is not None)
        # results that an operator wrote in place, and values that were written into later
        self.written = {write for node in nodes for source in node.operands for write in source.writes}
        self.overwritten = {source.node for node in nodes for source in node.operands if source.writes and source.node is not None}
        self.overwritten |= {source.node for source in returns if source.writes and source.node is not None}

    @cached_property
    def readers(self) -> dict[int, tuple[Reader, ...]]:
        """By node, the nodes that read its results."""
        found: dict[int, list[Reader]] = defaultdict(list)
        for number, node in enumerate(self.nodes):
            for place, source in enumerate(node.operands):
                if source.node is not None:
                    found[source.node].append(Reader(number, place))
        return {number: tuple(readers) for number, readers in found.items()}

    @cached_property
    def calls(self) -> dict[str, tuple[int, ...]]:
        """By path, the nodes that call the module."""
        found: dict[str, list[int]] = defaultdict(list)
        for number, node in enumerate(self.nodes):
            if node.op == "call":
                found[node.path].append(number)
        return {path: tuple(numbers) for path, numbers in found.items()}

    def sole_reader(self, number: int) -> int | None:
        """The only node that reads this one; None if there are several, or if the model returns the value or writes into it."""
        readers = self.readers.get(number, ())
        if len(readers) != 1 or number in self.returned or number in self.overwritten:
            return None
        return readers[0].node

    def module(self, number: int) -> ModuleRecord | None:
        """The module that a node calls; None for an operator."""
        node = self.nodes[number]
        return self.index.get(node.path) if node.op == "call" else None

    def layer(self, number: int) -> ModuleRecord | None:
        """The layer of torch that a node calls, if it calls it with nothing but one tensor; None for anything else.

        A subclass of another library may compute something else, and a hook on a layer is a node of its own.
        """
        module, node = self.module(number), self.nodes[number]
        plain = module is not None and module.defined_in == "torch" and self.index.is_leaf(node.path)
        return module if plain and len(node.operands) == 1 and not node.arguments else None

    def call(self, number: int) -> Call | None:
        """The record of the call; None if the graph does not have all calls of the module."""
        module = self.module(number)
        if module is None or (numbers := self.calls[module.path]) is None or len(numbers) != len(module.calls):
            return None
        return module.calls[numbers.index(number)]

    def call_number(self, number: int) -> int | None:
        """Which call of its module it is, from 0; None if the graph does not have all of them."""
        path = self.nodes[number].path
        return self.calls[path].index(number) if self.call(number) is not None else None

    def is_sole_call(self, number: int) -> bool:
        """Whether the module is called here and nowhere else."""
        module = self.module(number)
        return module is not None and len(module.calls) == 1 and not module.aliases

    def source(self, number: int, operand: int = 0) -> int | None:
        """The node whose only result is this operand, unchanged since; None for anything else."""
        operands = self.nodes[number].operands
        if operand >= len(operands):
            return None
        source = operands[operand]
        return source.node if source.node is not None and not source.output and not source.writes else None

    @cached_property
    def runs(self) -> dict[int, int]:
        """For each operator, how many nodes with the same operator the same module ran before."""
        counts: Counter[tuple[str, str]] = Counter()
        found: dict[int, int] = {}
        for number, node in enumerate(self.nodes):
            if node.op != "call":
                found[number] = counts[node.owner, node.op]
                counts[node.owner, node.op] += 1
        return found

    @cached_property
    def tied(self) -> frozenset[str]:
        """The full names of tensors that have another name."""
        return frozenset(name for group in self._ties for name in group)

    @cached_property
    def _tensor_reads(self) -> Counter[str]:
        names: Counter[str] = Counter()
        for node in self.nodes:
            owners = {self.index.tensors[source.name[1:]].module.path for source in node.operands if source.name[1:] in self.index.tensors}
            names.update(owners)
        return names

    def count_tensor_reads(self, path: str) -> int:
        """How many operators read a tensor of this module directly, without a call of it."""
        return self._tensor_reads[path]

    def iterate_calls(self) -> Iterator[tuple[int, ModuleRecord]]:
        """Each node that calls a layer of torch with one tensor, and the layer."""
        for number in range(len(self.nodes)):
            layer = self.layer(number)
            if layer is not None:
                yield number, layer

    def describe(self, number: int) -> str:
        """`features.0.1` for a call, `relu in features.0` for an operator."""
        node = self.nodes[number]
        return node.path or "the model" if node.op == "call" else f"{node.op} in {node.owner or 'the model'}"

    def argument(self, number: int, name: str) -> Setting:
        """An argument of an operator, a size too; None where it has its default."""
        node = self.nodes[number]
        return node.arguments.get(name, node.sizes.get(name))


def build_value_graph(profile: Profile) -> ValueGraph:
    """The graph of a profile. Raises CannotJudge for one without the programs of its modules."""
    if not has_programs(profile):
        raise CannotJudge("the profile does not have what its modules run: it was saved by an earlier version, or the model was not run")
    programs = read_programs(profile, "")
    if len(programs) != 1:
        reason = "the model has no forward of its own" if not programs else "the model was called in several ways"
        raise CannotJudge(f"what the model runs is not known as a whole: {reason}")
    graph = build_program_graph(profile, "", programs[0], lambda path: len(read_programs(profile, path)) == 1)
    return ValueGraph(profile, graph.nodes, graph.returns)
