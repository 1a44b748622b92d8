"""Dead compute: operators whose results reach no output of the model.

Each operator of the pass has the operators whose results it read as its sources. What is alive after the forward pass is an output: the
returned tensors in any container, buffers and caches that were written in place, values that hooks kept. Values that Python read (a branch
on a tensor, `.item()`, `.tolist()`) are outputs too. All operators that no output leads back to are dead.

The sources are kept for each memory (storage), not for each element, so an operator may count as used although the elements that it wrote
are not. None is dead that an output needs.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from archaudit.measure.tape.memory import Traits, read_traits
from archaudit.measure.tensors import list_tensors_in

_PLAIN_TENSORS = (torch.Tensor, nn.Parameter)

# Functions through which Python reads the values of a CPU tensor. They run no operator.
_READ_VALUES = frozenset(
    getattr(torch.Tensor, name) for name in ("tolist", "numpy", "__array__", "__dlpack__", "data_ptr") if hasattr(torch.Tensor, name)
)


class OperatorUses:
    """Records which operators read the results of which others. It keeps no tensor alive.

    `reads_values`: Python, or the shape of a result, depends on values that an operator computed; `reads_weights`: they were computed from
    parameters.
    """

    def __init__(self) -> None:
        self._sources: list[tuple[int, ...]] = []
        self._writers: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}
        self._outputs: set[int] = set()
        self._weighted: set[int] = set()  # the operators whose results depend on parameters
        self._weights: set[int] = set()  # the memory of parameters
        self.reads_values = False
        self.reads_weights = False

    def observe(self, operator: Any, inputs: list[torch.Tensor], outputs: list[torch.Tensor], written: list[torch.Tensor]) -> None:
        """Takes the operators of the pass one after the other; `written` are the tensors that it wrote in place."""
        number = len(self._sources)
        traits = read_traits(operator)
        # a copy into a part of a storage keeps the rest of it
        replaced = {id(each) for each in written if traits.replaces and _covers_storage(each)}
        sources = self._list_writers(each for each in inputs if id(each) not in replaced)
        self._sources.append(sources)
        if not self._weighted.isdisjoint(sources) or any(map(self._is_weight, inputs)):
            self._weighted.add(number)
        if traits.is_view and outputs:
            shared = [_find_storage(tensor) for tensor in inputs]
            # some return a copy in inference mode, where they are not decomposed: `reshape`, `contiguous`
            outputs = [tensor for tensor in outputs if not any(_find_storage(tensor) is storage for storage in shared)]
        for tensor in (*outputs, *written):
            self._record_writer(tensor, number)
        if traits.is_view:
            return
        if not (outputs or written) or (_returns_values(operator) and _depends_on_values(traits, inputs)):
            self._outputs.add(number)
            if sources and _returns_values(operator):
                self._note_read(sources)

    def read_value(self, value: object) -> None:
        """Python reads the values of the tensors in `value`."""
        writers = self._list_writers(list_tensors_in(value))
        self._outputs.update(writers)
        self._note_read(writers)

    def _note_read(self, writers: tuple[int, ...]) -> None:
        self.reads_values |= bool(writers)
        self.reads_weights |= not self._weighted.isdisjoint(writers)

    def find_dead(self, returned: object, is_counted: Callable[[int], bool]) -> set[int]:
        """The numbers of the dead operators, in the order of the calls of `observe`. Call it while the model's result is alive.

        `returned` are the model's result and its tensors. What else is alive may be kept by a hook, but also by a reference cycle: torch's
        kernels in Python leave some at their first call. So where `is_counted` operators depend on that, cycles are collected first.
        """
        dead = self._find_unreached(self._list_alive())
        reached_alive_only = self._find_unreached(self._list_writers(list_tensors_in(returned))) - dead
        if any(map(is_counted, reached_alive_only)):
            gc.collect()
            dead = self._find_unreached(self._list_alive())
        return dead

    def _list_alive(self) -> list[int]:
        return [number for reference, number in self._writers.values() if reference() is not None]

    def _find_unreached(self, outputs: Iterable[int]) -> set[int]:
        used = {*self._outputs, *outputs}
        pending = list(used)
        while pending:
            for source in self._sources[pending.pop()]:
                if source not in used:
                    used.add(source)
                    pending.append(source)
        return set(range(len(self._sources))) - used

    def _is_weight(self, tensor: torch.Tensor) -> bool:
        """Whether it is a parameter or a view of one."""
        storage = _find_storage(tensor)
        if storage is None:
            return isinstance(tensor, nn.Parameter)
        if isinstance(tensor, nn.Parameter):
            self._weights.add(storage._cdata)
        return storage._cdata in self._weights

    def _list_writers(self, tensors: Any) -> tuple[int, ...]:
        found = []
        for tensor in tensors:
            storage = _find_storage(tensor)
            known = self._writers.get(storage._cdata) if storage is not None else None
            if known is not None and known[0]() is storage:
                found.append(known[1])
        return tuple(found)

    def _record_writer(self, tensor: torch.Tensor, number: int) -> None:
        storage = _find_storage(tensor)
        if storage is None:
            self._outputs.add(number)  # its users cannot be followed
            return
        self._writers[storage._cdata] = (weakref.ref(storage), number)


class ValueReads(TorchFunctionMode):
    """While open, passes the tensors whose values Python reads to `uses`."""

    def __init__(self, uses: OperatorUses) -> None:
        super().__init__()
        self._uses = uses

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _READ_VALUES:
            self._uses.read_value(args[:1])
        return func(*args, **(kwargs or {}))


def _find_storage(tensor: torch.Tensor) -> torch.UntypedStorage | None:
    """The memory of a tensor; None for a layout without one storage, and for a tensor that is made of others."""
    if type(tensor) not in _PLAIN_TENSORS and hasattr(tensor, "__tensor_flatten__"):
        return None
    try:
        return tensor.untyped_storage()
    except (NotImplementedError, RuntimeError):
        return None


def _covers_storage(tensor: torch.Tensor) -> bool:
    storage = _find_storage(tensor)
    return storage is not None and tensor.is_contiguous() and tensor.numel() * tensor.element_size() >= storage.nbytes()


@cache
def _returns_values(operator: Any) -> bool:
    """Whether values of the arguments decide a shape or a number that Python gets."""
    tags = getattr(operator, "tags", ())
    return torch.Tag.dynamic_output_shape in tags or torch.Tag.data_dependent_output in tags


def _depends_on_values(traits: Traits, inputs: list[torch.Tensor]) -> bool:
    """Of the operators that select elements, only those with masks return a shape that depends on values."""
    return traits.name != "aten::index" or any(tensor.dtype in (torch.bool, torch.uint8) for tensor in inputs[1:])
