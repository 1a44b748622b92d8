"""Two data flows beside each other: which node of one is which of the other, and what happened to it.

Modules are matched already. An operator between them is the one, of the same name, that reads from and feeds the same things; one that
reads from others than before was re-wired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from archaudit.render.view.drawings.graph import Graph, list_readers
from archaudit.schema import ModuleDiff

Token = tuple[str, int]


class Wired(NamedTuple):
    """For each node of one side: what it is called on both sides, and whether it was `added`, `removed` or `changed` (else empty)."""

    tokens: tuple[Token, ...]
    states: tuple[str, ...]


def wire(graphs: Sequence[Graph], rows: Sequence[ModuleDiff], touched: frozenset[int]) -> tuple[Wired, ...]:
    """What became of each node; `touched` are the rows of modules that changed themselves or somewhere below. One side alone: nothing."""
    if len(graphs) == 1:
        tokens = tuple(("only", position) for position in range(len(graphs[0])))
        return (Wired(tokens, ("",) * len(tokens)),)
    named = [_name_modules(graph, side, rows) for side, graph in enumerate(graphs)]
    shared = set(named[0].values()) & set(named[1].values())
    pairs = _match_operators(graphs, named)
    for number, (one, other) in enumerate(pairs):
        named[0][one] = named[1][other] = ("operator", number)
        shared.add(("operator", number))
    for side, graph in enumerate(graphs):
        for position in range(len(graph)):
            named[side].setdefault(position, (f"only {side}", position))
    reads = [_list_reads(graph, tokens) for graph, tokens in zip(graphs, named, strict=True)]
    return tuple(
        Wired(
            tuple(tokens[position] for position in range(len(graph))),
            tuple(_find_state(tokens[position], side, (shared, touched), reads) for position in range(len(graph))),
        )
        for side, (graph, tokens) in enumerate(zip(graphs, named, strict=True))
    )


def _name_modules(graph: Graph, side: int, rows: Sequence[ModuleDiff]) -> dict[int, Token]:
    """Tokens of modules, by their row, and of inputs, by their place."""
    by_path = {(row.before_path, row.after_path)[side]: number for number, row in enumerate(rows)}
    tokens: dict[int, Token] = {}
    inputs = 0
    for position, node in enumerate(graph):
        if node.op == "input":
            tokens[position] = ("input", inputs)
            inputs += 1
        elif node.is_module and node.paths[0] in by_path:
            tokens[position] = ("row", by_path[node.paths[0]])
    return tokens


def _match_operators(graphs: Sequence[Graph], named: Sequence[Mapping[int, Token]]) -> list[tuple[int, int]]:
    """Operators before and after that are the same, in order: the ones with most in common, and at least something."""
    readers = [list_readers(graph) for graph in graphs]
    tokens = [dict(named[0]), dict(named[1])]
    left = [position for position in range(len(graphs[0])) if position not in tokens[0]]
    pairs: list[tuple[int, int]] = []

    def list_around(side: int, position: int) -> tuple[set[Token], set[Token]]:
        sources = {tokens[side][source] for source in graphs[side][position].sources if source in tokens[side]}
        return sources, {tokens[side][reader] for reader in readers[side][position] if reader in tokens[side]}

    for position, node in enumerate(graphs[1]):
        if position in tokens[1]:
            continue
        sources, targets = list_around(1, position)
        best, chosen = 0, -1
        for candidate in left:
            if graphs[0][candidate].op != node.op:
                continue
            feeders, followers = list_around(0, candidate)
            score = 2 * (feeders == sources) + len(feeders & sources) + len(followers & targets) if feeders | followers else 0
            if score > best:
                best, chosen = score, candidate
        if chosen >= 0:
            left.remove(chosen)
            tokens[0][chosen] = tokens[1][position] = ("operator", len(pairs))
            pairs.append((chosen, position))
    return pairs


def _list_reads(graph: Graph, tokens: Mapping[int, Token]) -> dict[Token, set[Token]]:
    return {tokens[position]: {tokens[source] for source in node.sources} for position, node in enumerate(graph)}


def _find_state(token: Token, side: int, known: tuple[set[Token], frozenset[int]], reads: Sequence[Mapping[Token, set[Token]]]) -> str:
    shared, touched = known
    if token not in shared:
        return ("removed", "added")[side]
    kind, number = token
    if kind == "row":
        return "changed" if number in touched else ""
    return "changed" if kind == "operator" and reads[0][token] != reads[1][token] else ""


def find_new_edges(graphs: Sequence[Graph], wired: Sequence[Wired]) -> list[dict[tuple[int, int], str]]:
    """For each side its edges, each with `removed` (before) or `added` (after) where the other side has none like it."""
    named = [
        {(source, target): (each.tokens[source], each.tokens[target]) for target, node in enumerate(graph) for source in node.sources}
        for graph, each in zip(graphs, wired, strict=True)
    ]
    if len(graphs) == 1:
        return [dict.fromkeys(named[0], "")]
    return [
        {edge: "" if pair in set_of_other else ("removed", "added")[side] for edge, pair in edges.items()}
        for side, (edges, set_of_other) in enumerate(zip(named, (set(named[1].values()), set(named[0].values())), strict=True))
    ]
