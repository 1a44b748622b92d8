"""Redundant: layers that another layer cancels, repeats or could hold."""

from __future__ import annotations

import math
from collections.abc import Iterator

from archaudit.audit.evidence import Evidence, cost_of_tensors
from archaudit.audit.operations import Norm, Product, is_shared, output_rank, read_norm, read_product
from archaudit.audit.registry import rule
from archaudit.schema import Absorb, Cost, DropBias, Finding, Merge, ModuleRecord, Rule

_BATCH_NORM = "Ioffe and Szegedy, 2015, Batch Normalization, section 3.2 (the bias before the norm can be ignored)"


@rule(
    Rule(
        code="AR201",
        name="bias-before-norm",
        family="redundant",
        summary="A layer adds a bias to each channel, and the norm behind it subtracts the mean of each channel.",
        why="The norm cancels the bias exactly: it costs parameters, memory and an addition, and its gradient is zero.",
        example="nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64)",
        fix="Build the layer with bias=False.",
        source=_BATCH_NORM,
        support="proof",
        note="Published models keep such a bias because their checkpoints contain it, VGG with batch norm for example.",
    )
)
def find_cancelled_biases(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        product = read_product(graph, number)
        reader = graph.sole_reader(number) if product is not None and product.bias else None
        norm = read_norm(graph, reader) if reader is not None else None
        if product is None or reader is None or norm is None or is_shared(graph, number, product.module):
            continue
        if not _subtracts_channel_means(norm, product, output_rank(graph, number)) or graph.source(reader) != number:
            continue
        bias = next(tensor for tensor in product.module.tensors if tensor.name == "bias")
        tracked = norm.module is not None and any(tensor.name == "running_mean" for tensor in norm.module.tensors)
        if norm.module is not None and tracked and is_shared(graph, reader, norm.module):
            continue
        yield Finding(
            code="AR201",
            path=product.module.path,
            message=f"the norm at {graph.describe(reader)} subtracts the mean of each channel, and the bias with it",
            fix="bias=False",
            cost=cost_of_tensors(bias),
            edits=(DropBias(path=product.module.path, norm=norm.module.path if norm.module is not None and tracked else ""),),
        )


def _subtracts_channel_means(norm: Norm, product: Product, rank: int | None) -> bool:
    """Whether the norm subtracts a mean for each output channel of the layer."""
    outputs = product.layer.outputs
    if not product.layer.kernel and rank != 2:  # behind a linear layer the channels are dimension 1 only of a matrix
        return False
    if norm.kind == "batch":
        return norm.channels == outputs
    if norm.kind == "instance":
        return bool(product.layer.kernel)
    return norm.kind == "group" and bool(product.layer.kernel) and norm.groups == norm.channels == outputs


@rule(
    Rule(
        code="AR202",
        name="products-without-nonlinearity",
        family="redundant",
        summary="Two linear layers, or a convolution and a 1x1 convolution, follow each other with nothing in between.",
        why="Together they compute one product: a single layer has fewer parameters and FLOPs and computes the same.",
        example="nn.Linear(256, 256), nn.Linear(256, 10)",
        fix="Use one layer, or put a nonlinearity between the two.",
        source="Saxe, McClelland and Ganguli, 2014, Exact solutions to the nonlinear dynamics of learning in deep linear neural networks",
        support="proof",
    )
)
def find_mergeable_products(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    taken: set[str] = set()
    for number in range(len(graph.nodes)):
        first = read_product(graph, number)
        reader = graph.sole_reader(number) if first is not None else None
        second = read_product(graph, reader) if reader is not None and graph.source(reader) == number else None
        if first is None or reader is None or second is None or {first.module.path, second.module.path} & taken:
            continue
        if is_shared(graph, number, first.module) or is_shared(graph, reader, second.module) or not _can_merge(first, second):
            continue
        merged = _merge_sizes(first, second)
        saved = first.layer.weights + second.layer.weights - merged
        cost = _estimate_saving(evidence, first, second, merged)
        if saved <= 0 or cost.flops < 0:
            continue  # a product of two thin layers, a low rank, is cheaper than the one layer
        taken |= {first.module.path, second.module.path}
        yield Finding(
            code="AR202",
            path=second.module.path,
            message=f"it follows {first.module.path} with no nonlinearity in between: both are one linear layer",
            fix=f"merge it with {first.module.path} into one layer, or put a nonlinearity in between",
            cost=cost,
            edits=(Merge(first=first.module.path, second=second.module.path),),
        )


def _can_merge(first: Product, second: Product) -> bool:
    """Whether one layer computes what both do: at least one has no kernel, and nothing is padded between them."""
    if first.transposed or second.transposed or len(first.layer.kernel) != len(second.layer.kernel):
        return False
    if first.layer.groups != 1 or second.layer.groups != 1 or -1 in first.padding or (-1 in second.padding and not first.is_pointwise):
        return False
    if second.is_pointwise:
        return True
    padded = set(second.padding) != {0} and second.zero_padding  # zeros of the padding do not get the first bias
    return first.is_pointwise and not (first.bias and padded)


def _merge_sizes(first: Product, second: Product) -> int:
    """The elements of the weight of the merged layer."""
    kernel = first.layer.kernel if second.is_pointwise else second.layer.kernel
    return first.layer.inputs * second.layer.outputs * math.prod(kernel)


def _estimate_saving(evidence: Evidence, first: Product, second: Product, merged: int) -> Cost:
    """Parameters and FLOPs of both, less those of the merged layer, which runs at the positions of the second."""
    before = first.module.total.macs + second.module.total.macs
    after = merged * second.module.total.macs // max(1, second.layer.weights)
    bias = first.layer.outputs if first.bias else 0
    bias -= second.layer.outputs if first.bias and not second.bias else 0
    params = first.layer.weights + second.layer.weights - merged + bias
    return Cost(params=params, flops=2 * (before - after), macs=before - after)


@rule(
    Rule(
        code="AR204",
        name="norm-after-norm",
        family="redundant",
        summary="A norm reads the output of another norm of the same kind over the same dimensions, and nothing else does.",
        why="The first norm's mean and scale are removed again by the second: one norm computes the same up to eps.",
        example="nn.BatchNorm2d(64), nn.BatchNorm2d(64)",
        fix="Remove one of the two norms.",
        source=_BATCH_NORM,
        support="proof",
    )
)
def find_repeated_norms(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        first = read_norm(graph, number)
        reader = graph.sole_reader(number) if first is not None else None
        second = read_norm(graph, reader) if reader is not None and graph.source(reader) == number else None
        if first is None or reader is None or second is None or not _normalizes_the_same(first, second):
            continue
        if first.module is None or second.module is None or is_shared(graph, number, first.module):
            continue
        provable = first.kind == "batch" and not is_shared(graph, reader, second.module)
        yield Finding(
            code="AR204",
            path=first.module.path,
            message=f"the {first.kind} norm at {graph.describe(reader)} normalises its output again",
            fix=f"remove it, and keep {second.module.path}",
            cost=_cost_of_module(first.module),
            edits=(Merge(first=first.module.path, second=second.module.path),) if provable else (),
        )


def _normalizes_the_same(first: Norm, second: Norm) -> bool:
    if first.kind != second.kind or first.channels != second.channels or first.groups != second.groups or first.shape != second.shape:
        return False
    # a scale of its own for each element inside the statistics changes what the second norm does
    return first.kind in ("batch", "instance") or not (first.scaled or first.shifted)


def _cost_of_module(module: ModuleRecord) -> Cost:
    total = module.total
    return Cost(
        params=total.params,
        trainable_params=total.trainable_params,
        buffers=total.buffers,
        param_bytes=total.param_bytes,
        flops=total.flops,
        macs=total.macs,
        activation_bytes=total.activation_bytes,
        moved_bytes=total.moved_bytes,
    )


@rule(
    Rule(
        code="AR206",
        name="scale-beside-product",
        family="redundant",
        summary="A depthwise 1x1 convolution, a scale for each channel, is next to a convolution or batch norm that could hold it.",
        why="The neighbour has a factor for each channel anyway: the layer only costs parameters, FLOPs and a pass over memory.",
        example="nn.Conv2d(64, 64, 1, groups=64), nn.Conv2d(64, 128, 1)",
        fix="Remove the depthwise 1x1 convolution.",
        source="Jacob et al., 2018, Quantization and Training of Neural Networks for Efficient Inference, section 3.2 (folding)",
        support="proof",
    )
)
def find_absorbed_scales(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        scale = read_product(graph, number)
        if scale is None or not _is_scale(scale) or is_shared(graph, number, scale.module):
            continue
        reader, source = graph.sole_reader(number), graph.source(number)
        after = read_product(graph, reader) if reader is not None and graph.source(reader) == number else None
        before = read_product(graph, source) if source is not None and graph.sole_reader(source) == number else None
        edit: Absorb | None = None
        if after is not None and reader is not None and not is_shared(graph, reader, after.module) and _can_hold(after, scale):
            edit = Absorb(path=scale.module.path, layers=(after.module.path,))
        elif before is not None and source is not None and not is_shared(graph, source, before.module) and not before.transposed:
            edit = Absorb(path=scale.module.path, layers=(before.module.path,), into_previous=True)
        if edit is not None:
            yield Finding(
                code="AR206",
                path=scale.module.path,
                message=f"it multiplies each channel by a number, which {edit.layers[0]} can do",
                fix="remove it",
                cost=_cost_of_module(scale.module),
                edits=(edit,),
            )


def _is_scale(product: Product) -> bool:
    layer = product.layer
    plain = (
        set(product.stride) <= {1} and set(product.padding) <= {0} and all(size == 1 for size in layer.kernel) and not product.transposed
    )
    return bool(layer.kernel) and layer.is_depthwise and layer.inputs == layer.outputs and plain


def _can_hold(after: Product, scale: Product) -> bool:
    """Whether the next layer can take the scale in: with a shift, only if nothing is padded."""
    if after.transposed or _is_scale(after):
        return False
    return not scale.bias or set(after.padding) <= {0} or not after.zero_padding


@rule(
    Rule(
        code="AR207",
        name="affine-before-linear",
        family="redundant",
        summary="The scale and shift of a norm are read by linear layers only, whose weights could hold them.",
        why="The parameters and the pass over them can be saved at inference.",
        example="nn.LayerNorm(256), nn.Linear(256, 512)",
        fix="Build the norm with elementwise_affine=False, or fold it before deployment.",
        source="Ashkboos et al., 2024, SliceGPT, section 3.1",
        support="proof",
        off="Nearly every transformer has it, and training is easier with it. It is worth removing for inference only.",
    )
)
def find_absorbed_affines(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        norm = read_norm(graph, number)
        if norm is None or norm.kind not in ("layer", "rms") or norm.module is None or not (norm.scaled or norm.shifted):
            continue
        if number in graph.returned or number in graph.overwritten or is_shared(graph, number, norm.module) or len(norm.shape) != 1:
            continue
        readers = [(each.node, read_product(graph, each.node), each.operand) for each in graph.readers.get(number, ())]
        layers = [product for node, product, place in readers if product is not None and place == 0 and graph.source(node) == number]
        linear = [each for each in layers if not each.layer.kernel and each.layer.inputs == norm.shape[0]]
        if not readers or len(linear) != len(readers) or (norm.shifted and not all(each.bias for each in linear)):
            continue
        if any(is_shared(graph, node, product.module) for node, product, _ in readers if product is not None):
            continue
        yield Finding(
            code="AR207",
            path=norm.module.path,
            message=f"its scale and shift are read by {', '.join(each.module.path for each in linear)} only",
            fix="fold them into the linear layers",
            cost=cost_of_tensors(*norm.module.tensors),
            edits=(Absorb(path=norm.module.path, layers=tuple(each.module.path for each in linear)),),
        )
