"""From which tensors of before each tensor of after takes its values, so that two models can be run with the same weights.

Tensors go where their modules went. Where a layer was taken apart, or several were joined into one (query, key and value in one
projection), tensors are joined, or taken apart, by their first dimension; a norm that disappeared into the layer before it is folded
into that layer's weight and bias. In which order tensors are joined nobody wrote down, nor that a lone parameter of one shape is another's
of that shape under another name: those are guesses, and a run of both models tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, permutations
from math import factorial, prod
from typing import NamedTuple

from archaudit.schema import FoldedNorm, JoinedRows, Match, ModuleRecord, Profile, Shape, TensorRecord, TensorSource

# So many tensors are tried in each order: six for query, key and value.
_MOST_ORDERED = 3


class Inheritance(NamedTuple):
    """What is known of the weights of after: the `sources` of its tensors, in words those whose shapes are `unfitting`, and parameters that
    are `new`.

    `guesses` names what a source was not told of, and what it is taken for: `attn.qkv` for `attn.q, attn.k, attn.v`. `modules` are those
    after that should give what one before gave, to that one.
    """

    sources: dict[str, TensorSource]
    unfitting: tuple[str, ...]
    new: tuple[str, ...]
    guesses: dict[str, tuple[str, ...]]
    modules: dict[str, str]


class _Part(NamedTuple):
    module: str
    name: str
    shape: Shape


class _Division(NamedTuple):
    """Modules on one side that are one on the other: `whole` (after, where `joined`), those of its tensors that are in question, and its
    parts in the order of registration; `certain` where all of them are."""

    whole: ModuleRecord
    tensors: tuple[TensorRecord, ...]
    parts: tuple[ModuleRecord, ...]
    joined: bool
    certain: bool


def inherit_weights(before: Profile, after: Profile, matches: Iterable[Match]) -> Iterator[Inheritance]:
    """Every way that is worth a try, the likeliest first; only one where nothing was taken apart or joined."""
    finder = _Finder(before, after, tuple(matches))
    first = finder.find(0)
    yield first
    most = max((len(parts) for parts in first.guesses.values() if len(parts) <= _MOST_ORDERED), default=1)
    for order in range(1, factorial(most)):
        yield finder.find(order)


class _Finder:
    """Looks for sources in one pair of profiles."""

    def __init__(self, before: Profile, after: Profile, matches: tuple[Match, ...]) -> None:
        self._before = {module.path: module for module in before.modules}
        self._after = {module.path: module for module in after.modules}
        both = [(match.before_path, match.after_path) for match in matches]
        self._partners = {other: one for one, other in both if one is not None and other is not None}
        self._divisions = [*self._list_divided(matches), *self._list_inlined()]
        self._given = dict(_name_tensors(before.modules))
        self._folds = self._find_folds()

    def _list_divided(self, matches: Iterable[Match]) -> Iterator[_Division]:
        """Layers that the alignment found to be split or merged."""
        groups: defaultdict[int, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for match in matches:
            if match.change_id is not None:
                for paths, path in zip(groups[match.change_id], (match.before_path, match.after_path), strict=True):
                    if path is not None:
                        paths.append(path)
        for ones, others in groups.values():
            if len(others) == 1 and len(ones) > 1:
                whole = self._after[others[0]]
                yield _Division(whole, whole.tensors, tuple(self._before[path] for path in self._before if path in ones), True, True)
            elif len(ones) == 1 and len(others) > 1:
                whole = self._before[ones[0]]
                yield _Division(whole, whole.tensors, tuple(self._after[path] for path in self._after if path in others), False, True)

    def _list_inlined(self) -> Iterator[_Division]:
        """Modules that hold tensors of their own on one side, for which they have new children on the other."""
        matched = set(self._partners.values())
        for after_path, before_path in self._partners.items():
            one, other = self._before[before_path], self._after[after_path]
            if lost := _list_unknown(one, other):
                yield _Division(one, lost, tuple(_list_free_children(self._after, after_path, self._partners)), False, False)
            if gained := _list_unknown(other, one):
                yield _Division(other, gained, tuple(_list_free_children(self._before, before_path, matched)), True, False)

    def find(self, order: int) -> Inheritance:
        """The sources of every tensor, parts being in that order of all their orders."""
        sources: dict[str, TensorSource] = {}
        divided: dict[str, tuple[str, ...]] = {}
        for division in self._divisions:
            for parts, found in _divide(division, order):
                sources |= found
                divided[division.whole.path] = parts
        unfitting: list[str] = []
        left: dict[str, tuple[str, TensorRecord]] = {}
        for path, module in self._after.items():
            for tensor in module.tensors:
                name, shape = _join(path, tensor.name), self._find_shape(path, tensor)
                source = sources.get(name) or self._inherit(path, tensor, shape)
                if not tensor.persistent:  # a checkpoint does not hold it: the constructor says what it is
                    continue
                if source is not None:
                    sources[name] = source
                elif tensor.kind == "parameter" and shape is not None:
                    unfitting.append(f"{name} is {_write(tensor.shape)}, before {_write(shape)}")
                elif tensor.kind == "parameter" and tensor.tied_to is None:
                    left[name] = path, tensor
        paired = {} if unfitting else self._pair_left(left, sources)
        sources |= {name: JoinedRows(tensors=(given,)) for name, given in paired.items()}
        return Inheritance(
            sources,
            tuple(unfitting),
            tuple(name for name in left if name not in paired),
            divided | {name: (given,) for name, given in paired.items()},
            dict(self._pair_outputs(divided)),
        )

    def _pair_left(self, left: dict[str, tuple[str, TensorRecord]], sources: Mapping[str, TensorSource]) -> dict[str, str]:
        """Parameters of after that are left, to those of before that are left, where as many of a shape are: those in one module first."""
        used = {name for source in sources.values() for name in _list_used(source)}
        heaps: defaultdict[tuple[str | None, tuple[int, int]], tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for path, module in self._before.items():
            for tensor in module.tensors:
                if tensor.kind == "parameter" and tensor.tied_to is None and _join(path, tensor.name) not in used:
                    for key in (path, None):
                        heaps[key, _measure_rows(tensor.shape)][0].append(_join(path, tensor.name))
        for name, (path, tensor) in left.items():
            for key in (self._partners.get(path, "?"), None):
                heaps[key, _measure_rows(tensor.shape)][1].append(name)
        found: dict[str, str] = {}
        for (key, _), (ones, others) in heaps.items():
            if key is not None and len(ones) == len(others):
                found |= dict(zip(others, ones, strict=True))
        taken = set(found.values())
        for (key, _), (ones, others) in heaps.items():
            rest = [one for one in ones if one not in taken], [other for other in others if other not in found]
            if key is None and len(rest[0]) == len(rest[1]):
                found |= dict(zip(rest[1], rest[0], strict=True))
        return found

    def _find_shape(self, path: str, tensor: TensorRecord) -> Shape | None:
        """The shape of a tensor's namesake in the module that its own was."""
        return self._given.get(_join(self._partners[path], tensor.name)) if path in self._partners else None

    def _inherit(self, path: str, tensor: TensorRecord, shape: Shape | None) -> TensorSource | None:
        """The source of a tensor in a module that is one module on both sides."""
        if path in self._folds and tensor.name in ("weight", "bias"):
            return self._fold(path, tensor)
        if shape is None:
            return None
        partner = self._before[self._partners[path]]
        name = _join(partner.path, tensor.name)
        if _is_turned(partner, self._after[path]) and len(shape) == 2 and shape == tensor.shape[::-1]:
            return JoinedRows(tensors=(name,), turned=True)
        return JoinedRows(tensors=(name,)) if _squeeze(shape) == _squeeze(tensor.shape) else None

    def _pair_outputs(self, divided: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
        """Modules after that should give what those before did: not a layer and one of its parts."""
        for after_path, before_path in self._partners.items():
            if after_path in self._folds:
                yield after_path, self._folds[after_path][1].path
            elif before_path not in divided.get(after_path, ()) and after_path not in divided.get(before_path, ()):
                yield after_path, before_path

    def _find_folds(self) -> dict[str, tuple[ModuleRecord, ModuleRecord]]:
        """Layers after into which the norm that followed them before went, with both as they were."""
        followers: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
        for module in self._before.values():
            for feeder in {feeder for call in module.calls for feeder in call.inputs_from}:
                followers[feeder].append(module)
        partner_of = {one: other for other, one in self._partners.items()}
        found = {}
        for after_path, before_path in self._partners.items():
            layer, after = self._before[before_path], followers.get(before_path, [])
            # what keeps no variance takes each batch's own, which no weight can stand for
            if len(after) != 1 or not {"running_mean", "running_var"} <= {tensor.name for tensor in after[0].tensors}:
                continue
            norm = after[0]
            gone = norm.path not in partner_of or not self._after[partner_of[norm.path]].tensors
            shapes = [{tensor.name: tensor.shape for tensor in module.tensors} for module in (layer, self._after[after_path])]
            if gone and "bias" in shapes[1] and shapes[0].get("weight") == shapes[1].get("weight") is not None:
                found[after_path] = (layer, norm)
        return found

    def _fold(self, path: str, tensor: TensorRecord) -> FoldedNorm:
        layer, norm = self._folds[path]
        eps = norm.settings.get("eps")
        return FoldedNorm(
            weight=_join(layer.path, "weight") if tensor.name == "weight" else None,
            bias=_join(layer.path, "bias") if any(each.name == "bias" for each in layer.tensors) else None,
            norm=norm.path,
            eps=float(eps) if isinstance(eps, (int, float)) else 0.0,
            outputs=1 if layer.settings.get("transposed") else 0,
        )


def _list_unknown(module: ModuleRecord, partner: ModuleRecord) -> tuple[TensorRecord, ...]:
    """Its tensors that its partner has no namesakes of."""
    known = {tensor.name for tensor in partner.tensors}
    return tuple(tensor for tensor in module.tensors if tensor.name not in known)


def _list_free_children(modules: Mapping[str, ModuleRecord], path: str, matched: Iterable[str]) -> Iterator[ModuleRecord]:
    known = set(matched)
    for child, module in modules.items():
        if child and child.rpartition(".")[0] == path and child not in known and module.tensors:
            yield module


def _divide(division: _Division, order: int) -> Iterator[tuple[tuple[str, ...], dict[str, TensorSource]]]:
    """Of each tensor of the whole that rows of the parts add up to, the modules that they are of, and the sources that follow."""
    for whole in division.tensors:
        parts = [
            _Part(module.path, _join(module.path, tensor.name), tensor.shape)
            for module in division.parts
            for tensor in module.tensors
            # a weight that attention holds itself is called in_proj_weight
            if whole.name.endswith(tensor.name) and whole.shape and tensor.shape[1:] == whole.shape[1:]
        ]
        if not parts or (division.certain and len(parts) != len(division.parts)) or sum(part.shape[0] for part in parts) != whole.shape[0]:
            continue
        name, parts = _join(division.whole.path, whole.name), _reorder(parts, order)
        found: dict[str, TensorSource] = {}
        if division.joined:
            found[name] = JoinedRows(tensors=tuple(part.name for part in parts))
        else:
            ends = list(accumulate(part.shape[0] for part in parts))
            for part, start, stop in zip(parts, [0, *ends], ends, strict=False):
                found[part.name] = JoinedRows(tensors=(name,), start=start, stop=stop)
        yield tuple(part.module for part in parts), found


def _reorder(parts: list[_Part], order: int) -> list[_Part]:
    if len(parts) > _MOST_ORDERED:
        return parts
    return list(list(permutations(parts))[order % factorial(len(parts))])


def _name_tensors(modules: Sequence[ModuleRecord]) -> Iterator[tuple[str, Shape]]:
    for module in modules:
        for tensor in module.tensors:
            yield _join(module.path, tensor.name), tensor.shape


def _squeeze(shape: Shape) -> Shape:
    """Without dimensions of one: a linear layer and a 1x1 convolution have one weight."""
    return tuple(size for size in shape if size != 1)


def _measure_rows(shape: Shape) -> tuple[int, int]:
    """How many rows, and elements: what a linear layer on a flattened image has in common with a convolution over all of it."""
    return next(iter(_squeeze(shape)), 1), prod(shape)


def _list_used(source: TensorSource) -> tuple[str, ...]:
    if isinstance(source, JoinedRows):
        return source.tensors
    return tuple(name for name in (source.weight, source.bias, f"{source.norm}.weight", f"{source.norm}.bias") if name is not None)


def _is_turned(before: ModuleRecord, after: ModuleRecord) -> bool:
    """Whether one keeps its weight the other way round: the Conv1D of transformers, inputs first."""
    return (before.type == "Conv1D") != (after.type == "Conv1D")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _write(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"
