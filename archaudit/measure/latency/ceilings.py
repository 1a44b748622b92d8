"""The best that a device does, measured in the run that it is compared with: a copy, a matrix product, and a small launch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from archaudit.measure.latency.devices import fixed_threads
from archaudit.measure.latency.precision import find_dtype, float32_precision
from archaudit.schema import MeasuredCeilings, TimingSettings
from archaudit.timing import Clock

_REPEATS, _WARMUP = 5, 2
# Larger than the caches (a data-centre GPU has some 50 MiB, a server CPU some 30), small enough for any device.
_COPY_BYTES = {"cuda": 256 * 2**20, "cpu": 64 * 2**20}
# Products large enough to fill the device: some milliseconds on a GPU, some tens on a CPU core. Where one would take longer than
# `_PRODUCT_S` seconds it is smaller: an arithmetic that a device only emulates can be a hundred times slower.
_MOST_SIZE = {"cuda": 4096, "cpu": 1024}
_LEAST_SIZE, _PRODUCT_S = 128, 0.1
_LAUNCHES = 100


def measure_ceilings(settings: TimingSettings, clock: Clock, synchronize: Callable[[], None]) -> MeasuredCeilings:
    """Raw times on the settings' device, in the settings' arithmetic and with their threads."""
    device = settings.device
    stopwatch = _Stopwatch(clock, synchronize)
    with (
        torch.inference_mode(),
        torch.random.fork_rng(devices=[]),
        fixed_threads(settings.threads),
        float32_precision(settings.dtype, device),
    ):
        source = torch.zeros(_COPY_BYTES[device] // 4, device=device)
        target = torch.empty_like(source)
        small = torch.zeros(1, device=device)

        def launch() -> None:
            for _ in range(_LAUNCHES):
                small.add_(1)

        size, product = _make_product(settings, stopwatch)
        return MeasuredCeilings(
            copied_bytes=2 * _COPY_BYTES[device],
            copies_s=stopwatch.time(lambda: target.copy_(source)),
            product_flops=2 * size**3,
            products_s=stopwatch.time(product),
            launches_s=tuple(spent / _LAUNCHES for spent in stopwatch.time(launch)),
        )


class _Stopwatch:
    """Times something several times, waiting for the device before and after."""

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


def _make_product(settings: TimingSettings, stopwatch: _Stopwatch) -> tuple[int, Callable[[], object]]:
    """A square matrix product and its size: the largest for the device that does not take too long."""
    size = _LEAST_SIZE
    while True:
        first, second = (torch.rand(size, size, device=settings.device).to(find_dtype(settings.dtype)) for _ in range(2))

        def run(first: torch.Tensor = first, second: torch.Tensor = second) -> object:
            return first @ second

        # twice the size is eight times the work
        if size >= _MOST_SIZE[settings.device] or 8 * stopwatch.time(run, repeats=1, warmup=1)[0] > _PRODUCT_S:
            return size, run
        size *= 2
