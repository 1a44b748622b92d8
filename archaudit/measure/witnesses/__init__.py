"""The witnesses: what torchinfo and fvcore say of the same model, shown beside archaudit's own count and never in its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

from torch import nn

from archaudit.measure.structure.tree import iterate_children
from archaudit.measure.tape.shape_cache import ShapeMemory
from archaudit.measure.witnesses.fvcore_witness import trace_with_fvcore
from archaudit.measure.witnesses.isolation import Entry, LeftOut, leave_as_found
from archaudit.measure.witnesses.torchinfo_witness import walk_with_torchinfo
from archaudit.schema import Witness

# Each witness takes about 0.4 ms a module: 2 s each at this size, which is ten times the run that they bear witness to. Names are
# counted, not modules, since that is what the witnesses walk: a few modules that hold each other can have endless names.
MOST_MODULES = 5_000

_Ask = Callable[[Entry, Mapping[int, str], ShapeMemory], Witness]

_WITNESSES: dict[str, _Ask] = {
    "torchinfo": walk_with_torchinfo,
    "fvcore": trace_with_fvcore,
}


def consult_witnesses(
    model: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: Mapping[int, str],
    *,
    boolean_answer: bool | None = None,
) -> dict[str, Witness]:
    """Asks both witnesses about one forward pass of `model(*args, **kwargs)`, in eval mode, on meta or on real tensors.

    `names` maps `id(module)` to the path under which the module is reported. A witness that cannot answer, for whatever cause, is a
    Witness with a `reason`; the model is left as it was found. Eval mode is the caller's to set; each witness runs the model once.
    `boolean_answer`, when given, answers booleans that the model reads from meta tensors, as in the measuring run.
    """
    entry = Entry(model, args, kwargs)
    if _has_too_many(model):
        return {name: Witness(reason=f"left out: more than {MOST_MODULES:,} modules") for name in _WITNESSES}
    memory = ShapeMemory(boolean_answer)
    return {name: _ask(partial(witness, entry, names, memory), entry) for name, witness in _WITNESSES.items()}


def _ask(witness: Callable[[], Witness], entry: Entry) -> Witness:
    try:
        with leave_as_found(entry):
            return witness()
    except LeftOut as left_out:
        return Witness(reason=f"left out: {left_out}")


def _has_too_many(model: nn.Module) -> bool:
    return sum(1 for _ in islice(_walk_every_name(model), MOST_MODULES + 1)) > MOST_MODULES


def _walk_every_name(model: nn.Module) -> Iterator[nn.Module]:
    """Every module once for each of its names."""
    pending = [model]
    while pending:
        module = pending.pop()
        yield module
        pending.extend(child for _, child in iterate_children(module))
