"""The witnesses: the counts of torchinfo and fvcore for the same model, which never replace archaudit's own count."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from torch import nn

from archaudit.measure.module_tree import iterate_children
from archaudit.measure.tape.known_values import KnownValues
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.measure.witnesses.fvcore_witness import count_with_fvcore
from archaudit.measure.witnesses.isolation import FlatModel, WitnessSkippedError, restore_model
from archaudit.measure.witnesses.torchinfo_witness import count_with_torchinfo
from archaudit.schema import Witness

# Each witness takes about 0.4 ms for a module: 2 s at this size, ten times as long as archaudit's own run. The limit is on names, not on
# modules, because the witnesses walk every name: a few modules that contain each other can have endlessly many.
MOST_MODULES = 5_000

_Count = Callable[[FlatModel, Mapping[int, str], ShapeCache], Witness]

_WITNESSES: dict[str, _Count] = {
    "torchinfo": count_with_torchinfo,
    "fvcore": count_with_fvcore,
}


def run_witnesses(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: Mapping[int, str],
    *,
    assumed_boolean: bool | None = None,
    known_values: KnownValues | None = None,
) -> dict[str, Witness]:
    """The counts of both witnesses for one forward pass of `model(*args, **kwargs)`, in eval mode, on meta or on real tensors.

    `names` maps `id(module)` to the path that the module has in the result. A witness that fails, for any cause, is a Witness with a
    `reason`. The caller sets eval mode; each witness runs the model once, and the model is restored afterwards. `assumed_boolean`, when
    given, is the value of booleans that the model reads from meta tensors, as in archaudit's own run; `known_values` are those of that run.
    """
    flat_model = FlatModel(model, args, kwargs)
    if _has_too_many(model):
        return {name: Witness(reason=f"skipped: more than {MOST_MODULES:,} modules") for name in _WITNESSES}
    cache = ShapeCache(assumed_boolean, known_values)
    return {name: _run_witness(partial(witness, flat_model, names, cache), flat_model) for name, witness in _WITNESSES.items()}


def _run_witness(witness: Callable[[], Witness], flat_model: FlatModel) -> Witness:
    try:
        with restore_model(flat_model):
            return witness()
    except WitnessSkippedError as reason:
        return Witness(reason=f"skipped: {reason}")


def _has_too_many(model: nn.Module) -> bool:
    return sum(1 for _ in islice(_walk_every_name(model), MOST_MODULES + 1)) > MOST_MODULES


def _walk_every_name(model: nn.Module) -> Iterator[nn.Module]:
    """Every module, once for each of its names."""
    pending = [model]
    while pending:
        module = pending.pop()
        yield module
        pending.extend(child for _, child in iterate_children(module))
