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


Recount = Callable[[Measurement, "Case"], float | None]


class Convention(NamedTuple):
    """Another way of counting some metrics. `recount` returns the number under it, or None where the convention does not apply.

    `is_part` marks one that leaves something out. It is not tried on an upper or lower bound: a part of a model is below any bound that
    the model just misses. `decides` is false for a convention that explains a false figure and does not excuse it: the figure stays false.
    """

    name: str
    metrics: tuple[str, ...]
    recount: Recount
    is_part: bool = False
    decides: bool = True


def find_reading(case: Case, model: Measurement, other: Measurement | None) -> tuple[Convention, Finding] | None:
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
            return convention, finding
    return _try_other_direction(case)


def _try_other_direction(case: Case) -> tuple[Convention, Finding] | None:
    """A ratio or percentage that is true of the change from this model to the other: "119 % more" where 54 % less was meant to be read.

    A figure with a sign says its direction: `+54%` for a decrease is false.
    """
    if case.other is None or case.figure.relation or case.figure.is_signed or case.check.comparison not in ("ratio", "percent"):
        return None
    turned = (
        msgspec.structs.replace(case, actual=case.other, other=case.actual)
        if case.check.comparison == "ratio"
        else msgspec.structs.replace(case, actual=2 * case.other - case.actual)
    )
    try:
        finding = COMPARISONS[case.check.comparison](turned)
    except CannotJudge:
        return None
    if not finding.holds:
        return None
    if case.check.comparison == "percent":
        change = 100 * (case.actual - case.other) / case.other
        finding = msgspec.structs.replace(finding, actual_text=f"{change:.3f} % ({case.other:,} → {case.actual:,})")
    return _OTHER_DIRECTION, finding


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


def _truncate(measurement: Measurement, case: Case) -> float | None:
    """The number cut off after the digits of the figure: 25.56M is 25M."""
    step = case.figure.high - case.figure.low
    if step <= 0 or case.figure.is_range or case.figure.approximate or case.figure.relation:
        return None
    return math.floor(measurement.value / step + _ROUNDING) * step


def _then_truncate(recount: Recount) -> Recount:
    def recount_and_truncate(measurement: Measurement, case: Case) -> float | None:
        value = recount(measurement, case)
        return None if value is None else _truncate(measurement._replace(value=value), case)

    return recount_and_truncate


def _count_by_fvcore(measurement: Measurement, case: Case) -> float | None:
    """fvcore's own number, where it was measured: multiply-accumulates and some operations of norms."""
    counter = measurement.profile.other_counters.get("fvcore")
    return counter.totals.macs if counter is not None and measurement.scope == ("",) else None


def _halve_then(recount: Recount) -> Recount:
    def recount_macs(measurement: Measurement, case: Case) -> float | None:
        return recount(measurement._replace(value=measurement.value / 2), case)

    return recount_macs


def _count_without_classifier(measurement: Measurement, case: Case) -> float | None:
    """Without the last layer, where that is a linear layer: encoders are published without it."""
    if measurement.scope != ("",):
        return None
    layers = [module for module in measurement.profile.modules if module.own.params and module.calls]
    last = max(layers, key=lambda module: max(call.order for call in module.calls), default=None)
    if last is None or (layer := read_layer(last)) is None or layer.kernel or len(layers) == 1:
        return None
    return measurement.value - (case.metric.of_cost(last.total) or 0) if case.metric.of_cost is not None else None


def _count_norms(measurement: Measurement, case: Case) -> float | None:
    """Two operations for each element of a norm's output."""
    return _add_elements(measurement, lambda module: 2 if _NORM.search(module.type) else 0)


def _count_all_layers(measurement: Measurement, case: Case) -> float | None:
    """One operation for each element of an activation and of a bias, and for each input of a pooling layer."""

    def weigh(module: ModuleRecord) -> int:
        if _NORM.search(module.type):
            return 3 if module.type.endswith("Act2d") else 2
        if _ACTIVATION.search(module.type):
            return 1
        return int(any(tensor.name == "bias" for tensor in module.tensors) and read_layer(module) is not None)

    count = _add_elements(measurement, weigh)
    if count is None:
        return None
    pools = [module for module in select_modules(measurement.profile, measurement.scope) if "Pool" in module.type]
    return count + sum(math.prod(shape) for module in pools for call in module.calls for shape in call.inputs)


def _add_elements(measurement: Measurement, weigh: Callable[[ModuleRecord], int]) -> float | None:
    """The number plus a weight for each element of the outputs of modules; None if no module has a weight."""
    modules = select_modules(measurement.profile, measurement.scope)
    added = sum(weigh(module) * math.prod(shape) for module in modules if weigh(module) for call in module.calls for shape in call.outputs)
    return measurement.value + added if added else None


_NORM = re.compile(r"Norm")
_ACTIVATION = re.compile(r"ReLU|GELU|SiLU|Sigmoid|Tanh|Swish|Hardswish|ELU|Mish|Softmax|Softplus")
_ROUNDING = 1e-9  # of a step: a division that should be whole can be slightly less

_PARAMS = ("params", "param_bytes")
_TRUNCATED = "truncated, not rounded"
_WITHOUT_CLASSIFIER = "without the classifier"
_AS_THOP = "with norms, as thop counts"
_AS_PTFLOPS = "with norms, activations, pooling and biases, as ptflops and mmcv count"

_OTHER_DIRECTION = Convention("in the other direction: an increase, not a decrease", (), lambda measurement, case: None)

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
    *(
        Convention(name, metrics, recount, is_part, decides=False)
        for name, metrics, recount, is_part in (
            (_TRUNCATED, ("params", "macs", "flops"), _truncate, False),
            (f"MACs, called FLOPs; {_TRUNCATED}", ("flops",), _then_truncate(_count_macs), False),
            (_WITHOUT_CLASSIFIER, ("params", "macs"), _count_without_classifier, True),
            (f"{_WITHOUT_CLASSIFIER}; {_TRUNCATED}", ("params", "macs"), _then_truncate(_count_without_classifier), True),
            ("as fvcore counts", ("macs",), _count_by_fvcore, False),
            (_AS_THOP, ("macs",), _count_norms, False),
            (_AS_PTFLOPS, ("macs",), _count_all_layers, False),
            ("MACs, called FLOPs; as fvcore counts", ("flops",), _count_by_fvcore, False),
            (f"MACs, called FLOPs; {_AS_THOP}", ("flops",), _halve_then(_count_norms), False),
            (f"MACs, called FLOPs; {_AS_PTFLOPS}", ("flops",), _halve_then(_count_all_layers), False),
        )
    ),
)
