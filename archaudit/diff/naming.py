"""Names of groups, from the paths of what is in them: `decoder.0-2 → decoder_stage1`."""

from __future__ import annotations

import re
from itertools import groupby

# A number as a whole name, or behind its last underscore.
_INDEX = re.compile(r"((?:.*[._])?)(0|[1-9][0-9]{0,8})", re.DOTALL)
# As many as fit beside a table's numbers.
_MOST_NAMED = 3


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
    """Paths in a row, neighbours of one list as a range."""
    names = []
    for (listed_in, _), run in groupby(enumerate(paths), key=_find_list):
        listed = [path for _, path in run]
        if listed_in is not None and len(listed) > 1:
            names.append(f"{listed[0]}-{listed[-1].removeprefix(listed_in)}")
        else:
            names += listed
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _find_list(place: tuple[int, str]) -> tuple[str | None, int]:
    """What neighbours of one list share: the list, and the distance of index and place."""
    found = split_index(place[1])
    return (None, place[0]) if found is None else (found[0], found[1] - place[0])


def split_index(path: str) -> tuple[str, int] | None:
    """The list that a path is a place in, and the place: `blocks.` and 3, `layers.layer_` and 11; None for a path that is in no list."""
    found = _INDEX.fullmatch(path)
    return (found[1], int(found[2])) if found is not None else None
