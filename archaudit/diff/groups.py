"""Groups of modules: their names from the paths in them (`decoder.0-2 → decoder_stage1`), parts of a model, and a config's sections."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from archaudit.errors import ConfigError
from archaudit.index import index_modules
from archaudit.metrics.selection import find_nearest_paths, select_modules
from archaudit.schema import Cost, Group, ModuleRecord, Pair, Profile, sum_costs

# A number as a whole name, or after its last underscore.
_INDEX = re.compile(r"((?:.*[._])?)(0|[1-9][0-9]{0,8})", re.DOTALL)
# As many names as fit next to a table's numbers.
_MOST_NAMED = 3
# Names behind a common prefix are listed up to this length; a longer list is counted.
_LONGEST_LIST = 32


def name_group(before: tuple[str, ...], after: tuple[str, ...], *, unchanged: bool) -> str:
    """`aspp`; `decoder.0-2 → decoder_stage1`; `mid_level_project (new)`; `aux (removed)`; `conv1 … maxpool` for what did not change."""
    names = _join_paths(before), _join_paths(after)
    if unchanged and len(before) > _MOST_NAMED:
        return f"{before[0]} … {before[-1]}"
    if not before:
        return f"{names[1]} (new)"
    if not after:
        return f"{names[0]} (removed)"
    return names[0] if before == after else f"{names[0]} → {names[1]}"


def _join_paths(paths: tuple[str, ...]) -> str:
    """Paths in a row, neighbours of one list as a range: `layer3.0-5`; of one container behind its name: `stem.{conv, attn}`."""
    names = []
    for (listed_in, _), run in groupby(enumerate(paths), key=_find_list):
        listed = [path for _, path in run]
        if listed_in is not None and len(listed) > 1:
            names.append(f"{listed[0]}-{listed[-1].removeprefix(listed_in)}")
        else:
            names += listed
    prefix = _find_prefix(names)
    if prefix:
        inside = ", ".join(name.removeprefix(prefix) for name in names)
        is_short = len(names) <= _MOST_NAMED and len(inside) <= _LONGEST_LIST
        return f"{prefix}{{{inside}}}" if is_short else f"{prefix.removesuffix('.')} ({len(names):,} parts)"
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _find_prefix(names: list[str]) -> str:
    """The containers that all of several paths are in, with a dot at the end; empty where there is none."""
    shared = []
    for parts in zip(*(name.split(".")[:-1] for name in names), strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join((*shared, "")) if len(names) > 1 and shared else ""


def _find_list(place: tuple[int, str]) -> tuple[str | None, int]:
    """What neighbours in one list have in common: the list, and the difference between index and place."""
    found = split_index(place[1])
    return (None, place[0]) if found is None else (found[0], found[1] - place[0])


def split_index(path: str) -> tuple[str, int] | None:
    """The list that a path is in, and its index there: `blocks.` and 3, `layers.layer_` and 11; None for a path in no list."""
    found = _INDEX.fullmatch(path)
    return (found[1], int(found[2])) if found is not None else None


# --- a model cut into parts: subtrees that do not overlap, each named by the path of its topmost module ---


class Part(NamedTuple):
    """A part by the path of its topmost module; `side` is 0 before and 1 after."""

    side: int
    path: str


class Parts:
    """The parts of one profile, in its order: at first the children of its root."""

    def __init__(self, profile: Profile) -> None:
        self._index = index_modules(profile)
        self._order = {path: place for place, path in enumerate(self._index.modules)}
        self._pieces: set[str] = set()
        roots = [path for path, parent in self._index.parents.items() if parent is None]
        self._tops = {child for root in roots for child in self._index.children[root]}
        self._assign()

    def _assign(self) -> None:
        """Finds the part of every module."""
        self.paths = sorted(self._tops, key=self._order.__getitem__)
        self._owners: dict[str, str | None] = {}
        for path in self._index.modules:
            self._assign_module(path)
        self.sizes: Counter[str] = Counter(owner for owner in self._owners.values() if owner is not None)

    def _assign_module(self, path: str) -> None:
        passed = []
        up: str | None = path
        while up is not None and up not in self._owners and up not in self._tops:
            passed.append(up)
            up = self._index.parents[up]
        owner = up if up is None or up in self._tops else self._owners[up]
        for below in passed:
            self._owners[below] = owner
        if path in self._tops:
            self._owners[path] = path

    def find(self, path: str) -> str | None:
        """The part that a module is in; None for a module above all parts."""
        return self._owners[path]

    def is_piece(self, path: str) -> bool:
        """Whether a part was cut out of one that belongs to several parts of the other side."""
        return path in self._pieces

    def measure_share(self, path: str) -> float:
        """The share of the model's modules in a part."""
        return self.sizes[path] / len(self._index)

    def count_children(self, path: str) -> int:
        """How many parts cutting this one makes."""
        return len(self._index.children[path])

    def cut(self, path: str, *, as_pieces: bool) -> bool:
        """Replaces a part by its children; False for one without children."""
        children = self._index.children[path]
        if not children:
            return False
        self._tops.remove(path)
        self._tops.update(children)
        if as_pieces:
            self._pieces.update(children)
        self._assign()
        return True

    def list_members(self) -> dict[str, list[ModuleRecord]]:
        """The modules of each part."""
        members: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
        for module in self._index:
            owner = self._owners[module.path]
            if owner is not None:
                members[owner].append(module)
        return members


# --- groups: the sections of a config, and the topmost paths that name any part of a model ---


EVERYTHING_ELSE = "everything else"

# A section of the breakdown: its name, and the patterns of its paths before and after. A side without patterns has no module in it.
Section: TypeAlias = tuple[str, Sequence[str], Sequence[str]]

_NOTHING = Cost()


def group_sections(before: Profile, after: Profile, sections: tuple[Section, ...]) -> tuple[Group, ...]:
    """A group for each section, and one for the modules of none, if there are any."""
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
    costs = Pair(before, after).map(lambda side: sum_costs(module.own for module in side[1]))
    return Group(
        name=name,
        before_paths=_list_topmost(*before),
        after_paths=_list_topmost(*after),
        before=costs.before,
        after=costs.after,
        delta=costs.after - costs.before,
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
    near = find_nearest_paths(profile, pattern)
    return ConfigError(
        f"section {section!r}: no module of {profile.name} matches {pattern!r}",
        f"The nearest are: {', '.join(near)}." if near else f"The paths are those that `archaudit profile` prints for {profile.name}.",
    )


def _list_topmost(profile: Profile, part: list[ModuleRecord]) -> tuple[str, ...]:
    """The paths that name a part: the tops of its whole subtrees, and its other modules with a cost of their own.

    The root is listed only with a cost of its own: as a part of `everything else` it would seem to mean the whole model.
    """
    inside = {module.path for module in part}
    parents = index_modules(profile).parents
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
