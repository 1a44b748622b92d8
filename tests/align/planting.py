"""Cases with a known answer, and how a comparison is scored against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from align.base_models import make_plan
from align.edits import EDITS, Planted
from align.plan import list_paths

from archaudit.align import align
from archaudit.diff import diff
from archaudit.schema import Diff, ModuleDiff, Profile

MIRRORED = {
    "added": "removed", "removed": "added", "wrapped": "unwrapped", "unwrapped": "wrapped", "split": "merged", "merged": "split",
    "tied": "untied", "untied": "tied", "frozen": "unfrozen", "unfrozen": "frozen",
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Two profiles, what was planted, and the paths of each module (by uid) on both sides."""

    name: str
    before: Profile
    after: Profile
    planted: tuple[Planted, ...]
    paths_before: dict[int, str]
    paths_after: dict[int, str]


@dataclass
class Score:
    """Recognised edits, wrong ones, and modules that are `torn`: unchanged, but shown as removed and added."""

    right: int = 0
    wrong: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)

    def add(self, other: Score) -> None:
        """Counts another score in."""
        self.right += other.right
        self.wrong += other.wrong
        self.torn += other.torn


def make_case(base: str, seed: int, kinds: Sequence[str]) -> Case | None:
    """The base with an edit of each kind planted at places that `seed` chooses; None where the base has no place for any."""
    random = Random(f"{base} {seed} {' '.join(kinds)}")
    before, after = make_plan(base, seed), make_plan(base, seed)
    used: set[int] = set()
    planted = []
    for kind in kinds:
        done = EDITS[kind](after, random, used)
        if done is not None:
            used.update((*done.uids, *done.gone, *done.new))
            planted.append(done)
    if not planted:
        return None
    sides = before.build("before"), after.build("after")
    paths = list_paths(before), list_paths(after)
    if random.random() < 0.5:
        return Case(f"{base}-{seed}-{'+'.join(kinds)}", *sides, tuple(planted), *paths)
    mirrored = tuple(Planted(MIRRORED.get(each.kind, each.kind), each.uids, each.new, each.gone) for each in planted)
    return Case(f"{base}-{seed}-{'+'.join(kinds)}-mirrored", *sides[::-1], mirrored, *paths[::-1])


def compare(case: Case) -> Diff:
    """The comparison of a case."""
    return diff(case.before, case.after, align(case.before, case.after))


def score(case: Case, result: Diff) -> Score:
    """How many planted edits the result recognises, and which unchanged modules it shows as removed and added."""
    found = Score()
    rows_before = {row.before_path: row for row in result.modules if row.before_path is not None}
    rows_after = {row.after_path: row for row in result.modules if row.after_path is not None}
    for planted in case.planted:
        if any(_recognises(case, planted.kind, uid, rows_before, rows_after) for uid in planted.uids) or _recognises_twin(
            case, planted, result
        ):
            found.right += 1
        else:
            rows = [
                _show(rows_before.get(case.paths_before.get(uid, "?")), rows_after.get(case.paths_after.get(uid, "?")))
                for uid in planted.uids
            ]
            found.wrong.append(f"{case.name}: {planted.kind} {rows}")
    for uid, path in case.paths_before.items():
        other = case.paths_after.get(uid)
        if other is not None and rows_before[path].after_path is None and rows_after[other].before_path is None:
            found.torn.append(f"{case.name}: {path} | {other}")
    return found


def _recognises(case: Case, kind: str, uid: int, rows_before: dict[str, ModuleDiff], rows_after: dict[str, ModuleDiff]) -> bool:
    before, after = case.paths_before.get(uid), case.paths_after.get(uid)
    row = rows_before[before] if before is not None else rows_after[after or ""]
    same_pair = before is None or after is None or row.after_path == after
    return kind in row.changes and same_pair


def _recognises_twin(case: Case, planted: Planted, result: Diff) -> bool:
    """Of equal modules in one container nobody can say which one was removed or added; any of them counts."""
    side = {"removed": case.before, "added": case.after}.get(planted.kind)
    if side is None:
        return False
    paths = case.paths_before if planted.kind == "removed" else case.paths_after
    records = {record.path: record for record in side.modules}
    target = records[paths[planted.uids[0]]]
    for row in result.modules:
        path = row.before_path if planted.kind == "removed" else row.after_path
        if planted.kind in row.changes and path is not None:
            other = records[path]
            alike = (other.type, other.settings, other.tensors) == (target.type, target.settings, target.tensors)
            if alike and other.path.rpartition(".")[0] == target.path.rpartition(".")[0]:
                return True
    return False


def _show(before: ModuleDiff | None, after: ModuleDiff | None) -> str:
    rows = [row for row in (before, after) if row is not None]
    return " / ".join(dict.fromkeys(f"{row.before_path} -> {row.after_path}: {','.join(row.changes)}" for row in rows))
