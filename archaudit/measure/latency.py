"""Measured time of the forward pass on this machine: real tensors, raw samples, nothing estimated.

Whole passes are timed without instrumentation. Module times come from separate passes with a clock around every call; they are
inclusive, and the clock itself costs a few microseconds a call, which is why the two are never mixed.
"""

from __future__ import annotations

import platform
import time
from collections import defaultdict
from typing import Any

import torch

from archaudit.errors import MeasureError
from archaudit.measure.building import build_real
from archaudit.measure.frames import follow_calls
from archaudit.measure.inputs import make_inputs
from archaudit.measure.tree import walk_tree
from archaudit.schema import Recipe


class TimedModel:
    """A recipe's model built for real on a device (`cpu` for now), ready to be timed in blocks."""

    def __init__(self, recipe: Recipe, device: str, threads: int | None = None) -> None:
        if device != "cpu":
            raise MeasureError(f"latency on {device!r} cannot be measured", "Known devices: cpu.")
        if threads is not None:
            torch.set_num_threads(threads)
        self.device = device
        self.device_name = f"CPU ({platform.machine()})"
        self.threads = torch.get_num_threads()
        self._model, self._context = build_real(recipe)
        self._model.eval()
        with self._context():
            self._args, self._kwargs = make_inputs(recipe)

    def time_passes(self, repeats: int, warmup: int) -> tuple[float, ...]:
        """Seconds of each of `repeats` forward passes in inference mode, after `warmup` untimed ones."""
        with self._context(), torch.inference_mode():
            for _ in range(warmup):
                self._model(*self._args, **self._kwargs)
            samples = []
            for _ in range(repeats):
                start = time.perf_counter()
                self._model(*self._args, **self._kwargs)
                samples.append(time.perf_counter() - start)
        return tuple(samples)

    def time_modules(self, repeats: int, warmup: int) -> dict[str, tuple[float, ...]]:
        """Inclusive seconds of each module by path, one for each of `repeats` passes; a module called twice has the sum of both."""
        tree = walk_tree(self._model)
        clock = _CallClock()
        samples: dict[str, list[float]] = defaultdict(list)
        with self._context(), torch.inference_mode(), follow_calls(tree, clock):
            for number in range(warmup + repeats):
                clock.spent.clear()
                self._model(*self._args, **self._kwargs)
                if number >= warmup:
                    for position, path in enumerate(tree.paths):
                        samples[path].append(clock.spent.get(position, 0.0))
        return {path: tuple(times) for path, times in samples.items() if any(times)}


class _CallClock:
    """Adds up the inclusive time of each module's calls in one pass."""

    def __init__(self) -> None:
        self.spent: dict[int, float] = {}
        self._started: list[float] = []

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Starts the clock of one call."""
        self._started.append(time.perf_counter())

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Stops it; the result is passed on as it is."""
        self.spent[position] = self.spent.get(position, 0.0) + time.perf_counter() - self._started.pop()
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Forgets a call that raised."""
        self._started.pop()
