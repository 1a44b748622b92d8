"""A profile that can be edited: modules and operators refer to each other instead of to paths, so that edits keep the data flow right."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from math import prod
from typing import Any

from archaudit.schema import Call, Cost, FlowNode, ModuleRecord, Profile, TensorRecord, sum_costs

_BYTES = {"float32": 4, "float16": 2, "int64": 8, "bool": 1, "bfloat16": 2}


@dataclass(eq=False)
class Node:
    """A module. `uid` is its identity, through all edits; `activations` is its own cost without parameters."""

    uid: int
    name: str
    type: str
    settings: dict[str, Any]
    tensors: list[TensorRecord]
    activations: Cost
    calls: list[tuple[tuple[Any, ...], tuple[Any, ...]]] = field(default_factory=list)
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)

    @property
    def is_list(self) -> bool:
        """Whether the children are numbered."""
        return bool(self.children) and all(child.name.isdecimal() for child in self.children)

    def walk(self) -> list[Node]:
        """The subtree, parents first."""
        listed, waiting = [], [self]
        while waiting:
            node = waiting.pop()
            listed.append(node)
            waiting += reversed(node.children)
        return listed


@dataclass(eq=False)
class Run:
    """A node of the forward graph."""

    op: str
    node: Node
    inputs: list[Run]
    shape: Any
    dtype: Any


class Plan:
    """A model as modules and runs, in order of execution. `add` and the like keep both right."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._uids = itertools.count()
        by_path: dict[str, Node] = {}
        for record in profile.modules:
            node = Node(
                uid=next(self._uids),
                name=record.path.rpartition(".")[2],
                type=record.type,
                settings=copy.deepcopy(record.settings),
                tensors=list(record.tensors),
                activations=_drop_params(record.own),
                calls=[(call.inputs, call.outputs) for call in record.calls],
            )
            by_path[record.path] = node
            if record.path:
                node.parent = by_path[record.path.rpartition(".")[0]]
                node.parent.children.append(node)
        self.root = by_path[""]
        self.runs: list[Run] = []
        by_id: dict[int, Run] = {}
        for flow in profile.flow:
            run = Run(flow.op, by_path[flow.module], [by_id[source] for source in flow.inputs], flow.shape, flow.dtype)
            by_id[flow.id] = run
            self.runs.append(run)
        self.ties = {record.path + "." + tensor.name: tensor.tied_to for record in profile.modules for tensor in record.tensors}

    def copy(self) -> Plan:
        """An independent copy, of the same uids."""
        return copy.deepcopy(self)

    def make_node(self, name: str, type: str, settings: dict[str, Any], *tensors: TensorRecord) -> Node:
        """A new module that is not in the tree yet."""
        return Node(next(self._uids), name, type, settings, list(tensors), Cost())

    def find(self, uid: int) -> Node:
        """The module of this uid."""
        return next(node for node in self.root.walk() if node.uid == uid)

    # --- runs

    def find_runs(self, node: Node) -> list[Run]:
        """The runs of a leaf."""
        return [run for run in self.runs if run.node is node]

    def insert_run(self, node: Node, after: Run) -> Run:
        """Runs `node` on the output of another run; all users of that output take the output of `node` instead."""
        run = Run("call", node, [after], after.shape, after.dtype)
        for other in self.runs:
            other.inputs = [run if source is after else source for source in other.inputs]
        run.inputs = [after]
        self.runs.insert(self.runs.index(after) + 1, run)
        return run

    def drop_runs(self, nodes: list[Node]) -> None:
        """Removes every run of these modules; the users of its output take its inputs instead."""
        gone = set(map(id, nodes))
        for run in [run for run in self.runs if id(run.node) in gone]:
            for other in self.runs:
                if run in other.inputs:
                    sources = [source for source in other.inputs if source is not run] + run.inputs
                    other.inputs = list(dict.fromkeys(sources))
            self.runs.remove(run)

    # --- back to a profile

    def build(self, name: str) -> Profile:
        """The profile of the edited model."""
        nodes = self.root.walk()
        paths = _list_paths(self.root)
        calls = self._list_calls(nodes, paths)
        own = {id(node): _cost(node) for node in nodes}
        totals = dict(own)
        for node in reversed(nodes):
            if node.parent is not None:
                totals[id(node.parent)] += totals[id(node)]
        modules = tuple(
            ModuleRecord(
                path=paths[id(node)],
                type=node.type,
                settings=node.settings,
                own=own[id(node)],
                total=totals[id(node)],
                tensors=tuple(node.tensors),
                calls=calls[id(node)],
            )
            for node in nodes
        )
        numbers = {id(run): number for number, run in enumerate(self.runs)}
        flow = tuple(
            FlowNode(
                id=number,
                op=run.op,
                module=paths[id(run.node)],
                inputs=tuple(sorted(numbers[id(source)] for source in run.inputs)),
                shape=run.shape,
                dtype=run.dtype,
            )
            for number, run in enumerate(self.runs)
        )
        return Profile(name=name, reference=name, totals=sum_costs(own.values()), modules=modules, flow=flow)

    def _list_calls(self, nodes: list[Node], paths: dict[int, str]) -> dict[int, tuple[Call, ...]]:
        """A call for each run of a leaf, and one for each container of a leaf that runs."""
        found: dict[int, list[Call]] = {id(node): [] for node in nodes}
        order = 0
        for run in self.runs:
            if run.op == "input":
                continue
            sources = tuple(sorted({paths[id(source.node)] for source in _trace(run)}))
            chain = []
            above: Node | None = run.node
            while above is not None and not (found[id(above)] and above.children):
                chain.append(above)
                above = above.parent
            for node in reversed(chain):
                if node.children or run.op == "call":
                    shapes = tuple(source.shape for source in run.inputs if source.shape is not None)
                    outputs = (run.shape,) if run.shape is not None else ()
                    found[id(node)].append(Call(order=order, inputs=shapes, outputs=outputs, inputs_from=sources))
                    order += 1
        return {key: tuple(calls) for key, calls in found.items()}


def _trace(run: Run) -> list[Run]:
    """The calls whose outputs a run takes as inputs, directly or through operators."""
    found, waiting, seen = [], list(run.inputs), set()
    while waiting:
        source = waiting.pop()
        if id(source) in seen:
            continue
        seen.add(id(source))
        if source.op == "call":
            found.append(source)
        else:
            waiting += source.inputs
    return found


def _list_paths(root: Node) -> dict[int, str]:
    paths = {id(root): ""}
    for node in root.walk():
        for child in node.children:
            above = paths[id(node)]
            paths[id(child)] = f"{above}.{child.name}" if above else child.name
    return paths


def list_paths(plan: Plan) -> dict[int, str]:
    """The path of each uid."""
    paths = _list_paths(plan.root)
    return {node.uid: paths[id(node)] for node in plan.root.walk()}


def _drop_params(cost: Cost) -> Cost:
    return cost - Cost(params=cost.params, trainable_params=cost.trainable_params, buffers=cost.buffers, param_bytes=cost.param_bytes)


def _cost(node: Node) -> Cost:
    owned = [tensor for tensor in node.tensors if tensor.tied_to is None]
    parameters = [tensor for tensor in owned if tensor.kind == "parameter"]
    return node.activations + Cost(
        params=sum(prod(tensor.shape) for tensor in parameters),
        trainable_params=sum(prod(tensor.shape) for tensor in parameters if tensor.trainable),
        buffers=sum(prod(tensor.shape) for tensor in owned if tensor.kind == "buffer"),
        param_bytes=sum(prod(tensor.shape) * _BYTES.get(tensor.dtype, 4) for tensor in parameters),
    )
