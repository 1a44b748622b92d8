"""Notices operators that no dispatch mode sees, because the model switches the modes off.

`torch.utils._python_dispatch._disable_current_modes`, `no_dispatch` and the guards below them hide everything that runs in their block. But
torch's functions still pass through the function modes, and modules are still called. There it is known whether the tape's mode is active.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nested._internal.nested_tensor import NestedTensor
from torch.overrides import TorchFunctionMode

from archaudit.measure.process_state import DispatchMode


class ObservedMode(DispatchMode):
    """A dispatch mode that knows whether it handles an operator now. Subclasses handle it in `handle`."""

    handling = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> Any:
        if any(issubclass(kind, NestedTensor) for kind in types):
            return NotImplemented  # torch runs it as operators on the values of all parts, which come here next
        self.handling += 1
        try:
            return self.handle(func, args, kwargs or {})
        finally:
            self.handling -= 1

    def handle(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs the operator."""
        raise NotImplementedError

    def is_hidden(self) -> bool:
        """Whether an operator that is called now would not reach this mode."""
        if self.handling:
            return False
        if torch._C._dispatch_tls_is_dispatch_key_excluded(torch._C.DispatchKey.Python):
            return True
        return not any(torch._C._get_dispatch_stack_at(place) is self for place in range(torch._C._len_torch_dispatch_stack()))


class HiddenCalls(TorchFunctionMode):
    """Collects the modules that call a function of torch while `mode` is hidden; `find_module` returns the running one."""

    def __init__(self, mode: ObservedMode, find_module: Callable[[], int]) -> None:
        super().__init__()
        self._mode = mode
        self._find_module = find_module
        self.modules: set[int] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.notice()
        return func(*args, **(kwargs or {}))

    def notice(self) -> None:
        """Adds the running module if the mode is hidden now."""
        if self._mode.is_hidden():
            self.modules.add(self._find_module())
