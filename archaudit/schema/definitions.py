"""What changed in what a model is made of and starts from."""

from __future__ import annotations

from archaudit.schema.record import Record


class InitialisationChange(Record, frozen=True, kw_only=True):
    """A parameter that the constructor initialises otherwise, or initialises now that it is there; None stands for its type's default.

    A path is None where the side has no such parameter.
    """

    before_path: str | None
    after_path: str | None
    before: str | None = None
    after: str | None = None


class ClassUse(Record, frozen=True, kw_only=True):
    """A class of modules on one side: its name, the library that brings it (empty: the user's own), and the modules that are of it."""

    name: str
    defined_in: str | None
    paths: tuple[str, ...]
