"""One door into any model: plain positional tensors in, plain tensors out, since that is all that both witnesses can take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from archaudit.measure.structure.tensors import iterate_tensors_in


class Entry(nn.Module):
    """Calls `model` with the inputs it was made with: tensors come in as arguments, everything else is held constant.

    fvcore takes no keyword arguments and no output other than tensors; torchinfo's own parameters would swallow keyword arguments
    of the same names. The model is a child called `model`; `returned` counts the tensors that its last call gave back.
    """

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        super().__init__()
        self.model = model
        self.training = False  # torchinfo gives the whole tree the flag of its root when it is done
        self.returned = 0
        self._leaves, self._structure = tree_flatten((args, dict(kwargs)))

    def clone_inputs(self) -> tuple[torch.Tensor, ...]:
        """The tensors among the inputs, in order; clones, since a model may write into them."""
        return tuple(leaf.detach().clone() for leaf in self._leaves if isinstance(leaf, torch.Tensor))

    def list_tensors(self) -> list[torch.Tensor]:
        """Every tensor that the run starts from: parameters, buffers and inputs."""
        return [*self.parameters(), *self.buffers(), *(leaf for leaf in self._leaves if isinstance(leaf, torch.Tensor))]

    def is_on_meta(self) -> bool:
        """Whether any of these tensors is on the meta device."""
        return any(tensor.is_meta for tensor in self.list_tensors())

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The model's output: every tensor in it, as a flat tuple."""
        given = iter(tensors)
        leaves = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in self._leaves]
        args, kwargs = tree_unflatten(leaves, self._structure)
        outputs = tuple(iterate_tensors_in(self.model(*args, **kwargs)))
        self.returned = len(outputs)
        return outputs
