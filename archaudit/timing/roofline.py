"""What a layer's time is spent on: against ceilings that were measured on the same device in the same run, never a data sheet's.

Source of the model: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009. Bytes are those that the layer's operators read and write
when nothing stays in a cache, so a layer whose data do stay there can exceed the copy's bandwidth: it is told as it is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

# Below this share of both ceilings the time is spent on neither: latency of dependent steps, too little parallel work, a poor kernel.
LEAST_SHARE = 0.1
# Kernels that last less than this many launches cannot keep a device busy, whatever they do.
_LAUNCHES = 2.0

Bound = Literal["compute-bound", "memory-bound", "launch-bound", "neither"]


class Ceilings(NamedTuple):
    """What the device did best in this run: FLOP/s of a matrix product, bytes/s of a copy, and the seconds of one small launch."""

    flops_per_s: float
    bytes_per_s: float
    launch_s: float


class Work(NamedTuple):
    """What a layer does in one pass, and how long it takes: FLOPs, bytes moved, launches (on the CPU: calls), seconds."""

    flops: int
    moved_bytes: int
    launches: int
    seconds: float

    @property
    def intensity(self) -> float | None:
        """FLOPs a byte."""
        return self.flops / self.moved_bytes if self.moved_bytes else None

    @property
    def flops_per_s(self) -> float:
        """Achieved FLOP/s."""
        return self.flops / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_s(self) -> float:
        """Achieved bytes/s."""
        return self.moved_bytes / self.seconds if self.seconds > 0 else 0.0


class Label(NamedTuple):
    """What bounds a layer, and the share of that ceiling that it reaches (for launches: of its time that launching takes)."""

    bound: Bound
    share: float


def label_work(work: Work, ceilings: Ceilings) -> Label | None:
    """What bounds a layer; None where it took no time or does nothing that can be said."""
    if work.seconds <= 0 or (not work.flops and not work.moved_bytes):
        return None
    launching = work.launches * ceilings.launch_s
    if work.launches and work.seconds < _LAUNCHES * launching:
        return Label("launch-bound", min(1.0, launching / work.seconds))
    compute, memory = work.flops_per_s / ceilings.flops_per_s, work.bytes_per_s / ceilings.bytes_per_s
    if max(compute, memory) < LEAST_SHARE:
        return Label("neither", max(compute, memory))
    return Label("compute-bound", compute) if compute >= memory else Label("memory-bound", memory)
