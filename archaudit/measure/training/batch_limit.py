"""The largest batch whose training step fits in the memory of a device.

The peak over batch sizes is a maximum of rounded linear functions. A line through the peaks of two batch sizes proposes a batch; steps with
that batch and one more are measured, and where they do not prove it, the search goes on between the batches that were measured.
"""

from __future__ import annotations

import msgspec

from archaudit.errors import ArchauditError, describe_error
from archaudit.measure.building import copy_inputs_to_meta, make_inputs, set_batch
from archaudit.measure.model_run import Run
from archaudit.measure.tensors import list_tensors_in
from archaudit.measure.training.memory import replay
from archaudit.measure.training.step import run_step
from archaudit.schema import BatchLimit, Recipe, TrainingSettings

# Each measurement takes as long as a training step without values. A line proposes the right batch at once for most models.
_MOST_MEASUREMENTS = 40
# Batches beyond this are not of interest, and a peak that does not grow has no limit.
_LARGEST_BATCH = 1 << 24


class _Peaks:
    """Measured peaks by batch size."""

    def __init__(self, recipe: Recipe, run: Run, settings: TrainingSettings, device: str) -> None:
        self._recipe, self._run, self._settings, self._device = recipe, run, settings, device
        self.found: dict[int, int] = {}

    def measure(self, batch: int) -> int:
        """The peak of a step with that batch. Raises what the model raises."""
        if batch not in self.found:
            if len(self.found) >= _MOST_MEASUREMENTS:
                raise _TooManyError
            run = self._run
            recipe = set_batch(self._recipe, batch)
            with run.context():
                given = make_inputs(recipe, run.model)
            args, kwargs = copy_inputs_to_meta(given)
            run.shape_cache.known_values.record_inputs(given, (args, kwargs))
            resized = Run(run.model, run.tree, args, kwargs, run.tape, run.build_mode, run.context, run.shape_cache)
            step = run_step(resized, self._settings, self._device)
            self.found[batch] = replay(step.memory, step.tree.paths).peak.total
        return self.found[batch]


class _TooManyError(Exception):
    """The search does not end."""


def find_batch_limit(recipe: Recipe, run: Run, settings: TrainingSettings, device: str) -> BatchLimit:
    """The largest batch that fits in `settings.memory_bytes`, proved by a step that fits and a step with one sample more that does not."""
    memory = settings.memory_bytes
    assert memory is not None
    given = BatchLimit(memory_bytes=memory, measured_batch=_read_batch(run))
    if run.build_mode in ("fake", "real"):
        return msgspec.structs.replace(given, reason="the model does not run without values, so other batch sizes were not tried")
    if not given.measured_batch:
        return msgspec.structs.replace(given, reason="no input has a batch dimension")
    peaks = _Peaks(recipe, run, msgspec.structs.replace(settings, memory_bytes=None), device)
    try:
        return _search(peaks, given)
    except _TooManyError:
        return msgspec.structs.replace(given, reason=f"the search did not end after {_MOST_MEASUREMENTS} measurements")
    except ArchauditError as error:
        return msgspec.structs.replace(given, reason=f"the model does not run with another batch size: {error.message}")
    except Exception as error:  # noqa: BLE001 - the user's model may raise anything
        return msgspec.structs.replace(given, reason=f"the model does not run with another batch size: {describe_error(error)}")


def _search(peaks: _Peaks, given: BatchLimit) -> BatchLimit:
    memory, fits, fails = given.memory_bytes, 0, 0
    first = _measure_first(peaks, given.measured_batch)
    if peaks.measure(first) > memory:
        if first > 1 and peaks.measure(1) <= memory:
            fits, fails = 1, first
        else:
            return msgspec.structs.replace(given, batch=0, next_peak_bytes=peaks.measure(min(first, *peaks.found)))
    else:
        fits = first
    candidate = 2 * fits
    while not fails or fails - fits > 1:
        if candidate > _LARGEST_BATCH:
            return msgspec.structs.replace(given, reason=f"a batch of {fits:,} fits, and the peak does not grow with the batch")
        if peaks.measure(candidate) <= memory:
            fits = max(fits, candidate)
        else:
            fails = min(fails or candidate, candidate)
        candidate = _propose(peaks, memory, fits, fails)
    return msgspec.structs.replace(given, batch=fits, peak_bytes=peaks.measure(fits), next_peak_bytes=peaks.measure(fits + 1))


def _measure_first(peaks: _Peaks, batch: int) -> int:
    """The first batch that is measured: the smallest one with which the model trains (a batch norm needs two values)."""
    for candidate in dict.fromkeys((2, batch)):
        try:
            peaks.measure(candidate)
        except _TooManyError:
            raise
        except Exception:
            if candidate == batch:
                raise
            continue
        return candidate
    return batch


def _propose(peaks: _Peaks, memory: int, fits: int, fails: int) -> int:
    """The batch to measure next: where the line through the two largest batches that were measured reaches the memory, or its neighbour."""
    measured = sorted(peaks.found)
    low, high = (fits, fails) if fails else (measured[-2], measured[-1]) if len(measured) > 1 else (fits, 2 * fits)
    if low not in peaks.found or high not in peaks.found or peaks.found[high] <= peaks.found[low]:
        return (fits + fails) // 2 if fails else 4 * fits
    if fails and len(measured) % 3 == 0:  # a line alone may approach the limit slowly from one side
        return (fits + fails) // 2
    slope = (peaks.found[high] - peaks.found[low]) / (high - low)
    reached = low + int((memory - peaks.found[low]) / slope)
    if fails:
        return min(max(reached if reached > fits else fits + 1, fits + 1), fails - 1)
    return max(fits + 1, reached if reached > fits else fits + 1)


def _read_batch(run: Run) -> int:
    tensors = [tensor for tensor in list_tensors_in(run.args, run.kwargs) if tensor.dim()]
    return int(tensors[0].shape[0]) if tensors else 0
