"""Where both models narrow to one module: the layers that lie on every path from input to output, and the stretches between them.

Neighbours in the order of execution are no such thing: two branches may run in either order. A matched layer that everything passes
through is before and after the same things on both sides, so what was taken out between two of them was replaced by what was put in
between the same two.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict

from archaudit.align.assignment import keep_rising
from archaudit.align.matching import Matching
from archaudit.align.side import NOWHERE, Side
from archaudit.schema import FlowNode, Profile


def find_passages(profile: Profile) -> list[FlowNode]:
    """The nodes that lie on every path from an input to an output, in order.

    The dominators of the output, in one pass: nodes are numbered so that each reads from earlier ones. An output is what nothing reads and
    has the shape of something that the model returns (or, where none has, everything that nothing reads). Nodes that no input reaches, such
    as a table of positions, lie on no path.
    """
    dominators: dict[int, int] = {}
    depths: dict[int, int] = {}
    nodes = {node.id: node for node in profile.flow}
    for node in sorted(profile.flow, key=lambda node: node.id):
        feeders = [feeder for feeder in node.inputs if feeder in depths]
        if node.op == "input":
            dominators[node.id], depths[node.id] = NOWHERE, 1
        elif feeders:
            nearest = _find_common(feeders, dominators, depths)
            dominators[node.id], depths[node.id] = nearest, depths.get(nearest, 0) + 1
    outputs = _find_outputs(profile, depths)
    passages = []
    node_id = _find_common(outputs, dominators, depths) if outputs else NOWHERE
    while node_id != NOWHERE:
        passages.append(nodes[node_id])
        node_id = dominators[node_id]
    return passages[::-1]


def _find_common(nodes: list[int], dominators: dict[int, int], depths: dict[int, int]) -> int:
    """The nearest node that lies on every path to each of `nodes`."""
    common = nodes[0]
    for node in nodes[1:]:
        other = node
        while common != other:
            if depths.get(common, 0) >= depths.get(other, 0):
                common = dominators.get(common, NOWHERE)
            else:
                other = dominators.get(other, NOWHERE)
    return common


def _find_outputs(profile: Profile, reached: dict[int, int]) -> list[int]:
    read = {feeder for node in profile.flow for feeder in node.inputs}
    ends = [node for node in profile.flow if node.id not in read and node.id in reached]
    returned = {shape for record in profile.modules[:1] for call in record.calls for shape in call.outputs}
    return [node.id for node in ends if node.shape in returned] or [node.id for node in ends]


def find_cuts(matching: Matching) -> tuple[list[int], list[int]]:
    """Matched layers, run once, that lie on every path on both sides, in the same order: positions on the left, and their partners."""
    passages = [_list_layers(side) for side in matching.sides]
    places = {layer: place for place, layer in enumerate(passages[1])}
    partners = matching.partners[0]
    common = [layer for layer in passages[0] if partners.get(layer) in places]
    kept = keep_rising([places[partners[layer]] for layer in common])
    cuts = [common[place] for place in kept]
    return cuts, [partners[cut] for cut in cuts]


def _list_layers(side: Side) -> list[int]:
    runs = Counter(node.module for node in side.profile.flow if node.op == "call")
    called = [node.module for node in find_passages(side.profile) if node.op == "call" and runs[node.module] == 1]
    return [side.positions[path] for path in called if path in side.positions]


def number_stretches(side: Side, cuts: list[int]) -> list[int]:
    """For each module, how many of the cuts ran before it; a module that never ran goes with the one above it."""
    bounds = [side.firsts[cut] for cut in cuts]
    stretches = [0] * len(side)
    for module in side.walk:
        parent, first = side.parents[module], side.firsts[module]
        if first != NOWHERE:
            stretches[module] = bisect_right(bounds, first)
        elif parent != NOWHERE:
            stretches[module] = stretches[parent]
    return stretches


def list_stretches(modules: list[int], stretches: list[int]) -> dict[int, list[int]]:
    """The given modules by stretch, in the order given."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for module in modules:
        found[stretches[module]].append(module)
    return dict(found)
