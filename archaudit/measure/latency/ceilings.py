"""The best that a device does, measured in the run that it is compared with: a copy, a matrix product, and a small launch."""

from __future__ import annotations

from collections.abc import Callable

import torch

from archaudit.measure.latency.precision import find_dtype, float32_precision
from archaudit.schema import MeasuredCeilings, TimingSettings
from archaudit.timing import Clock

_REPEATS, _WARMUP = 5, 2
# Larger than the caches (a data-centre GPU has some 50 MiB, a server CPU some 30), small enough for any device.
_COPY_BYTES = {"cuda": 256 * 2**20, "cpu": 64 * 2**20}
# Products large enough to fill the device: some milliseconds on a GPU, some tens on a CPU core.
_PRODUCT_SIZE = {"cuda": 4096, "cpu": 1024}
_LAUNCHES = 100


def measure_ceilings(settings: TimingSettings, clock: Clock, synchronize: Callable[[], None]) -> MeasuredCeilings:
    """Raw times on the settings' device, in the settings' arithmetic."""
    device = settings.device
    size = _PRODUCT_SIZE[device]
    with torch.inference_mode(), torch.random.fork_rng(devices=[]), float32_precision(settings.dtype, device):
        source = torch.zeros(_COPY_BYTES[device] // 4, device=device)
        target = torch.empty_like(source)
        first, second = (torch.rand(size, size, device=device).to(find_dtype(settings.dtype)) for _ in range(2))
        small = torch.zeros(1, device=device)

        def launch() -> None:
            for _ in range(_LAUNCHES):
                small.add_(1)

        return MeasuredCeilings(
            copied_bytes=2 * _COPY_BYTES[device],
            copies_s=_time(lambda: target.copy_(source), clock, synchronize),
            product_flops=2 * size**3,
            products_s=_time(lambda: first @ second, clock, synchronize),
            launches_s=tuple(spent / _LAUNCHES for spent in _time(launch, clock, synchronize)),
        )


def _time(run: Callable[[], object], clock: Clock, synchronize: Callable[[], None]) -> tuple[float, ...]:
    samples = []
    for number in range(_WARMUP + _REPEATS):
        synchronize()
        start = clock()
        run()
        synchronize()
        if number >= _WARMUP:
            samples.append(clock() - start)
    return tuple(samples)
