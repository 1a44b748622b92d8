"""The roofline model: what bounds a layer's time, relative to ceilings measured on the same device in the same run, not from a data sheet.

Source: Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009. Bytes are those that the layer's operators read and write without any
cache, so a layer whose data stay in a cache can exceed the bandwidth of the copy; its share is then above 1.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

# Below this share of both ceilings the time goes to neither: dependent steps, too little parallel work, or a slow kernel.
MIN_SHARE = 0.1
# Kernels that take less time than this many launches cannot keep a device busy.
_LAUNCHES = 2.0

Bound = Literal["compute-bound", "memory-bound", "launch-bound", "neither"]


class Ceilings(NamedTuple):
    """The best figures of the device in this run: FLOP/s of a matrix product, bytes/s of a copy, and the seconds of one small launch."""

    flops_per_s: float
    bytes_per_s: float
    launch_s: float


class Work(NamedTuple):
    """What a layer does in one pass: FLOPs, bytes moved, launches (on the CPU: calls), and its time in seconds."""

    flops: int
    moved_bytes: int
    launches: int
    seconds: float

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte."""
        return self.flops / self.moved_bytes if self.moved_bytes else None

    @property
    def flops_per_s(self) -> float:
        """Achieved FLOP/s."""
        return self.flops / self.seconds if self.seconds > 0 else 0.0

    @property
    def bytes_per_s(self) -> float:
        """Achieved bytes/s."""
        return self.moved_bytes / self.seconds if self.seconds > 0 else 0.0


class Bottleneck(NamedTuple):
    """What bounds a layer, and the share of that ceiling that it reaches; for launches, their share of its time."""

    bound: Bound
    share: float


def find_bottleneck(work: Work, ceilings: Ceilings) -> Bottleneck | None:
    """What bounds a layer; None where it took no time, or has neither FLOPs nor bytes."""
    if work.seconds <= 0 or (not work.flops and not work.moved_bytes):
        return None
    launch_s = work.launches * ceilings.launch_s
    if work.launches and work.seconds < _LAUNCHES * launch_s:
        return Bottleneck("launch-bound", min(1.0, launch_s / work.seconds))
    compute, memory = work.flops_per_s / ceilings.flops_per_s, work.bytes_per_s / ceilings.bytes_per_s
    if max(compute, memory) < MIN_SHARE:
        return Bottleneck("neither", max(compute, memory))
    return Bottleneck("compute-bound", compute) if compute >= memory else Bottleneck("memory-bound", memory)
