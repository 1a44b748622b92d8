"""Lets torch.jit trace a model on the meta device, which it cannot do by itself; needed by fvcore, which counts over such a trace.

Two things stand in the way. Kernels of the meta device are Python functions; while a trace runs, the sizes that they read are
traced 0-d tensors instead of ints, and they raise ("cond must be a bool"). And `aten::convolution` is not written into a trace: on
the CPU its kernel calls `aten::_convolution`, which is, but on meta no kernel ever does. The mode here takes the tracing state
away while a kernel runs, and calls `_convolution` where `convolution` arrives. All of it is torch's private ground, so every
function is looked for first, and one that is missing is a reason to go without.
"""

from __future__ import annotations

from typing import Any

import torch

from archaudit.measure.dispatch import DispatchMode
from archaudit.measure.tape.shape_memory import ShapeMemory
from archaudit.measure.witnesses.isolation import LeftOut

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
