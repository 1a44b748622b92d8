"""The operators of a run with summaries of their values, and the first operator of each side whose values the other side does not have."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.process_state import DispatchMode
from archaudit.measure.tape.module_calls import CallObserver
from archaudit.measure.tensors import iterate_tensors_in
from archaudit.schema import Computation, Pair

# Two summaries are equal within this much of the sum of magnitudes: sums in another order differ by 1e-13, a changed eps by 1e-7 or more.
_SAME = 1e-9
# Arguments that say nothing with these values; the schema has no default for them.
_PLAIN = {"transposed": False, "groups": 1, "half_to_float": False}
# Operators that only move values: what they return is known where their inputs are.
_MOVING = frozenset(
    (
        "view",
        "unsafe_view",
        "reshape",
        "reshape_alias",
        "expand",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
        "slice",
        "select",
        "split",
        "split_with_sizes",
        "unbind",
        "chunk",
        "cat",
        "stack",
        "clone",
        "contiguous",
        "detach",
        "alias",
        "as_strided",
        "repeat",
        "repeat_interleave",
        "index",
        "index_select",
        "gather",
        "flip",
        "roll",
        "pad",
        "constant_pad_nd",
        "unfold",
        "pixel_shuffle",
        "pixel_unshuffle",
        "copy_",
        "lift_fresh",
        "lift_fresh_copy",
        "to_copy",
        "narrow",
        "tril",
        "triu",
        "diagonal",
    )
)
_LONGEST_ARGUMENT = 40

# The number of elements, their sum, the sum of their magnitudes and of their squares, and the largest magnitude.
Summary = tuple[float, ...]


class OperatorRun(NamedTuple):
    """One operator: its name with its arguments that are no tensors, its module, a summary of its first result, the runs it reads."""

    name: str
    path: str
    summary: Summary
    inputs: tuple[int, ...]


class OperatorTrace(DispatchMode):
    """Records every operator while open, with the module that runs it; passes the calls of modules on to another observer."""

    def __init__(self, tree: ModuleTree, observer: CallObserver) -> None:
        super().__init__()
        self.runs: list[OperatorRun] = []
        self._tree = tree
        self._observer = observer
        self._paths = [""]
        self._makers: dict[int, tuple[weakref.ref[torch.Tensor], int]] = {}

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Remembers the module that runs."""
        self._paths.append(self._tree.paths[position])
        self._observer.enter_call(position, args, kwargs)

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        """Returns to the module that called this one."""
        self._paths.pop()
        return self._observer.leave_call(position, args, kwargs, result)

    def fail_call(self, position: int, error: BaseException) -> None:
        """Does nothing: the whole run fails."""

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        given = [*iterate_tensors_in(args), *iterate_tensors_in(tuple((kwargs or {}).values()))]
        makers = tuple(dict.fromkeys(maker for tensor in given if (maker := self._find_maker(tensor)) is not None))
        result = func(*args, **(kwargs or {}))
        made = list(iterate_tensors_in(result))
        if made and made[0].layout == torch.strided and not made[0].is_quantized:
            self.runs.append(OperatorRun(_name_operator(func, args, kwargs or {}), self._paths[-1], _summarise(made[0]), makers))
            for tensor in made:
                self._makers[id(tensor)] = weakref.ref(tensor), len(self.runs) - 1
        return result

    def _find_maker(self, tensor: torch.Tensor) -> int | None:
        known = self._makers.get(id(tensor))
        return known[1] if known is not None and known[0]() is tensor else None


def _name_operator(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    texts = []
    for position, argument in enumerate(func._schema.arguments):
        value = args[position] if position < len(args) else kwargs.get(argument.name, argument.default_value)
        is_default = argument.has_default_value() and value == argument.default_value if not isinstance(value, torch.Tensor) else True
        plain = _PLAIN.get(argument.name)
        if not is_default and isinstance(value, bool | int | float | complex | str) and (plain is None or value != plain):
            text = f"{value!r}" if argument.name == "other" else f"{argument.name}={value!r}"
            texts.append(text[:_LONGEST_ARGUMENT])
    name = func._schema.name.partition("::")[2].strip("_")
    return f"{name}({', '.join(texts)})" if texts else name


def _summarise(tensor: torch.Tensor) -> Summary:
    """Does not depend on the order of the elements: a tensor that was only transposed or reshaped has the same summary."""
    if tensor.numel() == 0:
        return (0.0, 0.0, 0.0, 0.0, 0.0)
    values = torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor
    values = values.to(torch.float64).nan_to_num(posinf=1e300, neginf=-1e300)
    sizes = values.abs()
    return (float(tensor.numel()), float(values.sum()), float(sizes.sum()), float((values * values).sum()), float(sizes.max()))


def find_first_computations(before: Sequence[OperatorRun], after: Sequence[OperatorRun]) -> Pair[Computation | None]:
    """The first operator of each side that computes from known values what the other side does not compute.

    An operator does not count if a later one that depends on it has equal values: it only computes the same in another way.
    """
    sides = Pair(before, after)
    return Pair(*(_find_first(runs, other) for runs, other in ((sides.before, sides.after), (sides.after, sides.before))))


def _find_first(runs: Sequence[OperatorRun], others: Sequence[OperatorRun]) -> Computation | None:
    equal = _find_equal(runs, others)
    known: list[bool] = []
    for place, run in enumerate(runs):
        moved = _plain_name(run.name) in _MOVING and all(known[source] for source in run.inputs)
        known.append(equal[place] or moved)
    helps = [False] * len(runs)  # whether a later operator that depends on it has equal values
    for place in reversed(range(len(runs))):
        if helps[place] or (equal[place] and _is_informative(runs[place].summary)):
            for source in runs[place].inputs:
                helps[source] = True
    for place, run in enumerate(runs):
        if not known[place] and not helps[place] and all(known[source] or helps[source] for source in run.inputs):
            return Computation(operator=run.name, path=run.path)
    return None


def _plain_name(name: str) -> str:
    return name.partition("(")[0]


def _is_informative(summary: Summary) -> bool:
    """Whether not all elements are equal: equal constants prove nothing."""
    count, total, _, squares, _ = summary
    return count > 1 and squares * count - total * total > _SAME * max(squares * count, 1e-300)


def _find_equal(runs: Sequence[OperatorRun], others: Sequence[OperatorRun]) -> list[bool]:
    """Whether any run of the other side has the same values."""
    groups: dict[float, list[Summary]] = {}
    for run in others:
        groups.setdefault(run.summary[0], []).append(run.summary)
    tables = {count: torch.tensor(rows, dtype=torch.float64) for count, rows in groups.items()}
    return [run.summary[0] in tables and _has_row(tables[run.summary[0]], run.summary) for run in runs]


def _has_row(table: torch.Tensor, summary: Summary) -> bool:
    wanted = torch.tensor(summary, dtype=torch.float64)
    scales = torch.stack([wanted[0], wanted[2], wanted[2], wanted[3], wanted[4]]).clamp(min=1e-300)
    return bool(((table - wanted).abs() <= _SAME * scales).all(1).any())


def iterate_traces(recorded: Sequence[Sequence[tuple[Any, ...]]]) -> Iterator[list[OperatorRun]]:
    """The traces that were written to a file as plain tuples."""
    for trace in recorded:
        yield [OperatorRun(*run) for run in trace]
