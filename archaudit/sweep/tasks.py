"""One variant as a task that can be sent anywhere, and doing it."""

from __future__ import annotations

import atexit
import threading
from contextlib import ExitStack
from typing import Any

import msgspec

from archaudit.errors import ArchauditError
from archaudit.load.reference import parse_reference
from archaudit.pipeline import Options, Target
from archaudit.pipeline.running.measuring import measure_targets
from archaudit.schema import InputSpec, Profile, Record, Variant
from archaudit.worker import Fork, WorkerOptions, share_pool


class Task(Record, frozen=True, kw_only=True):
    """A variant to be measured: `reference` as it is loaded, `name` as it was typed, `shown` the same with its choices.

    It knows no folder of its own: paths in `reference` are absolute.
    """

    name: str
    shown: str
    reference: str
    inputs: tuple[InputSpec, ...] = ()
    choices: dict[str, str] = msgspec.field(default_factory=dict)
    formulas: tuple[str, ...] = ()
    timeout_s: float
    memory_bytes: int | None = None


def run_task(data: bytes) -> bytes:
    """Measures the task in `data` in a process of its own and returns the Variant, both as JSON: for an executor, wherever it runs.

    What a process of an executor starts is kept for its next task, and ends with it.
    """
    task = msgspec.json.decode(data, type=Task)
    workers = WorkerOptions(timeout_s=task.timeout_s, memory_bytes=task.memory_bytes)
    return msgspec.json.encode(measure_task(task, Options(witnesses=False, symbolic=False, workers=workers, fork=_keep_pool(workers))))


def measure_task(task: Task, options: Options) -> Variant:
    """The variant with its numbers, or with the reason why there are none."""
    try:
        target = Target(name=task.name, key=task.name, reference=parse_reference(task.reference), inputs=task.inputs)
        (profile,) = measure_targets([target], msgspec.structs.replace(options, formulas=task.formulas))
    except ArchauditError as error:
        return Variant(
            reference=task.name,
            input=_write_specs(task.inputs),
            choices=task.choices,
            error=error.message.replace(task.reference, task.shown),
        )
    return Variant(
        reference=task.name,
        input=_write_inputs(profile),
        choices=task.choices,
        totals=profile.totals,
        peaks=profile.peaks,
        flops_complete=profile.flops_complete,
    )


def _write_inputs(profile: Profile) -> str:
    return ", ".join("x".join(map(str, each.shape)) + ("" if each.dtype == "float32" else f" {each.dtype}") for each in profile.inputs)


def _write_specs(specs: tuple[InputSpec, ...]) -> str:
    return ", ".join("x".join(map(str, spec.shape)) for spec in specs)


_kept: dict[str, Any] = {}
_keeping = threading.Lock()


def _keep_pool(options: WorkerOptions) -> Fork | None:
    """One pool a process and way of working, started by its first task."""
    key = repr(options)
    with _keeping:
        if key not in _kept:
            stack = ExitStack()
            _kept[key] = stack.enter_context(share_pool(options))
            atexit.register(stack.close)
        fork: Fork | None = _kept[key]
        return fork
