"""What the paired nodes of two programs take as operands, and whether that is the same."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence

from archaudit.index.program_pairing import Names, is_commutative, translate_tensor
from archaudit.index.programs import ProgramGraph, Source
from archaudit.schema import Pair

# An operand by the nodes after, and everything that is behind it through added and removed nodes.
_Operand = tuple[Hashable, frozenset[Hashable]]


class Connections:
    """Compares the operands of paired nodes. A node that was added or removed is looked through: it is a change by itself."""

    def __init__(self, graphs: Pair[ProgramGraph], pairs: dict[int, int], names: Names, keys: Pair[list[int]]) -> None:
        self._graphs = graphs
        # of nodes that compute the same, the first one after represents all
        first: dict[int, int] = {}
        for number, key in enumerate(keys.after):
            first.setdefault(key, number)
        self._same: Pair[list[int | None]] = Pair([first.get(key) for key in keys.before], [first[key] for key in keys.after])
        self._pairs = pairs
        self._names = names
        self._taken = set(pairs.values())
        self._seen: Pair[dict[int, frozenset[Hashable]]] = Pair({}, {})

    def compare(self) -> Iterator[tuple[str, int | None, int | None]]:
        """The nodes with other operands, and whether the module returns something else."""
        for one, other in self._pairs.items():
            before, after = self._graphs.before.nodes[one], self._graphs.after.nodes[other]
            if before.op != after.op:
                continue
            kind = self._compare_operands(before.operands, after.operands, ordered=not is_commutative(after))
            if kind:
                yield kind, one, other
        if self._compare_operands(self._graphs.before.returns, self._graphs.after.returns, ordered=True):
            yield "returns", None, None

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
        return "rewired" if waiting else ""

    def _is_lost_call(self, source: Source, side: int) -> bool:
        if source.node is None or self._graphs[side].nodes[source.node].op != "call":
            return False
        return source.node not in (self._pairs if side == 0 else self._taken)

    def _read(self, source: Source, side: int) -> _Operand:
        """What an operand is by the nodes after, and everything that it is seen through added and removed nodes."""
        direct = self._name(source, side)
        if source.node is None:
            return direct, frozenset([direct])
        return direct, self._look_through(source.node, side) | {direct}

    def _name(self, source: Source, side: int) -> Hashable:
        if source.node is not None:
            node = self._same[side][source.node]
            if node is None and (partner := self._pairs.get(source.node)) is not None:
                node = self._same.after[partner]
            return ("node", node, source.output) if node is not None else ("gone", source.node, source.output)
        if source.input is not None:
            return "input", source.input
        return "name", translate_tensor(source.name, self._names.tensor if side == 0 else None)

    def _look_through(self, number: int, side: int) -> frozenset[Hashable]:
        """The inputs that a node without a counterpart leads to; empty for one that has a counterpart."""
        known = self._seen[side]
        pending = [number]
        while pending:
            current = pending[-1]
            if current in known:
                pending.pop()
                continue
            paired = current in self._pairs or self._same.before[current] is not None if side == 0 else current in self._taken
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


def _agree(before: _Operand, after: _Operand) -> bool:
    """Whether two operands are the same, directly or through added or removed nodes."""
    return before[0] == after[0] or (before[0] in after[1]) or (after[0] in before[1]) or bool(_drop_direct(before) & _drop_direct(after))


def _drop_direct(operand: _Operand) -> frozenset[Hashable]:
    return operand[1] - {operand[0]}
