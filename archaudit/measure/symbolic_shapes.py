"""Shapes in terms of the input size: 128 may be a number of channels, a width, or a quarter of a height, and one run cannot say which.

The model runs twice more, on inputs of another batch, height, width and length: all change at once, and no two in proportion. Each size of
each node is then explained from the three runs as a constant or as a share of the input size (`H/8`, `ceil(W/16)`, `2*H`, `B*T`,
`H*W/256+1`). A size that no formula explains in all three runs stays unknown. These runs record shapes only, so they are cheaper than the
measured one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from math import prod
from typing import Any

import msgspec
import torch
from torch.utils import _pytree

from archaudit.measure.building.copying import run_with_large_stack
from archaudit.measure.model_run import Run
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.process_state import without_fusion
from archaudit.measure.tape import TapeMode, TapeRecorder
from archaudit.measure.tape.device_operators import name_operator
from archaudit.measure.tape.memory import read_traits
from archaudit.measure.tape.module_calls import observe_calls
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.measure.tensors import iterate_tensors_in, shape_of
from archaudit.schema import FlowNode, Shape

# Only build modes without values: two further runs on real numbers would take as long as the model does.
_MODES_WITHOUT_VALUES = ("meta", "deferred", "fake")

# The meaning of the dimensions of an input, by whether it holds floats and by their number: images, video, sequences of vectors, of ids.
_LAYOUTS: dict[tuple[bool, int], dict[int, str]] = {
    (True, 4): {0: "B", 2: "H", 3: "W"},
    (True, 5): {0: "B", 2: "T", 3: "H", 4: "W"},
    (True, 3): {0: "B", 1: "T"},
    (True, 2): {0: "B"},
    (True, 1): {0: "B"},
    (False, 2): {0: "B", 1: "T"},
    (False, 1): {0: "B"},
}

# How much larger the size is in the first and the second further run. Height and width grow by multiples of 64, so that they stay divisible
# by every power of two up to 64. No two grow in proportion, so that no two formulas explain both runs.
_GROWTH = {"B": (2, 5), "H": (64, 192), "W": (128, 64)}
# A sliding window without padding, or a class token, makes a size a few larger or smaller than a share. A larger offset is a coincidence.
_LARGEST_OFFSET = 64

# Pointwise operators that return floats of the same dtype for floats; models run these most often between layers.
_POINTWISE = frozenset(
    ("add", "sub", "mul", "div", "neg", "relu", "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "silu", "tanh", "gelu", "clamp")
)

_FIXED_SIZE = "the model does not run on an input of another size: its shapes are given in terms of the batch size only"
_UNRESOLVED = "the model does not run on an input of another size or batch size: its shapes are not given in terms of the input size"


def resolve_symbolic_shapes(run: Run, flow: tuple[FlowNode, ...]) -> tuple[tuple[FlowNode, ...], str | None]:
    """The nodes with their `symbolic` shapes, and an assumption if there is one; the unchanged nodes where nothing could be resolved.

    Call this last, because it runs the model again, on other inputs.
    """
    base = _read_symbols(run)
    if run.build_mode not in _MODES_WITHOUT_VALUES or not base:
        return flow, None
    trials = [base] if base.keys() == {"B"} else [base, {"B": base["B"]}]
    for symbols in trials:
        grown = [{symbol: _grow(symbol, size, number) for symbol, size in symbols.items()} for number in range(2)]
        shapes = _run_each(run, flow, base, grown)
        if shapes is not None:
            values = {symbol: (size, grown[0][symbol], grown[1][symbol]) for symbol, size in symbols.items()}
            return _explain_all(flow, shapes, values), None if symbols is base else _FIXED_SIZE
    return flow, _UNRESOLVED


def _explain_all(
    flow: tuple[FlowNode, ...], shapes: list[list[Shape | None]], values: dict[str, tuple[int, int, int]]
) -> tuple[FlowNode, ...]:
    explain = _Explainer(values)
    return tuple(
        msgspec.structs.replace(node, symbolic=explain.shape(node.shape, first, second))
        for node, first, second in zip(flow, *shapes, strict=True)
    )


# --- the further runs ---


def _read_symbols(run: Run) -> dict[str, int]:
    """The symbols of the first input's dimensions, with their sizes."""
    first = next(iterate_tensors_in((run.args, run.kwargs)), None)
    if first is None:
        return {}
    layout = _LAYOUTS.get((first.is_floating_point(), first.dim()), {})
    return {symbol: int(first.shape[place]) for place, symbol in layout.items()}


def _grow(symbol: str, size: int, number: int) -> int:
    if symbol in _GROWTH:
        return size + _GROWTH[symbol][number]
    # A sequence model may have a table with a fixed number of positions: shorter sequences always fit.
    return size - size // (4, 2)[number] if size >= 4 else size + (1, 3)[number]


def _run_each(run: Run, flow: tuple[FlowNode, ...], base: dict[str, int], grown: list[dict[str, int]]) -> list[list[Shape | None]] | None:
    """The shapes of all nodes at each size; None if the model fails at one of them."""
    found = []
    for sizes in grown:
        try:
            nodes = run_with_large_stack(lambda sizes=sizes: _run_again(run, base, sizes), max(run.tree.depths))  # type: ignore[misc]
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - a model may raise anything on another size
            return None
        found.append(_find_same_nodes(flow, [(node.op, run.tree.paths[node.module], node.shape) for node in nodes]))
    return found


def _find_same_nodes(flow: tuple[FlowNode, ...], nodes: list[tuple[str, str, Shape | None]]) -> list[Shape | None]:
    """The shape of each node of `flow` in another run; None for an operator that runs another number of times there (a copy that a batch of
    one does not need), because its nodes cannot be matched."""
    shapes: defaultdict[tuple[str, str], list[Shape | None]] = defaultdict(list)
    for op, module, shape in nodes:
        shapes[op, module].append(shape)
    counts = Counter((node.op, node.module) for node in flow)
    remaining = {key: iter(shapes[key]) for key, count in counts.items() if len(shapes[key]) == count}
    return [next(remaining[node.op, node.module]) if (node.op, node.module) in remaining else None for node in flow]


def _run_again(run: Run, base: dict[str, int], sizes: dict[str, int]) -> list[_Node]:
    def resize(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        layout = _LAYOUTS.get((value.is_floating_point(), value.dim()), {})
        shape = list(shape_of(value))
        for place, symbol in layout.items():
            if symbol in sizes and shape[place] == base[symbol]:
                shape[place] = sizes[symbol]
        return value if shape == list(value.shape) else torch.zeros(shape, dtype=value.dtype)

    recorder = _ShapeRecorder(run.tree)
    with ExitStack() as stack:
        stack.enter_context(run.context())
        args, kwargs = _pytree.tree_map(resize, run.copy_inputs())
        stack.enter_context(without_fusion())
        stack.enter_context(torch.no_grad())
        stack.enter_context(observe_calls(run.tree, recorder))
        recorder.record_inputs((args, kwargs))
        stack.enter_context(TapeMode(recorder, None, Shortcuts(run.shape_cache).run))
        run.model(*args, **kwargs)
    return recorder.nodes


@dataclass(slots=True)
class _Node:
    op: str
    module: int
    shape: Shape | None = None


class _ShapeRecorder(TapeRecorder):
    """Records the same nodes as the tape, in the same order, with their shapes and nothing else."""

    def __init__(self, tree: ModuleTree) -> None:
        super().__init__(tree)
        self.nodes: list[_Node] = []
        self._running: list[tuple[int, _Node | None]] = []

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Adds a node for a module without children."""
        node = _Node("call", position) if self.tape.tree.is_leaf[position] else None
        if node is not None:
            self.nodes.append(node)
        self._running.append((position, node))

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Sets the shape of the node to that of the first output."""
        _, node = self._running.pop()
        if node is not None:
            node.shape = next(map(shape_of, iterate_tensors_in(result)), None)
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Drops a call that raised."""
        self._running.pop()

    def record_inputs(self, values: object) -> None:
        """Adds a node for each input, before all others."""
        self.nodes += [_Node("input", 0, shape_of(tensor)) for tensor in iterate_tensors_in(values)]

    def record_operator(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Adds a node for an operator outside the modules without children, unless it is a view."""
        position, leaf = self._running[-1] if self._running else (0, None)
        if leaf is not None:
            return
        traits = read_traits(operator)
        shape = None if traits.is_view else next(map(shape_of, iterate_tensors_in(result)), None)
        if shape is not None:
            self.nodes.append(_Node(name_operator(traits.name), position, shape))


class Shortcuts:
    """Runs the most frequent operators without the meta device, which needs milliseconds for a clamp or a resize of a new size."""

    def __init__(self, cache: ShapeCache) -> None:
        self._cache = cache
        self._kinds: dict[Any, str] = {}

    def run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """A result with the shape and dtype of the operator's."""
        kind = self._kinds.get(operator)
        if kind is None:
            kind = self._kinds[operator] = self._find_kind(operator)
        if kind == "in place":
            return args[0]
        tensors = [value for value in args if isinstance(value, torch.Tensor)] if kind == "pointwise" and not kwargs else []
        if tensors and all(tensor.dtype == tensors[0].dtype and tensor.is_floating_point() for tensor in tensors):
            return tensors[0].new_empty(torch.broadcast_shapes(*(tensor.shape for tensor in tensors)))
        if kind == "resize" and args[1]:
            return args[0].new_empty((*args[0].shape[:2], *args[1]))
        return self._cache.run(operator, args, kwargs)

    @staticmethod
    def _find_kind(operator: Any) -> str:
        name = read_traits(operator).name.removeprefix("aten::")
        if name.startswith("upsample_") and not name.endswith("_backward"):
            return "resize"
        if torch.Tag.pointwise not in getattr(operator, "tags", ()):
            return "other"
        arguments = operator._schema.arguments
        if arguments[0].alias_info is not None and all(argument.alias_info is None for argument in arguments[1:]):
            return "in place"
        return "pointwise" if name in _POINTWISE else "other"


# --- formulas for sizes ---


class _Explainer:
    """Finds the simplest formula that explains a size in all three runs; caches it, because sizes repeat within a model."""

    def __init__(self, values: dict[str, tuple[int, int, int]]) -> None:
        names = list(values)
        products = [chosen for count in range(1, len(names) + 1) for chosen in combinations(names, count)]
        self._terms = {chosen: tuple(prod(values[name][number] for name in chosen) for number in range(3)) for chosen in products}
        self._known: dict[tuple[int, int, int], str | None] = {}

    def shape(self, base: Shape | None, first: Shape | None, second: Shape | None) -> tuple[str, ...] | None:
        """The shape with a formula for each size; None if one has no formula."""
        if base is None or first is None or second is None or not len(base) == len(first) == len(second):
            return None
        sizes = [self.size(triple) for triple in zip(base, first, second, strict=True)]
        return None if None in sizes else tuple(size for size in sizes if size is not None)

    def size(self, sizes: tuple[int, int, int]) -> str | None:
        """The formula of one size, from its values in the three runs."""
        if sizes not in self._known:
            self._known[sizes] = str(sizes[0]) if len(set(sizes)) == 1 else self._find(sizes)
        return self._known[sizes]

    def _find(self, sizes: tuple[int, int, int]) -> str | None:
        fits = []
        for chosen, values in self._terms.items():
            share = _find_share(sizes, values)
            if share is not None:
                offset = sizes[0] - share * values[0]
                # A batch size is only multiplied: an offset to it would be a mistake in the model.
                if offset == 0 or ("B" not in chosen and abs(offset) <= _LARGEST_OFFSET):
                    fits.append((offset != 0, len(chosen), chosen, share, values[0]))
        if not fits:
            return None
        _, _, chosen, share, value = min(fits)
        return _format_term(chosen, share, value, sizes[0])


def _find_share(sizes: Sequence[int], values: Sequence[int]) -> Fraction | None:
    """The growth of the size for each unit of the value, if it is the same in both further runs."""
    grown = [(sizes[number] - sizes[0], values[number] - values[0]) for number in (1, 2)]
    if any(by == 0 for _, by in grown) or grown[0][0] * grown[1][1] != grown[1][0] * grown[0][1]:
        return None
    share = Fraction(*grown[0])
    return share if share > 0 else None


def _format_term(chosen: tuple[str, ...], share: Fraction, value: int, size: int) -> str | None:
    """`H/16`, `2*H`, `ceil(H/16)`, `floor(H/2)-1`, `H*W/256+1`."""
    factors = ([str(share.numerator)] if share.numerator != 1 else []) + list(chosen)
    text = "*".join(factors) + (f"/{share.denominator}" if share.denominator != 1 else "")
    whole, rest = divmod(share.numerator * value, share.denominator)
    extra = size - whole
    if rest == 0:
        return text if extra == 0 else f"{text}{extra:+d}"
    if extra == 1:
        return f"ceil({text})"
    return f"floor({text})" if extra == 0 else f"floor({text}){extra:+d}"
