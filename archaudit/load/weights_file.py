"""Weights without code: the header of a safetensors file, an ONNX file, or (if allowed) a pickled state dict.

Only names, shapes and dtypes are read. What such a file does not hold, from FLOPs to which tensors are trained, is listed in the profile's
`unknown`, and no check on it passes. The format of safetensors: eight bytes with the length of a JSON object, little-endian, then that
object, which maps names to dtype, shape and offsets.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from archaudit.errors import LoadError
from archaudit.index import parent_path
from archaudit.schema import Cost, Ledger, ModuleRecord, Profile, Shape, TensorRecord, sum_costs

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
# Metrics that need a forward pass or the code.
_UNKNOWN = ("flops", "macs", "activation_bytes", "moved_bytes", "trainable_params")
# The limit of the format. The header of a hundred thousand tensors has about a tenth of it.
_MAX_HEADER_BYTES = 100 * 2**20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "I64": 64, "U64": 64, "F64": 64, "C64": 64,
}  # fmt: skip
_DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "I16": "int16", "F16": "float16", "BF16": "bfloat16", "I32": "int32", "F32": "float32",
    "I64": "int64", "F64": "float64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2",
}  # fmt: skip
# The buffers of torch's norms.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked")


class _Tensor(NamedTuple):
    shape: Shape
    dtype: str
    bits: int


def read_weights(path: Path, name: str, *, allow_pickle: bool = False) -> Profile:
    """The profile of the tensors in a file of weights. Raises LoadError."""
    if not path.is_file():
        raise LoadError(f"there is no file {path}", "Paths are relative to the current folder.")
    if path.suffix in PICKLES:
        tensors, source = _read_pickle(path, allow_pickle=allow_pickle), "a pickled state dict"
    elif path.suffix == ".onnx":
        tensors, source = _read_onnx(path), "an ONNX file's initializers"
    else:
        tensors, source = _read_header(path), "a safetensors header"
    return _make_profile(name, tensors, source)


def _read_header(path: Path) -> dict[str, _Tensor]:
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
        tensors = {key: _read_entry(entry, size - 8 - length) for key, entry in entries.items() if key != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LoadError(f"{path} is not a safetensors file: {type(error).__name__}: {error}") from error
    return tensors


def _read_entry(entry: Mapping[str, Any], room: int) -> _Tensor:
    shape = tuple(int(size) for size in entry["shape"])
    first, last = entry["data_offsets"]
    bits = _BITS[entry["dtype"]]
    if min(shape, default=0) < 0 or not 0 <= first <= last <= room or (last - first) * 8 != _count(shape) * bits:
        raise ValueError(f"a tensor of {list(shape)} {entry['dtype']} at {first}..{last} of {room} bytes")
    return _Tensor(shape, _DTYPES.get(entry["dtype"], entry["dtype"].lower()), bits)


def _read_onnx(path: Path) -> dict[str, _Tensor]:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise LoadError("onnx is not installed", "Install it with: pip install 'archaudit[onnx]'.") from error
    try:
        graph = onnx.load(str(path), load_external_data=False).graph
        tensors = {}
        for tensor in graph.initializer:
            dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensors[tensor.name] = _Tensor(tuple(tensor.dims), dtype.name, 8 * dtype.itemsize)
    except Exception as error:  # protobuf raises its own exceptions
        raise LoadError(f"{path} cannot be read as ONNX: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return tensors


def _read_pickle(path: Path, *, allow_pickle: bool) -> dict[str, _Tensor]:
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
    return {
        key: _Tensor(tuple(each.shape), str(each.dtype).removeprefix("torch."), 8 * each.element_size()) for key, each in tensors.items()
    }


def _make_profile(name: str, tensors: Mapping[str, _Tensor], source: str) -> Profile:
    """The profile: modules follow from the dots in the names, in the order of the file. Their classes are not known."""
    owners: dict[str, list[tuple[str, _Tensor]]] = {"": []}
    for key, tensor in tensors.items():
        path, _, last = key.rpartition(".")
        for parent in _list_parents(path):
            owners.setdefault(parent, [])
        owners[path].append((last, tensor))
    paths = _sort_parents_first(owners)
    own = {path: sum_costs(_count_tensor(last, tensor) for last, tensor in owners[path]) for path in paths}
    total = dict(own)
    for path in reversed(paths):
        if path:
            total[parent_path(path)] += total[path]
    modules = tuple(
        ModuleRecord(
            path=path,
            type="?",
            own=own[path],
            total=total[path],
            flops_complete=False,
            tensors=tuple(_make_tensor(last, tensor) for last, tensor in owners[path]),
        )
        for path in paths
    )
    assumption = f"only tensors are known, from {source}: {', '.join(_BUFFERS)} are taken for buffers, all others for parameters"
    return Profile(
        name=name,
        reference=name,
        totals=total[""],
        flops_complete=False,
        modules=modules,
        ledger=Ledger(assumptions=(assumption,)),
        unknown=_UNKNOWN,
    )


def _list_parents(path: str) -> list[str]:
    parts = path.split(".") if path else []
    return [".".join(parts[: length + 1]) for length in range(len(parts))]


def _sort_parents_first(paths: Iterable[str]) -> list[str]:
    """Depth first, children in their given order."""
    children: dict[str, list[str]] = {}
    for path in paths:
        if path:
            children.setdefault(parent_path(path), []).append(path)
    listed, waiting = [], [""]
    while waiting:
        path = waiting.pop()
        listed.append(path)
        waiting += reversed(children.get(path, []))
    return listed


def _count_tensor(last: str, tensor: _Tensor) -> Cost:
    elements = _count(tensor.shape)
    if last in _BUFFERS:
        return Cost(buffers=elements)
    return Cost(params=elements, param_bytes=elements * tensor.bits // 8)


def _make_tensor(last: str, tensor: _Tensor) -> TensorRecord:
    is_buffer = last in _BUFFERS
    kind: Literal["buffer", "parameter"] = "buffer" if is_buffer else "parameter"
    return TensorRecord(name=last, kind=kind, persistent=True, shape=tensor.shape, dtype=tensor.dtype, trainable=not is_buffer)


def _count(shape: Shape) -> int:
    elements = 1
    for size in shape:
        elements *= size
    return elements
