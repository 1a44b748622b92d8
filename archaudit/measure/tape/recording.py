"""The tape: one forward pass under a dispatch mode that records every operator with the module it ran in.

An operator belongs to the innermost running module. Functional calls, matrix operators, attention, reused and tied modules are all
seen, since nothing is guessed from module types. Costs are accumulated per module as own costs; totals are summed up the tree later.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.dispatch import DispatchMode
from archaudit.measure.formulas import Work, count_operator
from archaudit.measure.structure.params import storage_key
from archaudit.measure.structure.tensors import bytes_of, list_tensors_in, shape_of
from archaudit.measure.structure.tree import ModuleTree
from archaudit.measure.tape.assumptions import answer_boolean
from archaudit.measure.tape.flow import FlowRecorder
from archaudit.measure.tape.frames import follow_calls
from archaudit.measure.tape.memory import LivenessRecorder, Traits, read_traits
from archaudit.schema import Shape

# How an operator is run: `(operator, args, kwargs)` to its result. A memory of the meta device's answers may stand in for the kernel.
RunOperator = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(slots=True)
class TapeEntry:
    """One run of an operator: the position of its module, what it cost, and the shapes that the cost follows from."""

    operator: str
    module: int
    work: Work
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass(slots=True)
class TapeCall:
    """One call of a module: shapes in and out, and the flow nodes that its inputs came from."""

    module: int
    order: int
    inputs: tuple[Shape, ...]
    makers: frozenset[int]
    outputs: tuple[Shape, ...] = ()
    node: int | None = None


@dataclass(slots=True)
class Tape:
    """What one forward pass did. Lists with one entry a module are indexed by its position in `tree`.

    `read_parameters` has the parameters that operators read, by storage key: which module read it first, and its elements.
    """

    tree: ModuleTree
    entries: list[TapeEntry] = field(default_factory=list)
    calls: list[TapeCall] = field(default_factory=list)
    activation_bytes: list[int] = field(default_factory=list)
    moved_bytes: list[int] = field(default_factory=list)
    used_storages: set[int] = field(default_factory=set)
    read_parameters: dict[int, tuple[int, int]] = field(default_factory=dict)
    flow: FlowRecorder = field(default_factory=FlowRecorder)
    peak_activation_bytes: int = 0
    assumptions: list[str] = field(default_factory=list)
    failed_module: int | None = None
    failed_error: BaseException | None = None


class TapeRecorder:
    """Receives operators (from the dispatch mode) and calls (from the frames) and writes the tape."""

    def __init__(self, tree: ModuleTree) -> None:
        size = len(tree)
        self.tape = Tape(tree, activation_bytes=[0] * size, moved_bytes=[0] * size)
        self.liveness = LivenessRecorder()
        self._open: list[TapeCall] = []
        self.paused = False

    # --- calls of modules

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Opens a call; a module without children becomes a node of the flow."""
        tensors = list_tensors_in(args, kwargs)
        makers = frozenset().union(*(self.tape.flow.find_makers(tensor) for tensor in tensors)) if tensors else frozenset()
        call = TapeCall(position, len(self.tape.calls), tuple(map(shape_of, tensors)), makers)
        if self.tape.tree.is_leaf[position]:
            call.node = self.tape.flow.add_node("call", position, makers)
        self.tape.calls.append(call)
        self._open.append(call)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Closes the call. A module that hands its input through gets an alias of it to return, so that what is read from the module and
        what is read from its input stay apart in the flow."""
        call = self._open.pop()
        tensors = list_tensors_in(result)
        call.outputs = tuple(map(shape_of, tensors))
        if call.node is None:
            return result
        for tensor in tensors[:1]:
            self.tape.flow.describe_output(call.node, tensor)
        if (
            isinstance(result, torch.Tensor)
            and call.node not in self.tape.flow.find_makers(result)
            and self._is_given(result, args, kwargs)
        ):
            result = self._make_alias(result)
            self.tape.flow.mark_made(result, frozenset({call.node}))
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Closes the call and remembers the innermost module that raised."""
        self._open.pop()
        if self.tape.failed_error is not error:
            self.tape.failed_error, self.tape.failed_module = error, position

    @staticmethod
    def _is_given(result: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return any(tensor is result for tensor in list_tensors_in(args, kwargs))

    def _make_alias(self, tensor: torch.Tensor) -> torch.Tensor:
        self.paused = True
        try:
            alias: torch.Tensor = torch.ops.aten.alias.default(tensor)
            return alias
        finally:
            self.paused = False

    # --- operators

    def record_inputs(self, values: object) -> None:
        """The model's inputs: nodes of the flow, and live for the whole pass."""
        for tensor in list_tensors_in(values):
            node = self.tape.flow.add_node("input", 0)
            self.tape.flow.describe_output(node, tensor)
            self.tape.flow.mark_made(tensor, frozenset({node}))
            self.liveness.watch(tensor)

    def record_operator(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Writes one run of an operator: its work, bytes, and place in the flow."""
        traits = read_traits(operator)
        position = self._open[-1].module if self._open else 0
        inputs = list_tensors_in(args, kwargs)
        outputs = list_tensors_in(result)
        if traits.is_view:
            makers = frozenset().union(*(self.tape.flow.find_makers(tensor) for tensor in inputs))
            for tensor in outputs:
                self.tape.flow.mark_made(tensor, makers)
        else:
            self._count_bytes(traits, position, inputs, outputs)
            self._place_in_flow(traits, position, args, kwargs, (inputs, outputs))
            self.tape.used_storages.update(storage_key(tensor) for tensor in inputs)
        for tensor in inputs:
            if isinstance(tensor, nn.Parameter):
                self.tape.read_parameters.setdefault(storage_key(tensor), (position, tensor.numel()))
        work = count_operator(operator, args, kwargs, result)
        shapes = (tuple(map(shape_of, inputs)), tuple(map(shape_of, outputs))) if work.status != "zero" else ((), ())
        self.tape.entries.append(TapeEntry(traits.name, position, work, *shapes))

    def _count_bytes(self, traits: Traits, position: int, inputs: list[torch.Tensor], outputs: list[torch.Tensor]) -> None:
        written = sum(bytes_of(tensor) for tensor in outputs)
        read = [bytes_of(tensor) for tensor in inputs]
        if traits.gathers and read:
            read[0] = min(read[0], written)
        self.tape.moved_bytes[position] += written + sum(read)
        for tensor in outputs:
            self.tape.activation_bytes[position] += self.liveness.watch(tensor)

    def _place_in_flow(
        self,
        traits: Traits,
        position: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: tuple[list[torch.Tensor], list[torch.Tensor]],
    ) -> None:
        flow, (inputs, outputs) = self.tape.flow, tensors
        makers = frozenset().union(*(flow.find_makers(tensor) for tensor in inputs)) if inputs else frozenset()
        node = self._open[-1].node if self._open else None
        if node is None:
            if not outputs:
                return
            node = flow.add_node(traits.name.removeprefix("aten::"), position, makers)
            flow.describe_output(node, outputs[0])
        else:
            flow.nodes[node].inputs |= {maker for maker in makers if maker < node}
        written = [args[number] for number in traits.written_positions if number < len(args)]
        written += [kwargs[name] for name in traits.written_names if name in kwargs]
        overwritten = list_tensors_in(written)
        made = frozenset({node})
        for tensor in outputs:
            if not any(tensor is target for target in overwritten):
                flow.mark_allocated(tensor)
            flow.mark_made(tensor, made)
        for tensor in overwritten:
            flow.mark_written(tensor, node)


class TapeMode(DispatchMode):
    """Shows every operator to the recorder after running it.

    Composite operators that arrive whole (in inference mode) are taken apart first, so that their parts are counted.
    `boolean_answer`, when given, answers booleans read from meta tensors, which have none; `run_operator` runs the others.
    """

    supports_higher_order_operators = True

    def __init__(self, recorder: TapeRecorder, boolean_answer: bool | None = None, run_operator: RunOperator | None = None) -> None:
        super().__init__()
        self.recorder = recorder
        self.boolean_answer = boolean_answer
        self.run_operator = run_operator or _call_operator

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if self.recorder.paused:
            return func(*args, **kwargs)
        if self.boolean_answer is not None and func is torch.ops.aten._local_scalar_dense.default:
            answered = answer_boolean(args[0], self.boolean_answer, self.recorder.tape.assumptions)
            if answered is not None:
                return answered
        if _arrives_whole(func):
            with self:
                taken_apart = func.decompose(*args, **kwargs)
            if taken_apart is not NotImplemented:
                return taken_apart
        result = self.run_operator(func, args, kwargs)
        self.recorder.record_operator(func, args, kwargs, result)
        return result


def _call_operator(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return operator(*args, **kwargs)


_whole: dict[Any, bool] = {}


def _arrives_whole(operator: Any) -> bool:
    """Whether this is a composite operator, which a pass outside inference mode would have split before it came here."""
    known = _whole.get(operator)
    if known is None:
        key = torch._C.DispatchKey.CompositeImplicitAutograd
        known = _whole[operator] = (
            isinstance(operator, torch._ops.OpOverload)
            and torch._C._dispatch_has_kernel(operator.name())
            and torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), key)
            and not read_traits(operator).is_view
        )
    return known


def record_tape(
    tree: ModuleTree,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    boolean_answer: bool | None = None,
    run_operator: RunOperator | None = None,
    into: list[Tape] | None = None,
) -> Tape:
    """Runs the root of `tree` once on `(args, kwargs)` and returns what happened.

    Eval mode is the caller's to set; grad is switched off here, and so are torch's fused fast paths. Whatever the model raises
    passes through; `into`, when given, receives the tape before the run, so that a failure can be located. `boolean_answer` and
    `run_operator` are as in TapeMode.
    """
    recorder = TapeRecorder(tree)
    if into is not None:
        into.append(recorder.tape)
    with ExitStack() as stack:
        stack.enter_context(plain_paths())
        stack.enter_context(torch.no_grad())
        elsewhere = stack.enter_context(follow_calls(tree, recorder))
        recorder.record_inputs((args, kwargs))
        stack.enter_context(TapeMode(recorder, boolean_answer, run_operator))
        result = tree.modules[0](*args, **kwargs)
    if isinstance(result, Generator | Coroutine):
        raise MeasureError(
            f"forward of {type(tree.modules[0]).__name__} only returned a {type(result).__name__}: nothing of it has run",
            "Measure a module that wraps it and returns what it yields or awaits.",
        )
    # a dispatch mode sees its own thread alone
    unseen = Work("unknown", note="modes see the thread alone that opened them")
    recorder.tape.entries += (TapeEntry("what another thread ran", position, unseen, (), ()) for position in sorted(elsewhere))
    recorder.liveness.close()
    recorder.tape.peak_activation_bytes = recorder.liveness.peak_bytes
    return recorder.tape


@contextmanager
def plain_paths() -> Iterator[None]:
    """Switches off what hides operators: torch's fused inference paths (a whole encoder layer as one operator), and compilation.

    Whoever compiles has imported torch._dynamo; where it is not imported there is nothing to switch off, and importing it is slow.
    """
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext():
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
