"""How tensors of matched modules become others: layers that were split or merged, and norms that were folded into the layer before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, permutations, product
from math import factorial, prod
from typing import NamedTuple

from archaudit.index import ModuleIndex, index_modules, join_name, parent_path
from archaudit.schema import FoldedNorm, JoinedRows, Match, ModuleRecord, Pair, Profile, Shape, TensorRecord, WeightSource


class MatchedModules:
    """The modules of both sides; `origins` are the paths before of modules after, `successors` the reverse."""

    def __init__(self, before: Profile, after: Profile, matches: Iterable[Match]) -> None:
        self.before = index_modules(before)
        self.after = index_modules(after)
        both = [(match.before_path, match.after_path) for match in matches]
        self.origins = {other: one for one, other in both if one is not None and other is not None}
        self.successors = {one: other for other, one in self.origins.items()}
        self._added = _group_by_parent(self.after, self.origins)
        self._removed = _group_by_parent(self.before, self.successors)

    def list_added(self, after_path: str) -> Sequence[ModuleRecord]:
        """The children of a module after that have tensors and no counterpart before."""
        return self._added.get(after_path, ())

    def list_removed(self, before_path: str) -> Sequence[ModuleRecord]:
        """The children of a module before that have tensors and no counterpart after."""
        return self._removed.get(before_path, ())

    def find_shape(self, after_path: str, name: str) -> Shape | None:
        """The shape before of the tensor of this name in the matched module; None where there is none."""
        if after_path not in self.origins:
            return None
        owner = self.before.tensors.get(join_name(self.origins[after_path], name))
        return owner.tensor.shape if owner is not None else None


def _group_by_parent(modules: ModuleIndex, matched: Mapping[str, str]) -> dict[str, list[ModuleRecord]]:
    groups: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in modules:
        if module.path and module.path not in matched and module.tensors:
            groups[parent_path(module.path)].append(module)
    return dict(groups)


def measure_rows(shape: Shape) -> tuple[int, int]:
    """The number of rows (without dimensions of one) and of elements.

    Both are equal for the weight of a linear layer and of a convolution that computes the same (with a 1x1 kernel, or over everything that
    was flattened).
    """
    return next((size for size in shape if size != 1), 1), prod(shape)


# --- layers that were split, or merged into one: which rows come from which ---


# Up to this many tensors are tried in every order: six orders for query, key and value.
_MOST_ORDERED = 3
# How many numbers of attention heads are tried, by which rows may be interleaved, and the largest one.
_MOST_GROUPS = 2
_MOST_HEADS = 256


class Layout(NamedTuple):
    """How parts are arranged in the whole: which of all their orders, in each of how many groups of rows, which possible transposition."""

    order: int = 0
    groups: int = 1
    transposition: int = 0


class Division(NamedTuple):
    """Modules on one side that are one on the other.

    `whole` is that one (of after, where `joined`), `tensors` those of its tensors that may be divided, `parts` the modules in the order of
    registration. `certain`: all parts must have a share of each tensor.
    """

    whole: ModuleRecord
    tensors: tuple[TensorRecord, ...]
    parts: tuple[ModuleRecord, ...]
    joined: bool
    certain: bool


class _Part(NamedTuple):
    module: str
    name: str
    shape: Shape


class Transposition(NamedTuple):
    """Whether the parts and the whole store a matrix as (inputs, outputs)."""

    parts: bool = False
    whole: bool = False


def list_divisions(modules: MatchedModules, matches: Iterable[Match]) -> list[Division]:
    """What the alignment found to be split or merged, and modules that hold tensors directly on one side and have new children with tensors
    on the other (as torch's attention does)."""
    listed = [*_list_divided(modules, matches), *_list_inlined(modules)]
    known = {record.path for division in listed for record in (division.whole, *division.parts)}
    return [*listed, *_list_adding_up(modules, known)]


def _list_divided(modules: MatchedModules, matches: Iterable[Match]) -> Iterator[Division]:
    groups: defaultdict[int, Pair[list[str]]] = defaultdict(lambda: Pair([], []))
    for match in matches:
        if match.change_id is not None:
            if match.before_path is not None:
                groups[match.change_id].before.append(match.before_path)
            if match.after_path is not None:
                groups[match.change_id].after.append(match.after_path)
    for before, after in groups.values():
        if len(after) == 1 < len(before):
            whole = modules.after[after[0]]
            yield Division(whole, whole.tensors, _sort_records(modules.before, before), True, True)
        elif len(before) == 1 < len(after):
            whole = modules.before[before[0]]
            yield Division(whole, whole.tensors, _sort_records(modules.after, after), False, True)


def _sort_records(index: ModuleIndex, paths: Iterable[str]) -> tuple[ModuleRecord, ...]:
    """The modules in the profile's order."""
    wanted = set(paths)
    return tuple(module for module in index if module.path in wanted)


def _list_inlined(modules: MatchedModules) -> Iterator[Division]:
    for after_path, before_path in modules.origins.items():
        before, after = modules.before[before_path], modules.after[after_path]
        added, removed = modules.list_added(after_path), modules.list_removed(before_path)
        if added and (lost := _list_unknown(before, after)):
            yield Division(before, lost, tuple(added), False, False)
        if removed and (gained := _list_unknown(after, before)):
            yield Division(after, gained, tuple(removed), True, False)


# How many layers next to each other are tried as the parts of another: first query, key and value.
_PART_NUMBERS = (3, 2, 4)


def _list_adding_up(modules: MatchedModules, known: Collection[str]) -> Iterator[Division]:
    """Layers of classes that the alignment does not know, next to each other, whose tensors add up to those of one layer on the other side.

    That one has no counterpart, or one of them with other shapes.
    """
    for after_path, before_path in modules.origins.items():
        sides = Pair(
            _list_open(modules.before, before_path, modules.after, modules.successors, known),
            _list_open(modules.after, after_path, modules.before, modules.origins, known),
        )
        for joined, (parts, wholes) in ((True, (sides.before, sides.after)), (False, (sides.after, sides.before))):
            for whole in wholes:
                division = next(_find_windows(whole, parts, joined=joined), None)
                if division is not None:
                    yield division
                    parts = [part for part in parts if part not in division.parts]


def _list_open(
    index: ModuleIndex, parent: str, other: ModuleIndex, matched: Mapping[str, str], known: Collection[str]
) -> list[ModuleRecord]:
    """The children with tensors that have no counterpart with the same tensors."""
    found = []
    for path in index.children[parent]:
        partner = other.get(matched.get(path))
        sizes = Pair(index[path], partner).map(lambda module: _measure_tensors(module) if module is not None else None)
        if index[path].tensors and path not in known and sizes.before != sizes.after:
            found.append(index[path])
    return found


def _measure_tensors(module: ModuleRecord) -> dict[str, int]:
    return {tensor.name: prod(tensor.shape) for tensor in module.tensors}


def _find_windows(whole: ModuleRecord, parts: Sequence[ModuleRecord], *, joined: bool) -> Iterator[Division]:
    for number in _PART_NUMBERS:
        for start in range(len(parts) - number + 1):
            division = Division(whole, whole.tensors, tuple(parts[start : start + number]), joined, True)
            if all(list_parts(division, tensor)[1] for tensor in whole.tensors):
                yield division


def _list_unknown(module: ModuleRecord, partner: ModuleRecord) -> tuple[TensorRecord, ...]:
    """Its tensors that its partner has none of the same name for."""
    known = {tensor.name for tensor in partner.tensors}
    return tuple(tensor for tensor in module.tensors if tensor.name not in known)


def divide(division: Division, layout: Layout) -> Iterator[tuple[tuple[str, ...], dict[str, WeightSource]]]:
    """For each tensor of the whole whose rows the parts' rows add up to: the paths of these parts, and the sources that follow."""
    for whole in division.tensors:
        parts, ways = list_parts(division, whole)
        if not ways:
            continue
        way = ways[min(layout.transposition, len(ways) - 1)]
        name, parts = join_name(division.whole.path, whole.name), _reorder(parts, layout.order)
        rows = [part.shape[1] if way.parts else part.shape[0] for part in parts]
        groups = layout.groups if all(count % layout.groups == 0 for count in rows) else 1
        found: dict[str, WeightSource] = {}
        if division.joined:
            joined = tuple(part.name for part in parts)
            found[name] = JoinedRows(tensors=joined, groups=groups, transposed=way.whole, transposed_parts=way.parts)
        else:
            ends = list(accumulate(count // groups for count in rows))
            for part, start, stop in zip(parts, [0, *ends], ends, strict=False):
                found[part.name] = JoinedRows(
                    tensors=(name,), start=start, stop=stop, groups=groups, transposed=way.parts, transposed_parts=way.whole
                )
        yield tuple(part.module for part in parts), found


def list_parts(division: Division, whole: TensorRecord) -> tuple[list[_Part], list[Transposition]]:
    """The tensors of the parts that may have a share of a tensor of the whole, and the transpositions with which they add up to it."""
    parts = [
        _Part(module.path, join_name(module.path, tensor.name), tensor.shape)
        for module in division.parts
        for tensor in module.tensors
        # a weight that attention holds directly is called in_proj_weight
        if whole.name.endswith(tensor.name) and len(tensor.shape) == len(whole.shape) > 0
    ]
    if not parts or (division.certain and len(parts) != len(division.parts)):
        return [], []
    orders = {find_order(module) for module in division.parts}
    possible = (
        Transposition(*each)
        for each in product(_list_transposed(orders, whole.shape), _list_transposed({find_order(division.whole)}, whole.shape))
    )
    return parts, [each for each in possible if _adds_up(parts, whole.shape, each)]


def _list_transposed(orders: Collection[str | None], shape: Shape) -> list[bool]:
    if len(shape) != 2 or orders == {"outputs"}:
        return [False]
    return [True] if orders == {"inputs"} else [False, True]


def _adds_up(parts: Sequence[_Part], shape: Shape, way: Transposition) -> bool:
    rows, *columns = shape[::-1] if way.whole else shape
    shapes = [part.shape[::-1] if way.parts else part.shape for part in parts]
    return all(list(each[1:]) == columns for each in shapes) and sum(each[0] for each in shapes) == rows


def find_order(module: ModuleRecord) -> str | None:
    """`inputs` or `outputs`: which dimension of the module's weight comes first; None for a class of the user."""
    if module.defined_in == "":
        return None
    return "inputs" if module.type == "Conv1D" else "outputs"


def list_layouts(modules: MatchedModules, numbers: Iterable[int], transpositions: int = 1) -> list[Layout]:
    """The layouts to try for divisions into these numbers of parts, the likeliest first."""
    most = max((number for number in numbers if number <= _MOST_ORDERED), default=1)
    groups = [1, *_list_heads(modules)] if most > 1 else [1]
    return [Layout(order, each, way) for way in range(transpositions) for each in groups for order in range(factorial(most))]


def _list_heads(modules: MatchedModules) -> list[int]:
    """The numbers of attention heads in most modules' settings."""
    counts: Counter[int] = Counter()
    for module in (*modules.before, *modules.after):
        for name, value in module.settings.items():
            if "head" in name and "dim" not in name and type(value) is int and 1 < value <= _MOST_HEADS:
                counts[value] += 1
    return [heads for heads, _ in counts.most_common(_MOST_GROUPS)]


def _reorder(parts: list[_Part], order: int) -> list[_Part]:
    if len(parts) > _MOST_ORDERED:
        return parts
    return list(list(permutations(parts))[order % factorial(len(parts))])


# --- norms that were folded into the layer before them ---


class Fold(NamedTuple):
    """A layer before, and the norm that followed it."""

    layer: ModuleRecord
    norm: ModuleRecord

    def find_source(self, name: str) -> FoldedNorm:
        """The source of the layer's `weight` or `bias` after."""
        eps = self.norm.settings.get("eps")
        return FoldedNorm(
            weight=join_name(self.layer.path, "weight") if name == "weight" else None,
            bias=join_name(self.layer.path, "bias") if any(tensor.name == "bias" for tensor in self.layer.tensors) else None,
            norm=self.norm.path,
            eps=float(eps) if isinstance(eps, (int, float)) else 0.0,
            outputs=1 if self.layer.settings.get("transposed") else 0,
        )


def find_folds(modules: MatchedModules) -> dict[str, Fold]:
    """Layers after whose only follower before was a norm that has no counterpart after, or one without tensors."""
    followers: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in modules.before:
        for source in modules.before.inputs[module.path]:
            followers[source].append(module)
    found = {}
    for after_path, before_path in modules.origins.items():
        layer, readers = modules.before[before_path], followers.get(before_path, [])
        if len(readers) != 1:
            continue
        (norm,) = readers
        # a norm without running statistics uses those of each batch, which no weight can contain
        if not {"running_mean", "running_var"} <= {tensor.name for tensor in norm.tensors}:
            continue
        removed = norm.path not in modules.successors or not modules.after[modules.successors[norm.path]].tensors
        shapes = Pair(layer, modules.after[after_path]).map(lambda module: {tensor.name: tensor.shape for tensor in module.tensors})
        if removed and "bias" in shapes.after and shapes.before.get("weight") == shapes.after.get("weight") is not None:
            found[after_path] = Fold(layer, norm)
    return found
