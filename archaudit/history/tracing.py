"""The metrics of a model at every commit that touched what it is read from, and the modules that made them jump."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from archaudit.history.commits import Probe, Prober, list_range, open_prober
from archaudit.metrics.catalog import METRICS
from archaudit.pipeline import Options, diff_profiles
from archaudit.schema import Contribution, History, HistoryStep, Jump, Profile

DEFAULT_METRICS = ("params", "flops")
# Of a metric, from one commit to the next: what a reader of a history wants to be pointed at.
JUMP_SHARE = 0.01
_MOST_LAYERS = 3


def trace_history(reference: str, commits: str | None, options: Options, metrics: Sequence[str] = DEFAULT_METRICS) -> History:
    """The history of a model over a range of commits (None: all up to HEAD) along first parents.

    Goes back from the newest: what was read at a commit says which commit touched it last. It ends where the file of the reference begins.
    """
    with open_prober(reference, options) as prober:
        start, listed = list_range(prober.repository, commits)
        touched = _walk_back(prober, start, listed)
        steps = _tell_steps(prober, touched, metrics)
    untouched = len(listed) - sum(1 for probe in touched if probe.commit != start)
    return History(reference=reference, steps=tuple(steps), untouched=max(0, untouched))


def _walk_back(prober: Prober, start: str | None, commits: Sequence[str]) -> list[Probe]:
    """The commits that changed anything about the model, oldest first; the first is where the range begins."""
    changes = prober.repository.list_changes(start, commits[-1])
    found: list[Probe] = []
    newest = prober.probe(commits[-1])
    sources = set(newest.sources) | {prober.path}
    current = newest
    for place in reversed(range(len(commits))):
        prober.advance(len(commits) - 1 - place, len(commits))
        older = commits[place - 1] if place else start
        if not _touches(changes.get(commits[place], ()), sources):
            if older is None:
                found.append(_at(current, commits[place]))
            continue
        found.append(_at(current, commits[place]))
        if older is None or not prober.exists(older):
            return found[::-1]
        current = prober.probe(older)
        sources = (set(current.sources) or sources) | {prober.path_at(older)}
    if start is not None:
        found.append(_at(current, start))
    return found[::-1]


def _at(probe: Probe, commit: str) -> Probe:
    """The same model, at the commit that made it so."""
    return msgspec.structs.replace(probe, commit=commit)


def _touches(changed: Sequence[tuple[str, str]], sources: set[str]) -> bool:
    """Whether a commit changed a source, or added or removed a Python file beside one, which may stand for another."""
    folders = {source.rpartition("/")[0] for source in sources}
    return any(
        path in sources or (status in "AD" and path.endswith(".py") and path.rpartition("/")[0] in folders) for status, path in changed
    )


def _tell_steps(prober: Prober, probes: Sequence[Probe], metrics: Sequence[str]) -> list[HistoryStep]:
    steps: list[HistoryStep] = []
    last: Profile | None = None
    for probe in probes:
        step = prober.describe(probe.commit, probe)
        if probe.profile is not None:
            jumps = _find_jumps(last, probe.profile, metrics) if last is not None else ()
            steps.append(msgspec.structs.replace(step, jumps=jumps))
            last = probe.profile
        else:
            steps.append(step)
    return steps


def _find_jumps(before: Profile, after: Profile, metrics: Sequence[str]) -> tuple[Jump, ...]:
    values = [(name, read_total(before, name), read_total(after, name)) for name in metrics]
    wanted = [(name, was, now) for name, was, now in values if was is not None and now is not None and abs(now - was) > JUMP_SHARE * was]
    if not wanted:
        return ()
    rows = diff_profiles(before, after).modules
    jumps = []
    for name, was, now in wanted:
        parts = [(getattr(row.own_delta, name, 0), row) for row in rows if METRICS[name].additive]
        largest = sorted((part for part in parts if part[0]), key=lambda part: -abs(part[0]))[:_MOST_LAYERS]
        types = {module.path: module.type for profile in (before, after) for module in profile.modules}
        layers = [(row.after_path if row.after_path is not None else row.before_path or "", delta) for delta, row in largest]
        told = tuple(Contribution(path=path, type=types.get(path, ""), delta=delta) for path, delta in layers)
        jumps.append(Jump(metric=name, before=was, after=now, layers=told))
    return tuple(jumps)


def read_total(profile: Profile, metric: str) -> int | None:
    """A metric of the whole model; what was counted where FLOPs are incomplete."""
    known = METRICS[metric]
    if known.of_cost is not None:
        return known.of_cost(profile.totals)
    return known.of_profile(profile) if known.of_profile is not None else None
