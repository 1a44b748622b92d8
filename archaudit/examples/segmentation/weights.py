"""What both models do with their parameters, and what they run on: initialising, counting, an input."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


def initialise_weights(parts: Iterable[nn.Module]) -> None:
    """Initialises every layer in `parts`: convolutions with He's normal values, norms to the identity, biases with zeros."""
    for part in parts:
        for layer in part.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, nn.BatchNorm2d):
                nn.init.ones_(layer.weight)
            else:
                continue
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """How many parameters a model has: (all, trainable)."""
    counts = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(count for count, _ in counts), sum(count for count, trainable in counts if trainable)


def example_inputs() -> Tensor:
    """One image of 512x512 as a tensor (1, 3, 512, 512): a ramp, so that no random numbers are drawn."""
    return torch.linspace(-1, 1, 3 * 512 * 512).reshape(1, 3, 512, 512)
