"""The latency section: times derived from the raw samples, compared only if both sides were timed in the same way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median, quantiles

from archaudit.index import index_modules
from archaudit.metrics.quantities import format_short, format_speed
from archaudit.render.formatting import NOTHING, count, format_milliseconds, make_visible
from archaudit.render.view.figures import make_duration
from archaudit.render.view.method_records import LatencyRow, Timing, TimingRow
from archaudit.render.view.roofline import draw_roofline
from archaudit.render.view.time_spending import Part, Timed, describe_speedups, list_hotspots, narrow_modules, sum_layers
from archaudit.schema import Latency, MeasuredCeilings, Profile
from archaudit.timing import Budget, Ceilings, Decision, compare_latencies, decide, find_problems, format_share

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
        return rows, "The two sides were timed on different devices or with different methods, so their times are not compared."
    return rows, "Measured time of whole forward passes, in milliseconds. A module's time includes its submodules."


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


# --- the latency section: forms of the whole pass, how the layers add up to it, how sure the comparison is, and what the time is spent on -


_NARROWED = "bytes moved are taken as half of the float32 bytes: autocast halves most tensors, not all"


def view_timing(sides: Sequence[tuple[str, Profile]], parts: Sequence[Part] = ()) -> Timing | None:
    """The section; None where no side was timed with its layers. `parts` are what its sentences are about."""
    timed = [_gather(side, profile, profile.latency) for side, profile in sides if profile.latency is not None]
    if not any(each.latency.own_s for each in timed):
        return None
    both = (timed[0], timed[1]) if len(timed) == 2 else None
    return Timing(
        source=" and ".join(dict.fromkeys(describe_source(each.latency) for each in timed)),
        heads=tuple(each.side or "median" for each in timed),
        rows=tuple(_list_rows(timed)),
        judgement=tuple(_describe_verdict(both[0].latency, both[1].latency)) if both else (),
        sentences=describe_speedups(*both, parts) if both else (),
        hotspots=tuple(row for each in timed for row in list_hotspots(each)),
        roofline=draw_roofline(timed),
        notes=tuple(_list_notes(timed)),
    )


def _gather(side: str, profile: Profile, latency: Latency) -> Timed:
    narrow = narrow_modules(profile, latency)
    modules = index_modules(profile).modules if narrow is None else narrow
    return Timed(side, profile, latency, modules, find_ceilings(latency.ceilings), narrow is not None)


def find_ceilings(measured: MeasuredCeilings | None) -> Ceilings | None:
    """The best that was measured, since a ceiling is what can be reached."""
    if measured is None:
        return None
    return Ceilings(
        flops_per_s=measured.product_flops / min(measured.products_s),
        bytes_per_s=measured.copied_bytes / min(measured.copies_s),
        launch_s=min(measured.launches_s),
    )


def describe_source(latency: Latency) -> str:
    """`recorded in h200.json: NVIDIA H200, driver 570, torch 2.9, bfloat16, batch 16`; `measured now: CPU (…), 2 threads, float32`."""
    machine, settings = latency.machine, latency.settings
    parts = [make_visible(latency.device)]
    if machine is not None:
        parts += [f"driver {machine.driver}"] * bool(machine.driver) + [f"torch {machine.torch}"] * bool(machine.torch)
    if settings is not None:
        if settings.device == "cpu" and settings.threads is not None:
            parts.append(count(settings.threads, "thread"))
        parts += [settings.dtype] + ["channels last"] * settings.channels_last + [f"batch {settings.batch}"] * (settings.batch is not None)
    source = f"recorded in {latency.recorded}" if latency.recorded else "measured"
    return make_visible(f"{source}: {', '.join(parts)}")


# --- totals and their reconciliation --------------------------------------------------------------------------------


def _list_rows(timed: Sequence[Timed]) -> Iterator[TimingRow]:
    ends = [_median(each.latency.samples_s) for each in timed]
    sums = [sum_layers(each.latency) for each in timed]
    replays = [_median(each.latency.replays_s) for each in timed]
    yield _make_row("end to end, eager", ends, "wall time without hooks")
    if any(value is not None for value in replays):
        yield _make_row("end to end, CUDA graph", replays, "replay of the captured graph, without launch overhead")
    compiled = [_median(each.latency.compiled_s) for each in timed]
    if any(value is not None for value in compiled):
        yield _make_row("end to end, compiled", compiled, "torch.compile")
    yield _make_row("sum of the layers", sums, make_visible(timed[0].latency.attribution))
    gaps = [None if end is None or total is None else end - total for end, total in zip(ends, sums, strict=True)]
    yield _make_row(
        "end to end minus layers",
        gaps,
        "launch gaps, idle time and overlap; negative where the hooks slow the pass down",
        ratio=False,
    )
    if any(value is not None for value in replays):
        yield _make_row(
            "CUDA graph minus layers",
            [None if replay is None or total is None else replay - total for replay, total in zip(replays, sums, strict=True)],
            "; ".join(_describe_agreement(each, replay, total) for each, replay, total in zip(timed, replays, sums, strict=True)),
            ratio=False,
        )


def _describe_agreement(timed: Timed, replay: float | None, total: float | None) -> str:
    side = f"{timed.side}: " if timed.side else ""
    if replay is None or not total:
        return f"{side}not measured"
    return f"{side}the replay differs from the sum of the kernels by {100 * (replay / total - 1):+.1f} %"


def _make_row(label: str, values: Sequence[float | None], note: str, *, ratio: bool = True) -> TimingRow:
    speed = NOTHING
    if ratio and len(values) == 2 and values[0] and values[1]:
        speed = format_speed(values[0], values[1])
    return TimingRow(label=label, values=tuple(make_duration(value).short for value in values), ratio=speed, note=note)


def _median(samples: Sequence[float]) -> float | None:
    return median(samples) if samples else None


# --- the verdict ----------------------------------------------------------------------------------------------------


def judge_default_budget(before: Latency, after: Latency) -> Decision:
    """The rule under its default budget, for a reader: no gate."""
    problems = find_problems(before, after)
    evidence = compare_latencies(before, after) if not problems else ()
    return decide(evidence, Budget(), problems) if evidence or problems else Decision("inconclusive", "too few samples")


def summarise_times(before: Latency | None, after: Latency | None) -> str:
    """The comparison of the times in one sentence, with where they are from; empty where a side was not timed with its layers."""
    if before is None or after is None or not before.own_s or not after.own_s:
        return ""
    source = " and ".join(dict.fromkeys((describe_source(before), describe_source(after))))
    return f"Time ({source}): {next(_describe_verdict(before, after))}"


def _describe_verdict(before: Latency, after: Latency) -> Iterator[str]:
    problems = find_problems(before, after)
    evidence = compare_latencies(before, after) if not problems else ()
    if evidence:
        first = evidence[0]
        again = f"{first.aa_ratio.middle:.3f}x, {first.aa_ratio.low:.3f}x to {first.aa_ratio.high:.3f}x"
        yield (
            f"After takes {first.ratio.middle:.3f}x the time of before (99 % confidence interval "
            f"{first.ratio.low:.3f}x to {first.ratio.high:.3f}x, {count(first.rounds, 'interleaved round')})."
        )
        floor = max(each.min_detectable for each in evidence)
        yield f"A/A test (before against itself): {again}. The smallest regression that this run can detect is {format_share(floor)}."
    decision = judge_default_budget(before, after)
    reason = "the whole interval is within the budget" if decision.outcome == "passed" else make_visible(decision.reason)
    yield f"{decision.outcome.upper()} with a budget of 5 %: {reason}."


# --- what is to be known of the runs ---------------------------------------------------------------------------------


def _list_notes(timed: Sequence[Timed]) -> Iterator[str]:
    """What is to be known of the runs: notes, states of the device, the ceilings and the seed; once where it holds for both."""
    notes: dict[str, list[str]] = {}
    for each in timed:
        latency = each.latency
        for note in (*latency.notes, *_describe_states(latency), *_describe_ceilings(each.ceilings), *[_NARROWED] * each.narrowed):
            notes.setdefault(make_visible(note), []).append(each.side)
        if latency.pairing is not None:
            pairing = latency.pairing
            rounds, passes = " and ".join(map(str, pairing.rounds)), count(pairing.passes, "pass", "passes")
            yield f"{rounds} rounds, each A B A' A' B A in random order, {passes} per block, seed {pairing.seed}"
    for note, sides in notes.items():
        named = " and ".join(filter(None, sides)) if len(sides) < len(timed) else ""
        yield f"{named}: {note}" if named else note


def _describe_ceilings(ceilings: Ceilings | None) -> Iterator[str]:
    if ceilings is not None:
        yield (
            f"ceilings measured in the same run: {format_short(ceilings.flops_per_s)}FLOP/s (matrix product), "
            f"{format_short(ceilings.bytes_per_s)}B/s (copy), {ceilings.launch_s * 1e6:.1f} µs per launch"
        )


def _describe_states(latency: Latency) -> Iterator[str]:
    for moment, state in zip(("at the start", "at the end"), latency.states, strict=False):
        parts = [f"{state.clock_mhz} MHz"] * (state.clock_mhz is not None)
        parts += [f"{state.temperature_c} °C"] * (state.temperature_c is not None)
        parts += [f"clocks limited by {', '.join(state.throttled)}"] * bool(state.throttled)
        if state.other_processes:
            parts.append(count(state.other_processes, "other process", "other processes"))
        if parts:
            yield f"device {moment}: {', '.join(parts)}"
