"""Runs one training step of a model without values: forward pass, loss, backward pass, the optimizer's step.

A dispatch mode passes every operator with its phase and module to the counts of FLOPs and to the record of allocations.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from archaudit.errors import ArchauditError, MeasureError, describe_error
from archaudit.measure.building.copying import copy_with_values, run_with_large_stack
from archaudit.measure.formulas import find_values_by
from archaudit.measure.model_run import Run
from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.process_state import DispatchMode, without_fusion
from archaudit.measure.saved_bytes import in_mode
from archaudit.measure.tape.device_operators import find_function
from archaudit.measure.tape.higher_order import find_body_runner
from archaudit.measure.tape.known_values import track_constants
from archaudit.measure.tape.memory import read_traits
from archaudit.measure.tape.module_calls import observe_calls
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.measure.tensors import iterate_module_tensors, list_tensors_in, list_tensors_within
from archaudit.measure.training.attribution import StepPosition, observe_checkpoints
from archaudit.measure.training.checkpointing import with_checkpoints
from archaudit.measure.training.flops import StepFlops
from archaudit.measure.training.losses import find_loss
from archaudit.measure.training.memory import AllocationRecorder
from archaudit.measure.training.optimizers import list_states, make_optimizers
from archaudit.measure.training.precision import autocast
from archaudit.schema import TrainingSettings

aten = torch.ops.aten

# The passes that are tried, in this order: whether in training mode, and the value of booleans that depend on data (None: they raise).
_PASSES = ((True, None), (True, False), (False, None), (False, True))
# Optimizers read norms of tensors (Adafactor): no count depends on their values.
_ASSUMED_NUMBER = 1.0


@dataclass(slots=True)
class StepRecord:
    """One training step: its operators, its allocations, and the bytes of gradients and optimizer states by module."""

    tree: ModuleTree
    training: bool = True
    loss: str = ""
    flops: StepFlops = field(default_factory=StepFlops)
    memory: AllocationRecorder = field(default_factory=AllocationRecorder)
    gradient_bytes: dict[int, int] = field(default_factory=dict)
    optimizer_bytes: dict[int, int] = field(default_factory=dict)
    assumptions: list[str] = field(default_factory=list)


class StepMode(DispatchMode):
    """Runs every operator and records it. In the optimizer's step, numbers that are read from tensors without values are assumed."""

    supports_higher_order_operators = True

    def __init__(self, record: StepRecord, position: StepPosition, cache: ShapeCache) -> None:
        super().__init__()
        self._record = record
        self._position = position
        self._cache = cache

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        replaced = find_function(func, args) or find_body_runner(func)
        if replaced is not None:
            with self:
                return replaced(*args, **kwargs)
        phase, module = self._position.locate()
        if phase == "optimizer" and func is aten._local_scalar_dense.default and args[0].is_meta:
            return _ASSUMED_NUMBER
        memory = self._record.memory
        result = self._cache.run(func, args, kwargs)
        memory.count_operator(phase, read_traits(func).name, module)
        for tensor in list_tensors_in(result):
            memory.watch(tensor)
        self._record.flops.record(phase, module, func, (args, kwargs), result)
        return result


def run_step(run: Run, settings: TrainingSettings, device: str = "cpu") -> StepRecord:
    """One training step of the model of `run`, in training mode where it runs in it. The model of `run` stays as it is.

    Raises MeasureError, with what to do, if no parameter requires grad, a loss cannot be formed, or the optimizer is unknown.
    """
    model = copy_with_values(run.model) if run.build_mode == "real" else run.model
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise MeasureError(
            f"no parameter of {type(model).__name__} requires grad: there is nothing to train",
            "Set requires_grad on the parameters that are trained (parameter.requires_grad_(True)), or leave out --training.",
        )
    tree = walk_tree(model)
    failures: list[BaseException] = []
    with with_checkpoints(model, tree, settings):
        for training, assumed in _PASSES:
            if assumed is not None and run.build_mode in ("fake", "real"):
                continue
            try:
                record = run_with_large_stack(
                    lambda: _run_passes(run, (model, tree), (settings, device), training, assumed),  # noqa: B023
                    max(tree.depths, default=0),
                )
            except (KeyboardInterrupt, ArchauditError):
                raise
            except BaseException as error:  # noqa: BLE001 - the user's model may raise anything
                failures.append(error)
                continue
            finally:
                for parameter in model.parameters():
                    parameter.grad = None
            if not training:
                record.assumptions.append(
                    f"the step is that of eval mode: in training mode it raised "
                    f"{describe_error(failures[0])} (targets are inputs like any other)"
                )
            return record
    raise MeasureError(
        f"a training step of {type(model).__name__} cannot be run: {describe_error(failures[0])}",
        "A batch of two or more samples helps where a norm needs several values; targets are inputs like any other.",
    ) from failures[0]


def _run_passes(
    run: Run, built: tuple[nn.Module, ModuleTree], how: tuple[TrainingSettings, str], training: bool, assumed: bool | None
) -> StepRecord:
    (model, tree), (settings, device) = built, how
    record = StepRecord(tree, training)
    position = StepPosition(tree, device)
    known_values = run.shape_cache.known_values
    cache = run.shape_cache if assumed is None else ShapeCache(assumed, known_values)
    optimizers = make_optimizers(settings.optimizer, model, device)
    args, kwargs = run.copy_inputs()
    for tensor in list_tensors_within((args, kwargs)):
        record.memory.watch(tensor, "inputs")
    for module in tree.modules:
        for _, tensor, _, _ in iterate_module_tensors(module):
            record.memory.watch(tensor, "parameters")
    mode = StepMode(record, position, cache)
    with ExitStack() as stack:
        stack.enter_context(in_mode(model, training))
        stack.enter_context(warnings.catch_warnings(action="ignore"))  # of checkpoints whose inputs need no gradient, for example
        stack.enter_context(without_fusion())
        stack.enter_context(torch.enable_grad())
        stack.enter_context(track_constants(known_values))
        stack.enter_context(find_values_by(known_values.find))
        stack.enter_context(observe_checkpoints(position))
        amp = stack.enter_context(autocast(device, settings.amp)) if settings.amp else nullcontext
        position.amp = amp
        with run.context():
            stack.enter_context(mode)
            with observe_calls(tree, position):
                with amp():
                    output = model(*args, **kwargs)
                    loss, record.loss = find_loss(output)
                record.memory.end_forward()
                position.phase = "backward"
                loss.backward()
        position.phase = "optimizer"
        record.memory.mark((parameter.grad for parameter in model.parameters() if parameter.grad is not None), "gradients")
        for optimizer in optimizers:
            optimizer.step()
            _read_states(record, tree, optimizer)
        record.memory.close()
    return record


def _read_states(record: StepRecord, tree: ModuleTree, optimizer: torch.optim.Optimizer) -> None:
    """The bytes of gradients and optimizer states, at the module that owns each parameter first."""
    owned: dict[int, int] = {}
    for position, module in enumerate(tree.modules):
        for parameter in module._parameters.values():
            if parameter is not None:
                owned.setdefault(id(parameter), position)
    for owner, tensors in list_states(optimizer).items():
        record.memory.mark(tensors, "optimizer states")
        position = owned.get(id(owner), 0)
        record.optimizer_bytes[position] = record.optimizer_bytes.get(position, 0) + _count_bytes(tensors)
    for group in optimizer.param_groups:
        for trained in group["params"]:
            if trained.grad is not None:
                position = owned.get(id(trained), 0)
                record.gradient_bytes[position] = record.gradient_bytes.get(position, 0) + _count_bytes([trained.grad])


def _count_bytes(tensors: list[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
