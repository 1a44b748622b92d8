"""The layer table as a tree of both sides: rows under their parents, runs of equal siblings gathered, and which rows are open at first.

Nothing here is recursive, because models may be nested deeper than Python's recursion limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from archaudit.index import parent_path
from archaudit.render.formatting import ELLIPSIS, count
from archaudit.render.view.figures import Figure
from archaudit.render.view.layer_table.columns import ModulePair
from archaudit.render.view.layer_table.folding import Item, Repeats, make_relative
from archaudit.render.view.records import LayerRow, TreeRow
from archaudit.schema import Cost, Pair, sum_costs

# A page opens with so many rows at most: of a comparison (True) those that changed, of a profile (False) the upper levels. More rows make a
# page slow to read and to draw.
_MOST_SHOWN = {True: 250, False: 60}
# The first block of a run is shown; the others are gathered if they have at least this many rows, else they are shown too.
_FEWEST_ALIKE = 3
_BAR_STEPS = 20
_ROOT = -1

Sum = Callable[[Sequence[ModulePair]], tuple[Figure, ...]]


class _Entry(NamedTuple):
    """A row of the tree as positions of items: one item, or the items `alike` that equal the sibling `like`."""

    item: int
    depth: int
    parent: int
    alike: tuple[int, ...] = ()
    like: int = _ROOT


def view_tree(items: Sequence[Item], sum_figures: Sum, *, compared: bool) -> tuple[TreeRow, ...]:
    """All items in tree order. Every item has a row, even if it is gathered under another."""
    children = _list_children(items)
    entries = list(_walk(items, children))
    changed = [item.row.kind in ("added", "removed", "changed") for item in items]
    hidden = _hide(entries, changed, compared)
    anchors = _name_anchors(items)
    totals = _find_totals(items)
    parents = {entry.item: entries[entry.parent].item for entry in entries if not entry.alike and entry.parent != _ROOT}
    rows = []
    for place, entry in enumerate(entries):
        if entry.alike:
            rows.append(_make_gathered_row(items, entry, sum_figures, hidden[place], anchors[entry.item]))
            continue
        item = items[entry.item]
        above = parents.get(entry.item)
        rows.append(
            TreeRow(
                row=item.row,
                name=_shorten_name(item.row.path, items[above].row.path if above is not None else ""),
                anchor=anchors[entry.item],
                depth=entry.depth,
                hidden=hidden[place],
                numbers=_list_numbers(item.counted),
                bars=_list_bars(item.counted, totals),
            )
        )
    return tuple(rows)


def fold_repeats(items: Sequence[Item]) -> list[Item | Repeats]:
    """The items in tree order, with the blocks that repeat one above folded into one entry."""
    children = _list_children(items)
    folded: list[Item | Repeats] = []
    until = _ROOT  # the depth at which the rows of a folded run end
    for entry in _walk(items, children):
        if until != _ROOT and entry.depth > until:
            continue
        until = _ROOT
        if entry.alike:
            until = entry.depth
            below = tuple(items[each] for first in entry.alike for each in _list_below(first, children))
            folded.append(Repeats(_shorten_path(items[entry.like].row.path), tuple(items[each] for each in entry.alike), below))
        else:
            folded.append(items[entry.item])
    return folded


def _shorten_path(path: str) -> str:
    """A module's own name; a number comes with its parent's name."""
    names = path.split(".")
    return ".".join(names[-2:]) if names[-1].isdigit() else names[-1]


def _list_below(position: int, children: dict[int, list[int]]) -> list[int]:
    """An item and all below it, in tree order."""
    found, pending = [], [position]
    while pending:
        found.append(pending.pop())
        pending += reversed(children.get(found[-1], []))
    return found


def _list_children(items: Sequence[Item]) -> dict[int, list[int]]:
    """Positions by parent, in order. The parent is the nearest ancestor on the after side; for a removed module on the before side."""
    places: Pair[dict[str, int]] = Pair({}, {})
    for position, item in enumerate(items):
        for known, module in zip(places, item.pair, strict=True):
            if module is not None:
                known[module.path] = position
    children: dict[int, list[int]] = {}
    for position, item in enumerate(items):
        known = places.before if item.pair.after is None else places.after
        module = item.pair.after or item.pair.before
        path = module.path if module is not None else ""
        parent = _ROOT
        while path and parent == _ROOT:
            path = parent_path(path)
            parent = known.get(path, _ROOT)
        children.setdefault(parent, []).append(position)
    return children


def _walk(items: Sequence[Item], children: dict[int, list[int]]) -> Iterator[_Entry]:
    """Entries in tree order, each with the place of its parent entry; a run of equal siblings has an entry of its own above them."""
    signatures, sizes = _compute_signatures(items, children)
    pending = [_Entry(position, 0, _ROOT) for position in reversed(children.get(_ROOT, []))]
    place = 0
    while pending:
        entry = pending.pop()
        yield entry
        if entry.alike:
            pending += [_Entry(each, entry.depth + 1, place) for each in reversed(entry.alike)]
        else:
            gathered = [*_gather(children.get(entry.item, []), signatures, sizes)]
            pending += [_Entry(first, entry.depth + 1, place, run, like) for first, run, like in reversed(gathered)]
        place += 1


def _gather(siblings: Sequence[int], signatures: dict[int, int], sizes: dict[int, int]) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Siblings as (first, run, like): single ones with an empty run; a run that equals an earlier sibling `like` as one entry."""
    shown: dict[int, int] = {}
    for signature, group in groupby(siblings, key=signatures.__getitem__):
        run = list(group)
        if signature not in shown:
            shown[signature] = run[0]
            yield run[0], (), _ROOT
            run = run[1:]
        if sum(sizes[each] for each in run) >= _FEWEST_ALIKE:
            yield run[0], tuple(run), shown[signature]
        else:
            yield from ((each, (), _ROOT) for each in run)


def _compute_signatures(items: Sequence[Item], children: dict[int, list[int]]) -> tuple[dict[int, int], dict[int, int]]:
    """For each item a number that is equal for equal subtrees (same rows except for their paths), and the number of rows of its subtree."""
    order: list[int] = []
    pending = list(children.get(_ROOT, []))
    while pending:
        position = pending.pop()
        order.append(position)
        pending += children.get(position, [])
    known: dict[tuple[object, ...], int] = {}
    signatures: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for position in reversed(order):
        sizes[position] = 1 + sum(sizes[each] for each in children.get(position, []))
        row = items[position].row
        below = tuple((items[each].row.path.rpartition(".")[2], signatures[each]) for each in children.get(position, []))
        texts = make_relative(row.note, row.path), make_relative(row.reason, row.path)
        key = (row.type, row.kind, row.changes, texts, row.shape, row.figures, below)
        signatures[position] = known.setdefault(key, len(known))
    return signatures, sizes


def _hide(entries: Sequence[_Entry], changed: Sequence[bool], compared: bool) -> list[bool]:
    """Which rows are hidden at first. Level by level, rows with changes below them are opened while there is room."""
    below: list[list[int]] = [[] for _ in entries]
    worth = [not compared or changed[entry.item] for entry in entries]
    for place in range(len(entries) - 1, -1, -1):
        parent = entries[place].parent
        if parent != _ROOT:
            below[parent].append(place)
            worth[parent] = worth[parent] or worth[place]
    shown = [entry.parent == _ROOT for entry in entries]
    room = _MOST_SHOWN[compared] - sum(shown)
    for place in sorted(range(len(entries)), key=lambda place: entries[place].depth):
        if not shown[place] or entries[place].alike or len(below[place]) > room:
            continue
        if entries[place].depth == 0 or any(worth[each] for each in below[place]):
            room -= len(below[place])
            for each in below[place]:
                shown[each] = True
    return [not each for each in shown]


def _name_anchors(items: Sequence[Item]) -> list[str]:
    """`layer-` and the path; `layer-before-` for a removed module with the path of another one."""
    taken: set[str] = set()
    anchors = [""] * len(items)
    for position in sorted(range(len(items)), key=lambda position: items[position].pair.after is None):
        name = f"layer-{items[position].row.path}"
        if name in taken:
            name = f"layer-before-{items[position].row.path}"
        while name in taken:
            name += "'"
        taken.add(name)
        anchors[position] = name
    return anchors


def _shorten_name(path: str, above: str) -> str:
    """The path relative to the row above."""
    return path.removeprefix(f"{above}.") if above else path


def _make_gathered_row(items: Sequence[Item], entry: _Entry, sum_figures: Sum, hidden: bool, anchor: str) -> TreeRow:
    first, last = items[entry.alike[0]].row, items[entry.alike[-1]].row
    pairs = [items[each].counted for each in entry.alike]
    names = (first.path.rpartition(".")[2], last.path.rpartition(".")[2])
    row = LayerRow(
        path=f"{first.path} {ELLIPSIS} {last.path}",
        type=first.type,
        mark=first.mark,
        kind=first.kind,
        changes=first.changes,
        note=f"{count(len(pairs), 'more module')} like {items[entry.like].row.path.rpartition('.')[2]}",
        shape=first.shape,
        shape_short=first.shape_short,
        reason="",
        figures=sum_figures(pairs),
    )
    return TreeRow(
        row=row,
        name=names[0] if len(pairs) == 1 else f"{names[0]} {ELLIPSIS} {names[1]}",
        anchor=anchor.replace("layer-", "layers-", 1),
        depth=entry.depth,
        hidden=hidden,
        numbers=_list_sums(pairs),
        bars=(),
        gathers=True,
        blocks=len(pairs),
    )


# --- numbers ----------------------------------------------------------------------------------------------------------


def _list_numbers(pair: ModulePair) -> tuple[int | None, ...]:
    """Params, bytes of params and FLOPs, each before and after; None for a missing side."""
    costs = [None if module is None else module.total for module in pair]
    return tuple(None if cost is None else getattr(cost, name) for name in ("params", "param_bytes", "flops") for cost in costs)


def _list_sums(pairs: Sequence[ModulePair]) -> tuple[int | None, ...]:
    sides = [sum_costs(module.total for pair in pairs if (module := pair[side]) is not None) for side in (0, 1)]
    present = [any(pair[side] is not None for pair in pairs) for side in (0, 1)]
    return tuple(
        getattr(cost, name) if there else None
        for name in ("params", "param_bytes", "flops")
        for cost, there in zip(sides, present, strict=True)
    )


def _find_totals(items: Sequence[Item]) -> tuple[int, int]:
    """The larger side's params and FLOPs: the full length of a bar."""
    nothing = Cost()
    costs = [module.total if module is not None else nothing for item in items for module in item.pair]
    return max((cost.params for cost in costs), default=0), max((cost.flops for cost in costs), default=0)


def _list_bars(pair: ModulePair, totals: tuple[int, int]) -> tuple[str, ...]:
    """CSS classes of the bars of before, after and delta, for params, then FLOPs: `v7` a value, `f7` fewer, `m7` more, in 20 steps."""
    classes: list[str] = []
    for name, total in zip(("params", "flops"), totals, strict=True):
        values = [0 if module is None else int(getattr(module.total, name)) for module in pair]
        delta = values[1] - values[0]
        classes += [_step("v", value, total) for value in values]
        classes.append(_step("f" if delta < 0 else "m", abs(delta), total))
    return tuple(classes)


def _step(letter: str, value: int, total: int) -> str:
    steps = round(_BAR_STEPS * value / total) if total else 0
    return f"{letter}{steps}" if steps else ""
