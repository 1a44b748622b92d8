"""Runs a model on inputs of another size and records what costs: products, and allocations with their lifetimes.

Each recorded number keeps the sizes that it is a product of, so that it can be expressed by them.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import prod
from typing import Any

import torch

from archaudit.measure.building.copying import run_with_large_stack
from archaudit.measure.formulas import count_operator, find_values_by
from archaudit.measure.model_run import Run
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.process_state import without_fusion
from archaudit.measure.saved_bytes import list_saved
from archaudit.measure.size_variables import Place, resize_inputs
from archaudit.measure.symbolic_shapes import Shortcuts
from archaudit.measure.tape import TapeEntry, TapeMode, TapeRecorder
from archaudit.measure.tape.complex_products import COUNTED_BEFORE
from archaudit.measure.tape.known_values import track_constants
from archaudit.measure.tape.memory import list_written, read_traits, returns_views
from archaudit.measure.tape.module_calls import observe_calls
from archaudit.measure.tensors import iterate_tensors_in, list_tensors_in, list_tensors_within, shape_of, storage_key
from archaudit.scaling.samples import INPUT, Key, Sample, Sizes


@dataclass(slots=True)
class _Timeline:
    """Each storage that is allocated, with its key and the sizes whose product its bytes are; and when it is allocated and freed."""

    sizes: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    events: list[tuple[bool, Key]] = field(default_factory=list)
    live: dict[int, weakref.ref[torch.UntypedStorage]] = field(default_factory=dict)

    def watch(self, tensor: torch.Tensor, key: Key) -> None:
        try:
            storage = tensor.untyped_storage()
        except (NotImplementedError, RuntimeError):  # sparse and other layouts without one storage
            return
        number = int(storage._cdata)
        if number in self.live:
            return

        def forget(_reference: object) -> None:
            if self.live.pop(number, None) is not None:
                self.events.append((False, key))

        self.live[number] = weakref.ref(storage, forget)
        self.sizes[key] = _factor_bytes(tensor)
        self.events.append((True, key))


class _CostRecorder(TapeRecorder):
    """Records the products and the allocations of each operator, and nothing else."""

    def __init__(self, tree: ModuleTree) -> None:
        super().__init__(tree)
        self.timeline = _Timeline()
        self.products: dict[Key, tuple[tuple[int, ...], ...]] = {}
        self.unknown: set[tuple[int, str]] = set()
        self._running: list[int] = []
        self._counts: Counter[tuple[int, str]] = Counter()
        self._keys: list[Key] = []

    def find_running(self) -> int:
        """The position of the innermost running module."""
        return self._running[-1] if self._running else 0

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Opens a call."""
        self._running.append(position)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Closes it."""
        self._running.pop()
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Closes a call that raised."""
        self._running.pop()

    def record_inputs(self, values: object) -> None:
        """The inputs are live for the whole pass."""
        for number, tensor in enumerate(list_tensors_within(values)):
            self.timeline.watch(tensor, (0, INPUT, number))

    def record_operator(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Records one run of an operator."""
        traits = read_traits(operator)
        position = self.find_running()
        outputs = list_tensors_in(result)
        inputs = list_tensors_in(args, kwargs)
        if not returns_views(traits, [storage_key(tensor) for tensor in inputs], outputs):
            list_written(traits, args, kwargs)
            for tensor in outputs:
                self.timeline.watch(tensor, self._next_key(position, f"{traits.name} allocates"))
        work = count_operator(operator, args, kwargs, result)
        number = len(self._keys)
        self._keys.append(self._next_key(position, traits.name) if work.status == "counted" else (position, "", 0))
        if work.status == "unknown":
            self.unknown.add((position, traits.name))
        # the parts of a complex product are found by the entries of the tape
        self.tape.entries.append(TapeEntry(traits.name, position, work, (), ()))
        if work.status == "counted":
            self.products[self._keys[number]] = work.terms
        for part in self.complex_convolutions.find_parts(traits.name, number, args, result, work):
            self.tape.entries[part].work = COUNTED_BEFORE
            self.products.pop(self._keys[part], None)

    def _next_key(self, position: int, operator: str) -> Key:
        number = self._counts[position, operator]
        self._counts[position, operator] += 1
        return (position, operator, number)


def run_sized(run: Run, places: Mapping[str, list[Place]], sizes: Mapping[str, int]) -> Sample:
    """One run with these sizes of the variables. Raises what the model raises."""
    return run_with_large_stack(lambda: _run_sized(run, places, sizes), max(run.tree.depths))


def list_saved_sizes(run: Run, places: Mapping[str, list[Place]], sizes: Mapping[str, int], *, training: bool) -> tuple[Sizes, ...]:
    """The bytes of each tensor that is kept for the backward pass, as a product of sizes. Raises what the model raises."""

    def measure() -> list[torch.Tensor]:
        with run.context():
            given = resize_inputs(run, places, sizes)
        return list_saved(run, given, training)

    return tuple(map(_factor_bytes, run_with_large_stack(measure, max(run.tree.depths))))


def _factor_bytes(tensor: torch.Tensor) -> Sizes:
    """Sizes whose product are the bytes of the tensor's storage."""
    size, shape, item = int(tensor.untyped_storage().nbytes()), shape_of(tensor), tensor.element_size()
    return (item, *shape) if prod(shape) * item == size else (size,)


def _run_sized(run: Run, places: Mapping[str, list[Place]], sizes: Mapping[str, int]) -> Sample:
    recorder = _CostRecorder(run.tree)
    known = run.shape_cache.known_values
    with ExitStack() as stack:
        stack.enter_context(run.context())
        args, kwargs = resize_inputs(run, places, sizes)
        stack.enter_context(without_fusion())
        stack.enter_context(torch.no_grad())
        stack.enter_context(observe_calls(run.tree, recorder))
        recorder.record_inputs((args, kwargs))
        if run.build_mode != "fake":
            stack.enter_context(track_constants(known))
            stack.enter_context(find_values_by(known.find))
        assumed = True if run.build_mode == "answered" else None
        stack.enter_context(TapeMode(recorder, assumed, Shortcuts(run.shape_cache).run, known))
        result = run.model(*args, **kwargs)
        recorder.paused = True
        cache = _measure_cache(result)
    recorder.timeline.live.clear()
    return Sample(
        sizes=dict(sizes),
        products=recorder.products,
        allocations=recorder.timeline.sizes,
        events=recorder.timeline.events,
        cache=cache,
        unknown=tuple(sorted(recorder.unknown)),
    )


# The names under which transformers and others return a cache of keys and values.
_CACHES = ("past_key_values", "past_key_value", "cache", "past")


def _measure_cache(result: Any) -> tuple[tuple[int, ...], ...]:
    """The sizes whose products are the bytes of each tensor of the cache that the model returns."""
    for name in _CACHES:
        found = result.get(name) if isinstance(result, dict) else getattr(result, name, None)
        if found is None:
            continue
        tensors = {storage_key(tensor): tensor for tensor in (*list_tensors_within(found), *iterate_tensors_in(found))}
        return tuple((tensor.element_size(), *map(int, tensor.shape)) for tensor in tensors.values())
    return ()
