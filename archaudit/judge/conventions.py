"""CONVENTIONS: the other readings of a figure. A claim that is false as it stands may be true under one, which is then named.

Only conventions, that is, other ways of counting the same model, which people follow without saying so. A number that would be true of
another model is false.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from archaudit.index import read_layer
from archaudit.judge.comparisons import COMPARISONS, Case, Finding
from archaudit.metrics.catalog import METRICS, measure_scope, select_modules
from archaudit.schema import ModuleRecord, Profile, TensorRecord

Patterns = tuple[str, ...]


class Side(NamedTuple):
    """One of the two numbers of a case: as measured, and of what."""

    value: float
    profile: Profile
    scope: Patterns


class Convention(NamedTuple):
    """Another way of counting the metrics named: from a side to its number then; None where it says nothing else than ours.

    `is_part` says that it leaves something out. A bound is not tried so: a part of a model is below any bound that the model just misses.
    """

    name: str
    metrics: tuple[str, ...]
    recount: Callable[[Side, Case], float | None]
    is_part: bool = False


def find_reading(case: Case, sides: tuple[Side, Side | None]) -> tuple[str, Finding] | None:
    """The first convention under which the case holds, and what it finds; None where it is false under every one."""
    for convention in CONVENTIONS:
        if case.metric.name not in convention.metrics or (convention.is_part and case.figure.relation):
            continue
        actual = convention.recount(sides[0], case)
        other = convention.recount(sides[1], case) if sides[1] is not None else None
        if actual is None or (sides[1] is not None and other is None) or (actual, other) == (case.actual, case.other):
            continue
        recounted = msgspec.structs.replace(case, actual=actual, other=other)
        try:
            finding = COMPARISONS[case.check.comparison](recounted)
        except ValueError:
            continue
        if finding.holds:
            return convention.name, finding
    return None


def _count_macs(side: Side, case: Case) -> float | None:
    return side.value / 2


def _count_flops(side: Side, case: Case) -> float | None:
    return side.value * 2


def _count_in_other_steps(side: Side, case: Case) -> float | None:
    """The measured bytes scaled so that the figure's prefix means the other thing: 1024 for 1000 in `MB`, 1000 for 1024 in `MiB`."""
    scale = case.figure.scale
    for step, other in ((1000, 1024), (1024, 1000)):
        power = round(math.log(scale, step)) if scale > 1 else 0
        if power and step**power == scale:
            return side.value * (step / other) ** power
    return None


def _count_dense_weights(side: Side, case: Case) -> float | None:
    return _sum_tensors(side, case, lambda module, tensor: _is_dense_weight(module, tensor))


def _count_trainable(side: Side, case: Case) -> float | None:
    return _sum_tensors(side, case, lambda module, tensor: tensor.trainable)


def _count_used(side: Side, case: Case) -> float | None:
    return _sum_tensors(side, case, lambda module, tensor: tensor.used is not False)


def _count_fused(side: Side, case: Case) -> float | None:
    """Each norm behind a convolution becomes part of it: its weight and bias go, and a convolution without a bias gets one."""
    modules = select_modules(side.profile, side.scope)
    convolutions = {module.path: module for module in modules if (layer := read_layer(module)) is not None and layer.kernel}
    gone = 0.0
    for norm in modules:
        sources = {path for call in norm.calls for path in call.inputs_from}
        if not norm.type.startswith("BatchNorm") or len(sources) != 1 or not sources <= set(convolutions):
            continue
        convolution = convolutions[sources.pop()]
        size = sum(_measure_tensor(tensor, case) for tensor in norm.tensors if tensor.kind == "parameter" and tensor.tied_to is None)
        has_bias = any(tensor.name == "bias" for tensor in convolution.tensors)
        gone += size if has_bias else size / 2
    return side.value - gone


def _count_unfused(side: Side, case: Case) -> float | None:
    """Of a model that has convolutions with biases and no norm at all: each bias was a norm's two parameters for each channel."""
    if case.metric.name != "params" or any("Norm" in module.type for module in side.profile.modules):
        return None
    modules = [each for each in select_modules(side.profile, side.scope) if (layer := read_layer(each)) is not None and layer.kernel]
    biases = [tensor for module in modules for tensor in module.tensors if tensor.name == "bias" and tensor.tied_to is None]
    return side.value + sum(_measure_tensor(tensor, case) for tensor in biases)


def _count_without_embeddings(side: Side, case: Case) -> float | None:
    return _sum_tensors(side, case, lambda module, tensor: not module.type.startswith("Embedding"))


def _is_dense_weight(module: ModuleRecord, tensor: TensorRecord) -> bool:
    return tensor.name.endswith("weight") and len(tensor.shape) >= 2 and not module.type.startswith("Embedding")


def _sum_tensors(side: Side, case: Case, wanted: Callable[[ModuleRecord, TensorRecord], bool]) -> float | None:
    """What is left of the side's number without the parameters that are not wanted; None where the tensors do not say."""
    modules = select_modules(side.profile, side.scope)
    parameters = [
        (module, tensor) for module in modules for tensor in module.tensors if tensor.kind == "parameter" and tensor.tied_to is None
    ]
    whole = sum(_measure_tensor(tensor, case) for _, tensor in parameters)
    if whole != measure_scope(side.profile, METRICS[case.metric.name], side.scope).value:
        return None  # packed or quantized: elements are not what the shapes say
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
