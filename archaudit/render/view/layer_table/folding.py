"""Short layer tables: repeated blocks, and runs of unchanged modules, are folded into one line each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.index import is_below
from archaudit.render.view.figures import Figure
from archaudit.render.view.layer_table.columns import ModulePair
from archaudit.render.view.records import GapRow, LayerRow

# A path of several names (never a number), and the numbers in it: whole names, or what follows an underscore.
_PATH = re.compile(r"(?<![\w.])[^\W\d][\w-]*(?:\.[\w-]+)+")
_NUMBER = re.compile(r"(?<=[._])\d+(?=\.|$)")


class Item(NamedTuple):
    """A row with the modules that it was made from.

    `quiet`: its params and FLOPs did not change; `unchanged`: nothing did, in it or in its submodules. `counted` are the modules whose
    figures it shows: those of `pair`, except for wrappers (see `wrappers`).
    """

    row: LayerRow
    pair: ModulePair
    quiet: bool
    unchanged: bool
    counted: ModulePair


class Repeats(NamedTuple):
    """Siblings whose rows equal those of the sibling `like`, except for their paths: the `blocks` themselves, and all of their `items`."""

    like: str
    blocks: tuple[Item, ...]
    items: tuple[Item, ...]


def make_relative(text: str, path: str) -> str:
    """The text with the numbers in paths relative to those of `path`: `was blocks.4.conv1` of `stages.3.conv1` is `was blocks.+1.conv1`.

    Blocks that changed in the same way then have the same text.
    """
    own = [int(number) for number in _NUMBER.findall(path)]

    def relate(found: re.Match[str]) -> str:
        places = iter(own)
        return _NUMBER.sub(lambda number: f"{int(number.group()) - next(places, 0):+d}", found.group())

    return _PATH.sub(relate, text) if own else text


def fold_rows(
    entries: Sequence[Item | Repeats], sum_figures: Callable[[Sequence[ModulePair]], tuple[Figure, ...]]
) -> tuple[LayerRow | GapRow, ...]:
    """The rows, with one gap row for the repeats of a block, and one for each run of two or more quiet rows."""
    rows: list[LayerRow | GapRow] = []
    for quiet, run in groupby(_unfold_quiet(entries), key=lambda entry: isinstance(entry, Item) and entry.quiet):
        members = list(run)
        items = [entry for entry in members if isinstance(entry, Item)]
        if quiet and len(items) > 1:
            rows.append(_make_gap(items, sum_figures([item.counted for item in items])))
            continue
        for entry in members:
            if isinstance(entry, Item):
                rows.append(entry.row)
            else:
                rows.append(_make_repeats_row(entry, sum_figures([item.counted for item in entry.items])))
    return tuple(rows)


def _make_gap(items: Sequence[Item], figures: tuple[Figure, ...]) -> GapRow:
    label = f"… {len(items):,} " + ("modules unchanged" if all(item.unchanged for item in items) else "modules, same cost")
    return GapRow(label=label, inside=_find_common(items), figures=figures)


def _unfold_quiet(entries: Sequence[Item | Repeats]) -> Iterator[Item | Repeats]:
    """The entries, with repeats in which nothing changed as single items: these belong to a longer run of quiet rows."""
    for entry in entries:
        if isinstance(entry, Repeats) and all(item.quiet for item in entry.items):
            yield from entry.items
        else:
            yield entry


def _make_repeats_row(repeats: Repeats, figures: tuple[Figure, ...]) -> GapRow:
    first, last = (block.row.path for block in (repeats.blocks[0], repeats.blocks[-1]))
    return GapRow(
        label=f"… {len(repeats.blocks):,} more like {repeats.like}",
        inside=first if first == last else f"{first} to {last.rpartition('.')[2]}",
        figures=figures,
        weight=sum(block.row.weight for block in repeats.blocks),
        repeats=True,
    )


def _find_common(members: Sequence[Item]) -> str:
    """The path of the first row, if all others are its submodules; else empty."""
    first = members[0].row.path
    return first if all(is_below(item.row.path, first) for item in members[1:]) else ""
