"""Requests to workers; models timed in their workers: one alone, or two alternately on one device."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from archaudit.errors import WorkerError
from archaudit.judge.latency import make_budget
from archaudit.pipeline.options import TimingOptions
from archaudit.schema import DeviceState, Latency, MeasuredCeilings, Pair, Pairing
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


def receive_reply(worker: Worker, kind: type[T]) -> T:
    """The worker's reply, which must be of this kind. Raises the worker's error."""
    reply = worker.receive()
    if not isinstance(reply, kind):
        raise WorkerError(f"the worker replied with {type(reply).__name__}, not {kind.__name__}")
    return reply


def request_reply(worker: Worker, request: Request, kind: type[T]) -> T:
    """Sends a request and waits for the reply, which must be of this kind. Raises the worker's error."""
    worker.send(request)
    return receive_reply(worker, kind)


# --- timing ---------------------------------------------------------------------------------------------------------


METHOD = "wall time of eager forward passes in inference mode; modules timed in separate passes"
# Instrumented passes: enough for a median, and at most a few seconds of them.
_LEAST_MODULE_PASSES, _MOST_MODULE_PASSES, _MODULE_S = 3, 11, 3.0
# Seconds for one model alone: this gives as many rounds as a pair has.
_ALONE_S = 10.0


class _LoadedModel(NamedTuple):
    """A model that is ready to be timed: its worker, and the worker's reply."""

    worker: Worker
    ready: TimingReady


def time_models(workers: Sequence[Worker], fingerprints: Sequence[str], options: TimingOptions) -> list[Latency]:
    """The latencies of models that are loaded in their workers; two models are timed alternately. `fingerprints` identify the models."""
    models = _prepare(workers, options)
    surveyed = request_reply(workers[0], InspectDevice(own_processes=len(workers), ceilings=True), DeviceInspected)
    latencies = [_start_latency(model) for model in models]
    if len(models) == 2:
        timed: Sequence[Latency] = _time_pair(Pair(*models), Pair(*latencies), fingerprints[0], options)
    else:
        timed = [_time_alone(model, latency, options) for model, latency in zip(models, latencies, strict=True)]
    last = request_reply(workers[0], InspectDevice(own_processes=len(workers), ceilings=True), DeviceInspected)
    ceilings = _merge_ceilings(surveyed.ceilings, last.ceilings)
    # Last: a device's profiler slows its process down even after it is stopped.
    modules = [_time_modules(model) for model in models]
    return [
        _finish_latency(_add_modules(latency, times), ceilings, (surveyed.state, last.state))
        for latency, times in zip(timed, modules, strict=True)
    ]


def _prepare(workers: Sequence[Worker], options: TimingOptions) -> list[_LoadedModel]:
    request = PrepareTiming(options.settings, options.warmup_s)
    return [_LoadedModel(worker, request_reply(worker, request, TimingReady)) for worker in workers]


def _time_modules(model: _LoadedModel) -> ModulesTimed:
    repeats = int(_MODULE_S / max(estimate_pass_s(model.ready.warmup_s), 1e-9))
    return request_reply(model.worker, TimeModules(max(_LEAST_MODULE_PASSES, min(_MOST_MODULE_PASSES, repeats))), ModulesTimed)


def _start_latency(model: _LoadedModel) -> Latency:
    """A latency without samples yet."""
    ready = model.ready
    unstable = () if ready.stable else ("the times were not stable yet at the end of the warm-up",)
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
    """The samples of the start and of the end: a device's speed varies over time."""
    if first is None or last is None:
        return first or last
    return msgspec.structs.replace(
        first,
        copies_s=first.copies_s + last.copies_s,
        products_s=first.products_s + last.products_s,
        launches_s=first.launches_s + last.launches_s,
    )


def _finish_latency(latency: Latency, ceilings: MeasuredCeilings | None, states: tuple[DeviceState, ...]) -> Latency:
    known = tuple(state for state in states if state != DeviceState())
    return msgspec.structs.replace(latency, ceilings=ceilings, states=known)


# --- one model ------------------------------------------------------------------------------------------------------


def _time_alone(model: _LoadedModel, latency: Latency, options: TimingOptions) -> Latency:
    pass_s = estimate_pass_s(model.ready.warmup_s)
    plan = plan_rounds(pass_s, pass_s, min(options.limit_s, _ALONE_S))
    passes = 2 * plan.rounds * plan.passes
    forms = {form: request_reply(model.worker, TimeBlock(passes, form), Timed).samples_s for form in model.ready.forms}  # type: ignore[arg-type]
    return _add_forms(latency, forms)


def _add_forms(latency: Latency, forms: dict[str, tuple[float, ...]]) -> Latency:
    return msgspec.structs.replace(
        latency, samples_s=forms.get("eager", ()), replays_s=forms.get("replay", ()), compiled_s=forms.get("compiled", ())
    )


# --- two models -----------------------------------------------------------------------------------------------------


class _Samples:
    """The samples so far, by side (before, after, again) and form (eager, replay, compiled)."""

    def __init__(self) -> None:
        self.taken: dict[str, dict[str, list[float]]] = {side: {} for side in MEASUREMENT_SIDES}

    def add(self, side: str, form: str, samples: tuple[float, ...]) -> None:
        self.taken[side].setdefault(form, []).extend(samples)

    def list_forms(self, side: str) -> dict[str, tuple[float, ...]]:
        return {form: tuple(samples) for form, samples in self.taken[side].items()}


def _time_pair(models: Pair[_LoadedModel], latencies: Pair[Latency], before: str, options: TimingOptions) -> Pair[Latency]:
    """Both alternately; with a second measurement, of models that are built again, if the first does not decide."""
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    plan = plan_rounds(*models.map(lambda model: estimate_pass_s(model.ready.warmup_s)), options.limit_s)
    samples = _Samples()
    order = _run_rounds(models, plan, seed, samples)
    pairing = Pairing(before=before, seed=seed, passes=plan.passes, rounds=(plan.rounds,), order=order, again_s=())
    timed = _assemble(latencies, samples, pairing)
    if _decide(timed, options).needs_second:
        rebuilt = Pair(*_prepare([model.worker for model in models], options))
        order = (*order, *_run_rounds(rebuilt, plan, seed + 1, samples))
        timed = _assemble(latencies, samples, msgspec.structs.replace(pairing, rounds=(plan.rounds,) * 2, order=order))
    return timed


def _decide(timed: Pair[Latency], options: TimingOptions) -> Decision:
    return decide(compare_latencies(*timed), make_budget(options.budget), find_problems(*timed))


def _run_rounds(models: Pair[_LoadedModel], plan: Plan, seed: int, samples: _Samples) -> tuple[tuple[str, ...], ...]:
    """Times every block in its order; returns the order."""
    order = draw_order(plan.rounds, seed)
    forms = [form for form in models.before.ready.forms if form in models.after.ready.forms]
    for side in (side for blocks in order for side in blocks):
        worker = (models.after if side == "after" else models.before).worker
        for form in forms:
            samples.add(side, form, request_reply(worker, TimeBlock(plan.passes, form), Timed).samples_s)  # type: ignore[arg-type]
    return order


def _assemble(latencies: Pair[Latency], samples: _Samples, pairing: Pairing) -> Pair[Latency]:
    again = samples.list_forms("again").get("eager", ())
    before = _add_forms(latencies.before, samples.list_forms("before"))
    after = _add_forms(latencies.after, samples.list_forms("after"))
    return Pair(before, msgspec.structs.replace(after, pairing=msgspec.structs.replace(pairing, again_s=again)))
