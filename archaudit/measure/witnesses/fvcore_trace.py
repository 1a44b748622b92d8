"""fvcore as a witness: `FlopCountAnalysis`, which traces the model with torch.jit and counts the operators that it knows.

It calls a multiply-add one "flop", so its figures are MACs. It counts otherwise than archaudit:

- Norms are counted: in eval mode batch norm 2 for each element, layer, group and instance norm 5 (4 without affine parameters).
  resnet18 at 1x3x224x224: 1,819,065,856 = 1,814,073,344 of dense contractions + 4,967,424 of batch norm + 25,088 of pooling.
- So are adaptive average pooling (1 for each input element), bilinear resizing and grid sampling (4 for each output element) and
  nearest resizing (1): +4.6 % on mobilenet_v3_small, +6.3 % on shufflenet_v2_x0_5.
- `scaled_dot_product_attention` has no formula: the products QK^T and AV of a vision transformer are missing (3 to 15 %, more the
  larger the image). Nor have LSTM and GRU, `baddbmm`, `tensordot`, convolutions with `padding="same"`, or a custom autograd
  function: 0, listed as unsupported. Attention written out as matrix products is right.
- What leads to none of the outputs is dropped from the trace and not counted.
- A resize called as a function is booked on the module that calls it.
- `uncalled` are the modules that left no operator in the trace: identities, and dropout in eval mode, are among them though they ran; so is
  a module whose weights are used without calling it.
- Parameters are counted once each, as archaudit does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from torch._subclasses.fake_tensor import FakeTensor

from archaudit.measure.structure.tree import ModuleTree, walk_tree
from archaudit.measure.tape.shape_memory import ShapeMemory
from archaudit.measure.witnesses.entry import Entry
from archaudit.measure.witnesses.fvcore_on_meta import SuspendTracing
from archaudit.measure.witnesses.isolation import LeftOut, guard_library
from archaudit.schema import Witness, WitnessRow

# fvcore books every operator on all levels above it, and the trace keeps the Python stack of every operator: 200 nested modules take
# 0.3 s, 400 take 1.5 s, 800 take 10 s.
_MOST_LEVELS = 200


@dataclass(frozen=True, slots=True)
class _Account:
    """fvcore's figures as plain ints; keys are its names of modules, which begin with `model`."""

    params: dict[str, int]
    macs: dict[str, int]
    by_operator: dict[str, int]
    unsupported: dict[str, int]
    uncalled: tuple[str, ...]


def trace_with_fvcore(entry: Entry, names: Mapping[int, str], memory: ShapeMemory) -> Witness:
    """What fvcore counts, by module (inclusive) and operator; LeftOut when it cannot trace the model."""
    tree = walk_tree(entry)
    _check_names(tree)
    account = _count(entry, memory)
    if not entry.returned:
        raise LeftOut("the model returns no tensor that a trace could end in")
    paths = {name: names[id(module)] for name, module in entry.named_modules() if id(module) in names}
    rows = {path: WitnessRow(params=account.params.get(name, 0), macs=account.macs.get(name, 0)) for name, path in paths.items()}
    return Witness(
        totals=WitnessRow(params=account.params.get("", 0), macs=account.macs.get("", 0)),
        modules=rows,
        macs_by_operator=account.by_operator,
        unsupported=account.unsupported,
        uncalled=tuple(sorted(paths[name] for name in account.uncalled if name in paths)),
    )


def _check_names(tree: ModuleTree) -> None:
    if max(tree.depths) > _MOST_LEVELS:
        raise LeftOut(f"modules are nested more than {_MOST_LEVELS} levels deep")
    # the trace joins the names of nested calls by "/", and fvcore parts them again
    slashed = next((path for path in tree.paths if "/" in path), None)
    if slashed is not None:
        raise LeftOut(f"fvcore cannot tell modules apart when a name contains '/': {slashed.removeprefix('model.')}")


def _count(entry: Entry, memory: ShapeMemory) -> _Account:
    with guard_library():
        from fvcore.nn import FlopCountAnalysis, parameter_count

        analysis = FlopCountAnalysis(entry, entry.clone_inputs())
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        with _choose_mode(entry, memory):
            macs = analysis.by_module()
        return _Account(
            params=_to_ints(parameter_count(entry)),
            macs=_to_ints(macs),
            by_operator=_to_ints(analysis.by_operator()),
            unsupported=_to_ints(analysis.unsupported_ops()),
            uncalled=tuple(analysis.uncalled_modules()),
        )


def _choose_mode(entry: Entry, memory: ShapeMemory) -> AbstractContextManager[Any]:
    if any(isinstance(tensor, FakeTensor) for tensor in entry.list_tensors()):
        # sizes read inside the trace become fake tensors, which have no value to be read; torch does not survive all that follows
        raise LeftOut("fvcore cannot trace a model on fake tensors")
    return SuspendTracing(memory) if entry.is_on_meta() else nullcontext()


def _to_ints(counts: Mapping[str, Any]) -> dict[str, int]:
    return {str(key): int(count) for key, count in sorted(counts.items())}
