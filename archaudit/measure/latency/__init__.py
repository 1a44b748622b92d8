"""Measured time of the forward pass on a device: real tensors, raw samples, nothing estimated.

Whole passes are timed without instrumentation (`timed_model`), and, on CUDA, as replays of a CUDA graph and compiled (`forms`). Module
times come from separate, instrumented passes: by a clock around every call on the CPU (`call_clock`), by kernels joined to the module that
launched them on CUDA (`profiled`, `kernels`), or by CUDA events around modules where the profiler sees no kernels (`stream_events`). What
instruments and what does not are never mixed.
"""

from archaudit.measure.latency.timed_model import ModuleTimes, TimedModel

__all__ = ["ModuleTimes", "TimedModel"]
