"""Programs saved by torch.export, `model.pt2`: with the modules that they come from, and the inputs that they were exported with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from archaudit.errors import LoadError
from archaudit.load.reference import Reference
from archaudit.schema import InputSpec, Recipe


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for an exported program. It has the names of modules and all operators, but not the classes of modules."""
    path = Path(reference.target).expanduser()
    if not path.is_file():
        raise LoadError(f"there is no file {reference.target}", "Paths are relative to the current folder.")
    try:
        program = torch.export.load(path)
        model = torch.export.unflatten(program)
    except Exception as error:  # torch raises exceptions of many types for an invalid file
        text = " ".join(str(error).split())[:300]
        raise LoadError(f"{reference.text} cannot be read as a program of torch.export: {type(error).__name__}: {text}") from error
    example = program.example_inputs

    def get_inputs() -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = example
        return tuple(args), dict(kwargs)

    assumptions = () if inputs or example is None else ("the input is what the program was exported with",)
    return Recipe(
        name=name,
        reference=reference.text,
        build=lambda: model,
        inputs=inputs,
        example_inputs=get_inputs if example is not None and not inputs else None,
        instance=True,
        sources=(str(path.resolve()),),
        assumptions=("classes of modules are not in an exported program", *assumptions),
    )
