"""Counts of particular parameters: embeddings, adapters, unused, packed, and the active share of a mixture of experts.

Each counts unique tensors, at their first owner, over any set of modules of a profile.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator

from archaudit.index import ModuleIndex, index_modules, is_below, join_name
from archaudit.schema import ModuleRecord, Profile, TensorRecord

# Types whose weight is a lookup table of vectors, by the class name (subclasses in libraries end in the same words).
_EMBEDDING = re.compile(r"Embedding(Bag)?$")
# Modules that parameter-efficient fine-tuning adds to a base model: LoRA and similar methods, adapters, prompts.
_ADAPTER = re.compile(r"(^|\.)(lora_\w+|\w*adapters?|ia3_\w+|prompt_encoder|vera_\w+|oft_\w+|modules_to_save)(\.|$)")
_EXPERTS = re.compile(r"(^|\.)experts$")
# Names of settings for how many experts a token is routed to.
_TOP_K = ("top_k", "topk", "num_experts_per_tok", "moe_top_k", "num_selected_experts", "k")


def _owned(modules: Iterable[ModuleRecord]) -> Iterator[tuple[ModuleRecord, TensorRecord]]:
    for module in modules:
        for tensor in module.tensors:
            if tensor.kind == "parameter" and tensor.tied_to is None:
                yield module, tensor


def _size(tensor: TensorRecord) -> int:
    return math.prod(tensor.shape)


def count_embeddings(_profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """Parameters of lookup tables. An output head tied to an embedding is the same tensor and counts with it."""
    return sum(_size(tensor) for module, tensor in _owned(modules) if _EMBEDDING.search(module.type))


def count_non_embeddings(profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """All parameters except lookup tables: the "non-embedding parameters" of scaling laws."""
    return sum(_size(tensor) for _, tensor in _owned(modules)) - count_embeddings(profile, modules)


def count_unused(_profile: Profile, modules: Collection[ModuleRecord]) -> int | None:
    """Parameters that no operator of the forward pass used; None if that was not observed."""
    owned = list(_owned(modules))
    if any(tensor.used is None for _, tensor in owned):
        return None
    return sum(_size(tensor) for _, tensor in owned if not tensor.used)


def count_adapters(_profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """Parameters that adapters (LoRA and similar methods) add to a base model, found by the libraries' names for them."""
    return sum(_size(tensor) for module, tensor in _owned(modules) if _ADAPTER.search(join_name(module.path, tensor.name)))


def count_base(profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """All parameters except those of adapters."""
    return sum(_size(tensor) for _, tensor in _owned(modules)) - count_adapters(profile, modules)


def count_logical(_profile: Profile, modules: Collection[ModuleRecord]) -> int:
    """Weights of the architecture: a packed 4-bit tensor holds two weights in each byte, so it has fewer elements than weights."""
    return sum(tensor.logical_elements if tensor.logical_elements is not None else _size(tensor) for _, tensor in _logical_tensors(modules))


def _logical_tensors(modules: Iterable[ModuleRecord]) -> Iterator[tuple[ModuleRecord, TensorRecord]]:
    """Parameters, and the buffers in which quantized layers keep packed weights."""
    yield from _owned(modules)
    for module in modules:
        for tensor in module.tensors:
            if tensor.kind == "buffer" and tensor.tied_to is None and tensor.logical_elements is not None:
                yield module, tensor


def count_active(profile: Profile, modules: Collection[ModuleRecord]) -> int | None:
    """Parameters that one token uses: all of them, but of each set of experts only the share that the router selects.

    None if a set of experts is found, but not how many of them a token is routed to.
    """
    total = sum(_size(tensor) for _, tensor in _owned(modules))
    for _, size, experts, active in _list_experts(profile, modules):
        if experts is None or active is None or not 0 < active <= experts:
            return None
        total -= size - size * active // experts
    return total


def describe_active(profile: Profile, modules: Collection[ModuleRecord]) -> tuple[str, ...]:
    """What the count of active parameters assumes of the routers, each text once."""
    texts = [
        f"each token is routed to {active} of {experts} experts of equal size"
        for _, _, experts, active in _list_experts(profile, modules)
        if experts is not None and active is not None
    ]
    return tuple(dict.fromkeys(texts))


def _list_experts(profile: Profile, modules: Collection[ModuleRecord]) -> Iterator[tuple[ModuleRecord, int, int | None, int | None]]:
    """Each set of experts with parameters: its module, its size, how many there are, and how many of them a token is routed to."""
    index = index_modules(profile)
    for module in modules:
        if not _EXPERTS.search(module.path):
            continue
        size = sum(_size(tensor) for _, tensor in _owned([other for other in modules if is_below(other.path, module.path)]))
        if size:
            yield module, size, _count_experts(module, index), _find_top_k(module, index)


def _count_experts(module: ModuleRecord, index: ModuleIndex) -> int | None:
    """How many experts there are: the children of a ModuleList, or the first dimension that all stacked weights share."""
    children = index.children[module.path]
    if children and not module.tensors and all(index.name(path).isdigit() for path in children):
        return len(children)
    leading = {tensor.shape[0] for tensor in module.tensors if tensor.kind == "parameter" and len(tensor.shape) == 3}
    return leading.pop() if len(leading) == 1 else None


def _find_top_k(module: ModuleRecord, index: ModuleIndex) -> int | None:
    """How many experts a token is routed to, from the settings of the experts, their parent or its other children."""
    parent = index.parents[module.path]
    for path in (module.path, *(() if parent is None else (parent, *index.children[parent]))):
        for name in _TOP_K:
            value = index[path].settings.get(name)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
    return None
