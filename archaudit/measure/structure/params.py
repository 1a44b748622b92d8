"""Parameters and buffers: which module holds which tensor, which are one tensor under several names, and what they cost.

Each unique tensor counts once, at its first owner in `named_modules()` order; every other name of it is `tied_to` that one.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from archaudit.measure.structure.tree import ModuleTree, iterate_children
from archaudit.schema import TensorRecord

# The attribute of a parameter that says what initialised it; written where the model is built.
INIT_NOTE = "_archaudit_init"


@dataclass(slots=True)
class Holdings:
    """What one module holds directly: its tensors, and the counts of those that it is the first to own."""

    tensors: list[TensorRecord] = field(default_factory=list)
    params: int = 0
    trainable_params: int = 0
    buffers: int = 0
    param_bytes: int = 0


def read_holdings(tree: ModuleTree, used: Collection[int] | None = None) -> tuple[list[Holdings], tuple[tuple[str, ...], ...]]:
    """The holdings of each module of the tree, and the groups of names that are one tensor.

    `used` holds the storage keys (`storage_key`) of the tensors that the forward pass read; None when it was not run.
    """
    owners: dict[int, str] = {}
    groups: dict[int, list[str]] = {}
    holdings = []
    for module, path in zip(tree.modules, tree.paths, strict=True):
        held = Holdings()
        for name, tensor, kind, persistent in iterate_tensors(module):
            full = f"{path}.{name}" if path else name
            owner = owners.setdefault(id(tensor), full)
            groups.setdefault(id(tensor), []).append(full)
            record = _describe(name, tensor, kind, persistent, tied_to=owner if owner != full else None, used=used)
            packed = None if is_lazy(tensor) else count_packed(tensor, name, module)
            held.tensors.append(msgspec.structs.replace(record, logical_elements=packed) if packed is not None else record)
            if owner == full:
                _add_cost(held, tensor, kind)
        holdings.append(held)
    return holdings, tuple(tuple(names) for names in groups.values() if len(names) > 1)


def iterate_tensors(module: nn.Module) -> Iterator[tuple[str, torch.Tensor, str, bool]]:
    """The tensors registered on `module` itself: name, tensor, `parameter` or `buffer`, and whether a checkpoint keeps it."""
    tables = (("parameter", module._parameters), ("buffer", module._buffers))
    transient: Collection[str] = getattr(module, "_non_persistent_buffers_set", ())
    for kind, table in tables:
        for name in list(table.keys()):
            tensor = table[name]
            if tensor is not None:
                yield name, tensor, kind, name not in transient


def storage_key(tensor: torch.Tensor) -> int:
    """What two tensors have in common exactly when they share memory; 0 for a tensor without a storage (sparse, say)."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):
        return 0


def _describe(
    name: str, tensor: torch.Tensor, kind: str, persistent: bool, *, tied_to: str | None, used: Collection[int] | None
) -> TensorRecord:
    lazy = is_lazy(tensor)
    return TensorRecord(
        name=name,
        kind="parameter" if kind == "parameter" else "buffer",
        persistent=persistent,
        shape=() if lazy else tuple(int(size) for size in tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        trainable=kind == "parameter" and tensor.requires_grad,
        tied_to=tied_to,
        init=getattr(tensor, INIT_NOTE, None) if kind == "parameter" else None,
        used=None if used is None or lazy else storage_key(tensor) in used,
    )


def _add_cost(held: Holdings, tensor: torch.Tensor, kind: str) -> None:
    if is_lazy(tensor):
        return  # a lazy parameter that the forward pass never gave a shape has no elements yet
    count = tensor.numel()
    if kind == "buffer":
        held.buffers += count
        return
    held.params += count
    held.param_bytes += count * tensor.element_size()
    if tensor.requires_grad:
        held.trainable_params += count


# --- other paths of modules that stand in a model several times: a state_dict has the keys of each, the tree lists such a module once ---


# A module shared at every level of a deep model has exponentially many paths.
_MOST_PATHS = 100_000


def list_aliases(tree: ModuleTree) -> dict[int, tuple[str, ...]]:
    """For the position of each module that has them, its paths besides the one in the tree; those of modules inside it too."""
    links = [[(name, tree.positions[id(child)]) for name, child in iterate_children(module)] for module in tree.modules]
    if sum(map(len, links)) == len(tree) - 1:
        return {}
    aliases: defaultdict[int, list[str]] = defaultdict(list)
    pending: list[tuple[int, str, tuple[int, ...]]] = [(0, "", ())]
    for _ in range(_MOST_PATHS):
        if not pending:
            break
        position, path, above = pending.pop()
        if path != tree.paths[position]:
            aliases[position].append(path)
        for name, child in reversed(links[position]):
            if child != position and child not in above:
                pending.append((child, f"{path}.{name}" if above or path else name, (*above, position)))
    return {position: tuple(paths) for position, paths in aliases.items()}


# --- packed weights: tensors that hold several small weights in each element, as the quantization libraries lay them out ---


# Layers of GPTQ and AWQ keep a weight of 4 bits eight to an int32, in a buffer or parameter of this name.
_PACKED_NAMES = frozenset({"qweight"})
_USUAL_BITS = 4


def count_packed(tensor: torch.Tensor, name: str, module: nn.Module) -> int | None:
    """How many weights a packed tensor stands for; None for a tensor that is not recognised as packed.

    Recognised: bitsandbytes' 4-bit parameters (two to a byte; their `quant_state` knows the original shape), and integer tensors
    named `qweight` as GPTQ and AWQ keep them (`bits` or `w_bit` of their module says how small the weights are).
    """
    state: Any = getattr(tensor, "quant_state", None)
    shape = getattr(state, "shape", None)
    if shape is not None:
        return math.prod(int(size) for size in shape)
    if type(tensor).__name__ == "Params4bit" and tensor.dtype == torch.uint8:
        return tensor.numel() * 2
    if name in _PACKED_NAMES and tensor.dtype in (torch.int32, torch.int64):
        bits = getattr(module, "bits", getattr(module, "w_bit", _USUAL_BITS))
        return tensor.numel() * tensor.element_size() * 8 // bits if isinstance(bits, int) and bits > 0 else None
    return None
