"""Which part of the graph after is which part before: modules as they were matched, operators by what they stand between."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archaudit.diff.flow.graph import FlowGraph
from archaudit.schema import Match

# Of more operators of one name than this, each is paired with the one at its place in the order: comparing all with all would take long.
_MOST_COMPARED = 200


def pair_parts(before: FlowGraph, after: FlowGraph, matches: Iterable[Match]) -> dict[str, str]:
    """Labels before to labels after, one to one."""
    both = [(match.before_path, match.after_path) for match in matches]
    found = [(one, other) for one, other in both if one is not None and other is not None]
    pairs = _contract(before, after, found)
    pairs |= {other: one for one, other in _contract(after, before, [(other, one) for one, other in found]).items()}
    pairs |= _pair_modules(before, after, found)
    pairs |= {label: label for label, part in before.parts.items() if part.kind in ("input", "output") and label in after.parts}
    inputs = [[label for label, part in side.parts.items() if part.kind == "input"] for side in (before, after)]
    if not any(label in pairs for label in inputs[0]):
        pairs |= dict(zip(*inputs, strict=False))
    return pairs | _pair_operators(before, after, pairs)


def _contract(one: FlowGraph, other: FlowGraph, matches: list[tuple[str, str]]) -> dict[str, str]:
    """Makes one part of parts that all went into one part of the other side (a Sequential put around them), which is new as a whole."""
    parts = {part.path: label for label, part in one.parts.items() if part.path is not None}
    wholes = {part.path: label for label, part in other.parts.items() if part.path is not None}
    kept = {wholes[target] for path, target in matches if path in parts and target in wholes}
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for path, target in matches:
        home = other.holders.get(target, "")
        if path in parts and target not in wholes and home in other.parts and home not in kept:
            homes[home].append(parts[path])
    order = {label: place for place, label in enumerate(one.parts)}
    return {
        one.contract(sorted(labels, key=order.__getitem__)): home
        for home, labels in homes.items()
        if len(labels) > 1 and len(labels) < len(parts)
    }


def _pair_modules(before: FlowGraph, after: FlowGraph, found: list[tuple[str, str]]) -> dict[str, str]:
    partners = dict(found)
    pairs: dict[str, str] = {}
    for label, part in before.parts.items():
        other = partners.get(part.path) if part.path is not None else None
        if other is not None and other in after.holders and after.parts.get(after.holders[other]) is not None:
            target = after.parts[after.holders[other]]
            if target.path == other:
                pairs[label] = target.label
    taken = set(pairs.values())
    for one, other in found:  # a layer that became a module of its own, or went into one
        label, target_label = before.holders.get(one, ""), after.holders.get(other, "")
        whole = label in before.parts and before.parts[label].path == one
        if whole and label not in pairs and target_label in after.parts and target_label not in taken:
            pairs[label] = target_label
            taken.add(target_label)
    return pairs


def _pair_operators(before: FlowGraph, after: FlowGraph, pairs: dict[str, str]) -> dict[str, str]:
    """The pairs that have most of their surroundings in common, best first."""
    sides = [_list_operators(before), _list_operators(after)]
    near_before, near_after = _find_surroundings(before), _find_surroundings(after)
    found: dict[str, str] = {}
    for name, labels in sides[0].items():
        others = sides[1].get(name, [])
        if max(len(labels), len(others)) > _MOST_COMPARED:
            found |= dict(zip(labels, others, strict=False))
            continue
        scored = []
        for place, label in enumerate(labels):
            mine = [{pairs.get(near, f"-{near}") for near in direction} for direction in near_before[label]]
            for other_place, other in enumerate(others):
                shared = sum(_share(one, two) for one, two in zip(mine, near_after[other], strict=True))
                if shared > 0:
                    scored.append((-shared, abs(place - other_place), place, other_place))
        taken: set[int] = set()
        for _, _, place, other_place in sorted(scored):
            if labels[place] not in found and other_place not in taken:
                found[labels[place]] = others[other_place]
                taken.add(other_place)
    return found


def _list_operators(graph: FlowGraph) -> dict[str, list[str]]:
    operators: defaultdict[str, list[str]] = defaultdict(list)
    for label, part in graph.parts.items():
        if part.kind == "operator":
            operators[label.partition("#")[0].rpartition(".")[2]].append(label)
    return operators


def _find_surroundings(graph: FlowGraph) -> dict[str, tuple[set[str], set[str]]]:
    """For each operator, the nearest parts that are no operators: those that feed it, and those that it feeds."""
    feeders: defaultdict[str, set[str]] = defaultdict(set)
    readers: defaultdict[str, set[str]] = defaultdict(set)
    operators = [label for label, part in graph.parts.items() if part.kind == "operator"]
    known = set(operators)
    for edge in graph.edges:  # an operator is one node, so what it reads was complete before it
        if edge.target in known:
            feeders[edge.target] |= feeders[edge.source] if edge.source in known else {edge.source}
    for edge in reversed(graph.edges):
        if edge.source in known:
            readers[edge.source] |= readers[edge.target] if edge.target in known else {edge.target}
    return {label: (feeders[label], readers[label]) for label in operators}


def _share(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one or other else 0.0
