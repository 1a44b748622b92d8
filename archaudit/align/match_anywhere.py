"""Matching across parents: equal subtrees anywhere, layers within a segment of the data flow, and containers by what they hold."""

from __future__ import annotations

from collections import Counter, defaultdict

from archaudit.align.assignment import align_sequences
from archaudit.align.flow_segments import group_by_segment, number_segments
from archaudit.align.match_siblings import match_descendants
from archaudit.align.matching import LEFT, RIGHT, Basis, Matching
from archaudit.align.side import NO_MODULE, Side
from archaudit.align.splits import is_same_map, is_separated
from archaudit.index import Layer, compare_containers, compare_names, read_layer

# A subtree that equals exactly one other is surely that one. Several equal ones are paired in order, which is less sure.
_UNIQUE_CONFIDENCE, _REPEATED_CONFIDENCE = 0.9, 0.7
# Across parents a name says little. A layer must have the same type, sizes within about a factor of two, lie in a part of the model that is
# known to be the same, and take the outputs of the same modules as far as those are known. 304→256 that became 160→128 reaches the
# threshold; an unrelated 24→32 beside it does not.
LAYER_THRESHOLD = 0.6
_SIMILARITY_WEIGHT, _ANCESTOR_WEIGHT, _INPUTS_WEIGHT, _NAME_WEIGHT = 0.55, 0.2, 0.2, 0.05
_LAYER_CONFIDENCE = 0.8
# The similarity of a linear layer and a 1x1 convolution of the same sizes.
_SAME_MAP_SIMILARITY = 0.9
# A norm or activation follows the layer before it, so it only has to be of the same family, of any size.
_FOLLOWER_THRESHOLD = 0.35

Unit = tuple[int, ...]
"""A layer, or a depthwise convolution with the pointwise one after it."""


def match_equal_anywhere(matching: Matching) -> None:
    """Equal subtrees under any parents, the largest first; several equal ones in the order of execution."""
    by_fingerprint: defaultdict[int, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for number, side in enumerate(matching.sides):
        for module in side.list_in_execution_order():
            if side.has_matrix[module] and matching.is_free(number, module):
                by_fingerprint[side.equal[module]][number].append(module)
    left, right = matching.left, matching.right
    apart: tuple[set[int], set[int]] = (set(), set())
    shared = [found for found in by_fingerprint.values() if found[LEFT] and found[RIGHT]]
    for lefts, rights in sorted(shared, key=lambda found: (-matching.left.sizes[found[LEFT][0]], found[LEFT][0])):
        free_left, free_right = matching.list_free(LEFT, lefts), matching.list_free(RIGHT, rights)
        confidence = _UNIQUE_CONFIDENCE if len(free_left) == len(free_right) == 1 else _REPEATED_CONFIDENCE
        for one, other in _pair_equal(matching, free_left, free_right):
            above = (left.list_ancestors(one), right.list_ancestors(other))
            if _changed_lists(matching, one, other) or all(apart[side].intersection(above[side]) for side in (LEFT, RIGHT)):
                apart[LEFT].add(one)
                apart[RIGHT].add(other)
                continue
            match_descendants(matching, matching.match_subtrees(one, other, Basis("equal", confidence)))


def _changed_lists(matching: Matching, one: int, other: int) -> bool:
    """Whether two equal blocks are in two lists that both sides have, of which each keeps another block like them.

    One list then lost a block and the other got one; nothing says that it is the same block.
    """
    parents = matching.left.parents[one], matching.right.parents[other]
    if NO_MODULE in parents or matching.are_partners(*parents) or parents[0] not in matching.partners[LEFT]:
        return False
    if parents[1] not in matching.partners[RIGHT]:
        return False
    for number, parent, module in zip((LEFT, RIGHT), parents, (one, other), strict=True):
        side, partners, opposite = matching.sides[number], matching.partners[number], matching.sides[1 - number]
        alike = (child for child in side.children[parent] if child in partners and side.equal[child] == side.equal[module])
        if not any(opposite.parents[partners[child]] == partners[parent] for child in alike):
            return False
    return True


def _pair_equal(matching: Matching, lefts: list[int], rights: list[int]) -> list[tuple[int, int]]:
    """Pairs of equal subtrees: those of the same name first, then the rest in order.

    Single layers of which one side has more are left to the data flow, which says better which ones are new.
    """
    left, right = matching.left, matching.right
    pairs: list[tuple[int, int]] = []
    by_name: defaultdict[str, list[int]] = defaultdict(list)
    for other in reversed(rights):
        by_name[right.names[other]].append(other)
    rest_left = []
    for one in lefts:
        if by_name[left.names[one]]:
            pairs.append((one, by_name[left.names[one]].pop()))
        else:
            rest_left.append(one)
    paired = {other for _, other in pairs}
    rest_right = [other for other in rights if other not in paired]
    if len(rest_left) != len(rest_right) and not any(left.children[one] for one in rest_left):
        return pairs
    return pairs + list(zip(rest_left, rest_right, strict=False))


# --- layers within one segment of the data flow -----------------------------------------------------------------------


def match_segments(matching: Matching) -> None:
    """Free layers of the same segment, aligned in the order of execution across all parents; then what follows each matched layer."""
    segments = number_segments(matching)
    left, right = matching.left, matching.right
    layers_left = [module for module in left.list_in_execution_order() if left.is_layer[module]]
    layers_right = [module for module in right.list_in_execution_order() if right.is_layer[module]]
    free_left = group_by_segment(matching.list_free(LEFT, layers_left), segments[LEFT])
    free_right = group_by_segment(matching.list_free(RIGHT, layers_right), segments[RIGHT])
    pairs: list[tuple[int, int]] = []
    for segment in sorted(free_left.keys() & free_right.keys()):
        for one, other in _match_layers(matching, free_left[segment], free_right[segment]):
            pairs += [(one[-1], other[-1]), (one[0], other[0])]
    followers_left, followers_right = _list_followers(left, layers_left), _list_followers(right, layers_right)
    matched = sorted(matching.partners[LEFT].items())
    pairs += [(one, other) for one, other in matched if one in followers_left and other in followers_right]
    for first, second in pairs:
        if followers_left[first] and followers_right[second]:
            _match_followers(matching, followers_left[first], followers_right[second])


def _match_layers(matching: Matching, lefts: list[int], rights: list[int]) -> list[tuple[Unit, Unit]]:
    """Aligns layers in order and matches them; returns the units that belong together."""
    units_left, units_right = _join_separable(matching.left, lefts), _join_separable(matching.right, rights)
    joined = []
    scores: dict[tuple[int, int], float] = {}

    def gain(row: int, column: int) -> float:
        scores[row, column] = _score_units(matching, units_left[row], units_right[column])
        return scores[row, column] - LAYER_THRESHOLD

    keys_left = [tuple(matching.left.equal[part] for part in unit) for unit in units_left]
    keys_right = [tuple(matching.right.equal[part] for part in unit) for unit in units_right]
    for row, column in align_sequences(keys_left, keys_right, gain):
        one, other = units_left[row], units_right[column]
        basis = Basis("segment", min(scores[row, column], _LAYER_CONFIDENCE))
        if len(one) == len(other):
            for pair in zip(one, other, strict=True):
                matching.match(*pair, basis)
        elif _became_separable(matching, one, other):
            matching.match(one[0], other[0], basis)
        else:
            matching.match(*_find_best_part(matching, one, other), basis)
        joined.append((one, other))
    return joined


def _join_separable(side: Side, layers: list[int]) -> list[Unit]:
    """The layers with a weight matrix; a depthwise convolution and the pointwise one after it are one unit, even in two wrappers."""
    units: list[Unit] = []
    for layer in layers:
        if not side.has_matrix[layer]:
            continue
        before = units[-1] if units else ()
        if len(before) == 1 and side.find_list(before[0]) == side.find_list(layer):
            first, second = read_layer(side.records[before[0]]), read_layer(side.records[layer])
            if first and second and first.is_depthwise and second.is_pointwise and first.outputs == second.inputs:
                units[-1] = (before[0], layer)
                continue
        units.append((layer,))
    return units


def _score_units(matching: Matching, one: Unit, other: Unit) -> float:
    if not all(matching.can_match(left, right) for left in one for right in other) or not _may_have_moved(matching, one[0], other[0]):
        return 0.0
    if len(one) == len(other):
        return sum(_score(matching, *pair) for pair in zip(one, other, strict=True)) / len(one)
    if _became_separable(matching, one, other):
        return _weigh(matching, one[0], other[0], _compare_separated(matching, one, other))
    return _score(matching, *_find_best_part(matching, one, other))


def _may_have_moved(matching: Matching, one: int, other: int) -> bool:
    """Whether two layers are in the same container, or take the same outputs.

    Nothing else shows that a layer moved into a container that was there before: an order of execution in which one container lost layers
    and the next one was rebuilt is that of a move, too, and a checkpoint would load weights of another role.
    """
    if matching.are_partners(matching.find_matched_ancestor(LEFT, one), matching.find_matched_ancestor(RIGHT, other)):
        return True
    return compare_inputs(matching, one, other) == 1


def _read_layers(matching: Matching, one: Unit, other: Unit) -> tuple[list[Layer | None], list[Layer | None]]:
    left, right = matching.left.records, matching.right.records
    return [read_layer(left[part]) for part in one], [read_layer(right[part]) for part in other]


def _became_separable(matching: Matching, one: Unit, other: Unit) -> bool:
    """Whether one unit is a dense convolution and the other its depthwise and pointwise parts."""
    (whole, *rest), parts = sorted(_read_layers(matching, one, other), key=len)
    if rest or len(parts) != 2 or whole is None or parts[0] is None or parts[1] is None:
        return False
    return is_separated(whole, parts[0], parts[1])


def _compare_separated(matching: Matching, one: Unit, other: Unit) -> float:
    """How similar a dense convolution is to its depthwise and pointwise parts, by the kernel and the sizes."""
    left, right = _read_layers(matching, one, other)
    first, last, other_first, other_last = left[0], left[-1], right[0], right[-1]
    assert first is not None
    assert last is not None
    assert other_first is not None
    assert other_last is not None
    sizes = (first.inputs, other_first.inputs), (last.outputs, other_last.outputs)
    ratios = sum(min(pair) / max(pair) for pair in sizes)
    return 0.5 + 0.15 * ratios + 0.2 * (first.kernel == other_first.kernel)


def _find_best_part(matching: Matching, one: Unit, other: Unit) -> tuple[int, int]:
    """Of a single layer and a unit of two, the more similar pair."""
    pairs = [(left, right) for left in one for right in other]
    return max(pairs, key=lambda pair: _score(matching, *pair))


def _score(matching: Matching, one: int, other: int) -> float:
    left, right = matching.left.records[one], matching.right.records[other]
    # a layer that never runs has no place in the data flow: torch's attention only reads the weight of its output projection
    if not matching.can_match(one, other) or bool(left.calls) != bool(right.calls):
        return 0.0
    layers = read_layer(left), read_layer(right)
    if left.type != right.type:
        return _weigh(matching, one, other, _SAME_MAP_SIMILARITY) if is_same_map(*layers) else 0.0
    if layers[0] is not None and layers[1] is not None and layers[0].is_depthwise != layers[1].is_depthwise:
        return 0.0  # under other parents nothing says that one became the other, unless a pointwise convolution follows
    return _weigh(matching, one, other, matching.similarity.compare(one, other))


def _weigh(matching: Matching, one: int, other: int, similarity: float) -> float:
    """The weighted mean of all that is known about a pair."""
    same_ancestor = matching.are_partners(matching.find_matched_ancestor(LEFT, one), matching.find_matched_ancestor(RIGHT, other))
    parts = [(_SIMILARITY_WEIGHT, similarity), (_ANCESTOR_WEIGHT, float(same_ancestor))]
    inputs = compare_inputs(matching, one, other)
    parts += [(_INPUTS_WEIGHT, inputs)] if inputs is not None else []
    names = compare_names(matching.left.names[one], matching.right.names[other])
    parts += [(_NAME_WEIGHT, names)] if names is not None else []
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)


def compare_inputs(matching: Matching, one: int, other: int) -> float | None:
    """The share of common input modules, among those that are matched; None where none is."""
    left = {source for source in matching.left.inputs[one] if source in matching.partners[LEFT]}
    right = {source for source in matching.right.inputs[other] if source in matching.partners[RIGHT]}
    if not left and not right:
        return None
    common = {matching.partners[LEFT][source] for source in left} & right
    return len(common) / max(len(left), len(right))


def _list_followers(side: Side, layers: list[int]) -> dict[int, list[int]]:
    """For each layer with a weight matrix, the layers after it up to the next one with a weight matrix."""
    followers: dict[int, list[int]] = {}
    current: list[int] = []
    for layer in layers:
        if side.has_matrix[layer]:
            current = followers[layer] = []
        else:
            current.append(layer)
    return followers


def _match_followers(matching: Matching, lefts: list[int], rights: list[int]) -> None:
    free_left, free_right = matching.list_free(LEFT, lefts), matching.list_free(RIGHT, rights)

    def gain(row: int, column: int) -> float:
        one, other = free_left[row], free_right[column]
        return matching.similarity.compare(one, other) - _FOLLOWER_THRESHOLD if matching.can_match(one, other) else 0.0

    keys_left = [matching.left.equal[layer] for layer in free_left]
    keys_right = [matching.right.equal[layer] for layer in free_right]
    for row, column in align_sequences(keys_left, keys_right, gain):
        matching.match(free_left[row], free_right[column], Basis("follows", _REPEATED_CONFIDENCE))


# --- containers whose parents are not matched, by what they hold ------------------------------------------------------

# Two containers are the same one, changed, if they have at least this share of children or of layers in common.
_CONTAINER_THRESHOLD = 0.5
# Common layers say less about two containers than common children.
_MOST_BY_LAYERS = 0.9


def match_containers_by_layers(matching: Matching) -> None:
    """Free containers most of whose layers are matched to each other, at any depth.

    The greatest share comes first; of equal shares, the same type, and then the outer container.
    """
    left, right = matching.left, matching.right
    counts_left, counts_right = _count_layers(left), _count_layers(right)
    common: defaultdict[tuple[int, int], int] = defaultdict(int)
    for one, other in matching.partners[LEFT].items():
        if left.is_layer[one] and right.is_layer[other] and left.has_tensors[one] and right.has_tensors[other]:
            above_left = matching.list_free(LEFT, left.list_ancestors(one))
            above_right = matching.list_free(RIGHT, right.list_ancestors(other))
            for pair in ((outer, other_outer) for outer in above_left for other_outer in above_right):
                common[pair] += 1
    shares = {(one, other): 2 * count / (counts_left[one] + counts_right[other]) for (one, other), count in common.items()}

    def rank(pair: tuple[int, int]) -> tuple[float, float, int, int]:
        types = left.records[pair[0]].type, right.records[pair[1]].type
        return -shares[pair], -compare_containers(*types), left.first_calls[pair[0]], -left.sizes[pair[0]]

    for one, other in sorted(
        (pair for pair, share in shares.items() if share >= _CONTAINER_THRESHOLD), key=lambda pair: (*rank(pair), *pair)
    ):
        # a pair must not cross another: what is above on one side is above on the other
        nested_alike = matching.are_partners(matching.find_matched_ancestor(LEFT, one), matching.find_matched_ancestor(RIGHT, other))
        if matching.can_match(one, other) and nested_alike:
            matching.match(one, other, Basis("layers", min(shares[one, other], _MOST_BY_LAYERS)))
            match_descendants(matching, [(one, other)])


def _count_layers(side: Side) -> Counter[int]:
    """How many layers with tensors are below each module."""
    counts: Counter[int] = Counter()
    for layer in side.top_down:
        if side.is_layer[layer] and side.has_tensors[layer]:
            counts.update(side.list_ancestors(layer))
    return counts


def match_containers_by_children(matching: Matching) -> None:
    """Free containers most of whose children are matched to each other, the deepest first; then the rest of their children."""
    left, right = matching.left, matching.right
    for one in reversed(left.top_down):
        if not left.children[one] or not matching.is_free(LEFT, one):
            continue
        partners = [matching.partners[LEFT][child] for child in left.children[one] if child in matching.partners[LEFT]]
        parents = {right.parents[partner] for partner in partners} - {NO_MODULE}
        shares = {parent: _share_children(matching, one, parent) for parent in parents if matching.can_match(one, parent)}
        best = min(shares, key=lambda parent: (-shares[parent], right.first_calls[parent], parent), default=NO_MODULE)
        if best != NO_MODULE and shares[best] >= _CONTAINER_THRESHOLD:
            matching.match(one, best, Basis("children", shares[best]))
            match_descendants(matching, [(one, best)])


def _share_children(matching: Matching, one: int, other: int) -> float:
    """The share of common children, of those with tensors: models differ in their dropouts and activations. Without tensors, of all."""
    left, right = matching.left, matching.right
    children_left = [child for child in left.children[one] if left.has_tensors[child]]
    children_right = [child for child in right.children[other] if right.has_tensors[child]]
    if not children_left or not children_right:
        children_left, children_right = left.children[one], right.children[other]
    within = set(children_right)
    common = sum(matching.partners[LEFT].get(child) in within for child in children_left)
    return 2 * common / (len(children_left) + len(children_right))
