"""Higher-order operators whose bodies are run operator by operator: `cond`, `while_loop`, `scan`, `map`, subgraphs.

A dispatch mode receives such an operator as one call with Python functions among its arguments. Each function here does what the operator
does on tensors with values, in Python, so that the mode sees the operators of every iteration.

Source: the implementations for `CompositeExplicitAutograd` in `torch._higher_order_ops`, which refuse to run under a mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Body = Callable[..., Any]

# A loop whose condition has an assumed value would never end.
_MOST_ITERATIONS = 10_000


def find_body_runner(operator: Any) -> Callable[..., Any] | None:
    """The function that runs the bodies of a higher-order operator; None for any other operator."""
    if isinstance(operator, torch._ops.OpOverload):
        return None
    name = operator.name() if callable(getattr(operator, "name", None)) else ""
    return _RUNNERS.get(name)


def _cond(predicate: Any, if_true: Body, if_false: Body, operands: Sequence[Any] = (), *_: Any, **__: Any) -> Any:
    return if_true(*operands) if predicate else if_false(*operands)


def _while_loop(condition: Body, body: Body, carried: Sequence[Any], additional: Sequence[Any] = (), *_: Any, **__: Any) -> Any:
    values = tuple(carried)
    for _iteration in range(_MOST_ITERATIONS):
        if not condition(*values, *additional):
            return values
        values = tuple(body(*values, *additional))
    raise RuntimeError(f"while_loop did not end after {_MOST_ITERATIONS:,} iterations: their number depends on values")


def _scan(combine: Body, init: Sequence[Tensor], xs: Sequence[Tensor], additional: Sequence[Any] = (), *_: Any, **__: Any) -> Any:
    """Each step takes the carried tensors and one slice of each `xs`, and returns the next carried tensors and one slice of each result."""
    carried: list[Any] = list(init)
    rows: list[list[Any]] = []
    for number in range(xs[0].shape[0]):
        results = list(combine(*carried, *(x.select(0, number) for x in xs), *additional))
        carried, row = results[: len(carried)], results[len(carried) :]
        rows.append(row)
    return (*carried, *(_stack(column) for column in zip(*rows, strict=True)))


def _map(body: Body, xs: Sequence[Tensor], additional: Sequence[Any] = (), *_: Any, **__: Any) -> Any:
    rows = [body(*(x.select(0, number) for x in xs), *additional) for number in range(xs[0].shape[0])]
    return tuple(_stack(column) for column in zip(*rows, strict=True))


def _stack(column: Sequence[Any]) -> Any:
    return None if column[0] is None else torch.stack(list(column))


def _invoke_subgraph(subgraph: Body, _identifier: Any, *operands: Any, **__: Any) -> Any:
    return subgraph(*operands)


def _hints_wrapper(body: Body, args: Sequence[Any], kwargs: dict[str, Any], *_: Any, **__: Any) -> Any:
    return body(*args, **kwargs)


_RUNNERS: dict[str, Callable[..., Any]] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "scan": _scan,
    "map_impl": _map,
    "invoke_subgraph": _invoke_subgraph,
    "hints_wrapper": _hints_wrapper,
}
