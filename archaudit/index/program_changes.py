"""What changed between two programs: which node is which, and the operators that were added, removed, replaced or connected otherwise.

Equal nodes on equal operands are the same. Of the others, those that are the same operator or call in the same order are paired. What is
left changed; what only comes after a change is not a change.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from archaudit.index.programs import ProgramGraph, ProgramNode, Source
from archaudit.schema import Pair, Setting

# The order of their operands makes no difference.
_COMMUTATIVE = frozenset(
    ("add", "mul", "maximum", "minimum", "max", "min", "eq", "ne", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or")
)
# Operators that rearrange a tensor: next to others they are not worth a word.
REARRANGING = frozenset(("reshape", "permute", "slice", "select", "expand", "to"))
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


class Names(NamedTuple):
    """The paths after of modules and tensors of before; None for those without a counterpart. Paths after are their own names.

    `is_function(side, path)`: whether a module is a layer without tensors, such as an activation, which an operator may replace.
    """

    module: Callable[[str], str | None]
    tensor: Callable[[str], str | None]
    is_function: Callable[[int, str], bool]


def compare_programs(graphs: Pair[ProgramGraph], names: Names) -> ProgramChanges:
    """All changes from one graph to the other."""
    tokens = Pair(
        [_make_token(node, names.module, "before") for node in graphs.before.nodes],
        [_make_token(node, None, "after") for node in graphs.after.nodes],
    )
    pairs: dict[int, int] = {}
    for sizes in (_write_sizes, _write_share, _leave_out):
        _pair_equal(graphs, tokens, names, sizes, pairs)
    taken = set(pairs.values())
    left = Pair(
        [number for number in range(len(tokens.before)) if number not in pairs],
        [number for number in range(len(tokens.after)) if number not in taken],
    )
    changes = list(_align(graphs, tokens, left, pairs, names)) if left.before or left.after else []
    changes += _Connections(graphs, pairs, names).compare()
    changes += _compare_sizes(graphs, pairs)
    return ProgramChanges(tuple(sorted(changes, key=_find_place)), pairs)


def _find_place(change: Change) -> tuple[int, int]:
    return (change.after or change.before or (1 << 30,))[0], 0 if change.after else 1


# --- which node is which ----------------------------------------------------------------------------------------------


def freeze(value: Setting) -> Hashable:
    """A value that can be a key."""
    return json.dumps(value, sort_keys=True)


def _make_token(node: ProgramNode, translate: Callable[[str], str | None] | None, side: str) -> Hashable:
    """What a node is, without its operands and sizes."""
    path: Hashable = node.path
    if node.op == "call" and translate is not None:
        path = translate(node.path)
        if path is None:
            path = (side, node.path)
    return node.op, path, freeze(node.arguments)


def _write_sizes(node: ProgramNode) -> Hashable:
    """With all sizes: what computes the same on the same inputs."""
    return freeze(node.sizes), node.shape


def _write_share(node: ProgramNode) -> Hashable:
    """Which share of its input a slice is: the queries of a joined projection, where its width changed."""
    if node.op != "slice" or node.shape is None:
        return ""
    dim, start, end = node.arguments.get("dim"), node.sizes.get("start"), node.sizes.get("end")
    size = node.shape[dim] if isinstance(dim, int) and -len(node.shape) <= dim < len(node.shape) else 0
    return (start / size, end / size) if size and isinstance(start, int) and isinstance(end, int) else ""


def _leave_out(_node: ProgramNode) -> Hashable:
    return ""


def _pair_equal(
    graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], names: Names, sizes: Callable[[ProgramNode], Hashable], pairs: dict[int, int]
) -> None:
    """Pairs nodes that are the same operator on the same operands, from the inputs on; `sizes` says which of its sizes count."""
    numbers: dict[Hashable, int] = {}
    keys = Pair(
        _number_nodes(graphs.before, tokens.before, names.tensor, sizes, numbers),
        _number_nodes(graphs.after, tokens.after, None, sizes, numbers),
    )
    taken = set(pairs.values())
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys.after):
        if place not in taken:
            waiting[key].append(place)
    for place, key in enumerate(keys.before):
        if place not in pairs and waiting[key]:
            pairs[place] = waiting[key].pop(0)


def _number_nodes(
    graph: ProgramGraph,
    tokens: Sequence[Hashable],
    translate: Callable[[str], str | None] | None,
    sizes: Callable[[ProgramNode], Hashable],
    numbers: dict[Hashable, int],
) -> list[int]:
    keys: list[int] = []
    for node, token in zip(graph.nodes, tokens, strict=True):
        operands = [
            (*_key_source(source, translate, keys), *(keys[write] for write in source.writes if write < len(keys)))
            for source in node.operands
        ]
        if is_commutative(node):
            operands.sort(key=repr)
        keys.append(numbers.setdefault((token, tuple(operands), sizes(node)), len(numbers)))
    return keys


def _key_source(source: Source, translate: Callable[[str], str | None] | None, keys: Sequence[int]) -> tuple[Hashable, ...]:
    if source.node is not None:
        return "node", keys[source.node], source.output
    if source.input is not None:
        return "input", source.input
    return "name", translate_tensor(source.name, translate)


def translate_tensor(name: str, translate: Callable[[str], str | None] | None) -> str:
    """The name of an operand that is a registered tensor, by the paths after."""
    if not name.startswith("=") or translate is None:
        return name
    found = translate(name[1:])
    return f"={found}" if found is not None else f"before{name}"


def is_commutative(node: ProgramNode) -> bool:
    """Whether the order of the operands makes no difference."""
    return node.op in _COMMUTATIVE and "alpha" not in node.arguments


def _align(
    graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], left: Pair[list[int]], pairs: dict[int, int], names: Names
) -> Iterator[Change]:
    """Pairs the remaining nodes that are the same in the same order, then in another order, and yields those that changed."""
    working = Pair(*([number for number in left[side] if graphs[side].nodes[number].op not in REARRANGING] for side in (0, 1)))
    keys = Pair([tokens.before[number] for number in working.before], [tokens.after[number] for number in working.after])
    codes: Sequence[tuple[str, int, int, int, int]] = [("replace", 0, len(working.before), 0, len(working.after))]
    if max(map(len, working)) <= _MOST_ALIGNED:
        codes = SequenceMatcher(None, *keys, autojunk=False).get_opcodes()
    gaps: list[Pair[list[int]]] = []
    for tag, start, end, start_after, end_after in codes:
        gap = Pair(working.before[start:end], working.after[start_after:end_after])
        if tag == "equal":
            pairs.update(zip(*gap, strict=True))
        else:
            gaps.append(gap)
    moved = _pair_moved(tokens, gaps)
    pairs.update(moved)
    taken = set(moved.values())
    changed: Pair[set[int]] = Pair(set(), set())
    for gap in gaps:
        kept = Pair([number for number in gap.before if number not in moved], [number for number in gap.after if number not in taken])
        for change in _compare_gap(graphs, tokens, kept, pairs, names):
            if change.kind != "arguments":
                changed.before.update(change.before)
                changed.after.update(change.after)
            yield change
    yield from _compare_rearranging(graphs, tokens, left, pairs, changed)


def _compare_rearranging(
    graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], left: Pair[list[int]], pairs: dict[int, int], changed: Pair[set[int]]
) -> Iterator[Change]:
    """Pairs nodes that rearrange the same operand, and yields those that changed, unless only changed operators use their result."""
    rest = Pair(*([number for number in left[side] if graphs[side].nodes[number].op in REARRANGING] for side in (0, 1)))
    open_after = dict.fromkeys(rest.after)
    for kind in ("", "arguments", "replaced"):
        for number in rest.before:
            if number in pairs:
                continue
            for other in open_after:
                if not _take_same(graphs, pairs, number, other):
                    continue
                one, two = tokens.before[number], tokens.after[other]
                same = one == two if not kind else _drop_arguments(one) == _drop_arguments(two) if kind == "arguments" else True
                if same:
                    pairs[number] = other
                    del open_after[other]
                    if kind and not all(_is_used_by(graphs[side], (number, other)[side], changed[side]) for side in (0, 1)):
                        yield Change(kind, (number,), (other,))
                    break
    for side, numbers in enumerate((rest.before, open_after)):
        for number in numbers:
            if (side == 1 or number not in pairs) and not _is_used_by(graphs[side], number, changed[side]):
                yield Change("added", (), (number,)) if side else Change("removed", (number,))


def _take_same(graphs: Pair[ProgramGraph], pairs: dict[int, int], number: int, other: int) -> bool:
    """Whether two nodes rearrange the same thing."""
    one, two = graphs.before.nodes[number].operands[:1], graphs.after.nodes[other].operands[:1]
    if not one or not two:
        return False
    if one[0].node is not None:
        return pairs.get(one[0].node) == two[0].node and one[0].output == two[0].output
    return one == two


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
        waiting[_drop_arguments(tokens.after[number])].append(number)
    taken: set[int] = set()
    for number in gap.before:
        if known := waiting[_drop_arguments(tokens.before[number])]:
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
            pairs[before[-1]] = after[-1]
            yield Change("replaced", tuple(before), tuple(after))
        elif before or after:
            yield Change("added" if after else "removed", tuple(before), tuple(after))


def _drop_arguments(token: Hashable) -> Hashable:
    assert isinstance(token, tuple)
    return token[:2]


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


# --- what the paired nodes take as operands ---------------------------------------------------------------------------


class _Connections:
    """Compares the operands of paired nodes. A node that was added or removed is looked through: it is a change by itself."""

    def __init__(self, graphs: Pair[ProgramGraph], pairs: dict[int, int], names: Names) -> None:
        self._graphs = graphs
        self._pairs = pairs
        self._names = names
        self._taken = set(pairs.values())
        self._seen: Pair[dict[int, frozenset[Hashable]]] = Pair({}, {})

    def compare(self) -> Iterator[Change]:
        """The nodes with other operands, and whether the module returns something else."""
        for one, other in self._pairs.items():
            before, after = self._graphs.before.nodes[one], self._graphs.after.nodes[other]
            if before.op != after.op:
                continue
            kind = self._compare_operands(before.operands, after.operands, ordered=not is_commutative(after))
            if kind:
                yield Change(kind, (one,), (other,))
        if self._compare_operands(self._graphs.before.returns, self._graphs.after.returns, ordered=True):
            yield Change("returns")

    def _compare_operands(self, before: Sequence[Source], after: Sequence[Source], *, ordered: bool) -> str:
        one, other = [self._read(source, 0) for source in before], [self._read(source, 1) for source in after]
        if len(one) != len(other):  # the outputs of modules that were added or removed are changes of those
            one = [operand for operand, source in zip(one, before, strict=True) if not self._is_lost_call(source, 0)]
            other = [operand for operand, source in zip(other, after, strict=True) if not self._is_lost_call(source, 1)]
        if ordered and len(one) == len(other):
            differ = [place for place, pair in enumerate(zip(one, other, strict=True)) if not _agree(*pair)]
            if not differ:
                return ""
            direct = [each[0] for each in one], [each[0] for each in other]
            return "order" if len(differ) > 1 and sorted(direct[0], key=repr) == sorted(direct[1], key=repr) else "rewired"
        waiting = list(other)
        for operand in one:
            found = next((each for each in waiting if each[0] == operand[0]), None) or next(
                (each for each in waiting if _agree(operand, each)), None
            )
            if found is None:
                return "rewired"
            waiting.remove(found)
        return "rewired" if waiting and len(one) != len(other) else ""

    def _is_lost_call(self, source: Source, side: int) -> bool:
        if source.node is None or self._graphs[side].nodes[source.node].op != "call":
            return False
        return source.node not in (self._pairs if side == 0 else self._taken)

    def _read(self, source: Source, side: int) -> tuple[Hashable, frozenset[Hashable]]:
        """What an operand is by the nodes after, and everything that it is seen through added and removed nodes."""
        direct = self._name(source, side)
        if source.node is None:
            return direct, frozenset([direct])
        return direct, self._look_through(source.node, side) | {direct}

    def _name(self, source: Source, side: int) -> Hashable:
        if source.node is not None:
            node = self._pairs.get(source.node) if side == 0 else source.node
            return ("node", node, source.output) if node is not None else ("gone", source.node, source.output)
        if source.input is not None:
            return "input", source.input
        return "name", translate_tensor(source.name, self._names.tensor if side == 0 else None)

    def _look_through(self, number: int, side: int) -> frozenset[Hashable]:
        """What stands behind a node that has no counterpart; empty for one that has."""
        known = self._seen[side]
        pending = [number]
        while pending:
            current = pending[-1]
            if current in known:
                pending.pop()
                continue
            paired = current in self._pairs if side == 0 else current in self._taken
            if paired:
                known[current] = frozenset()
                continue
            operands = self._graphs[side].nodes[current].operands
            waiting = [source.node for source in operands if source.node is not None and source.node not in known]
            if waiting:
                pending += waiting
                continue
            behind = [known[source.node] for source in operands if source.node is not None]
            known[current] = frozenset(self._name(source, side) for source in operands).union(*behind)
        return known[number]


def _agree(before: tuple[Hashable, frozenset[Hashable]], after: tuple[Hashable, frozenset[Hashable]]) -> bool:
    """Whether two operands are the same, directly or through added or removed nodes."""
    return before[0] == after[0] or (before[0] in after[1]) or (after[0] in before[1]) or bool(_drop_direct(before) & _drop_direct(after))


def _drop_direct(operand: tuple[Hashable, frozenset[Hashable]]) -> frozenset[Hashable]:
    return operand[1] - {operand[0]}


def _compare_sizes(graphs: Pair[ProgramGraph], pairs: dict[int, int]) -> Iterator[Change]:
    """Paired nodes that got tensors of the same shape and have other sizes: those do not follow from their input."""
    for one, other in pairs.items():
        before, after = graphs.before.nodes[one], graphs.after.nodes[other]
        if before.op == after.op and before.shape == after.shape and before.sizes != after.sizes:
            yield Change("sizes", (one,), (other,))
