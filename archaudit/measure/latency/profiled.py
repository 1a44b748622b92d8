"""Instrumented passes under torch.profiler: a range around every call of a module, and all kernels with their correlation ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, record_function

from archaudit.measure.latency.kernels import MODULE_RANGE, PASS_RANGE, PassKernels, TraceEvent, join_kernels, keep_complete
from archaudit.measure.structure.tree import ModuleTree
from archaudit.measure.tape.frames import follow_calls

# What kineto calls CUPTI's records of synchronisation, which last as long as somebody waits.
_WAITS = frozenset({"Event Sync", "Stream Wait Event", "Stream Sync", "Context Sync", "Unknown Sync"})


class ModuleRanges:
    """Opens a range of the profiler around each call."""

    def __init__(self) -> None:
        self.called: set[int] = set()
        self._open: list[record_function] = []

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Opens the range of one call."""
        self.called.add(position)
        opened = record_function(f"{MODULE_RANGE}{position}")
        opened.__enter__()
        self._open.append(opened)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Closes it; the result is passed on as it is."""
        self._open.pop().__exit__(None, None, None)
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Closes the range of a call that raised."""
        self._open.pop().__exit__(None, None, None)


def profile_kernels(tree: ModuleTree, run: Callable[[], Any], probe: Callable[[], Any], repeats: int) -> list[PassKernels]:
    """Kernel times of `repeats` passes by module; empty where the profiler saw no kernel at all, since CUPTI is not allowed here.

    `run` makes one pass and waits for the device, `probe` launches a kernel and waits: it is seen also where the model launches none, whose
    modules then took no time. The first pass under the profiler is made twice and counted once: CUPTI starts up in it,
    and loses kernels. So can later ones; passes that lack kernels are left out.
    """
    run()
    ranges = ModuleRanges()
    with follow_calls(tree, ranges), torch.profiler.profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        run()
        probe()
        for number in range(repeats):
            with record_function(f"{PASS_RANGE}{number}"):
                run()
        probe()
    events = read_events(profiler.profiler.kineto_results.events() if profiler.profiler is not None else ())
    if not any(event.on_device for event in events):
        return []
    passes = keep_complete(join_kernels(events))
    for each in passes:  # a module that ran without launching anything took no time of the device, which is an answer
        each.own_ns.update({position: 0 for position in ranges.called if position not in each.own_ns})
    return passes


def read_events(events: Iterable[Any]) -> list[TraceEvent]:
    """Kineto's events as plain records; of those on the device only kernels, copies and fills.

    Ranges of `record_function`, ours and the model's, are drawn on the device once more, around the kernels that were launched in them;
    waiting for a stream is drawn there, too. Neither is work.
    """
    return [
        TraceEvent(
            name=event.name(),
            on_device=event.device_type().name == "CUDA",
            start_ns=event.start_ns(),
            end_ns=event.start_ns() + event.duration_ns(),
            correlation=event.correlation_id(),
            linked=event.linked_correlation_id(),
        )
        for event in events
        if event.device_type().name != "CUDA" or not (event.is_user_annotation() or event.name() in _WAITS)
    ]
