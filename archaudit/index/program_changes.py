"""What changed between two programs: which node is which, and the operators that were added, removed, replaced or connected otherwise.

Equal nodes on equal operands are the same. Of the others, those that are the same operator or call in the same order are paired. What is
left changed; what only comes after a change is not a change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from archaudit.index.program_connections import Connections
from archaudit.index.program_pairing import (
    REARRANGING,
    Names,
    drop_arguments,
    have_same_inputs,
    leave_out_sizes,
    make_token,
    pair_by_neighbours,
    pair_equal,
    pair_rearranging,
    write_share,
    write_sizes,
)
from archaudit.index.programs import ProgramGraph
from archaudit.schema import Pair

# Above this number of nodes, comparing all orders takes too long.
_MOST_ALIGNED = 3_000


class Change(NamedTuple):
    """Nodes of one place that changed, by their numbers on each side; `kind` says how.

    `replaced`, `added`, `removed`: the nodes; `arguments`, `sizes`: one node with other constants; `order`: the same operands in another
    order; `rewired`: other operands (of an operator or a call); `returns`: the module returns something else.
    """

    kind: str
    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()


class ProgramChanges(NamedTuple):
    """The changes in the order in which they run after, and the pairs of nodes."""

    changes: tuple[Change, ...]
    pairs: dict[int, int]


def compare_programs(graphs: Pair[ProgramGraph], names: Names, *, same_inputs: bool = True) -> ProgramChanges:
    """All changes from one graph to the other. Without the `same_inputs`, sizes and parts of tensors follow from those of the inputs."""
    tokens = Pair(
        [make_token(node, names.module, "before") for node in graphs.before.nodes],
        [make_token(node, None, "after") for node in graphs.after.nodes],
    )
    pairs: dict[int, int] = {}
    keys = pair_equal(graphs, tokens, names, write_sizes, pairs)
    for sizes in (write_share, leave_out_sizes):
        pair_equal(graphs, tokens, names, sizes, pairs)
    taken = set(pairs.values())
    left = Pair(
        [number for number in range(len(tokens.before)) if number not in pairs],
        [number for number in range(len(tokens.after)) if number not in taken],
    )
    changes = list(_align(graphs, tokens, left, pairs, names)) if left.before or left.after else []
    pair_rearranging(graphs, tokens, left, pairs)
    changes += (
        Change(kind, () if one is None else (one,), () if other is None else (other,))
        for kind, one, other in Connections(graphs, pairs, names, keys).compare()
    )
    if same_inputs:
        changes += _compare_sizes(graphs, pairs)
    changes += [change for change in _compare_rearranging(graphs, left, pairs, changes) if same_inputs or (change.before and change.after)]
    return ProgramChanges(tuple(sorted(_join_replaced(graphs, changes, pairs), key=_find_place)), pairs)


def _join_replaced(graphs: Pair[ProgramGraph], changes: Sequence[Change], pairs: dict[int, int]) -> list[Change]:
    """The changes, where an operator that was removed and one that was added take the same operand as one: `x[:, 0]` → `x.mean(1)`."""
    joined: list[Change] = []
    added = [change for change in changes if change.kind == "added" and len(change.after) == 1]
    taken: set[Change] = set()
    for change in changes:
        if change.kind == "removed" and len(change.before) == 1:
            partner = next(
                (each for each in added if each not in taken and have_same_inputs(graphs, pairs, change.before[0], each.after[0])), None
            )
            if partner is not None:
                taken.add(partner)
                joined.append(Change("replaced", change.before, partner.after))
                continue
        joined.append(change)
    return [change for change in joined if change not in taken]


def _find_place(change: Change) -> tuple[int, int]:
    return (change.after or change.before or (1 << 30,))[0], 0 if change.after else 1


def _align(
    graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], left: Pair[list[int]], pairs: dict[int, int], names: Names
) -> Iterator[Change]:
    """Pairs the remaining nodes that are the same in the same order, then in another order, and yields those that changed."""
    working = Pair(*([number for number in left[side] if graphs[side].nodes[number].op not in REARRANGING] for side in (0, 1)))
    near = pair_by_neighbours(graphs, tokens, pairs) if max(map(len, working)) <= _MOST_ALIGNED else {}
    pairs.update(near)
    marks = Pair(near, {other: one for one, other in near.items()})
    keys = Pair(
        [("pair", number) if number in near else tokens.before[number] for number in working.before],
        [("pair", marks.after[number]) if number in marks.after else tokens.after[number] for number in working.after],
    )
    codes: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(working.before), 0, len(working.after))]
    if max(map(len, working)) <= _MOST_ALIGNED:
        codes = SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
    gaps: list[Pair[list[int]]] = []
    for tag, start, end, start_after, end_after in codes:
        gap = Pair(
            [number for number in working.before[start:end] if tag == "equal" or number not in marks.before],
            [number for number in working.after[start_after:end_after] if tag == "equal" or number not in marks.after],
        )
        if tag == "equal":
            pairs.update(zip(*gap, strict=True))
        else:
            gaps.append(gap)
    moved = _pair_moved(tokens, gaps)
    pairs.update(moved)
    taken = set(moved.values())
    for gap in gaps:
        kept = Pair([number for number in gap.before if number not in moved], [number for number in gap.after if number not in taken])
        yield from _compare_gap(graphs, tokens, kept, pairs, names)


def _compare_rearranging(
    graphs: Pair[ProgramGraph], left: Pair[list[int]], pairs: dict[int, int], changes: Sequence[Change]
) -> Iterator[Change]:
    """The nodes that rearrange tensors otherwise, unless only changed operators use their result."""
    changed = Pair({number for change in changes for number in change.before}, {number for change in changes for number in change.after})
    taken = set(pairs.values())
    for number in left.before:
        if graphs.before.nodes[number].op not in REARRANGING:
            continue
        other = pairs.get(number)
        if other is None:
            if not _is_used_by(graphs.before, number, changed.before):
                yield Change("removed", (number,))
            continue
        one, two = graphs.before.nodes[number], graphs.after.nodes[other]
        if (one.op, one.arguments) == (two.op, two.arguments):
            continue
        if not (_is_used_by(graphs.before, number, changed.before) and _is_used_by(graphs.after, other, changed.after)):
            yield Change("arguments" if one.op == two.op else "replaced", (number,), (other,))
    for number in left.after:
        if graphs.after.nodes[number].op in REARRANGING and number not in taken and not _is_used_by(graphs.after, number, changed.after):
            yield Change("added", (), (number,))


def _is_used_by(graph: ProgramGraph, number: int, changed: set[int]) -> bool:
    """Whether every use of a result, through nodes that rearrange it, is by a changed node."""
    pending, seen = [number], {number}
    while pending:
        current = pending.pop()
        if any(source.node == current for source in graph.returns):
            return False
        for place in range(current + 1, len(graph.nodes)):
            node = graph.nodes[place]
            if place in seen or all(source.node != current for source in node.operands):
                continue
            if node.op in REARRANGING:
                seen.add(place)
                pending.append(place)
            elif place not in changed:
                return False
    return True


def _pair_moved(tokens: Pair[list[Hashable]], gaps: Sequence[Pair[list[int]]]) -> dict[int, int]:
    """The same operators and calls at another place in the order."""
    waiting: defaultdict[Hashable, list[int]] = defaultdict(list)
    for gap in gaps:
        for number in gap.after:
            waiting[tokens.after[number]].append(number)
    moved = {}
    for gap in gaps:
        for number in gap.before:
            if known := waiting[tokens.before[number]]:
                moved[number] = known.pop(0)
    return moved


def _compare_gap(
    graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], gap: Pair[list[int]], pairs: dict[int, int], names: Names
) -> Iterator[Change]:
    """What changed between two places that are the same: other arguments, and nodes that were replaced, added or removed."""
    waiting: defaultdict[Hashable, list[int]] = defaultdict(list)
    for number in gap.after:
        waiting[drop_arguments(tokens.after[number])].append(number)
    taken: set[int] = set()
    for number in gap.before:
        if known := waiting[drop_arguments(tokens.before[number])]:
            partner = known.pop(0)
            pairs[number] = partner
            taken |= {partner}
            yield Change("arguments", (number,), (partner,))
    rest = Pair([number for number in gap.before if number not in pairs], [number for number in gap.after if number not in taken])
    for before, after in _split_runs(graphs, rest, names):
        if before and after and len(before) == len(after):
            pairs.update(zip(before, after, strict=True))
            yield from (Change("replaced", (one,), (other,)) for one, other in zip(before, after, strict=True))
        elif before and after:
            yield Change("replaced", tuple(before), tuple(after))
        elif before or after:
            yield Change("added" if after else "removed", tuple(before), tuple(after))


def _split_runs(graphs: Pair[ProgramGraph], gap: Pair[list[int]], names: Names) -> list[tuple[list[int], list[int]]]:
    """What changed in one place: each call of a module by itself, and the operators together. A call of an activation is an operator."""
    plain: Pair[list[int]] = Pair([], [])
    calls: list[tuple[list[int], list[int]]] = []
    operators = any(graphs[side].nodes[number].op != "call" for side in (0, 1) for number in gap[side])
    for side in (0, 1):
        for number in gap[side]:
            node = graphs[side].nodes[number]
            if node.op != "call" or (operators and names.is_function(side, node.path)):
                plain[side].append(number)
            else:
                calls.append(([number], []) if side == 0 else ([], [number]))
    return [(plain.before, plain.after), *calls]


def _compare_sizes(graphs: Pair[ProgramGraph], pairs: dict[int, int]) -> Iterator[Change]:
    """Paired nodes that got tensors of the same shape and have other sizes: those do not follow from their input."""
    for one, other in pairs.items():
        before, after = graphs.before.nodes[one], graphs.after.nodes[other]
        if before.op == after.op and before.shape == after.shape and before.sizes != after.sizes:
            yield Change("sizes", (one,), (other,))
