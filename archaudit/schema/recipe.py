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


# --- a revision that was checked out aside, and what measuring a model of it really read ---


class Checkout(Record, frozen=True, kw_only=True):
    """Where the files of a revision are: `root` stands for the user's `toplevel`, and `folder` for the folder the user stands in.

    `text` is the reference as the user typed it.
    """

    root: str
    toplevel: str
    folder: str
    text: str


class Stamp(Record, frozen=True, kw_only=True):
    """What a file outside the revision was when it was read: size and time of last change, or None where there was none."""

    size: int | None = None
    changed_ns: int | None = None


class Footprint(Record, frozen=True, kw_only=True):
    """Everything that a profile depends on besides what was asked for.

    `sources` are files of the revision, by path from its top; `outside` all others, folders that were searched included; `environ` the
    variables that were asked for, with digests of their values. `refusal` says why that may not be all: then the profile is not kept.
    """

    sources: tuple[str, ...] = ()
    outside: dict[str, Stamp] = {}
    environ: dict[str, str | None] = {}
    refusal: str | None = None
