"""Where the time goes: the work of each layer, what bounds it, and the effect of changed FLOPs on time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from archaudit.metrics.quantities import format_percent, format_short, format_speed
from archaudit.render.formatting import NOTHING, name_path
from archaudit.render.view.figures import make_duration
from archaudit.render.view.method_records import HotspotRow
from archaudit.schema import Cost, Latency, ModuleRecord, Profile, Report
from archaudit.timing import Ceilings, Work, find_bottleneck

_MOST_HOTSPOTS, _MOST_SENTENCES = 10, 6
# Sentences are about parts with at least this share of the time on one side; smaller ones do not matter for the total.
_LEAST_SHARE = 0.03
_HALVES = ("float16", "bfloat16")
_CEILING_NAMES = {
    "compute-bound": "of the matrix product's FLOP/s",
    "memory-bound": "of copy bandwidth",
    "launch-bound": "of the time in launches",
}


class Timed(NamedTuple):
    """One side: what to call it, its profile and its times, the module records by path, what its device can do, and whether the records'
    bytes are those of `narrow_modules`."""

    side: str
    profile: Profile
    latency: Latency
    modules: dict[str, ModuleRecord]
    ceilings: Ceilings | None
    narrowed: bool = False


def narrow_modules(profile: Profile, latency: Latency) -> dict[str, ModuleRecord] | None:
    """The modules by path with half of the bytes that they move: under an autocast most tensors of a model in float32 are half as wide.

    None where the profile's own bytes hold.
    """
    tensors = [tensor.dtype for module in profile.modules for tensor in module.tensors]
    if latency.settings is None or latency.settings.dtype not in _HALVES or "float32" not in tensors:
        return None
    return {
        module.path: msgspec.structs.replace(module, own=_halve_bytes(module.own), total=_halve_bytes(module.total))
        for module in profile.modules
    }


def _halve_bytes(cost: Cost) -> Cost:
    return msgspec.structs.replace(cost, moved_bytes=cost.moved_bytes // 2)


class Part(NamedTuple):
    """A part of both models for a sentence: its name, and its modules before and after."""

    name: str
    before_paths: tuple[str, ...]
    after_paths: tuple[str, ...]


def sum_layers(latency: Latency) -> float | None:
    """The median over instrumented passes of the sum of all modules' own times."""
    passes = list(zip(*latency.own_s.values(), strict=True))
    return median(map(sum, passes)) if passes else None


def measure_work(timed: Timed, path: str, *, total: bool) -> Work | None:
    """What a module does in a pass (`total`: with everything below it); None where it was not timed."""
    samples = (timed.latency.modules_s if total else timed.latency.own_s).get(path)
    module = timed.modules.get(path)
    if not samples or module is None:
        return None
    cost = module.total if total else module.own
    prefix = f"{path}." if path else ""
    launches = [each for name, each in timed.latency.launches.items() if name == path or (total and name.startswith(prefix))]
    return Work(cost.flops, cost.moved_bytes, sum(launches), median(samples))


def describe_bound(work: Work, ceilings: Ceilings | None) -> str:
    """`memory-bound, 71 % of copy bandwidth`; empty without ceilings."""
    label = find_bottleneck(work, ceilings) if ceilings is not None else None
    if label is None:
        return ""
    if label.bound == "neither":
        return f"far below both ceilings (at most {format_percent(label.share)})"
    share = f"{100 * label.share:.0f} % {_CEILING_NAMES[label.bound]}"
    return f"{label.bound}, {share}" if label.share <= 1 else f"{label.bound}, above the measured ceiling ({share})"


def _describe_bound_briefly(work: Work, ceilings: Ceilings | None) -> str:
    """The same for a cell: `memory-bound, 71.0 %`, `neither, at most 0.5 %`."""
    label = find_bottleneck(work, ceilings) if ceilings is not None else None
    if label is None:
        return NOTHING
    return f"{label.bound}, {'at most ' if label.bound == 'neither' else ''}{format_percent(label.share)}"


def list_hotspots(timed: Timed) -> Iterator[HotspotRow]:
    """The modules that take most time by themselves."""
    works = [(path, work) for path in timed.latency.own_s if (work := measure_work(timed, path, total=False)) is not None]
    everything = sum(work.seconds for _, work in works)
    for path, work in sorted(works, key=lambda pair: -pair[1].seconds)[:_MOST_HOTSPOTS]:
        intensity = work.intensity
        yield HotspotRow(
            side=timed.side,
            path=name_path(path),
            own=make_duration(work.seconds).short,
            share=format_percent(work.seconds / everything) if everything else NOTHING,
            intensity=f"{intensity:.3g}" if intensity is not None else NOTHING,
            flops_per_s=f"{format_short(work.flops_per_s)}FLOP/s" if work.flops else NOTHING,
            bytes_per_s=f"{format_short(work.bytes_per_s)}B/s" if work.moved_bytes else NOTHING,
            bound=_describe_bound_briefly(work, timed.ceilings),
        )


def list_parts(report: Report) -> list[Part]:
    """What sentences are about: the sections of the breakdown, or, without any, the modules at the top of the tree."""
    sections = [Part(group.name, group.before_paths, group.after_paths) for group in report.groups if "" not in group.before_paths]
    if sections:
        return [part for part in sections if part.before_paths and part.after_paths]
    pairs = [(row.before_path, row.after_path) for row in report.modules]
    return [Part(after, (before,), (after,)) for before, after in pairs if before is not None and after and "." not in after]


def describe_speedups(before: Timed, after: Timed, parts: Sequence[Part]) -> tuple[str, ...]:
    """`Decoder stage 2: 96.3 % fewer FLOPs, 8.1x faster: memory-bound, 71 % of copy bandwidth`, the largest parts first."""
    weighted: list[tuple[float, str]] = []
    whole = [sum_layers(each.latency) or 1.0 for each in (before, after)]
    for part in parts:
        was, now = _measure_paths(before, part.before_paths), _measure_paths(after, part.after_paths)
        if was is None or now is None or not was.seconds or not now.seconds or was.flops == now.flops:
            continue
        weight = max(was.seconds / whole[0], now.seconds / whole[1])
        if weight >= _LEAST_SHARE:
            weighted.append((weight, _describe_speedup(part.name, was, now, describe_bound(now, after.ceilings))))
    return tuple(text for _, text in sorted(weighted, key=lambda pair: -pair[0])[:_MOST_SENTENCES])


def _measure_paths(timed: Timed, paths: Sequence[str]) -> Work | None:
    """Several modules together, each with everything below it; None where one was not timed."""
    works = [measure_work(timed, path, total=True) for path in paths]
    known = [work for work in works if work is not None]
    if len(known) < len(works):
        return None
    return Work(
        sum(work.flops for work in known),
        sum(work.moved_bytes for work in known),
        sum(work.launches for work in known),
        sum(work.seconds for work in known),
    )


def _describe_speedup(name: str, before: Work, after: Work, bound: str) -> str:
    speed = format_speed(before.seconds, after.seconds)
    return f"{name_path(name)}: {_describe_flops(before.flops, after.flops)}, {speed}{f': {bound}' if bound else ''}"


def _describe_flops(before: int, after: int) -> str:
    if not before:
        return "FLOPs only after"
    share = after / before - 1
    return f"{format_percent(abs(share))} {'fewer' if share < 0 else 'more'} FLOPs"
