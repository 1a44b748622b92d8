"""Functions of torch that are one step of a program, independent of the operators that they run.

The operators of a matrix product depend on the sizes of its factors, those of fused attention on the device; dropout has none in eval mode.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from archaudit.measure.tape.programs import ProgramRecorder
from archaudit.measure.tensors import list_tensors_in

_FUNCTIONS: dict[Any, str] = {
    torch.nn.functional.scaled_dot_product_attention: "scaled_dot_product_attention",
    torch.nn.functional.linear: "linear",
    torch.matmul: "matmul",
    torch.Tensor.matmul: "matmul",
    torch.Tensor.__matmul__: "matmul",
    torch.Tensor.__rmatmul__: "rmatmul",
    torch.einsum: "einsum",
    torch.dropout: "dropout",
    torch.feature_dropout: "dropout",
    torch.nn.functional.dropout: "dropout",
    torch.nn.functional.dropout1d: "dropout",
    torch.nn.functional.dropout2d: "dropout",
    torch.nn.functional.dropout3d: "dropout",
    torch.nn.functional.alpha_dropout: "alpha_dropout",
    torch.nn.functional.feature_alpha_dropout: "alpha_dropout",
}
_MODES = ("inplace", "out")
_FUNCTION_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "scaled_dot_product_attention": ("query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa"),
    "linear": ("input", "weight", "bias"),
    "dropout": ("input", "p", "training", "inplace"),
    "alpha_dropout": ("input", "p", "training", "inplace"),
}


class FunctionMode(TorchFunctionMode):
    """Passes functions that are one step to the recorder: their operators depend on sizes and devices, or (dropout) there are none."""

    def __init__(self, programs: ProgramRecorder, make_alias: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._programs = programs
        self._make_alias = make_alias

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = _FUNCTIONS.get(func)
        if func is torch.Tensor.__getitem__ and not self._programs.is_skipped:
            self._programs.indices = _list_indices(args[1])
            try:
                return func(*args, **(kwargs or {}))
            finally:
                self._programs.indices = []
        if name is None or self._programs.is_skipped or (name == "einsum" and not isinstance(args[0], str)):
            return func(*args, **(kwargs or {}))
        if name == "rmatmul":
            name, func, args = "matmul", torch.matmul, args[::-1]
        kwargs = kwargs or {}
        result = self._programs.run_function(name, _name_arguments(name, args, kwargs), func, args, kwargs)
        if isinstance(result, torch.Tensor) and any(tensor is result for tensor in list_tensors_in(args, kwargs)):
            result = self._make_alias(result)  # dropout in eval mode returns its input, which others may use too
        self._programs.name_function_result(result)
        return result


def _name_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    """The arguments of a call by name, in the order of the signature, without those that only say how it runs."""
    if name == "einsum":
        return [("equation", _rename_indices(args[0])), ("operands", args[1:])]
    names = _FUNCTION_ARGUMENTS.get(name, ("input", "other"))
    given = dict(zip(names, args, strict=False)) | kwargs
    places = {key: place for place, key in enumerate(names)}
    if name in ("dropout", "alpha_dropout"):  # in eval mode, dropout that has an effect has it always; True is the default
        given.setdefault("training", True)
    return [(key, given[key]) for key in sorted(given, key=lambda key: places.get(key, len(places))) if key not in _MODES]


def _rename_indices(equation: str) -> str:
    """The equation with its indices in the order of the alphabet: `bhid,bhjd->bhij` is `abcd,abed->abce`."""
    letters: dict[str, str] = {}
    return "".join(
        letters.setdefault(each, string.ascii_letters[len(letters)]) if each.isalpha() else each for each in equation if each != " "
    )


def _list_indices(index: Any) -> list[list[int]]:
    """The lists of whole numbers in an index such as `x[:, [2, 0, 1]]`: torch makes tensors of them that have no values without memory."""
    parts = index if isinstance(index, tuple) else (index,)
    return [part for part in parts if isinstance(part, list) and part and all(type(each) is int for each in part)]
