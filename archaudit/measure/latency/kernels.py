"""Kernels to the modules that launched them: a join over plain records of a trace, which needs no device.

A kernel carries two ids: of the operator in which it was launched, and of the call of the runtime that launched it. The moment of either
lies in the ranges of the modules that were running, and the innermost of these owns the kernel. Operators come first, since their times
are by the same clock as the ranges', and those of the runtime's calls by CUPTI's, which is fitted to it; what is launched outside of
operators has its call only. Each kind has ids of a series of its own, so ids are compared within their kind only. Source: CUPTI's
activity records, as kineto hands them on (`correlation_id`, `linked_correlation_id`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, record_function

from archaudit.measure.structure.tree import ModuleTree
from archaudit.measure.tape.frames import follow_calls

MODULE_RANGE, PASS_RANGE = "archaudit::module::", "archaudit::pass::"
_CALL = re.compile(r"(cuda|cu|hip)[A-Z]")


class TraceEvent(NamedTuple):
    """An event of a trace, its times in nanoseconds. `linked` is the id of the operator that was running (0: it is one itself)."""

    name: str
    on_device: bool
    start_ns: int
    end_ns: int
    correlation: int = 0
    linked: int = 0


class PassKernels(NamedTuple):
    """One pass: the nanoseconds of kernels and their number by the position of the module that launched them.

    `lost_ns` is the time of kernels whose launch is not in the trace: never hidden, never given to a module. `overlap_ns` is what the
    sum of all kernels has more than the time in which any of them ran: streams side by side are counted twice in a sum.
    """

    own_ns: dict[int, int]
    launches: dict[int, int]
    lost_ns: int
    overlap_ns: int = 0

    @property
    def kernels(self) -> int:
        """How many there were, lost ones left out."""
        return sum(self.launches.values())


def join_kernels(events: Sequence[TraceEvent]) -> list[PassKernels]:
    """What each pass of a trace spent in kernels, by module, in the order of the passes."""
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
            continue  # before the first pass: what warmed up, or the profiler's own
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
    """The passes with as many kernels as the fullest: a profiler may lose the first kernels of a session, and every pass runs the same.

    Where a model does launch another number each time, these are few; then all are kept.
    """
    most = max((each.kernels for each in passes), default=0)
    complete = [each for each in passes if each.kernels == most]
    return complete if 2 * len(complete) >= len(passes) else list(passes)


def _find_overlap(times: list[tuple[int, int]]) -> int:
    """How much longer some intervals are together than their union."""
    overlap, reached = 0, 0
    for start, end in sorted(times):
        overlap += max(0, min(end, reached) - start)
        reached = max(reached, end)
    return overlap


def _is_range(event: TraceEvent, prefix: str) -> bool:
    """A range on the CPU; kineto draws the same ranges on the device once more."""
    return not event.on_device and event.name.startswith(prefix)


def _is_launch(event: TraceEvent) -> bool:
    """A call of the runtime or the driver: linked to an operator, or called as their functions are."""
    return not event.on_device and bool(event.correlation) and (event.linked > 0 or _is_call(event))


def _is_operator(event: TraceEvent) -> bool:
    return not event.on_device and event.linked == 0 and not _is_call(event)


def _is_call(event: TraceEvent) -> bool:
    """`cudaLaunchKernelExC`, `cuLaunchKernelEx`, `cuMemsetD8Async`, `hipLaunchKernel`."""
    return _CALL.match(event.name) is not None


class _Timeline:
    """Which of some nested ranges is innermost at a moment."""

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

    def find(self, moment: int) -> int | None:
        """The number of the innermost range around a moment; None outside of all."""
        place = bisect_right(self._times, moment) - 1
        return self._inner[place] if place >= 0 else None

    def _close(self, open_ranges: list[tuple[int, int]], until: int | None) -> None:
        """Ends what ended up to a moment: what was around it is innermost again."""
        while open_ranges and (until is None or open_ranges[-1][0] <= until):
            end, _ = open_ranges.pop()
            self._mark(end, open_ranges[-1][1] if open_ranges else None)

    def _mark(self, moment: int, number: int | None) -> None:
        self._times.append(moment)
        self._inner.append(number)


# --- instrumented passes under torch.profiler: a range around every call of a module, and all kernels with their correlation ids ---


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
