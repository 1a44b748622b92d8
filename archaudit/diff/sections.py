"""Groups: the sections that a config names, and how any part of a model is named by its topmost paths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from archaudit.errors import ConfigError
from archaudit.metrics import nearest_paths, select_modules
from archaudit.schema import Cost, Group, ModuleRecord, Profile, sum_costs

EVERYTHING_ELSE = "everything else"

# A section of the breakdown: its name, and patterns over the paths before and after. An empty side has nothing there.
Section: TypeAlias = tuple[str, Sequence[str], Sequence[str]]

_NOTHING = Cost()


def group_sections(before: Profile, after: Profile, sections: tuple[Section, ...]) -> tuple[Group, ...]:
    """A group for each section, and one for what none of them claims, if there is anything."""
    parts_before = _partition(before, [(name, patterns) for name, patterns, _ in sections])
    parts_after = _partition(after, [(name, patterns) for name, _, patterns in sections])
    groups = []
    for position, (part_before, part_after) in enumerate(zip(parts_before, parts_after, strict=True)):
        is_rest = position == len(sections)
        if not is_rest or part_before or part_after:
            groups.append(make_group(EVERYTHING_ELSE if is_rest else sections[position][0], (before, part_before), (after, part_after)))
    return tuple(groups)


def make_group(name: str, before: tuple[Profile, list[ModuleRecord]], after: tuple[Profile, list[ModuleRecord]]) -> Group:
    """A group of the given modules of each profile, named by the topmost of them."""
    costs = [sum_costs(module.own for module in part) for _, part in (before, after)]
    return Group(
        name=name,
        before_paths=_list_topmost(*before),
        after_paths=_list_topmost(*after),
        before=costs[0],
        after=costs[1],
        delta=costs[1] - costs[0],
    )


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


def _list_topmost(profile: Profile, part: list[ModuleRecord]) -> tuple[str, ...]:
    """The paths that stand for a part: the tops of its whole subtrees, and any other module of it that itself costs something.

    Of `everything else` the root is a module like any other: without a cost of its own it would only seem to claim the whole model.
    """
    inside = {module.path for module in part}
    parents = find_parents(profile)
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


def find_parents(profile: Profile) -> dict[str, str | None]:
    """The nearest module above each; None above the root."""
    paths = {module.path for module in profile.modules}
    parents: dict[str, str | None] = {}
    for path in paths:
        up = path.rpartition(".")[0]
        while up not in paths and up:
            up = up.rpartition(".")[0]
        parents[path] = up if up in paths and path else None
    return parents
