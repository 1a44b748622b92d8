"""The bytes that autograd keeps for the backward pass of one training step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from archaudit.measure.building.copying import run_with_large_stack
from archaudit.measure.model_run import Run
from archaudit.measure.process_state import set_training, without_fusion
from archaudit.measure.tape.known_values import track_constants
from archaudit.measure.tape.shape_cache import CachedShapesMode, ShapeCache
from archaudit.measure.tensors import iterate_module_tensors, storage_key

# The passes that are tried, in this order: whether in training mode, and the value of booleans that depend on data (None: they raise).
# In training mode they decide whether a layer is skipped at random; a step without skipped layers keeps the most.
_PASSES = ((True, None), (True, False), (False, None), (False, True))


def measure_saved_bytes(run: Run) -> tuple[int | None, str | None]:
    """The bytes of all tensors that autograd saves in one forward pass in training mode, and what was assumed; or None with the reason.

    Each storage counts once; parameters and buffers do not count. A checkpointed part keeps its inputs only. A model that does not run in
    training mode with these inputs (batch norm of one value for each channel, targets that are missing) runs in eval mode.
    """
    if any(entry.operator == "aten::_cudnn_rnn" for entry in run.tape.entries):
        return None, (
            "bytes saved for backward are not known: cuDNN reserves memory for the backward pass of a recurrent layer, "
            "and how much depends on the GPU"
        )
    failures: list[BaseException] = []
    for training, assumed_boolean in _PASSES:
        if assumed_boolean is not None and run.build_mode in ("fake", "real"):
            continue
        try:
            saved = run_with_large_stack(lambda: _run_with_grad(run, training, assumed_boolean), max(run.tree.depths, default=0))  # noqa: B023
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a model may fail with grad for any reason; then the bytes are not known
            failures.append(error)
            continue
        if training:
            return saved, None
        return saved, (
            f"bytes saved for backward are those of eval mode: in training mode the forward pass raised {type(failures[0]).__name__}"
        )
    return None, f"bytes saved for backward were not measured: the forward pass with grad raised {type(failures[-1]).__name__}"


def _run_with_grad(run: Run, training: bool, assumed_boolean: bool | None) -> int:
    saved = list_saved(run, run.copy_inputs(), training, assumed_boolean)
    return sum(int(tensor.untyped_storage().nbytes()) for tensor in saved)


def list_saved(
    run: Run, given: tuple[tuple[Any, ...], dict[str, Any]], training: bool, assumed_boolean: bool | None = None
) -> list[torch.Tensor]:
    """A tensor for each storage that autograd saves in one forward pass on the inputs `given`, in order. Raises what the model raises."""
    saved: dict[int, torch.Tensor] = {}
    registered = {storage_key(tensor) for module in run.tree.modules for _, tensor, _, _ in iterate_module_tensors(module)}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        key = storage_key(tensor)
        if key and key not in registered:
            saved.setdefault(key, tensor)
        return tensor

    known_values = run.shape_cache.known_values
    cache = run.shape_cache if assumed_boolean is None else ShapeCache(assumed_boolean, known_values)
    args, kwargs = given
    with (
        in_mode(run.model, training),
        warnings.catch_warnings(action="ignore"),  # of checkpoints whose inputs need no gradient, for example
        run.context(),
        without_fusion(),
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(pack, _unpack),
        track_constants(known_values),
        CachedShapesMode(cache),
    ):
        run.model(*args, **kwargs)
    return list(saved.values())


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """While open, the model is in training or eval mode, as its own `train` sets it: some keep parts of themselves in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    set_training(model, training)
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def _unpack(tensor: Any) -> Any:
    return tensor
