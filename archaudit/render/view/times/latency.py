"""Measured times as rows: derived from the raw samples, compared only when both sides were timed alike."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles

from archaudit.render.formatting import NOTHING, count, format_milliseconds, make_visible
from archaudit.render.view.records import LatencyRow
from archaudit.schema import Latency, Profile

NOT_MEASURED = "not measured"


def find_median(latency: Latency | None) -> float | None:
    """The median of the end-to-end times in seconds; None where nothing was timed."""
    return median(latency.samples_s) if latency and latency.samples_s else None


def find_module_median(latency: Latency | None, path: str | None) -> float | None:
    """The median of one module's inclusive times in seconds."""
    samples = latency.modules_s.get(path, ()) if latency and path is not None else ()
    return median(samples) if samples else None


def are_comparable(before: Profile, after: Profile) -> bool:
    """Whether both sides were timed on the same device, in the same way."""
    one, other = before.latency, after.latency
    return one is not None and other is not None and (one.device, one.method, one.threads) == (other.device, other.method, other.threads)


def view_latency(sides: Sequence[tuple[str, Profile]]) -> tuple[tuple[LatencyRow, ...], str]:
    """A row for each side, and what is to be known of the comparison; no rows where no side was timed."""
    if not any(profile.latency for _, profile in sides):
        return (), NOT_MEASURED
    rows = tuple(_view_side(side, profile.latency) for side, profile in sides)
    profiles = [profile for _, profile in sides]
    if len(profiles) == 2 and all(profile.latency for profile in profiles) and not are_comparable(profiles[0], profiles[1]):
        return rows, "The two sides were timed on different devices or in different ways: their times are not compared."
    return rows, "Measured time of whole forward passes, in milliseconds; a module's time includes everything below it."


def _view_side(side: str, latency: Latency | None) -> LatencyRow:
    if latency is None or not latency.samples_s:
        return LatencyRow(
            side=side, median=NOT_MEASURED, quartiles=NOTHING, samples=NOTHING, device=NOTHING, method=NOTHING, line=NOT_MEASURED
        )
    samples = latency.samples_s
    low, _, high = quantiles(samples, n=4, method="inclusive") if len(samples) > 1 else (samples[0],) * 3
    threads = f", {count(latency.threads, 'thread')}" if latency.threads is not None else ""
    texts = {
        "median": f"{format_milliseconds(median(samples))} ms",
        "quartiles": f"{format_milliseconds(low)} to {format_milliseconds(high)} ms",
        "samples": f"{count(len(samples), 'sample')} after {count(latency.warmup, 'warm-up')}",
        "device": make_visible(latency.device) + threads,
        "method": make_visible(latency.method),
    }
    line = f"{texts['median']} ({texts['quartiles']}), {texts['samples']}, {texts['device']}, {texts['method']}"
    return LatencyRow(side=side, line=line, **texts)
