"""Joins kernels to the modules that launched them, from plain records of a trace; the join needs no device.

A kernel has two ids: of the operator that ran when it was launched, and of the runtime call that launched it. The time of either lies
within the ranges of the running modules, and the innermost of these owns the kernel. The operator is preferred, because its time comes from
the same clock as the ranges; the time of the runtime call comes from CUPTI's clock, which is only fitted to it. A kernel that is launched
outside of operators has only the call. Operators and calls have separate series of ids, so ids are compared within their kind. Source:
CUPTI's activity records as kineto returns them (`correlation_id`, `linked_correlation_id`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, record_function

from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tape.module_calls import observe_calls

MODULE_RANGE, PASS_RANGE = "archaudit::module::", "archaudit::pass::"
_RUNTIME_CALL = re.compile(r"(cuda|cu|hip)[A-Z]")


class TraceEvent(NamedTuple):
    """An event of a trace, with times in nanoseconds. `linked` is the id of the running operator (0: the event is an operator)."""

    name: str
    on_device: bool
    start_ns: int
    end_ns: int
    correlation: int = 0
    linked: int = 0


class PassKernels(NamedTuple):
    """One pass: the nanoseconds and the number of kernels, by the position of the module that launched them.

    `lost_ns` is the time of kernels whose launch is not in the trace; it belongs to no module. `overlap_ns` is the sum of all kernel times
    minus the time in which at least one kernel ran: a sum counts the kernels of parallel streams twice.
    """

    own_ns: dict[int, int]
    launches: dict[int, int]
    lost_ns: int
    overlap_ns: int = 0

    @property
    def kernels(self) -> int:
        """The number of kernels without the lost ones."""
        return sum(self.launches.values())


def join_kernels(events: Sequence[TraceEvent]) -> list[PassKernels]:
    """The kernel times of each pass of a trace by module, in the order of the passes."""
    passes = sorted((event for event in events if _is_range(event, PASS_RANGE)), key=lambda event: event.start_ns)
    modules = _Timeline((event, int(event.name.removeprefix(MODULE_RANGE))) for event in events if _is_range(event, MODULE_RANGE))
    during = _Timeline((event, number) for number, event in enumerate(passes))
    launches = {event.correlation: event.start_ns for event in events if _is_launch(event)}
    operators = {event.correlation: event.start_ns for event in events if _is_operator(event)}
    joined = [PassKernels({}, {}, 0) for _ in passes]
    ran: list[list[tuple[int, int]]] = [[] for _ in passes]
    for kernel in (event for event in events if event.on_device and not event.name.startswith("archaudit::")):
        launched_ns = operators.get(kernel.linked) if kernel.linked else None
        if launched_ns is None:
            launched_ns = launches.get(kernel.correlation)
        number = during.find(launched_ns if launched_ns is not None else kernel.start_ns)
        if number is None:
            continue  # before the first pass: the warm-up, or a kernel of the profiler
        ran[number].append((kernel.start_ns, kernel.end_ns))
        position = modules.find(launched_ns) if launched_ns is not None else None
        spent = kernel.end_ns - kernel.start_ns
        if position is None:
            joined[number] = joined[number]._replace(lost_ns=joined[number].lost_ns + spent)
            continue
        own_ns, counts = joined[number].own_ns, joined[number].launches
        own_ns[position] = own_ns.get(position, 0) + spent
        counts[position] = counts.get(position, 0) + 1
    return [each._replace(overlap_ns=_find_overlap(times)) for each, times in zip(joined, ran, strict=True)]


def keep_complete(passes: Sequence[PassKernels]) -> list[PassKernels]:
    """The passes with the most kernels: every pass launches the same ones, but a profiler may lose the first kernels of a session.

    All passes are kept if fewer than half of them have that number: then the model launches another number each time.
    """
    most = max((each.kernels for each in passes), default=0)
    complete = [each for each in passes if each.kernels == most]
    return complete if 2 * len(complete) >= len(passes) else list(passes)


def _find_overlap(times: list[tuple[int, int]]) -> int:
    """The sum of the lengths of some intervals minus the length of their union."""
    overlap, reached = 0, 0
    for start, end in sorted(times):
        overlap += max(0, min(end, reached) - start)
        reached = max(reached, end)
    return overlap


def _is_range(event: TraceEvent, prefix: str) -> bool:
    """Whether it is a range on the CPU; kineto repeats the same ranges on the device."""
    return not event.on_device and event.name.startswith(prefix)


def _is_launch(event: TraceEvent) -> bool:
    """Whether it is a call of the runtime or the driver: linked to an operator, or with the name of such a function."""
    return not event.on_device and bool(event.correlation) and (event.linked > 0 or _is_call(event))


def _is_operator(event: TraceEvent) -> bool:
    return not event.on_device and event.linked == 0 and not _is_call(event)


def _is_call(event: TraceEvent) -> bool:
    """`cudaLaunchKernelExC`, `cuLaunchKernelEx`, `cuMemsetD8Async`, `hipLaunchKernel`."""
    return _RUNTIME_CALL.match(event.name) is not None


class _Timeline:
    """Finds the innermost of nested ranges at a given time."""

    def __init__(self, ranges: Iterable[tuple[TraceEvent, int]]) -> None:
        ordered = sorted(ranges, key=lambda pair: (pair[0].start_ns, -pair[0].end_ns))
        self._times: list[int] = []
        self._inner: list[int | None] = []
        open_ranges: list[tuple[int, int]] = []
        for event, number in ordered:
            self._close(open_ranges, event.start_ns)
            open_ranges.append((event.end_ns, number))
            self._mark(event.start_ns, number)
        self._close(open_ranges, None)

    def find(self, time_ns: int) -> int | None:
        """The number of the innermost range at a time; None outside of all ranges."""
        place = bisect_right(self._times, time_ns) - 1
        return self._inner[place] if place >= 0 else None

    def _close(self, open_ranges: list[tuple[int, int]], until: int | None) -> None:
        """Closes the ranges that ended before a time: the enclosing range is the innermost one again."""
        while open_ranges and (until is None or open_ranges[-1][0] <= until):
            end, _ = open_ranges.pop()
            self._mark(end, open_ranges[-1][1] if open_ranges else None)

    def _mark(self, time_ns: int, number: int | None) -> None:
        self._times.append(time_ns)
        self._inner.append(number)


# --- passes under torch.profiler, with a range around every call of a module ---


# Kineto's names of CUPTI's synchronisation records, which last as long as the wait.
_SYNC_EVENTS = frozenset({"Event Sync", "Stream Wait Event", "Stream Sync", "Context Sync", "Unknown Sync"})


class ModuleRanges:
    """Opens a profiler range around each call."""

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
        """Closes it and returns the result unchanged."""
        self._open.pop().__exit__(None, None, None)
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Closes the range of a call that raised."""
        self._open.pop().__exit__(None, None, None)


def profile_kernels(tree: ModuleTree, run: Callable[[], Any], probe: Callable[[], Any], repeats: int) -> list[PassKernels]:
    """Kernel times of `repeats` passes by module; empty if the profiler saw no kernel at all, because CUPTI is not permitted.

    `run` runs one pass and waits for the device. `probe` launches a kernel and waits: the profiler sees it even if the model launches none,
    so that its modules took no time. An extra pass under the profiler comes first, because CUPTI starts up in it and loses kernels. Later
    passes may lose kernels too; those passes are dropped.
    """
    run()
    ranges = ModuleRanges()
    with observe_calls(tree, ranges), torch.profiler.profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
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
    for each in passes:  # a module that ran and launched no kernel took 0 s on the device
        each.own_ns.update({position: 0 for position in ranges.called if position not in each.own_ns})
    return passes


def read_events(events: Iterable[Any]) -> list[TraceEvent]:
    """Kineto's events as plain records; on the device only kernels, copies and fills.

    Kineto repeats the ranges of `record_function` on the device, around the kernels that were launched in them, and adds waits for streams.
    Neither is work.
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
        if event.device_type().name != "CUDA" or not (event.is_user_annotation() or event.name() in _SYNC_EVENTS)
    ]
