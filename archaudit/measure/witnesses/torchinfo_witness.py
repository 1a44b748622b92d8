"""torchinfo as a witness: `summary`, which runs the model with a hook on each module and guesses work from parameters and shapes.

It counts otherwise than archaudit:

- A convolution's bias is counted as one multiply-add for each output position, batch norm and other norms as 2C for each sample:
  resnet18 at 1x3x224x224 has 1,814,083,944 = 1,814,073,344 of dense contractions + 9,600 of norms + 1,000 of bias.
- A linear layer is `batch x (weights + bias)`, whatever lies between batch and features: right for (batch, features) but for the bias; for
  (batch, tokens, features) the tokens are missing (vit_b_16: 0.010 of the truth; swin_t: 0.008).
- A transposed convolution is counted at its output positions: stride^d times too much (ConvTranspose2d of stride 2: 4 times).
- A class with "Conv" in its name is counted as a convolution; an embedding as `batch x table`.
- Only modules without children count, and only when they are called: functions, matrix operators, attention, parameters of the
  model itself and `nn.MultiheadAttention` are 0.
- Its total of parameters sums its rows, so a tensor shared by two modules counts twice (1,600 tied parameters: 3,200); the rows of
  containers count it once, so the root's row may be smaller than the total.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from archaudit.measure.structure.tree import ModuleTree, walk_tree
from archaudit.measure.tape.shape_cache import RecallShapes, ShapeMemory
from archaudit.measure.witnesses.isolation import Entry, LeftOut, guard_library
from archaudit.schema import Shape, Witness, WitnessRow

# torchinfo finds the parameters that a container holds itself by recursing, from every container, over all containers below it: twice
# the work for each level of nesting. A million steps take about half a second; ordinary models need some ten thousand.
_MOST_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class _Layer:
    """One row of torchinfo's table: one call of a module, or a container that is only passed through."""

    module: int
    kind: str
    is_leaf: bool
    params: int
    macs: int
    output_shape: Shape | None


@dataclass(frozen=True, slots=True)
class _Account:
    params: int
    macs: int
    layers: tuple[_Layer, ...]


def walk_with_torchinfo(entry: Entry, names: Mapping[int, str], memory: ShapeMemory) -> Witness:
    """What torchinfo counts, by module (inclusive) and class of module; LeftOut when it cannot run the model."""
    tree = walk_tree(entry)
    if _count_steps(tree) > _MOST_STEPS:
        raise LeftOut("torchinfo takes twice as long for each level of nesting, and this model is nested too deeply")
    account = _summarise(entry, memory)
    macs = _sum_up(tree, account.layers)
    rows: dict[str, WitnessRow] = {}
    by_class: Counter[str] = Counter()
    for layer in account.layers:
        path = names.get(layer.module)
        if path is not None and path not in rows:  # of several calls, the first
            rows[path] = WitnessRow(params=layer.params, macs=macs[layer.module], output_shape=layer.output_shape)
        if layer.is_leaf and layer.macs:
            by_class[layer.kind] += layer.macs
    return Witness(
        totals=WitnessRow(params=account.params, macs=account.macs),
        modules=rows,
        macs_by_operator=dict(sorted(by_class.items())),
    )


def _summarise(entry: Entry, memory: ShapeMemory) -> _Account:
    with guard_library():
        from torchinfo import summary

        try:
            # No `device`: it would move the caller's model, and on meta untie its weights.
            with RecallShapes(memory) if entry.is_on_meta() else nullcontext():
                statistics = summary(entry, input_data=list(entry.clone_inputs()), mode="eval", cache_forward_pass=False, verbose=0)
        except RuntimeError as error:
            raise error.__cause__ or error from None  # what the model raised, without torchinfo's list of all layers so far
        finally:
            _forget(entry)
        layers = tuple(_read_layer(layer) for layer in statistics.summary_list)
        return _Account(int(statistics.total_params), int(statistics.total_mult_adds), layers)


def _forget(entry: Entry) -> None:
    """torchinfo keeps the last run of each class in a global, whatever `cache_forward_pass` says; it would hold the model for good."""
    kept = getattr(importlib.import_module("torchinfo.torchinfo"), "_cached_forward_pass", {})
    kept.pop(type(entry).__name__, None)


def _read_layer(layer: Any) -> _Layer:
    size = layer.output_size
    shape = tuple(size) if size and all(isinstance(length, int) for length in size) else None
    return _Layer(id(layer.module), str(layer.class_name), bool(layer.is_leaf_layer), int(layer.num_params), int(layer.macs), shape)


def _sum_up(tree: ModuleTree, layers: tuple[_Layer, ...]) -> Counter[int]:
    """Multiply-adds by `id(module)`, each including all modules below it; like its total, only of modules without children."""
    sums: Counter[int] = Counter()
    for layer in layers:
        if layer.is_leaf:
            sums[layer.module] += layer.macs
    for module, parent in zip(reversed(tree.modules), reversed(tree.parents), strict=True):
        if parent >= 0:
            sums[id(tree.modules[parent])] += sums[id(module)]
    return sums


def _count_steps(tree: ModuleTree) -> int:
    """How many rows torchinfo visits to find what each container holds itself: all below it, and again for each container among them."""
    size = len(tree)
    below, spent_below = [0] * size, [0] * size
    for position in range(size - 1, 0, -1):
        parent = tree.parents[position]
        below[parent] += 1 + below[position]
        if not tree.is_leaf[position]:
            spent_below[parent] += 1 + below[position] + 2 * spent_below[position]
    return 1 + below[0] + 2 * spent_below[0]
