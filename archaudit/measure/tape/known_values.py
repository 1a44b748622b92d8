"""Values of meta tensors that follow from constants and from integer inputs: positions, masks, grids, token ids.

A model that runs on the meta device computes nothing. But many values that it reads from tensors do not depend on weights: the sizes of an
image grid, the positions of image tokens, whether a mask is empty. The model gets the meta tensor, and KnownValues computes the same tensor
on the CPU. From it come the results of `.item()`, `.tolist()`, `nonzero` and of boolean masks as indices. A value that depends on a
parameter, a floating-point input or a random number is unknown.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from archaudit.measure.tape.memory import read_traits
from archaudit.measure.tensors import list_tensors_in

aten = torch.ops.aten

# Limits, because the values are computed for real: for one tensor (a mask of 1,024 x 1,024), and for all tensors of a model together.
_MOST_ELEMENTS = 1 << 20
_MOST_BYTES = 1 << 28

UNKNOWN: Any = object()

# Operators that return memory without values, or replace the memory of a tensor.
_UNINITIALISED = frozenset(
    ("aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided", "aten::new_empty_strided", "aten::resize_", "aten::set_")
)
# Operators whose result shape depends on values, so that torch has no meta kernel.
_SHAPED_BY_VALUES = frozenset(
    f"aten::{name}"
    for name in ("nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "bincount", "repeat_interleave")
)
# Operators that return values, and operators that accept boolean masks as indices.
_RETURN_VALUES = frozenset(("aten::_local_scalar_dense", "aten::equal", "aten::is_nonzero"))
_INDEX = frozenset(("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_"))
# A choice among more options than this is no routing to experts, but a token of a vocabulary.
_MOST_OPTIONS = 1024
# Functions that make a tensor from Python numbers. They are no operators, so a dispatch mode does not see the numbers.
_MAKE_CONSTANTS = frozenset((torch.tensor, torch.as_tensor, torch.asarray, torch.Tensor.new_tensor))


def reads_values(operator: Any) -> bool:
    """Whether the operator may need the values of its arguments, which torch's meta kernel does not have."""
    schema = getattr(operator, "_schema", None)
    return schema is not None and (schema.name == "aten::_to_copy" or schema.name in _RETURN_VALUES | _INDEX | _SHAPED_BY_VALUES)


def makes_unknown(operator: Any) -> bool:
    """Whether the values of the operator's result do not follow from its arguments: random numbers, memory without values."""
    schema = getattr(operator, "_schema", None)
    return schema is None or schema.name in _UNINITIALISED or torch.Tag.nondeterministic_seeded in operator.tags


# Operators by which routers choose: the number of the result that has the positions, and the default of the dimension.
_CHOOSING: dict[Any, tuple[int, Any]] = {
    aten.topk.default: (1, -1),
    aten.argmax.default: (0, None),
    aten.max.dim: (1, None),
}


class _UnknownValueError(Exception):
    """An argument has no known value."""


class KnownValues:
    """The known values of meta tensors, kept as long as the tensors exist.

    With `spreads_choices`, the positions that a router chooses (`topk`, `argmax`), which depend on weights, are assumed to be spread evenly
    over its options: token 0 goes to the first k, token 1 to the next k, and so on. `choices` has a text for each place in the code that
    chooses.
    """

    def __init__(self, *, spreads_choices: bool = False) -> None:
        self.spreads_choices = spreads_choices
        self.choices: list[str] = []
        self._values = WeakTensorKeyDictionary()
        self._ids: set[int] = set()  # of all tensors that have ever had a known value; most lookups end here
        self._unknown_storages: dict[int, torch.UntypedStorage] = {}
        self._bytes = 0
        self._found_meta = False

    def find(self, tensor: torch.Tensor) -> torch.Tensor | None:
        """The value of a tensor; None if it is not known. A small CPU tensor that is no parameter is its own value."""
        if tensor.is_meta:
            if id(tensor) not in self._ids:
                return None
            value: torch.Tensor | None = self._values.get(tensor)
            return None if value is None or value.untyped_storage()._cdata in self._unknown_storages else value
        plain = type(tensor) is torch.Tensor and tensor.device.type == "cpu" and tensor.layout is torch.strided
        return tensor if plain and tensor.numel() <= _MOST_ELEMENTS else None

    def record(self, tensor: torch.Tensor, value: torch.Tensor) -> None:
        """Records the value of a meta tensor. A parameter has none, because a checkpoint replaces it."""
        if not isinstance(tensor, nn.Parameter) and self._bytes + value.nbytes <= _MOST_BYTES:
            self._bytes += value.nbytes
            self._ids.add(id(tensor))
            self._values[tensor] = value

    def record_inputs(self, given: Any, copied: Any, *, constants: bool = False) -> None:
        """Records the values of integer and boolean inputs: `copied` are the meta copies of the tensors in `given`.

        `constants`: also of floating-point inputs that are made as constants. An example of a user, such as `torch.zeros(1, 8)`, is a shape
        only: the branches that its values take are not those of the model.
        """
        for tensor, copy in zip(list_tensors_in(given), list_tensors_in(copied), strict=True):
            has_values = not (tensor.is_floating_point() or tensor.is_complex()) or (constants and tensor.is_meta)
            if has_values and (value := self.find(tensor)) is not None:
                self.record(copy, value.clone())

    def compute(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of an operator that `reads_values`; UNKNOWN if torch can run it without values, or if the values are not known."""
        name = operator._schema.name
        if name == "aten::_to_copy":
            to_cpu = torch.device(kwargs.get("device") or "meta").type == "cpu" and args[0].is_meta
            return self._compute(operator, args, kwargs) if to_cpu else UNKNOWN
        if name in _RETURN_VALUES:
            return self._compute(operator, args, kwargs)
        if name in _INDEX:
            return self._index(operator, args, kwargs)
        value = self._compute(operator, args, kwargs)
        if value is not UNKNOWN:
            return self._make_meta(value)
        return self._select(args) if name == "aten::masked_select" else UNKNOWN

    def learn(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Records the values of a result if they follow from known ones, and drops those that the operator overwrote with unknown ones."""
        first = next((arg for arg in args if isinstance(arg, torch.Tensor | list)), None)
        first = first[0] if isinstance(first, list) and first else first
        written = read_traits(operator).written_positions
        if isinstance(first, torch.Tensor) and first.is_meta and id(first) not in self._ids and not written:
            if operator in _CHOOSING:
                self._spread(operator, args, kwargs, result)
            return  # the common case: the input was computed with weights
        results = list_tensors_in(result)
        bounded = bool(results) and all(each.is_meta for each in results) and sum(each.numel() for each in results) <= _MOST_ELEMENTS
        value = self._compute(operator, args, kwargs) if bounded and not makes_unknown(operator) else UNKNOWN
        if value is UNKNOWN:
            self._forget(args, written)
            return
        for tensor, each in zip(results, list_tensors_in(value), strict=True):
            if id(tensor) not in self._ids or self.find(tensor) is None:
                self.record(tensor, each)

    def _spread(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Notes a choice whose positions are not known, and assumes them if wanted."""
        place, dim = _CHOOSING[operator]
        positions = result[place] if isinstance(result, tuple | list) else result
        named = [argument.name for argument in operator._schema.arguments]
        given = dict(zip(named, args, strict=False)) | kwargs
        dim = given.get("dim", dim)
        options = args[0].shape[dim] if dim is not None and args[0].dim() else 0
        if not 1 < options <= _MOST_OPTIONS or positions.numel() > _MOST_ELEMENTS:
            return
        chosen = given.get("k", 1)
        text = f"the choice of {chosen} of {options} at {find_caller()} depends on weights; it is assumed to be spread evenly"
        if text not in self.choices:
            self.choices.append(text)
        if self.spreads_choices:
            rows = torch.arange(positions.numel(), device="cpu") % options
            last = rows.view(*positions.movedim(dim, -1).shape).movedim(-1, dim) if "k" in given else rows.view(positions.shape)
            self.record(positions, last.contiguous())

    def _compute(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operator's result on the CPU; UNKNOWN if an argument has no known value, or if no tensor is on the meta device."""
        device = kwargs.get("device")
        self._found_meta = device is not None and torch.device(device).type == "meta"
        try:
            given = [self._to_cpu(each) for each in args]
            named = {name: self._to_cpu(each) for name, each in kwargs.items()}
        except _UnknownValueError:
            return UNKNOWN
        if not self._found_meta:
            return UNKNOWN
        try:
            with torch.no_grad():
                return operator(*given, **named)
        except Exception:  # noqa: BLE001 - the CPU kernel may reject a call that the meta kernel accepts; then the value is not known
            return UNKNOWN

    def _to_cpu(self, value: Any) -> Any:
        """The argument with every tensor replaced by its value."""
        if isinstance(value, torch.Tensor):
            known = self.find(value)
            if known is None:
                raise _UnknownValueError
            self._found_meta |= value.is_meta
            return known
        if isinstance(value, list | tuple):
            return [self._to_cpu(each) for each in value]
        return torch.device("cpu") if isinstance(value, torch.device) else value

    def _make_meta(self, value: Any) -> Any:
        def to_meta(each: Any) -> Any:
            if not isinstance(each, torch.Tensor):
                return each
            made = torch.empty_strided(each.shape, each.stride(), dtype=each.dtype, device="meta")
            self.record(made, each)
            return made

        return tree_map(to_meta, value)

    def _select(self, args: tuple[Any, ...]) -> Any:
        """The result of `masked_select` of unknown values by a known mask: the mask gives its length."""
        mask = self.find(args[1])
        if mask is None:
            return UNKNOWN
        shape = torch.broadcast_shapes(args[0].shape, mask.shape)
        return args[0].new_empty(int(mask.expand(shape).sum()))

    def _index(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of indexing by known boolean masks: each mask is replaced by the positions that it selects."""
        indices: list[Any] = []
        for index in args[1]:
            if not isinstance(index, torch.Tensor) or index.dtype not in (torch.bool, torch.uint8):
                indices.append(index)
                continue
            mask = self.find(index)
            if mask is None:
                return UNKNOWN
            indices += (self._make_meta(each) if args[0].is_meta else each for each in mask.nonzero(as_tuple=True))
        if len(indices) == len(args[1]) and all(new is old for new, old in zip(indices, args[1], strict=True)):
            return UNKNOWN
        result = operator(args[0], indices, *args[2:], **kwargs)
        self.learn(operator, (args[0], indices, *args[2:]), kwargs, result)
        return result

    def _forget(self, args: tuple[Any, ...], written: tuple[int, ...]) -> None:
        """Marks the tensors that an operator overwrote, and all views of them, as unknown."""
        for position in written:
            tensor = args[position] if position < len(args) else None
            if isinstance(tensor, torch.Tensor) and tensor.is_meta and (value := self.find(tensor)) is not None:
                storage = value.untyped_storage()
                self._unknown_storages[storage._cdata] = storage


class _ConstantMode(TorchFunctionMode):
    """Records the values of tensors that are made from Python numbers."""

    def __init__(self, values: KnownValues) -> None:
        super().__init__()
        self._values = values

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func in _MAKE_CONSTANTS and isinstance(result, torch.Tensor) and result.is_meta and result.numel() <= _MOST_ELEMENTS:
            data = args[1] if func is torch.Tensor.new_tensor and len(args) > 1 else args[0] if args else kwargs.get("data")
            if not list_tensors_in(data):
                self._values.record(result, torch.tensor(data, dtype=result.dtype, device="cpu"))
        return result


@contextmanager
def track_constants(values: KnownValues) -> Iterator[None]:
    """While open, tensors that are made from Python numbers on the meta device have known values."""
    with _ConstantMode(values):
        yield


# --- values that are not known, and are assumed ---


def assume_boolean(tensor: torch.Tensor, assumed: bool, assumptions: list[str]) -> bool | None:
    """The value for a boolean meta tensor, with an assumption added to the list; None for a tensor that has values or is not boolean."""
    if tensor.device.type != "meta" or tensor.dtype != torch.bool:
        return None
    text = f"a branch at {find_caller()} depends on the value of a boolean tensor; both branches were run"
    if text not in assumptions:
        assumptions.append(text)
    return assumed


def find_caller() -> str:
    """`file.py:12` of the innermost running line outside torch and archaudit."""
    frame = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".")[0] not in ("torch", "archaudit", "contextlib", "functools") or module.startswith("archaudit.examples"):
            return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        if frame.f_back is None:
            break
        frame = frame.f_back
    return "an unknown line"
