"""Compares the outputs of two models: over all trials, and for each module in the order of execution."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import torch

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tensors import iterate_tensors_in, shape_of
from archaudit.schema import Computation, Deviation, Equivalence, Pair

Outputs = list[torch.Tensor]


def format_shapes(tensors: Outputs) -> str:
    """`1x3x8x8, 1x5`; `no tensor` for none."""
    return ", ".join("x".join(map(str, shape_of(tensor))) or "scalar" for tensor in tensors) or "no tensor"


# The caches of transformers: their keys and values are inputs of the attention, whose outputs are compared.
_IGNORED_MODULE = "transformers.cache_utils"


def list_outputs(result: object) -> Outputs:
    """A copy of every tensor in the result of a model. Raises MeasureError for a part that is no tensor, because no comparison sees it."""
    return list(_iterate_outputs(result, "the output"))


def _iterate_outputs(value: object, name: str) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.is_nested:
            yield from _iterate_outputs(list(value.unbind()), name)
        elif value.is_quantized:
            raise MeasureError(f"{name} is a quantized tensor, which is not compared")
        else:
            dense = value.detach() if value.layout == torch.strided else value.detach().to_dense()
            yield dense.resolve_conj().resolve_neg().clone()
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _iterate_outputs(item, f"{name}[{key!r}]")
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _iterate_outputs(item, f"{name}[{number}]")
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for attribute in dataclasses.fields(value):
            yield from _iterate_outputs(getattr(value, attribute.name, None), f"{name}.{attribute.name}")
    elif value is not None and not any(each.__module__ == _IGNORED_MODULE for each in type(value).__mro__):
        raise MeasureError(f"{name} is of type {type(value).__name__}: only outputs that are tensors can be compared")


def is_finite(tensors: Outputs) -> bool:
    """Whether no tensor has an infinity or a NaN."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


class OutputComparison:
    """The largest difference between the outputs of two models over all trials.

    `exact`: there are only integers in both models and their inputs. Otherwise integer outputs come from rounded values: equal ones can
    hide a difference, and different ones can come from the order of a sum, so they prove nothing.
    """

    def __init__(self, tolerance: float, exact: bool = False) -> None:
        self.tolerance = tolerance
        self.exact = exact
        self.bitwise = True
        self.max_difference = 0.0
        self.differs = False
        self.reason = ""
        self.obstacle = ""
        self.trials = 0

    def add_trial(self, before: Outputs, after: Outputs, least: float = 1.0) -> None:
        """Compares the outputs of one trial; the tolerance is relative to the largest value, but at least to `least`."""
        self.trials += 1
        shapes = Pair(before, after).map(format_shapes)
        if shapes.before != shapes.after:
            self.differs, self.bitwise, self.reason = True, False, f"the output shapes differ: {shapes.before} before, {shapes.after} after"
            return
        if not any(tensor.numel() for tensor in before):
            self.obstacle = self.obstacle or "the outputs have no elements to compare"
        for one, other in zip(before, after, strict=True):
            self._add_pair(one, other, least)

    def _add_pair(self, before: torch.Tensor, after: torch.Tensor, least: float) -> None:
        equal = before.dtype == after.dtype and torch.equal(before, after)
        self.bitwise = self.bitwise and equal
        kinds = Pair(before, after).map(_name_kind)
        if kinds.before != kinds.after:
            self.obstacle = self.obstacle or f"an output is {kinds.before} before and {kinds.after} after"
        elif kinds.before == "integer":
            if not self.exact:
                self.obstacle = self.obstacle or f"an output is {before.dtype}: integers made from rounded values can hide a difference"
            elif not equal:
                self.differs = True
                self.max_difference = max(self.max_difference, _measure_difference(before, after, 0.0, least)[0])
        elif not is_finite([after]):
            self.obstacle = self.obstacle or "the outputs of after are not finite where those of before are"
        else:
            difference, limit = _measure_difference(before, after, self.tolerance, least)
            self.max_difference = max(self.max_difference, difference)
            self.differs = self.differs or not difference <= limit

    def conclude(self, dtype: str, first: Deviation | None, computations: Pair[Computation | None]) -> Equivalence:
        """The verdict; `first` is the first module whose output differs, `computations` the first operators that differ."""
        if self.obstacle and not self.differs:
            return Equivalence(outcome="not comparable", reason=self.obstacle, dtype=dtype)
        precision = "bitwise equal" if self.bitwise else f"equal within {self.tolerance:g} of the largest value, computed in {dtype}"
        reason = self.reason or f"the outputs on {self.trials} random inputs are {precision}"
        if self.differs and not self.reason:
            reason = f"the outputs differ {_format_difference(_finite(self.max_difference))}"
        if first is not None:
            name = first.after_path or "the model itself"
            reason += f"; the first module whose output differs is {name}, {_format_difference(first.max_difference)}"
        named = [
            f"{computation.operator} in {computation.path or 'the model itself'} {side}"
            for computation, side in zip(computations, ("before", "after"), strict=True)
            if computation is not None
        ]
        if named:
            reason += f"; the first computation that differs is {', '.join(named)}"
        return Equivalence(
            outcome="different" if self.differs else "equivalent",
            reason=reason,
            max_difference=None if self.reason else _finite(self.max_difference),
            tolerance=self.tolerance,
            bitwise=self.bitwise,
            dtype=dtype,
            first_difference=first,
            first_before=computations.before,
            first_after=computations.after,
        )


def _name_kind(tensor: torch.Tensor) -> str:
    if tensor.is_complex():
        return "complex"
    return "real" if tensor.is_floating_point() else "integer"


def _measure_difference(before: torch.Tensor, after: torch.Tensor, tolerance: float, least: float) -> tuple[float, float]:
    """The largest difference and the allowed one. The difference is infinite if shapes or non-finite values differ."""
    if before.shape != after.shape:
        return float("inf"), 0.0
    wide = torch.complex128 if before.is_complex() or after.is_complex() else torch.float64
    if before.numel() == 0 or (before.dtype == after.dtype and torch.equal(before, after)):
        return 0.0, 0.0
    before, after = before.to(wide), after.to(wide)
    difference = float((before - after).abs().nan_to_num(nan=float("inf")).max())
    return difference, tolerance * max(least, float(before.abs().max()))


def _finite(difference: float) -> float | None:
    return difference if math.isfinite(difference) else None


def _format_difference(difference: float | None) -> str:
    return "in shape or in non-finite values" if difference is None else f"by up to {difference:.3g}"


class OutputRecorder:
    """Keeps a copy of the outputs of the modules at `paths`, call by call."""

    def __init__(self, tree: ModuleTree, paths: set[str]) -> None:
        self.tree = tree
        self.paths = paths
        self.outputs: defaultdict[str, list[Outputs]] = defaultdict(list)

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Does nothing: there is no output yet."""

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Copies the outputs, because an in-place operator may overwrite them."""
        path = self.tree.paths[position]
        if path in self.paths:
            self.outputs[path].append([tensor.detach().clone() for tensor in iterate_tensors_in(result)])
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Does nothing: the whole run fails."""


class ModuleComparison:
    """Compares the outputs of each call with those of the matched module before, in the order in which calls end.

    `before` has the recorded outputs of the modules before, `modules` the matched paths: after to before.
    """

    def __init__(self, tree: ModuleTree, before: dict[str, list[Outputs]], modules: dict[str, str], tolerance: float) -> None:
        self._tree = tree
        self._before = before
        self._modules = modules
        self._tolerance = tolerance
        self.least = 1.0
        self._calls: Counter[str] = Counter()
        self._deviations: dict[str, Deviation] = {}
        self._equal: set[str] = set()

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Does nothing: there is no output yet."""

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Compares the outputs of one call."""
        path = self._tree.paths[position]
        before_path = self._modules.get(path)
        calls = self._before.get(before_path, []) if before_path is not None else []
        number = self._calls[path]
        self._calls[path] += 1
        if before_path is not None and number < len(calls):
            pairs = list(zip(calls[number], iterate_tensors_in(result), strict=False))
            measured = [_measure_difference(one, other, self._tolerance, self.least) for one, other in pairs]
            largest = max((difference for difference, limit in measured if not difference <= limit), default=None)
            if largest is not None:
                self._deviations.setdefault(path, Deviation(before_path=before_path, after_path=path, max_difference=_finite(largest)))
            elif pairs:
                self._equal.add(path)
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Does nothing: the whole run fails."""

    def find_first(self, inputs_from: Mapping[str, Iterable[str]]) -> Deviation | None:
        """The first module whose output differs. `inputs_from` has the modules whose output is the input of each module.

        A module with another output does not count if a later module that depends on it has an equal output: it only computes the same in
        another way. Nor does a container with another output shape whose inner modules all have equal outputs: only its boundary moved.
        """
        users: defaultdict[str, set[str]] = defaultdict(set)
        for path, sources in inputs_from.items():
            for source in sources:
                users[source].add(path)
        equal = self._equal - self._deviations.keys()
        found = [each for path, each in self._deviations.items() if not _reaches(path, equal, users)]
        values = [each for each in found if each.max_difference is not None or not self._is_equal_inside(each.after_path, equal)]
        return next(iter([*values, *found, *self._deviations.values()]), None)

    def count_equal(self) -> int:
        """The number of modules whose outputs were equal in every call."""
        return len(self._equal - self._deviations.keys())

    def _is_equal_inside(self, path: str, equal: Collection[str]) -> bool:
        prefix = f"{path}." if path else ""
        some_equal = any(each.startswith(prefix) for each in equal if each != path)
        return some_equal and not any(each.startswith(prefix) for each in self._deviations if each != path)


def _reaches(path: str, wanted: Collection[str], users: Mapping[str, Iterable[str]]) -> bool:
    """Whether one of the `wanted` modules depends on the output of a module, which is also part of the output of its parents."""
    seen = {path}
    waiting = [path]
    while waiting:
        module = waiting.pop()
        parents = {module.rpartition(".")[0]} if module else set()
        for user in parents.union(users.get(module, ())) - seen:
            if user in wanted:
                return True
            seen.add(user)
            waiting.append(user)
    return False
