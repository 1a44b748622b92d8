"""What is known of some operators' results for every shape, once torch has answered for one.

The meta device computes a batch norm, an activation or a resize by decomposing it in Python, anew for every shape that a model has. For
the operators here the shapes that can come out have names: the input's own, one number a channel, the size that was asked for. torch
answers the first call of a kind (an operator with its dtypes and settings); its answer is read in those names, and later calls of that
kind are answered from their own shapes. Which name each result has is thus always torch's word, and a kind whose answer fits no
name is asked again every time.

Only contiguous tensors are answered so, and only calls that torch would accept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from archaudit.schema import Shape

aten = torch.ops.aten

# Elementwise in their first argument, with no other tensor among the arguments.
_ELEMENTWISE = """
    abs celu cos elu erf exp gelu hardsigmoid hardswish hardtanh leaky_relu log log1p mish neg reciprocal relu rsqrt
    selu sigmoid sign silu sin softplus sqrt tanh
"""
_IN_PLACE = """
    celu_ elu_ exp_ gelu_ hardsigmoid_ hardswish_ hardtanh_ leaky_relu_ mish_ normal_ relu_ selu_ sigmoid_ silu_ tanh_ uniform_ zero_
"""

Rule = Callable[[Sequence[Any]], dict[str, Shape] | None]


def _name_elementwise(args: Sequence[Any]) -> dict[str, Shape] | None:
    return {"input": tuple(args[0].shape)}


def _name_batch_norm(args: Sequence[Any]) -> dict[str, Shape] | None:
    shape = tuple(args[0].shape)
    if len(shape) < 2 or any(tensor is not None and tuple(tensor.shape) != shape[1:2] for tensor in args[1:5]):
        return None
    return {"input": shape, "channels": shape[1:2], "none": (0,)}


def _name_resize(args: Sequence[Any]) -> dict[str, Shape] | None:
    shape, size = tuple(args[0].shape), args[1]
    if len(shape) != len(size) + 2 or not all(isinstance(length, int) and length > 0 for length in size):
        return None
    return {"resized": (*shape[:2], *size)}


RULES: dict[Any, Rule] = {
    **{getattr(aten, name).default: _name_elementwise for name in (_ELEMENTWISE + _IN_PLACE).split()},
    aten.native_batch_norm.default: _name_batch_norm,
    **{getattr(aten, name).default: _name_resize for name in ("upsample_bilinear2d", "upsample_nearest2d", "upsample_bicubic2d")},
}


class ShapeRules:
    """Learns from torch's answers which of an operator's named shapes its results have, and answers by that."""

    def __init__(self) -> None:
        self._learnt: dict[Any, list[tuple[str, torch.dtype]] | None] = {}

    def recall(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Shape, torch.dtype]] | None:
        """The shape and dtype of each result, all contiguous; None where nothing is known and torch is to be asked."""
        names = _name_shapes(operator, args)
        learnt = self._learnt.get(_spell_kind(operator, args, kwargs)) if names is not None else None
        return [(names[name], dtype) for name, dtype in learnt] if names is not None and learnt is not None else None

    def learn(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], results: Sequence[torch.Tensor]) -> None:
        """Reads torch's answer to a call; `args` as they were before it."""
        names = _name_shapes(operator, args)
        if names is None:
            return
        by_shape = {shape: name for name, shape in names.items()}
        if len(by_shape) < len(names):
            return  # two names for one shape: this call does not tell them apart
        fits = all(result.is_contiguous() and tuple(result.shape) in by_shape for result in results)
        answer = [(by_shape[tuple(result.shape)], result.dtype) for result in results] if fits else None
        self._learnt.setdefault(_spell_kind(operator, args, kwargs), answer)


def _name_shapes(operator: Any, args: tuple[Any, ...]) -> dict[str, Shape] | None:
    rule = RULES.get(operator)
    if rule is None:
        return None
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    if not tensors or tensors[0] is not args[0] or any(tensor.numel() == 0 or not tensor.is_contiguous() for tensor in tensors):
        return None
    return rule(args)


def _spell_kind(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call without its tensors' sizes, the size that a resize is asked for, and all of a number but its type and sign."""
    described = tuple((value.dtype, value.dim()) if isinstance(value, torch.Tensor) else _spell_value(value) for value in args)
    return (operator, torch.get_default_dtype(), described, tuple((name, _spell_value(value)) for name, value in kwargs.items()))


def _spell_value(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return (list, len(value))
    return (type(value), value < 0) if isinstance(value, float) or type(value) is int else (type(value), value)
