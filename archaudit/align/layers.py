"""What kinds of layer there are, told from the names of their types: a profile holds no classes."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
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
# In this order: `BatchNorm` before anything else that a type's name may hold as well.
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

# A type that shares most words of its name with another is of its kin: SwinTransformerBlock and SwinTransformerBlockV2.
_KIN = 0.5


@lru_cache(maxsize=4096)
def find_family(type_name: str) -> str:
    """`conv`, `linear`, `norm`, `activation` and the like; empty for what is none of them."""
    if type_name == "Conv1D":  # of transformers: a linear layer, its weight the other way round
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
    """1 for the same type, 0.5 for two of a kind (ReLU and GELU, BatchNorm and LayerNorm), 0 for strangers."""
    if one == other:
        return 1.0
    family = find_family(one)
    if family or find_family(other):
        return 0.5 if family == find_family(other) else 0.0
    return compare_containers(one, other)


@lru_cache(maxsize=4096)
def compare_containers(one: str, other: str) -> float:
    """The same for modules with children, of which a Conv2dNormActivation is neither convolution, norm nor activation."""
    if one == other:
        return 1.0
    return 0.5 if compare_words(_split_words(one), _split_words(other)) >= _KIN else 0.0


@lru_cache(maxsize=16384)
def compare_names(one: str, other: str) -> float | None:
    """How alike two names are, 0 to 1; None where one of them is an index and the other a word, which says nothing."""
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
    """The share of words that two names have in common."""
    return 2 * len(one & other) / (len(one) + len(other)) if one or other else 0.0


@lru_cache(maxsize=16384)
def _split_words(name: str) -> frozenset[str]:
    return frozenset(word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name))


# --- layers that are a product of sizes, and the ways in which one of them is taken apart into several ---


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
