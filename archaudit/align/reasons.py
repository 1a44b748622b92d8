"""Why two modules are taken for one, in words: what a person would say who pointed at both."""

from __future__ import annotations

from archaudit.align.matching import Found
from archaudit.align.side import NOWHERE, Side
from archaudit.align.splits import Split
from archaudit.index import read_layer
from archaudit.schema import ModuleRecord

_MOST_SIZES = 3
# A neighbour further away than this says nothing about where a module stands.
_FARTHEST = 8


class Explainer:
    """Writes reasons for matched modules. `partners` maps modules before to modules after."""

    def __init__(self, before: Side, after: Side, partners: dict[int, int]) -> None:
        self.before, self.after, self._partners = before, after, partners
        self._origins = {other: one for one, other in partners.items()}
        self._places = _number_places(before), _number_places(after)

    def explain(self, one: int, other: int, found: Found) -> str:
        """The reason for a pair: how it was found, then what is the same and what is not."""
        same_path = self.before.paths[one] == self.after.paths[other]
        if same_path and found.way != "pinned" and self.before.records[one].type == self.after.records[other].type:
            return "same path"
        words = getattr(self, f"_tell_{found.way}")(one, other)
        return str(words)

    def explain_split(self, split: Split, whole_is_before: bool) -> str:
        """What was split into what, or merged out of what."""
        whole, parts = (self.before, self.after) if whole_is_before else (self.after, self.before)
        names = " + ".join(_name(parts, part) for part in split.parts)
        if whole_is_before:
            return f"{_name(whole, split.whole)} split into {names}: {split.words}"
        return f"{names} merged into {_name(whole, split.whole)}: {split.words}"

    # --- one way of finding a pair each

    def _tell_pinned(self, one: int, other: int) -> str:
        return self._compare(one, other)

    def _tell_place(self, one: int, other: int) -> str:
        parents = self.before.parents[one], self.after.parents[other]
        return f"same name under {_name(self.before, parents[0])} → {_name(self.after, parents[1])}"

    def _tell_replaced(self, one: int, other: int) -> str:
        if self.before.paths[one] == self.after.paths[other]:
            return "same path, another type"
        return f"{self._place(one, other)}, another type"

    def _tell_equal(self, one: int, other: int) -> str:
        same_parent = self._partners.get(self.before.parents[one], NOWHERE) == self.after.parents[other]
        if same_parent and self.before.names[one] == self.after.names[other]:
            return self._tell_place(one, other)
        things = "same subtree" if self.before.children[one] else "same layer"
        if same_parent:
            return f"{things}, renamed"
        return f"{things}, moved from {self._name_above(self.before, one)} to {self._name_above(self.after, other)}"

    def _tell_wrapped(self, one: int, other: int) -> str:
        if len(self.after.list_ancestors(other)) >= len(self.before.list_ancestors(one)):
            return f"same, now inside {self._name_above(self.after, other)}"
        return f"same, taken out of {self._name_above(self.before, one)}"

    def _tell_order(self, one: int, other: int) -> str:
        return f"{self._place(one, other)}, {self._compare(one, other)}"

    def _tell_crossing(self, one: int, other: int) -> str:
        return f"the most alike under {self._name_above(self.after, other)}, {self._compare(one, other)}"

    def _tell_stretch(self, one: int, other: int) -> str:
        return f"same place in the data flow, {self._compare(one, other)}"

    def _tell_split(self, one: int, other: int) -> str:
        return f"same place in the data flow, {self._compare(one, other)}"

    def _tell_follows(self, one: int, other: int) -> str:
        return f"follows the same layer, {self._compare(one, other)}"

    def _tell_children(self, one: int, other: int) -> str:
        return f"most of the children are the same, {self._compare(one, other)}"

    def _tell_alone(self, one: int, other: int) -> str:
        return f"{self._place(one, other)}, as many parameters, {self._compare(one, other)}"

    def _tell_layers(self, one: int, other: int) -> str:
        return f"most of the layers inside are the same, {self._compare(one, other)}"

    # --- parts of a reason

    def _place(self, one: int, other: int) -> str:
        """`same position between aspp and classifier`: the nearest siblings that are each other's."""
        around = []
        for step in (-1, 1):
            near = self._find_neighbour(one, other, step)
            around.append(self.after.names[near] if near != NOWHERE else "")
        if all(around):
            return f"same position between {around[0]} and {around[1]}"
        if any(around):
            return f"same position after {around[0]}" if around[0] else f"same position before {around[1]}"
        return f"same position in {self._name_above(self.after, other)}"

    def _find_neighbour(self, one: int, other: int, step: int) -> int:
        """The nearest sibling after, in the direction of `step`, whose partner before is on that side of `one` as well."""
        parent_before, parent_after = self.before.parents[one], self.after.parents[other]
        if NOWHERE in (parent_before, parent_after):
            return NOWHERE
        running, place = self.after.running[parent_after], self._places[1][other]
        for near in range(place + step, place + step * (_FARTHEST + 1), step):
            if not 0 <= near < len(running):
                break
            partner = self._origins.get(running[near], NOWHERE)
            beyond = partner != NOWHERE and self.before.parents[partner] == parent_before
            if beyond and (self._places[0][partner] - self._places[0][one]) * step > 0:
                return running[near]
        return NOWHERE

    def _compare(self, one: int, other: int) -> str:
        before, after = self.before.records[one], self.after.records[other]
        types = "same type" if before.type == after.type else f"{before.type} → {after.type}"
        return ", ".join([types, *_compare_sizes(before, after)])

    @staticmethod
    def _name_above(side: Side, module: int) -> str:
        return _name(side, side.parents[module])


def _number_places(side: Side) -> list[int]:
    """For each module, its place among its siblings in the order of execution."""
    places = [0] * len(side)
    for below in side.running:
        for place, child in enumerate(below):
            places[child] = place
    return places


def _name(side: Side, module: int) -> str:
    return "the top" if module == NOWHERE else side.paths[module] or "the root"


def _compare_sizes(before: ModuleRecord, after: ModuleRecord) -> list[str]:
    """`304→160 inputs`, one for each size that differs."""
    layers = read_layer(before), read_layer(after)
    if layers[0] is not None and layers[1] is not None:
        pairs = [("inputs", layers[0].inputs, layers[1].inputs), ("outputs", layers[0].outputs, layers[1].outputs)]
        pairs.append(("groups", layers[0].groups, layers[1].groups))
    else:
        sizes = [next((tensor.shape for tensor in record.tensors if tensor.kind == "parameter"), ()) for record in (before, after)]
        pairs = [("features", sizes[0][0], sizes[1][0])] if len(sizes[0]) == len(sizes[1]) == 1 else []
    return [f"{one:,}→{other:,} {noun}" for noun, one, other in pairs if one != other][:_MOST_SIZES]
