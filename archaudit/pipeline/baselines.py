"""Baselines: the saved profiles that checks compare with, from a folder or a git revision; and `--tighten`."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from archaudit.config import BASELINE, Config, replace_values
from archaudit.errors import ArchauditError, SavedFileError
from archaudit.judge import is_of_other_model, judge
from archaudit.pipeline.checks import list_budgets
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import find_baseline_folder, read_profile
from archaudit.schema import Check, Profile, Record, Verdict, decode_profile


def read_baselines(checks: Iterable[Check], options: Options) -> dict[str, Profile | ArchauditError]:
    """The saved profiles that checks compare with, by run; the error in place of one that cannot be read; a missing one is left out.

    Raises RevisionError if the baselines' revision does not exist.
    """
    runs = dict.fromkeys(check.run for check in checks if check.against == BASELINE)
    if not runs or (options.baselines is None and options.config is None):
        return {}
    read = _read_saved if options.baseline_revision is None else _open_revision(options.baseline_revision, options)
    baselines: dict[str, Profile | ArchauditError] = {}
    for run in runs:
        try:
            found = read(find_baseline_folder(options) / f"{run}.json")
        except ArchauditError as error:
            baselines[run] = error
        else:
            if found is not None:
                baselines[run] = found
    return baselines


def read_earlier(
    checks: Iterable[Check], baselines: Mapping[str, Profile | ArchauditError], profiles: Mapping[str, Profile], options: Options
) -> dict[str, Profile]:
    """The baselines from which a failed `max` counts what grew, by run: those of the same model, of checks that need none otherwise.

    A baseline that is missing, or cannot be read, is left out: these checks do not depend on it.
    """
    limits = [check for check in checks if check.against is None and check.comparison == "max"]
    failed = [check for check, verdict in zip(limits, judge(limits, profiles, {}), strict=True) if verdict.outcome == "failed"]
    wanted = [msgspec.structs.replace(check, against=BASELINE) for check in failed if check.run not in baselines]
    try:
        found = {**read_baselines(wanted, options), **baselines}
    except ArchauditError:
        return {}
    return {
        run: baseline
        for run, baseline in found.items()
        if isinstance(baseline, Profile) and run in profiles and not is_of_other_model(baseline, profiles[run])
    }


def _read_saved(path: Path) -> Profile | None:
    return read_profile(path) if path.exists() else None


def _open_revision(revision: str, options: Options) -> Callable[[Path], Profile]:
    """A function that reads baselines at a revision, without a checkout."""
    from archaudit.revisions import find_repository  # starts git, and is rarely needed

    folder = find_baseline_folder(options)
    repository = find_repository(folder)
    commit = repository.find_commit(revision)

    def read(path: Path) -> Profile:
        place = os.path.relpath(os.path.realpath(path), os.path.realpath(repository.toplevel)).replace(os.sep, "/")
        data = repository.read_file(commit, place)
        if data is None:
            raise SavedFileError(f"{revision} has no {place}", f"Commit a baseline there first: archaudit baseline {path.stem}")
        return decode_profile(data, f"{revision}:{place}")

    return read


# --- `archaudit baseline --tighten`: limits are lowered to what was measured, and never raised ---------------------------


_LIMITS = ("max", "min")
_KEY = re.compile(r"(\w+)\[(\d+)\]\Z")


class Tightening(Record, frozen=True, kw_only=True):
    """A config with tighter limits: its file, the new text, and each change as a sentence."""

    path: Path
    text: str
    changes: tuple[str, ...]


def tighten(config: Config, profiles: dict[str, Profile], names: Sequence[str]) -> Tightening | None:
    """The config with its limits set to what the models measure; None if no limit becomes tighter.

    Only `max` and `min` of level error change: a limit for several models follows the one nearest to it. A limit that fails or cannot be
    judged for one of its models stays, and so does a limit with a last day.
    """
    checks = [check for check in list_budgets(config, ())[0] if check.comparison in _LIMITS and check.level == "error" and not check.until]
    groups: dict[tuple[str, int, str], list[Check]] = defaultdict(list)
    for check in checks:
        if found := _KEY.search(check.key or ""):
            groups[found[1], int(found[2]), check.comparison].append(check)
    values, changes = {}, []
    for place, members in groups.items():
        if names and not any(check.model in names for check in members):
            continue
        value = _find_tightest(members, judge(members, profiles, {}), profiles)
        if value is not None:
            values[place] = value
            scope = f" of {' + '.join(members[0].scope)}" if any(members[0].scope) else ""
            changes.append(f"{members[0].key}: {place[2]} {members[0].metric}{scope}: {members[0].expected} → {value:,}")
    if not values:
        return None
    path = config.folder / Path(config.source).name
    return Tightening(path=path, text=replace_values(path, values), changes=tuple(changes))


def _find_tightest(checks: Sequence[Check], verdicts: Iterable[Verdict], profiles: dict[str, Profile]) -> int | None:
    """The measured number nearest to the limit; None unless all checks pass and it is tighter."""
    measured = [verdict.actual for verdict in verdicts if verdict.outcome == "passed" and verdict.actual is not None]
    limit = checks[0].figure
    if len(measured) < len(checks) or limit is None:
        return None
    is_max = checks[0].comparison == "max"
    value = (max if is_max else min)(measured)
    return int(value) if value == int(value) and (value < limit.value if is_max else value > limit.value) else None


def list_needed(config: Config, names: Sequence[str]) -> list[str]:
    """The models to measure: a limit for several models needs all of them."""
    checks = [check for check in list_budgets(config, ())[0] if check.comparison in _LIMITS]
    keys = {check.key for check in checks if not names or check.model in names}
    return list(dict.fromkeys(check.model for check in checks if check.key in keys))


def list_worse(config: Config, profiles: dict[str, Profile], options: Options) -> list[str]:
    """The runs that fail a check against their baselines: these baselines are not replaced, since --tighten raises no limit."""
    checks = [check for check in list_budgets(config, ())[0] if check.origin == "baseline" and check.run in profiles]
    verdicts = judge(checks, profiles, read_baselines(checks, options))
    return list(dict.fromkeys(check.run for check, verdict in zip(checks, verdicts, strict=True) if verdict.outcome == "failed"))
