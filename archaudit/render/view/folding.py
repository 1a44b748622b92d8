"""The layer table made short: subtrees under headings that open, and runs of unchanged modules folded into one line.

Nothing here recurses: models may nest deeper than Python's limit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.quantities import format_exact
from archaudit.render.formatting import ARROW, count
from archaudit.render.view.columns import Pair
from archaudit.render.view.records import Figure, Fold, GapRow, LayerRow

# A subtree of more rows than this is split into those of its children; below the minimum a child stays with its parent, since a heading
# over a handful of rows hides more than it shows. The depth keeps a chain of containers from becoming a heading for each link.
_LARGEST_FOLD = 150
_SMALLEST_FOLD = 8
_DEEPEST_SPLIT = 4
_TOP_SPLIT = 40

# A page of more changed rows than this, or of more rows that are not compared, opens with everything folded.
_MOST_OPENED = 300


class Item(NamedTuple):
    """A row with what it was made from. `quiet`: its params and FLOPs did not change; `unchanged`: nothing did, nor below it."""

    row: LayerRow
    pair: Pair
    quiet: bool
    unchanged: bool


def gap_rows(items: Sequence[Item], sum_figures: Callable[[Sequence[Pair]], tuple[Figure, ...]]) -> tuple[LayerRow | GapRow, ...]:
    """The rows, with each run of two and more quiet ones folded into a gap."""
    rows: list[LayerRow | GapRow] = []
    for quiet, run in groupby(items, key=lambda item: item.quiet):
        members = list(run)
        if not quiet or len(members) == 1:
            rows.extend(item.row for item in members)
            continue
        rows.append(
            GapRow(
                label=f"… {len(members):,} " + ("modules unchanged" if all(item.unchanged for item in members) else "of equal cost"),
                inside=_find_common(members),
                figures=sum_figures([item.pair for item in members]),
            )
        )
    return tuple(rows)


def _find_common(members: Sequence[Item]) -> str:
    """The path that the whole run lies in, when its first row is that of all the others."""
    first = members[0].row.path
    return first if all(item.row.path.startswith(f"{first}.") for item in members[1:]) else ""


def fold_rows(items: Sequence[Item], *, compared: bool) -> tuple[Fold, ...]:
    """All rows, by subtree: in order, except that a split subtree's own few rows stand before its parts."""
    parents = _find_parents(items)
    heads = _find_heads(parents)
    members: dict[int, list[Item]] = {}
    for item, head in zip(items, heads, strict=True):
        members.setdefault(head, []).append(item)
    may_open = sum(_is_changed(item) or not compared for item in items) <= _MOST_OPENED
    return tuple(_make_fold(part, compared, may_open) for part in members.values())


def _find_parents(items: Sequence[Item]) -> list[int]:
    """For each row the position of the row it hangs on, -1 for none. Rows stand in tree order, so a stack of open rows finds it."""
    parents: list[int] = []
    opened: list[int] = []
    for position, item in enumerate(items):
        while opened and not _is_above(items[opened[-1]].pair, item.pair):
            opened.pop()
        parents.append(opened[-1] if opened else -1)
        opened.append(position)
    return parents


def _is_above(upper: Pair, lower: Pair) -> bool:
    return any(
        above is not None and below is not None and (not above.path or below.path.startswith(f"{above.path}."))
        for above, below in zip(upper, lower, strict=True)
    )


def _find_heads(parents: Sequence[int]) -> list[int]:
    """For each row the position of the row that heads its fold."""
    sizes = [1] * len(parents)
    for position in range(len(parents) - 1, -1, -1):
        if parents[position] >= 0:
            sizes[parents[position]] += sizes[position]
    heads: list[int] = []
    depths: list[int] = []
    split: list[bool] = []
    for position, parent in enumerate(parents):
        depth = depths[parent] + 1 if parent >= 0 else 0
        starts = parent < 0 or (split[parent] and sizes[position] >= _SMALLEST_FOLD)
        heads.append(position if starts else heads[parent])
        depths.append(depth)
        split.append(starts and depth <= _DEEPEST_SPLIT and sizes[position] > (_LARGEST_FOLD if depth else _TOP_SPLIT))
    return heads


def _make_fold(items: Sequence[Item], compared: bool, may_open: bool) -> Fold:
    changed = sum(_is_changed(item) for item in items)
    before, after = (sum(side.own.params for item in items if (side := item.pair[position]) is not None) for position in (0, 1))
    parts = [count(len(items), "module")]
    if compared:
        parts.append(f"{changed:,} changed" if changed else "unchanged")
    same = before == after or not compared
    parts.append(f"{format_exact(before)} params" if same else f"{format_exact(before)} {ARROW} {format_exact(after)} params")
    return Fold(
        name=items[0].row.path,
        summary=", ".join(parts),
        opened=may_open and (bool(changed) or not compared),
        rows=tuple(item.row for item in items),
    )


def _is_changed(item: Item) -> bool:
    return item.row.kind in ("added", "removed", "changed")
