"""The loss of a training step: the model's own, or the sum of its outputs."""

from __future__ import annotations

from typing import Any

import torch

from archaudit.errors import MeasureError
from archaudit.measure.tensors import list_tensors_in, list_tensors_within

_NO_LOSS_HINT = (
    "Give the model its targets as inputs (labels=int64[...]), so that it returns a loss, or return a tensor that requires grad."
)


def find_loss(output: Any) -> tuple[torch.Tensor, str]:
    """The scalar to differentiate, and what it is in words.

    It is `output.loss` (or `output["loss"]`), an output that is a scalar, the sum of a dict of scalars (the losses of a detector), or the
    sum of all floating-point outputs that require grad. Raises MeasureError if there is none.
    """
    own = output.get("loss") if isinstance(output, dict) else getattr(output, "loss", None)
    if isinstance(own, torch.Tensor) and own.numel() == 1 and own.requires_grad:
        return own.reshape(()) if own.dim() else own, "the model's own loss"
    tensors = _list_outputs(output)
    usable = [tensor for tensor in tensors if tensor.requires_grad and (tensor.is_floating_point() or tensor.is_complex())]
    if not usable:
        kinds = "no tensor" if not tensors else "no output that requires grad"
        raise MeasureError(f"a loss cannot be formed: the model returns {kinds}", _NO_LOSS_HINT)
    if all(tensor.dim() == 0 for tensor in usable):
        total = usable[0]
        for tensor in usable[1:]:
            total = total + tensor
        return total, "the scalar that the model returns" if len(usable) == 1 else f"the sum of the {len(usable)} scalars that it returns"
    parts = [(tensor.abs() if tensor.is_complex() else tensor).sum() for tensor in usable]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total, "the sum of the output" if len(usable) == 1 else f"the sum of {len(usable)} outputs"


def _list_outputs(output: Any) -> list[torch.Tensor]:
    found = list_tensors_in(output) or list_tensors_within(output)
    return list({id(tensor): tensor for tensor in found}.values())
