"""A revision that was checked out aside, and what measuring a model of it really read."""

from __future__ import annotations

from archaudit.schema.record import Record


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
