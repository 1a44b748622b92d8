"""Profiles of targets: saved ones are at hand, the others are measured side by side, each in a worker of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from archaudit.errors import MeasureError, RevisionError
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target
from archaudit.pipeline.timing import expect
from archaudit.schema import Explanation, Profile
from archaudit.worker import Explain, Explained, Load, Loaded, Measure, Measured, Worker, start_workers

# The answers to "on what to time" that mean to measure now.
MEASURED = ("auto", "cpu", "cuda")


def measure_targets(targets: Sequence[Target], options: Options) -> list[Profile]:
    """One profile a target, in order. Raises the first error in that order."""
    if any(target.is_revised for target in targets):
        with opened_targets(targets, options) as opened:
            return measure_targets(opened, options)
    profiles = _measure_live(targets, options)
    if options.latency not in ("recorded", None) or not (folder := find_baselines(targets, options)).joinpath("latency").is_dir():
        return profiles
    from archaudit.pipeline.recordings import attach_recorded

    return attach_recorded(profiles, folder)


def find_baselines(targets: Sequence[Target], options: Options) -> Path:
    """The folder of baselines: as asked, else of the user's config, else of a target's, else the one that recording would make here."""
    configs = (options.config, *(target.config for target in targets))
    return options.baselines or next((config.baselines for config in configs if config is not None), Path("baselines"))


def _measure_live(targets: Sequence[Target], options: Options) -> list[Profile]:
    live = [target for target in targets if target.saved is None]
    if not live:
        return [target.saved for target in targets if target.saved is not None]
    preload = tuple(dict.fromkeys((*options.workers.preload, *(name for target in live for name in target.preload))))
    workers_options = msgspec.structs.replace(options.workers, preload=preload)
    pythons = [options.workers.choose_python(side) for side, target in enumerate(targets) if target.saved is None]
    with start_workers([target.name for target in live], workers_options, options.notify, pythons, options.fork) as workers:
        measured = dict(zip(map(id, live), _measure_all(live, workers, options), strict=True))
    return [target.saved if target.saved is not None else measured[id(target)] for target in targets]


def list_formulas(target: Target, options: Options) -> tuple[str, ...]:
    """The files and modules of the user's own formulas that count for `target`, each once."""
    configs = [config for config in (options.config, target.config) if config is not None]
    return tuple(dict.fromkeys([*options.formulas, *(source for config in configs for source in config.formulas)]))


def load_request(target: Target, options: Options) -> Load:
    """What to tell a worker so that it finds the model of `target`."""
    assert target.reference is not None
    checkout = target.revised.checkout if target.revised is not None else None
    return Load(
        target.reference.format(), target.name, target.inputs, list_formulas(target, options), checkout, options.timing.settings.batch
    )


@contextmanager
def opened_targets(targets: Sequence[Target], options: Options) -> Iterator[list[Target]]:
    """The targets while those at git revisions are checked out. One that has to run for real is not taken from those kept."""
    if not any(target.is_revised for target in targets):
        yield list(targets)
        return
    from archaudit.pipeline.revision_targets import open_revisions

    if not options.workers.isolated:
        raise RevisionError(
            "a git revision is measured in a process of its own: two versions of a module do not fit into one", "Leave --no-isolation out."
        )
    formulas = [list_formulas(target, options) for target in targets]
    settings = [options.witnesses, options.symbolic, options.timing.settings.batch, formulas]
    keeps = options.cached and options.latency not in MEASURED and not options.equivalent and not options.workers.pythons
    with open_revisions(targets, settings=settings if keeps else None) as opened:
        yield opened


def explain_target(target: Target, path: str, options: Options) -> Explanation:
    """How the MACs of one module of a target come about. Raises MeasureError for a saved profile, which does not say."""
    if target.is_revised:
        with opened_targets([target], msgspec.structs.replace(options, cached=False)) as (opened,):
            return explain_target(opened, path, options)
    if target.reference is None:
        raise MeasureError(f"{target.name} is a saved profile: how its numbers came about is not in it", "Name the model's code.")
    preload = tuple(dict.fromkeys((*options.workers.preload, *target.preload)))
    pythons = [options.workers.choose_python(0)]
    with start_workers([target.name], msgspec.structs.replace(options.workers, preload=preload), options.notify, pythons) as (worker,):
        worker.send(load_request(target, options))
        expect(worker, Loaded)
        worker.send(Explain(path))
        return expect(worker, Explained).explanation


def _measure_all(targets: Sequence[Target], workers: Sequence[Worker], options: Options) -> list[Profile]:
    for target, worker in zip(targets, workers, strict=True):
        worker.send(load_request(target, options))
    options.meanwhile()
    for worker in workers:
        expect(worker, Loaded)
    for worker in workers:
        worker.send(Measure(witnesses=options.witnesses, symbolic=options.symbolic))
    replies = [expect(worker, Measured) for worker in workers]
    profiles = [_keep(target, reply) for target, reply in zip(targets, replies, strict=True)]
    if options.latency not in MEASURED:
        return profiles
    from archaudit.pipeline.recordings import fingerprint
    from archaudit.pipeline.timing import time_models

    settings = msgspec.structs.replace(options.timing.settings, device=options.latency)
    timing = msgspec.structs.replace(options.timing, settings=settings)
    latencies = time_models(workers, [fingerprint(profile) for profile in profiles], timing)
    return [msgspec.structs.replace(profile, latency=latency) for profile, latency in zip(profiles, latencies, strict=True)]


def _keep(target: Target, reply: Measured) -> Profile:
    if target.revised is None:
        return reply.profile
    from archaudit.pipeline.revision_targets import keep_profile

    return keep_profile(target, reply.profile, reply.dependencies)
