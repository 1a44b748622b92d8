"""The metrics of a model at every commit that touched its sources, and the modules that made a metric jump."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from archaudit.history.commits import CommitMeasurer, CommitResult, list_range, open_measurer
from archaudit.history.relevance import Relevance
from archaudit.index import index_modules
from archaudit.metrics.catalog import METRICS
from archaudit.pipeline import Options, diff_profiles
from archaudit.pipeline.profile_diff import compare_plain
from archaudit.render.view.sentences import explain_changes
from archaudit.schema import Contribution, History, HistoryStep, Jump, ModuleDiff, Profile

DEFAULT_METRICS = ("params", "flops")
# The share of a metric by which it must change from one commit to the next to be shown as a jump: smaller changes hide the important ones.
JUMP_SHARE = 0.01
_MOST_LAYERS = 3


def trace_history(reference: str, commits: str | None, options: Options, metrics: Sequence[str] = DEFAULT_METRICS) -> History:
    """The history of a model over a range of commits (None: all up to HEAD) along first parents.

    It is traced from the newest commit back, since the sources at a commit say which earlier commit touched them last. It ends at the
    commit that added the reference's file.
    """
    with open_measurer(reference, options) as measurer:
        start, listed = list_range(measurer.repository, commits)
        skipped: list[str] = []
        results = _trace_back(measurer, start, listed, skipped)
        steps = _make_steps(measurer, results, metrics)
        left_out = tuple(measurer.describe(commit) for commit in reversed(skipped))
    untouched = len(listed) - len(skipped) - sum(1 for result in results if result.commit != start)
    return History(reference=reference, steps=tuple(steps), untouched=max(0, untouched), skipped=left_out)


def _trace_back(measurer: CommitMeasurer, start: str | None, commits: Sequence[str], skipped: list[str]) -> list[CommitResult]:
    """The results at the commits that touched the model, oldest first; the first is the state before the range.

    `skipped` gets the commits that touched its files, but no code that it can reach.
    """
    relevance = Relevance(measurer.reference, everything=measurer.has_harness)
    changes = measurer.repository.list_changes(start, commits[-1])
    found: list[CommitResult] = []
    current = measurer.measure(commits[-1])
    sources = set(current.sources) | {measurer.path}
    for place in reversed(range(len(commits))):
        measurer.advance(len(commits) - 1 - place, len(commits))
        older = commits[place - 1] if place else start
        if not _touches(changes.get(commits[place], ()), sources):
            if older is None:
                found.append(_replace_commit(current, commits[place]))
            continue
        if older is not None and _is_irrelevant(measurer, relevance, (older, commits[place]), changes[commits[place]], sources):
            skipped.append(commits[place])
            continue
        found.append(_replace_commit(current, commits[place]))
        if older is None or not measurer.exists(older):
            return found[::-1]
        current = measurer.measure(older)
        sources = (set(current.sources) or sources) | {measurer.find_path(older)}
    if start is not None:
        found.append(_replace_commit(current, start))
    return found[::-1]


def _replace_commit(result: CommitResult, commit: str) -> CommitResult:
    """The same model, at the commit that made it so."""
    return msgspec.structs.replace(result, commit=commit)


def _touches(changed: Sequence[tuple[str, str]], sources: set[str]) -> bool:
    """Whether a commit changed a source, or added or removed a Python file in the same folder, which may shadow another module."""
    folders = {source.rpartition("/")[0] for source in sources}
    return any(
        path in sources or (status in "AD" and path.endswith(".py") and path.rpartition("/")[0] in folders) for status, path in changed
    )


def _is_irrelevant(
    measurer: CommitMeasurer, relevance: Relevance, commits: tuple[str, str], changed: Sequence[tuple[str, str]], sources: set[str]
) -> bool:
    """Whether a commit changed the model's Python files only where the model cannot reach: comments, and code of other things."""
    if not all(path.endswith(".py") for status, path in changed if path in sources):
        return False
    digests = set()
    for commit in commits:
        read = partial(measurer.repository.read_file, commit)
        path = measurer.find_path(commit) if measurer.exists(commit) else ""
        files = sources | (relevance.list_imported(path, measurer.repository.list_tree(commit), read) if path else set())
        digests.add(relevance.digest({name: content for name in files if (content := read(name)) is not None}, path))
    return len(digests) == 1


def _make_steps(measurer: CommitMeasurer, results: Sequence[CommitResult], metrics: Sequence[str]) -> list[HistoryStep]:
    steps: list[HistoryStep] = []
    last: Profile | None = None
    for result in results:
        step = measurer.describe(result.commit, result)
        if result.profile is not None:
            if last is not None:
                structure = "" if _is_same(last, result.profile) else _describe_structure(last, result.profile)
                jumps = _find_jumps(last, result.profile, metrics)
                step = msgspec.structs.replace(step, jumps=jumps, same=not structure and not jumps, structure=structure)
            last = result.profile
        steps.append(step)
    return steps


def _is_same(before: Profile, after: Profile) -> bool:
    """Whether two profiles are of one architecture with one input."""
    return all(getattr(before, part) == getattr(after, part) for part in ("modules", "flow", "programs", "totals", "inputs"))


def _describe_structure(before: Profile, after: Profile) -> str:
    """What changed, as the headline of a comparison says it, and whether the input did; empty where nothing did, as after a refactoring."""
    text = explain_changes(compare_plain(before, after)).removeprefix("Modules: ").removesuffix(".")
    text = "" if text == "none changed" else text.removeprefix("none changed; ")
    return "; ".join(filter(None, (text, "another input" if before.inputs != after.inputs else "")))


def _find_jumps(before: Profile, after: Profile, metrics: Sequence[str]) -> tuple[Jump, ...]:
    jumped = []
    for metric in metrics:
        old, new = read_total(before, metric), read_total(after, metric)
        if old is not None and new is not None and abs(new - old) > JUMP_SHARE * old:
            jumped.append((metric, old, new))
    if not jumped:
        return ()
    rows = diff_profiles(before, after).modules
    return tuple(
        Jump(metric=metric, before=old, after=new, layers=_list_contributions(before, after, rows, metric)) for metric, old, new in jumped
    )


def _list_contributions(before: Profile, after: Profile, rows: Sequence[ModuleDiff], metric: str) -> tuple[Contribution, ...]:
    """The modules with the largest changes of an additive metric; none for another metric."""
    if not METRICS[metric].additive:
        return ()
    changed = [(delta, row) for row in rows if (delta := getattr(row.own_delta, metric, 0))]
    largest = sorted(changed, key=lambda each: -abs(each[0]))[:_MOST_LAYERS]
    found = []
    for delta, row in largest:
        side, path = (before, row.before_path) if row.after_path is None else (after, row.after_path)
        module = index_modules(side).get(path)
        assert module is not None
        found.append(Contribution(path=module.path, type=module.type, delta=delta))
    return tuple(found)


def read_total(profile: Profile, metric: str) -> int | None:
    """A metric of the whole model; the counted part where FLOPs are incomplete."""
    known = METRICS[metric]
    if known.of_cost is not None:
        return known.of_cost(profile.totals)
    return known.of_profile(profile) if known.of_profile is not None else None
