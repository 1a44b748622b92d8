"""Convolutions: one inner product for each output position; for transposed ones, one product with the kernel for each input position.

Dilation and padding change only the output size: a multiplication with a padded zero is counted, as in published figures.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from archaudit.measure.formulas.registry import Products, dense_sizes, formula, result


def convolve(weight: Tensor, out: Tensor, dimensions: int) -> Products:
    """The products batch * output positions * output channels * (input channels in a group * kernel), over `dimensions` spatial sizes.

    The weight may be reordered to (groups, outputs in a group, ...): its number of elements is the same.
    """
    *batch, channels = (shape := dense_sizes(out))[:-dimensions]
    kernel = dense_sizes(weight)[-dimensions:]
    return (((*batch, *shape[-dimensions:]), channels, (_per_group(weight, channels, kernel), *kernel)),)


def convolve_transposed(inputs: Tensor, weight: Tensor, dimensions: int) -> Products:
    """The products batch * input positions * input channels * (output channels in a group * kernel), over `dimensions` spatial sizes."""
    return convolve(weight, inputs, dimensions)


def _per_group(weight: Tensor, channels: int, kernel: Sequence[int]) -> int:
    elements = channels
    for size in kernel:
        elements *= size
    return weight.numel() // elements if elements else 0


@formula("aten::convolution", "aten::_convolution", "aten::convolution_overrideable")
def count_convolution(
    inputs: Tensor,
    weight: Tensor,
    _bias: Tensor | None,
    _stride: Sequence[int],
    _padding: Sequence[int],
    _dilation: Sequence[int],
    transposed: bool,
    *_: object,
    out: Tensor,
    **__: object,
) -> Products:
    """Output positions * output channels * (input channels in a group * kernel); transposed: input positions and channels first.

    Source: definition of the convolution; equals torchvision's published figures. Leaves out: the bias.
    """
    dimensions = weight.dim() - 2
    return convolve_transposed(inputs, weight, dimensions) if transposed else convolve(weight, result(out), dimensions)


@formula(
    *("aten::conv1d", "aten::conv2d", "aten::conv3d", "aten::_convolution_mode"),
    *("aten::cudnn_convolution", "aten::cudnn_convolution_relu", "aten::cudnn_convolution_add_relu"),
    *("aten::miopen_convolution", "aten::miopen_convolution_relu", "aten::miopen_convolution_add_relu"),
    *("aten::miopen_depthwise_convolution", "aten::_mps_convolution", "aten::_nnpack_spatial_convolution"),
    *("aten::thnn_conv2d", "aten::_slow_conv2d_forward", "aten::slow_conv3d", "aten::slow_conv3d_forward"),
    *("aten::slow_conv_dilated2d", "aten::slow_conv_dilated3d", "aten::_conv_depthwise2d", "aten::conv_depthwise3d"),
)
def count_forward_convolution(_inputs: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """Output positions * output channels * (input channels in a group * kernel), with or without a batch.

    Source: definition of the convolution. Leaves out: the bias, fused additions and activations.
    """
    return convolve(weight, result(out), weight.dim() - 2)


@formula("aten::mkldnn_convolution", "mkldnn::_convolution_pointwise")
def count_mkldnn_convolution(inputs: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """The convolution; the weight may have an extra dimension for the groups, so the input gives the number of spatial dimensions.

    Source: definition of the convolution. Leaves out: the bias and fused activations.
    """
    return convolve(weight, result(out), inputs.dim() - 2)


@formula("mkldnn::_convolution_pointwise.binary", "mkldnn::_convolution_pointwise_")
def count_mkldnn_binary_convolution(inputs: Tensor, _other: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """The convolution; the second argument is only added or multiplied elementwise.

    Source: definition of the convolution. Leaves out: the bias and the fused second argument.
    """
    return convolve(weight, result(out), inputs.dim() - 2)


@formula(
    *("aten::conv_transpose1d", "aten::conv_transpose2d", "aten::conv_transpose3d"),
    *("aten::cudnn_convolution_transpose", "aten::miopen_convolution_transpose", "aten::_mps_convolution_transpose"),
    *("aten::slow_conv_transpose2d", "aten::slow_conv_transpose3d"),
)
def count_transposed_convolution(inputs: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """Input positions * input channels * (output channels in a group * kernel), with or without a batch.

    Source: each input position is multiplied with the whole kernel once. Leaves out: the bias and the overlap-add.
    """
    return convolve_transposed(inputs, weight, weight.dim() - 2)


@formula("mkldnn::_convolution_transpose_pointwise")
def count_mkldnn_transposed_convolution(inputs: Tensor, weight: Tensor, *_: object, **__: object) -> Products:
    """The transposed convolution; the weight may be reordered.

    Source: each input position is multiplied with the whole kernel once. Leaves out: the bias and fused activations.
    """
    return convolve_transposed(inputs, weight, inputs.dim() - 2)


@formula("aten::convolution_backward")
def count_convolution_backward(
    gradient: Tensor,
    inputs: Tensor,
    weight: Tensor,
    _bias_sizes: object,
    _stride: object,
    _padding: object,
    _dilation: object,
    transposed: bool,
    _output_padding: object,
    _groups: int,
    output_mask: Sequence[bool],
    *_: object,
    **__: object,
) -> Products:
    """The products of the forward pass, once for the gradient of the input and once for that of the weight, where they are computed.

    Source: each gradient multiplies the same pairs as the convolution. Leaves out: the gradient of the bias, a sum.
    """
    dimensions = weight.dim() - 2
    forward = convolve_transposed(inputs, weight, dimensions) if transposed else convolve(weight, gradient, dimensions)
    return forward * sum(map(bool, output_mask[:2]))


@formula("aten::conv_tbc")
def count_conv_tbc(_inputs: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """(time * batch) * output channels * (input channels * kernel); the weight is (kernel, input channels, output channels).

    Source: definition of the convolution. Leaves out: the bias.
    """
    kernel, channels_in, channels_out = dense_sizes(weight)
    return ((dense_sizes(result(out))[:2], channels_out, (channels_in, kernel)),)


@formula("torchvision::deform_conv2d")
def count_deform_conv2d(_inputs: Tensor, weight: Tensor, *_: object, out: Tensor, **__: object) -> Products:
    """The convolution of the same shape.

    Source: Dai et al., Deformable Convolutional Networks (2017), eq. 2. Leaves out: bilinear sampling at the offsets, the mask, the bias.
    """
    return convolve(weight, result(out), 2)
