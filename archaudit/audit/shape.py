"""Shape: sizes that waste work, or that are probably a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from archaudit.audit.evidence import Evidence
from archaudit.audit.operations import Product, read_product
from archaudit.audit.registry import rule
from archaudit.schema import Cost, Finding, Rule, Shape

_NVIDIA = "NVIDIA, Deep Learning Performance Documentation, Matrix Multiplication Background, section 3 (tensor core requirements)"
# Elements of 16 bits: tensor cores work at full speed where sizes are multiples of this.
_ALIGNMENT = 8
# The vocabulary is the longest dimension: a multiple of this fills the tiles of every GPU.
_VOCABULARY_ALIGNMENT = 64
# A smaller table is cheap in any size.
_SMALLEST_VOCABULARY = 1_000


@rule(
    Rule(
        code="AR401",
        name="unaligned-for-tensor-cores",
        family="shape",
        summary="A layer in float16 or bfloat16 has a size that is no multiple of 8.",
        why="The product is padded, or runs without the full speed of tensor cores.",
        example="nn.Linear(1023, 4096, dtype=torch.bfloat16)",
        fix="Round the size up to a multiple of 8.",
        source=_NVIDIA,
    )
)
def find_unaligned_layers(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        product = read_product(graph, number)
        if product is None or not any(tensor.dtype in ("float16", "bfloat16") for tensor in product.module.tensors):
            continue
        layer = product.layer
        sizes = [size for size in (layer.inputs, layer.outputs) if size % _ALIGNMENT]
        # the first layer reads the channels of an image, and small heads are cheap
        if layer.groups == 1 and sizes and min(layer.inputs, layer.outputs) >= 64:
            yield Finding(
                code="AR401",
                path=product.module.path,
                message=f"{' and '.join(str(size) for size in dict.fromkeys(sizes))} is no multiple of {_ALIGNMENT}",
                fix=f"round up to {', '.join(str(-(-size // _ALIGNMENT) * _ALIGNMENT) for size in dict.fromkeys(sizes))}",
            )


@rule(
    Rule(
        code="AR402",
        name="unpadded-vocabulary",
        family="shape",
        summary="The size of a large vocabulary is no multiple of 64.",
        why="The product with the head is the largest one in small language models, and does not fill the tiles of the GPU.",
        example="nn.Embedding(50257, 768)",
        fix="Round the vocabulary up to a multiple of 64.",
        source=_NVIDIA,
        off="Most published vocabularies are the size of their tokenizer, and their checkpoints have that size.",
    )
)
def find_unpadded_vocabularies(evidence: Evidence) -> Iterator[Finding]:
    for module in evidence.index:
        size = module.settings.get("num_embeddings")
        if module.type != "Embedding" or module.defined_in != "torch" or not isinstance(size, int) or not module.calls:
            continue
        if size >= _SMALLEST_VOCABULARY and size % _VOCABULARY_ALIGNMENT:
            yield Finding(
                code="AR402",
                path=module.path,
                message=f"{size:,} is no multiple of {_VOCABULARY_ALIGNMENT}",
                fix=f"round up to {-(-size // _VOCABULARY_ALIGNMENT) * _VOCABULARY_ALIGNMENT:,}",
            )


@rule(
    Rule(
        code="AR403",
        name="kernel-larger-than-input",
        family="shape",
        summary="A part of a convolution's kernel reads nothing but padding, at every position.",
        why="Its weights are multiplied by zero: they cost parameters and FLOPs, and get no gradient.",
        example="nn.Conv2d(512, 512, 3, padding=1)  # on an input of 1x1",
        fix="Use a smaller kernel, a smaller dilation, or a larger input.",
        source="Chen et al., 2017, Rethinking Atrous Convolution for Semantic Image Segmentation, section 3.3",
        note="Models that are built for larger images show it with a small input.",
    )
)
def find_padded_kernels(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number in range(len(graph.nodes)):
        product, call = read_product(graph, number), graph.call(number)
        if product is None or call is None or not call.inputs or product.transposed or not product.zero_padding:
            continue
        useful = _count_useful_taps(product, call.inputs[0])
        taps = prod(product.layer.kernel)
        if useful is None or useful >= taps:
            continue
        share = taps - useful
        yield Finding(
            code="AR403",
            path=product.module.path,
            message=f"{share} of {taps} elements of its kernel read padding only, on an input of {'x'.join(map(str, call.inputs[0][2:]))}",
            fix="use a smaller kernel or dilation",
            cost=Cost(
                params=product.layer.weights * share // taps,
                macs=product.module.total.macs * share // taps,
                flops=2 * (product.module.total.macs * share // taps),
            ),
        )


def _count_useful_taps(product: Product, shape: Shape) -> int | None:
    """How many elements of the kernel read the input at some position; None where that is not known."""
    dims = len(product.layer.kernel)
    if not dims or len(shape) != dims + 2 or -1 in product.padding or len(product.padding) != dims:
        return None
    useful = 1
    for size, kernel, stride, padding, dilation in zip(
        shape[2:], product.layer.kernel, product.stride, product.padding, product.dilation, strict=True
    ):
        outputs = (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
        useful *= sum(any(0 <= place * stride - padding + tap * dilation < size for place in range(outputs)) for tap in range(kernel))
    return useful


@rule(
    Rule(
        code="AR404",
        name="stride-skips-pixels",
        family="shape",
        summary="A convolution or pool with a kernel has a stride that is larger than the kernel: positions between are never read.",
        why="What was computed at the skipped positions is lost.",
        example="nn.Conv2d(64, 64, kernel_size=2, stride=3)",
        fix="Use a stride of at most the size of the kernel.",
        source="Dumoulin and Visin, 2016, A guide to convolution arithmetic for deep learning, section 2.4",
    )
)
def find_skipped_pixels(evidence: Evidence) -> Iterator[Finding]:
    graph = evidence.graph
    for number, layer in graph.iterate_calls():
        product = read_product(graph, number)
        kernel = product.layer.kernel if product is not None else ()
        stride = product.stride if product is not None else ()
        # a 1x1 convolution with a stride is the usual shortcut of a residual block
        if product is None or product.transposed or prod(kernel) == 1 or not kernel:
            continue
        if any(step > (size - 1) * gap + 1 for size, step, gap in zip(kernel, stride, product.dilation, strict=False)):
            yield Finding(
                code="AR404",
                path=layer.path,
                message=f"a kernel of {'x'.join(map(str, kernel))} with a stride of {'x'.join(map(str, stride))} skips positions",
                fix="use a stride of at most the size of the kernel",
            )
