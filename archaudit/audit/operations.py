"""What a node of the value graph computes, as a layer or as a norm: the same for a call of a layer of torch and for its function.

A layer or norm of another library is read by the operators that it runs, with the names of the parameters that these take.
"""

from __future__ import annotations

from typing import NamedTuple

from archaudit.audit.graph import ValueGraph
from archaudit.index.layers import Layer, read_layer
from archaudit.index.modules import join_name
from archaudit.schema import ModuleRecord, Setting, TensorRecord

_CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
_NORMS = {
    "BatchNorm1d": "batch",
    "BatchNorm2d": "batch",
    "BatchNorm3d": "batch",
    "SyncBatchNorm": "batch",
    "LayerNorm": "layer",
    "RMSNorm": "rms",
    "GroupNorm": "group",
    "InstanceNorm1d": "instance",
    "InstanceNorm2d": "instance",
    "InstanceNorm3d": "instance",
}


class Product(NamedTuple):
    """A linear layer or a convolution at a node: the module that holds its weight, and its sizes.

    `stride`, `padding` and `dilation` have one number for each dimension of the kernel; a linear layer has none. `zero_padding`: what is
    padded is zero.
    """

    module: ModuleRecord
    layer: Layer
    bias: bool
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    transposed: bool = False
    zero_padding: bool = True

    @property
    def is_pointwise(self) -> bool:
        """Whether each output depends on one position of the input: no kernel, stride or padding, and no groups."""
        return self.layer.is_pointwise and not self.transposed and set(self.stride) <= {1} and set(self.padding) <= {0}


class Norm(NamedTuple):
    """A norm at a node, and the module that holds its tensors (None without tensors).

    `kind` is `batch`, `layer`, `rms`, `group` or `instance`; `groups` those of a group norm, `shape` that of a layer norm. `scaled` and
    `shifted`: it has a weight and a bias.
    """

    kind: str
    module: ModuleRecord | None
    eps: float
    scaled: bool
    shifted: bool
    channels: int | None = None
    groups: int | None = None
    shape: tuple[int, ...] = ()


def read_product(graph: ValueGraph, number: int) -> Product | None:
    """The linear layer or convolution at a node; None for anything else, and for a weight that is computed or shared."""
    node = graph.nodes[number]
    module = graph.layer(number)
    if module is not None:
        layer = read_layer(module) if module.type in ("Linear", *_CONVOLUTIONS) else None
        if layer is None:
            return None
        dims = len(layer.kernel)
        padding = module.settings.get("padding")
        if padding == "same":  # which padding that is depends on the kernel; it is never the same as none
            padding = [-1] * dims
        return Product(
            module,
            layer,
            _has(module, "bias"),
            _read_sizes(module.settings.get("stride"), dims, 1),
            _read_sizes(0 if padding == "valid" else padding, dims, 0),
            _read_sizes(module.settings.get("dilation"), dims, 1),
            bool(module.settings.get("transposed")),
            module.settings.get("padding_mode", "zeros") == "zeros",
        )
    if node.op not in ("linear", "conv") or len(node.operands) < 2:
        return None
    weight = _find_tensor(graph, number, 1)
    layer = read_layer_of(weight) if weight is not None and weight[1].name == "weight" else None
    if weight is None or layer is None or (node.op == "linear") != (not layer.kernel):
        return None
    if len(node.operands) > 2 and _find_tensor(graph, number, 2) is None:
        return None
    groups, dims = node.arguments.get("groups", 1), len(layer.kernel)
    groups = groups if isinstance(groups, int) else 1
    return Product(
        weight[0],
        layer._replace(inputs=layer.inputs * groups, groups=groups),
        len(node.operands) > 2,
        _read_sizes(node.arguments.get("stride"), dims, 1),
        _read_sizes(node.arguments.get("padding"), dims, 0),
        _read_sizes(node.arguments.get("dilation"), dims, 1),
        bool(node.arguments.get("transposed")),
    )


def read_layer_of(owned: tuple[ModuleRecord, TensorRecord]) -> Layer | None:
    """The sizes of a weight that a function takes, with one group."""
    shape = owned[1].shape
    return Layer(shape[1], shape[0], tuple(shape[2:]), 1) if len(shape) >= 2 else None


def read_norm(graph: ValueGraph, number: int) -> Norm | None:
    """The norm at a node; None for anything else."""
    node = graph.nodes[number]
    module = graph.layer(number)
    if module is not None:
        kind = _NORMS.get(module.type)
        if kind is None:
            return None
        eps, channels = module.settings.get("eps"), module.settings.get("num_features", module.settings.get("num_channels"))
        groups = module.settings.get("num_groups")
        return Norm(
            kind,
            module,
            eps if isinstance(eps, float) else 0.0,
            _has(module, "weight"),
            _has(module, "bias"),
            channels if isinstance(channels, int) else None,
            groups if isinstance(groups, int) else None,
            _read_sizes(module.settings.get("normalized_shape"), 0, 0),
        )
    kind = {"batch_norm": "batch", "layer_norm": "layer", "group_norm": "group", "rms_norm": "rms"}.get(node.op)
    if kind is None or not node.operands:
        return None
    owned = [_find_tensor(graph, number, place) for place in range(1, len(node.operands))]
    if any(each is None for each in owned):
        return None
    names = {each[1].name for each in owned if each is not None}
    holders = {each[0].path: each[0] for each in owned if each is not None}
    eps, groups = graph.argument(number, "eps"), graph.argument(number, "num_groups") or graph.argument(number, "group")
    sizes = {each[1].shape for each in owned if each is not None}
    shape = next(iter(sizes)) if len(sizes) == 1 else ()
    return Norm(
        kind,
        next(iter(holders.values())) if len(holders) == 1 else None,
        float(eps) if isinstance(eps, int | float) else 0.0,
        "weight" in names,
        "bias" in names,
        shape[0] if kind in ("batch", "group") and len(shape) == 1 else None,
        groups if isinstance(groups, int) else None,
        shape if kind in ("layer", "rms") else (),
    )


def _find_tensor(graph: ValueGraph, number: int, operand: int) -> tuple[ModuleRecord, TensorRecord] | None:
    """The registered tensor that an operand is, with its owner."""
    source = graph.nodes[number].operands[operand]
    owned = graph.index.tensors.get(source.name[1:]) if source.name.startswith("=") and not source.writes else None
    return (owned.module, owned.tensor) if owned is not None else None


def is_shared(graph: ValueGraph, number: int, module: ModuleRecord) -> bool:
    """Whether the tensors of the module are used by anything but this node: another call, another operator, or a tie."""
    if any(tensor.tied_to is not None for tensor in module.tensors) or module.aliases or len(module.calls) > 1:
        return True
    return graph.count_tensor_reads(module.path) > (0 if graph.nodes[number].op == "call" else 1) or is_tied(graph, module)


def is_tied(graph: ValueGraph, module: ModuleRecord) -> bool:
    """Whether a tensor of the module has another name."""
    return any(join_name(module.path, tensor.name) in graph.tied for tensor in module.tensors)


def output_rank(graph: ValueGraph, number: int) -> int | None:
    """The number of dimensions of what a call returns; None if that is not known."""
    call = graph.call(number)
    return len(call.outputs[0]) if call is not None and call.outputs else None


def _has(module: ModuleRecord, name: str) -> bool:
    return any(tensor.name == name and tensor.kind == "parameter" for tensor in module.tensors)


def _read_sizes(value: Setting, dims: int, default: int) -> tuple[int, ...]:
    """One number for each dimension."""
    if isinstance(value, int):
        return (value,) * (dims or 1)
    if isinstance(value, list):
        return tuple(each if isinstance(each, int) else -1 for each in value)
    return (default,) * dims
