"""How far two models' outputs lie apart: over all trials, and module by module in the order of execution."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch

from archaudit.measure.structure.tensors import iterate_tensors_in, shape_of
from archaudit.measure.structure.tree import ModuleTree
from archaudit.schema import Deviation, Equivalence

Outputs = list[torch.Tensor]


class Comparison:
    """What the outputs of all trials come to."""

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self.bitwise = True
        self.max_difference = 0.0
        self.differs = False
        self.reason = ""
        self.trials = 0

    def compare(self, before: Outputs, after: Outputs) -> None:
        """Takes one trial in."""
        self.trials += 1
        shapes = [[shape_of(tensor) for tensor in tensors] for tensors in (before, after)]
        if shapes[0] != shapes[1]:
            told = [", ".join("x".join(map(str, shape)) for shape in side) or "nothing" for side in shapes]
            self.differs, self.bitwise, self.reason = True, False, f"the outputs have other shapes: {told[0]} before, {told[1]} after"
            return
        for one, other in zip(before, after, strict=True):
            self.bitwise = self.bitwise and torch.equal(one, other)
            difference, limit = _measure_difference(one, other, self.tolerance)
            self.max_difference = max(self.max_difference, difference)
            self.differs = self.differs or not difference <= limit

    def conclude(self, dtype: str, first: Deviation | None) -> Equivalence:
        """The verdict; `first` is the first module whose output differs."""
        exact = "equal to the last bit" if self.bitwise else f"equal within {self.tolerance:g} of the largest, computed in {dtype}"
        reason = self.reason or f"the outputs on {self.trials} random inputs are {exact}"
        if self.differs and not self.reason:
            reason = f"the outputs differ {_write_difference(_finite(self.max_difference))}"
        if first is not None:
            name = first.after_path or "the model itself"
            reason += f"; the first module whose output differs is {name}, {_write_difference(first.max_difference)}"
        return Equivalence(
            outcome="different" if self.differs else "equivalent",
            reason=reason,
            max_difference=None if self.reason else _finite(self.max_difference),
            tolerance=self.tolerance,
            bitwise=self.bitwise,
            dtype=dtype,
            first_difference=first,
        )


def _measure_difference(before: torch.Tensor, after: torch.Tensor, tolerance: float) -> tuple[float, float]:
    """The largest difference, and what is allowed; endless where shapes or non-finite values differ."""
    if before.shape != after.shape:
        return float("inf"), 0.0
    if before.numel() == 0 or torch.equal(before, after):
        return 0.0, 0.0
    if not before.is_floating_point() or before.is_complex():
        before, after = (
            (before.to(torch.complex128), after.to(torch.complex128)) if before.is_complex() else (before.double(), after.double())
        )
    difference = float((before - after).abs().nan_to_num(nan=float("inf")).max())
    return difference, tolerance * max(1.0, float(before.abs().max()))


def _finite(difference: float) -> float | None:
    return difference if math.isfinite(difference) else None


def _write_difference(difference: float | None) -> str:
    return "in shape, or where one is not finite" if difference is None else f"by up to {difference:.3g}"


class Watcher:
    """Keeps what the modules at `paths` give, call by call."""

    def __init__(self, tree: ModuleTree, paths: set[str]) -> None:
        self.tree = tree
        self.paths = paths
        self.seen: defaultdict[str, list[Outputs]] = defaultdict(list)

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Nothing is known yet."""

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Copies the outputs, which an operator in place may overwrite."""
        path = self.tree.paths[position]
        if path in self.paths:
            self.seen[path].append([tensor.detach().clone() for tensor in iterate_tensors_in(result)])
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """The whole run fails with it."""


class Judge(Watcher):
    """Compares each call with its counterpart before, in the order in which calls end."""

    def __init__(self, tree: ModuleTree, seen: dict[str, list[Outputs]], modules: dict[str, str], tolerance: float) -> None:
        super().__init__(tree, set(modules))
        self._before = seen
        self._modules = modules
        self._tolerance = tolerance
        self._calls: Counter[str] = Counter()
        self._deviations: dict[str, Deviation] = {}
        self._agreeing: set[str] = set()

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Notes whether it differs."""
        path = self.tree.paths[position]
        before_path = self._modules.get(path)
        calls = self._before.get(before_path, []) if before_path is not None else []
        number = self._calls[path]
        self._calls[path] += 1
        if before_path is not None and number < len(calls):
            pairs = list(zip(calls[number], iterate_tensors_in(result), strict=False))
            measured = [_measure_difference(one, other, self._tolerance) for one, other in pairs]
            largest = max((difference for difference, limit in measured if not difference <= limit), default=None)
            if largest is not None:
                self._deviations.setdefault(path, Deviation(before_path=before_path, after_path=path, max_difference=_finite(largest)))
            elif pairs:
                self._agreeing.add(path)
        return result

    def find_first(self, feeders: Mapping[str, Iterable[str]]) -> Deviation | None:
        """The first module whose output differs. `feeders` are the modules whose output each one reads.

        What gives something else that makes none of what comes after it differ is only written otherwise, and so is a container of
        another shape all of whose parts give the same: the line around it is drawn elsewhere.
        """
        readers: defaultdict[str, set[str]] = defaultdict(set)
        for path, read in feeders.items():
            for feeder in read:
                readers[feeder].add(path)
        agreeing = self._agreeing - self._deviations.keys()
        found = [each for path, each in self._deviations.items() if not _reaches(path, agreeing, readers)]
        values = [each for each in found if each.max_difference is not None or not self._agrees_inside(each.after_path, agreeing)]
        return next(iter([*values, *found, *self._deviations.values()]), None)

    def _agrees_inside(self, path: str, agreeing: Collection[str]) -> bool:
        prefix = f"{path}." if path else ""
        agree = any(each.startswith(prefix) for each in agreeing if each != path)
        return agree and not any(each.startswith(prefix) for each in self._deviations if each != path)


def _reaches(path: str, wanted: Collection[str], readers: Mapping[str, Iterable[str]]) -> bool:
    """Whether something downstream of a module is one of those wanted. What a module gives is a part of what the modules above it give."""
    seen = {path}
    waiting = [path]
    while waiting:
        module = waiting.pop()
        above = {module.rpartition(".")[0]} if module else set()
        for reader in above.union(readers.get(module, ())) - seen:
            if reader in wanted:
                return True
            seen.add(reader)
            waiting.append(reader)
    return False
