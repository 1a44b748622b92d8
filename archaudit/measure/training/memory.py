"""The memory of a training step: every storage with its size and lifetime, replayed in the order of the operators.

Storages are watched by weak references, so that their lifetimes are those that autograd gives them. Without values a step keeps and frees
the same storages as with values. Each size is rounded up to 512 bytes, as torch's caching allocator on CUDA does.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from archaudit.measure.tensors import storage_key
from archaudit.schema import MEMORY_CATEGORIES, MemoryCategory, MemoryPoint, SavedTensors, TrainingMemory, TrainingPhase

# kMinBlockSize of torch's CUDA caching allocator (c10/cuda/CUDACachingAllocator.cpp). Rounded sizes differ from requested ones by less than
# 0.1 % in models of usual size, and are exact on CUDA.
ROUNDING_BYTES = 512
# The curve of a step is drawn from this many points; a report is about 1,000 pixels wide.
_MOST_POINTS = 200


def round_up(size: int) -> int:
    """The bytes that the allocator takes for `size` bytes."""
    return -(-size // ROUNDING_BYTES) * ROUNDING_BYTES


@dataclass(slots=True)
class Allocation:
    """One storage: its bytes, the numbers of the first and last operator during which it is live, and the operator that made it.

    `end` is None for a storage that is live at the end of the step. `category` is set when the step is over.
    """

    size: int
    start: int
    phase: TrainingPhase
    operator: str
    module: int
    end: int | None = None
    category: MemoryCategory = "temporaries"


class AllocationRecorder:
    """Watches storages. `count_operator` is called once for each operator, before its results are watched."""

    def __init__(self) -> None:
        self.allocations: list[Allocation] = []
        self.moments: list[tuple[TrainingPhase, str, int]] = []  # phase, name and module of each operator
        self.forward_end = 0
        self._watched: dict[int, tuple[weakref.ref[torch.UntypedStorage], Allocation]] = {}

    def count_operator(self, phase: TrainingPhase, operator: str, module: int) -> None:
        """Takes the next operator."""
        self.moments.append((phase, operator, module))

    def watch(self, tensor: torch.Tensor, category: MemoryCategory = "temporaries") -> None:
        """Watches the storage of `tensor`, made by the operator that was counted last, unless it is watched already."""
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse and other layouts without one storage
            return
        key = int(storage._cdata)
        if key in self._watched:
            return
        phase, operator, module = self.moments[-1] if self.moments else ("forward", "", 0)
        made = Allocation(round_up(int(storage.nbytes())), max(0, len(self.moments) - 1), phase, operator, module, category=category)

        def forget(_reference: object) -> None:
            if self._watched.pop(key, None) is not None:
                made.end = len(self.moments) - 1

        self._watched[key] = (weakref.ref(storage, forget), made)
        self.allocations.append(made)

    def find(self, tensor: torch.Tensor) -> Allocation | None:
        """The allocation of a live tensor's storage; None if it is not watched."""
        found = self._watched.get(storage_key(tensor))
        return found[1] if found is not None else None

    def mark(self, tensors: Iterable[torch.Tensor], category: MemoryCategory) -> None:
        """Sets the category of the storages of live tensors."""
        for tensor in tensors:
            found = self.find(tensor)
            if found is not None:
                found.category = category

    def end_forward(self) -> None:
        """The backward pass starts with the next operator."""
        self.forward_end = len(self.moments)

    def close(self) -> None:
        """Stops watching."""
        self._watched.clear()


def replay(recorder: AllocationRecorder, paths: Sequence[str]) -> TrainingMemory:
    """The live bytes over the step, from the allocations in order. `paths` are the paths of the modules by position."""
    moments = recorder.moments
    _find_activations(recorder)
    changes: list[Counter[MemoryCategory]] = [Counter() for _ in range(len(moments) + 1)]
    for made in recorder.allocations:
        is_state = made.category == "optimizer states"  # made by the first step, live in all later ones
        changes[0 if is_state else made.start][made.category] += made.size
        if made.end is not None and not is_state:
            changes[made.end + 1][made.category] -= made.size
    live: Counter[MemoryCategory] = Counter()
    totals: list[int] = []
    total = 0
    for change in changes[:-1]:
        total += sum(change.values())
        totals.append(total)
    wanted = _choose_points(totals)
    peak = max(range(len(totals)), key=totals.__getitem__)
    points: dict[int, MemoryPoint] = {}
    for number, change in enumerate(changes[:-1]):
        live.update(change)
        if number in wanted or number == peak:
            phase, operator, module = moments[number]
            held: dict[MemoryCategory, int] = {category: live[category] for category in MEMORY_CATEGORIES}
            points[number] = MemoryPoint(step=number, phase=phase, operator=operator, module=paths[module], bytes=held)
    return TrainingMemory(
        peak=points[peak],
        curve=tuple(points[number] for number in sorted(wanted)),
        saved=_list_saved(recorder, paths),
        operators=len(moments),
    )


def sum_saved(recorder: AllocationRecorder) -> Counter[int]:
    """The bytes of the tensors that are kept for the backward pass, by the module whose operators made them."""
    sums: Counter[int] = Counter()
    for made in _iterate_saved(recorder):
        sums[made.module] += made.size
    return sums


def _iterate_saved(recorder: AllocationRecorder) -> Iterable[Allocation]:
    return (made for made in recorder.allocations if made.phase == "forward" and made.category == "activations")


def _find_activations(recorder: AllocationRecorder) -> None:
    """Marks what outlives the forward pass, or the recomputation, that makes it."""
    recomputes = [phase == "recompute" for phase, _, _ in recorder.moments]
    ends = [0] * len(recomputes)  # by operator: the last operator of the same recomputation
    for number in reversed(range(len(recomputes))):
        follows = number + 1 < len(recomputes) and recomputes[number] and recomputes[number + 1]
        ends[number] = ends[number + 1] if follows else number
    for made in recorder.allocations:
        if made.category != "temporaries":
            continue
        last = len(recomputes) if made.end is None else made.end
        if (made.phase == "forward" and last >= recorder.forward_end) or (made.phase == "recompute" and last > ends[made.start]):
            made.category = "activations"


def _choose_points(totals: Sequence[int]) -> set[int]:
    """The numbers of the operators with the most live bytes of each part of the step."""
    parts = min(len(totals), _MOST_POINTS)
    bounds = [len(totals) * part // parts for part in range(parts + 1)] if parts else []
    return {max(range(first, last), key=totals.__getitem__) for first, last in pairwise(bounds) if first < last}


def _list_saved(recorder: AllocationRecorder, paths: Sequence[str]) -> tuple[SavedTensors, ...]:
    sizes: Counter[tuple[int, str]] = Counter()
    counts: Counter[tuple[int, str]] = Counter()
    for made in _iterate_saved(recorder):
        sizes[made.module, made.operator] += made.size
        counts[made.module, made.operator] += 1
    ordered = sorted(sizes, key=lambda key: (-sizes[key], key))
    return tuple(
        SavedTensors(module=paths[module], operator=operator, bytes=sizes[module, operator], count=counts[module, operator])
        for module, operator in ordered
    )
