"""Measured time of the forward pass on a device: real tensors, raw samples, no estimates.

Whole passes are timed without instrumentation (`timed_model`), on CUDA also as replays of a CUDA graph, and on request compiled
(`graph_capture`). The times of modules come from separate, instrumented passes: on the CPU from a clock around every call (`clocks`), on
CUDA from kernels that are joined to the module that launched them (`kernels`), or from CUDA events around every call where the profiler
sees no kernels (`clocks`). Instrumented and plain passes are never mixed.
"""

from archaudit.measure.latency.timed_model import ModuleTimes, TimedModel

__all__ = ["ModuleTimes", "TimedModel"]
