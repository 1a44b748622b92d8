"""What happened to each matched module, what it cost, and the sections of the breakdown.

Rows carry own costs, so they add up: the sum of all `own_delta` is the difference of the totals, which `diff` asserts. What a row says of
a module concerns the module itself, as its constructor made it: a container is `same` although a descendant changed, and so is a layer
that costs more only because its input grew (its reason says so).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from archaudit.errors import ArchauditError, ConfigError
from archaudit.metrics import nearest_paths, select_modules
from archaudit.schema import Cost, Diff, Group, Match, ModuleDiff, ModuleRecord, Profile, Setting, TensorRecord, sum_costs

EVERYTHING_ELSE = "everything else"

_NOTHING = Cost()

# A section of the breakdown: its name, and patterns over the paths before and after. An empty side has nothing there.
Section: TypeAlias = tuple[str, Sequence[str], Sequence[str]]


def diff(before: Profile, after: Profile, matches: Iterable[Match], sections: Iterable[Section] = ()) -> Diff:
    """All rows in the order of `matches`, and the groups of `sections`.

    Without sections there are no groups; with some, the groups partition both models, since what no section claims is `everything else`.
    Raises ConfigError for sections that overlap or match nothing, and ArchauditError for a profile that does not add up.
    """
    matches = tuple(matches)
    for profile in (before, after):
        _require_sums(profile)
    _require_each_once(before, [match.before_path for match in matches])
    _require_each_once(after, [match.after_path for match in matches])
    modules_before = {module.path: module for module in before.modules}
    modules_after = {module.path: module for module in after.modules}
    rows = tuple(
        _diff_module(
            match,
            None if match.before_path is None else modules_before[match.before_path],
            None if match.after_path is None else modules_after[match.after_path],
        )
        for match in matches
    )
    delta = after.totals - before.totals
    attributed = sum_costs(row.own_delta for row in rows)
    if attributed != delta:
        raise AssertionError(f"the rows' own deltas come to {attributed}, the totals differ by {delta}")
    return Diff(
        before=before,
        after=after,
        delta=delta,
        flops_complete=before.flops_complete and after.flops_complete,
        modules=rows,
        groups=_group(before, after, tuple(sections)),
    )


def _require_sums(profile: Profile) -> None:
    summed = sum_costs(module.own for module in profile.modules)
    for field in Cost.__struct_fields__:
        parts, whole = getattr(summed, field), getattr(profile.totals, field)
        if parts != whole:
            raise ArchauditError(
                f"the profile of {profile.name} does not add up: its modules have {parts:,} {field}, its totals say {whole:,}",
                "If it was read from a file, the file was changed by hand or damaged: measure the model again.",
            )


def _require_each_once(profile: Profile, matched: Iterable[str | None]) -> None:
    paths = sorted(path for path in matched if path is not None)
    if paths != sorted(module.path for module in profile.modules):
        raise AssertionError(f"the matches do not cover each module of {profile.name} exactly once")


# --- one module -----------------------------------------------------------------------------------------------------


def _diff_module(match: Match, before: ModuleRecord | None, after: ModuleRecord | None) -> ModuleDiff:
    own_delta = _subtract(before.own if before else _NOTHING, after.own if after else _NOTHING)
    settings: dict[str, tuple[Setting, Setting]] = {}
    reason = match.reason
    if before is None or after is None:
        changes: tuple[str, ...] = ("added",) if before is None else ("removed",)
    else:
        settings = _compare_settings(before, after)
        changes = _name_changes(before, after, settings) or ("same",)
        if changes == ("same",) and own_delta != _NOTHING:
            other_inputs = [call.inputs for call in before.calls] != [call.inputs for call in after.calls]
            reason += "; called with other shapes, or another number of times" if other_inputs else "; its own operators cost otherwise"
    return ModuleDiff(
        before_path=match.before_path,
        after_path=match.after_path,
        changes=changes,
        confidence=match.confidence,
        reason=reason,
        settings_changed=settings,
        own_delta=own_delta,
        total_delta=_subtract(before.total if before else _NOTHING, after.total if after else _NOTHING),
    )


def _subtract(before: Cost, after: Cost) -> Cost:
    # Most rows of most comparisons are unchanged, and comparing is far cheaper than building a record.
    return _NOTHING if before == after else after - before


def _compare_settings(before: ModuleRecord, after: ModuleRecord) -> dict[str, tuple[Setting, Setting]]:
    """Settings that differ; one that a side lacks is None there. Of two types, only the settings that both know are comparable."""
    if before.type == after.type:
        names = sorted(before.settings.keys() | after.settings.keys())
    else:
        names = sorted(before.settings.keys() & after.settings.keys())
    pairs = {name: (before.settings.get(name), after.settings.get(name)) for name in names}
    # Compared as text too, since a NaN is unequal to itself.
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1] and repr(pair[0]) != repr(pair[1])}


def _name_changes(before: ModuleRecord, after: ModuleRecord, settings: dict[str, tuple[Setting, Setting]]) -> tuple[str, ...]:
    replaced = before.type != after.type
    held_before = {(tensor.kind, tensor.name): tensor for tensor in before.tensors}
    held_after = {(tensor.kind, tensor.name): tensor for tensor in after.tensors}
    kept = [(tensor, held_after[key]) for key, tensor in held_before.items() if key in held_after]
    # Another type holds other tensors as a matter of course, so there only those of the same name can have been resized.
    resized = any(one.shape != other.shape for one, other in kept) or (not replaced and held_before.keys() != held_after.keys())
    ties_before, ties_after = _ties(before.tensors), _ties(after.tensors)
    found = {
        "replaced": replaced,
        "settings": bool(settings),
        "resized": resized,
        "dtype": any(one.dtype != other.dtype for one, other in kept),
        "tied": bool(ties_after - ties_before),
        "untied": bool(ties_before - ties_after),
        "frozen": any(one.trainable and not other.trainable for one, other in kept if one.kind == "parameter"),
        "unfrozen": any(other.trainable and not one.trainable for one, other in kept if one.kind == "parameter"),
    }
    return tuple(kind for kind, present in found.items() if present)


def _ties(tensors: tuple[TensorRecord, ...]) -> set[tuple[str, str]]:
    """Which tensors are another's, and whose: a tensor that is now another owner's was untied and tied."""
    return {(tensor.name, tensor.tied_to) for tensor in tensors if tensor.tied_to is not None}


# --- groups ---------------------------------------------------------------------------------------------------------


def _group(before: Profile, after: Profile, sections: tuple[Section, ...]) -> tuple[Group, ...]:
    if not sections:
        return ()
    parts_before = _partition(before, [(name, patterns) for name, patterns, _ in sections])
    parts_after = _partition(after, [(name, patterns) for name, _, patterns in sections])
    groups = []
    for position, (part_before, part_after) in enumerate(zip(parts_before, parts_after, strict=True)):
        is_rest = position == len(sections)
        if is_rest and not part_before and not part_after:
            continue
        cost_before = sum_costs(module.own for module in part_before)
        cost_after = sum_costs(module.own for module in part_after)
        groups.append(
            Group(
                name=EVERYTHING_ELSE if is_rest else sections[position][0],
                before_paths=_topmost(before, part_before),
                after_paths=_topmost(after, part_after),
                before=cost_before,
                after=cost_after,
                delta=cost_after - cost_before,
            )
        )
    return tuple(groups)


def _partition(profile: Profile, sections: Sequence[tuple[str, Sequence[str]]]) -> list[list[ModuleRecord]]:
    """The modules of each section, then those of none."""
    owner: dict[str, int] = {}
    parts: list[list[ModuleRecord]] = []
    for position, (name, patterns) in enumerate(sections):
        for pattern in patterns:
            if not select_modules(profile, (pattern,)):
                raise _unmatched(profile, name, pattern)
        part = select_modules(profile, patterns)
        for module in part:
            if module.path in owner:
                other = sections[owner[module.path]][0]
                raise ConfigError(
                    f"sections {other!r} and {name!r} both claim {module.path or 'the root module'} of {profile.name}",
                    "Each module belongs to one section: narrow the patterns of one of them.",
                )
            owner[module.path] = position
        parts.append(part)
    return [*parts, [module for module in profile.modules if module.path not in owner]]


def _unmatched(profile: Profile, section: str, pattern: str) -> ConfigError:
    near = nearest_paths(profile, pattern)
    return ConfigError(
        f"section {section!r}: no module of {profile.name} matches {pattern!r}",
        f"The nearest are: {', '.join(near)}." if near else f"The paths are those that `archaudit profile` prints for {profile.name}.",
    )


def _topmost(profile: Profile, part: list[ModuleRecord]) -> tuple[str, ...]:
    """The paths that stand for a part: the tops of its whole subtrees, and any other module of it that itself costs something.

    Of `everything else` the root is a module like any other: without a cost of its own it would only seem to claim the whole model.
    """
    inside = {module.path for module in part}
    parents = _parents(profile)
    cut: set[str] = set()
    for module in profile.modules:
        up = None if module.path in inside else parents[module.path]
        while up is not None and up not in cut:
            cut.add(up)
            up = parents[up]
    return tuple(
        module.path
        for module in part
        if (module.own != _NOTHING if module.path in cut else parents[module.path] not in inside or parents[module.path] in cut)
    )


def _parents(profile: Profile) -> dict[str, str | None]:
    """The nearest module above each; None above the root."""
    paths = {module.path for module in profile.modules}
    parents: dict[str, str | None] = {}
    for path in paths:
        up = path.rpartition(".")[0]
        while up not in paths and up:
            up = up.rpartition(".")[0]
        parents[path] = up if up in paths and path else None
    return parents
