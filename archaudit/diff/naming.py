"""Names of groups, from the paths of what is in them: `decoder.0-2 → decoder_stage1`."""

from __future__ import annotations

from itertools import groupby

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
    for (_, is_index, _), run in groupby(enumerate(paths), key=_split_index):
        listed = [path for _, path in run]
        if is_index and len(listed) > 1:
            last = listed[-1].rpartition(".")[2]
            names.append(f"{listed[0]}-{last}")
        else:
            names += listed
    shown = ", ".join(names[:_MOST_NAMED])
    return shown if len(names) <= _MOST_NAMED else f"{shown} and {len(names) - _MOST_NAMED} more"


def _split_index(place: tuple[int, str]) -> tuple[str, bool, int]:
    """What neighbours of one list share: the list, and the distance of index and place."""
    parent, _, name = place[1].rpartition(".")
    is_index = name.isascii() and name.isdecimal()
    return parent, is_index, int(name) - place[0] if is_index and len(name) < 10 else -place[0] - 1
