"""All variants of a plan, measured by as many workers as there are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from archaudit.errors import ConfigError, InputError, LoadError, WorkerError
from archaudit.load.inputs import parse_inputs
from archaudit.metrics.catalog import METRICS
from archaudit.pipeline import Options, resolve
from archaudit.pipeline.measuring import list_formulas
from archaudit.schema import Record, Sweep, Variant
from archaudit.sweep.tasks import MOST_VARIANTS, Task, expand_inputs, expand_settings, measure_task, run_task
from archaudit.worker import share_pool

# A task that was lost twice with its worker is not the worker's fault.
_TRIES = 3


class Plan(Record, frozen=True, kw_only=True):
    """What to combine: each reference with each of the `inputs` and `settings`, as texts; `metrics` are those of the plot."""

    references: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    metrics: tuple[str, str] = ("params", "flops")


def sweep(plan: Plan, options: Options, workers: int | None = None, executor: Executor | None = None) -> Sweep:
    """Every variant of the plan, in order. `workers` processes here (None: one a processor), or wherever `executor` runs.

    A model that cannot be measured is a variant with an error. Raises an ArchauditError for a plan that makes no sense.
    """
    tasks = list_tasks(plan, options)
    told = [0]
    options.on_progress(0, len(tasks))

    def tell(variant: Variant) -> Variant:
        told[0] += 1
        options.on_stage(f"{variant.reference} {variant.input}")
        options.on_progress(told[0], len(tasks))
        return variant

    if executor is not None:
        variants = _run_elsewhere(tasks, executor, tell)
    else:
        variants = _run_here(tasks, options, workers or os.cpu_count() or 1, tell)
    return Sweep(variants=_mark_pareto(variants, plan.metrics), metrics=plan.metrics)


def list_tasks(plan: Plan, options: Options) -> list[Task]:
    """The tasks of a plan: references in order, then settings, then inputs."""
    for metric in plan.metrics:
        if metric not in METRICS or METRICS[metric].of_scope is not None:
            raise ConfigError(f"there is no metric {metric!r} to plot", f"Known: {', '.join(METRICS)}.")
    settings, inputs = expand_settings(plan.settings), expand_inputs(plan.inputs)
    count = len(plan.references) * len(settings) * len(inputs)
    if count > MOST_VARIANTS:
        raise InputError(f"that are {count:,} variants; {MOST_VARIANTS:,} are the most", "Sweep over fewer values at once.")
    tasks: list[Task] = []
    for reference in plan.references:
        for choices in settings:
            tasks += [_make_task(reference, choices, texts, options) for texts in inputs]
    return tasks


def _make_task(reference: str, choices: dict[str, Any], inputs: tuple[str, ...], options: Options) -> Task:
    target = resolve(reference, options.config, inputs)
    found = target.reference
    if found is None:
        raise LoadError(f"{reference} is a saved profile: nothing of it can be varied", "Name the model's code.")
    found = msgspec.structs.replace(found, arguments={**found.arguments, **choices})
    shown = found.format()
    if found.kind == "file":
        found = msgspec.structs.replace(found, target=str(Path.cwd() / Path(found.target).expanduser()))
    spelled = f"{found.format()}@{found.revision}" if found.revision else found.format()
    return Task(
        name=target.name,
        shown=shown,
        reference=spelled,
        inputs=target.inputs or parse_inputs(inputs),
        formulas=tuple(str(Path.cwd() / source) if source.endswith(".py") else source for source in list_formulas(target, options)),
        choices={name: str(value) for name, value in choices.items()},
        timeout_s=options.workers.timeout_s,
        memory_bytes=options.workers.memory_bytes,
    )


def _run_here(tasks: Sequence[Task], options: Options, workers: int, tell: Callable[[Variant], Variant]) -> list[Variant]:
    """Each thread waits for one forked worker at a time."""
    quiet = msgspec.structs.replace(options, witnesses=False, symbolic=False, latency="off", equivalent=False, on_stage=lambda stage: None)
    with share_pool(options.workers) as fork, ThreadPoolExecutor(workers if fork is not None else 1) as threads:
        forked = msgspec.structs.replace(quiet, worker_pool=fork)
        try:
            return list(threads.map(lambda task: tell(measure_task(task, forked)), tasks))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _run_elsewhere(tasks: Sequence[Task], executor: Executor, tell: Callable[[Variant], Variant]) -> list[Variant]:
    """What a lost worker had is asked for again."""
    waiting: list[Future[bytes]] = [executor.submit(run_task, msgspec.json.encode(task)) for task in tasks]
    variants = []
    for place, task in enumerate(tasks):
        for tried in range(1, _TRIES + 1):
            try:
                variants.append(tell(msgspec.json.decode(waiting[place].result(), type=Variant)))
                break
            except Exception as error:  # each executor has errors of its own for a worker that is gone
                if tried == _TRIES:
                    raise WorkerError(f"{task.name} was lost {_TRIES} times with its worker: {type(error).__name__}: {error}") from error
                try:
                    waiting[place] = executor.submit(run_task, msgspec.json.encode(task))
                except RuntimeError as broken:  # a pool that lost a process takes nothing more
                    raise WorkerError(f"the executor lost a worker and takes no more work: {broken}") from error
    return variants


@contextmanager
def connect_dask(scheduler: str) -> Iterator[Executor]:
    """The workers of a Dask cluster as an executor. They need archaudit, and the models at the same paths. Raises WorkerError."""
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise WorkerError("Dask is not installed", "Install it with: pip install 'archaudit[dask]'.") from error
    try:
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkerError(f"{scheduler} does not answer: {error}", "--scheduler takes the address that dask scheduler printed.") from error
    with client:
        yield client.get_executor(pure=False)


def _mark_pareto(variants: Sequence[Variant], metrics: tuple[str, str]) -> tuple[Variant, ...]:
    """Those that no other variant beats in one of the metrics without losing in the other; none where a number is incomplete."""
    values = [_read_pair(variant, metrics) for variant in variants]
    known = [value for value in values if value is not None]
    return tuple(
        msgspec.structs.replace(variant, pareto=value is not None and not any(_beats(other, value) for other in known))
        for variant, value in zip(variants, values, strict=True)
    )


def _read_pair(variant: Variant, metrics: tuple[str, str]) -> tuple[int, int] | None:
    found: list[int] = []
    for name in metrics:
        metric = METRICS[name]
        if variant.totals is None or (metric.needs_complete_flops and not variant.flops_complete):
            return None
        value = metric.of_cost(variant.totals) if metric.of_cost is not None else getattr(variant.peaks, name.removeprefix("peak_"))
        if value is None:
            return None
        found.append(value)
    return found[0], found[1]


def _beats(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]
