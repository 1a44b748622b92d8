"""Layers that are a product of sizes, and the ways in which one of them is taken apart into several."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from archaudit.align.families import find_family
from archaudit.schema import ModuleRecord


class Layer(NamedTuple):
    """A convolution or a linear layer (kernel: ()): what it maps to what."""

    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    groups: int

    @property
    def is_depthwise(self) -> bool:
        """Each output is made of one input."""
        return self.groups == self.inputs and self.groups > 1

    @property
    def is_pointwise(self) -> bool:
        """Each output is made of one position."""
        return self.groups == 1 and all(size == 1 for size in self.kernel)

    @property
    def role(self) -> str:
        """What it does, whatever its sizes."""
        return "depthwise" if self.is_depthwise else "pointwise" if self.is_pointwise else "dense" if self.groups == 1 else "grouped"


def read_layer(record: ModuleRecord) -> Layer | None:
    """The layer that a module is, from its weight's shape; None for anything else."""
    weight = next((tensor.shape for tensor in record.tensors if tensor.name == "weight" and tensor.kind == "parameter"), ())
    family = find_family(record.type)
    if family == "linear" and len(weight) == 2:
        return Layer(*(weight if record.type == "Conv1D" else weight[::-1]), (), 1)
    groups = record.settings.get("groups", 1)
    if family != "conv" or len(weight) < 3 or not isinstance(groups, int) or groups < 1:
        return None
    if record.settings.get("transposed"):
        return Layer(weight[0], weight[1] * groups, tuple(weight[2:]), groups)
    return Layer(weight[1] * groups, weight[0], tuple(weight[2:]), groups)


def is_same_map(one: Layer | None, other: Layer | None) -> bool:
    """Whether two layers of other types do the same at each position: a linear layer, a convolution of one by one."""
    if one is None or other is None:
        return False
    return one.is_pointwise and other.is_pointwise and (one.inputs, one.outputs) == (other.inputs, other.outputs)


def is_separated(whole: Layer, first: Layer, second: Layer) -> bool:
    """Whether a dense convolution became a depthwise and a pointwise one, whatever the numbers of channels."""
    fits = first.is_depthwise and first.outputs == second.inputs and second.is_pointwise
    return fits and whole.groups == 1 and not whole.is_pointwise and len(whole.kernel) == len(first.kernel) == len(second.kernel)


def is_factored(whole: Layer, parts: list[Layer]) -> bool:
    """Whether layers one after the other, of the same outer sizes, took the place of one (low rank, 3x1 and 1x3)."""
    chained = all(one.outputs == other.inputs for one, other in pairwise(parts))
    same_ends = parts[0].inputs == whole.inputs and parts[-1].outputs == whole.outputs
    alike = all(len(part.kernel) == len(whole.kernel) and part.groups == whole.groups for part in parts)
    smaller = sum(_count_weights(part) for part in parts) < _count_weights(whole)
    return len(parts) > 1 and chained and same_ends and alike and smaller


def is_shared_out(whole: Layer, parts: list[Layer]) -> bool:
    """Whether layers side by side make what one made: the same inputs, and the outputs divided among them (qkv to q, k and v)."""
    fits = all(part.inputs == whole.inputs and part.kernel == whole.kernel and part.groups == whole.groups for part in parts)
    return len(parts) > 1 and fits and sum(part.outputs for part in parts) == whole.outputs


def _count_weights(layer: Layer) -> int:
    weights = layer.inputs // layer.groups * layer.outputs
    for size in layer.kernel:
        weights *= size
    return weights
