"""What explains a judgement that is not green: how a model differs from its baseline, and where what caused it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path

from archaudit.errors import ArchauditError
from archaudit.pipeline.comparing import compare_plain
from archaudit.pipeline.options import Options
from archaudit.schema import Profile, Report, SourceLine, Verdict, name_run

# A class is looked for in the model's own files, then in those beside them: as many as a package has, not a whole disk.
_MOST_FILES = 300


def list_mismatches(
    verdicts: Iterable[Verdict], profiles: Mapping[str, Profile], baselines: Mapping[str, Profile | ArchauditError], options: Options
) -> dict[str, Report]:
    """By run: how a model differs from its baseline, for those that a check against it does not pass."""
    differences: dict[str, Report] = {}
    for verdict in verdicts:
        run = name_run(verdict.model, verdict.scenario)
        baseline = baselines.get(run)
        if verdict.outcome == "passed" or verdict.origin != "baseline" or run in differences or run not in profiles:
            continue
        if isinstance(baseline, Profile):
            options.notify(f"comparing {run} with its baseline")
            differences[run] = compare_plain(baseline, profiles[run])
    return differences


def locate_culprits(verdicts: Iterable[Verdict], profiles: Mapping[str, Profile]) -> dict[str, SourceLine]:
    """By check that is not green: the class of the module that caused most of it, or of the nearest module above that is the user's own."""
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
    """The class of the module at `path`, or of the nearest one above it that is no library's; empty where none is known."""
    modules = {module.path: module for module in profile.modules}
    while True:
        module = modules.get(path)
        if module is not None and module.defined_in == "":
            return module.type
        if not path:
            return ""
        path = path.rpartition(".")[0]


def find_class(name: str, sources: Iterable[Path]) -> SourceLine | None:
    """Where a class is defined: in one of the sources, or in a Python file beside them."""
    head = re.compile(rf"^[ \t]*class[ \t]+{re.escape(name)}\b", re.MULTILINE)
    files = [source for source in sources if source.suffix == ".py"]
    beside = (file for source in files for file in islice(_walk(source.parent), _MOST_FILES))
    for file in chain(files, beside):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:  # gone, or not ours to read: then it is not there that it is found
            continue
        if match := head.search(text):
            return SourceLine(file=_show(file), line=text.count("\n", 0, match.start()) + 1 + match[0].count("\n"))
    return None


def _walk(folder: Path) -> Iterator[Path]:
    """The Python files of a folder and those below it, but for hidden ones, in the same order everywhere."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__")))
        yield from (Path(place, name) for name in sorted(names) if name.endswith(".py"))


def _show(file: Path) -> str:
    """A path from the top of its repository, as annotations need it; from the current folder where there is none."""
    file = file.resolve()
    top = next((folder for folder in file.parents if (folder / ".git").exists()), Path.cwd())
    return (file.relative_to(top) if file.is_relative_to(top) else file).as_posix()
