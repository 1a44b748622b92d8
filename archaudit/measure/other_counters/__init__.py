"""The other counters: the counts of torchinfo and fvcore for the same model, which never replace archaudit's own count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from torch import nn

from archaudit.measure.module_tree import iterate_children
from archaudit.measure.other_counters.fvcore_counter import count_with_fvcore
from archaudit.measure.other_counters.isolation import CounterSkippedError, FlatModel, restore_model
from archaudit.measure.other_counters.torchinfo_counter import count_with_torchinfo
from archaudit.measure.tape.known_values import KnownValues
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.schema import CounterResult

# Each counter takes about 0.4 ms for a module: 2 s at this size, ten times as long as archaudit's own run. The limit is on names, not on
# modules, because the other counters walk every name: a few modules that contain each other can have endlessly many.
MOST_MODULES = 5_000

_Count = Callable[[FlatModel, Mapping[int, str], ShapeCache], CounterResult]

_COUNTERS: dict[str, _Count] = {
    "torchinfo": count_with_torchinfo,
    "fvcore": count_with_fvcore,
}


def run_other_counters(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: Mapping[int, str],
    *,
    assumed_boolean: bool | None = None,
    known_values: KnownValues | None = None,
) -> dict[str, CounterResult]:
    """The counts of both other counters for one forward pass of `model(*args, **kwargs)`, in eval mode, on meta or on real tensors.

    `names` maps `id(module)` to the path that the module has in the result. A counter that fails, for any cause, is a CounterResult with a
    `reason`. The caller sets eval mode; each counter runs the model once, and the model is restored afterwards. `assumed_boolean`, when
    given, is the value of booleans that the model reads from meta tensors, as in archaudit's own run; `known_values` are those of that run.
    """
    flat_model = FlatModel(model, args, kwargs)
    if _has_too_many(model):
        return {name: CounterResult(reason=f"skipped: more than {MOST_MODULES:,} modules") for name in _COUNTERS}
    cache = ShapeCache(assumed_boolean, known_values)
    return {name: _run_counter(partial(counter, flat_model, names, cache), flat_model) for name, counter in _COUNTERS.items()}


def _run_counter(counter: Callable[[], CounterResult], flat_model: FlatModel) -> CounterResult:
    try:
        with restore_model(flat_model):
            return counter()
    except CounterSkippedError as reason:
        return CounterResult(reason=f"skipped: {reason}")


def _has_too_many(model: nn.Module) -> bool:
    return sum(1 for _ in islice(_walk_every_name(model), MOST_MODULES + 1)) > MOST_MODULES


def _walk_every_name(model: nn.Module) -> Iterator[nn.Module]:
    """Every module, once for each of its names."""
    pending = [model]
    while pending:
        module = pending.pop()
        yield module
        pending.extend(child for _, child in iterate_children(module))
