"""What the matching says of the tree: renamed, moved, wrapped, unwrapped, reordered, split, merged, and counts of repeated blocks.

A module is told apart from what it stands in: a child of a renamed or moved container that is as it was is the same, although its path
differs; the change is its parent's. Kinds are those of going from the left side to the right.
"""

from __future__ import annotations

from collections import Counter, defaultdict

from archaudit.align.assignment import keep_rising
from archaudit.align.matching import Matching
from archaudit.align.side import NOWHERE
from archaudit.align.splits import Split

# Of a container that was put around modules at least this share were siblings before; else they were moved into a new part.
_WRAPPED_SHARE = 0.5
# Two of a kind are no repetition yet; among other children, neither are three.
_FEWEST_ALONE, _FEWEST_AMONG = 3, 4
# Longer lists of siblings are not searched for the heaviest order that was kept, which takes quadratic time, but for the longest.
_LONGEST_WEIGHED = 400
# Types that hold anything, so that several of them are no repetition of one thing.
_SHELLS = frozenset({"Sequential", "ModuleList", "ModuleDict"})

Kinds = dict[tuple[int, int], list[str]]


class Structure:
    """Kinds of change by row, numbers of splits by side and module, the splits themselves by row, and counts of blocks by left module.

    A row is known by its left module, (0, module), where it has one, else by its right one, (1, module).
    """

    def __init__(self, matching: Matching, splits: list[Split]) -> None:
        self.matching = matching
        self.kinds: Kinds = defaultdict(list)
        self.change_ids: dict[tuple[int, int], int] = {}
        self.splits: dict[tuple[int, int], Split] = {}
        self.counts: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        self._find_places()
        for split in (*splits, *self._find_container_splits()):
            self._mark_split(split)
        self._find_reordered()
        self._count_repeated()

    # --- each module's place

    def _find_places(self) -> None:
        left, right = self.matching.left, self.matching.right
        around = [self._find_wrappers(side) for side in (0, 1)]
        for one, other in self.matching.partners[0].items():
            parents = left.parents[one], right.parents[other]
            if self.matching.are_partners(*parents):
                if left.names[one] != right.names[other]:
                    self.kinds[0, one].append("renamed")
            elif parents[1] in around[1] and self.matching.are_partners(parents[0], self.matching.rise(1, other)):
                self.kinds[0, one].append("wrapped")
            elif parents[0] in around[0] and self.matching.are_partners(self.matching.rise(0, one), parents[1]):
                self.kinds[0, one].append("unwrapped")
            else:
                self.kinds[0, one].append("moved")

    def _find_wrappers(self, number: int) -> set[int]:
        """Containers without a partner most of whose children come from where the container itself stands."""
        side, partners, others = self.matching.sides[number], self.matching.partners[number], self.matching.sides[1 - number]
        wrappers = set()
        for module in side.walk:
            if module in partners or not side.children[module]:
                continue
            outer = self.matching.partners[number].get(self.matching.rise(number, module), NOWHERE)
            inner = [child for child in side.children[module] if child in partners and others.parents[partners[child]] == outer]
            nested = [child for child in side.children[module] if child not in partners and len(side.children[child]) > 0]
            # what has the name of the module that it was put around took its place, whatever else it holds
            took_place = any(others.names[partners[child]] == side.names[module] for child in inner)
            if took_place or len(inner) + len(nested) >= _WRAPPED_SHARE * len(side.children[module]):
                wrappers.add(module)
        return wrappers

    # --- order

    def _find_reordered(self) -> None:
        left, right = self.matching.left, self.matching.right
        places = [0] * len(right)
        for below in right.running:
            for place, child in enumerate(below):
                places[child] = place
        for one, other in self.matching.partners[0].items():
            kept = [child for child in left.running[one] if self._stays_under(child, other)] if left.children[one] else []
            order = [places[self.matching.partners[0][child]] for child in kept]
            if order == sorted(order):
                continue
            stay = _keep_heaviest(order, [left.sizes[child] + left.records[child].total.params for child in kept])
            for place, child in enumerate(kept):
                if place not in stay:
                    self.kinds[0, child].append("reordered")

    def _stays_under(self, child: int, other: int) -> bool:
        """Whether a child has its place under `other`; what was split has several, so it has no place of its own."""
        if (0, child) in self.splits:
            return False
        partner = self.matching.partners[0].get(child)
        return partner is not None and self.matching.right.parents[partner] == other

    # --- counts

    def _count_repeated(self) -> None:
        for one, other in self.matching.partners[0].items():
            counts = self._count_blocks(0, one), self._count_blocks(1, other)
            uniform = len(counts[0]) == len(counts[1]) == 1 and not counts[0].keys() ^ counts[1].keys()
            for block in sorted(counts[0].keys() & counts[1].keys()):
                numbers = [sum(count.values()) for count in (counts[0][block], counts[1][block])]
                nested = block not in _SHELLS and any(counts[0][block].keys() | counts[1][block].keys())
                fewest = _FEWEST_ALONE if uniform else _FEWEST_AMONG
                if numbers[0] != numbers[1] and max(numbers) >= fewest and (uniform or nested):
                    self.kinds[0, one].append("repeated")
                    self.counts[one].append((block, numbers[0], numbers[1]))

    def _count_blocks(self, number: int, module: int) -> dict[str, Counter[bool]]:
        """How many children of each type there are, with children of their own (True) and without; what was split or merged is told so."""
        side = self.matching.sides[number]
        blocks: defaultdict[str, Counter[bool]] = defaultdict(Counter)
        for child in side.children[module]:
            if self._row(number, child) not in self.splits:
                blocks[side.records[child].type][bool(side.children[child])] += 1
        return blocks

    # --- splits

    def _find_container_splits(self) -> list[Split]:
        """Containers whose children went to several: to the partner, and to others that have none and hold mostly them."""
        found = []
        for number in (0, 1):
            side, others, partners = self.matching.sides[number], self.matching.sides[1 - number], self.matching.partners
            shares: defaultdict[int, list[int]] = defaultdict(list)
            for outer in others.list_running():
                if outer in partners[1 - number] or not others.children[outer]:
                    continue
                sources = Counter(
                    side.parents[partners[1 - number][child]] for child in others.children[outer] if child in partners[1 - number]
                )
                if not sources:
                    continue
                source, votes = min(sources.items(), key=lambda item: (-item[1], item[0]))
                if votes >= _WRAPPED_SHARE * len(others.children[outer]) and self._is_apart(number, source, outer):
                    shares[source].append(outer)
            for source, parts in sorted(shares.items()):
                partner = partners[number].get(source)
                whole = ([partner] if partner is not None else []) + parts
                if len(whole) > 1:
                    found.append(Split(number, source, tuple(whole), "its children divided"))
        return found

    def _is_apart(self, number: int, source: int, outer: int) -> bool:
        """Whether `outer` does not stand in what `source` became: what wraps some of its children is no part of its own standing."""
        if source == NOWHERE:
            return False
        partner, others = self.matching.partners[number].get(source, NOWHERE), self.matching.sides[1 - number]
        return partner not in others.list_ancestors(outer) and (partner == NOWHERE or outer not in others.list_ancestors(partner))

    def _mark_split(self, split: Split) -> None:
        number = len(set(self.change_ids.values()))
        keys = [self._row(*key) for key in ((split.side, split.whole), *((1 - split.side, part) for part in split.parts))]
        if any(key in self.change_ids for key in keys):
            return
        for key in dict.fromkeys(keys):
            self.change_ids[key] = number
            self.kinds[key].append("merged" if split.side else "split")
            self.splits[key] = split

    def _row(self, side: int, module: int) -> tuple[int, int]:
        """The key of a module's row: that of the left module where there is one."""
        if side == 1 and module in self.matching.partners[1]:
            return 0, self.matching.partners[1][module]
        return side, module


def _keep_heaviest(order: list[int], weights: list[int]) -> set[int]:
    """The places of a longest rising subsequence, of the longest the heaviest: what stayed while the others changed places."""
    if len(order) > _LONGEST_WEIGHED:
        return set(keep_rising(order))
    best: list[tuple[int, int]] = []
    came_from: list[int] = []
    for place, value in enumerate(order):
        before = [earlier for earlier in range(place) if order[earlier] < value]
        source = max(before, key=lambda earlier: (best[earlier], -earlier), default=NOWHERE)
        length, weight = best[source] if source != NOWHERE else (0, 0)
        best.append((length + 1, weight + weights[place]))
        came_from.append(source)
    place = max(range(len(order)), key=lambda last: (best[last], -last))
    kept = set()
    while place != NOWHERE:
        kept.add(place)
        place = came_from[place]
    return kept
