"""Segments of the data flow: the modules between two consecutive layers that lie on every path from input to output.

In graph terms these layers are the dominators of the output (the single-vertex cuts of the forward graph). A matched pair of them has the
same things before and after it on both sides, so what was removed from a segment was replaced by what was added to it. The order of
execution alone does not say that: two branches may run in either order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict

from archaudit.align.assignment import find_longest_increasing
from archaudit.align.matching import LEFT, RIGHT, Matching
from archaudit.align.side import NEVER, NO_MODULE, Side
from archaudit.schema import FlowNode, Profile

_NO_NODE = -1


def find_dominators(profile: Profile) -> list[FlowNode]:
    """The nodes that lie on every path from an input to an output, in the order of execution.

    One pass suffices, since each node takes its inputs from nodes with lower ids. An output is a node that no other node takes as input and
    whose shape is among those that the model returns (or any such node, where no shape fits). Nodes that no input reaches, such as a table
    of positions, are on no path.
    """
    dominators: dict[int, int] = {}
    depths: dict[int, int] = {}
    nodes = {node.id: node for node in profile.flow}
    for node in sorted(profile.flow, key=lambda node: node.id):
        sources = [source for source in node.inputs if source in depths]
        if node.op == "input":
            dominators[node.id], depths[node.id] = _NO_NODE, 1
        elif sources:
            nearest = _find_common_dominator(sources, dominators, depths)
            dominators[node.id], depths[node.id] = nearest, depths.get(nearest, 0) + 1
    outputs = _find_outputs(profile, depths)
    found = []
    node_id = _find_common_dominator(outputs, dominators, depths) if outputs else _NO_NODE
    while node_id != _NO_NODE:
        found.append(nodes[node_id])
        node_id = dominators[node_id]
    return found[::-1]


def _find_common_dominator(nodes: list[int], dominators: dict[int, int], depths: dict[int, int]) -> int:
    """The nearest node that lies on every path to each of `nodes`."""
    common = nodes[0]
    for node in nodes[1:]:
        other = node
        while common != other:
            if depths.get(common, 0) >= depths.get(other, 0):
                common = dominators.get(common, _NO_NODE)
            else:
                other = dominators.get(other, _NO_NODE)
    return common


def _find_outputs(profile: Profile, reached: dict[int, int]) -> list[int]:
    used = {source for node in profile.flow for source in node.inputs}
    ends = [node for node in profile.flow if node.id not in used and node.id in reached]
    returned = {shape for record in profile.modules[:1] for call in record.calls for shape in call.outputs}
    return [node.id for node in ends if node.shape in returned] or [node.id for node in ends]


def find_boundaries(matching: Matching) -> tuple[list[int], list[int]]:
    """The left and the right modules of matched layers that run once and lie on every path, in the same order on both sides."""
    left, right = (_list_dominating_layers(side) for side in matching.sides)
    places = {layer: place for place, layer in enumerate(right)}
    partners = matching.partners[LEFT]
    common = [layer for layer in left if partners.get(layer) in places]
    kept = find_longest_increasing([places[partners[layer]] for layer in common])
    boundaries = [common[place] for place in kept]
    return boundaries, [partners[boundary] for boundary in boundaries]


def _list_dominating_layers(side: Side) -> list[int]:
    runs = Counter(node.module for node in side.profile.flow if node.op == "call")
    called = [node.module for node in find_dominators(side.profile) if node.op == "call" and runs[node.module] == 1]
    return [side.positions[path] for path in called if path in side.positions]


def number_segments(matching: Matching) -> tuple[list[int], list[int]]:
    """The segment of each left and each right module, from zero."""
    boundaries = find_boundaries(matching)
    return _number_side(matching.left, boundaries[LEFT]), _number_side(matching.right, boundaries[RIGHT])


def _number_side(side: Side, boundaries: list[int]) -> list[int]:
    """For each module, how many boundaries run before it or are it; a module that never runs is in its parent's segment."""
    starts = [side.first_calls[boundary] for boundary in boundaries]
    segments = [0] * len(side)
    for module in side.top_down:
        parent, first = side.parents[module], side.first_calls[module]
        if first != NEVER:
            segments[module] = bisect_right(starts, first)
        elif parent != NO_MODULE:
            segments[module] = segments[parent]
    return segments


def group_by_segment(modules: list[int], segments: list[int]) -> dict[int, list[int]]:
    """These modules by segment, in the order given."""
    found: defaultdict[int, list[int]] = defaultdict(list)
    for module in modules:
        found[segments[module]].append(module)
    return dict(found)
