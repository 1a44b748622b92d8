"""Profiles of targets: saved ones are returned as they are, the others are measured in parallel, each in its own worker process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from archaudit.errors import ArchauditError, MeasureError, RevisionError, WorkerKilledError
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, find_baseline_folder
from archaudit.pipeline.timing import receive_reply
from archaudit.schema import Explanation, Profile, ScalingLaws
from archaudit.worker import Explain, Explained, FindLaws, LawsFound, Load, Loaded, Measure, Measured, Worker, start_workers

# The values of `Options.latency` that time models now.
MEASURED = ("auto", "cpu", "cuda")


def measure_targets(targets: Sequence[Target], options: Options) -> list[Profile]:
    """One profile for each target, in order. Raises the first error in that order."""
    if any(target.is_revised for target in targets):
        with open_targets(targets, options) as opened:
            return measure_targets(opened, options)
    profiles = _measure_live(targets, options)
    if options.latency not in ("recorded", None) or not (folder := find_baseline_folder(options, targets)).joinpath("latency").is_dir():
        return profiles
    from archaudit.pipeline.recordings import attach_recorded

    return attach_recorded(profiles, folder)


def _measure_live(targets: Sequence[Target], options: Options) -> list[Profile]:
    live = [target for target in targets if target.saved is None]
    if not live:
        return [target.saved for target in targets if target.saved is not None]
    again = [target for target in live if target.revised is not None and target.revised.settings is not None]
    with open_workers([*targets, *again], options) as workers:
        measured = iter(_measure_all(live, workers, again, options))
    return [target.saved if target.saved is not None else next(measured) for target in targets]


@contextmanager
def open_workers(targets: Sequence[Target], options: Options) -> Iterator[Sequence[Worker]]:
    """A worker process for each target with code, in order, as long as the block lasts."""
    live = [(side, target) for side, target in enumerate(targets) if target.saved is None]
    preload = tuple(dict.fromkeys((*options.workers.preload, *(name for _, target in live for name in target.preload))))
    workers_options = msgspec.structs.replace(options.workers, preload=preload)
    pythons = [options.workers.choose_python(side) for side, _ in live]
    with start_workers([target.name for _, target in live], workers_options, options.on_stage, pythons, options.worker_pool) as workers:
        yield workers


def list_formulas(target: Target, options: Options) -> tuple[str, ...]:
    """The files and modules of the user's own FLOP formulas for `target`, each once."""
    configs = [config for config in (options.config, target.config) if config is not None]
    return tuple(dict.fromkeys([*options.formulas, *(source for config in configs for source in config.formulas)]))


def make_load_request(target: Target, options: Options) -> Load:
    """The message that makes a worker load the model of `target`."""
    assert target.reference is not None
    checkout = target.revised.checkout if target.revised is not None else None
    return Load(
        target.reference.format(),
        target.name,
        target.inputs,
        list_formulas(target, options),
        checkout,
        options.timing.settings.batch,
        options.device,
        options.dtype,
        target.arg_file,
        recorded=target.kept_as is not None,
    )


@contextmanager
def open_targets(targets: Sequence[Target], options: Options) -> Iterator[list[Target]]:
    """The targets, with those at git revisions checked out as long as the block lasts, or replaced by cached profiles.

    Nothing is taken from the cache if a model has to run (to be timed, or for `--equivalent`).
    """
    if not any(target.is_revised for target in targets):
        yield list(targets)
        return
    from archaudit.pipeline.revision_targets import open_revisions

    if not options.workers.isolated:
        raise RevisionError(
            "a git revision is measured in its own process: one process cannot import two versions of a module", "Leave out --no-isolation."
        )
    formulas = [list_formulas(target, options) for target in targets]
    settings: list[object] = [options.other_counters, options.symbolic, options.timing.settings.batch, formulas, options.device]
    settings += [options.dtype, options.params_only, [target.arg_file for target in targets]]
    settings += [msgspec.to_builtins(options.training)] if options.training is not None else []
    has_to_run = options.latency in MEASURED or options.equivalent or options.prove_map
    use_cache = options.cached and not has_to_run and not options.workers.pythons
    with open_revisions(targets, settings=settings if use_cache else None, harness=options.harness) as opened:
        yield opened


def explain_target(target: Target, path: str, options: Options) -> Explanation:
    """How the MACs of one module of a target are computed. Raises MeasureError for a saved profile, which does not have that."""
    if target.is_revised:
        with open_targets([target], msgspec.structs.replace(options, cached=False)) as (opened,):
            return explain_target(opened, path, options)
    if target.reference is None:
        raise MeasureError(f"{target.name} is a saved profile: it does not contain how its numbers were computed", "Name the model's code.")
    with open_workers([target], options) as (worker,):
        worker.send(make_load_request(target, options))
        receive_reply(worker, Loaded)
        worker.send(Explain(path))
        return receive_reply(worker, Explained).explanation


def _make_measure_request(options: Options, *, other_counters: bool, with_values: bool = False) -> Measure:
    return Measure(
        other_counters=other_counters,
        symbolic=options.symbolic,
        params_only=options.params_only,
        with_values=with_values,
        training=options.training,
    )


def find_target_laws(target: Target, checks: int, options: Options) -> ScalingLaws:
    """How the costs of a target grow with the sizes of its input. Raises MeasureError for a saved profile, which is one point only."""
    if target.is_revised:
        with open_targets([target], msgspec.structs.replace(options, cached=False)) as (opened,):
            return find_target_laws(opened, checks, options)
    if target.reference is None:
        raise MeasureError(f"{target.name} is a saved profile: it has the costs of one input only", "Name the model's code.")
    with open_workers([target], options) as (worker,):
        worker.send(make_load_request(target, options))
        receive_reply(worker, Loaded)
        worker.send(FindLaws(checks))
        return receive_reply(worker, LawsFound).laws


def _receive_measured(target: Target, worker: Worker, options: Options) -> Measured:
    """The worker's profile. If a signal ended the worker, the model is run with values, in a new one: kernels of quantized operators, for
    example, read memory that a tensor without values does not have. Raises the first error if that fails too."""
    try:
        return receive_reply(worker, Measured)
    except WorkerKilledError as killed:
        if options.latency in MEASURED or options.params_only:
            raise
        with open_workers([target], options) as (another,):
            another.send(make_load_request(target, options))
            try:
                receive_reply(another, Loaded)
                another.send(_make_measure_request(options, other_counters=options.other_counters, with_values=True))
                reply = receive_reply(another, Measured)
            except ArchauditError:
                raise killed from None
        text = "a run without values ended the process, so the model was run in another one"
        ledger = msgspec.structs.replace(reply.profile.ledger, assumptions=(text, *reply.profile.ledger.assumptions))
        return msgspec.structs.replace(reply, profile=msgspec.structs.replace(reply.profile, ledger=ledger))


def _measure_all(targets: Sequence[Target], workers: Sequence[Worker], again: Sequence[Target], options: Options) -> list[Profile]:
    """The profiles of the targets. Those of `again`, which can be cached, are measured a second time, in the last of the workers."""
    workers, second = workers[: len(targets)], workers[len(targets) :]
    together = again if len(targets) == 1 else ()  # more models at once may need more memory than there is
    loading = [*zip(targets, workers, strict=True), *zip(together, second, strict=False)]
    for target, worker in loading:
        worker.send(make_load_request(target, options))
    options.while_workers_start()
    for worker in workers:
        receive_reply(worker, Loaded)
    for worker in workers:
        worker.send(_make_measure_request(options, other_counters=options.other_counters))
    if together:
        _start_again(second[0], options)
    replies = [_receive_measured(target, worker, options) for target, worker in zip(targets, workers, strict=True)]
    report_warnings(targets, replies, options)
    equal = _measure_again(again, second, dict(zip(map(id, targets), replies, strict=True)), options, started=bool(together))
    profiles = [_cache_profile(target, reply, equal.get(id(target), False)) for target, reply in zip(targets, replies, strict=True)]
    if options.latency not in MEASURED:
        return profiles
    from archaudit.pipeline.recordings import fingerprint
    from archaudit.pipeline.timing import time_models

    settings = msgspec.structs.replace(options.timing.settings, device=options.latency)
    timing = msgspec.structs.replace(options.timing, settings=settings)
    latencies = time_models(workers, [fingerprint(profile) for profile in profiles], timing)
    return [msgspec.structs.replace(profile, latency=latency) for profile, latency in zip(profiles, latencies, strict=True)]


def report_warnings(targets: Sequence[Target], replies: Sequence[Measured], options: Options) -> None:
    """Reports each warning once, with the models whose code gave it."""
    sides: dict[str, list[str]] = {}
    for target, reply in zip(targets, replies, strict=True):
        for text in reply.warnings:
            sides.setdefault(text, []).append(target.name)
    for text, names in sides.items():
        options.on_warning(f"{' and '.join(dict.fromkeys(names))}: {text}")


def _start_again(worker: Worker, options: Options) -> bool:
    try:
        receive_reply(worker, Loaded)
    except ArchauditError:
        return False
    worker.send(_make_measure_request(options, other_counters=False))
    return True


def _measure_again(
    targets: Sequence[Target], workers: Sequence[Worker], first: Mapping[int, Measured], options: Options, *, started: bool
) -> dict[int, bool]:
    """Whether a second process measures the same, by `id` of the target. A model that depends on chance or time does not."""
    wanted = [
        (target, worker)
        for target, worker in zip(targets, workers, strict=True)
        if started or (found := first[id(target)].dependencies) is None or found.refusal is None
    ]
    for target, worker in wanted if not started else ():
        worker.send(make_load_request(target, options))
    running = [(target, worker) for target, worker in wanted if started or _start_again(worker, options)]
    equal: dict[int, bool] = {}
    for target, worker in running:
        try:
            profile = receive_reply(worker, Measured).profile
        except ArchauditError:  # without a second profile, the first one is not cached
            continue
        equal[id(target)] = _strip(profile) == _strip(first[id(target)].profile)
    return equal


def _strip(profile: Profile) -> Profile:
    """The profile without other counters and their versions: the second measurement runs without them."""
    return msgspec.structs.replace(profile, other_counters={}, provenance=None)


def _cache_profile(target: Target, reply: Measured, is_same_again: bool) -> Profile:
    """The profile; cached if it is that of a library's model or of a git revision, and everything that it depends on is known."""
    if target.kept_as is not None and reply.dependencies is not None:
        from archaudit.pipeline.kept_profiles import keep_profile

        keep_profile(target.kept_as, reply.profile, reply.dependencies)
    if target.revised is None:
        return reply.profile
    from archaudit.pipeline.revision_targets import cache_profile

    found = reply.dependencies
    if found is not None and found.refusal is None and not is_same_again:
        found = msgspec.structs.replace(found, refusal="it is another one each time that it is measured")
    return cache_profile(target, reply.profile, found)
