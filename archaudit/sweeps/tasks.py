"""The tasks of a sweep: expanding `1x3x{224,384}x{224,384}` and `width_mult=0.5,0.75,1.0`, and measuring one variant."""

from __future__ import annotations

import ast
import atexit
import itertools
import re
import threading
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

import msgspec

from archaudit.errors import ArchauditError, InputError
from archaudit.load.reference import parse_reference
from archaudit.pipeline import Options, Target
from archaudit.pipeline.measuring import measure_targets
from archaudit.schema import InputSpec, Profile, Record, Variant
from archaudit.worker import Fork, WorkerOptions, share_pool

# A plan with more variants than this is more likely a typing error.
MAX_VARIANTS = 10_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_SETTING = re.compile(r"^\s*(?P<name>[^\W\d]\w*)\s*=\s*(?P<values>.+?)\s*$")


def expand_inputs(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of the alternatives in braces. Several texts are several inputs of one model. Raises InputError."""
    return list(itertools.product(*(_expand_braces(text) for text in texts)))


def _expand_braces(text: str) -> list[str]:
    pieces = _BRACES.split(text)
    if any(mark in piece for piece in pieces[::2] for mark in "{}"):
        raise InputError(f"--input {text!r}: the braces do not match", "Write alternatives as in 1x3x{224,384}x{224,384}.")
    alternatives = [[piece] if place % 2 == 0 else [each.strip() for each in piece.split(",")] for place, piece in enumerate(pieces)]
    return ["".join(parts) for parts in itertools.product(*alternatives)]


def expand_settings(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Every combination of the values; a value that is not a Python literal is a string. Raises InputError."""
    names: dict[str, list[Any]] = {}
    for text in texts:
        found = _SETTING.match(text)
        if found is None:
            raise InputError(f"--set {text!r} is not a setting", "Write an argument and its values: --set width=0.5,0.75,1.0.")
        if found["name"] in names:
            raise InputError(f"--set gives {found['name']} twice", "Write all its values in one: --set width=0.5,1.0.")
        names[found["name"]] = _read_values(found["values"])
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*names.values())]


def _read_values(text: str) -> list[Any]:
    """The values between commas; a comma within brackets or quotes is part of a value."""
    try:
        tree = ast.parse(f"[{text}]", mode="eval").body
        if isinstance(tree, ast.List) and tree.elts:
            return [ast.literal_eval(element) for element in tree.elts]
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass  # unquoted names are strings
    return [_read_value(part.strip()) for part in text.split(",") if part.strip()]


def _read_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return text


# --- one variant as a task that can be sent to another machine --------------------------------------------------------


class Task(Record, frozen=True, kw_only=True):
    """A variant to measure: `reference` as it is loaded, `name` as the user typed it, `display` the same with this variant's arguments.

    A task does not depend on the working directory: paths in `reference` are absolute.
    """

    name: str
    display: str
    reference: str
    inputs: tuple[InputSpec, ...] = ()
    choices: dict[str, str] = msgspec.field(default_factory=dict)
    formulas: tuple[str, ...] = ()
    timeout_s: float
    memory_bytes: int | None = None


def run_task(data: bytes) -> bytes:
    """Measures the task in `data` in a worker process and returns the Variant, both as JSON: the function that executors call.

    The pool of worker processes is kept for the next task, and ends with the executor's process.
    """
    task = msgspec.json.decode(data, type=Task)
    workers = WorkerOptions(timeout_s=task.timeout_s, memory_bytes=task.memory_bytes)
    return msgspec.json.encode(
        measure_task(task, Options(other_counters=False, symbolic=False, workers=workers, worker_pool=_get_pool(workers)))
    )


def measure_task(task: Task, options: Options) -> Variant:
    """The variant with its figures, or with the error."""
    try:
        target = Target(name=task.name, key=task.name, reference=parse_reference(task.reference), inputs=task.inputs)
        (profile,) = measure_targets([target], msgspec.structs.replace(options, formulas=task.formulas))
    except ArchauditError as error:
        return Variant(
            reference=task.name,
            input=_format_specs(task.inputs),
            choices=task.choices,
            error=error.message.replace(task.reference, task.display),
        )
    return Variant(
        reference=task.name,
        input=_format_inputs(profile),
        choices=task.choices,
        totals=profile.totals,
        peaks=profile.peaks,
        flops_complete=profile.flops_complete,
        params_complete=profile.params_complete,
        memory_complete=profile.memory_complete,
    )


def _format_inputs(profile: Profile) -> str:
    return ", ".join("x".join(map(str, each.shape)) + ("" if each.dtype == "float32" else f" {each.dtype}") for each in profile.inputs)


def _format_specs(specs: tuple[InputSpec, ...]) -> str:
    return ", ".join("x".join(map(str, spec.shape)) for spec in specs)


_pools: dict[str, Any] = {}
_pools_lock = threading.Lock()


def _get_pool(options: WorkerOptions) -> Fork | None:
    """The pool of this process for these options, started by the first task."""
    key = repr(options)
    with _pools_lock:
        if key not in _pools:
            stack = ExitStack()
            _pools[key] = stack.enter_context(share_pool(options))
            atexit.register(stack.close)
        pool: Fork | None = _pools[key]
        return pool
