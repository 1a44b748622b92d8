"""The layer table made short: repeated blocks, and runs of unchanged modules, each folded into one line."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.render.view.figures import Figure
from archaudit.render.view.layer_table.columns import Pair
from archaudit.render.view.records import GapRow, LayerRow

# A path of several names, which a figure never looks like, and the numbers in it: whole names, and what follows an underscore.
_PATH = re.compile(r"(?<![\w.])[^\W\d][\w-]*(?:\.[\w-]+)+")
_NUMBER = re.compile(r"(?<=[._])\d+(?=\.|$)")


class Item(NamedTuple):
    """A row with what it was made from. `quiet`: its params and FLOPs did not change; `unchanged`: nothing did, nor below it. `counted` is
    what its figures are of: the pair, but for a container that is on one side only and holds what is on both."""

    row: LayerRow
    pair: Pair
    quiet: bool
    unchanged: bool
    counted: Pair


class Repeats(NamedTuple):
    """Siblings that say what the one called `like` says, but for their names: `blocks` of them, and all their rows."""

    like: str
    blocks: tuple[Item, ...]
    items: tuple[Item, ...]


def make_relative(text: str, path: str) -> str:
    """A text about the module at `path`, with the numbers in the paths that it names told from that one's: `was blocks.4.conv1` of
    `stages.3.conv1` as `was blocks.+1.conv1`, so that blocks which say the same of themselves say it in the same words."""
    own = [int(number) for number in _NUMBER.findall(path)]

    def relate(found: re.Match[str]) -> str:
        places = iter(own)
        return _NUMBER.sub(lambda number: f"{int(number.group()) - next(places, 0):+d}", found.group())

    return _PATH.sub(relate, text) if own else text


def fold_rows(
    entries: Sequence[Item | Repeats], sum_figures: Callable[[Sequence[Pair]], tuple[Figure, ...]]
) -> tuple[LayerRow | GapRow, ...]:
    """The rows, with repeats folded into a gap each, and each run of two and more quiet rows as well."""
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
    """Repeats in which nothing changed are part of a longer run of such rows."""
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
    """The path that the whole run lies in, when its first row is that of all the others."""
    first = members[0].row.path
    return first if all(item.row.path.startswith(f"{first}.") for item in members[1:]) else ""
