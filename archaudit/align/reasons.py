"""The reasons of matches in words: why these two modules are taken for the same one."""

from __future__ import annotations

from archaudit.align.matching import Rule
from archaudit.align.side import NO_MODULE, Side
from archaudit.align.splits import Split
from archaudit.index import read_layer
from archaudit.schema import ModuleRecord, Pair

_FIXED_REASONS = {
    "segment": "same position in the data flow",
    "split": "same position in the data flow",
    "follows": "follows the same layer",
    "children": "most children match",
    "layers": "most of the layers inside match",
}
_MOST_SIZES = 3
# A matched sibling farther away than this says nothing about a module's position.
_FARTHEST_SIBLING = 8


class Explainer:
    """Writes the reasons of one matching. `partners` maps modules before to modules after."""

    def __init__(self, sides: Pair[Side], partners: dict[int, int]) -> None:
        self.sides = sides
        self._partners = partners
        self._origins = {after: before for before, after in partners.items()}
        self._places = sides.map(_number_places)

    def explain(self, before: int, after: int, rule: Rule) -> str:
        """The reason for a pair: how it was found, then what is the same and what is not."""
        sides = self.sides
        same_path = sides.before.paths[before] == sides.after.paths[after]
        same_type = sides.before.records[before].type == sides.after.records[after].type
        if same_path and same_type and rule != "pinned":
            return "same path"
        match rule:
            case "name":
                return self._describe_name(before, after)
            case "replaced":
                return f"{'same path' if same_path else self._describe_position(before, after)}, different type"
            case "equal":
                return self._describe_equal(before, after)
            case "wrapped":
                return self._describe_wrapped(before, after)
            case "pinned":
                parts = []
            case "order":
                parts = [self._describe_position(before, after)]
            case "position":
                parts = [self._describe_position(before, after), "same number of parameters"]
            case "reordered":
                parts = [f"best match under {_name_parent(sides.after, after)}"]
            case _:
                parts = [_FIXED_REASONS[rule]]
        return ", ".join([*parts, *_compare(sides.before.records[before], sides.after.records[after])])

    def explain_split(self, split: Split, *, whole_is_before: bool) -> str:
        """What was split into what, or merged from what."""
        whole_side, parts_side = self.sides if whole_is_before else self.sides[::-1]
        whole = _name(whole_side, split.whole)
        parts = " + ".join(_name(parts_side, part) for part in split.parts)
        how = _describe_split(split, whole_side.records[split.whole], merged=not whole_is_before)
        return f"{whole} split into {parts}: {how}" if whole_is_before else f"{parts} merged into {whole}: {how}"

    # --- parts of a reason

    def _describe_name(self, before: int, after: int) -> str:
        if self.sides.before.parents[before] == self.sides.after.parents[after] == NO_MODULE:
            return ", ".join(["both are roots", *_compare(self.sides.before.records[before], self.sides.after.records[after])])
        return f"same name under {_name_parent(self.sides.before, before)} → {_name_parent(self.sides.after, after)}"

    def _describe_equal(self, before: int, after: int) -> str:
        sides = self.sides
        same_parent = self._partners.get(sides.before.parents[before], NO_MODULE) == sides.after.parents[after]
        if same_parent and sides.before.names[before] == sides.after.names[after]:
            return self._describe_name(before, after)
        noun = "identical subtree" if sides.before.children[before] else "identical layer"
        if same_parent:
            return f"{noun}, renamed"
        return f"{noun}, moved from {_name_parent(sides.before, before)} to {_name_parent(sides.after, after)}"

    def _describe_wrapped(self, before: int, after: int) -> str:
        if len(self.sides.after.list_ancestors(after)) >= len(self.sides.before.list_ancestors(before)):
            return f"same module, now inside {_name_parent(self.sides.after, after)}"
        return f"same module, no longer inside {_name_parent(self.sides.before, before)}"

    def _describe_position(self, before: int, after: int) -> str:
        """`same position between aspp and classifier`: the nearest siblings that are matched to each other."""
        previous, following = (self._name_sibling(before, after, step) for step in (-1, 1))
        if previous and following:
            return f"same position between {previous} and {following}"
        if previous or following:
            return f"same position after {previous}" if previous else f"same position before {following}"
        return f"same position in {_name_parent(self.sides.after, after)}"

    def _name_sibling(self, before: int, after: int, step: int) -> str:
        """The nearest sibling of `after` in the direction of `step` whose partner is a sibling of `before` in that direction; or empty."""
        parent_before, parent_after = self.sides.before.parents[before], self.sides.after.parents[after]
        if NO_MODULE in (parent_before, parent_after):
            return ""
        siblings, place = self.sides.after.ordered_children[parent_after], self._places.after[after]
        for near in range(place + step, place + step * (_FARTHEST_SIBLING + 1), step):
            if not 0 <= near < len(siblings):
                break
            partner = self._origins.get(siblings[near], NO_MODULE)
            is_sibling = partner != NO_MODULE and self.sides.before.parents[partner] == parent_before
            if is_sibling and (self._places.before[partner] - self._places.before[before]) * step > 0:
                return self.sides.after.names[siblings[near]]
        return ""


def _describe_split(split: Split, whole: ModuleRecord, *, merged: bool) -> str:
    match split.kind:
        case "divided":
            layer = read_layer(whole)
            outputs = f"{layer.outputs:,} outputs" if layer is not None else "outputs"
            return f"their outputs are its {outputs}" if merged else f"its {outputs} are divided"
        case "children":
            return "their children are joined" if merged else "its children are divided"
        case "separable":
            return "depthwise and pointwise"
        case "fused":
            return "a norm is fused with the layer before it"
        case "factored":
            return "factored"


def _number_places(side: Side) -> list[int]:
    """For each module, its place among its siblings in the order of execution."""
    places = [0] * len(side)
    for children in side.ordered_children:
        for place, child in enumerate(children):
            places[child] = place
    return places


def _name(side: Side, module: int) -> str:
    return "the top level" if module == NO_MODULE else side.paths[module] or "the root"


def _name_parent(side: Side, module: int) -> str:
    return _name(side, side.parents[module])


def _compare(before: ModuleRecord, after: ModuleRecord) -> list[str]:
    """`same type` or `Conv2d → Linear`, then each size that differs: `304→160 inputs`."""
    types = "same type" if before.type == after.type else f"{before.type} → {after.type}"
    layers = Pair(read_layer(before), read_layer(after))
    if layers.before is not None and layers.after is not None:
        sizes = [(noun, getattr(layers.before, noun), getattr(layers.after, noun)) for noun in ("inputs", "outputs", "groups")]
    else:
        shapes = Pair(before, after).map(_find_first_shape)
        sizes = [("features", shapes.before[0], shapes.after[0])] if len(shapes.before) == len(shapes.after) == 1 else []
    return [types, *[f"{one:,}→{other:,} {noun}" for noun, one, other in sizes if one != other][:_MOST_SIZES]]


def _find_first_shape(record: ModuleRecord) -> tuple[int, ...]:
    """The shape of a module's first parameter; empty where it has none."""
    return next((tensor.shape for tensor in record.tensors if tensor.kind == "parameter"), ())
