"""CONVENTIONS: other ways of counting. A claim that is false may be true under one of them, which the verdict then names.

All of them count the same model: people use these conventions without naming them. A number that is true of another model is false.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from archaudit.errors import CannotJudge
from archaudit.index import read_layer
from archaudit.judge.comparisons import COMPARISONS, Case, Finding
from archaudit.metrics.catalog import METRICS, measure_scope
from archaudit.metrics.selection import select_modules
from archaudit.schema import ModuleRecord, Profile, TensorRecord

Patterns = tuple[str, ...]


class Measurement(NamedTuple):
    """One of the two numbers of a case, with the profile and the scope that it was measured on."""

    value: float
    profile: Profile
    scope: Patterns


class Convention(NamedTuple):
    """Another way of counting some metrics. `recount` returns the number under it, or None where the convention does not apply.

    `is_part` marks one that leaves something out. It is not tried on an upper or lower bound: a part of a model is below any bound that
    the model just misses.
    """

    name: str
    metrics: tuple[str, ...]
    recount: Callable[[Measurement, Case], float | None]
    is_part: bool = False


def find_reading(case: Case, model: Measurement, other: Measurement | None) -> tuple[str, Finding] | None:
    """The first convention under which the case holds, with the finding under it; None if there is none."""
    for convention in CONVENTIONS:
        if case.metric.name not in convention.metrics or (convention.is_part and case.figure.relation):
            continue
        actual = convention.recount(model, case)
        other_number = convention.recount(other, case) if other is not None else None
        if actual is None or (other is not None and other_number is None) or (actual, other_number) == (case.actual, case.other):
            continue
        recounted = msgspec.structs.replace(case, actual=actual, other=other_number)
        try:
            finding = COMPARISONS[case.check.comparison](recounted)
        except CannotJudge:  # no ratio to nothing, for example
            continue
        if finding.holds:
            return convention.name, finding
    return None


def _count_macs(measurement: Measurement, case: Case) -> float | None:
    return measurement.value / 2


def _count_flops(measurement: Measurement, case: Case) -> float | None:
    return measurement.value * 2


def _count_in_other_steps(measurement: Measurement, case: Case) -> float | None:
    """The bytes as if the figure's prefix had the other meaning: 1024 in place of 1000 in `MB`, 1000 in place of 1024 in `MiB`."""
    scale = case.figure.scale
    for step, other in ((1000, 1024), (1024, 1000)):
        power = round(math.log(scale, step)) if scale > 1 else 0
        if power and step**power == scale:
            return measurement.value * (step / other) ** power
    return None


def _count_dense_weights(measurement: Measurement, case: Case) -> float | None:
    return _sum_tensors(measurement, case, lambda module, tensor: _is_dense_weight(module, tensor))


def _count_trainable(measurement: Measurement, case: Case) -> float | None:
    return _sum_tensors(measurement, case, lambda module, tensor: tensor.trainable)


def _count_used(measurement: Measurement, case: Case) -> float | None:
    return _sum_tensors(measurement, case, lambda module, tensor: tensor.used is not False)


def _count_fused(measurement: Measurement, case: Case) -> float | None:
    """Each batch norm after a convolution is folded into it: its weight and bias go, and a convolution without a bias gets one."""
    modules = select_modules(measurement.profile, measurement.scope)
    convolutions = {module.path: module for module in modules if (layer := read_layer(module)) is not None and layer.kernel}
    removed = 0.0
    for norm in modules:
        sources = {path for call in norm.calls for path in call.inputs_from}
        if not norm.type.startswith("BatchNorm") or len(sources) != 1 or not sources <= set(convolutions):
            continue
        convolution = convolutions[sources.pop()]
        size = sum(_measure_tensor(tensor, case) for tensor in norm.tensors if tensor.kind == "parameter" and tensor.tied_to is None)
        has_bias = any(tensor.name == "bias" for tensor in convolution.tensors)
        removed += size if has_bias else size / 2
    return measurement.value - removed


def _count_unfused(measurement: Measurement, case: Case) -> float | None:
    """For a model with biased convolutions and no norm at all: each bias is what is left of a norm with two parameters a channel."""
    if case.metric.name != "params" or any("Norm" in module.type for module in measurement.profile.modules):
        return None
    modules = [
        each for each in select_modules(measurement.profile, measurement.scope) if (layer := read_layer(each)) is not None and layer.kernel
    ]
    biases = [tensor for module in modules for tensor in module.tensors if tensor.name == "bias" and tensor.tied_to is None]
    return measurement.value + sum(_measure_tensor(tensor, case) for tensor in biases)


def _count_without_embeddings(measurement: Measurement, case: Case) -> float | None:
    return _sum_tensors(measurement, case, lambda module, tensor: not module.type.startswith("Embedding"))


def _is_dense_weight(module: ModuleRecord, tensor: TensorRecord) -> bool:
    return tensor.name.endswith("weight") and len(tensor.shape) >= 2 and not module.type.startswith("Embedding")


def _sum_tensors(measurement: Measurement, case: Case, wanted: Callable[[ModuleRecord, TensorRecord], bool]) -> float | None:
    """The number over the `wanted` parameters only; None where tensor shapes do not give the whole number."""
    modules = select_modules(measurement.profile, measurement.scope)
    parameters = [
        (module, tensor) for module in modules for tensor in module.tensors if tensor.kind == "parameter" and tensor.tied_to is None
    ]
    whole = sum(_measure_tensor(tensor, case) for _, tensor in parameters)
    if whole != measure_scope(measurement.profile, METRICS[case.metric.name], measurement.scope).value:
        return None  # packed or quantized: a tensor's shape is not its number of weights
    return sum(_measure_tensor(tensor, case) for module, tensor in parameters if wanted(module, tensor))


_BITS = re.compile(r"[a-z]+(8|16|32|64|128)\Z")


def _measure_tensor(tensor: TensorRecord, case: Case) -> int:
    elements = math.prod(tensor.shape)
    if case.metric.unit != "bytes":
        return elements
    bits = _BITS.match(tensor.dtype)
    return elements * int(bits[1]) // 8 if bits else 0


_PARAMS = ("params", "param_bytes")

CONVENTIONS = (
    Convention("MACs, called FLOPs", ("flops",), _count_macs),
    Convention("FLOPs, called MACs", ("macs",), _count_flops),
    Convention(
        "1024 for 1000, or 1000 for 1024",
        ("param_bytes", "activation_bytes", "moved_bytes", "peak_activation_bytes", "saved_bytes"),
        _count_in_other_steps,
    ),
    Convention("weights of convolutions and linear layers only, without norms and biases", _PARAMS, _count_dense_weights, True),
    Convention("trainable parameters only", _PARAMS, _count_trainable, True),
    Convention("without the parameters that the forward pass does not use", _PARAMS, _count_used, True),
    Convention("without embeddings", _PARAMS, _count_without_embeddings, True),
    Convention("after fusing norms into convolutions", _PARAMS, _count_fused, True),
    Convention("before fusing norms into convolutions", _PARAMS, _count_unfused, True),
)
