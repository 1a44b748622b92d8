"""Weights without code: the profile of a file of weights, from its header.

Only names, shapes and dtypes are read, and the few values that say how other tensors are packed. What such a file does not hold, from FLOPs
to which tensors are trained, is listed in the profile's `unknown`, and no check on it passes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple

from archaudit.errors import LoadError
from archaudit.index import parent_path
from archaudit.load.packed_weights import Contents, recognize_weights, split_name
from archaudit.load.quantization_config import find_settings, read_configuration
from archaudit.load.stored_tensors import (
    INDEX_SUFFIX,
    StoredFile,
    StoredTensor,
    read_gguf,
    read_index,
    read_onnx,
    read_pickle,
    read_safetensors,
)
from archaudit.metrics.catalog import PARAM_COUNTS
from archaudit.schema import Cost, Ledger, ModuleRecord, Profile, Shape, TensorRecord, sum_costs

PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl")
# Metrics that need a forward pass or the code.
_UNKNOWN = ("flops", "macs", "activation_bytes", "moved_bytes", "trainable_params")
# The buffers of torch's norms and of embeddings by position.
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "position_ids", "token_type_ids", "relative_position_index")
# Frequencies that llama.cpp computes when it converts a model: the model has no such parameters.
_GGUF_BUFFERS = ("rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight")
_MOST_NAMED = 3


class _Tensor(NamedTuple):
    """A tensor as the profile shows it. `weights` are the weights in it (0 for a buffer); `size` its bytes, if they count as parameters."""

    name: str
    kind: Literal["parameter", "buffer"]
    shape: Shape
    dtype: str
    weights: int
    size: int
    is_packed: bool = False


def read_weights(path: Path, name: str, *, allow_pickle: bool = False) -> Profile:
    """The profile of the tensors in a file of weights, or in all shards of an index. Raises LoadError."""
    if not path.is_file():
        raise LoadError(f"there is no file {path}", "Paths are relative to the current folder.")
    if path.suffix in PICKLES:
        file, source = read_pickle(path, allow_pickle=allow_pickle), "a pickled state dict"
    elif path.suffix == ".onnx":
        file, source = read_onnx(path), "an ONNX file's initializers"
    elif path.suffix == ".gguf":
        file, source = read_gguf(path), "a GGUF header"
    elif path.name.endswith(INDEX_SUFFIX):
        file, source = read_index(path), "the headers of all shards of a safetensors index"
    else:
        file, source = read_safetensors(path), "a safetensors header"
    if path.suffix == ".onnx":  # its int8 tensors have one weight in each element, unless an operator unpacks them
        return _make_profile(name, file, Contents({}, frozenset(), file.packed), source)
    configuration = read_configuration(path.parent, file.metadata)
    contents = recognize_weights(file.tensors, configuration)
    method = find_settings(configuration).get("quant_method") if contents.unrecognized else None
    return _make_profile(name, file, contents, source, f" ({method})" if method else "")


def _make_profile(name: str, file: StoredFile, contents: Contents, source: str, method: str = "") -> Profile:
    """The profile: modules follow from the dots in the names, in the order of the file. Their classes are not known."""
    owners: dict[str, list[_Tensor]] = {"": []}
    unrecognized = [key for key in contents.unrecognized if not _is_named_buffer(key)]
    not_recognized = frozenset(unrecognized)
    for key, tensor in file.tensors.items():
        path, last = split_name(key, file.tensors)
        for parent in _list_parents(path):
            owners.setdefault(parent, [])
        owners[path].append(_describe(key, last, tensor, contents, is_unrecognized=key in not_recognized))
    paths = _sort_parents_first(owners)
    own = {path: sum_costs(map(_count, owners[path])) for path in paths}
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
            tensors=tuple(map(_make_record, owners[path])),
        )
        for path in paths
    )
    return Profile(
        name=name,
        reference=name,
        totals=total[""],
        flops_complete=False,
        modules=modules,
        ledger=Ledger(assumptions=tuple(_list_assumptions(file, contents, unrecognized, source, method))),
        unknown=(*_UNKNOWN, *(PARAM_COUNTS if unrecognized else ())),
    )


def _is_buffer(key: str, tensor: StoredTensor) -> bool:
    return _is_named_buffer(key) or tensor.dtype in ("bool", "int64", "uint64")


def _is_named_buffer(key: str) -> bool:
    return key.rpartition(".")[2] in _BUFFERS or key in _GGUF_BUFFERS


def _describe(key: str, last: str, tensor: StoredTensor, contents: Contents, *, is_unrecognized: bool) -> _Tensor:
    """One tensor. Scales and zero points are buffers whose bytes count as those of parameters: they are part of the weights as stored."""
    if key in contents.weights:
        packing = contents.weights[key]
        return _Tensor(last, "parameter", packing.shape, packing.dtype, prod(packing.shape), tensor.size, packing.shape != tensor.shape)
    if key in contents.helpers:
        return _Tensor(last, "buffer", tensor.shape, tensor.dtype, 0, tensor.size)
    if is_unrecognized:
        return _Tensor(last, "parameter", tensor.shape, tensor.dtype, 0, tensor.size)
    if _is_buffer(key, tensor):
        return _Tensor(last, "buffer", tensor.shape, tensor.dtype, 0, 0)
    return _Tensor(last, "parameter", tensor.shape, tensor.dtype, prod(tensor.shape), tensor.size)


def _list_assumptions(file: StoredFile, contents: Contents, unrecognized: list[str], source: str, method: str) -> Iterable[str]:
    yield f"only tensors are known, from {source}: {', '.join(_BUFFERS)}, int64 and bool are taken for buffers, all others for parameters"
    layouts = Counter(f"{packing.layout} {packing.dtype}" for packing in contents.weights.values())
    if layouts:
        named = ", ".join(f"{count} tensors in {layout}" for layout, count in layouts.items())
        yield (
            f"quantized weights count as parameters one by one, not as they are packed: {named}; their scales and zero points count as "
            "buffers, and their bytes as bytes of parameters"
        )
    if unrecognized:
        shown = ", ".join(f"{key} {file.tensors[key].dtype}" for key in unrecognized[:_MOST_NAMED])
        more = f" and {len(unrecognized) - _MOST_NAMED} others" if len(unrecognized) > _MOST_NAMED else ""
        yield (
            f"the packing{method} of {shown}{more} is not recognized, so the number of parameters is unknown: what is shown is the number "
            "of the other ones, a lower bound"
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


def _count(tensor: _Tensor) -> Cost:
    buffers = prod(tensor.shape) if tensor.kind == "buffer" else 0
    return Cost(params=tensor.weights, buffers=buffers, param_bytes=tensor.size)


def _make_record(tensor: _Tensor) -> TensorRecord:
    return TensorRecord(
        name=tensor.name,
        kind=tensor.kind,
        persistent=True,
        shape=tensor.shape,
        dtype=tensor.dtype,
        trainable=tensor.kind == "parameter",
        logical_elements=tensor.weights if tensor.is_packed else None,
    )
