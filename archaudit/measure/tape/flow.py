"""The forward graph: who made what a module or an operator reads.

A node is a model input, a call of a module without children, or an operator that a module with children runs itself (a `cat` between
two of them). Views make no node: a view comes from where its base comes from. An in-place operator is a node, and whoever reads
that memory afterwards, through whatever alias, reads from it.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch

from archaudit.measure.structure.params import storage_key
from archaudit.schema import FlowNode, Shape


@dataclass(slots=True)
class _Node:
    op: str
    module: int
    inputs: set[int] = field(default_factory=set)
    shape: Shape | None = None
    dtype: str | None = None


@dataclass(slots=True)
class _Written:
    """In-place writes to one storage: the last node that overwrote all of it (-1: none), and those that wrote parts since."""

    whole: int = -1
    parts: set[int] = field(default_factory=set)


class FlowRecorder:
    """Builds the graph while the model runs. Tensors are known by identity, held weakly: recording keeps nothing alive."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._makers: dict[int, tuple[weakref.ref[torch.Tensor], frozenset[int]]] = {}
        self._written: dict[int, _Written] = {}

    def add_node(self, op: str, module: int, inputs: Iterable[int] = ()) -> int:
        """A new node; its number, which is larger than that of any node it reads from."""
        self.nodes.append(_Node(op, module, set(inputs)))
        return len(self.nodes) - 1

    def find_makers(self, tensor: torch.Tensor) -> frozenset[int]:
        """The nodes that the contents of `tensor` come from; empty for parameters, buffers and constants."""
        known = self._makers.get(id(tensor))
        makers = known[1] if known is not None and known[0]() is tensor else frozenset()
        written = self._written.get(storage_key(tensor)) if self._written else None
        if written is None:
            return makers
        # what was made after a write has that write among its own inputs already
        current = {maker for maker in makers if maker >= written.whole}
        if not current and written.whole >= 0:
            current = {written.whole}
        newest = max(current, default=-1)
        return frozenset(current | {part for part in written.parts if part > newest})

    def mark_made(self, tensor: torch.Tensor, makers: frozenset[int]) -> None:
        """`tensor` is a new object whose contents come from `makers`."""
        self._makers[id(tensor)] = (weakref.ref(tensor), makers)

    def mark_allocated(self, tensor: torch.Tensor) -> None:
        """The memory of `tensor` is fresh: whatever was written at this address before is another tensor's past."""
        if self._written:
            self._written.pop(storage_key(tensor), None)

    def mark_written(self, tensor: torch.Tensor, node: int) -> None:
        """`node` wrote into the memory of `tensor` in place."""
        written = self._written.setdefault(storage_key(tensor), _Written())
        if tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes():
            written.whole, written.parts = node, set()
        else:
            written.parts.add(node)

    def describe_output(self, node: int, tensor: torch.Tensor) -> None:
        """Gives a node the shape and dtype of its (first) output."""
        record = self.nodes[node]
        if record.shape is None:
            record.shape = tuple(int(size) for size in tensor.shape)
            record.dtype = str(tensor.dtype).removeprefix("torch.")

    def trace_modules(self, nodes: Iterable[int]) -> tuple[int, ...]:
        """The positions of the modules whose calls feed `nodes`, seen through the operators between; sorted."""
        found: set[int] = set()
        pending, seen = list(nodes), set()
        while pending:
            number = pending.pop()
            if number in seen:
                continue
            seen.add(number)
            node = self.nodes[number]
            if node.op == "call":
                found.add(node.module)
            else:
                pending.extend(node.inputs)
        return tuple(sorted(found))

    def to_records(self, paths: tuple[str, ...]) -> tuple[FlowNode, ...]:
        """The graph as records, module positions replaced by their paths."""
        return tuple(
            FlowNode(
                id=number,
                op=node.op,
                module=paths[node.module],
                inputs=tuple(sorted(node.inputs - {number})),
                shape=node.shape,
                dtype=node.dtype,
            )
            for number, node in enumerate(self.nodes)
        )
