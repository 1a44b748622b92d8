"""Turns activation checkpointing on: by the model's own flag, or for the modules that patterns match."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import ModuleTree
from archaudit.schema import TrainingSettings

# The value of `TrainingSettings.checkpoint` that uses the model's own flag.
BY_MODEL = "model"


@contextmanager
def with_checkpoints(model: nn.Module, tree: ModuleTree, settings: TrainingSettings) -> Iterator[None]:
    """While open, the parts of the model that `settings` says are checkpointed.

    Raises MeasureError if the model has no flag for it, or if no module matches the patterns.
    """
    if not settings.checkpoint:
        yield
        return
    turn_off = _turn_on(model, settings) if settings.checkpoint == BY_MODEL else _wrap(tree, settings)
    try:
        yield
    finally:
        turn_off()


def _turn_on(model: nn.Module, settings: TrainingSettings) -> Callable[[], None]:
    """Uses the flag of transformers and diffusers, or that of timm."""
    for turn_on, turn_off, keyword in _FLAGS:
        enable, disable = getattr(model, turn_on, None), getattr(model, turn_off, None)
        if callable(enable) and callable(disable):
            takes_keyword = keyword in inspect.signature(enable).parameters
            try:
                enable(**({keyword: {"use_reentrant": settings.reentrant}} if takes_keyword else {}))
            except ValueError as error:  # transformers: the architecture does not support it
                raise MeasureError(f"{type(model).__name__} cannot be checkpointed: {error}", _HINT) from error
            return disable  # type: ignore[no-any-return]
    set_checkpoints = getattr(model, "set_grad_checkpointing", None)
    if callable(set_checkpoints):
        set_checkpoints(True)
        return lambda: set_checkpoints(False)
    raise MeasureError(f"{type(model).__name__} has no flag for activation checkpointing", _HINT)


_FLAGS = (
    ("activation_checkpointing_enable", "activation_checkpointing_disable", "activation_checkpointing_kwargs"),
    ("gradient_checkpointing_enable", "gradient_checkpointing_disable", "gradient_checkpointing_kwargs"),  # earlier versions
    ("enable_gradient_checkpointing", "disable_gradient_checkpointing", ""),
)
_HINT = "Name the modules that are checkpointed: --checkpoint-modules 'layers.*'."


def _wrap(tree: ModuleTree, settings: TrainingSettings) -> Callable[[], None]:
    """Checkpoints each matched module; `*` matches one part of a path."""
    patterns = [each.strip() for each in settings.checkpoint.split(",") if each.strip()]
    chosen = [position for position, path in enumerate(tree.paths) if any(_matches(path, pattern) for pattern in patterns)]
    if not chosen:
        raise MeasureError(f"no module matches {settings.checkpoint!r}", f"Modules: {', '.join(tree.paths[1:6])}, ...")
    for position in chosen:
        module = tree.modules[position]
        module.__dict__["forward"] = _run_checkpointed(module.forward, settings.reentrant)

    def unwrap() -> None:
        for position in chosen:
            tree.modules[position].__dict__.pop("forward", None)

    return unwrap


def _matches(path: str, pattern: str) -> bool:
    parts, wanted = path.split("."), pattern.split(".")
    return bool(path) and len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _run_checkpointed(forward: Callable[..., Any], reentrant: bool) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        if not reentrant:
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)
        return checkpoint(lambda *given: forward(*given, **kwargs), *args, use_reentrant=True)

    return run
