"""Which part of the graph after is which part before: modules as they were matched, operators by their neighbours in the graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from archaudit.diff.flow.graph import FlowGraph
from archaudit.schema import ModuleDiff, Pair

# Above this number of operators of one name, each is paired with the one at its place in the order: comparing all with all takes too long.
_MOST_COMPARED = 200

_Paths = list[tuple[str, str]]


def pair_parts(graphs: Pair[FlowGraph], rows: Iterable[ModuleDiff], operators: Iterable[tuple[int, int]] = ()) -> dict[str, str]:
    """Labels before to labels after, one to one. `operators` are pairs of flow nodes that are known to be the same operator.

    Several parts that became one are made one part in their graph.
    """
    before, after = graphs
    matched = [(row.before_path, row.after_path) for row in rows if row.before_path is not None and row.after_path is not None]
    pairs = _contract(before, after, matched)
    pairs |= {other: one for one, other in _contract(after, before, [(other, one) for one, other in matched]).items()}
    pairs |= _pair_modules(graphs, matched, pairs)
    pairs[before.output] = after.output
    inputs = graphs.map(lambda graph: [label for label, part in graph.parts.items() if part.kind == "input"])
    named = {label: label for label in inputs.before if label in inputs.after}
    pairs |= named or dict(zip(*inputs, strict=False))
    pairs |= _find_known(graphs, operators)
    return pairs | _pair_operators(graphs, pairs)


def list_operator_pairs(graphs: Pair[FlowGraph], pairs: dict[str, str]) -> list[tuple[int, int]]:
    """The flow nodes of the operators that are paired."""
    return [
        (before.nodes[0], graphs.after.parts[pairs[label]].nodes[0])
        for label, before in graphs.before.parts.items()
        if before.kind == "operator" and label in pairs
    ]


def _find_known(graphs: Pair[FlowGraph], operators: Iterable[tuple[int, int]]) -> dict[str, str]:
    labels = graphs.map(lambda graph: {part.nodes[0]: label for label, part in graph.parts.items() if part.kind == "operator"})
    # an operator on a constant of a module that is opened at this level is a constant itself, and no part
    return {labels.before[one]: labels.after[other] for one, other in operators if one in labels.before and other in labels.after}


def _contract(one: FlowGraph, other: FlowGraph, matched: _Paths) -> dict[str, str]:
    """Makes one part of parts that all went into one part of the other side (a new Sequential around them, say)."""
    parts = {part.path: label for label, part in one.parts.items() if part.path is not None}
    wholes = {part.path: label for label, part in other.parts.items() if part.path is not None}
    kept = {wholes[target] for path, target in matched if path in parts and target in wholes}
    members: defaultdict[str, list[str]] = defaultdict(list)
    for path, target in matched:
        whole = other.holders.get(target, "")
        if path in parts and target not in wholes and whole in other.parts and whole not in kept:
            members[whole].append(parts[path])
    order = {label: place for place, label in enumerate(one.parts)}
    return {
        one.contract(sorted(labels, key=order.__getitem__)): whole
        for whole, labels in members.items()
        if len(labels) > 1 and len(labels) < len(parts)
    }


def _pair_modules(graphs: Pair[FlowGraph], matched: _Paths, known: dict[str, str]) -> dict[str, str]:
    """Matched modules that are a part on both sides; then a module that is a part on one side, with the part that holds it on the other."""
    before, after = graphs
    held = [(before.holders.get(one, ""), after.holders.get(other, ""), one, other) for one, other in matched]
    held = [row for row in held if row[0] in before.parts and row[1] in after.parts]
    pairs = dict(known)
    taken = set(pairs.values())
    for both in (True, False):
        for label, target, one, other in held:
            whole = before.parts[label].path == one, after.parts[target].path == other
            if (all(whole) if both else any(whole)) and label not in pairs and target not in taken:
                pairs[label] = target
                taken.add(target)
    return pairs


def _pair_operators(graphs: Pair[FlowGraph], pairs: dict[str, str]) -> dict[str, str]:
    """Pairs operators of one name that have neighbours in common, those with most in common first."""
    operators = graphs.map(_list_operators)
    neighbours = graphs.map(_find_neighbours)
    taken_after = set(pairs.values())
    found: dict[str, str] = {}
    for name, named in operators.before.items():
        labels = [label for label in named if label not in pairs]
        others = [label for label in operators.after.get(name, []) if label not in taken_after]
        if max(len(labels), len(others)) > _MOST_COMPARED:
            found |= dict(zip(labels, others, strict=False))
            continue
        scored = []
        for place, label in enumerate(labels):
            translated = [{pairs.get(near, f"-{near}") for near in direction} for direction in neighbours.before[label]]
            for other_place, other in enumerate(others):
                shared = sum(_compare_sets(one, two) for one, two in zip(translated, neighbours.after[other], strict=True))
                if shared > 0:
                    # the order is the same when the sides are swapped: of equal ones, the earliest first
                    scored.append((-shared, abs(place - other_place), place + other_place, place, other_place))
        taken: set[int] = set()
        for *_, place, other_place in sorted(scored):
            if labels[place] not in found and other_place not in taken:
                found[labels[place]] = others[other_place]
                taken.add(other_place)
        # those without common neighbours in their order: two lines with the same text, one removed and one added, say nothing
        rest = [label for label in labels if label not in found]
        found |= dict(zip(rest, (other for place, other in enumerate(others) if place not in taken), strict=False))
    return found


def _list_operators(graph: FlowGraph) -> dict[str, list[str]]:
    operators: defaultdict[str, list[str]] = defaultdict(list)
    for label, part in graph.parts.items():
        if part.kind == "operator":
            operators[label.partition("#")[0].rpartition(".")[2]].append(label)
    return operators


def _find_neighbours(graph: FlowGraph) -> dict[str, tuple[set[str], set[str]]]:
    """For each operator, the nearest parts that are no operators: those whose outputs it takes, and those that take its output."""
    sources: defaultdict[str, set[str]] = defaultdict(set)
    targets: defaultdict[str, set[str]] = defaultdict(set)
    operators = [label for label, part in graph.parts.items() if part.kind == "operator"]
    known = set(operators)
    for edge in graph.edges:  # an operator is one flow node, so its inputs are complete before it runs
        if edge.target in known:
            sources[edge.target] |= sources[edge.source] if edge.source in known else {edge.source}
    for edge in reversed(graph.edges):
        if edge.source in known:
            targets[edge.source] |= targets[edge.target] if edge.target in known else {edge.target}
    return {label: (sources[label], targets[label]) for label in operators}


def _compare_sets(one: set[str], other: set[str]) -> float:
    """The share of members that two sets have in common."""
    return len(one & other) / len(one | other) if one or other else 0.0
