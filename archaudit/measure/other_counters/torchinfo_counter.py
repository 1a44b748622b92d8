"""torchinfo as a counter: `summary` runs the model with a hook on each module and estimates the work from parameters and shapes.

It counts differently from archaudit:

- The bias of a convolution is one multiply-add for each output position; batch norm and other norms are 2C for each sample:
  resnet18 at 1x3x224x224 has 1,814,083,944 = 1,814,073,344 of dense contractions + 9,600 of norms + 1,000 of bias.
- A linear layer is `batch x (weights + bias)`, without the dimensions between batch and features. For (batch, features) only the bias
  differs; for (batch, tokens, features) the tokens are missing (vit_b_16: 0.010 of the right figure; swin_t: 0.008).
- A transposed convolution is counted at its output positions: stride^d times too much (ConvTranspose2d with stride 2: 4 times).
- A class with "Conv" in its name is counted as a convolution, an embedding as `batch x table`.
- Only modules without children count, and only if they are called: functions, matrix operators, attention, parameters of the model
  itself and `nn.MultiheadAttention` are 0.
- The total of parameters is the sum of the rows, so a tensor that two modules share counts twice (1,600 tied parameters: 3,200). The rows
  of containers count it once, so the row of the root may be smaller than the total.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.other_counters.isolation import CounterSkippedError, FlatModel, guard_library
from archaudit.measure.tape.shape_cache import CachedShapesMode, ShapeCache
from archaudit.schema import CounterResult, CounterRow, Shape

# To find the parameters that a container holds itself, torchinfo recurses from every container over all containers inside it: the work
# doubles with each level of nesting. A million steps take about half a second; common models need some ten thousand.
_MOST_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Layer:
    """One row of torchinfo's table: one call of a module, or a container."""

    module: int
    kind: str
    is_leaf: bool
    params: int
    macs: int
    output_shape: Shape | None


@dataclass(frozen=True, slots=True)
class _Counts:
    params: int
    macs: int
    layers: tuple[_Layer, ...]


def count_with_torchinfo(flat_model: FlatModel, names: Mapping[int, str], cache: ShapeCache) -> CounterResult:
    """The counts of torchinfo by module (with all modules inside it) and by class. CounterSkippedError if it cannot run."""
    tree = walk_tree(flat_model)
    if _count_steps(tree) > _MOST_STEPS:
        raise CounterSkippedError("the time of torchinfo doubles with each level of nesting, and this model is nested too deeply")
    counts = _summarise(flat_model, cache)
    macs = _sum_up(tree, counts.layers)
    rows: dict[str, CounterRow] = {}
    by_class: Counter[str] = Counter()
    for layer in counts.layers:
        path = names.get(layer.module)
        if path is not None and path not in rows:  # the first of several calls
            rows[path] = CounterRow(params=layer.params, macs=macs[layer.module], output_shape=layer.output_shape)
        if layer.is_leaf and layer.macs:
            by_class[layer.kind] += layer.macs
    return CounterResult(
        totals=CounterRow(params=counts.params, macs=counts.macs),
        modules=rows,
        macs_by_operator=dict(sorted(by_class.items())),
    )


def _summarise(flat_model: FlatModel, cache: ShapeCache) -> _Counts:
    with guard_library():
        from torchinfo import summary

        try:
            # without `device`, which would move the caller's model, and untie its weights on meta
            with CachedShapesMode(cache) if flat_model.is_on_meta() else nullcontext():
                statistics = summary(
                    flat_model, input_data=list(flat_model.clone_inputs()), mode="eval", cache_forward_pass=False, verbose=0
                )
        except RuntimeError as error:
            raise error.__cause__ or error from None  # the model's error, without torchinfo's list of all layers so far
        finally:
            _clear_last_run(flat_model)
        layers = tuple(_read_layer(layer) for layer in statistics.summary_list)
        return _Counts(int(statistics.total_params), int(statistics.total_mult_adds), layers)


def _clear_last_run(flat_model: FlatModel) -> None:
    """torchinfo keeps the last run of each class in a global, even with `cache_forward_pass=False`, and would never free the model."""
    kept = getattr(importlib.import_module("torchinfo.torchinfo"), "_cached_forward_pass", {})
    kept.pop(type(flat_model).__name__, None)


def _read_layer(layer: Any) -> _Layer:
    size = layer.output_size
    shape = tuple(size) if size and all(isinstance(length, int) for length in size) else None
    return _Layer(id(layer.module), str(layer.class_name), bool(layer.is_leaf_layer), int(layer.num_params), int(layer.macs), shape)


def _sum_up(tree: ModuleTree, layers: tuple[_Layer, ...]) -> Counter[int]:
    """Multiply-adds by `id(module)`, with all modules inside it; as in torchinfo's total, only modules without children count."""
    sums: Counter[int] = Counter()
    for layer in layers:
        if layer.is_leaf:
            sums[layer.module] += layer.macs
    for module, parent in zip(reversed(tree.modules), reversed(tree.parents), strict=True):
        if parent >= 0:
            sums[id(tree.modules[parent])] += sums[id(module)]
    return sums


def _count_steps(tree: ModuleTree) -> int:
    """The rows that torchinfo visits to find what each container holds itself: all inside it, and again for each container among them."""
    size = len(tree)
    below, spent_below = [0] * size, [0] * size
    for position in range(size - 1, 0, -1):
        parent = tree.parents[position]
        below[parent] += 1 + below[position]
        if not tree.is_leaf[position]:
            spent_below[parent] += 1 + below[position] + 2 * spent_below[position]
    return 1 + below[0] + 2 * spent_below[0]
