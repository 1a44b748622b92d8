"""What the rules look at: a profile, what its built model shows besides, and the graph of its values, each computed once."""

from __future__ import annotations

from functools import cached_property

from msgspec import UnsetType

from archaudit.audit.graph import ValueGraph, build_value_graph
from archaudit.audit.value_ranges import RangeFinder
from archaudit.errors import CannotJudge
from archaudit.index import ModuleIndex, index_modules
from archaudit.index.modules import join_name
from archaudit.schema import Cost, Inspection, Profile, TensorRecord


class Evidence:
    """The facts on one model. What is not known raises CannotJudge, with the reason."""

    def __init__(self, profile: Profile, inspection: Inspection | None = None) -> None:
        self.profile = profile
        self.index: ModuleIndex = index_modules(profile)
        self._inspection = inspection

    @cached_property
    def graph(self) -> ValueGraph:
        """The values of the forward pass."""
        return build_value_graph(self.profile)

    @cached_property
    def ranges(self) -> RangeFinder:
        """The ranges of the values."""
        return RangeFinder(self.graph)

    def is_float(self, number: int) -> bool:
        """Whether a value comes from a layer with weights, which are floats, along the first operands."""
        current: int | None = number
        while current is not None:
            module = self.graph.module(current)
            if module is not None and any(tensor.dtype.startswith(("float", "bfloat")) for tensor in module.tensors):
                return True
            current = self.graph.source(current)
        return False

    @property
    def is_inspected(self) -> bool:
        """Whether the built model was inspected."""
        return self._inspection is not None

    @property
    def dead_flops(self) -> dict[str, int]:
        """The FLOPs whose results reach no output, by the path of the module that runs them."""
        if isinstance(self.profile.dead_flops, UnsetType):
            raise CannotJudge("which results reach an output was not observed")
        return self.profile.dead_flops

    @property
    def inspection(self) -> Inspection:
        """What the built model shows."""
        if self._inspection is None:
            raise CannotJudge("the rule needs the built model, and there is only its saved profile")
        return self._inspection

    @property
    def trained(self) -> Inspection:
        """The same, with a forward pass in training mode."""
        if not self.inspection.trained:
            raise CannotJudge(f"the rule needs a forward pass in training mode: {self.inspection.reason}")
        return self.inspection

    def require_run(self) -> None:
        """Raises CannotJudge if the forward pass was not recorded."""
        if not any(module.calls for module in self.profile.modules):
            raise CannotJudge("the forward pass was not recorded")

    @cached_property
    def _read(self) -> frozenset[str]:
        """The full names of tensors that the forward pass reads, under every name."""
        names = {name for name, (_, tensor) in self.index.tensors.items() if tensor.used}
        for group in self.profile.ties:
            if names.intersection(group):
                names.update(group)
        return frozenset(names)

    def is_read(self, name: str) -> bool:
        """Whether the pass in eval mode or in training mode reads the tensor with this full name."""
        return name in self._read or name in self.trained.read_in_training

    def is_called(self, path: str) -> bool:
        """Whether the pass in eval mode or in training mode calls the module."""
        return bool(self.index[path].calls) or path in self.trained.called_in_training


def cost_of_tensors(*tensors: TensorRecord) -> Cost:
    """The parameters, or the elements of buffers, of tensors that count here."""
    params = buffers = trainable = size = 0
    for tensor in tensors:
        if tensor.tied_to is not None:
            continue
        elements = tensor.logical_elements if tensor.logical_elements is not None else _count_elements(tensor)
        if tensor.kind == "parameter":
            params += elements
            trainable += elements if tensor.trainable else 0
            size += elements * size_of_dtype(tensor.dtype)
        else:
            buffers += elements
    return Cost(params=params, trainable_params=trainable, buffers=buffers, param_bytes=size)


def _count_elements(tensor: TensorRecord) -> int:
    count = 1
    for size in tensor.shape:
        count *= size
    return count


_BYTES = {
    "float64": 8,
    "int64": 8,
    "complex64": 8,
    "complex128": 16,
    "float16": 2,
    "bfloat16": 2,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "bool": 1,
}


def size_of_dtype(dtype: str) -> int:
    """The bytes of one element; those of the 8-bit floats too."""
    return _BYTES.get(dtype, 1 if dtype.startswith("float8") else 4)


def full_name(path: str, tensor: TensorRecord) -> str:
    """The key of a tensor in the state dict."""
    return join_name(path, tensor.name)
