"""Lets torch.jit trace a model on the meta device, which it cannot do by itself; needed by fvcore, which counts over such a trace.

Two things stand in the way. Kernels of the meta device are Python functions; while a trace runs, the sizes that they read are
traced 0-d tensors instead of ints, and they raise ("cond must be a bool"). And `aten::convolution` is not written into a trace: on
the CPU its kernel calls `aten::_convolution`, which is, but on meta no kernel ever does. The mode here takes the tracing state
away while a kernel runs, and calls `_convolution` where `convolution` arrives. All of it is torch's private ground, so every
function is looked for first, and one that is missing is a reason to go without.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from archaudit.measure.dispatch import DispatchMode
from archaudit.measure.structure.tree import ModuleTree, walk_tree
from archaudit.measure.tape.shape_cache import ShapeMemory
from archaudit.measure.witnesses.isolation import Entry, LeftOut, guard_library
from archaudit.schema import Witness, WitnessRow

_NEEDED = (
    "_get_tracing_state",
    "_set_tracing_state",
    "_dispatch_key_parse",
    "_dispatch_tls_is_dispatch_key_excluded",
    "_dispatch_tls_set_dispatch_key_excluded",
)

# What _convolution takes beyond convolution: flags that choose between kernels of cuDNN.
_FLAGS = {"benchmark": False, "deterministic": False, "cudnn_enabled": False, "allow_tf32": False}
_CONVOLUTION_ARGUMENTS = 9


class SuspendTracing(DispatchMode):
    """Runs every kernel with the trace suspended, and records each convolution as fvcore knows it.

    Raises LeftOut, on construction, when this torch lacks what that takes.
    """

    def __init__(self, memory: ShapeMemory) -> None:
        super().__init__()
        self._memory = memory
        functions = {name: getattr(torch._C, name, None) for name in _NEEDED}
        missing = [name for name, function in functions.items() if function is None]
        if missing:
            raise LeftOut(f"torch {torch.__version__} cannot trace on the meta device: no torch._C.{missing[0]}")
        self._get_state: Any = functions["_get_tracing_state"]
        self._set_state: Any = functions["_set_tracing_state"]
        self._is_excluded: Any = functions["_dispatch_tls_is_dispatch_key_excluded"]
        self._set_excluded: Any = functions["_dispatch_tls_set_dispatch_key_excluded"]
        self._tracer: Any = torch._C._dispatch_key_parse("Tracer")

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._convolution.default:
            # it is in the trace by now; its own kernel has no meta device in older torch (2.11), while that of convolution has
            func, args = torch.ops.aten.convolution.default, args[:_CONVOLUTION_ARGUMENTS]
            kwargs = {name: value for name, value in kwargs.items() if name not in _FLAGS}
            state = self._get_state()
            return self._memory.run(func, args, kwargs) if state is None else self._run_untraced(state, func, args, kwargs)
        state = self._get_state()
        if state is None:  # inside an operator that is already in the trace
            return self._memory.run(func, args, kwargs)
        # The dispatcher came past the tracer to get here, and keeps it excluded: it must be let in to write, and also to be switched.
        excluded = self._is_excluded(self._tracer)
        self._set_excluded(self._tracer, False)
        try:
            if func is torch.ops.aten.convolution.default:
                # the four flags choose between kernels of cuDNN; shapes do not depend on them
                with self:  # below the trace, it comes here once more, and may be remembered
                    return torch.ops.aten._convolution.default(*args, **kwargs, **_FLAGS)
            return self._run_untraced(state, func, args, kwargs)
        finally:
            self._set_excluded(self._tracer, excluded)

    def _run_untraced(self, state: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._set_state(None)
        try:
            return self._memory.run(func, args, kwargs)
        finally:
            self._set_state(state)


# --- fvcore as a witness: `FlopCountAnalysis`, which traces the model with torch.jit and counts the operators that it knows ---


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
