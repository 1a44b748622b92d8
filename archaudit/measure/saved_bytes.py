"""Bytes kept for the backward pass, from a second run with grad."""

from __future__ import annotations

from typing import Any

import torch

from archaudit.measure.building.copying import run_deep
from archaudit.measure.fallbacks import Run
from archaudit.measure.structure.params import iterate_tensors, storage_key
from archaudit.measure.tape import plain_paths
from archaudit.measure.tape.shape_cache import RecallShapes


def measure_saved_bytes(run: Run) -> tuple[int | None, str | None]:
    """The bytes of all tensors that autograd saves in one eval-mode forward pass with grad, each storage once, without parameters and
    buffers; or None with the reason. (Eval mode, since many models refuse a batch of one in train mode; batch norm then saves
    no batch statistics.)"""
    held: dict[int, torch.Tensor] = {}
    own = {storage_key(tensor) for module in run.tree.modules for _, tensor, _, _ in iterate_tensors(module)}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        key = storage_key(tensor)
        if key and key not in own:
            held.setdefault(key, tensor)
        return tensor

    def forward() -> None:
        with (
            run.context(),
            plain_paths(),
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(pack, _unpack),
            RecallShapes(run.memory),
        ):
            run.model(*run.args, **run.kwargs)

    try:
        run_deep(forward, max(run.tree.depths, default=0))
    except Exception as error:  # noqa: BLE001 - a model may refuse to run with grad for any reason; then nothing is known
        return None, f"bytes saved for backward were not measured: {type(error).__name__} with grad"
    return sum(int(tensor.untyped_storage().nbytes()) for tensor in held.values()), None


def _unpack(tensor: Any) -> Any:
    return tensor
