"""Kinds of parameters, read from a profile's records: embeddings, adapters, never executed, packed, and the active share of experts.

All counts are of unique tensors at their first owner, over any set of modules of a profile.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator

from archaudit.index import ModuleIndex, index_modules, is_below, join_name
from archaudit.schema import ModuleRecord, Profile, TensorRecord

# Types whose weight is a table of vectors that are looked up, by the name of the class (also of a library's own subclass).
_EMBEDDING = re.compile(r"Embedding(Bag)?$")
# What parameter-efficient fine-tuning adds beside the weights of a base model: LoRA and its kin, adapters, prompts.
_ADAPTER = re.compile(r"(^|\.)(lora_\w+|\w*adapters?|ia3_\w+|prompt_encoder|vera_\w+|oft_\w+|modules_to_save)(\.|$)")
_EXPERTS = re.compile(r"(^|\.)experts$")
# Names that configurations and routers use for how many experts a token goes to.
_TOP_K = ("top_k", "topk", "num_experts_per_tok", "moe_top_k", "num_selected_experts", "k")


def _owned(modules: Iterable[ModuleRecord]) -> Iterator[tuple[ModuleRecord, TensorRecord]]:
    for module in modules:
        for tensor in module.tensors:
            if tensor.kind == "parameter" and tensor.tied_to is None:
                yield module, tensor


def _size(tensor: TensorRecord) -> int:
    return math.prod(tensor.shape)


def count_embeddings(_profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """Parameters of lookup tables. An output head tied to one counts with it, as one tensor."""
    return sum(_size(tensor) for module, tensor in _owned(modules) if _EMBEDDING.search(module.type))


def count_non_embeddings(profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """All parameters but those of lookup tables: what "non-embedding parameters" means in scaling laws."""
    return sum(_size(tensor) for _, tensor in _owned(modules)) - count_embeddings(profile, modules)


def count_unused(_profile: Profile, modules: Collection[ModuleRecord]) -> int | None:
    """Parameters that no operator of the forward pass read; None where that was not observed."""
    owned = list(_owned(modules))
    if any(tensor.used is None for _, tensor in owned):
        return None
    return sum(_size(tensor) for _, tensor in owned if not tensor.used)


def count_adapters(_profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """Parameters that an adapter (LoRA and its kin) adds to a base model, by the names that the libraries give them."""
    return sum(_size(tensor) for module, tensor in _owned(modules) if _ADAPTER.search(join_name(module.path, tensor.name)))


def count_base(profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """All parameters but those of adapters."""
    return sum(_size(tensor) for _, tensor in _owned(modules)) - count_adapters(profile, modules)


def count_logical(_profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """Weights as the architecture has them: a packed 4-bit tensor holds two in each byte, so its elements understate them."""
    return sum(tensor.logical_elements if tensor.logical_elements is not None else _size(tensor) for _, tensor in _logical_tensors(modules))


def _logical_tensors(modules: Iterable[ModuleRecord]) -> Iterator[tuple[ModuleRecord, TensorRecord]]:
    """Parameters, and buffers where a quantized layer keeps its packed weights in one."""
    yield from _owned(modules)
    for module in modules:
        for tensor in module.tensors:
            if tensor.kind == "buffer" and tensor.tied_to is None and tensor.logical_elements is not None:
                yield module, tensor


def count_active(profile: Profile, modules: Collection[ModuleRecord]) -> int | None:
    """Parameters that one token passes: all of them, but of each set of experts only the share that the router chooses.

    None where a set of experts is recognised, but not how many of them a token goes to.
    """
    total = sum(_size(tensor) for _, tensor in _owned(modules))
    index = index_modules(profile)
    chosen = {module.path for module in modules}
    for module in modules:
        if not _EXPERTS.search(module.path):
            continue
        below = [other for other in modules if is_below(other.path, module.path)]
        size = sum(_size(tensor) for _, tensor in _owned(below))
        experts, active = _count_experts(module, index), _find_top_k(module, index)
        if not size or module.path not in chosen:
            continue
        if experts is None or active is None or not 0 < active <= experts:
            return None
        total -= size - size * active // experts
    return total


def _count_experts(module: ModuleRecord, index: ModuleIndex) -> int | None:
    """How many experts: the children of a list, or the leading dimension that the stacked weights share."""
    children = index.children[module.path]
    if children and not module.tensors and all(index.name(path).isdigit() for path in children):
        return len(children)
    leading = {tensor.shape[0] for tensor in module.tensors if tensor.kind == "parameter" and len(tensor.shape) == 3}
    return leading.pop() if len(leading) == 1 else None


def _find_top_k(module: ModuleRecord, index: ModuleIndex) -> int | None:
    """How many experts a token goes to, as the experts, the block around them, or a router beside them say."""
    parent = index.parents[module.path]
    for path in (module.path, *(() if parent is None else (parent, *index.children[parent]))):
        for name in _TOP_K:
            value = index[path].settings.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None
