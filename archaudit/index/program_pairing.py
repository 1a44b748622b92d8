"""Which node of a program is which: the same operator on the same operands, or the same rearrangement of the same tensor."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

from archaudit.index.programs import ProgramGraph, ProgramNode, Source
from archaudit.schema import Pair, Setting

# The order of their operands makes no difference.
_COMMUTATIVE = frozenset(
    ("add", "mul", "maximum", "minimum", "max", "min", "eq", "ne", "logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or")
)
# Operators that rearrange a tensor: next to others they are not worth a word.
REARRANGING = frozenset(("reshape", "permute", "slice", "select", "expand", "to"))

# A pair makes pairs of its neighbours possible; in a module with more operators in a chain, their order decides about the rest.
_MOST_ROUNDS = 100


class Names(NamedTuple):
    """The paths after of modules and tensors of before; None for those without a counterpart. Paths after are their own names.

    `is_function(side, path)`: whether a module is a layer without tensors, such as an activation, which an operator may replace.
    """

    module: Callable[[str], str | None]
    tensor: Callable[[str], str | None]
    is_function: Callable[[int, str], bool]


def freeze(value: Setting) -> Hashable:
    """A value that can be a key."""
    return json.dumps(value, sort_keys=True)


def make_token(node: ProgramNode, translate: Callable[[str], str | None] | None, side: str) -> Hashable:
    """What a node is, without its operands and sizes."""
    path: Hashable = node.path
    if node.op == "call" and translate is not None:
        path = translate(node.path)
        if path is None:
            path = (side, node.path)
    return node.op, path, freeze(node.arguments)


def write_sizes(node: ProgramNode) -> Hashable:
    """With all sizes: what computes the same on the same inputs."""
    return freeze(node.sizes), node.shape


def write_share(node: ProgramNode) -> Hashable:
    """Which share of its input a slice is: the queries of a joined projection, where its width changed."""
    if node.op != "slice" or node.shape is None:
        return ""
    dim, start, end = node.arguments.get("dim"), node.sizes.get("start"), node.sizes.get("end")
    size = node.shape[dim] if isinstance(dim, int) and -len(node.shape) <= dim < len(node.shape) else 0
    return (start / size, end / size) if size and isinstance(start, int) and isinstance(end, int) else ""


def leave_out_sizes(_node: ProgramNode) -> Hashable:
    return ""


def pair_equal(
    graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], names: Names, sizes: Callable[[ProgramNode], Hashable], pairs: dict[int, int]
) -> Pair[list[int]]:
    """Pairs nodes that are the same operator on the same operands, from the inputs on; `sizes` says which of its sizes count.

    Returns a number for each node, equal for nodes that compute the same.
    """
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
    return keys


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


def drop_arguments(token: Hashable) -> Hashable:
    assert isinstance(token, tuple)
    return token[:2]


class _Neighbours:
    """For each node of a graph: the nodes that it takes as operands, and those that take its result, through nodes that rearrange it."""

    def __init__(self, graph: ProgramGraph) -> None:
        self._nodes = graph.nodes
        self.operands = [{self._find(source.node) for source in node.operands if source.node is not None} for node in graph.nodes]
        self.readers: list[set[int]] = [set() for _ in graph.nodes]
        for number, operands in enumerate(self.operands):
            if graph.nodes[number].op not in REARRANGING:
                for operand in operands:
                    self.readers[operand].add(number)
        self.returned = {self._find(source.node) for source in graph.returns if source.node is not None}

    def _find(self, number: int) -> int:
        node = self._nodes[number]
        while node.op in REARRANGING and node.operands and node.operands[0].node is not None:
            number = node.operands[0].node
            node = self._nodes[number]
        return number


def pair_by_neighbours(graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], pairs: dict[int, int]) -> dict[int, int]:
    """Further pairs: the same operators with the most operands and readers in common, given `pairs` and the modules that are called once.

    In a sum of many branches the order of the operators says little: of two sums in a row, one is new, and each has its own branch.
    """
    near = graphs.map(_Neighbours)
    known = dict(pairs)
    taken = set(pairs.values())
    counts = tokens.map(Counter)
    places = {token: number for number, token in enumerate(tokens.after)}
    for number, token in enumerate(tokens.before):
        if graphs.before.nodes[number].op == "call" and counts.before[token] == counts.after[token] == 1:
            known.setdefault(number, places[token])
    found: dict[int, int] = {}
    free = [
        number
        for number, node in enumerate(graphs.before.nodes)
        if number not in pairs and node.op != "call" and node.op not in REARRANGING and counts.after[tokens.before[number]]
    ]
    for _ in range(_MOST_ROUNDS):
        scores: Counter[tuple[int, int]] = Counter()
        for number in free:
            others = [other for each in near.before.operands[number] if each in known for other in near.after.readers[known[each]]]
            others += [other for each in near.before.readers[number] if each in known for other in near.after.operands[known[each]]]
            others += near.after.returned if number in near.before.returned else ()
            scores.update((number, other) for other in others if other not in taken and tokens.after[other] == tokens.before[number])
        if not scores:
            break
        most = max(scores.values())
        for number, other in sorted(pair for pair, score in scores.items() if score == most):
            if number not in found and other not in taken:
                found[number] = known[number] = other
                taken.add(other)
        free = [number for number in free if number not in found]
    return found


def pair_rearranging(graphs: Pair[ProgramGraph], tokens: Pair[list[Hashable]], left: Pair[list[int]], pairs: dict[int, int]) -> None:
    """Pairs nodes that rearrange the same operand: in the same way, with other arguments, or in another way."""
    open_after = dict.fromkeys(number for number in left.after if graphs.after.nodes[number].op in REARRANGING)
    rest = [number for number in left.before if graphs.before.nodes[number].op in REARRANGING]
    for drop in (lambda token: token, drop_arguments, lambda _token: None):
        for number in rest:
            if number in pairs:
                continue
            for other in open_after:
                if drop(tokens.before[number]) == drop(tokens.after[other]) and have_same_inputs(graphs, pairs, number, other):
                    pairs[number] = other
                    del open_after[other]
                    break

    # the only ones of their kind
    alone = Pair(
        Counter(tokens.before[number] for number in rest if number not in pairs), Counter(tokens.after[number] for number in open_after)
    )
    partners = {tokens.after[number]: number for number in open_after}
    for number in rest:
        token = tokens.before[number]
        if number not in pairs and alone.before[token] == alone.after[token] == 1:
            pairs[number] = partners[token]


def have_same_inputs(graphs: Pair[ProgramGraph], pairs: dict[int, int], number: int, other: int) -> bool:
    """Whether the first operand of two nodes is the same, and no call is among them."""
    if "call" in (graphs.before.nodes[number].op, graphs.after.nodes[other].op):
        return False
    one, two = graphs.before.nodes[number].operands[:1], graphs.after.nodes[other].operands[:1]
    if not one or not two:
        return False
    if one[0].node is not None:
        return pairs.get(one[0].node) == two[0].node and one[0].output == two[0].output
    return one == two
