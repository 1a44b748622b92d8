"""Remembers what the meta device answered, so that the same question is computed once for all layers and both witnesses.

Most operators of the meta device are decomposed in Python, down to broadcasting and memory layout: a batch norm or a hardswish takes
milliseconds although nothing is computed. What comes out follows from the operator and from the shapes, strides and dtypes that go
in; real models repeat themselves, and the second witness asks what the first one asked.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from archaudit.measure.dispatch import DispatchMode
from archaudit.measure.structure.params import storage_key
from archaudit.measure.structure.tensors import list_tensors_in
from archaudit.measure.tape.shape_rules import RULES, ShapeRules
from archaudit.schema import Shape

# What an operator's result may depend on besides its tensors; anything else among the arguments, and the answer is not remembered.
_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
_PLAIN_TENSORS = (torch.Tensor, nn.Parameter)

_Key = tuple[Any, ...]


class _NotPlainError(Exception):
    """A value that cannot be told apart by its description alone."""


class ShapeMemory:
    """Runs operators on meta tensors, or repeats their answer: tensors of the same shape, strides and dtype.

    `boolean_answer`, when given, answers booleans read from meta tensors, which have none.
    """

    def __init__(self, boolean_answer: bool | None = None) -> None:
        self._boolean_answer = boolean_answer
        self._answers: dict[_Key, Any] = {}
        self._kinds: dict[Any, str] = {}
        self._rules = ShapeRules()

    def run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operator's result. Only ATen's operators that make new tensors, or write into their first argument, are remembered."""
        if self._boolean_answer is not None and operator is torch.ops.aten._local_scalar_dense.default and _is_boolean_on_meta(args[0]):
            return self._boolean_answer
        kind = self._kinds.get(operator) or self._find_kind(operator)
        if kind == "other":
            return operator(*args, **kwargs)
        try:
            key = (operator, torch.get_default_dtype(), _describe(args), tuple((name, _describe(value)) for name, value in kwargs.items()))
        except _NotPlainError:
            return operator(*args, **kwargs)
        answer = self._answers.get(key)
        if answer is not None:
            return args[0] if kind == "in place" else _make(answer)
        if operator in RULES:
            recalled = self._rules.recall(operator, args, kwargs)
            if recalled is not None:
                return args[0] if kind == "in place" else _make_all(recalled)
        result = operator(*args, **kwargs)
        try:
            answer = _describe(result)
        except _NotPlainError:
            return result
        if operator in RULES:
            self._rules.learn(operator, args, kwargs, list_tensors_in(result))
        if kind == "new" and not _is_fresh(result, (args, kwargs), answer):
            self._kinds[operator] = "other"
        elif kind == "new" or (result is args[0] and answer == key[2][1]):  # some operators write into a tensor's shape, too
            self._answers[key] = answer
        return result

    def _find_kind(self, operator: Any) -> str:
        """`new`: all results are new tensors; `in place`: the first argument is written to and returned; else `other`."""
        self._kinds[operator] = kind = _read_kind(operator)
        return kind


class RecallShapes(DispatchMode):
    """Runs every operator through a memory."""

    def __init__(self, memory: ShapeMemory) -> None:
        super().__init__()
        self._memory = memory

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        return self._memory.run(func, args, kwargs or {})


def _is_boolean_on_meta(tensor: torch.Tensor) -> bool:
    return tensor.is_meta and tensor.dtype == torch.bool


def _read_kind(operator: Any) -> str:
    schema = getattr(operator, "_schema", None)
    if schema is None or not schema.name.startswith("aten::") or not schema.returns:
        return "other"
    if any(str(result.type) not in ("Tensor", "List[Tensor]") for result in schema.returns):
        return "other"
    aliased = [number for number, argument in enumerate(schema.arguments) if argument.alias_info is not None]
    returned = [result.alias_info for result in schema.returns if result.alias_info is not None]
    if not aliased and not returned:
        return "new"
    return "in place" if aliased == [0] and len(schema.returns) == 1 and returned and returned[0].is_write else "other"


def _is_fresh(result: Any, given: Any, answer: Any) -> bool:
    """Whether each tensor of `result` has memory of its own, as large as that of the tensor which would stand in for it.

    Some operators return views and do not say so in their schemas: `_unsafe_view`, `unsafe_split`.
    """
    taken = {storage_key(tensor) for tensor in list_tensors_in(given)}
    for tensor, remade in zip(list_tensors_in(result), list_tensors_in(_make(answer)), strict=True):
        if storage_key(tensor) in taken or tensor.untyped_storage().nbytes() != remade.untyped_storage().nbytes():
            return False
        taken.add(storage_key(tensor))
    return True


def _describe(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        if type(value) not in _PLAIN_TENSORS or not value.is_meta or value.layout is not torch.strided or value.is_complex():
            raise _NotPlainError
        return (torch.Tensor, value.shape, value.stride(), value.dtype)
    if isinstance(value, tuple | list):
        return (type(value), *map(_describe, value))
    if isinstance(value, _PLAIN):
        return (type(value), value)
    raise _NotPlainError


def _make_all(results: list[tuple[Shape, torch.dtype]]) -> Any:
    made = tuple(torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in results)
    return made if len(made) > 1 else made[0]


def _make(answer: Any) -> Any:
    kind, *parts = answer
    if kind is torch.Tensor:
        return torch.empty_strided(parts[0], parts[1], dtype=parts[2], device="meta")
    return kind(map(_make, parts))
