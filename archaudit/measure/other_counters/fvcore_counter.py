"""fvcore as a counter: `FlopCountAnalysis` traces the model with torch.jit and counts the operators that it knows.

torch.jit cannot trace a model on the meta device, for two reasons. The kernels of the meta device are Python functions; during a trace
the sizes that they read are traced 0-d tensors instead of ints, so they raise ("cond must be a bool"). And `aten::convolution` is not
written to a trace: on the CPU its kernel calls `aten::_convolution`, which is written, but on meta no kernel does. `SuspendTracing` removes
the tracing state while a kernel runs, and calls `_convolution` in place of `convolution`. It uses private functions of torch; if one is
missing, fvcore is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensor

from archaudit.measure.module_tree import ModuleTree, walk_tree
from archaudit.measure.other_counters.isolation import CounterSkippedError, FlatModel, guard_library
from archaudit.measure.process_state import DispatchMode
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.schema import CounterResult, CounterRow

_NEEDED = (
    "_get_tracing_state",
    "_set_tracing_state",
    "_dispatch_key_parse",
    "_dispatch_tls_is_dispatch_key_excluded",
    "_dispatch_tls_set_dispatch_key_excluded",
)

# The additional arguments of _convolution: flags that select a kernel of cuDNN.
_FLAGS = {"benchmark": False, "deterministic": False, "cudnn_enabled": False, "allow_tf32": False}
_CONVOLUTION_ARGUMENTS = 9


class SuspendTracing(DispatchMode):
    """Runs every kernel while the trace is suspended, and records each convolution as the operator that fvcore knows.

    The constructor raises CounterSkippedError if this version of torch lacks a function that is needed.
    """

    def __init__(self, cache: ShapeCache) -> None:
        super().__init__()
        self._cache = cache
        functions = {name: getattr(torch._C, name, None) for name in _NEEDED}
        missing = [name for name, function in functions.items() if function is None]
        if missing:
            raise CounterSkippedError(f"torch {torch.__version__} cannot trace on the meta device: no torch._C.{missing[0]}")
        self._get_state: Any = functions["_get_tracing_state"]
        self._set_state: Any = functions["_set_tracing_state"]
        self._is_excluded: Any = functions["_dispatch_tls_is_dispatch_key_excluded"]
        self._set_excluded: Any = functions["_dispatch_tls_set_dispatch_key_excluded"]
        self._tracer: Any = torch._C._dispatch_key_parse("Tracer")

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._convolution.default:
            # it is already in the trace; in torch 2.11 it has no kernel for the meta device, while convolution has one
            func, args = torch.ops.aten.convolution.default, args[:_CONVOLUTION_ARGUMENTS]
            kwargs = {name: value for name, value in kwargs.items() if name not in _FLAGS}
            state = self._get_state()
            return self._cache.run(func, args, kwargs) if state is None else self._run_untraced(state, func, args, kwargs)
        state = self._get_state()
        if state is None:  # inside an operator that is already in the trace
            return self._cache.run(func, args, kwargs)
        # The dispatcher has passed the tracer key and excludes it here. It has to be included to write to the trace, and to be switched.
        excluded = self._is_excluded(self._tracer)
        self._set_excluded(self._tracer, False)
        try:
            if func is torch.ops.aten.convolution.default:
                # shapes do not depend on the four flags
                with self:  # the call comes here once more below the trace, where the result may be cached
                    return torch.ops.aten._convolution.default(*args, **kwargs, **_FLAGS)
            return self._run_untraced(state, func, args, kwargs)
        finally:
            self._set_excluded(self._tracer, excluded)

    def _run_untraced(self, state: Any, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._set_state(None)
        try:
            return self._cache.run(func, args, kwargs)
        finally:
            self._set_state(state)


# --- the counter ---


# fvcore adds every operator to all modules that contain it, and the trace keeps the Python stack of every operator: 200 nested modules
# take 0.3 s, 400 take 1.5 s, 800 take 10 s.
_MOST_LEVELS = 200


@dataclass(frozen=True, slots=True)
class _Counts:
    """The figures of fvcore as plain ints; keys are its names of modules, which begin with `model`."""

    params: dict[str, int]
    macs: dict[str, int]
    by_operator: dict[str, int]
    unsupported: dict[str, int]
    uncalled: tuple[str, ...]


def count_with_fvcore(flat_model: FlatModel, names: Mapping[int, str], cache: ShapeCache) -> CounterResult:
    """The counts of fvcore by module (with all modules inside it) and by operator. Raises CounterSkippedError if the trace fails."""
    tree = walk_tree(flat_model)
    _check_names(tree)
    counts = _count(flat_model, cache)
    if not flat_model.returned:
        raise CounterSkippedError("the model returns no tensor, which a trace needs")
    paths = {name: names[id(module)] for name, module in flat_model.named_modules() if id(module) in names}
    rows = {path: CounterRow(params=counts.params.get(name, 0), macs=counts.macs.get(name, 0)) for name, path in paths.items()}
    return CounterResult(
        totals=CounterRow(params=counts.params.get("", 0), macs=counts.macs.get("", 0)),
        modules=rows,
        macs_by_operator=counts.by_operator,
        unsupported=counts.unsupported,
        uncalled=tuple(sorted(paths[name] for name in counts.uncalled if name in paths)),
    )


def _check_names(tree: ModuleTree) -> None:
    if max(tree.depths) > _MOST_LEVELS:
        raise CounterSkippedError(f"modules are nested more than {_MOST_LEVELS} levels deep")
    # the trace joins the names of nested calls with "/", and fvcore splits them again
    slashed = next((path for path in tree.paths if "/" in path), None)
    if slashed is not None:
        raise CounterSkippedError(f"fvcore confuses modules if a name contains '/': {slashed.removeprefix('model.')}")


def _count(flat_model: FlatModel, cache: ShapeCache) -> _Counts:
    with guard_library():
        from fvcore.nn import FlopCountAnalysis, parameter_count

        analysis = FlopCountAnalysis(flat_model, flat_model.clone_inputs())
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
        with _choose_mode(flat_model, cache):
            macs = analysis.by_module()
        return _Counts(
            params=_to_ints(parameter_count(flat_model)),
            macs=_to_ints(macs),
            by_operator=_to_ints(analysis.by_operator()),
            unsupported=_to_ints(analysis.unsupported_ops()),
            uncalled=tuple(analysis.uncalled_modules()),
        )


def _choose_mode(flat_model: FlatModel, cache: ShapeCache) -> AbstractContextManager[Any]:
    if any(isinstance(tensor, FakeTensor) for tensor in flat_model.list_tensors()):
        # sizes that are read in the trace become fake tensors without a value, and torch may crash on them
        raise CounterSkippedError("fvcore cannot trace a model on fake tensors")
    return SuspendTracing(cache) if flat_model.is_on_meta() else nullcontext()


def _to_ints(counts: Mapping[str, Any]) -> dict[str, int]:
    return {str(key): int(count) for key, count in sorted(counts.items())}
