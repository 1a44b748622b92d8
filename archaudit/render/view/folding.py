"""The layer table made short: runs of unchanged modules folded into one line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.render.view.columns import Pair
from archaudit.render.view.records import Figure, GapRow, LayerRow


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
