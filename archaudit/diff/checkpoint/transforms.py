"""Two profiles and which module of one is which of the other, indexed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, permutations
from math import factorial, prod
from typing import NamedTuple

from archaudit.schema import FoldedNorm, JoinedRows, Match, ModuleRecord, Profile, Shape, TensorRecord, TensorSource


class Pairing:
    """`before` and `after` are the modules by path; `origins` the paths before of modules after, `successors` the other way round."""

    def __init__(self, before: Profile, after: Profile, matches: Iterable[Match]) -> None:
        self.before = {module.path: module for module in before.modules}
        self.after = {module.path: module for module in after.modules}
        both = [(match.before_path, match.after_path) for match in matches]
        self.origins = {other: one for one, other in both if one is not None and other is not None}
        self.successors = {one: other for other, one in self.origins.items()}
        self._new = _group_by_parent(self.after.values(), self.origins)
        self._gone = _group_by_parent(self.before.values(), self.successors)
        self._shapes = {join(module.path, tensor.name): tensor.shape for module in before.modules for tensor in module.tensors}

    def list_new(self, after_path: str) -> Sequence[ModuleRecord]:
        """The children of a module after that have tensors and no counterpart before."""
        return self._new.get(after_path, ())

    def list_gone(self, before_path: str) -> Sequence[ModuleRecord]:
        """The children of a module before that have tensors and no counterpart after."""
        return self._gone.get(before_path, ())

    def find_shape(self, after_path: str, name: str) -> Shape | None:
        """The shape of a tensor's namesake in the module that its own was."""
        return self._shapes.get(join(self.origins[after_path], name)) if after_path in self.origins else None


def _group_by_parent(modules: Iterable[ModuleRecord], matched: Mapping[str, str]) -> dict[str, list[ModuleRecord]]:
    groups: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in modules:
        if module.path and module.path not in matched and module.tensors:
            groups[module.path.rpartition(".")[0]].append(module)
    return dict(groups)


def join(path: str, name: str) -> str:
    """What a state_dict calls a tensor."""
    return f"{path}.{name}" if path else name


def measure_rows(shape: Shape) -> tuple[int, int]:
    """How many rows, but for dimensions of one, and how many elements: what the weights of a linear layer and of a convolution that does
    the same (of one by one, or over all of what was flattened) have in common."""
    return next((size for size in shape if size != 1), 1), prod(shape)


# --- layers that were taken apart, or joined into one: whose rows are whose ---


# So many tensors are tried in each order: six for query, key and value.
_MOST_ORDERED = 3
# So many numbers of heads are tried, by which rows may be interleaved.
_MOST_GROUPS = 2
_MOST_HEADS = 256


class Layout(NamedTuple):
    """How parts lie in the whole: in which of all their orders, and so in each of how many groups of rows."""

    order: int = 0
    groups: int = 1


class Division(NamedTuple):
    """Modules on one side that are one on the other: `whole` (after, where `joined`), those of its tensors that are in question, and its
    parts in the order of registration; `certain` where all of them are."""

    whole: ModuleRecord
    tensors: tuple[TensorRecord, ...]
    parts: tuple[ModuleRecord, ...]
    joined: bool
    certain: bool


class _Part(NamedTuple):
    module: str
    name: str
    shape: Shape


def list_divisions(pairing: Pairing, matches: Iterable[Match]) -> list[Division]:
    """What the alignment found to be split or merged, and modules that hold tensors of their own on one side, for which they have new
    children on the other (the library's attention)."""
    return [*_list_divided(pairing, matches), *_list_inlined(pairing)]


def _list_divided(pairing: Pairing, matches: Iterable[Match]) -> Iterator[Division]:
    groups: defaultdict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for match in matches:
        if match.change_id is not None:
            for paths, path in zip(groups[match.change_id], (match.before_path, match.after_path), strict=True):
                if path is not None:
                    paths.append(path)
    places = [{path: place for place, path in enumerate(side)} for side in (pairing.before, pairing.after)]
    for ones, others in groups.values():
        if len(others) == 1 and len(ones) > 1:
            parts = tuple(pairing.before[path] for path in sorted(ones, key=places[0].__getitem__))
            yield Division(pairing.after[others[0]], pairing.after[others[0]].tensors, parts, True, True)
        elif len(ones) == 1 and len(others) > 1:
            parts = tuple(pairing.after[path] for path in sorted(others, key=places[1].__getitem__))
            yield Division(pairing.before[ones[0]], pairing.before[ones[0]].tensors, parts, False, True)


def _list_inlined(pairing: Pairing) -> Iterator[Division]:
    for after_path, before_path in pairing.origins.items():
        one, other = pairing.before[before_path], pairing.after[after_path]
        new, gone = pairing.list_new(after_path), pairing.list_gone(before_path)
        if new and (lost := _list_unknown(one, other)):
            yield Division(one, lost, tuple(new), False, False)
        if gone and (gained := _list_unknown(other, one)):
            yield Division(other, gained, tuple(gone), True, False)


def _list_unknown(module: ModuleRecord, partner: ModuleRecord) -> tuple[TensorRecord, ...]:
    """Its tensors that its partner has no namesakes of."""
    known = {tensor.name for tensor in partner.tensors}
    return tuple(tensor for tensor in module.tensors if tensor.name not in known)


def divide(division: Division, layout: Layout) -> Iterator[tuple[tuple[str, ...], dict[str, TensorSource]]]:
    """Of each tensor of the whole that rows of the parts add up to, the modules that they are of, and the sources that follow."""
    for whole in division.tensors:
        parts = [
            _Part(module.path, join(module.path, tensor.name), tensor.shape)
            for module in division.parts
            for tensor in module.tensors
            # a weight that attention holds itself is called in_proj_weight
            if whole.name.endswith(tensor.name) and whole.shape and tensor.shape[1:] == whole.shape[1:]
        ]
        if not parts or (division.certain and len(parts) != len(division.parts)) or sum(part.shape[0] for part in parts) != whole.shape[0]:
            continue
        name, parts = join(division.whole.path, whole.name), _reorder(parts, layout.order)
        groups = layout.groups if all(part.shape[0] % layout.groups == 0 for part in parts) else 1
        found: dict[str, TensorSource] = {}
        if division.joined:
            found[name] = JoinedRows(tensors=tuple(part.name for part in parts), groups=groups)
        else:
            ends = list(accumulate(part.shape[0] // groups for part in parts))
            for part, start, stop in zip(parts, [0, *ends], ends, strict=False):
                found[part.name] = JoinedRows(tensors=(name,), start=start, stop=stop, groups=groups)
        yield tuple(part.module for part in parts), found


def list_layouts(pairing: Pairing, numbers: Iterable[int]) -> list[Layout]:
    """The layouts that are worth a try for so many parts, the likeliest first."""
    most = max((number for number in numbers if number <= _MOST_ORDERED), default=1)
    groups = [1, *_list_heads(pairing)] if most > 1 else [1]
    return [Layout(order, each) for each in groups for order in range(factorial(most))]


def _list_heads(pairing: Pairing) -> list[int]:
    """The numbers of heads that most modules are set to, of whichever kind."""
    counts: Counter[int] = Counter()
    for module in (*pairing.before.values(), *pairing.after.values()):
        for name, value in module.settings.items():
            if "head" in name and "dim" not in name and type(value) is int and 1 < value <= _MOST_HEADS:
                counts[value] += 1
    return [heads for heads, _ in counts.most_common(_MOST_GROUPS)]


def _reorder(parts: list[_Part], order: int) -> list[_Part]:
    if len(parts) > _MOST_ORDERED:
        return parts
    return list(list(permutations(parts))[order % factorial(len(parts))])


# --- norms that disappeared into the layer before them ---


class Fold(NamedTuple):
    """A layer before, and the norm that followed it."""

    layer: ModuleRecord
    norm: ModuleRecord

    def find_source(self, name: str) -> FoldedNorm:
        """That of the layer's `weight` or `bias` after."""
        eps = self.norm.settings.get("eps")
        return FoldedNorm(
            weight=join(self.layer.path, "weight") if name == "weight" else None,
            bias=join(self.layer.path, "bias") if any(tensor.name == "bias" for tensor in self.layer.tensors) else None,
            norm=self.norm.path,
            eps=float(eps) if isinstance(eps, (int, float)) else 0.0,
            outputs=1 if self.layer.settings.get("transposed") else 0,
        )


def find_folds(pairing: Pairing) -> dict[str, Fold]:
    """Layers after into which the norm that alone followed them before went; it is gone, or nothing with tensors took its place."""
    followers: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in pairing.before.values():
        for feeder in {feeder for call in module.calls for feeder in call.inputs_from}:
            followers[feeder].append(module)
    found = {}
    for after_path, before_path in pairing.origins.items():
        layer, readers = pairing.before[before_path], followers.get(before_path, [])
        # what keeps no variance takes each batch's own, which no weight can stand for
        if len(readers) != 1 or not {"running_mean", "running_var"} <= {tensor.name for tensor in readers[0].tensors}:
            continue
        norm = readers[0]
        gone = norm.path not in pairing.successors or not pairing.after[pairing.successors[norm.path]].tensors
        shapes = [{tensor.name: tensor.shape for tensor in module.tensors} for module in (layer, pairing.after[after_path])]
        if gone and "bias" in shapes[1] and shapes[0].get("weight") == shapes[1].get("weight") is not None:
            found[after_path] = Fold(layer, norm)
    return found
