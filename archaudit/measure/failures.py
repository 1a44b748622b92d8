"""Explains why a model could not be built or run: the most informative of several errors, the module that raised it, the user's lines."""

from __future__ import annotations

import linecache
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from archaudit.errors import ArchauditError, MeasureError, describe_error
from archaudit.measure.building import describe_inputs, needs_missing_device
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tape import Tape
from archaudit.schema import Recipe
from archaudit.schema.record import join_repeated

_OWN_FOLDER = str(Path(__file__).resolve().parents[1])
_EXAMPLES_FOLDER = str(Path(_OWN_FOLDER) / "examples")
_TORCH_FOLDER = str(Path(torch.__file__).resolve().parent)
_MOST_LINES = 3


@dataclass(slots=True)
class Attempt:
    """A failed attempt to build and run the model in one build mode: its error, how far it got, and the module that raised.

    `operators` is the number of operators that ran before the error.
    """

    build_mode: str
    error: BaseException | None = None
    tree: ModuleTree | None = None
    built: bool = False
    inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    module: int | None = None
    operators: int = 0

    def locate(self, started: list[Tape]) -> None:
        """Takes the module that raised and the number of operators before the error from the tape of this attempt, if there is one."""
        if started:
            self.operators = len(started[0].entries)
            if started[0].failed_error is self.error:
                self.module = started[0].failed_module

    def summarise(self) -> str:
        """`meta: NotImplementedError: ...`, on one line."""
        return f"{self.build_mode}: {describe_error(self.error)}"

    def needed_a_value(self) -> bool:
        """Whether the attempt failed because the model read a value from a tensor without values."""
        text = describe_error(self.error, with_type=False)
        return "meta tensors" in text or "data-dependent" in text.lower() or type(self.error).__name__.startswith("DataDependent")


def explain_failures(recipe: Recipe, attempts: list[Attempt]) -> ArchauditError:
    """The error to show: that of the real run if there was one, else that of the run that got furthest.

    It has one to three lines with the module and the user's line. Without a real run the error may come from torch: its meta kernels reject
    some calls that its CPU kernels accept. The message says so.
    """
    attempt = next((attempt for attempt in attempts if attempt.build_mode == "real"), None)
    attempt = attempt or max(attempts, key=lambda each: (each.built, each.operators))
    error = attempt.error
    if isinstance(error, ArchauditError):
        return error
    text = describe_error(error)
    lines = _find_user_lines(error)
    if needs_missing_device(error):
        lines.append("This machine does not have the device. Make the device an argument of the model, or measure it where there is one.")
    if not attempt.built:
        return MeasureError(f"{recipe.reference} raised while it was built: {text}", "\n".join(lines) or None)
    if attempt.tree is None or attempt.inputs is None:
        return MeasureError(f"{recipe.reference}: its inputs could not be made: {text}", "\n".join(lines) or None)
    where = "forward"
    if attempt.module is not None and attempt.tree.paths[attempt.module]:
        where = f"{attempt.tree.paths[attempt.module]} ({type(attempt.tree.modules[attempt.module]).__name__})"
    shapes = join_repeated("x".join(map(str, record.shape)) or "scalar" for record in describe_inputs(*attempt.inputs))
    # --input applies only to a model that is named on the command line or in a config
    other_input = "pass it another input." if recipe.instance and not recipe.sources else "another input: --input."
    hint = f"It was run {f'on {shapes}' if shapes else 'without a tensor'}; {other_input}"
    if recipe.default_inputs is not None and not recipe.inputs and recipe.example_inputs is None:
        hint += " The input is a default of archaudit, which may not fit this model."
    if attempt.build_mode != "real" and attempts[-1].build_mode != "real" and not needs_missing_device(error):
        hint += " It is too large to be run for real, so it was run without values; with values it may run without this error."
    return MeasureError(f"{recipe.reference}: {where} raised {text}", "\n".join([*lines, hint]))


def _find_user_lines(error: BaseException | None) -> list[str]:
    """The last lines of the traceback outside torch and archaudit, innermost last."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    own = [frame for frame in frames if _is_user_file(frame.filename)]
    return [
        f"  {Path(frame.filename).name}:{frame.lineno}, in {frame.name}: {linecache.getline(frame.filename, frame.lineno or 0).strip()}"
        for frame in own[-_MOST_LINES:]
    ]


def _is_user_file(filename: str) -> bool:
    if filename.startswith(_EXAMPLES_FOLDER):
        return True
    return not filename.startswith((_OWN_FOLDER, _TORCH_FOLDER, "<")) and "importlib" not in filename
