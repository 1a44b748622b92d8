"""From which tensors of before each tensor of after takes its values, so that two models can be run with the same weights.

Tensors go where their modules went. Where a layer was taken apart, or several were joined into one (query, key and value in one
projection), tensors are joined, or taken apart, by their first dimension; a norm that disappeared into the layer before it is folded
into that layer's weight and bias. In which order tensors are joined nobody wrote down, nor that a lone parameter of one shape is another's
of that shape under another name: those are guesses, and a run of both models tells.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from archaudit.diff.checkpoint.transforms import Layout, Pairing, divide, find_folds, join, list_divisions, list_layouts, measure_rows
from archaudit.schema import JoinedRows, Match, ModuleRecord, Profile, Shape, TensorRecord, TensorSource

__all__ = ["Inheritance", "inherit_weights"]


class Inheritance(NamedTuple):
    """What is known of the weights of after: the `sources` of its tensors, in words those whose shapes are `unfitting`, and parameters that
    are `new`.

    `guesses` names what a source was not told of, and what it is taken for: `attn.qkv` for `attn.q, attn.k, attn.v`; where rows lie so in
    each of several `groups`, their number is more than one. `modules` are those after that should give what one before gave, to that one.
    """

    sources: dict[str, TensorSource]
    unfitting: tuple[str, ...]
    new: tuple[str, ...]
    guesses: dict[str, tuple[str, ...]]
    modules: dict[str, str]
    groups: int


def inherit_weights(before: Profile, after: Profile, matches: Iterable[Match]) -> Iterator[Inheritance]:
    """Every way that is worth a try, the likeliest first; only one where nothing was taken apart or joined."""
    finder = _Finder(before, after, tuple(matches))
    first = finder.find(Layout())
    yield first
    for layout in list_layouts(finder.pairing, (len(parts) for parts in first.guesses.values()))[1:]:
        yield finder.find(layout)


class _Finder:
    """Looks for sources in one pair of profiles."""

    def __init__(self, before: Profile, after: Profile, matches: tuple[Match, ...]) -> None:
        self.pairing = Pairing(before, after, matches)
        self._divisions = list_divisions(self.pairing, matches)
        self._folds = find_folds(self.pairing)

    def find(self, layout: Layout) -> Inheritance:
        """The sources of every tensor, parts lying so."""
        sources: dict[str, TensorSource] = {}
        divided: dict[str, tuple[str, ...]] = {}
        for division in self._divisions:
            for parts, found in divide(division, layout):
                sources |= found
                divided[division.whole.path] = parts
        unfitting: list[str] = []
        left: dict[str, tuple[str, TensorRecord]] = {}
        for path, module in self.pairing.after.items():
            for tensor in module.tensors:
                name, shape = join(path, tensor.name), self.pairing.find_shape(path, tensor.name)
                if not tensor.persistent:  # a checkpoint does not hold it: the constructor says what it is
                    continue
                source = sources.get(name) or self._inherit(path, tensor, shape)
                if source is not None:
                    sources[name] = source
                elif tensor.kind == "parameter" and shape is not None:
                    unfitting.append(f"{name} is {_write(tensor.shape)}, before {_write(shape)}")
                elif tensor.kind == "parameter" and tensor.tied_to is None:
                    left[name] = path, tensor
        paired = {} if unfitting else pair_leftovers(self.pairing, left, sources.values())
        sources |= {name: JoinedRows(tensors=(given,)) for name, given in paired.items()}
        return Inheritance(
            sources,
            tuple(unfitting),
            tuple(name for name in left if name not in paired),
            divided | {name: (given,) for name, given in paired.items()},
            dict(self._pair_outputs(divided)),
            layout.groups,
        )

    def _inherit(self, path: str, tensor: TensorRecord, shape: Shape | None) -> TensorSource | None:
        """The source of a tensor in a module that is one module on both sides."""
        if path in self._folds and tensor.name in ("weight", "bias"):
            return self._folds[path].find_source(tensor.name)
        if shape is None:
            return None
        origin = self.pairing.before[self.pairing.origins[path]]
        name = join(origin.path, tensor.name)
        if _is_turned(origin, self.pairing.after[path]) and len(shape) == 2 and shape == tensor.shape[::-1]:
            return JoinedRows(tensors=(name,), turned=True)
        # a table of a buffer's may be flattened; a weight that is would be another layer, unless its rows stay
        fits = prod(shape) == prod(tensor.shape) if tensor.kind == "buffer" else measure_rows(shape) == measure_rows(tensor.shape)
        return JoinedRows(tensors=(name,)) if fits else None

    def _pair_outputs(self, divided: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
        """Modules after that should give what those before did: not a layer and one of its parts."""
        for after_path, before_path in self.pairing.origins.items():
            if after_path in self._folds:
                yield after_path, self._folds[after_path].norm.path
            elif before_path not in divided.get(after_path, ()) and after_path not in divided.get(before_path, ()):
                yield after_path, before_path


def _is_turned(before: ModuleRecord, after: ModuleRecord) -> bool:
    """Whether one keeps its weight the other way round: the Conv1D of transformers, inputs first."""
    return (before.type == "Conv1D") != (after.type == "Conv1D")


def _write(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"


# --- parameters that nothing tells the counterpart of: tried for each other by their sizes ---


# A heap of tensors alike: in one module (its path before), or anywhere (None), of so many rows and elements.
_Key = tuple[str | None, tuple[int, int]]


def pair_leftovers(pairing: Pairing, left: Mapping[str, tuple[str, TensorRecord]], sources: Iterable[TensorSource]) -> dict[str, str]:
    """Parameters of after to those of before, of what is left on both sides, where as many of a size are: those in one module first."""
    used = {name for source in sources for name in source.names}
    heaps: defaultdict[_Key, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for path, module in pairing.before.items():
        for tensor in module.tensors:
            if tensor.kind == "parameter" and tensor.tied_to is None and join(path, tensor.name) not in used:
                for key in (path, None):
                    heaps[key, measure_rows(tensor.shape)][0].append(join(path, tensor.name))
    for name, (path, tensor) in left.items():
        for key in dict.fromkeys((pairing.origins.get(path), None)):
            heaps[key, measure_rows(tensor.shape)][1].append(name)
    found: dict[str, str] = {}
    for heap in sorted(heaps, key=lambda heap: heap[0] is None):
        given = set(found.values())
        ones = [one for one in heaps[heap][0] if one not in given]
        others = [other for other in heaps[heap][1] if other not in found]
        if len(ones) == len(others):
            found |= dict(zip(others, ones, strict=True))
    return found
