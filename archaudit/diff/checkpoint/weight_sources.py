"""From which tensors of before each tensor of after takes its values, so that two models can be run with the same weights.

Tensors go where their modules went. Where a layer was split, or several were merged (query, key and value into one projection), tensors are
split or concatenated along their first dimension; a norm that was folded into the layer before it is folded into that layer's weight and
bias, and a low-rank adapter that was merged is added to its layer's weight. The order of concatenation is not recorded anywhere, nor that a
parameter was renamed: those sources are assumed, and a run of both models confirms or refutes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from archaudit.diff.checkpoint.adapters import ADAPTER_SCALES, fold_adapters
from archaudit.diff.checkpoint.transforms import Layout, MatchedModules, divide, find_folds, list_divisions, list_layouts, measure_rows
from archaudit.index import join_name
from archaudit.schema import FoldedAdapter, JoinedRows, Match, ModuleRecord, Pair, Profile, Shape, TensorRecord, TensorSource

__all__ = ["WeightMap", "map_weights"]


class WeightMap(NamedTuple):
    """Where the weights of after come from: the `sources` of its tensors, those of `mismatched` shapes (in words), and `new` parameters.

    `assumed` names the sources that do not follow from the matches: `attn.qkv` from `attn.q, attn.k, attn.v`, interleaved in that many
    `groups` of rows. `modules` are modules after whose outputs should equal those of a module before, with that module. `unused` are
    tensors in a checkpoint of before that no tensor takes its values from. `adapters` are the tensors with an adapter merged in:
    they replace their `sources` when the models run.
    """

    sources: dict[str, TensorSource]
    mismatched: tuple[str, ...]
    new: tuple[str, ...]
    assumed: dict[str, tuple[str, ...]]
    modules: dict[str, str]
    groups: int
    unused: tuple[str, ...]
    adapters: dict[str, FoldedAdapter]


def map_weights(before: Profile, after: Profile, matches: Iterable[Match]) -> Iterator[WeightMap]:
    """The possible maps, the likeliest first; only one where nothing was split or merged."""
    finder = _SourceFinder(before, after, tuple(matches))
    first = finder.find(Layout())
    layouts = list_layouts(finder.modules, (len(parts) for parts in first.assumed.values() if len(parts) > 1))
    for scale in ADAPTER_SCALES:
        for layout in layouts:
            found = finder.find(layout)
            adapters = fold_adapters(finder.modules, found.sources, scale)
            yield _add_adapters(found, adapters)
        if not adapters:
            return


def _add_adapters(found: WeightMap, adapters: dict[str, FoldedAdapter]) -> WeightMap:
    used = {name for source in adapters.values() for name in source.names}
    assumed = {target: source.names for target, source in adapters.items()}
    return found._replace(
        unused=tuple(name for name in found.unused if name not in used), adapters=adapters, assumed=found.assumed | assumed
    )


class _SourceFinder:
    """Finds the sources of tensors for one pair of profiles."""

    def __init__(self, before: Profile, after: Profile, matches: tuple[Match, ...]) -> None:
        self.modules = MatchedModules(before, after, matches)
        self._divisions = list_divisions(self.modules, matches)
        self._folds = find_folds(self.modules)

    def find(self, layout: Layout) -> WeightMap:
        """The source of every tensor, with the parts of merged layers in this layout."""
        sources: dict[str, TensorSource] = {}
        divided: dict[str, tuple[str, ...]] = {}
        for division in self._divisions:
            for parts, found in divide(division, layout):
                sources |= found
                divided[division.whole.path] = parts
        mismatched: list[str] = []
        unmatched: dict[str, tuple[str, TensorRecord]] = {}
        for name, (module, tensor) in self.modules.after.tensors.items():
            if not tensor.persistent:  # not in a checkpoint: the constructor sets it
                continue
            shape = self.modules.find_shape(module.path, tensor.name)
            source = sources.get(name) or self._find_source(module.path, tensor, shape)
            if source is not None:
                sources[name] = source
            elif tensor.kind == "parameter" and shape is not None:
                mismatched.append(f"{name} is {_write_shape(tensor.shape)}, before {_write_shape(shape)}")
            elif tensor.kind == "parameter" and tensor.tied_to is None:
                unmatched[name] = module.path, tensor
        paired = {} if mismatched else pair_by_size(self.modules, unmatched, sources.values())
        sources |= {name: JoinedRows(tensors=(origin,)) for name, origin in paired.items()}
        return WeightMap(
            sources,
            tuple(mismatched),
            tuple(name for name in unmatched if name not in paired),
            divided | {name: (origin,) for name, origin in paired.items()},
            dict(self._pair_outputs(divided)),
            layout.groups,
            tuple(self._list_unused(sources.values())),
            {},
        )

    def _list_unused(self, sources: Iterable[TensorSource]) -> Iterator[str]:
        """The tensors in a checkpoint of before that no source uses. The counters of batches have no effect in eval mode."""
        used = {name for source in sources for name in source.names}
        for name, (_, tensor) in self.modules.before.tensors.items():
            if tensor.persistent and tensor.tied_to is None and name not in used and tensor.name != "num_batches_tracked":
                yield name

    def _find_source(self, path: str, tensor: TensorRecord, shape: Shape | None) -> TensorSource | None:
        """The source of a tensor in a module that is one module on both sides; `shape` is that of the tensor of its name before."""
        if path in self._folds and tensor.name in ("weight", "bias"):
            return self._folds[path].find_source(tensor.name)
        if shape is None:
            return None
        origin = self.modules.before[self.modules.origins[path]]
        name = join_name(origin.path, tensor.name)
        if _is_transposed(origin, self.modules.after[path]) and len(shape) == 2 and shape == tensor.shape[::-1]:
            return JoinedRows(tensors=(name,), transposed=True)
        # a buffer may be flattened; a flattened weight is another layer, unless its rows are the same
        fits = prod(shape) == prod(tensor.shape) if tensor.kind == "buffer" else measure_rows(shape) == measure_rows(tensor.shape)
        return JoinedRows(tensors=(name,)) if fits else None

    def _pair_outputs(self, divided: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
        """Modules after with the modules before that should have the same outputs: not a layer with one of its parts."""
        for after_path, before_path in self.modules.origins.items():
            if after_path in self._folds:
                yield after_path, self._folds[after_path].norm.path
            elif before_path not in divided.get(after_path, ()) and after_path not in divided.get(before_path, ()):
                yield after_path, before_path


def _is_transposed(before: ModuleRecord, after: ModuleRecord) -> bool:
    """Whether only one of them stores its weight as (inputs, outputs): the Conv1D of transformers."""
    return (before.type == "Conv1D") != (after.type == "Conv1D")


def _write_shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"


# --- parameters that neither a name nor a match pairs: paired by their sizes ---


# Tensors of one size: in one module (its path before), or anywhere (None), of so many rows and elements.
_Size = tuple[str | None, tuple[int, int]]


def pair_by_size(
    modules: MatchedModules, unmatched: Mapping[str, tuple[str, TensorRecord]], sources: Iterable[TensorSource]
) -> dict[str, str]:
    """Parameters of after to unused parameters of before, where both sides have equally many of a size: those in one module first."""
    used = {name for source in sources for name in source.names}
    groups: defaultdict[_Size, Pair[list[str]]] = defaultdict(lambda: Pair([], []))
    for name, (module, tensor) in modules.before.tensors.items():
        if tensor.kind == "parameter" and tensor.tied_to is None and name not in used:
            for path in (module.path, None):
                groups[path, measure_rows(tensor.shape)].before.append(name)
    for name, (after_path, tensor) in unmatched.items():
        for path in dict.fromkeys((modules.origins.get(after_path), None)):
            groups[path, measure_rows(tensor.shape)].after.append(name)
    found: dict[str, str] = {}
    for size in sorted(groups, key=lambda size: size[0] is None):
        taken = set(found.values())
        names_before = [name for name in groups[size].before if name not in taken]
        names_after = [name for name in groups[size].after if name not in found]
        if len(names_before) == len(names_after):
            found |= dict(zip(names_after, names_before, strict=True))
    return found
