"""Baselines: the saved profiles that checks compare with, from a folder or from a git revision."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from archaudit.config import BASELINE
from archaudit.errors import ArchauditError, SavedFileError
from archaudit.pipeline.options import Options
from archaudit.pipeline.sides.targets import read_profile
from archaudit.schema import Check, Profile, decode_profile


def find_folder(options: Options) -> Path:
    """Where baselines are: what was asked for, else what the config says."""
    return options.baselines or (options.config.baselines if options.config is not None else Path("baselines"))


def read_baselines(checks: Iterable[Check], options: Options) -> dict[str, Profile | ArchauditError]:
    """The saved profiles that checks compare with, by run; one that cannot be read stands as its error, a missing one is left out.

    Raises RevisionError where a revision was asked for that is not there.
    """
    runs = dict.fromkeys(check.run for check in checks if check.against == BASELINE)
    if not runs or (options.baselines is None and options.config is None):
        return {}
    read = _read_saved if options.baseline_revision is None else _open_revision(options.baseline_revision, options)
    baselines: dict[str, Profile | ArchauditError] = {}
    for run in runs:
        try:
            found = read(find_folder(options) / f"{run}.json")
        except ArchauditError as error:
            baselines[run] = error
        else:
            if found is not None:
                baselines[run] = found
    return baselines


def _read_saved(path: Path) -> Profile | None:
    return read_profile(path) if path.exists() else None


def _open_revision(revision: str, options: Options) -> Callable[[Path], Profile]:
    """Reads baselines as they were at a revision: nothing is checked out."""
    from archaudit.revisions import find_repository  # which starts git, and is rarely needed

    folder = find_folder(options)
    repository = find_repository(folder)
    commit = repository.find_commit(revision)

    def read(path: Path) -> Profile:
        place = os.path.relpath(os.path.realpath(path), os.path.realpath(repository.toplevel)).replace(os.sep, "/")
        data = repository.read_file(commit, place)
        if data is None:
            raise SavedFileError(f"{revision} has no {place}", f"Commit a baseline there first: archaudit baseline {path.stem}")
        return decode_profile(data, f"{revision}:{place}")

    return read
