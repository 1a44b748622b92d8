"""What was not found under its own parent: equal subtrees anywhere, then layers within one stretch of the data flow."""

from __future__ import annotations

from collections import Counter, defaultdict

from archaudit.align.assignment import align_sequences
from archaudit.align.flow_segments import find_cuts, list_stretches, number_stretches
from archaudit.align.match_siblings import match_downwards
from archaudit.align.matching import Found, Matching
from archaudit.align.side import NOWHERE, Side
from archaudit.align.splits import is_same_map, is_separated
from archaudit.index import compare_containers, compare_names, read_layer

# A subtree that is equal to just one other is surely that one; one of several lookalikes is taken in order.
_UNIQUE_CONFIDENCE, _REPEATED_CONFIDENCE = 0.9, 0.7
# Across parents a name says little: a layer must be of one type, of sizes within about a factor of two, in what is known to be one part of
# the model, and be fed by the same modules as far as those are known. 304→256 became 160→128 reaches it; an unrelated 24→32 next to it
# does not.
LAYER_THRESHOLD = 0.6
_CONTENT, _CONTEXT, _FEEDERS, _NAME = 0.55, 0.2, 0.2, 0.05
_LAYER_CONFIDENCE = 0.8
# What a linear layer and a convolution of one by one that map as many to as many have in common.
_SAME_MAP = 0.9
# Norms and activations follow the layer before them, so they need only be of a kind, of whatever size.
_FOLLOWER_THRESHOLD = 0.35

Element = tuple[int, ...]


def match_equal_anywhere(matching: Matching) -> None:
    """Equal subtrees that stand elsewhere, the largest first; many of one kind in order of execution."""
    heaps: defaultdict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for number, side in enumerate(matching.sides):
        for module in side.list_running():
            if side.weighty[module] and matching.is_free(number, module):
                heaps[side.equal[module]][number].append(module)
    shared = [heap for heap in heaps.values() if heap[0] and heap[1]]
    for lefts, rights in sorted(shared, key=lambda heap: (-matching.left.sizes[heap[0][0]], heap[0][0])):
        free = matching.list_free(0, lefts), matching.list_free(1, rights)
        confidence = _UNIQUE_CONFIDENCE if len(free[0]) == len(free[1]) == 1 else _REPEATED_CONFIDENCE
        for one, other in _pair_lookalikes(matching, *free):
            match_downwards(matching, matching.match_subtrees(one, other, Found("equal", confidence)))


def _pair_lookalikes(matching: Matching, lefts: list[int], rights: list[int]) -> list[tuple[int, int]]:
    """Those of one name first, then in order; of single layers, where one side has more, the data flow knows better which are which."""
    left, right = matching.left, matching.right
    pairs: list[tuple[int, int]] = []
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for other in reversed(rights):
        by_name[right.names[other]].append(other)
    taken: set[int] = set()
    for one in lefts:
        if by_name[left.names[one]]:
            other = by_name[left.names[one]].pop()
            pairs.append((one, other))
            taken.update((one, -1 - other))
    rest = [one for one in lefts if one not in taken], [other for other in rights if -1 - other not in taken]
    if len(rest[0]) != len(rest[1]) and not any(left.children[one] for one in rest[0]):
        return pairs
    return pairs + list(zip(*rest, strict=False))


# --- layers within one stretch


def match_stretches(matching: Matching) -> None:
    """Free layers between the same two passages, aligned in order of execution across all parents; then what follows each matched one."""
    cuts = find_cuts(matching)
    stretches = [number_stretches(side, bounds) for side, bounds in zip(matching.sides, cuts, strict=True)]
    layers = [[module for module in side.list_running() if side.layers[module]] for side in matching.sides]
    free = [list_stretches(matching.list_free(side, layers[side]), stretches[side]) for side in (0, 1)]
    pairs: list[tuple[int, int]] = []
    for stretch in sorted(free[0].keys() & free[1].keys()):
        for one, other in _match_layers(matching, free[0][stretch], free[1][stretch]):
            pairs += [(one[-1], other[-1]), (one[0], other[0])]
    followers = [_list_followers(side, listed) for side, listed in zip(matching.sides, layers, strict=True)]
    pairs += [(one, other) for one, other in sorted(matching.partners[0].items()) if one in followers[0] and other in followers[1]]
    for first, second in pairs:
        if followers[0][first] and followers[1][second]:
            _match_followers(matching, followers[0][first], followers[1][second])


def _match_layers(matching: Matching, lefts: list[int], rights: list[int]) -> list[tuple[Element, Element]]:
    elements = _join_separable(matching.left, lefts), _join_separable(matching.right, rights)
    joined = []
    scores: dict[tuple[int, int], float] = {}

    def gain(row: int, column: int) -> float:
        scores[row, column] = _score_elements(matching, elements[0][row], elements[1][column])
        return scores[row, column] - LAYER_THRESHOLD

    keys = [
        [tuple(side.equal[part] for part in element) for element in listed] for side, listed in zip(matching.sides, elements, strict=True)
    ]
    for row, column in align_sequences(keys[0], keys[1], gain):
        one, other = elements[0][row], elements[1][column]
        found = Found("stretch", min(scores[row, column], _LAYER_CONFIDENCE))
        if len(one) == len(other):
            for pair in zip(one, other, strict=True):
                matching.match(*pair, found)
        elif _is_split(matching, one, other):
            matching.match(one[0], other[0], found)
        else:
            matching.match(*_pick_part(matching, one, other), found)
        joined.append((one, other))
    return joined


def _join_separable(side: Side, leaves: list[int]) -> list[Element]:
    """The weighty leaves; a depthwise convolution and the pointwise one that follows it are one element."""
    elements: list[Element] = []
    for leaf in leaves:
        if not side.weighty[leaf]:
            continue
        before = elements[-1] if elements else ()
        if len(before) == 1 and side.parents[before[0]] == side.parents[leaf]:
            first, second = read_layer(side.records[before[0]]), read_layer(side.records[leaf])
            if first and second and first.is_depthwise and second.is_pointwise and first.outputs == second.inputs:
                elements[-1] = (before[0], leaf)
                continue
        elements.append((leaf,))
    return elements


def _score_elements(matching: Matching, one: Element, other: Element) -> float:
    if not all(matching.may_match(left, right) for left in one for right in other):
        return 0.0
    if len(one) == len(other):
        return sum(_score(matching, *pair) for pair in zip(one, other, strict=True)) / len(one)
    if _is_split(matching, one, other):
        return _weigh(matching, one[0], other[0], _compare_separated(matching, one, other))
    return _score(matching, *_pick_part(matching, one, other))


def _is_split(matching: Matching, one: Element, other: Element) -> bool:
    layers = [[read_layer(side.records[part]) for part in element] for side, element in zip(matching.sides, (one, other), strict=True)]
    (whole, *rest), parts = sorted(layers, key=len)
    if rest or len(parts) != 2 or whole is None or parts[0] is None or parts[1] is None:
        return False
    return is_separated(whole, parts[0], parts[1])


def _compare_separated(matching: Matching, one: Element, other: Element) -> float:
    """How alike a dense convolution is to its depthwise and pointwise parts: one kernel, and sizes not too far apart."""
    ends = []
    for side, element in zip(matching.sides, (one, other), strict=True):
        first, last = read_layer(side.records[element[0]]), read_layer(side.records[element[-1]])
        assert first is not None
        assert last is not None
        ends.append((first.inputs, last.outputs, first.kernel))
    (inputs, outputs, kernel), (other_inputs, other_outputs, other_kernel) = ends
    ratios = min(inputs, other_inputs) / max(inputs, other_inputs) + min(outputs, other_outputs) / max(outputs, other_outputs)
    return 0.5 + 0.15 * ratios + 0.2 * (kernel == other_kernel)


def _pick_part(matching: Matching, one: Element, other: Element) -> tuple[int, int]:
    """Of a single layer and a pair, the pair's part that is more like it."""
    pairs = [(left, right) for left in one for right in other]
    return max(pairs, key=lambda pair: _score(matching, *pair))


def _score(matching: Matching, one: int, other: int) -> float:
    left, right = matching.left.records[one], matching.right.records[other]
    # what never ran (the projection that torch's attention reads the weight of) has no place in the data flow
    if not matching.may_match(one, other) or bool(left.calls) != bool(right.calls):
        return 0.0
    if left.type != right.type:
        return _weigh(matching, one, other, _SAME_MAP) if is_same_map(read_layer(left), read_layer(right)) else 0.0
    return _weigh(matching, one, other, matching.similarity.compare(one, other))


def _weigh(matching: Matching, one: int, other: int, content: float) -> float:
    parts = [(_CONTENT, content), (_CONTEXT, float(matching.are_partners(matching.rise(0, one), matching.rise(1, other))))]
    fed = compare_feeders(matching, one, other)
    parts += [(_FEEDERS, fed)] if fed is not None else []
    likeness = compare_names(matching.left.names[one], matching.right.names[other])
    parts += [(_NAME, likeness)] if likeness is not None else []
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def compare_feeders(matching: Matching, one: int, other: int) -> float | None:
    """The share of known feeders in common: modules whose output they read and whose partner is known. None if none is."""
    known = [
        {feeder for feeder in side.feeders[module] if feeder in matching.partners[number]}
        for number, (side, module) in enumerate(zip(matching.sides, (one, other), strict=True))
    ]
    if not known[0] and not known[1]:
        return None
    common = {matching.partners[0][feeder] for feeder in known[0]} & known[1]
    return len(common) / max(len(known[0]), len(known[1]))


def _list_followers(side: Side, layers: list[int]) -> dict[int, list[int]]:
    """For each weighty layer, those after it up to the next weighty one."""
    followers: dict[int, list[int]] = {}
    current: list[int] = []
    for layer in layers:
        if side.weighty[layer]:
            current = followers[layer] = []
        else:
            current.append(layer)
    return followers


def _match_followers(matching: Matching, lefts: list[int], rights: list[int]) -> None:
    free = matching.list_free(0, lefts), matching.list_free(1, rights)

    def gain(row: int, column: int) -> float:
        one, other = free[0][row], free[1][column]
        return matching.similarity.compare(one, other) - _FOLLOWER_THRESHOLD if matching.may_match(one, other) else 0.0

    keys = [[side.equal[leaf] for leaf in leaves] for side, leaves in zip(matching.sides, free, strict=True)]
    for row, column in align_sequences(keys[0], keys[1], gain):
        matching.match(free[0][row], free[1][column], Found("follows", _REPEATED_CONFIDENCE))


# --- containers that were found under no matched parent: what is in them turned up together elsewhere ---


# The share of children, or of layers inside, that two containers must have in common to be one container changed.
_THRESHOLD = 0.5
# That two containers hold the same says less than that their children are each other's.
_MOST = 0.9


def match_containers(matching: Matching) -> None:
    """Free containers most of whose children are each other's, the deepest first; then the rest of their children."""
    left, right = matching.left, matching.right
    for one in reversed(left.walk):
        if not left.children[one] or not matching.is_free(0, one):
            continue
        partners = [matching.partners[0][child] for child in left.children[one] if child in matching.partners[0]]
        parents = {right.parents[partner] for partner in partners} - {NOWHERE}
        shares = {parent: _share_children(matching, one, parent) for parent in parents if matching.may_match(one, parent)}
        best = min(shares, key=lambda parent: (-shares[parent], right.firsts[parent], parent), default=NOWHERE)
        if best != NOWHERE and shares[best] >= _THRESHOLD:
            matching.match(one, best, Found("children", shares[best]))
            match_downwards(matching, [(one, best)])


def _share_children(matching: Matching, one: int, other: int) -> float:
    """The share of children in common: of those that hold tensors, since of dropouts and activations every author has his own number."""
    sides = zip(matching.sides, (one, other), strict=True)
    holding = [[child for child in side.children[module] if side.holding[child]] for side, module in sides]
    if not all(holding):
        holding = [matching.left.children[one], matching.right.children[other]]
    within = set(holding[1])
    common = sum(matching.partners[0].get(child) in within for child in holding[0])
    return 2 * common / (len(holding[0]) + len(holding[1]))


def match_holders(matching: Matching) -> None:
    """Free containers most of whose layers are each other's, however deep they lie: those that have most in common first, of several such
    those of one type, and then the outer ones."""
    left, right = matching.left, matching.right
    held = [_count_layers(side) for side in matching.sides]
    common: defaultdict[tuple[int, int], int] = defaultdict(int)
    for one, other in matching.partners[0].items():
        if left.layers[one] and right.layers[other] and left.holding[one] and right.holding[other]:
            above = matching.list_free(0, left.list_ancestors(one)), matching.list_free(1, right.list_ancestors(other))
            for pair in ((outer, outer_other) for outer in above[0] for outer_other in above[1]):
                common[pair] += 1
    shares = {pair: 2 * count / (held[0][pair[0]] + held[1][pair[1]]) for pair, count in common.items()}

    def rank(pair: tuple[int, int]) -> tuple[float, float, int, int]:
        types = left.records[pair[0]].type, right.records[pair[1]].type
        return -shares[pair], -compare_containers(*types), left.firsts[pair[0]], -left.sizes[pair[0]]

    for pair in sorted((pair for pair, share in shares.items() if share >= _THRESHOLD), key=lambda pair: (*rank(pair), *pair)):
        # what is above stays above
        if matching.may_match(*pair) and matching.are_partners(matching.rise(0, pair[0]), matching.rise(1, pair[1])):
            matching.match(*pair, Found("layers", min(shares[pair], _MOST)))
            match_downwards(matching, [pair])


def _count_layers(side: Side) -> Counter[int]:
    """How many layers with tensors of their own lie below each module."""
    counts: Counter[int] = Counter()
    for layer in side.walk:
        if side.layers[layer] and side.holding[layer]:
            counts.update(side.list_ancestors(layer))
    return counts
