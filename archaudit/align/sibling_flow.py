"""How data flows between the children of one module: what each child reads, and what reads it.

Equal sizes alone can contradict the data flow. In a U-Net that became a U-Net++, the last decoder block got more inputs, and a new block
has its old sizes; in a dense block with a wider input, the fifth layer has the sizes of the old first one. Pairs of equal children are
compared here with the pairs that keep the data flow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from archaudit.align.matching import LEFT, RIGHT, Matching
from archaudit.align.side import NO_MODULE, Side

# What comes from outside of the parent, and what goes there. Both sides have them.
_INPUT, _OUTPUT = -2, -3
# The pairs that keep the data flow must agree by so much more, of 1. A layer inserted into a chain shifts the names behind it; equal pairs
# and pairs of the same name then agree alike.
_MARGIN = 0.15


class SiblingFlow(NamedTuple):
    """For each child with tensors: the children that it reads and those that read it, through operators and children without tensors."""

    sources: dict[int, set[int]]
    readers: dict[int, set[int]]


def read_sibling_flow(side: Side, children: Iterable[int]) -> SiblingFlow:
    """The data flow between children of one module, in one pass over the forward graph."""
    siblings = set(children)
    parent = next((side.parents[child] for child in siblings), NO_MODULE)
    owners: dict[str, int | None] = {}
    flow = SiblingFlow(defaultdict(set), defaultdict(set))
    reached: dict[int, frozenset[int]] = {}
    read: set[int] = set()
    for node in side.profile.flow:
        if node.module not in owners:
            owners[node.module] = _find_owner(side, node.module, siblings, parent)
        owner = owners[node.module]
        found = frozenset().union(*(reached.get(source, frozenset()) for source in node.inputs))
        read.update(node.inputs)
        if owner == _INPUT or node.op == "input":
            for source in found - {_INPUT}:
                flow.readers[source].add(_OUTPUT)
            reached[node.id] = frozenset({_INPUT})
        elif owner is None or not side.has_tensors[owner]:
            reached[node.id] = found
        else:
            for source in found - {owner}:
                flow.sources[owner].add(source)
                flow.readers[source].add(owner)
            reached[node.id] = frozenset({owner})
    for node_id in reached.keys() - read:
        for source in reached[node_id] - {_INPUT}:
            flow.readers[source].add(_OUTPUT)
    return flow


def _read_around(side: Side, child: int) -> SiblingFlow:
    parent = side.parents[child]
    return read_sibling_flow(side, side.roots if parent == NO_MODULE else side.children[parent])


def _find_owner(side: Side, path: str, siblings: set[int], parent: int) -> int | None:
    """The sibling that a node of the module at `path` runs in; None between the siblings, _INPUT outside of their parent."""
    module = side.positions.get(path, NO_MODULE)
    while module != NO_MODULE and module not in siblings:
        if module == parent:
            return None
        module = side.parents[module]
    return module if module != NO_MODULE else None if parent == NO_MODULE else _INPUT


def choose_by_flow(matching: Matching, equal: dict[int, int], similar: Mapping[int, list[int]]) -> dict[int, int]:
    """Of pairs of equal children, those that the data flow contradicts, with the partners that keep it.

    `equal` are the pairs by left child; `similar` has for each left child the free right children of its type, the one of the same name
    first. Children that are matched already are known. Empty where the equal pairs agree with the data flow at least as well.
    """
    children = list(equal) + [child for child in similar if child not in equal]
    one, other = next(iter(equal.items()))
    flows = _read_around(matching.left, one), _read_around(matching.right, other)
    known = {**matching.partners[LEFT], _INPUT: _INPUT, _OUTPUT: _OUTPUT}
    kept = _pair_by_name(matching, children, similar)
    if kept:
        by_name, by_size = {**known, **kept}, {**known, **equal}
        pairs = [child for child in children if child in kept]
        if _rate(pairs, by_name, flows) > _rate(pairs, by_size, flows) + _MARGIN:
            return kept
    return _pair_by_readers(matching, equal, similar, flows)


def _pair_by_name(matching: Matching, children: list[int], similar: Mapping[int, list[int]]) -> dict[int, int]:
    names = matching.left.names, matching.right.names
    pairs = {}
    for child in children:
        found = next((each for each in similar.get(child, ()) if names[RIGHT][each] == names[LEFT][child]), None)
        if found is not None and not names[LEFT][child].isdecimal():
            pairs[child] = found
    return pairs


def _pair_by_readers(
    matching: Matching, equal: dict[int, int], similar: Mapping[int, list[int]], flows: tuple[SiblingFlow, SiblingFlow]
) -> dict[int, int]:
    """Pairs of children whose output goes to the same matched children, where that of the equal one does not.

    A reader of the child's own type is as much in question as the child.
    """
    chosen: dict[int, int] = {}
    types = [record.type for record in matching.left.records]
    for child in equal:
        known = {**{one: other for one, other in equal.items() if types[one] != types[child]}, **matching.partners[LEFT]}
        known.update({_INPUT: _INPUT, _OUTPUT: _OUTPUT})
        readers = flows[LEFT].readers.get(child, set())
        if not readers or any(reader not in known for reader in readers):
            continue
        expected = {known[reader] for reader in readers}
        found = [
            each for each in similar.get(child, ()) if flows[RIGHT].readers.get(each, set()) == expected and each not in chosen.values()
        ]
        if len(found) != 1 or found[0] in equal.values():
            continue
        by_size = {**known, **equal}
        by_readers = {**by_size, child: found[0]}
        if _rate([child], by_readers, flows) > _rate([child], by_size, flows) + _MARGIN:
            chosen[child] = found[0]
    return chosen


def _rate(children: list[int], partners: Mapping[int, int], flows: tuple[SiblingFlow, SiblingFlow]) -> float:
    """The mean share of common sources and readers over these left children, from 0 to 1; a child without a partner counts 0."""
    total = 0.0
    for child in children:
        if child not in partners:
            continue
        for before, after in zip(flows[LEFT], flows[RIGHT], strict=True):
            found, expected = before.get(child, set()), after.get(partners[child], set())
            common = {partners[each] for each in found if each in partners} & expected
            total += len(common) / max(len(found), len(expected)) if found or expected else 1.0
    return total / (2 * len(children)) if children else 0.0
