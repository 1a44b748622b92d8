"""The range of each value of the graph: what an activation, and the operators that keep a range, let through.

A range holds for all finite inputs. What is not known has the whole line. Where a value is written in place later, nothing is known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from archaudit.audit.graph import REARRANGING, ValueGraph
from archaudit.schema import ModuleRecord, Setting


class Range(NamedTuple):
    """All values from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf

    def contains(self, other: Range) -> bool:
        """Whether every value of the other is in this one."""
        return self.low <= other.low and other.high <= self.high

    def joined(self, other: Range) -> Range:
        """The smallest range with both."""
        return Range(min(self.low, other.low), max(self.high, other.high))


ANY = Range()
# A layer of torch, as the operator that it runs; and the settings that are the operator's arguments.
_LAYERS = {
    "ReLU": "relu",
    "ReLU6": "hardtanh",
    "Hardtanh": "hardtanh",
    "LeakyReLU": "leaky_relu",
    "PReLU": "prelu_kernel",
    "ELU": "elu",
    "CELU": "celu",
    "Sigmoid": "sigmoid",
    "Hardsigmoid": "hardsigmoid",
    "Softmax": "softmax",
    "Softmax2d": "softmax",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "LogSoftmax": "log_softmax",
    "LogSigmoid": "log_sigmoid",
    "Hardswish": "hardswish",
    "SiLU": "silu",
    "GELU": "gelu",
    "Threshold": "threshold",
    "MaxPool1d": "max_pool",
    "MaxPool2d": "max_pool",
    "MaxPool3d": "max_pool",
    "AvgPool1d": "avg_pool",
    "AvgPool2d": "avg_pool",
    "AvgPool3d": "avg_pool",
    "AdaptiveAvgPool1d": "adaptive_pool",
    "AdaptiveAvgPool2d": "adaptive_pool",
    "AdaptiveAvgPool3d": "adaptive_pool",
    "AdaptiveMaxPool1d": "adaptive_pool",
    "AdaptiveMaxPool2d": "adaptive_pool",
    "Identity": "detach",
    "Flatten": "reshape",
    "Unflatten": "reshape",
    "Dropout": "dropout",
    "Dropout1d": "dropout",
    "Dropout2d": "dropout",
    "Dropout3d": "dropout",
    "PixelShuffle": "reshape",
    "PixelUnshuffle": "reshape",
    "ChannelShuffle": "reshape",
    "ZeroPad2d": "pad",
}
_FIXED = {
    "sigmoid": Range(0, 1),
    "hardsigmoid": Range(0, 1),
    "softmax": Range(0, 1),
    "tanh": Range(-1, 1),
    "softplus": Range(0, math.inf),
    "exp": Range(0, math.inf),
    "log_softmax": Range(-math.inf, 0),
    "log_sigmoid": Range(-math.inf, 0),
    "log_sigmoid_forward": Range(-math.inf, 0),
    "linalg_vector_norm": Range(0, math.inf),
    "sin": Range(-1, 1),
    "cos": Range(-1, 1),
}
# The result has values of the operand only, or means of them.
_KEEPING = frozenset(
    (*REARRANGING, "mean", "amax", "amin", "max_pool", "adaptive_pool", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
) | {"max_pool1d", "max_pool2d", "max_pool3d", "adaptive_max_pool2d", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"}
_KEEPING |= {"upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "pixel_shuffle", "pixel_unshuffle", "index", "to", "flip"}
_WITH_ZERO = frozenset(("avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d"))  # zeros of the padding are averaged too
# Modes of a resize whose results are means of values; others overshoot.
_AVERAGING_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear")


class RangeFinder:
    """The ranges of the values of a graph, each computed once."""

    def __init__(self, graph: ValueGraph) -> None:
        self.graph = graph
        self._known: dict[int, Range] = {}
        for number in range(len(graph.nodes)):  # operands come first
            self._known[number] = ANY if number in graph.written else self._compute(number)

    def range_of(self, number: int | None) -> Range:
        """The range of what a node returns."""
        return ANY if number is None else self._known.get(number, ANY)

    def read_operation(self, number: int) -> tuple[str, dict[str, Setting]]:
        """The operator that a node runs, with its arguments: also where it is a call of a layer of torch. Empty for another call."""
        node = self.graph.nodes[number]
        if node.op != "call":
            return node.op, {**node.sizes, **node.arguments}
        layer = self.graph.layer(number)
        if layer is None:
            return "", {}
        if layer.type == "Upsample" and layer.settings.get("mode") in _AVERAGING_MODES:
            return "upsample_nearest2d", {}
        return _LAYERS.get(layer.type, ""), _read_arguments(layer)

    def _compute(self, number: int) -> Range:
        name, arguments = self.read_operation(number)
        given = self.range_of(self.graph.source(number))
        if name in _FIXED:
            return _FIXED[name]
        if name == "relu":
            return Range(max(0.0, given.low), max(0.0, given.high))
        if name in ("hardtanh", "clamp", "clamp_min", "clamp_max"):
            bounds = read_bounds(name, arguments)
            if bounds is None or len(self.graph.nodes[number].operands) > 1:
                return ANY
            return Range(min(max(given.low, bounds.low), bounds.high), max(min(given.high, bounds.high), bounds.low))
        if name == "abs":
            return Range(0.0 if given.low < 0 < given.high else min(abs(given.low), abs(given.high)), max(abs(given.low), abs(given.high)))
        if name == "neg":
            return Range(-given.high, -given.low)
        if name == "square" or (name == "pow" and isinstance(power := arguments.get("exponent"), int) and power % 2 == 0 and power > 0):
            return Range(0.0, math.inf)
        if name in ("leaky_relu", "prelu_kernel", "elu", "celu", "hardswish", "silu", "gelu", "threshold"):
            return Range(0.0, math.inf) if given.low >= 0 and name != "threshold" and not _is_scaled(name, arguments) else ANY
        if name in _WITH_ZERO:
            return given.joined(Range(0, 0))
        if name == "pad":
            return given.joined(Range(0, 0)) if not arguments.get("value") else ANY
        if name == "dropout":  # in training mode, the values that stay are scaled
            return Range(0.0 if given.low >= 0 else -math.inf, 0.0 if given.high <= 0 else math.inf)
        if name in _KEEPING:
            return given
        return self._combine(number, name, arguments)

    def _combine(self, number: int, name: str, arguments: dict[str, Setting]) -> Range:
        """The range of a result of several tensors, or of one and a number."""
        node = self.graph.nodes[number]
        ranges = [self.range_of(self.graph.source(number, place)) for place in range(len(node.operands))]
        other = arguments.get("other")
        if len(ranges) == 1 and isinstance(other, int | float) and not isinstance(other, bool):
            ranges.append(Range(other, other))
        if not ranges:
            return ANY
        if name in ("cat", "stack"):
            joined = ranges[0]
            for each in ranges[1:]:
                joined = joined.joined(each)
            return joined
        plain = len(ranges) == 2 and not arguments.get("alpha")
        if name == "add" and plain:
            return Range(ranges[0].low + ranges[1].low, ranges[0].high + ranges[1].high)
        if name == "mul" and plain and all(each.low >= 0 for each in ranges):
            return Range(0.0, math.inf)
        if name == "sum" and ranges[0].low >= 0:
            return Range(0.0, math.inf)
        return ANY


def _is_scaled(name: str, arguments: dict[str, Setting]) -> bool:
    return name == "elu" and (arguments.get("scale", 1) != 1 or arguments.get("input_scale", 1) != 1)


def _read_arguments(layer: ModuleRecord) -> dict[str, Setting]:
    arguments = dict(layer.settings)
    if layer.type == "ReLU6":
        arguments |= {"min_val": 0.0, "max_val": 6.0}
    return arguments


def read_bounds(name: str, arguments: dict[str, Setting]) -> Range | None:
    """The bounds of an operator that limits its operand to a range; None for any other, and where they are tensors."""
    low, high = ("min_val", "max_val") if name == "hardtanh" else ("min", "max")
    if name == "relu":
        return Range(0.0, math.inf)
    if name not in ("hardtanh", "clamp", "clamp_min", "clamp_max"):
        return None
    found = [arguments.get(key) for key in (low, high)]
    if any(each is not None and (isinstance(each, bool) or not isinstance(each, int | float)) for each in found) or found == [None, None]:
        return None
    lowest, highest = (each if isinstance(each, int | float) else None for each in found)
    return Range(-math.inf if lowest is None else lowest, math.inf if highest is None else highest)
