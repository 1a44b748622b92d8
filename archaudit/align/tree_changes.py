"""Changes of the module tree: renamed, moved, wrapped, unwrapped, reordered, split, merged, and counts of repeated blocks.

A module's own change is separate from its container's: an unchanged child of a renamed or moved container counts as the same, although its
path differs. Changes are those of going from the left side to the right side.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from archaudit.align.assignment import find_longest_increasing
from archaudit.align.matching import LEFT, RIGHT, Matching
from archaudit.align.side import NO_MODULE
from archaudit.align.splits import Split

# At least this share of a new container's children were siblings before, where it wraps them; else they moved into a new part of the model.
_WRAPPED_SHARE = 0.5
# So many children of one type are a repetition: where they are the only children, and among others.
_FEWEST_ALONE, _FEWEST_AMONG = 3, 4
# For longer lists of siblings the longest kept order is searched instead of the heaviest, which takes quadratic time.
_LONGEST_WEIGHED = 400
# Types that hold anything, so that several of them are no repetition of one block.
_PLAIN_CONTAINERS = frozenset({"Sequential", "ModuleList", "ModuleDict"})

RowKey = tuple[int, int]
"""Identifies a match: (LEFT, left module) where it has one, else (RIGHT, right module)."""


class TreeChanges:
    """The changes of each match, by its key. `counts` has the repeated blocks by left module: the type, and how many on each side.

    `change_ids` number the splits and merges, `splits` holds them.
    """

    def __init__(self, matching: Matching, splits: list[Split]) -> None:
        self.matching = matching
        self.changes: dict[RowKey, list[str]] = defaultdict(list)
        self.change_ids: dict[RowKey, int] = {}
        self.splits: dict[RowKey, Split] = {}
        self.counts: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        # A dense convolution that became a depthwise and a pointwise one: its parts may have containers of their own, which wrap nothing.
        self._separated: tuple[set[int], set[int]] = (set(), set())
        for split in (split for split in splits if split.kind == "separable"):
            self._separated[split.side].add(split.whole)
            self._separated[1 - split.side].update(split.parts)
        self._find_relocated()
        for split in (*splits, *self._find_container_splits()):
            self._add_split(split)
        self._find_reordered()
        self._count_repeated()

    # --- name and parent of each module

    def _find_relocated(self) -> None:
        left, right = self.matching.left, self.matching.right
        wrappers_left, wrappers_right = self._find_wrappers(LEFT), self._find_wrappers(RIGHT)
        for one, other in self.matching.partners[LEFT].items():
            parent, other_parent = left.parents[one], right.parents[other]
            if self.matching.are_partners(parent, other_parent):
                if left.names[one] != right.names[other]:
                    self.changes[LEFT, one].append("renamed")
            elif other_parent in wrappers_right and self.matching.are_partners(parent, self.matching.find_matched_ancestor(RIGHT, other)):
                self.changes[LEFT, one].append("wrapped")
            elif parent in wrappers_left and self.matching.are_partners(self.matching.find_matched_ancestor(LEFT, one), other_parent):
                self.changes[LEFT, one].append("unwrapped")
            elif one not in self._separated[LEFT] or not self._stayed(one, other):
                self.changes[LEFT, one].append("moved")

    def _stayed(self, one: int, other: int) -> bool:
        """Whether two modules are in the same container, apart from containers that are new or gone."""
        outer = self.matching.find_matched_ancestor(LEFT, one), self.matching.find_matched_ancestor(RIGHT, other)
        return self.matching.are_partners(*outer)

    def _find_wrappers(self, number: int) -> set[int]:
        """Containers without a partner, most of whose children are children of the container's own parent on the other side."""
        side, partners, others = self.matching.sides[number], self.matching.partners[number], self.matching.sides[1 - number]
        wrappers = set()
        for module in side.top_down:
            if module in partners or not side.children[module] or not self._separated[number].isdisjoint(side.children[module]):
                continue
            outer = partners.get(self.matching.find_matched_ancestor(number, module), NO_MODULE)
            inner = [child for child in side.children[module] if child in partners and others.parents[partners[child]] == outer]
            nested = [child for child in side.children[module] if child not in partners and len(side.children[child]) > 0]
            # a container with the name of a module that it holds took that module's place, even if it holds more
            same_name = any(others.names[partners[child]] == side.names[module] for child in inner)
            if same_name or len(inner) + len(nested) >= _WRAPPED_SHARE * len(side.children[module]):
                wrappers.add(module)
        return wrappers

    # --- order

    def _find_reordered(self) -> None:
        left, right = self.matching.left, self.matching.right
        places = [0] * len(right)
        for below in right.ordered_children:
            for place, child in enumerate(below):
                places[child] = place
        for one, other in self.matching.partners[LEFT].items():
            kept = [child for child in left.ordered_children[one] if self._stays_under(child, other)] if left.children[one] else []
            order = [places[self.matching.partners[LEFT][child]] for child in kept]
            if order == sorted(order):
                continue
            in_order = _find_heaviest_increasing(order, [left.sizes[child] + left.records[child].total.params for child in kept])
            for place, child in enumerate(kept):
                if place not in in_order:
                    self.changes[LEFT, child].append("reordered")

    def _stays_under(self, child: int, other: int) -> bool:
        """Whether the partner of a left child is a child of `other`. A split child has several places, so it counts for none."""
        if (LEFT, child) in self.splits:
            return False
        partner = self.matching.partners[LEFT].get(child)
        return partner is not None and self.matching.right.parents[partner] == other

    # --- counts

    def _count_repeated(self) -> None:
        for one, other in self.matching.partners[LEFT].items():
            counts_left, counts_right = self._count_blocks(LEFT, one), self._count_blocks(RIGHT, other)
            uniform = len(counts_left) == 1 and counts_left.keys() == counts_right.keys()
            for block in sorted(counts_left.keys() & counts_right.keys()):
                count, other_count = counts_left[block].total(), counts_right[block].total()
                has_children = any(counts_left[block].keys() | counts_right[block].keys())
                fewest = _FEWEST_ALONE if uniform else _FEWEST_AMONG
                is_block = uniform or (has_children and block not in _PLAIN_CONTAINERS)
                if count != other_count and max(count, other_count) >= fewest and is_block:
                    self.changes[LEFT, one].append("repeated")
                    self.counts[one].append((block, count, other_count))

    def _count_blocks(self, number: int, module: int) -> dict[str, Counter[bool]]:
        """How many children of each type there are, by whether they have children themselves; without those that were split or merged."""
        side = self.matching.sides[number]
        blocks: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        for child in side.children[module]:
            if self._make_key(number, child) not in self.splits:
                blocks[side.records[child].type][bool(side.children[child])] += 1
        return blocks

    # --- splits

    def _find_container_splits(self) -> list[Split]:
        """Containers whose children are in several: in the partner, and in containers without a partner that hold mostly them."""
        found = []
        for number in (LEFT, RIGHT):
            side, others = self.matching.sides[number], self.matching.sides[1 - number]
            partners, origins = self.matching.partners[number], self.matching.partners[1 - number]
            parts: defaultdict[int, list[int]] = defaultdict(list)
            for outer in others.list_in_execution_order():
                if outer in origins or not others.children[outer]:
                    continue
                sources = Counter(side.parents[origins[child]] for child in others.children[outer] if child in origins)
                if not sources:
                    continue
                source, votes = min(sources.items(), key=lambda item: (-item[1], item[0]))
                if votes >= _WRAPPED_SHARE * len(others.children[outer]) and self._is_separate(number, source, outer):
                    parts[source].append(outer)
            for source, outers in sorted(parts.items()):
                partner = partners.get(source)
                whole = ([partner] if partner is not None else []) + outers
                if len(whole) > 1:
                    found.append(Split(number, source, tuple(whole), "children"))
        return found

    def _is_separate(self, number: int, source: int, outer: int) -> bool:
        """Whether `outer` is neither inside the partner of `source` nor around it: else it only wraps some of the children."""
        if source == NO_MODULE:
            return False
        partner, others = self.matching.partners[number].get(source, NO_MODULE), self.matching.sides[1 - number]
        return partner not in others.list_ancestors(outer) and (partner == NO_MODULE or outer not in others.list_ancestors(partner))

    def _add_split(self, split: Split) -> None:
        number = len(set(self.change_ids.values()))
        keys = [self._make_key(*each) for each in ((split.side, split.whole), *((1 - split.side, part) for part in split.parts))]
        if any(key in self.change_ids for key in keys):
            return
        for key in dict.fromkeys(keys):
            self.change_ids[key] = number
            self.changes[key].append("split" if split.side == LEFT else "merged")
            self.splits[key] = split

    def _make_key(self, side: int, module: int) -> RowKey:
        if side == RIGHT and module in self.matching.partners[RIGHT]:
            return LEFT, self.matching.partners[RIGHT][module]
        return side, module


def _find_heaviest_increasing(order: list[int], weights: list[int]) -> set[int]:
    """The places of a longest increasing subsequence, and of the longest the heaviest: the siblings that stayed while others moved."""
    if len(order) > _LONGEST_WEIGHED:
        return set(find_longest_increasing(order))
    best: list[tuple[int, int]] = []
    came_from: list[int | None] = []
    for place, value in enumerate(order):
        smaller = [earlier for earlier in range(place) if order[earlier] < value]
        source = max(smaller, key=lambda earlier: (best[earlier], -earlier), default=None)
        length, weight = best[source] if source is not None else (0, 0)
        best.append((length + 1, weight + weights[place]))
        came_from.append(source)
    last: int | None = max(range(len(order)), key=lambda place: (best[place], -place))
    kept = set()
    while last is not None:
        kept.add(last)
        last = came_from[last]
    return kept
