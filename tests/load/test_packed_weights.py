"""Quantized checkpoints: however one layer is packed, it has the weights that its architecture has, or their number is unknown."""

import json
import math
import struct

import pytest

from archaudit.errors import LoadError
from archaudit.load.weights_file import read_weights
from archaudit.metrics.catalog import METRICS, measure_scope
from archaudit.pipeline import resolve

BITS = {"U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E8M0": 8, "I16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64}
SIZE = 4096 * 4096


def write_safetensors(path, tensors, metadata=None):
    """A file of `{name: (dtype, shape)}` or `{name: (dtype, shape, bytes)}`. The bytes are zeros where none are given, and take no disk."""
    entries, place, contents = {"__metadata__": metadata} if metadata else {}, 0, {}
    for name, (dtype, shape, *content) in tensors.items():
        size = math.prod(shape) * BITS[dtype] // 8
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, place + size]}
        if content:
            contents[place] = content[0]
        place += size
    header = json.dumps(entries).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + place)
        for offset, content in contents.items():
            file.seek(8 + len(header) + offset)
            file.write(content)
    return path


@pytest.fixture
def read(tmp_path):
    """Writes the tensors of a layer `fc`, and a config.json next to them, and reads them back."""

    def write_and_read(tensors, config=None):
        if config is not None:
            (tmp_path / "config.json").write_text(json.dumps(config))
        return read_weights(write_safetensors(tmp_path / "m.safetensors", {f"fc.{name}": each for name, each in tensors.items()}), "m")

    return write_and_read


def measure(profile, metric):
    return measure_scope(profile, METRICS[metric]).value


def shape_of(outputs, inputs):
    return ("I64", (2,), struct.pack("<qq", outputs, inputs))


def gptq(bits, config=None):
    packed = {
        "qweight": ("I32", (4096 * bits // 32, 4096)), "scales": ("F16", (32, 4096)),
        "qzeros": ("I32", (32, 4096 * bits // 32)), "g_idx": ("I32", (4096,)),
    }  # fmt: skip
    return packed, config


def compressed(method, **weights):
    return {
        "quantization_config": {"quant_method": "compressed-tensors", "format": method, "config_groups": {"group_0": {"weights": weights}}}
    }


AWQ = {"qweight": ("I32", (4096, 512)), "qzeros": ("I32", (32, 512)), "scales": ("F16", (32, 4096))}
GEMV = {"qweight": ("I32", (4096, 512)), "qzeros": ("I32", (4096, 4)), "scales": ("F16", (4096, 32))}
PACKED = {"weight_packed": ("I32", (4096, 512)), "weight_scale": ("BF16", (4096, 32)), "weight_shape": shape_of(4096, 4096)}
MLX = {"weight": ("U32", (4096, 512)), "scales": ("BF16", (4096, 64)), "biases": ("BF16", (4096, 64))}
STATE = json.dumps({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [4096, 4096]}).encode()
NF4 = {
    "weight": ("U8", (SIZE // 2, 1)), "weight.absmax": ("F32", (SIZE // 64,)), "weight.quant_map": ("F32", (16,)),
    "weight.quant_state.bitsandbytes__nf4": ("U8", (len(STATE),), STATE),
}  # fmt: skip

LAYOUTS = {
    "gptq 4 bits": gptq(4),
    "gptq 3 bits": gptq(3),
    "gptq 8 bits": gptq(8, {"quantization_config": {"quant_method": "gptq", "bits": 8, "group_size": 128}}),
    "gptq without zeros": (
        {"qweight": ("I32", (512, 4096)), "scales": ("F16", (32, 4096))}, {"quantization_config": {"bits": 4, "group_size": 128}}
    ),
    "awq": (AWQ, None),
    "awq with config": (AWQ, {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128}}),
    "awq gemv": (GEMV, {"quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "version": "gemv"}}),
    "pack-quantized": (PACKED, None),
    "pack-quantized by config": (
        {**PACKED, "weight_shape": ("I64", (2,))}, compressed("pack-quantized", num_bits=4, group_size=128, type="int")
    ),
    "int-quantized": ({"weight": ("I8", (4096, 4096)), "weight_scale": ("BF16", (4096, 1))}, compressed("int-quantized", num_bits=8)),
    "float-quantized": ({"weight": ("F8_E4M3", (4096, 4096)), "weight_scale": ("BF16", (4096, 1))}, None),
    "nvfp4 of compressed-tensors": (
        {"weight_packed": ("U8", (4096, 2048)), "weight_scale": ("F8_E4M3", (4096, 256)), "weight_global_scale": ("F32", (1,))}, None
    ),
    "nvfp4 of ModelOpt": (
        {
            "weight": ("U8", (4096, 2048)), "weight_scale": ("F8_E4M3", (4096, 256)), "weight_scale_2": ("F32", ()),
            "input_scale": ("F32", ()),
        },
        None,
    ),
    "mxfp4 of compressed-tensors": ({"weight_packed": ("U8", (4096, 2048)), "weight_scale": ("U8", (4096, 128))}, None),
    "mxfp6 of compressed-tensors": ({"weight_packed": ("U8", (4096, 3072)), "weight_scale": ("U8", (4096, 128))}, None),
    "mxfp4 blocks": ({"up_blocks": ("U8", (1, 4096, 128, 16)), "up_scales": ("U8", (1, 4096, 128))}, None),
    "fp4 with exponents": ({"weight": ("I8", (4096, 2048)), "scale": ("F8_E8M0", (4096, 128))}, None),
    "mlx": (MLX, {"quantization": {"group_size": 64, "bits": 4}}),
    "mlx 8 bits in this layer": (
        {"weight": ("U32", (4096, 1024)), "scales": ("BF16", (4096, 128)), "biases": ("BF16", (4096, 128))},
        {"quantization": {"group_size": 64, "bits": 4, "fc": {"group_size": 32, "bits": 8}}},
    ),
    "mlx mxfp4": ({"weight": ("U32", (4096, 512)), "scales": ("U8", (4096, 128))}, None),
    "mlx mxfp8": ({"weight": ("U32", (4096, 1024)), "scales": ("U8", (4096, 128))}, None),
    "mlx nvfp4": ({"weight": ("U32", (4096, 512)), "scales": ("U8", (4096, 256))}, None),
    "nf4": (NF4, None),
    "nf4 without its state's values": ({**NF4, "weight.quant_state.bitsandbytes__nf4": ("U8", (80,))}, None),
    "nf4 stored as bfloat16": ({**NF4, "weight": ("BF16", (SIZE // 4, 1))}, None),
    "bitsandbytes int8": ({"weight": ("I8", (4096, 4096)), "SCB": ("F32", (4096,)), "weight_format": ("U8", ())}, None),
    "fp8 in blocks": ({"weight": ("F8_E4M3", (4096, 4096)), "weight_scale_inv": ("F32", (32, 32))}, None),
}  # fmt: skip


@pytest.mark.parametrize(("tensors", "config"), LAYOUTS.values(), ids=LAYOUTS)
def test_one_layer_has_the_same_number_of_weights_however_it_is_packed(read, tensors, config):
    found = read({**tensors, "bias": ("F16", (4096,))}, config)
    assert (found.totals.params, measure(found, "params"), measure(found, "logical_params")) == (SIZE + 4096,) * 3
    assert measure(found, "base_params") == SIZE + 4096
    # the bytes are those in the file, scales and zero points included
    assert found.totals.param_bytes == 8192 + sum(math.prod(shape) * BITS[dtype] // 8 for dtype, shape, *_ in tensors.values())
    (layer,) = (module for module in found.modules if module.path == "fc")
    assert len(found.modules) == 2  # `fc.weight.absmax` is a tensor of fc, not of a module fc.weight
    assert sum(tensor.kind == "parameter" for tensor in layer.tensors) == 2
    assert "quantized weights count as parameters one by one" in found.ledger.assumptions[1]


UNKNOWN = {
    "a layout of nobody": ({"codes": ("I16", (512, 512)), "codebooks": ("F16", (2, 256, 8))}, None),
    "scales of another layer": ({**AWQ, "scales": ("F16", (32, 1000))}, None),
    "bits that the configuration contradicts": (gptq(4)[0], {"quantization_config": {"bits": 8, "group_size": 128}}),
    "groups that the configuration contradicts": (AWQ, {"quantization_config": {"bits": 4, "group_size": 64}}),
    "gptq without zeros or configuration": ({"qweight": ("I32", (512, 4096)), "scales": ("F16", (32, 4096))}, None),
    "gptq with the order of another layer": ({**gptq(4)[0], "g_idx": ("I32", (2048,))}, None),
    "int64 words": ({"qweight": ("I64", (256, 4096)), "scales": ("F16", (32, 4096))}, None),
    "mlx without configuration": (MLX, None),
    "mlx with another group": (MLX, {"quantization": {"group_size": 32, "bits": 4}}),
    "mlx with a mode of no such ratio": ({"weight": ("U32", (64, 24)), "scales": ("U8", (64, 8))}, None),
    "pack-quantized without its shape": ({**PACKED, "weight_shape": ("I64", (2,))}, None),
    "pack-quantized with another shape": ({**PACKED, "weight_shape": shape_of(4096, 100)}, None),
    "marlin-24": ({"weight_packed": ("I32", (128, 8192)), "scale_packed": ("BF16", (32, 4096)), "meta": ("I16", (4096, 256))}, None),
    "sparse bitmask": ({"compressed": ("BF16", (1000,)), "bitmask": ("U8", (4096, 512)), "shape": shape_of(4096, 4096)}, None),
    "int8 without a known scale": ({"weight": ("I8", (4096, 4096)), "weight_scale": ("BF16", (4096, 1))}, None),
    "bytes with a scale for each 20": ({"weight": ("U8", (64, 40)), "weight_scale": ("U8", (64, 2))}, None),
    "blocks of another size": ({"up_blocks": ("U8", (2, 64, 4, 8)), "up_scales": ("U8", (2, 64, 4))}, None),
    "nf4 with another shape": ({**NF4, "weight": ("U8", (SIZE // 4, 1))}, None),
    "SCB of another layer": ({"weight": ("I8", (4096, 4096)), "SCB": ("F32", (128,))}, None),
}


@pytest.mark.parametrize(("tensors", "config"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_recognized_is_unknown_and_no_number(read, tensors, config):
    found = read({**tensors, "bias": ("F16", (64,))}, config)
    for metric in ("params", "logical_params", "base_params", "embedding_params", "active_params", "buffers"):
        assert measure(found, metric) is None, metric
    assert "not recognized" in measure_scope(found, METRICS["params"]).reason
    assert found.totals.param_bytes >= 128
    assert "is not recognized, so the number of parameters is unknown" in found.ledger.assumptions[-1]


def test_the_weights_of_a_packed_layer_have_the_shape_of_the_layer(read):
    (layer,) = read({"qweight": ("I32", (32, 16)), "scales": ("F16", (2, 16)), "qzeros": ("I32", (2, 2))}).modules[1:]
    assert [(tensor.name, tensor.kind, tensor.shape, tensor.dtype, tensor.logical_elements) for tensor in layer.tensors] == [
        ("qweight", "parameter", (16, 256), "int4", 16 * 256), ("scales", "buffer", (2, 16), "float16", None),
        ("qzeros", "buffer", (2, 2), "int32", None),
    ]  # fmt: skip


def test_metadata_can_hold_the_configuration_and_other_files_too(tmp_path):
    layer = {f"fc.{name}": each for name, each in MLX.items()}
    quantization = {"group_size": 64, "bits": 4}
    path = write_safetensors(tmp_path / "a.safetensors", layer, {"quantization": json.dumps(quantization)})
    assert read_weights(path, "a").totals.params == SIZE
    (tmp_path / "config.json").write_text("not JSON")
    (tmp_path / "quantize_config.json").write_text(json.dumps({"bits": 4, "group_size": 64}))
    assert read_weights(write_safetensors(tmp_path / "b.safetensors", layer), "b").totals.params == SIZE


def test_rules_by_layer_do_not_contradict_the_shapes(read):
    packed, _ = gptq(8)
    config = {"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 64, "dynamic": {"fc": {"bits": 8}}}}
    assert read(packed, config).totals.params == SIZE


def test_scales_of_the_cache_are_no_parameters(read):
    packed = {"weight": ("F8_E4M3", (8, 8)), "weight_scale": ("F32", ()), "k_scale": ("F32", ())}
    assert (read(packed).totals.params, read(packed).totals.buffers) == (64, 2)
    assert read({"weight": ("F32", (8, 8)), "k_scale": ("F32", ())}).totals.params == 65


def test_a_norm_in_float8_keeps_its_scale_as_a_parameter(read):
    assert read({"scale": ("F8_E4M3", (64,))}).totals.params == 64
    found = read({"scale": ("F8_E4M3", (8,)), "weight": ("F8_E4M3", (8, 8)), "weight_scale": ("F32", (8,))})
    assert (found.totals.params, found.totals.buffers) == (64, 16)


def test_positions_and_masks_are_buffers(read):
    found = read({"weight": ("F32", (8, 8)), "position_ids": ("I32", (1, 8)), "index": ("I64", (8, 8))})
    assert (found.totals.params, found.totals.buffers, measure(found, "params")) == (64, 72, 64)


# --- sharded checkpoints ---------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path):
    """Two shards and their index: an AWQ layer of 64x64 whose scales are in the other shard, and a norm."""
    first = {"fc.qweight": ("I32", (64, 8)), "fc.qzeros": ("I32", (2, 8))}
    second = {"fc.scales": ("F16", (2, 64)), "norm.weight": ("F16", (64,))}
    names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
    for name, tensors in zip(names, (first, second), strict=True):
        write_safetensors(tmp_path / name, tensors)
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {**dict.fromkeys(first, names[0]), **dict.fromkeys(second, names[1])}}))
    return path


def test_an_index_counts_all_its_shards(index):
    found = read_weights(index, "m")
    assert (found.totals.params, found.totals.param_bytes) == (64 * 64 + 64, 64 * 8 * 4 + 2 * 8 * 4 + 2 * 64 * 2 + 64 * 2)
    assert resolve(str(index), None).saved.totals == found.totals
    alone = read_weights(index.parent / "model-00001-of-00002.safetensors", "m")
    assert measure(alone, "params") is None  # the scales are in the other shard


def test_an_index_needs_its_shards(index):
    write_safetensors(index.parent / "model-00002-of-00002.safetensors", {"norm.weight": ("F16", (64,))})
    with pytest.raises(LoadError, match=r"does not match its shards: fc\.scales"):
        read_weights(index, "m")
    (index.parent / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(LoadError, match="names 1 files that do not exist: model-00002"):
        read_weights(index, "m")


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../m.safetensors"}}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "a.safetensors.index.json").write_text(content)
    with pytest.raises(LoadError, match="is not an index of safetensors files"):
        read_weights(tmp_path / "a.safetensors.index.json", "a")


# --- GGUF ------------------------------------------------------------------------------------------------------------


def write_gguf(path, tensors):
    """A GGUF file, version 3, without metadata: `{name: (type number, shape innermost first, bytes)}`. Source: the GGUF specification."""
    header, place = struct.pack("<IIQQ", 0x46554747, 3, len(tensors), 0), 0
    for name, (kind, shape, size) in tensors.items():
        header += struct.pack("<Q", len(name)) + name.encode() + struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
        header += struct.pack("<IQ", kind, place)
        place += -(-size // 32) * 32
    header += bytes(-len(header) % 32)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + place)
    return path


def test_a_gguf_file_has_the_shapes_of_the_architecture(tmp_path):
    pytest.importorskip("gguf")
    # Q4_K (type 12): 144 bytes for 256 weights; F32 is type 0
    tensors = {
        "blk.0.attn_q.weight": (12, (4096, 4096), SIZE // 256 * 144), "blk.0.attn_norm.weight": (0, (4096,), 4 * 4096),
        "rope_freqs.weight": (0, (64,), 256),
    }  # fmt: skip
    found = read_weights(write_gguf(tmp_path / "m.gguf", tensors), "m")
    assert (found.totals.params, found.totals.buffers, found.totals.param_bytes) == (SIZE + 4096, 64, SIZE // 256 * 144 + 4 * 4096)
    (weight,) = next(module for module in found.modules if module.path == "blk.0.attn_q").tensors
    assert (weight.name, weight.shape, weight.dtype) == ("weight", (4096, 4096), "q4_k")


def test_a_gguf_file_in_parts_is_counted_whole(tmp_path):
    pytest.importorskip("gguf")
    for part in (1, 2):
        path = write_gguf(tmp_path / f"m-0000{part}-of-00002.gguf", {f"blk.{part}.weight": (8, (64, 64), 64 * 64 // 32 * 34)})  # Q8_0
    assert read_weights(path, "m").totals.params == 2 * 64 * 64
    (tmp_path / "m-00001-of-00002.gguf").unlink()
    with pytest.raises(LoadError, match="m-00001-of-00002"):
        read_weights(path, "m")


def test_a_gguf_file_with_a_type_that_nobody_knows_is_refused(tmp_path):
    pytest.importorskip("gguf")
    with pytest.raises(LoadError, match="cannot be read as GGUF"):
        read_weights(write_gguf(tmp_path / "m.gguf", {"a.weight": (999, (64, 64), 4096)}), "m")


# --- ONNX ------------------------------------------------------------------------------------------------------------


def test_packed_bytes_of_an_onnx_operator_are_unknown(tmp_path):
    onnx = pytest.importorskip("onnx")
    weight = onnx.helper.make_tensor("w", onnx.TensorProto.UINT8, (64, 2, 16), bytes(2048), raw=True)
    for operator, params in (("MatMulNBits", None), ("DequantizeLinear", 2048)):
        graph = onnx.helper.make_graph([onnx.helper.make_node(operator, ["x", "w"], ["y"])], "g", [], [], [weight])
        onnx.save(onnx.helper.make_model(graph), tmp_path / "m.onnx")
        assert measure(read_weights(tmp_path / "m.onnx", "m"), "params") == params
