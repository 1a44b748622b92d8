"""Asking a worker, and insisting on the kind of answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from archaudit.errors import WorkerError
from archaudit.judge.latency import make_budget
from archaudit.pipeline.options import TimingOptions
from archaudit.schema import DeviceState, Latency, MeasuredCeilings, Pairing
from archaudit.timing import (
    MEASUREMENT_SIDES,
    Decision,
    Plan,
    compare_latencies,
    decide,
    draw_order,
    estimate_pass_s,
    find_problems,
    plan_rounds,
)
from archaudit.worker import (
    DeviceInspected,
    InspectDevice,
    ModulesTimed,
    PrepareTiming,
    Request,
    TimeBlock,
    Timed,
    TimeModules,
    TimingReady,
    Worker,
)

T = TypeVar("T")


def expect(worker: Worker, kind: type[T]) -> T:
    """The reply, which is to be of this kind. Raises what the worker met."""
    reply = worker.receive()
    if not isinstance(reply, kind):
        raise WorkerError(f"the worker answered {type(reply).__name__} where {kind.__name__} was due")
    return reply


def ask(worker: Worker, request: Request, kind: type[T]) -> T:
    """Hands a request over and waits for the reply, which is to be of this kind. Raises what the worker met."""
    worker.send(request)
    return expect(worker, kind)


# --- models timed in their workers: one alone, or two against each other in turn on one device, never both at once ---


METHOD = "wall time of eager forward passes in inference mode; modules timed in separate passes"
# Instrumented passes: enough for a median, and no more than a few seconds of them.
_LEAST_MODULE_PASSES, _MOST_MODULE_PASSES, _MODULE_S = 3, 11, 3.0
# Of one model alone: as many rounds as a pair has.
_ALONE_S = 10.0


class _Stand(NamedTuple):
    """One side while it is timed: its worker, and what it said when it was ready."""

    worker: Worker
    ready: TimingReady


def time_models(workers: Sequence[Worker], fingerprints: Sequence[str], options: TimingOptions) -> list[Latency]:
    """The latencies of models that are loaded in their workers: of two against each other. `fingerprints` say which models they are."""
    stands = _prepare(workers, options)
    surveyed = ask(workers[0], InspectDevice(own_processes=len(workers), ceilings=True), DeviceInspected)
    sides = [_start_latency(stand) for stand in stands]
    if len(stands) == 2:
        timed = _time_pair(stands, sides, fingerprints[0], options)
    else:
        timed = [_time_alone(stand, side, options) for stand, side in zip(stands, sides, strict=True)]
    last = ask(workers[0], InspectDevice(own_processes=len(workers), ceilings=True), DeviceInspected)
    ceilings = _merge_ceilings(surveyed.ceilings, last.ceilings)
    # At the very end: a profiler of a device slows down the process that it was in, also when it has gone again.
    modules = [_time_modules(stand) for stand in stands]
    return [
        _finish_latency(_add_modules(latency, times), ceilings, (surveyed.state, last.state))
        for latency, times in zip(timed, modules, strict=True)
    ]


def _prepare(workers: Sequence[Worker], options: TimingOptions) -> list[_Stand]:
    request = PrepareTiming(options.settings, options.warmup_s)
    return [_Stand(worker, ask(worker, request, TimingReady)) for worker in workers]


def _time_modules(stand: _Stand) -> ModulesTimed:
    repeats = int(_MODULE_S / max(estimate_pass_s(stand.ready.warmup_s), 1e-9))
    return ask(stand.worker, TimeModules(max(_LEAST_MODULE_PASSES, min(_MOST_MODULE_PASSES, repeats))), ModulesTimed)


def _start_latency(stand: _Stand) -> Latency:
    """Everything but the samples."""
    ready = stand.ready
    unstable = () if ready.stable else ("the times had not become stable when the warm-up ended",)
    return Latency(
        device=ready.machine.device,
        method=METHOD,
        threads=ready.settings.threads if ready.settings.device == "cpu" else None,
        warmup=len(ready.warmup_s),
        settings=ready.settings,
        machine=ready.machine,
        notes=(*ready.notes, *unstable),
    )


def _add_modules(latency: Latency, times: ModulesTimed) -> Latency:
    return msgspec.structs.replace(
        latency,
        modules_s=times.total_s,
        own_s=times.own_s,
        launches=times.launches,
        attribution=times.attribution,
        notes=(*latency.notes, *times.notes),
    )


def _merge_ceilings(first: MeasuredCeilings | None, last: MeasuredCeilings | None) -> MeasuredCeilings | None:
    """The samples of the beginning and of the end: what the device can do must not depend on one moment."""
    if first is None or last is None:
        return first or last
    return msgspec.structs.replace(
        first,
        copies_s=first.copies_s + last.copies_s,
        products_s=first.products_s + last.products_s,
        launches_s=first.launches_s + last.launches_s,
    )


def _finish_latency(latency: Latency, ceilings: MeasuredCeilings | None, states: tuple[DeviceState, ...]) -> Latency:
    told = tuple(state for state in states if state != DeviceState())
    return msgspec.structs.replace(latency, ceilings=ceilings, states=told)


# --- one model ------------------------------------------------------------------------------------------------------


def _time_alone(stand: _Stand, latency: Latency, options: TimingOptions) -> Latency:
    pass_s = estimate_pass_s(stand.ready.warmup_s)
    plan = plan_rounds(pass_s, pass_s, min(options.limit_s, _ALONE_S))
    forms = {form: ask(stand.worker, TimeBlock(2 * plan.rounds * plan.passes, form), Timed).samples_s for form in stand.ready.forms}  # type: ignore[arg-type]
    return _add_forms(latency, forms)


def _add_forms(latency: Latency, forms: dict[str, tuple[float, ...]]) -> Latency:
    return msgspec.structs.replace(
        latency, samples_s=forms.get("eager", ()), replays_s=forms.get("replay", ()), compiled_s=forms.get("compiled", ())
    )


# --- two models -----------------------------------------------------------------------------------------------------


class _Samples:
    """What was sampled so far: of each side (before, after, again) in each form."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, list[float]]] = {side: {} for side in MEASUREMENT_SIDES}

    def add(self, side: str, form: str, samples: tuple[float, ...]) -> None:
        self.taken[side].setdefault(form, []).extend(samples)

    def of(self, side: str) -> dict[str, tuple[float, ...]]:
        return {form: tuple(samples) for form, samples in self.taken[side].items()}


def _time_pair(stands: list[_Stand], sides: list[Latency], before: str, options: TimingOptions) -> list[Latency]:
    """Both in turn; once more, from models built anew, where only a second measurement can tell."""
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    plan = plan_rounds(estimate_pass_s(stands[0].ready.warmup_s), estimate_pass_s(stands[1].ready.warmup_s), options.limit_s)
    samples = _Samples()
    order = _run_rounds(stands, plan, seed, samples)
    pairing = Pairing(before=before, seed=seed, passes=plan.passes, rounds=(plan.rounds,), order=order, again_s=())
    timed = _assemble(sides, samples, pairing)
    if _decide(timed, options).needs_second:
        fresh = _prepare([stand.worker for stand in stands], options)
        order = (*order, *_run_rounds(fresh, plan, seed + 1, samples))
        timed = _assemble(sides, samples, msgspec.structs.replace(pairing, rounds=(plan.rounds,) * 2, order=order))
    return timed


def _decide(timed: Sequence[Latency], options: TimingOptions) -> Decision:
    before, after = timed
    return decide(compare_latencies(before, after), make_budget(options.budget), find_problems(before, after))


def _run_rounds(stands: Sequence[_Stand], plan: Plan, seed: int, samples: _Samples) -> tuple[tuple[str, ...], ...]:
    """Times every block in its turn; returns the order."""
    order = draw_order(plan.rounds, seed)
    forms = [form for form in stands[0].ready.forms if form in stands[1].ready.forms]
    for side in (side for blocks in order for side in blocks):
        worker = stands[side == "after"].worker
        for form in forms:
            samples.add(side, form, ask(worker, TimeBlock(plan.passes, form), Timed).samples_s)  # type: ignore[arg-type]
    return order


def _assemble(sides: Sequence[Latency], samples: _Samples, pairing: Pairing) -> list[Latency]:
    again = samples.of("again").get("eager", ())
    before, after = (_add_forms(side, samples.of(name)) for side, name in zip(sides, ("before", "after"), strict=True))
    return [before, msgspec.structs.replace(after, pairing=msgspec.structs.replace(pairing, again_s=again))]
