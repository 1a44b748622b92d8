"""Steps that rearrange a tensor and leave its values as they are, in one form however they are written.

`view`, `flatten` and `unsqueeze` are `reshape`; `transpose` and `.T` are `permute`; each part of `chunk`, `split` or `unbind` is a `slice`
or a `select`. Copies are no steps, and several reshapes or permutes in a row are one.
"""

from __future__ import annotations

import weakref
from typing import Any

import torch

from archaudit.measure.tape.arguments import normalise_dim
from archaudit.measure.tensors import shape_of
from archaudit.schema import Setting, Step

# Operators that give their input another form and leave values and order as they are.
_COPIES = frozenset(("alias", "lift_fresh", "lift_fresh_copy", "clone", "contiguous", "resolve_conj", "resolve_neg"))
_RESHAPES = frozenset(("view", "unsafe_view", "reshape", "reshape_alias", "squeeze", "unsqueeze", "flatten", "unflatten"))
_PERMUTES = frozenset(("permute", "transpose", "t", "numpy_T", "swapaxes", "swapdims"))
_PARTS = frozenset(("split", "split_with_sizes", "chunk", "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes", "unbind"))


class Frame:
    """An open call of a module. `labels` has the operand of each tensor that is known in it, by the tensor's id."""

    __slots__ = ("labels", "position", "skipped", "steps", "writes")

    def __init__(self, position: int, skipped: bool) -> None:
        self.position = position
        self.skipped = skipped
        self.steps: list[Step] = []
        self.labels: dict[int, tuple[weakref.ref[torch.Tensor], str]] = {}
        self.writes: dict[int, int] = {}

    def name(self, tensor: torch.Tensor, label: str) -> None:
        self.labels[id(tensor)] = weakref.ref(tensor), label

    def find(self, tensor: torch.Tensor) -> str | None:
        known = self.labels.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None

    def add(self, step: Step) -> str:
        self.steps.append(step)
        return str(len(self.steps) - 1)


def add_rearrangement(frame: Frame, name: str, args: tuple[Any, ...], label: str, tensors: tuple[torch.Tensor, list[torch.Tensor]]) -> bool:
    """Adds the steps of an operator that only rearranges its first tensor (`label`) and names its results; False for any other."""
    first, outputs = tensors
    result, shape = outputs[0], shape_of(first)
    if name in _RESHAPES:
        label = _reshape(frame, label, shape, shape_of(result))
    elif name in _PERMUTES:
        label = _permute(frame, label, _read_order(name, args, len(shape)))
    elif name == "expand":
        if (size := shape_of(result)) != shape:
            label = frame.add(Step(op="expand", operands=(label,), sizes={"size": list(size)}, shape=shape))
    elif name in ("slice", "select", "narrow"):
        label = _slice(frame, name, args, label, shape)
    elif name in _PARTS:
        _divide(frame, name, args, label, (first, outputs))
        return True
    elif not (name in _COPIES or (name == "to" and result.dtype == first.dtype)):
        return False
    frame.name(result, label)
    return True


def _reshape(frame: Frame, label: str, before: tuple[int, ...], after: tuple[int, ...]) -> str:
    while (earlier := _find_step(frame, label)) is not None and earlier.op == "reshape" and earlier.shape is not None:
        label, before = earlier.operands[0], earlier.shape
    if before == after:
        return label
    return frame.add(Step(op="reshape", operands=(label,), sizes={"size": list(after)}, shape=before))


def _permute(frame: Frame, label: str, order: list[int]) -> str:
    earlier = _find_step(frame, label)
    if earlier is not None and earlier.op == "permute":
        known = earlier.arguments["dims"]
        assert isinstance(known, list)
        label, order = earlier.operands[0], [known[place] for place in order]
    if order == sorted(order):
        return label
    return frame.add(Step(op="permute", operands=(label,), arguments={"dims": list(order)}))


def _slice(frame: Frame, name: str, args: tuple[Any, ...], label: str, shape: tuple[int, ...]) -> str:
    dim = int(args[1]) if len(args) > 1 else 0
    size = shape[dim]
    shown = normalise_dim(dim, len(shape))
    if name == "select":
        index = int(args[2])
        return frame.add(_make_select(label, shown, index, size))
    start, end = (args[2] if len(args) > 2 else None), (args[3] if len(args) > 3 else None)
    if name == "narrow":
        end = int(start or 0) + int(end or 0)
    bounds = slice(start, end, int(args[4]) if len(args) > 4 else 1).indices(size)
    return _cut(frame, label, shown, bounds, shape)


def _cut(frame: Frame, label: str, dim: int, bounds: tuple[int, int, int], shape: tuple[int, ...]) -> str:
    start, end, step = bounds
    if (start, end, step) == (0, shape[dim], 1):
        return label
    arguments: dict[str, Setting] = {"dim": dim, **({"step": step} if step != 1 else {})}
    return frame.add(Step(op="slice", operands=(label,), arguments=arguments, sizes={"start": start, "end": end}, shape=shape))


def _divide(frame: Frame, name: str, args: tuple[Any, ...], label: str, tensors: tuple[torch.Tensor, list[torch.Tensor]]) -> None:
    first, outputs = tensors
    place = 1 if name == "unbind" else 2
    dim = int(args[place]) if len(args) > place else 0
    shape, start = shape_of(first), 0
    shown = normalise_dim(dim, len(shape))
    for number, part in enumerate(outputs):
        if name == "unbind":
            frame.name(part, frame.add(_make_select(label, shown, number, shape[dim])))
            continue
        end = start + int(part.shape[dim])
        frame.name(part, _cut(frame, label, shown, (start, end, 1), shape))
        start = end


def _make_select(label: str, dim: int, index: int, size: int) -> Step:
    index = index + size if index < 0 else index
    return Step(op="select", operands=(label,), arguments={"dim": dim, "index": -1 if index == size - 1 and index else index})


def _find_step(frame: Frame, label: str) -> Step | None:
    return frame.steps[int(label)] if label.isdigit() else None


def _read_order(name: str, args: tuple[Any, ...], rank: int) -> list[int]:
    """The order of dimensions of a permutation, however it is written."""
    if name == "permute":
        return [int(dim) % rank if rank else 0 for dim in args[1]]
    if name == "numpy_T":
        return list(range(rank))[::-1]
    one, other = (int(dim) % max(rank, 1) for dim in args[1:3]) if name != "t" else (0, 1)
    order = list(range(rank))
    if rank > 1:
        order[one], order[other] = other, one
    return order
