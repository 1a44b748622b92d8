"""Shapes in terms of the input: 128 may be a number of channels, a width, or a quarter of a height, and one run cannot tell which.

The model that ran is run twice more on inputs of another batch, height, width and length, all changed at once and no two in proportion.
Each size of each node is then explained from the three runs: a constant, or a share of one of those (`H/8`, `ceil(W/16)`, `2*H`, `B*T`,
`H*W/256+1`). What three runs do not agree on is left unknown. These runs only note shapes, so they cost less than the one measured.
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

from archaudit.measure.building.copying import run_deep
from archaudit.measure.fallbacks import Run
from archaudit.measure.structure.tensors import iterate_tensors_in, shape_of
from archaudit.measure.structure.tree import ModuleTree
from archaudit.measure.tape import TapeMode, TapeRecorder, plain_paths
from archaudit.measure.tape.frames import follow_calls
from archaudit.measure.tape.memory import read_traits
from archaudit.measure.tape.shape_cache import ShapeMemory
from archaudit.schema import FlowNode, Shape

# Runs without values only: another two runs on real numbers would cost as much as the model does.
_RUNGS = ("meta", "deferred", "fake")

# What the dimensions of an input stand for, by whether it holds floats and how many it has: images, video, sequences of vectors, of ids.
_LAYOUTS: dict[tuple[bool, int], dict[int, str]] = {
    (True, 4): {0: "B", 2: "H", 3: "W"},
    (True, 5): {0: "B", 2: "T", 3: "H", 4: "W"},
    (True, 3): {0: "B", 1: "T"},
    (True, 2): {0: "B"},
    (True, 1): {0: "B"},
    (False, 2): {0: "B", 1: "T"},
    (False, 1): {0: "B"},
}

# How much larger, in the first further run and in the second. Multiples of 64, so that every power of two up to there still divides; not
# in proportion to one another, so that no two explanations hold for both runs.
_GROWTH = {"B": (2, 5), "H": (64, 192), "W": (128, 64)}
# A window that slides without padding, or a class token, leaves a few more or less than a share; more than this is a coincidence.
_LARGEST_OFFSET = 64

# Pointwise operators that give floats of the same dtype for floats: what models run most between layers.
_POINTWISE = frozenset(
    ("add", "sub", "mul", "div", "neg", "relu", "hardswish", "hardsigmoid", "hardtanh", "sigmoid", "silu", "tanh", "gelu", "clamp")
)

_FIXED_SIZE = "it does not run on an input of another size: its shapes are told in terms of the batch alone"
_UNRESOLVED = "it does not run on an input of another size or batch in the same way: its shapes are not told in terms of the input"


def resolve_shapes(run: Run, flow: tuple[FlowNode, ...]) -> tuple[tuple[FlowNode, ...], str | None]:
    """The nodes with their `symbolic` shapes, and what had to be assumed; the nodes as they are where nothing could be found out.

    Call it last: the model is run again, on other inputs.
    """
    base = _read_symbols(run)
    if run.rung not in _RUNGS or not base:
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


# --- the further runs -------------------------------------------------------------------------------------------------


def _read_symbols(run: Run) -> dict[str, int]:
    """What the first input's dimensions stand for, with their sizes."""
    first = next(iterate_tensors_in((run.args, run.kwargs)), None)
    if first is None:
        return {}
    layout = _LAYOUTS.get((first.is_floating_point(), first.dim()), {})
    return {symbol: int(first.shape[place]) for place, symbol in layout.items()}


def _grow(symbol: str, size: int, number: int) -> int:
    if symbol in _GROWTH:
        return size + _GROWTH[symbol][number]
    # A sequence model has a table of so many positions: shorter ones fit in any case.
    return size - size // (4, 2)[number] if size >= 4 else size + (1, 3)[number]


def _run_each(run: Run, flow: tuple[FlowNode, ...], base: dict[str, int], grown: list[dict[str, int]]) -> list[list[Shape | None]] | None:
    """The shapes of all nodes at each size; None when the model refuses one."""
    found = []
    for sizes in grown:
        try:
            nodes = run_deep(lambda sizes=sizes: _run_again(run, base, sizes), max(run.tree.depths))  # type: ignore[misc]
        except (Exception, SystemExit):  # noqa: BLE001 - a model may refuse another size in any way it likes
            return None
        found.append(_find_same_nodes(flow, [(node.op, run.tree.paths[node.module], node.shape) for node in nodes]))
    return found


def _find_same_nodes(flow: tuple[FlowNode, ...], nodes: list[tuple[str, str, Shape | None]]) -> list[Shape | None]:
    """The shape of each node of `flow` in another run. What runs another number of times there (a copy that a batch of one can do
    without) cannot be told apart, and has none."""
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
        args, kwargs = _pytree.tree_map(resize, (run.args, run.kwargs))
        stack.enter_context(plain_paths())
        stack.enter_context(torch.no_grad())
        stack.enter_context(follow_calls(run.tree, recorder))
        recorder.record_inputs((args, kwargs))
        stack.enter_context(TapeMode(recorder, None, _Shortcuts(run.memory).run))
        run.model(*args, **kwargs)
    return recorder.nodes


@dataclass(slots=True)
class _Node:
    op: str
    module: int
    shape: Shape | None = None


class _ShapeRecorder(TapeRecorder):
    """Notes the nodes that the tape would, in its order, and their shapes; nothing else."""

    def __init__(self, tree: ModuleTree) -> None:
        super().__init__(tree)
        self.nodes: list[_Node] = []
        self._running: list[tuple[int, _Node | None]] = []

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module without children becomes a node."""
        node = _Node("call", position) if self.tape.tree.is_leaf[position] else None
        if node is not None:
            self.nodes.append(node)
        self._running.append((position, node))

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Its first output is the node's."""
        _, node = self._running.pop()
        if node is not None:
            node.shape = next(map(shape_of, iterate_tensors_in(result)), None)
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        """Forgets a call that raised."""
        self._running.pop()

    def record_inputs(self, values: object) -> None:
        """The inputs come first."""
        self.nodes += [_Node("input", 0, shape_of(tensor)) for tensor in iterate_tensors_in(values)]

    def record_operator(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """An operator between modules is a node, unless it is a view."""
        position, leaf = self._running[-1] if self._running else (0, None)
        if leaf is not None:
            return
        traits = read_traits(operator)
        shape = None if traits.is_view else next(map(shape_of, iterate_tensors_in(result)), None)
        if shape is not None:
            self.nodes.append(_Node(traits.name.removeprefix("aten::"), position, shape))


class _Shortcuts:
    """Answers the commonest operators at once: the meta device takes milliseconds over a clamp or a resize of a size that is new to it."""

    def __init__(self, memory: ShapeMemory) -> None:
        self._memory = memory
        self._kinds: dict[Any, str] = {}

    def run(self, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The operator's result, as far as shapes and dtypes go."""
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
        return self._memory.run(operator, args, kwargs)

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


# --- explaining sizes -------------------------------------------------------------------------------------------------


class _Explainer:
    """Finds the simplest formula that three sizes agree on; remembers, since a model repeats its sizes."""

    def __init__(self, values: dict[str, tuple[int, int, int]]) -> None:
        names = list(values)
        products = [chosen for count in range(1, len(names) + 1) for chosen in combinations(names, count)]
        self._terms = {chosen: tuple(prod(values[name][number] for name in chosen) for number in range(3)) for chosen in products}
        self._known: dict[tuple[int, int, int], str | None] = {}

    def shape(self, base: Shape | None, first: Shape | None, second: Shape | None) -> tuple[str, ...] | None:
        """The shape, each size explained; None when one of them cannot be."""
        if base is None or first is None or second is None or not len(base) == len(first) == len(second):
            return None
        sizes = [self.size(triple) for triple in zip(base, first, second, strict=True)]
        return None if None in sizes else tuple(size for size in sizes if size is not None)

    def size(self, sizes: tuple[int, int, int]) -> str | None:
        """One size, from what it is in the three runs."""
        if sizes not in self._known:
            self._known[sizes] = str(sizes[0]) if len(set(sizes)) == 1 else self._find(sizes)
        return self._known[sizes]

    def _find(self, sizes: tuple[int, int, int]) -> str | None:
        fits = []
        for chosen, values in self._terms.items():
            share = _find_share(sizes, values)
            if share is not None:
                offset = sizes[0] - share * values[0]
                # A batch is only ever multiplied: a few more samples than that would be somebody's mistake.
                if offset == 0 or ("B" not in chosen and abs(offset) <= _LARGEST_OFFSET):
                    fits.append((offset != 0, len(chosen), chosen, share, values[0]))
        if not fits:
            return None
        _, _, chosen, share, value = min(fits)
        return _write(chosen, share, value, sizes[0])


def _find_share(sizes: Sequence[int], values: Sequence[int]) -> Fraction | None:
    """By how much the size grows with the value, if by the same in both further runs."""
    grown = [(sizes[number] - sizes[0], values[number] - values[0]) for number in (1, 2)]
    if any(by == 0 for _, by in grown) or grown[0][0] * grown[1][1] != grown[1][0] * grown[0][1]:
        return None
    share = Fraction(*grown[0])
    return share if share > 0 else None


def _write(chosen: tuple[str, ...], share: Fraction, value: int, size: int) -> str | None:
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
