"""The non-tensor arguments of operators in one form, so that equal calls are written equally.

Defaults are left out, whether they were written or not; dimensions count from the front, and a single last one is -1; whole floats are
integers.
Devices, memory formats and generators are left out. Sizes, which may follow from the size of the input, are kept apart from constants.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import torch

from archaudit.schema import Setting

# The type of an argument says whether it is a size: torch traces those symbolically. These are constants all the same.
_CONSTANT_SIZES = frozenset(
    ("stride", "padding", "dilation", "output_padding", "groups", "kernel_size", "shifts", "k", "padding_idx", "chunks", "index")
)
# Sizes that repeat the shape of the input.
_REDUNDANT = frozenset(
    ("N", "C", "HxW", "normalized_shape", "self_size", "implicit", "half_to_float", "scales_h", "scales_w", "scales_d", "scales")
)
_DIMS = frozenset(("dim", "dims", "dim0", "dim1", "dim2", "start_dim", "end_dim", "dimension"))
# Without meaning for the values: where and how the result is stored.
_STORAGE = frozenset(
    ("device", "layout", "pin_memory", "memory_format", "generator", "names", "non_blocking", "out", "src_dtype", "requires_grad")
)
# Reductions over several dimensions do not depend on their order.
_ORDERED_DIMS = frozenset(("permute", "roll", "rot90", "tensordot", "movedim", "fft_c2c", "fft_r2c", "fft_c2r"))
# Scale factors that are 1 unless they are written, like integers that have their default.
_FACTORS = frozenset(("alpha",))
# Their end follows from the size of the input.
_RANGES = {"arange": ("end",), "linspace": ("steps",), "logspace": ("steps",), "range": ("end",)}
_SYMBOLIC = re.compile(r"SymInt\S*\s+(\w+)")
# A longer list is data.
_LONGEST = 64


class Arguments(NamedTuple):
    """Constants, and sizes that may follow from the sizes of tensors."""

    constants: dict[str, Setting]
    sizes: dict[str, Setting]


NO_ARGUMENTS = Arguments({}, {})


@dataclass(frozen=True, slots=True)
class _Argument:
    position: int
    name: str
    default: Any
    is_size: bool
    is_dim: bool
    is_integer: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is read of an operator: its short name, and its arguments that are no tensors."""

    name: str
    arguments: tuple[_Argument, ...]


@cache
def read_name(operator: Any) -> str:
    """The name by which people know an operator: `softmax` for `aten::_softmax`, `relu` for `aten::relu_`."""
    schema = getattr(operator, "_schema", None)
    name = str(operator) if schema is None else schema.name
    name = name.removeprefix("aten::").removeprefix("prims::")
    for noise in ("native_", "_native_", "cudnn_", "mkldnn_"):
        name = name.removeprefix(noise)
    name = name.strip("_") if not name.startswith("__") else name
    for noise in ("_with_indices", "_legit_no_training", "_legit"):
        name = name.removesuffix(noise)
    return _NAMES.get(name, name)


_NAMES = {
    **{
        f"scaled_dot_product_{kind}": "scaled_dot_product_attention"
        for kind in ("flash_attention_for_cpu", "flash_attention", "efficient_attention", "cudnn_attention")
    },
    "safe_softmax": "softmax",
    "convolution": "conv",
    "to_copy": "to",
    "unsafe_index": "index",
    "constant_pad_nd": "pad",
}


@cache
def _make_plan(operator: Any) -> _Plan:
    name = read_name(operator)
    schema = getattr(operator, "_schema", None)
    if schema is None:
        return _Plan(name, ())
    symbolic = set(_SYMBOLIC.findall(str(schema)))
    found = []
    for position, argument in enumerate(schema.arguments):
        if argument.name in _STORAGE | _REDUNDANT:
            continue
        is_size = (argument.name in symbolic and argument.name not in _CONSTANT_SIZES) or argument.name in _RANGES.get(name, ())
        default = as_setting(argument.default_value) if argument.has_default_value() else None
        is_integer = "int" in str(argument.type) or (argument.name in _FACTORS and name in ("add", "sub", "rsub"))
        found.append(_Argument(position, argument.name, default, is_size, argument.name in _DIMS and is_integer, is_integer))
    return _Plan(name, tuple(found))


def read_arguments(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], first: torch.Tensor | None, result: Any) -> Arguments:
    """The arguments of one call; `first` is its first tensor, by whose rank dimensions are counted."""
    plan = _make_plan(operator)
    if not plan.arguments:
        return NO_ARGUMENTS
    constants: dict[str, Setting] = {}
    sizes: dict[str, Setting] = {}
    rank = first.dim() if first is not None else 0
    if plan.name in ("unsqueeze", "stack"):
        rank += 1
    for argument in plan.arguments:
        value = args[argument.position] if argument.position < len(args) else kwargs.get(argument.name, argument.default)
        if value is None or isinstance(value, torch.Tensor):
            continue
        value = as_setting(value)
        if argument.is_dim:
            value = _normalise_dims(value, rank, ordered=plan.name in _ORDERED_DIMS)
        elif value == argument.default and (argument.is_integer or _is_silent(value)):
            continue
        if (
            value is None
            or (isinstance(value, list) and all(each is None for each in value))
            or (value is False and argument.default is None)
        ):
            continue
        if argument.is_size:
            sizes[argument.name] = value
        else:
            constants[argument.name] = value
    if constants.get("stride") == constants.get("kernel_size", ()):
        del constants["stride"]  # the default of pooling
    if plan.name.startswith("upsample_") and first is not None and isinstance(result, torch.Tensor):
        # the same resize is written with a size or with a factor
        sizes = {"scale": [_divide(after, before) for after, before in zip(result.shape[2:], first.shape[2:], strict=False)]}
    return Arguments(constants, sizes)


def _is_silent(default: Setting) -> bool:
    """Whether a default says nothing. Others (a slope of 0.01) are written, so that both values of a change are known."""
    if isinstance(default, list):
        return all(map(_is_silent, default))
    return default is None or isinstance(default, bool) or default == ""


def _divide(after: int, before: int) -> Setting:
    return as_setting(round(after / before, 6)) if before else 0


def as_setting(value: Any) -> Setting:
    """A value as it is written: whole floats as integers, types by name, infinities and complex numbers as text."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return (int(value) if value.is_integer() and abs(value) < 2**53 else value) if math.isfinite(value) else str(value)
    if isinstance(value, list | tuple | torch.Size):
        return [as_setting(each) for each in value[:_LONGEST] if not isinstance(each, torch.Tensor)]
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, torch.SymInt):
        return int(value)
    return str(value) if isinstance(value, complex) else None


def normalise_dim(dim: int, rank: int) -> int:
    """The dimension counted from the front, the last as -1."""
    dim = dim + rank if dim < 0 else dim
    return -1 if dim == rank - 1 else dim


def _normalise_dims(value: Setting, rank: int, *, ordered: bool) -> Setting:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return normalise_dim(value, rank)
    if isinstance(value, list):
        if len(value) == 1:  # a list of one is the dimension itself
            return [_normalise_dims(value[0], rank, ordered=True)] if ordered else _normalise_dims(value[0], rank, ordered=False)
        dims = [each + rank if isinstance(each, int) and each < 0 else each for each in value]
        return dims if ordered else sorted(dims, key=lambda dim: dim if isinstance(dim, int) else 0)
    return value
