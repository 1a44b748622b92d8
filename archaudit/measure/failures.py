"""Telling why a model could not be built or run: the truest of several errors, the module it came from, the user's own lines."""

from __future__ import annotations

import linecache
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from archaudit.errors import ArchauditError, MeasureError
from archaudit.measure.building import asks_for_device, describe_inputs
from archaudit.measure.structure.tree import ModuleTree
from archaudit.measure.tape import Tape
from archaudit.schema import Recipe

_LONGEST_MESSAGE = 300
_OWN_FOLDER = str(Path(__file__).resolve().parents[1])
_EXAMPLES_FOLDER = str(Path(_OWN_FOLDER) / "examples")
_TORCH_FOLDER = str(Path(torch.__file__).resolve().parent)
_MOST_LINES = 3


@dataclass(slots=True)
class Attempt:
    """One failed rung: what it met, how far it came, and where in the model."""

    rung: str
    error: BaseException | None = None
    tree: ModuleTree | None = None
    built: bool = False
    inputs: tuple[tuple[Any, ...], dict[str, Any]] | None = None
    module: int | None = None
    operators: int = 0

    def locate(self, started: list[Tape]) -> None:
        """Takes from a tape that was begun the module that raised, and how many operators ran before."""
        if started:
            self.operators = len(started[0].entries)
            if started[0].failed_error is self.error:
                self.module = started[0].failed_module

    def summarise(self) -> str:
        """`meta: NotImplementedError: ...`, one line."""
        return f"{self.rung}: {type(self.error).__name__}: {_first_line(self.error)}"

    def asked_for_a_value(self) -> bool:
        """Whether it failed because a tensor without values was asked for one."""
        text = str(self.error)
        return "meta tensors" in text or "data-dependent" in text.lower() or type(self.error).__name__.startswith("DataDependent")


def explain_failures(recipe: Recipe, attempts: list[Attempt]) -> ArchauditError:
    """The error to show: a real run's if there was one, else that of the run that came furthest, the first of equals.

    One to three lines, naming module and line of the user's code. Without a real run the error may be torch's own: its meta kernels refuse
    some of what its CPU kernels run. The message says so.
    """
    attempt = next((attempt for attempt in attempts if attempt.rung == "real"), None)
    attempt = attempt or max(attempts, key=lambda each: (each.built, each.operators))
    error = attempt.error
    if isinstance(error, ArchauditError):
        return error
    text = f"{type(error).__name__}: {_first_line(error)}"
    lines = _user_lines(error)
    if asks_for_device(error):
        lines.append("It needs a device that is not here: leave the choice of the device to the caller, or measure it where there is one.")
    if not attempt.built:
        return MeasureError(f"{recipe.reference} raised while it was built: {text}", "\n".join(lines) or None)
    if attempt.tree is None or attempt.inputs is None:
        return MeasureError(f"{recipe.reference}: its inputs could not be made: {text}", "\n".join(lines) or None)
    where = "forward"
    if attempt.module is not None and attempt.tree.paths[attempt.module]:
        where = f"{attempt.tree.paths[attempt.module]} ({type(attempt.tree.modules[attempt.module]).__name__})"
    shapes = ", ".join("x".join(map(str, record.shape)) or "scalar" for record in describe_inputs(*attempt.inputs))
    # only what was named on a command line, or in a config, takes its input from there
    another = "pass it another input." if recipe.instance and not recipe.sources else "another input: --input."
    hint = f"It was run {f'on {shapes}' if shapes else 'without a tensor'}; {another}"
    if attempt.rung != "real" and attempts[-1].rung != "real" and not asks_for_device(error):
        hint += " It was run without values, being too large to run for real: the model may run where it has values."
    return MeasureError(f"{recipe.reference}: {where} raised {text}", "\n".join([*lines, hint]))


def _first_line(error: BaseException | None) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def _user_lines(error: BaseException | None) -> list[str]:
    """The lines of the traceback that are neither torch's, ours nor an installed library's: innermost last, the last few only."""
    frames = traceback.extract_tb(error.__traceback__) if error is not None else []
    own = [frame for frame in frames if _is_users(frame.filename)]
    return [
        f"  {Path(frame.filename).name}:{frame.lineno}, in {frame.name}: {linecache.getline(frame.filename, frame.lineno or 0).strip()}"
        for frame in own[-_MOST_LINES:]
    ]


def _is_users(filename: str) -> bool:
    if filename.startswith(_EXAMPLES_FOLDER):
        return True
    return not filename.startswith((_OWN_FOLDER, _TORCH_FOLDER, "<")) and "importlib" not in filename
