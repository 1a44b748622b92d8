"""The forward graph: which node produces what each module call and operator takes as input.

A node is a model input, a call of a module without children, or an operator that a module with children runs itself (a `cat` of two
branches). A view makes no node: its contents come from the nodes of its base. An operator that writes in place is a node, and every later
use of that memory, through any alias, has it as an input.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from msgspec import UNSET

from archaudit.measure.tensors import shape_of, storage_key
from archaudit.schema import FlowNode, Setting, Shape


@dataclass(slots=True)
class _Node:
    op: str
    module: int
    inputs: set[int] = field(default_factory=set)
    shape: Shape | None = None
    dtype: str | None = None
    arguments: dict[str, Setting] = field(default_factory=dict)


@dataclass(slots=True)
class _Writes:
    """In-place writes to one storage: the last node that overwrote all of it (-1: none), and the later nodes that wrote parts of it."""

    whole: int = -1
    parts: set[int] = field(default_factory=set)


class FlowRecorder:
    """Builds the graph while the model runs. It identifies tensors by object, through weak references, so it keeps no memory alive."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self._producers: dict[int, tuple[weakref.ref[torch.Tensor], frozenset[int]]] = {}
        self._writes: dict[int, _Writes] = {}

    def add_node(self, op: str, module: int, inputs: Iterable[int] = (), arguments: dict[str, Setting] | None = None) -> int:
        """Adds a node and returns its number, which is larger than the numbers of its inputs."""
        self.nodes.append(_Node(op, module, set(inputs), arguments=arguments or {}))
        return len(self.nodes) - 1

    def find_producers(self, tensor: torch.Tensor) -> frozenset[int]:
        """The nodes that produced the contents of `tensor`; empty for parameters, buffers and constants."""
        known = self._producers.get(id(tensor))
        producers = known[1] if known is not None and known[0]() is tensor else frozenset()
        writes = self._writes.get(storage_key(tensor)) if self._writes else None
        if writes is None:
            return producers
        # a node after a write has that write among its own inputs
        current = {producer for producer in producers if producer >= writes.whole}
        if not current and writes.whole >= 0:
            current = {writes.whole}
        newest = max(current, default=-1)
        return frozenset(current | {part for part in writes.parts if part > newest})

    def mark_output(self, tensor: torch.Tensor, producers: frozenset[int]) -> None:
        """Records that `tensor` is a new object whose contents come from `producers`."""
        self._producers[id(tensor)] = (weakref.ref(tensor), producers)

    def mark_allocated(self, tensor: torch.Tensor) -> None:
        """Records that the memory of `tensor` is new: earlier writes at this address belong to another tensor."""
        if self._writes:
            self._writes.pop(storage_key(tensor), None)

    def mark_written(self, tensor: torch.Tensor, node: int) -> None:
        """Records that `node` wrote into the memory of `tensor` in place."""
        writes = self._writes.setdefault(storage_key(tensor), _Writes())
        if tensor.numel() * tensor.element_size() >= tensor.untyped_storage().nbytes():
            writes.whole, writes.parts = node, set()
        else:
            writes.parts.add(node)

    def describe_output(self, node: int, tensor: torch.Tensor) -> None:
        """Sets the shape and dtype of a node to those of its first output."""
        record = self.nodes[node]
        if record.shape is None:
            record.shape = shape_of(tensor)
            record.dtype = str(tensor.dtype).removeprefix("torch.")

    def find_producing_modules(self, nodes: Iterable[int]) -> tuple[int, ...]:
        """The positions of the modules whose output reaches `nodes` directly or through operators, sorted."""
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
        """The graph as records, with module paths in place of positions."""
        return tuple(
            FlowNode(
                id=number,
                op=node.op,
                module=paths[node.module],
                inputs=tuple(sorted(node.inputs - {number})),
                shape=node.shape,
                dtype=node.dtype,
                arguments=node.arguments or UNSET,
            )
            for number, node in enumerate(self.nodes)
        )
