"""Layers: the family of a type, by its name (a profile holds no classes), and the sizes of a layer, by the shape of its weight."""

from __future__ import annotations

import re
from functools import lru_cache
from math import prod
from typing import NamedTuple

from archaudit.schema import ModuleRecord

_ACTIVATIONS = frozenset(
    (
        "relu",
        "relu6",
        "leakyrelu",
        "prelu",
        "rrelu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "swish",
        "mish",
        "hardswish",
        "hardsigmoid",
        "hardtanh",
        "sigmoid",
        "tanh",
        "softplus",
        "softsign",
        "softmax",
        "softmax2d",
        "logsoftmax",
        "logsigmoid",
        "glu",
        "quickgelu",
        "newgelu",
        "gelutanh",
        "threshold",
        "hardshrink",
        "softshrink",
        "tanhshrink",
    )
)
# The first family that fits is taken, so the order matters for names that contain several of these.
_FRAGMENTS = (
    ("norm", ("norm",)),
    ("dropout", ("dropout", "droppath", "stochasticdepth")),
    ("pool", ("pool",)),
    ("embedding", ("embedding",)),
    ("resize", ("upsample", "pixelshuffle", "interpolate")),
    ("recurrent", ("lstm", "gru", "rnn")),
    ("attention", ("attention", "attn")),
    ("padding", ("pad1d", "pad2d", "pad3d", "padding")),
)
_LINEAR = ("linear",)

# Types whose names share at least this much of their words are related: SwinTransformerBlock and SwinTransformerBlockV2.
_RELATED = 0.5


@lru_cache(maxsize=4096)
def find_family(type_name: str) -> str:
    """`conv`, `linear`, `norm`, `activation` and the like; empty for any other type."""
    if type_name == "Conv1D":  # of transformers: a linear layer with a transposed weight
        return "linear"
    lowered = type_name.lower()
    if re.fullmatch(r"(lazy)?conv(transpose)?[123]d", lowered):
        return "conv"
    if lowered in _ACTIVATIONS or lowered.removesuffix("activation") in _ACTIVATIONS:
        return "activation"
    for family, fragments in _FRAGMENTS:
        if any(fragment in lowered for fragment in fragments):
            return family
    if "conv" in lowered:
        return "conv"
    return "linear" if any(fragment in lowered for fragment in _LINEAR) else ""


@lru_cache(maxsize=4096)
def compare_layers(one: str, other: str) -> float:
    """1 for the same type, 0.5 for the same family (ReLU and GELU, BatchNorm and LayerNorm), 0 for unrelated types."""
    if one == other:
        return 1.0
    family = find_family(one)
    if family or find_family(other):
        return 0.5 if family == find_family(other) else 0.0
    return compare_containers(one, other)


@lru_cache(maxsize=4096)
def compare_containers(one: str, other: str) -> float:
    """The same for modules with children, which have no family: a Conv2dNormActivation is not a convolution, norm or activation."""
    if one == other:
        return 1.0
    return 0.5 if compare_words(_split_words(one), _split_words(other)) >= _RELATED else 0.0


@lru_cache(maxsize=16384)
def compare_names(one: str, other: str) -> float | None:
    """How similar two names are, from 0 to 1; None where one is an index and the other a word, which says nothing."""
    if one == other:
        return 1.0
    if one.isdecimal() or other.isdecimal():
        return 0.0 if one.isdecimal() and other.isdecimal() else None
    prefix = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        prefix += 1
    return max(compare_words(_split_words(one), _split_words(other)), prefix / max(len(one), len(other)))


def compare_words(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of words that two sets of words have in common."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0


@lru_cache(maxsize=16384)
def _split_words(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


# --- sizes -----------------------------------------------------------------------------------------------------------

# transformers' Conv1D is a linear layer whose weight is stored as (inputs, outputs).
_INPUTS_FIRST = ("Conv1D",)


class Layer(NamedTuple):
    """The sizes of a layer with a weight: inputs x outputs x kernel, in groups. A linear layer has the kernel `()`."""

    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    groups: int

    @property
    def is_depthwise(self) -> bool:
        """Whether each output channel depends on one input channel."""
        return self.groups == self.inputs and self.groups > 1

    @property
    def is_pointwise(self) -> bool:
        """Whether each output depends on one position: a 1x1 convolution, or a linear layer."""
        return self.groups == 1 and all(size == 1 for size in self.kernel)

    @property
    def role(self) -> str:
        """`depthwise`, `pointwise`, `dense` or `grouped`."""
        return "depthwise" if self.is_depthwise else "pointwise" if self.is_pointwise else "dense" if self.groups == 1 else "grouped"

    @property
    def weights(self) -> int:
        """The number of elements of the weight."""
        return self.inputs // self.groups * self.outputs * prod(self.kernel)


def read_weight(record: ModuleRecord) -> Layer | None:
    """The sizes of a module of any type with a parameter `weight` of two or more dimensions (an embedding too); None without one.

    A weight is stored as (outputs, inputs / groups, *kernel); that of a transposed convolution as (inputs, outputs / groups, *kernel), that
    of transformers' Conv1D as (inputs, outputs).
    """
    weight = next((tensor.shape for tensor in record.tensors if tensor.name == "weight" and tensor.kind == "parameter"), ())
    groups = record.settings.get("groups", 1) if find_family(record.type) != "linear" else 1
    if len(weight) < 2 or not isinstance(groups, int) or groups < 1:
        return None
    if record.type in _INPUTS_FIRST or record.settings.get("transposed"):
        return Layer(weight[0], weight[1] * groups, tuple(weight[2:]), groups)
    return Layer(weight[1] * groups, weight[0], tuple(weight[2:]), groups)


def read_layer(record: ModuleRecord) -> Layer | None:
    """The sizes of a convolution or a linear layer; None for anything else."""
    layer, family = read_weight(record), find_family(record.type)
    if layer is None:
        return None
    return layer if (family == "linear" and not layer.kernel) or (family == "conv" and layer.kernel) else None
