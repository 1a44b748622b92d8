"""Explanations of failed checks: how a model differs from its baseline, and the source lines of the classes that cause it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from archaudit.errors import ArchauditError
from archaudit.index import index_modules
from archaudit.pipeline.options import Options
from archaudit.pipeline.profile_diff import compare_plain
from archaudit.schema import Profile, Report, SourceLine, Verdict, name_run

# A class is searched in the model's own files, then in the files of the same folder: enough for a package, not for a whole disk.
_MOST_FILES = 300


def compare_with_baselines(
    verdicts: Iterable[Verdict], profiles: Mapping[str, Profile], baselines: Mapping[str, Profile | ArchauditError], options: Options
) -> dict[str, Report]:
    """By run: the comparison of a model with its baseline, if a check against the baseline does not pass."""
    differences: dict[str, Report] = {}
    for verdict in verdicts:
        run = name_run(verdict.model, verdict.scenario)
        baseline = baselines.get(run)
        if verdict.outcome == "passed" or verdict.origin != "baseline" or run in differences or run not in profiles:
            continue
        if isinstance(baseline, Profile):
            options.on_stage(f"comparing {run} with its baseline")
            differences[run] = compare_plain(baseline, profiles[run])
    return differences


def locate_classes(verdicts: Iterable[Verdict], profiles: Mapping[str, Profile]) -> dict[str, SourceLine]:
    """By check that does not pass: where the class of its largest contributor is, or of the nearest parent with a class of the user's."""
    places: dict[str, SourceLine] = {}
    found: dict[tuple[str, str], SourceLine | None] = {}
    for verdict in verdicts:
        profile = profiles.get(name_run(verdict.model, verdict.scenario))
        if verdict.outcome == "passed" or profile is None or profile.provenance is None:
            continue
        for path in (*(each.path for each in verdict.contributors), ""):
            name = _find_own_class(profile, path)
            key = profile.reference, name
            if name and key not in found:
                found[key] = find_class(name, [Path(source) for source in profile.provenance.sources])
            place = found.get(key)
            if place is not None:
                places[verdict.id] = place
                break
    return places


def _find_own_class(profile: Profile, path: str) -> str:
    """The class of the module at `path`, or of its nearest parent, that is not from a library; empty if none is known."""
    index = index_modules(profile)
    modules = (index.get(each) for each in (path, *index.walk_up(path)))
    return next((module.type for module in modules if module is not None and module.defined_in == ""), "")


def find_class(name: str, sources: Iterable[Path]) -> SourceLine | None:
    """Where a class is defined: in one of the sources, or in a Python file of the same folders."""
    head = re.compile(rf"^[ \t]*class[ \t]+{re.escape(name)}\b", re.MULTILINE)
    files = [source for source in sources if source.suffix == ".py"]
    siblings = (file for source in files for file in islice(_walk(source.parent), _MOST_FILES))
    for file in chain(files, siblings):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:  # deleted, or not readable: search the other files
            continue
        if match := head.search(text):
            return SourceLine(file=_shorten_path(file), line=text.count("\n", 0, match.start()) + 1 + match[0].count("\n"))
    return None


def _walk(folder: Path) -> Iterator[Path]:
    """The Python files of a folder and those below it, except hidden ones, in the same order on every machine."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield from (Path(place, name) for name in sorted(names) if name.endswith(".py"))


def _shorten_path(file: Path) -> str:
    """A path from the top of its repository, as CI annotations need it; from the current folder if there is no repository."""
    file = file.resolve()
    top = next((folder for folder in file.parents if (folder / ".git").exists()), Path.cwd())
    return (file.relative_to(top) if file.is_relative_to(top) else file).as_posix()
