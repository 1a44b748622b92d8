"""How to build and run a model that was found; nothing was built yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archaudit.schema.record import Record, Shape


class InputSpec(Record, frozen=True, kw_only=True):
    """One input as the user asked for it: `name` is None for a positional one."""

    shape: Shape
    dtype: str = "float32"
    name: str | None = None


class Recipe(Record, frozen=True, kw_only=True):
    """How to get a model, without having built anything yet.

    `build()` returns the module; it may be called again, under another device context, when a way of measuring fails. The inputs are
    `inputs` when given, else what `example_inputs()` returns: a tensor, a tuple of arguments, a dict of keyword arguments, or a
    pair `(args, kwargs)`. `instance` says that `build()` returns one and the same live model each time, which must stay as it is.
    `sources` are the files that the model was read from; `assumptions` go to the ledger.
    """

    name: str
    reference: str
    build: Callable[[], Any]
    inputs: tuple[InputSpec, ...] = ()
    example_inputs: Callable[[], Any] | None = None
    instance: bool = False
    sources: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
