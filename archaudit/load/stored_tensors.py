"""The tensors that a file of weights holds: names, shapes, dtypes and bytes, from the headers of safetensors, ONNX, GGUF and pickles.

The format of safetensors: eight bytes with the length of a JSON object, little-endian, then that object, which maps names to dtype, shape
and offsets. A sharded checkpoint has an index, `model.safetensors.index.json`, that maps names to files.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

from archaudit.errors import LoadError
from archaudit.schema import Shape

INDEX_SUFFIX = ".safetensors.index.json"
# The limit of the format. The header of a hundred thousand tensors has about a tenth of it.
_MAX_HEADER_BYTES = 100 * 2**20
# Tensors whose values say how others are packed: a shape of two to four numbers, or JSON of a few hundred bytes.
_DESCRIBING = re.compile(r"(_shape|\.quant_state\.bitsandbytes__\w+)$")
_MAX_DESCRIPTION_BYTES = 4096
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6,
    "F6_E3M2": 6, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "U16": "uint16", "F16": "float16", "BF16": "bfloat16", "I32": "int32",
    "U32": "uint32", "F32": "float32", "I64": "int64", "U64": "uint64", "F64": "float64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz", "F8_E5M2FNUZ": "float8_e5m2fnuz",
}  # fmt: skip
# numpy keeps each element of these in a byte, ONNX two.
_FOUR_BITS = ("int4", "uint4", "float4_e2m1fn")
# Operators of ONNX Runtime whose weights are packed bytes.
_UNPACKING_OPERATORS = ("MatMulNBits", "MatMulBnb4", "GatherBlockQuantized", "QMoE")
_GGUF_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-(?P<parts>\d{5})\.gguf")


class StoredTensor(NamedTuple):
    """One tensor as a file stores it: `size` is in bytes; `content` has its bytes if they describe how another tensor is packed."""

    shape: Shape
    dtype: str
    size: int
    content: bytes = b""


class StoredFile(NamedTuple):
    """The tensors of a file (or of all shards of an index), the texts of its header's metadata, and the tensors known to be packed."""

    tensors: dict[str, StoredTensor]
    metadata: Mapping[str, Any] = {}
    packed: tuple[str, ...] = ()


def read_safetensors(path: Path) -> StoredFile:
    """The tensors in the header of a safetensors file. Raises LoadError for another file, or if the tensors do not fit into it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER_BYTES, size - 8):
            raise LoadError(f"{path} is not a safetensors file: its header would take {length:,} bytes")
        data = file.read(length)
        try:
            entries = json.loads(data)
            metadata = entries.pop("__metadata__", None) or {}
            tensors = {key: _read_entry(entry, size - 8 - length) for key, entry in entries.items()}
            for key in filter(_DESCRIBING.search, tensors):
                if tensors[key].size <= _MAX_DESCRIPTION_BYTES:
                    file.seek(8 + length + entries[key]["data_offsets"][0])
                    tensors[key] = tensors[key]._replace(content=file.read(tensors[key].size))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise LoadError(f"{path} is not a safetensors file: {type(error).__name__}: {error}") from error
    return StoredFile(tensors, metadata if isinstance(metadata, dict) else {})


def _read_entry(entry: Mapping[str, Any], room: int) -> StoredTensor:
    shape = tuple(int(size) for size in entry["shape"])
    first, last = entry["data_offsets"]
    bits = _BITS[entry["dtype"]]
    if min(shape, default=0) < 0 or not 0 <= first <= last <= room or (last - first) * 8 != prod(shape) * bits:
        raise ValueError(f"a tensor of {list(shape)} {entry['dtype']} at {first}..{last} of {room} bytes")
    return StoredTensor(shape, _DTYPES.get(entry["dtype"], entry["dtype"].lower()), last - first)


def read_index(path: Path) -> StoredFile:
    """The tensors of all shards of a safetensors index. Raises LoadError if a shard is missing or does not match the index."""
    try:
        files = json.loads(path.read_bytes())["weight_map"]
        shards = sorted(set(files.values()))
        if not all(Path(shard).name == shard for shard in shards):
            raise ValueError("the shards must be in the folder of the index")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(f"{path} is not an index of safetensors files: {type(error).__name__}: {error}") from error
    missing = [shard for shard in shards if not (path.parent / shard).is_file()]
    if missing:
        raise LoadError(f"{path} names {len(missing)} files that do not exist: {', '.join(missing[:3])}", "Put all shards next to it.")
    found = {shard: read_safetensors(path.parent / shard) for shard in shards}
    tensors = {key: tensor for shard in shards for key, tensor in found[shard].tensors.items()}
    wrong = [key for key in {**files, **tensors} if key not in files or key not in found[files[key]].tensors]
    if wrong or len(tensors) != sum(len(each.tensors) for each in found.values()):
        raise LoadError(f"{path} does not match its shards{f': {wrong[0]} is only in one of them' if wrong else ''}")
    return StoredFile(tensors, {key: text for each in found.values() for key, text in each.metadata.items()})


def read_onnx(path: Path) -> StoredFile:
    """The initializers of an ONNX file. Raises LoadError."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise LoadError("onnx is not installed", "Install it with: pip install 'archaudit[onnx]'.") from error
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        tensors = {}
        for tensor in graph.initializer:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            bits = 4 if dtype.name in _FOUR_BITS else 8 * dtype.itemsize
            tensors[tensor.name] = StoredTensor(tuple(tensor.dims), dtype.name, (prod(tensor.dims) * bits + 7) // 8)
        packed = {name for node in graph.node if node.op_type in _UNPACKING_OPERATORS for name in node.input}
    except Exception as error:  # protobuf raises its own exceptions
        raise LoadError(f"{path} cannot be read as ONNX: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return StoredFile(tensors, packed=tuple(name for name, tensor in tensors.items() if name in packed and tensor.dtype == "uint8"))


def read_gguf(path: Path) -> StoredFile:
    """The tensors of a GGUF file, or of all its parts (`model-00001-of-00003.gguf`). A header has the unpacked shapes. Raises LoadError.

    Source: the GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; dimensions are stored innermost first.
    """
    try:
        import gguf
    except ModuleNotFoundError as error:
        raise LoadError("gguf is not installed", "Install it with: pip install 'archaudit[gguf]'.") from error
    tensors: dict[str, StoredTensor] = {}
    for part in _list_parts(path):
        try:
            for tensor in gguf.GGUFReader(part).tensors:
                dtype = _DTYPES.get(tensor.tensor_type.name, tensor.tensor_type.name.lower())
                tensors[tensor.name] = StoredTensor(tuple(map(int, reversed(tensor.shape))), dtype, int(tensor.n_bytes))
        except Exception as error:  # a damaged file makes numpy raise exceptions of many types
            raise LoadError(f"{part} cannot be read as GGUF: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return StoredFile(tensors)


def _list_parts(path: Path) -> Iterator[Path]:
    split = _GGUF_PART.fullmatch(path.name)
    for number in range(1, int(split["parts"]) + 1 if split else 2):
        part = path.parent / f"{split['stem']}-{number:05}-of-{split['parts']}.gguf" if split else path
        if not part.is_file():
            raise LoadError(f"there is no file {part}", "A GGUF file in several parts needs all of them in one folder.")
        yield part


def read_pickle(path: Path, *, allow_pickle: bool) -> StoredFile:
    """The tensors of a pickled state dict, loaded without running code. Raises LoadError."""
    if not allow_pickle:
        raise LoadError(
            f"{path} is a pickle, which can run code when it is loaded",
            "Save it as .safetensors, or use --allow-pickle: it loads with torch.load(weights_only=True), which runs no code.",
        )
    import torch

    try:
        content = torch.load(path, map_location="meta", weights_only=True)
    except Exception as error:  # unpickling raises exceptions of many types
        text = " ".join(str(error).split())[:200]
        raise LoadError(f"{path} cannot be loaded by torch.load(weights_only=True): {type(error).__name__}: {text}") from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {key: each for key, each in content.items() if isinstance(each, torch.Tensor)} if isinstance(content, dict) else {}
    if not tensors:
        raise LoadError(f"{path} has no state dict", "It must be a dict of tensors, or have one under state_dict or model.")
    return StoredFile(
        {
            key: StoredTensor(tuple(each.shape), str(each.dtype).removeprefix("torch."), each.numel() * each.element_size())
            for key, each in tensors.items()
        }
    )
