"""The measured limits of a device: a copy, a matrix product and a small kernel launch, in the same run as the models."""

from __future__ import annotations

from collections.abc import Callable

import torch

from archaudit.errors import MeasureError
from archaudit.measure.latency.devices import find_dtype, fixed_threads, float32_precision
from archaudit.schema import MeasuredCeilings, TimingSettings
from archaudit.timing import Clock

_REPEATS, _WARMUP = 5, 2
# Many times the size of the caches (a data-centre GPU has some 60 MiB, a server CPU some 30), and on a GPU long enough (half a millisecond)
# to make the wait for its end negligible. Less where little memory is free.
_COPY_BYTES = {"cuda": 2**30, "cpu": 64 * 2**20}
_LEAST_COPY_BYTES, _SHARE_OF_FREE = 2**20, 1 / 8
# Products that are large enough to use the whole device: some milliseconds on a GPU, some tens of milliseconds on a CPU core. A product
# that would take longer than `_PRODUCT_S` seconds is made smaller: a precision that a device only emulates can be a hundred times slower.
_MOST_SIZE = {"cuda": 8192, "cpu": 1024}
_LEAST_SIZE, _PRODUCT_S = 128, 0.1
_LAUNCHES = 100


def measure_ceilings(settings: TimingSettings, clock: Clock, synchronize: Callable[[], None]) -> MeasuredCeilings:
    """Raw times on the device of the settings, in their precision and with their threads. Raises MeasureError if the device has too little
    free memory."""
    device = settings.device
    stopwatch = _Stopwatch(clock, synchronize)
    try:
        with torch.inference_mode(), fixed_threads(settings.threads), float32_precision(settings.dtype, device):
            size, products_s = _time_product(settings, stopwatch)
            # not zeros: they need less power, so a device moves and multiplies them faster
            source = torch.arange(_choose_copy_bytes(device) // 4, device=device, dtype=torch.float32)
            target = torch.empty_like(source)
            small = torch.zeros(1, device=device)

            def launch() -> None:
                for _ in range(_LAUNCHES):
                    small.add_(1)

            return MeasuredCeilings(
                copied_bytes=2 * 4 * source.numel(),
                copies_s=stopwatch.time(lambda: target.copy_(source)),
                product_flops=2 * size**3,
                products_s=products_s,
                launches_s=tuple(spent / _LAUNCHES for spent in stopwatch.time(launch)),
            )
    except torch.OutOfMemoryError as error:
        raise MeasureError(f"the models leave too little memory on {device} to measure its limits", "Try a smaller --batch.") from error


def _choose_copy_bytes(device: str) -> int:
    if device == "cpu":
        return _COPY_BYTES[device]
    free, _ = torch.cuda.mem_get_info()
    return max(_LEAST_COPY_BYTES, min(_COPY_BYTES[device], int(free * _SHARE_OF_FREE)))


class _Stopwatch:
    """Times a function several times, and waits for the device before and after each run."""

    def __init__(self, clock: Clock, synchronize: Callable[[], None]) -> None:
        self._clock = clock
        self._synchronize = synchronize

    def time(self, run: Callable[[], object], repeats: int = _REPEATS, warmup: int = _WARMUP) -> tuple[float, ...]:
        samples = []
        for _ in range(warmup + repeats):
            self._synchronize()
            start = self._clock()
            run()
            self._synchronize()
            samples.append(self._clock() - start)
        return tuple(samples[warmup:])


def _time_product(settings: TimingSettings, stopwatch: _Stopwatch) -> tuple[int, tuple[float, ...]]:
    """The size and times of the largest square matrix product that does not take too long."""
    size = _LEAST_SIZE
    generator = torch.Generator(settings.device).manual_seed(0)  # its own, so that the random numbers of the models do not change
    while True:
        first, second = (
            torch.rand(size, size, device=settings.device, generator=generator).to(find_dtype(settings.dtype)) for _ in range(2)
        )

        def run(first: torch.Tensor = first, second: torch.Tensor = second) -> object:
            return first @ second

        # twice the size is eight times the work
        if size >= _MOST_SIZE[settings.device] or 8 * stopwatch.time(run, repeats=1, warmup=1)[0] > _PRODUCT_S:
            return size, stopwatch.time(run)
        size *= 2
