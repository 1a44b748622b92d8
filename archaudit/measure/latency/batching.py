"""Another batch size than the model's inputs have."""

from __future__ import annotations

from typing import Any

import msgspec
import torch
from torch.utils import _pytree

from archaudit.schema import Recipe


def set_batch(recipe: Recipe, batch: int) -> Recipe:
    """The recipe with the first dimension of every input tensor set to `batch`; a scalar stays one."""
    inputs = tuple(msgspec.structs.replace(spec, shape=(batch, *spec.shape[1:])) if spec.shape else spec for spec in recipe.inputs)
    make = recipe.example_inputs

    def make_batched() -> Any:
        assert make is not None
        return _pytree.tree_map(lambda leaf: _resize(leaf, batch), make())

    told = f"the batch size is {batch}, set when it was asked for; the model's own inputs have another"
    return msgspec.structs.replace(
        recipe, inputs=inputs, example_inputs=make_batched if make is not None else None, assumptions=(*recipe.assumptions, told)
    )


def _resize(leaf: Any, batch: int) -> Any:
    """The tensor with as many entries as asked: repeated, then cut."""
    if not isinstance(leaf, torch.Tensor) or not leaf.dim() or not leaf.shape[0]:
        return leaf
    repeats = -(-batch // leaf.shape[0])
    return leaf.repeat(repeats, *[1] * (leaf.dim() - 1))[:batch].contiguous()
