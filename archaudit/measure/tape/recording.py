"""The tape: one forward pass under a dispatch mode that records every operator with the module that ran it.

An operator belongs to the innermost running module. Nothing is guessed from module types, so functional calls, matrix operators, attention,
reused and tied modules are all seen. Each module gets its own costs here; totals are summed up the tree later.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.formulas import Work, count_operator, find_values_by
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.process_state import without_fusion
from archaudit.measure.tape.arguments import NO_ARGUMENTS, read_arguments
from archaudit.measure.tape.complex_products import COUNTED_BEFORE, ComplexConvolutions
from archaudit.measure.tape.dead_compute import OperatorUses, ValueReads
from archaudit.measure.tape.device_operators import find_function, name_operator
from archaudit.measure.tape.flow import FlowRecorder
from archaudit.measure.tape.functions import FunctionMode
from archaudit.measure.tape.hidden_operators import HiddenCalls, ObservedMode
from archaudit.measure.tape.higher_order import find_body_runner
from archaudit.measure.tape.known_values import KnownValues, assume_boolean, track_constants
from archaudit.measure.tape.memory import LivenessRecorder, count_moved_bytes, list_written, needs_decomposition, read_traits, returns_views
from archaudit.measure.tape.module_calls import observe_calls
from archaudit.measure.tape.programs import ProgramRecorder
from archaudit.measure.tape.summed_products import SummedProducts
from archaudit.measure.tensors import list_tensors_in, list_tensors_within, shape_of, storage_key
from archaudit.schema import Setting, Shape

# Runs an operator: `(operator, args, kwargs)` to its result. A cache of the meta device's results may replace the kernel.
RunOperator = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(slots=True)
class TapeEntry:
    """One run of an operator: the position of its module, its cost, and the shapes that determine the cost."""

    operator: str
    module: int
    work: Work
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]


@dataclass(slots=True)
class TapeCall:
    """One call of a module: the shapes of its inputs and outputs, and the flow nodes that produced the inputs."""

    module: int
    order: int
    inputs: tuple[Shape, ...]
    producers: frozenset[int]
    outputs: tuple[Shape, ...] = ()
    node: int | None = None


@dataclass(slots=True)
class Tape:
    """One recorded forward pass. `activation_bytes` and `moved_bytes` have one entry for each module, by its position in `tree`.

    `read_parameters` has the parameters that operators read, by storage key: the first module that read it, and its number of elements.
    Those that a module of the tree has registered at that moment are left out, and so are empty ones (of lazy modules). `dead_entries` are
    the numbers of the entries whose results reach no output of the model. `reads_values` and `reads_weights` are those of OperatorUses.
    """

    tree: ModuleTree
    entries: list[TapeEntry] = field(default_factory=list)
    calls: list[TapeCall] = field(default_factory=list)
    activation_bytes: list[int] = field(default_factory=list)
    moved_bytes: list[int] = field(default_factory=list)
    used_storages: set[int] = field(default_factory=set)
    read_parameters: dict[int, tuple[int, int]] = field(default_factory=dict)
    summed_products: SummedProducts = field(default_factory=SummedProducts)
    flow: FlowRecorder = field(default_factory=FlowRecorder)
    programs: ProgramRecorder = field(init=False)
    dead_entries: set[int] = field(default_factory=set)
    reads_values: bool = False
    reads_weights: bool = False
    peak_activation_bytes: int = 0
    assumptions: list[str] = field(default_factory=list)
    failed_module: int | None = None
    failed_error: BaseException | None = None

    def __post_init__(self) -> None:
        self.programs = ProgramRecorder(self.tree)


class TapeRecorder:
    """Receives operators (from the dispatch mode) and module calls (from `observe_calls`) and writes the tape."""

    def __init__(self, tree: ModuleTree) -> None:
        size = len(tree)
        self.tape = Tape(tree, activation_bytes=[0] * size, moved_bytes=[0] * size)
        self.liveness = LivenessRecorder()
        self.complex_convolutions = ComplexConvolutions()
        self.uses = OperatorUses()
        # a module may replace the memory of a parameter later (`self.bias.data = ...`), so its storage does not identify it afterwards
        self._registered = {id(parameter) for module in tree.modules for parameter in dict(module._parameters.items()).values()}
        self._open: list[TapeCall] = []
        self.paused = False
        self.notice_hidden: Callable[[], None] = lambda: None

    # --- calls of modules

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Opens a call. A module without children becomes a node of the flow."""
        self.notice_hidden()
        tensors = list_tensors_in(args, kwargs)
        producers = frozenset().union(*(self.tape.flow.find_producers(tensor) for tensor in tensors)) if tensors else frozenset()
        call = TapeCall(position, len(self.tape.calls), tuple(map(shape_of, tensors)), producers)
        if self.tape.tree.is_leaf[position]:
            call.node = self.tape.flow.add_node("call", position, producers)
        self.tape.calls.append(call)
        self._open.append(call)
        self.tape.programs.enter(position, args, kwargs)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Closes the call. A module that returns its input unchanged returns an alias of it instead, so that the flow can distinguish the
        users of its output from those of its input.
        """
        call = self._open.pop()
        tensors = list_tensors_in(result)
        call.outputs = tuple(map(shape_of, tensors))
        result = self._separate(call, args, kwargs, result) if call.node is not None else result
        self.tape.programs.leave(result)
        return result

    def _separate(self, call: TapeCall, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        assert call.node is not None
        for tensor in list_tensors_in(result)[:1]:
            self.tape.flow.describe_output(call.node, tensor)
        if (
            isinstance(result, torch.Tensor)
            and call.node not in self.tape.flow.find_producers(result)
            and self._is_argument(result, args, kwargs)
        ):
            result = self.make_alias(result)
            self.tape.flow.mark_output(result, frozenset({call.node}))
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Closes the call and records the innermost module that raised."""
        self._open.pop()
        self.tape.programs.fail()
        if self.tape.failed_error is not error:
            self.tape.failed_error, self.tape.failed_module = error, position

    @staticmethod
    def _is_argument(result: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        return any(tensor is result for tensor in list_tensors_in(args, kwargs))

    def make_alias(self, tensor: torch.Tensor) -> torch.Tensor:
        """Another tensor object with the same memory, which is recorded as no operator."""
        self.paused = True
        try:
            alias: torch.Tensor = torch.ops.aten.alias.default(tensor)
            return alias
        finally:
            self.paused = False

    # --- operators

    def find_running(self) -> int:
        """The position of the innermost running module."""
        return self._open[-1].module if self._open else 0

    def record_inputs(self, values: object) -> None:
        """Records the model's inputs: nodes of the flow, and live for the whole pass."""
        for tensor in list_tensors_within(values):
            node = self.tape.flow.add_node("input", 0)
            self.tape.flow.describe_output(node, tensor)
            self.tape.flow.mark_output(tensor, frozenset({node}))
            self.liveness.watch(tensor)

    def record_operator(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Records one run of an operator: its work, its bytes, and its place in the flow."""
        traits = read_traits(operator)
        position = self.find_running()
        inputs = list_tensors_in(args, kwargs)
        outputs = list_tensors_in(result)
        storages = [storage_key(tensor) for tensor in inputs]
        arguments = NO_ARGUMENTS
        if not self.tape.programs.is_skipped:
            arguments = read_arguments(operator, args, kwargs, inputs[0] if inputs else None, result)
            self.tape.programs.record(operator, traits, args, arguments, (inputs, outputs))
        written = list_written(traits, args, kwargs)
        self.uses.observe(operator, inputs, outputs, written)
        if returns_views(traits, storages, outputs):
            producers = frozenset().union(*(self.tape.flow.find_producers(tensor) for tensor in inputs))
            for tensor in outputs:
                self.tape.flow.mark_output(tensor, producers)
        else:
            read = [tensor for tensor in inputs if tensor is not written[0]] if traits.replaces and written else inputs
            self.tape.moved_bytes[position] += count_moved_bytes(traits, inputs, outputs, written)
            for tensor in outputs:
                self.tape.activation_bytes[position] += self.liveness.watch(tensor)
            self._add_to_flow(traits.name, position, (read, outputs, written), arguments.constants)
            self.tape.used_storages.update(storages)
        for tensor in inputs:
            if isinstance(tensor, nn.Parameter) and tensor.numel() and id(tensor) not in self._registered:
                self.tape.read_parameters.setdefault(storage_key(tensor), (position, tensor.numel()))
        self.tape.summed_products.observe(traits.name, position, args, inputs, outputs)
        work = count_operator(operator, args, kwargs, result)
        shapes = (tuple(map(shape_of, inputs)), tuple(map(shape_of, outputs))) if work.status != "zero" else ((), ())
        self.tape.entries.append(TapeEntry(traits.name, position, work, *shapes))
        for number in self.complex_convolutions.find_parts(traits.name, len(self.tape.entries) - 1, args, result, work):
            self.tape.entries[number].work = COUNTED_BEFORE

    def _add_to_flow(
        self,
        name: str,
        position: int,
        tensors: tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]],
        constants: dict[str, Setting],
    ) -> None:
        flow, (inputs, outputs, overwritten) = self.tape.flow, tensors
        producers = frozenset().union(*(flow.find_producers(tensor) for tensor in inputs)) if inputs else frozenset()
        node = self._open[-1].node if self._open else None
        if node is None:
            if not outputs:
                return
            node = flow.add_node(name_operator(name), position, producers, constants)
            flow.describe_output(node, outputs[0])
        else:
            flow.nodes[node].inputs |= {producer for producer in producers if producer < node}
        for tensor in outputs:
            if not any(tensor is target for target in overwritten):
                flow.mark_allocated(tensor)
            flow.mark_output(tensor, frozenset({node}))
        for tensor in overwritten:
            flow.mark_written(tensor, node)

    def find_dead(self, result: object) -> None:
        """Finds the entries whose results reach no output, while the model's result is alive."""
        tensors = [dict(table.items()) for module in self.tape.tree.modules for table in (module._parameters, module._buffers)]
        entries = self.tape.entries
        self.tape.reads_values, self.tape.reads_weights = self.uses.reads_values, self.uses.reads_weights
        self.tape.dead_entries = self.uses.find_dead((result, tensors), lambda number: entries[number].work.macs > 0)


# More values than a model without a loop on a condition reads.
_MOST_ASSUMED = 1_000


class TapeMode(ObservedMode):
    """Runs every operator and passes it to the recorder.

    In inference mode composite operators arrive undecomposed; they are decomposed first, so that their parts are counted.
    `assumed_boolean`, when given, is the value of booleans that the model reads from meta tensors, unless `known_values` has it.
    `run_operator` runs all other operators.
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        recorder: TapeRecorder,
        assumed_boolean: bool | None = None,
        run_operator: RunOperator | None = None,
        known_values: KnownValues | None = None,
    ) -> None:
        super().__init__()
        self._find_value = known_values.find if known_values is not None else lambda tensor: None
        self.recorder = recorder
        self.assumed_boolean = assumed_boolean
        self._assumed = 0
        self.run_operator = run_operator or (lambda operator, args, kwargs: operator(*args, **kwargs))

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs one operator."""
        if self.recorder.paused:
            return func(*args, **kwargs)
        reads_value = func is torch.ops.aten._local_scalar_dense.default
        if self.assumed_boolean is not None and reads_value and self._find_value(args[0]) is None:
            assumed = assume_boolean(args[0], self.assumed_boolean, self.recorder.tape.assumptions)
            if assumed is not None:
                self._assumed += 1
                if self._assumed > _MOST_ASSUMED:
                    raise RuntimeError(f"a loop does not end while its condition is assumed to be {assumed}")
                self.recorder.uses.read_value(args)
                return assumed
        on_device = find_function(func, args) or find_body_runner(func)
        if on_device is not None:
            with self:
                return on_device(*args, **kwargs)
        if needs_decomposition(func):
            with self:
                decomposed = func.decompose(*args, **kwargs)
            if decomposed is not NotImplemented:
                return decomposed
        result = self.run_operator(func, args, kwargs)
        self.recorder.record_operator(func, args, kwargs, result)
        return result


def record_tape(
    tree: ModuleTree,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    assumed_boolean: bool | None = None,
    run_operator: RunOperator | None = None,
    known_values: KnownValues | None = None,
    into: list[Tape] | None = None,
) -> Tape:
    """Runs the root of `tree` once on `(args, kwargs)`, without grad and without fused paths, and returns the tape.

    The caller sets eval mode. `into`, when given, receives the tape before the run, so that a failure can be located. `assumed_boolean`,
    `run_operator` and `known_values` are those of TapeMode. Raises what the model raises, and MeasureError if forward returns a generator
    or coroutine.
    """
    recorder = TapeRecorder(tree)
    if into is not None:
        into.append(recorder.tape)
    with ExitStack() as stack:
        stack.enter_context(without_fusion())
        stack.enter_context(torch.no_grad())
        on_other_threads = stack.enter_context(observe_calls(tree, recorder))
        recorder.record_inputs((args, kwargs))
        stack.enter_context(ValueReads(recorder.uses))
        if known_values is not None:
            recorder.tape.programs.find_value = known_values.find
            stack.enter_context(track_constants(known_values))
            stack.enter_context(find_values_by(known_values.find))
        stack.enter_context(FunctionMode(recorder.tape.programs, recorder.make_alias))
        mode = TapeMode(recorder, assumed_boolean, run_operator, known_values)
        hidden = stack.enter_context(HiddenCalls(mode, recorder.find_running))
        stack.enter_context(mode)
        recorder.notice_hidden = hidden.notice
        result = tree.modules[0](*args, **kwargs)
    recorder.find_dead(result)
    if isinstance(result, Generator | Coroutine):
        raise MeasureError(
            f"forward of {type(tree.modules[0]).__name__} returned a {type(result).__name__} and ran no operator",
            "Measure a module that wraps it and returns what it yields or awaits.",
        )
    for what, positions in (("what another thread ran", on_other_threads), ("what ran without dispatch modes", hidden.modules)):
        unseen = Work("unknown", note="a dispatch mode sees only the operators of its own thread, and while it is active")
        recorder.tape.entries += (TapeEntry(what, position, unseen, (), ()) for position in sorted(positions))
    recorder.liveness.close()
    recorder.tape.peak_activation_bytes = recorder.liveness.peak_bytes
    return recorder.tape
