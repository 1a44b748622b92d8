"""How to build and run a model that was found, and the git revision that it comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archaudit.schema.record import Record, Shape


class InputSpec(Record, frozen=True, kw_only=True):
    """One input as the user gives it; `name` is None for a positional one.

    `values` says how its elements are made (`randint(0,32000)`), empty for the default of its dtype. With `source` it is read from a file
    (`inputs.npz`) or made by a function (`file.py:make_inputs`), and the shape is not known.
    """

    shape: Shape = ()
    dtype: str = "float32"
    name: str | None = None
    values: str = ""
    source: str = ""


class Recipe(Record, frozen=True, kw_only=True):
    """How to build a model and its inputs. Nothing is built yet.

    `build()` returns the module. It is called again under another device context when a way of measuring fails. The inputs are `inputs` if
    given, else the result of `example_inputs()`: a tensor, a tuple of arguments, a dict of keyword arguments, or a pair `(args, kwargs)`;
    else the keyword arguments that `default_inputs(model)` makes for the built model, if it knows any (None if not).
    Any InputSpec in the result of `example_inputs()` is replaced by its tensor.
    With `instance`, `build()` returns the same live model each time, which must not be changed. `sources` are the files that the model was
    read from; `assumptions` go to the ledger. `device` is the one whose operators are assumed for the memory: `cpu` or `cuda`. The built
    model and its floating-point inputs are cast to `dtype` if given; `configured_dtype` is the one that the model's own configuration
    names, in which `build()` makes it.
    """

    name: str
    reference: str
    build: Callable[[], Any]
    inputs: tuple[InputSpec, ...] = ()
    example_inputs: Callable[[], Any] | None = None
    default_inputs: Callable[[Any], dict[str, Any] | None] | None = None
    instance: bool = False
    sources: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    device: str = "cpu"
    dtype: str | None = None
    configured_dtype: str | None = None


# --- a checkout of a git revision, and everything that measuring a model of it read ---


class Checkout(Record, frozen=True, kw_only=True):
    """Where the files of a revision are: `root` corresponds to the user's `toplevel`, and `folder` in it to the user's current folder.

    `text` is the reference as the user typed it.
    """

    root: str
    toplevel: str
    folder: str
    text: str


class FileState(Record, frozen=True, kw_only=True):
    """What lay at a path outside the revision when it was read.

    `kind` is `file`, `folder` (its names were read), `folder with sizes`, `any folder` (only its existence was checked), `missing`, or
    `other` (a device or pipe). `target` is the path without symbolic links, `identity` its device, inode, size and times, `digest` that of
    the content. Without a digest only the same identity is the same file.
    """

    kind: str = "missing"
    target: str = ""
    identity: tuple[int, ...] = ()
    digest: str | None = None


class Dependencies(Record, frozen=True, kw_only=True):
    """Everything that a profile depends on besides its settings.

    `sources` are files of the revision by their paths from its top; `outside` are all other files and the folders that were searched;
    `environ` are the environment variables that were read, with digests of their values. `refusal` is the reason why there may be more
    dependencies than these: then the profile is not cached.
    """

    sources: tuple[str, ...] = ()
    outside: dict[str, FileState] = {}
    environ: dict[str, str | None] = {}
    refusal: str | None = None
