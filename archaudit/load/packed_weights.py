"""Which weights the packed tensors of a quantized checkpoint hold: one function for each layout, from shapes, dtypes and the configuration.

A tensor is recognized only if all shapes of its layer and the configuration agree, so that a wrong guess is not possible. Anything else in
a dtype that layouts pack into is unrecognized, and the number of weights is then unknown.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from math import ceil, prod
from typing import Any, NamedTuple

from archaudit.load.quantization_config import Scheme, read_schemes
from archaudit.load.stored_tensors import StoredTensor
from archaudit.schema import Shape

# Integers that layouts pack several weights into, or keep quantized weights and codes in.
_CONTAINERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "float8_e8m0fnu")
# One element is one weight.
_SMALL_FLOATS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "f4", "f6_e2m3", "f6_e3m2")
# Scales and zero points of a weight in small floats, as libraries name them: `weight_scale_inv`, `scale_weight`, `qscale_act`.
_SCALE = re.compile(r"(scale|scale_inv|scale_2|scales|zero_point)$|^q?scale_(weight|input|act)$")
# Tensors of these names are packed in any dtype.
_PACKED_NAMES = ("qweight", "weight_packed")
_WORD_BITS = 32
# Widths of integer weights that GPTQ, AWQ, MLX and compressed-tensors store.
_WIDTHS = range(1, 9)
# Scales of the key-value cache: in attention modules, which have no weight of their own.
_CACHE_SCALES = ("k_scale", "v_scale", "q_scale", "kv_scale", "prob_scale", "scaled_fp8")
_ACTIVATION_SCALES = ("input_scale", "input_global_scale", "input_zero_point", "output_scale", "activation_scale", "pre_quant_scale")
# AutoAWQ's "gemv" pads the scales of a row to up to four words of eight.
_MOST_PADDING = 32
# bitsandbytes stores 4-bit weights of this many per scale, or another power of two.
_SMALLEST_BLOCK = 32


class Layer(NamedTuple):
    """The tensors below one module path by name, and what the configuration says of the layer (empty: nothing)."""

    tensors: Mapping[str, StoredTensor]
    schemes: tuple[Scheme, ...] = ()
    method: str = ""

    def find(self, name: str, *dtypes: str) -> StoredTensor | None:
        """The tensor of that name, if it has one of these dtypes (none given: any)."""
        tensor = self.tensors.get(name)
        return tensor if tensor is not None and (not dtypes or tensor.dtype in dtypes) else None


class Packing(NamedTuple):
    """The weight in a packed tensor: its layout, the dtype and shape of what is packed, and the tensors that only help to unpack it."""

    layout: str
    dtype: str
    shape: Shape
    helpers: tuple[str, ...] = ()


class Contents(NamedTuple):
    """The packed weights of a file by full name, the tensors that are no weights (scales, zero points), and those not recognized."""

    weights: dict[str, Packing]
    helpers: frozenset[str]
    unrecognized: tuple[str, ...]


def recognize_weights(tensors: Mapping[str, StoredTensor], configuration: Mapping[str, Any]) -> Contents:
    """What the tensors of a file are. `configuration` is the content of config.json or of a file like it; empty if there is none."""
    weights: dict[str, Packing] = {}
    helpers: set[str] = set()
    for path, names in _group_by_layer(tensors).items():
        schemes, method = read_schemes(configuration, path)
        layer = Layer({name: tensors[_join(path, name)] for name in names}, schemes, method)
        found = {name: packing for name in names if (packing := _recognize(layer, name, _LAYOUTS)) is not None}
        helping = {each for packing in found.values() for each in packing.helpers}
        for name in sorted(names, key=lambda name: _SCALE.search(name) is not None):  # a scale can have the dtype of its weight
            if name not in helping and name not in found and (packing := _recognize(layer, name, (read_small_floats,))) is not None:
                found[name] = packing
                helping.update(packing.helpers)
        weights.update({_join(path, name): packing for name, packing in found.items()})
        helpers.update(_join(path, name) for name in helping if name in layer.tensors)
    if weights:
        helpers.update(name for name in tensors if name.split(".")[-1] in _CACHE_SCALES)
    known = {*weights, *helpers}
    unrecognized = tuple(
        name
        for name, tensor in tensors.items()
        if name not in known and (tensor.dtype in _CONTAINERS or name.rpartition(".")[2] in _PACKED_NAMES)
    )
    return Contents({name: packing for name, packing in weights.items() if name not in helpers}, frozenset(helpers), unrecognized)


def split_name(name: str, tensors: Mapping[str, StoredTensor]) -> tuple[str, str]:
    """The module path and the name of a tensor. `fc.weight.absmax` belongs to `fc` if the file has `fc.weight`."""
    owner = name
    while "." in owner:
        owner = owner.rpartition(".")[0]
        if owner in tensors:
            path = owner.rpartition(".")[0]
            return path, name[len(path) + 1 :] if path else name
    path, _, last = name.rpartition(".")
    return path, last


def _group_by_layer(tensors: Mapping[str, StoredTensor]) -> dict[str, list[str]]:
    layers: dict[str, list[str]] = {}
    for key in tensors:
        path, name = split_name(key, tensors)
        layers.setdefault(path, []).append(name)
    return layers


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _recognize(layer: Layer, name: str, layouts: Iterable[Callable[[Layer, str], Packing | None]]) -> Packing | None:
    return next((packing for read in layouts if (packing := read(layer, name)) is not None), None)


def _divide(number: int, by: int) -> int | None:
    return number // by if by > 0 and number > 0 and number % by == 0 else None


def _agrees(layer: Layer, bits: int, inputs: int, groups: int) -> bool:
    """Whether a scheme of the configuration has these bits, and as many scales for a row of `inputs` weights."""
    return not layer.schemes or any(
        each.bits in (None, bits) and (each.group is None or groups == (ceil(inputs / each.group) if each.group > 0 else 1))
        for each in layer.schemes
    )


# --- layouts ---------------------------------------------------------------------------------------------------------


def read_gptq(layer: Layer, name: str) -> Packing | None:
    """`qweight` (inputs * bits / 32, outputs), `scales` (groups, outputs), `qzeros` (groups, outputs * bits / 32), `g_idx` (inputs).

    Source: GPTQModel, gptqmodel/nn_modules/qlinear/__init__.py, the buffers of its packed linear layers.
    """
    packed, scales, zeros = layer.find("qweight", "int32"), layer.find("scales"), layer.find("qzeros", "int32")
    if name != "qweight" or packed is None or scales is None or len(packed.shape) != 2 or len(scales.shape) != 2:
        return None
    (rows, outputs), groups, order = packed.shape, scales.shape[0], layer.find("g_idx")
    if zeros is not None:
        widths = [_divide(_WORD_BITS * zeros.shape[-1], outputs)] if zeros.shape[:1] == (groups,) else []
    else:
        widths = [each.bits for each in layer.schemes]
    for bits in widths:
        inputs = _divide(rows * _WORD_BITS, bits) if bits in _WIDTHS and bits is not None else None
        if outputs != scales.shape[1] or bits is None or inputs is None or not _agrees(layer, bits, inputs, groups):
            continue
        if groups <= inputs and (order is None or order.shape == (inputs,)):
            return Packing("GPTQ", f"int{bits}", (outputs, inputs), ("scales", "qzeros", "g_idx"))
    return None


def read_awq(layer: Layer, name: str) -> Packing | None:
    """`qweight` (inputs, outputs * bits / 32), `scales` (groups, outputs), `qzeros` (groups, outputs * bits / 32).

    The layout of version "gemv" has the rows of `qweight` (outputs, inputs * bits / 32), and `scales` and `qzeros` padded to whole words.
    Source: AutoAWQ, awq/modules/linear/gemm.py and gemv.py.
    """
    packed, scales, zeros = layer.find("qweight", "int32"), layer.find("scales"), layer.find("qzeros", "int32")
    if name != "qweight" or packed is None or scales is None or len(packed.shape) != 2 or len(scales.shape) != 2:
        return None
    helpers = ("scales", "qzeros")
    inputs: int | None = packed.shape[0]
    bits = _divide(_WORD_BITS * packed.shape[1], scales.shape[1])
    fits = zeros is None or zeros.shape == (scales.shape[0], packed.shape[1])
    if inputs and bits in _WIDTHS and bits is not None and fits and inputs % max(1, scales.shape[0]) == 0 and inputs > scales.shape[0]:
        return Packing("AWQ", f"int{bits}", (scales.shape[1], inputs), helpers) if _agrees(layer, bits, inputs, scales.shape[0]) else None
    if zeros is None or not packed.shape[0] == scales.shape[0] == zeros.shape[0]:
        return None
    padded = scales.shape[1]
    bits = _divide(_WORD_BITS * zeros.shape[1], padded)
    inputs = _divide(_WORD_BITS * packed.shape[1], bits) if bits is not None else None
    groups = [_divide(inputs or 0, each.group) or 0 for each in layer.schemes if each.group and each.bits in (None, bits)]
    if inputs is None or not any(padded - _MOST_PADDING < count <= padded for count in groups):
        return None
    return Packing("AWQ", f"int{bits}", (packed.shape[0], inputs), helpers)


def read_compressed_integers(layer: Layer, name: str) -> Packing | None:
    """`weight_packed` int32 (outputs, ceil(inputs * bits / 32)), `weight_scale` (outputs, groups), `weight_shape` with the shape as values.

    Source: compressed-tensors, compressors/pack_quantized/base.py (format "pack-quantized").
    """
    packed, scale, described = layer.find(name, "int32"), layer.find("weight_scale"), layer.find("weight_shape", "int64", "int32")
    if name != "weight_packed" or packed is None or scale is None or len(packed.shape) < 2 or scale.shape[:1] != packed.shape[:1]:
        return None
    helpers = ("weight_scale", "weight_shape", "weight_zero_point", "weight_g_idx", "weight_global_scale", *_ACTIVATION_SCALES)
    *rows, width = packed.shape
    shape = _read_integers(described)
    widths = {each.bits for each in layer.schemes if each.bits is not None} or set(_WIDTHS)
    if any(shape):  # a header without data has zeros here
        fitting = [bits for bits in widths if list(shape[:-1]) == rows and ceil(shape[-1] * bits / _WORD_BITS) == width]
        dtype = f"int{fitting[0]}" if len(fitting) == 1 else "int"
        return Packing("compressed-tensors", dtype, shape, helpers) if fitting else None
    exact = {
        (each.bits, inputs)
        for each in layer.schemes
        if each.bits in _WIDTHS and each.bits is not None and each.group
        if (inputs := _divide(width * _WORD_BITS, each.bits)) is not None and inputs == scale.shape[-1] * each.group
    }
    if len(exact) != 1:
        return None
    bits, inputs = exact.pop()
    return Packing("compressed-tensors", f"int{bits}", (*rows, inputs), helpers)


def _read_integers(tensor: StoredTensor | None) -> Shape:
    if tensor is None or not tensor.content:
        return ()
    step = 8 if tensor.dtype == "int64" else 4
    values = [int.from_bytes(tensor.content[start : start + step], "little") for start in range(0, len(tensor.content), step)]
    return tuple(values)


def read_compressed_bytes(layer: Layer, name: str) -> Packing | None:
    """`weight` int8 with one weight in each element, and `weight_scale`.

    Source: compressed-tensors, compressors/naive_quantized/base.py (formats "int-quantized" and "naive-quantized").
    """
    stored = layer.find(name, "int8")
    if name != "weight" or stored is None or layer.find("weight_scale") is None:
        return None
    if layer.method not in ("int-quantized", "naive-quantized"):
        return None
    return Packing("compressed-tensors", "int8", stored.shape, ("weight_scale", "weight_zero_point", *_ACTIVATION_SCALES))


def read_block_floats(layer: Layer, name: str) -> Packing | None:
    """`weight_packed` or `weight` in bytes, with a scale for each block of a row: two NVFP4 weights in a byte and 16 in a block, with a
    scale in float8_e4m3fn; two MXFP4 weights in a byte, or four MXFP6 weights in three bytes, and 32 in a block, with an exponent as scale.

    Source: compressed-tensors, compressors/nvfp4, mxfp4 and mxfp6; for `weight`: entrypoints/convert/converters/modelopt_nvfp4.py.
    """
    packed = layer.find(name, "uint8", "int8")
    scale = layer.find("weight_scale") or layer.find("scale", "float8_e8m0fnu")
    if name not in ("weight_packed", "weight") or packed is None or scale is None or len(packed.shape) < 2:
        return None
    if scale.shape[:-1] != packed.shape[:-1]:
        return None
    layout, bits, block = {
        ("float8_e4m3fn", 8): ("NVFP4", 4, 16), ("uint8", 16): ("MXFP4", 4, 32), ("float8_e8m0fnu", 16): ("MXFP4", 4, 32),
        ("uint8", 24): ("MXFP6", 6, 32), ("float8_e8m0fnu", 24): ("MXFP6", 6, 32),
    }.get((scale.dtype, _divide(packed.shape[-1], scale.shape[-1]) or 0), ("", 0, 0))  # fmt: skip
    inputs = _divide(packed.shape[-1] * 8, bits)
    if inputs is None or inputs != scale.shape[-1] * block:
        return None
    helpers = ("weight_scale", "scale", "weight_scale_2", "weight_global_scale", "weight_zero_point", *_ACTIVATION_SCALES)
    return Packing(layout, f"float{bits}", (*packed.shape[:-1], inputs), helpers)


def read_mxfp4_blocks(layer: Layer, name: str) -> Packing | None:
    """`NAME_blocks` uint8 (experts, outputs, groups, 16) with two weights in a byte, and `NAME_scales` uint8 (experts, outputs, groups).

    Source: transformers, integrations/mxfp4.py (GPT-OSS).
    """
    blocks, partner = layer.find(name, "uint8"), f"{name.removesuffix('blocks')}scales"
    scales = layer.find(partner, "uint8")
    if not name.endswith("blocks") or blocks is None or scales is None or blocks.shape != (*scales.shape, 16) or len(scales.shape) < 2:
        return None
    return Packing("MXFP4", "float4", (*scales.shape[:-1], scales.shape[-1] * 32), (partner,))


def read_mlx(layer: Layer, name: str) -> Packing | None:
    """`weight` uint32 (outputs, inputs * bits / 32), `scales` and, in mode affine, `biases` (outputs, groups).

    Affine weights can only be counted with the bits and the group size of the configuration; each other mode has a ratio of its own.
    Source: mlx.core.quantize, https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.quantize.html
    """
    packed, scales, biases = layer.find(name, "uint32"), layer.find("scales"), layer.find("biases")
    if name != "weight" or packed is None or scales is None or len(packed.shape) < 2 or scales.shape[:-1] != packed.shape[:-1]:
        return None
    width, groups = packed.shape[-1], scales.shape[-1]
    if biases is None and scales.dtype == "uint8":
        known = {2: Scheme(4, 16), 4: Scheme(4, 32), 8: Scheme(8, 32)}.get(_divide(width, groups) or 0)  # nvfp4, mxfp4, mxfp8
        schemes: tuple[Scheme, ...] = (known,) if known is not None and (not layer.schemes or known in layer.schemes) else ()
    else:
        schemes = layer.schemes if biases is not None and biases.shape == scales.shape else ()
    for bits, group in schemes:
        inputs = _divide(width * _WORD_BITS, bits) if bits in _WIDTHS and bits is not None else None
        if group is not None and inputs is not None and inputs == groups * group:
            kind = "int" if biases is not None else "float"
            return Packing("MLX", f"{kind}{bits}", (*packed.shape[:-1], inputs), ("scales", "biases", "global_scale"))
    return None


def read_bitsandbytes_4bit(layer: Layer, name: str) -> Packing | None:
    """`weight` (bytes, 1) with two weights in a byte, `weight.absmax`, and `weight.quant_state.bitsandbytes__nf4`: JSON with the shape.

    `weight` can have another dtype of storage, such as bfloat16. Source: bitsandbytes, functional.py, QuantState.as_dict.
    """
    packed, absmax = layer.find(name), layer.find(f"{name}.absmax")
    state = next((each for each in layer.tensors if each.startswith(f"{name}.quant_state.bitsandbytes__")), None)
    if state is None or packed is None or absmax is None:
        return None
    helpers = tuple(each for each in layer.tensors if each.startswith(f"{name}."))
    dtype, content = state.rpartition("__")[2], layer.tensors[state].content
    most, spare = 2 * packed.size, 2 * packed.size // max(1, prod(packed.shape))
    if content.strip(b"\0"):
        try:
            shape = tuple(int(each) for each in json.loads(content)["shape"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return None
        return Packing("bitsandbytes", dtype, shape, helpers) if most - spare < prod(shape) <= most and min(shape) > 0 else None
    block = _divide(most, prod(absmax.shape))
    if dtype not in ("nf4", "fp4") or block is None or block < _SMALLEST_BLOCK or block & (block - 1):
        return None
    return Packing("bitsandbytes", dtype, (most,), helpers)


def read_bitsandbytes_8bit(layer: Layer, name: str) -> Packing | None:
    """`weight` int8 (outputs, inputs), with `SCB` float32 (outputs): one weight in each element.

    Source: bitsandbytes, nn/modules.py, Linear8bitLt.
    """
    stored, scales = layer.find(name, "int8"), layer.find("SCB")
    if name != "weight" or stored is None or scales is None or len(stored.shape) != 2 or scales.shape != stored.shape[:1]:
        return None
    return Packing("bitsandbytes", "int8", stored.shape, ("SCB", "weight_format"))


def read_small_floats(layer: Layer, name: str) -> Packing | None:
    """A tensor in float8, or in a smaller float of safetensors: one weight in each element, with any scales.

    Source: the dtypes of safetensors; names of scales: compressed-tensors (float-quantized), transformers, integrations/finegrained_fp8.py.
    """
    stored = layer.find(name, *_SMALL_FLOATS)
    if stored is None:
        return None
    helpers = tuple(other for other in layer.tensors if other != name and _SCALE.search(other))
    return Packing("FP8" if stored.dtype.startswith("float8") else "FP4/FP6", stored.dtype, stored.shape, helpers)


_LAYOUTS = (
    read_gptq,
    read_awq,
    read_compressed_integers,
    read_compressed_bytes,
    read_block_floats,
    read_mxfp4_blocks,
    read_mlx,
    read_bitsandbytes_4bit,
    read_bitsandbytes_8bit,
)
