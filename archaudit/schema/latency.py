"""Measured time."""

from __future__ import annotations

from archaudit.schema.record import Record


class Latency(Record, frozen=True, kw_only=True):
    """Measured forward time on a named device, raw samples kept; everything else is derived from them.

    `samples_s` are uninstrumented end-to-end times of one forward pass; `modules_s` maps a path to the inclusive times of that
    module, one for each instrumented pass.
    """

    device: str
    method: str
    threads: int | None = None
    warmup: int = 0
    samples_s: tuple[float, ...] = ()
    modules_s: dict[str, tuple[float, ...]] = {}
