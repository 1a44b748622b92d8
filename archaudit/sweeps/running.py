"""Runs all variants of a plan, in local processes or on an executor."""

from __future__ import annotations

import itertools
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
from archaudit.sweeps.tasks import MAX_VARIANTS, Task, expand_inputs, expand_settings, measure_task, run_task
from archaudit.worker import can_isolate, share_pool

# A task whose worker was lost three times is probably the cause itself.
_MAX_TRIES = 3


class Plan(Record, frozen=True, kw_only=True):
    """Every combination of these references, `inputs` and `settings`, given as text; `metrics` are the two of the plot."""

    references: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    metrics: tuple[str, str] = ("params", "flops")


def measure_variants(plan: Plan, options: Options, workers: int | None = None, executor: Executor | None = None) -> Sweep:
    """Every variant of the plan, in order, measured by `workers` local processes (None: one for each processor), or by `executor`.

    A model that cannot be measured is a variant with an error. Raises an ArchauditError for an invalid plan.
    """
    tasks = list_tasks(plan, options)
    done = itertools.count(1)
    options.on_progress(0, len(tasks))

    def report_progress(variant: Variant) -> Variant:
        options.on_stage(f"{variant.reference} {variant.input}")
        options.on_progress(next(done), len(tasks))
        return variant

    if executor is not None:
        variants = _run_on_executor(tasks, executor, report_progress)
    else:
        variants = _run_locally(tasks, options, workers or os.cpu_count() or 1, report_progress)
    return Sweep(variants=_mark_pareto(variants, plan.metrics), metrics=plan.metrics)


def list_tasks(plan: Plan, options: Options) -> list[Task]:
    """The tasks of a plan: references in order, then settings, then inputs."""
    for metric in plan.metrics:
        if metric not in METRICS or METRICS[metric].of_scope is not None:
            raise ConfigError(f"there is no metric {metric!r} to plot", f"Known: {', '.join(METRICS)}.")
    settings, inputs = expand_settings(plan.settings), expand_inputs(plan.inputs)
    count = len(plan.references) * len(settings) * len(inputs)
    if count > MAX_VARIANTS:
        raise InputError(f"the plan has {count:,} variants, more than the limit of {MAX_VARIANTS:,}", "Sweep over fewer values at once.")
    tasks: list[Task] = []
    for reference in plan.references:
        for choices in settings:
            tasks += [_make_task(reference, choices, texts, options) for texts in inputs]
    return tasks


def _make_task(reference: str, choices: dict[str, Any], inputs: tuple[str, ...], options: Options) -> Task:
    target = resolve(reference, options.config, inputs)
    found = target.reference
    if found is None:
        raise LoadError(f"{reference} is a saved profile: it has no arguments or inputs to vary", "Name the model's code.")
    found = msgspec.structs.replace(found, arguments={**found.arguments, **choices})
    display = found.format()
    if found.kind == "file":
        found = msgspec.structs.replace(found, target=str(Path.cwd() / Path(found.target).expanduser()))
    loaded = f"{found.format()}@{found.revision}" if found.revision else found.format()
    return Task(
        name=target.name,
        display=display,
        reference=loaded,
        inputs=target.inputs or parse_inputs(inputs),
        formulas=tuple(str(Path.cwd() / source) if source.endswith(".py") else source for source in list_formulas(target, options)),
        choices={name: str(value) for name, value in choices.items()},
        timeout_s=options.workers.timeout_s,
        memory_bytes=options.workers.memory_bytes,
    )


def _run_locally(tasks: Sequence[Task], options: Options, workers: int, report_progress: Callable[[Variant], Variant]) -> list[Variant]:
    """Runs tasks in threads, each of which waits for one forked worker at a time."""
    static = msgspec.structs.replace(
        options, other_counters=False, symbolic=False, latency="off", equivalent=False, on_stage=lambda stage: None
    )
    # the pool is closed first: if this is interrupted, that ends the waiting of the threads
    with ThreadPoolExecutor(workers if can_isolate(options.workers) else 1) as threads, share_pool(options.workers) as pool:
        forked = msgspec.structs.replace(static, worker_pool=pool)
        try:
            return list(threads.map(lambda task: report_progress(measure_task(task, forked)), tasks))
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def _run_on_executor(tasks: Sequence[Task], executor: Executor, report_progress: Callable[[Variant], Variant]) -> list[Variant]:
    """Submits every task, and submits a task again when its worker was lost."""
    waiting: list[Future[bytes]] = [executor.submit(run_task, msgspec.json.encode(task)) for task in tasks]
    variants = []
    for place, task in enumerate(tasks):
        for tried in range(1, _MAX_TRIES + 1):
            try:
                variants.append(report_progress(msgspec.json.decode(waiting[place].result(), type=Variant)))
                break
            except Exception as error:  # each executor raises its own error for a lost worker
                if tried == _MAX_TRIES:
                    raise WorkerError(f"{task.name} lost its worker {_MAX_TRIES} times: {type(error).__name__}: {error}") from error
                try:
                    waiting[place] = executor.submit(run_task, msgspec.json.encode(task))
                except RuntimeError as broken:  # a pool that lost a process accepts no more tasks
                    raise WorkerError(f"the executor lost a worker and accepts no more tasks: {broken}") from error
    return variants


@contextmanager
def connect_dask(scheduler: str) -> Iterator[Executor]:
    """The workers of a Dask cluster as an executor. They need archaudit, and the models at the same paths.

    Raises WorkerError where Dask is not installed or the scheduler cannot be reached.
    """
    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise WorkerError("Dask is not installed", "Install it with: pip install 'archaudit[dask]'.") from error
    try:
        client = Client(scheduler, timeout="20s", set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkerError(
            f"cannot connect to the Dask scheduler at {scheduler}: {error}", "--scheduler needs the address that `dask scheduler` prints."
        ) from error
    with client:
        yield client.get_executor(pure=False)


def _mark_pareto(variants: Sequence[Variant], metrics: tuple[str, str]) -> tuple[Variant, ...]:
    """Marks the variants on the Pareto front of their input: no other on that input is at most as large in both metrics and smaller in one.

    Incomplete ones are not marked.
    """
    values = [_read_pair(variant, metrics) for variant in variants]
    known: dict[str, list[tuple[int, int]]] = {}
    for variant, value in zip(variants, values, strict=True):
        if value is not None:
            known.setdefault(variant.input, []).append(value)
    return tuple(
        msgspec.structs.replace(variant, pareto=value is not None and not any(_dominates(other, value) for other in known[variant.input]))
        for variant, value in zip(variants, values, strict=True)
    )


def _read_pair(variant: Variant, metrics: tuple[str, str]) -> tuple[int, int] | None:
    found: list[int] = []
    for name in metrics:
        metric = METRICS[name]
        if variant.totals is None or not metric.is_complete(variant):
            return None
        value = metric.of_cost(variant.totals) if metric.of_cost is not None else getattr(variant.peaks, name.removeprefix("peak_"), None)
        if value is None:
            return None
        found.append(value)
    return found[0], found[1]


def _dominates(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]
