"""Caches the results of operators on the meta device: shapes, strides and dtypes.

The meta device runs a batch norm, an activation or a resize through a decomposition in Python, again for every shape in a model. Two caches
avoid that. `ShapeCache` repeats the result of an operator that was called before with tensors of the same shapes, strides and dtypes.
`ShapeRules` covers operators whose result shape has a name: that of the input, one number for each channel, the requested size. torch runs
the first call of a kind (an operator with its dtypes and settings); its result says which name applies, and later calls of that kind get
the named shape of their own inputs. A kind whose result matches no name is run by torch every time.

The rules apply to contiguous tensors only, and to calls that torch would accept.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from archaudit.measure.process_state import DispatchMode
from archaudit.measure.tape.higher_order import find_body_runner
from archaudit.measure.tape.known_values import UNKNOWN, KnownValues, makes_unknown, reads_values
from archaudit.measure.tape.memory import read_traits
from archaudit.measure.tape.meta_kernels import find_meta_kernel, run_meta_kernel
from archaudit.measure.tensors import list_tensors_in, storage_key
from archaudit.schema import Shape

aten = torch.ops.aten

# Elementwise in the first argument, with no other tensor among the arguments.
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
    """Learns from torch's results which named shape an operator returns, and applies that to further calls."""

    def __init__(self) -> None:
        self._learnt: dict[Any, list[tuple[str, torch.dtype]] | None] = {}

    def look_up(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[Shape, torch.dtype]] | None:
        """The shape and dtype of each result, all contiguous; None where torch has to run the operator."""
        names = _name_shapes(operator, args)
        learnt = self._learnt.get(_describe_kind(operator, args, kwargs)) if names is not None else None
        return [(names[name], dtype) for name, dtype in learnt] if names is not None and learnt is not None else None

    def learn(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], results: Sequence[torch.Tensor]) -> None:
        """Learns from the results of a call; `args` are the arguments as they were before the call."""
        names = _name_shapes(operator, args)
        if names is None:
            return
        by_shape = {shape: name for name, shape in names.items()}
        if len(by_shape) < len(names):
            return  # two names have the same shape, so this call does not say which one applies
        fits = all(result.is_contiguous() and tuple(result.shape) in by_shape for result in results)
        rule = [(by_shape[tuple(result.shape)], result.dtype) for result in results] if fits else None
        self._learnt.setdefault(_describe_kind(operator, args, kwargs), rule)


def _name_shapes(operator: Any, args: tuple[Any, ...]) -> dict[str, Shape] | None:
    rule = RULES.get(operator)
    if rule is None:
        return None
    tensors = [value for value in args if isinstance(value, torch.Tensor)]
    if not tensors or tensors[0] is not args[0] or any(tensor.numel() == 0 or not tensor.is_contiguous() for tensor in tensors):
        return None
    return rule(args)


def _describe_kind(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The call without the sizes of its tensors and the requested size, and with only the type and sign of each number."""
    described = tuple((value.dtype, value.dim()) if isinstance(value, torch.Tensor) else _describe_setting(value) for value in args)
    return (operator, torch.get_default_dtype(), described, tuple((name, _describe_setting(value)) for name, value in kwargs.items()))


def _describe_setting(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return (list, len(value))
    return (type(value), value < 0) if isinstance(value, float) or type(value) is int else (type(value), value)


# --- the cache of results ---


# What the result of an operator may depend on besides its tensors. A call with any other argument is not cached.
_PLAIN = (bool, int, float, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
_PLAIN_TENSORS = (torch.Tensor, nn.Parameter)

_Key = tuple[Any, ...]


class _NotPlainError(Exception):
    """A value whose description does not identify it."""


class _Plan:
    """How an operator is run; found once for each operator.

    `kind` is `new` (all results are new tensors), `in place` (the operator writes into its first argument and returns it) or `other`; only
    the first two are cached. The plan keeps the operator alive, so that its id stays unique.
    """

    __slots__ = ("has_rule", "kernel", "kind", "learns", "operator", "reads_values", "was_run")

    def __init__(self, operator: Any) -> None:
        self.operator = operator
        self.kind = _read_kind(operator)
        self.kernel = find_meta_kernel(operator)
        self.has_rule = operator in RULES
        self.reads_values = reads_values(operator)
        self.learns = not makes_unknown(operator) or bool(read_traits(operator).written_positions)
        self.was_run = False

    def run(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs the kernel. After the first run, frames that refer to themselves are freed.

        Many meta kernels are written in Python, and what torch does in their first run in a process leaves such frames. They keep all
        frames that called them, the model's own too, with every tensor in them: the peak of live memory would depend on what ran before.
        """
        result = run_meta_kernel(self.kernel, self.operator, args, kwargs)
        if not self.was_run:
            self.was_run = True
            gc.collect(0)
        return result


class ShapeCache:
    """Runs operators on meta tensors, or repeats the result for tensors of the same shape, strides and dtype.

    `assumed_boolean`, when given, is the value of booleans that the model reads from meta tensors and whose values are not known.
    `known_values` are the values of meta tensors that are known.
    """

    def __init__(self, assumed_boolean: bool | None = None, known_values: KnownValues | None = None) -> None:
        self.known_values = known_values or KnownValues()
        self._assumed_boolean = assumed_boolean
        self._results: dict[_Key, Any] = {}
        self._plans: dict[int, _Plan] = {}
        self._rules = ShapeRules()

    def run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operator's result. Only ATen operators that return new tensors, or write into their first argument, are cached."""
        plan = self._plans.get(id(operator))
        if plan is None:
            plan = self._plans[id(operator)] = _Plan(operator)
        if plan.reads_values:
            computed = self.known_values.compute(operator, args, kwargs)
            if computed is not UNKNOWN:
                return computed
            if self._assumed_boolean is not None and operator is aten._local_scalar_dense.default and _is_boolean_on_meta(args[0]):
                return self._assumed_boolean
        result = self._run_on_meta(plan, args, kwargs)
        if plan.learns:
            self.known_values.learn(operator, args, kwargs, result)
        return result

    def _run_on_meta(self, plan: _Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operator = plan.operator
        if plan.kind == "other":
            return plan.run(args, kwargs)
        try:
            named = tuple((name, _describe(value)) for name, value in kwargs.items())
            key = (id(operator), torch.get_default_dtype(), _describe(args), named)
        except _NotPlainError:
            return plan.run(args, kwargs)
        cached = self._results.get(key)
        if cached is not None:
            return args[0] if plan.kind == "in place" else _make(cached)
        if plan.has_rule:
            shapes = self._rules.look_up(operator, args, kwargs)
            if shapes is not None:
                return args[0] if plan.kind == "in place" else _make_all(shapes)
        plan.was_run = False  # a kernel may take another way for other dtypes and shapes
        result = plan.run(args, kwargs)
        try:
            described = _describe(result)
        except _NotPlainError:
            return result
        if plan.has_rule:
            self._rules.learn(operator, args, kwargs, list_tensors_in(result))
        if plan.kind == "new" and not _is_fresh(result, (args, kwargs), described):
            plan.kind = "other"
        elif plan.kind == "new" or (result is args[0] and described == key[2][1]):  # some in-place operators change a tensor's shape
            self._results[key] = described
        return result


class CachedShapesMode(DispatchMode):
    """Runs every operator through a cache, and the bodies of higher-order operators one by one."""

    supports_higher_order_operators = True

    def __init__(self, cache: ShapeCache) -> None:
        super().__init__()
        self._cache = cache

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        run_bodies = find_body_runner(func)
        if run_bodies is not None:
            with self:
                return run_bodies(*args, **(kwargs or {}))
        return self._cache.run(func, args, kwargs or {})


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


def _is_fresh(result: Any, given: Any, described: Any) -> bool:
    """Whether each tensor of `result` has a storage of its own, as large as that of the tensor that the cache would make.

    Some operators return views although their schemas do not say so: `_unsafe_view`, `unsafe_split`.
    """
    taken = {storage_key(tensor) for tensor in list_tensors_in(given)}
    for tensor, remade in zip(list_tensors_in(result), list_tensors_in(_make(described)), strict=True):
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


def _make(described: Any) -> Any:
    kind, *parts = described
    if kind is torch.Tensor:
        return torch.empty_strided(parts[0], parts[1], dtype=parts[2], device="meta")
    if kind in (tuple, list):
        return kind(map(_make, parts))
    return parts[0]  # None in place of a gradient that is not computed
