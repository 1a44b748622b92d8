"""Whether an operator is zero by convention, and of what kind: by its schema, by torch's tags, else by an explicit table.

What each source is trusted for:

- A schema whose results all alias arguments without writing them is a view, in any namespace: torch enforces it.
- `pointwise` is believed in any namespace: whoever tags an operator so declares that each element is computed by itself, and torch
  fuses it on that ground. `reduction` and `view_copy` are believed in torch's own namespaces only.
- `nondeterministic_seeded` is not used: attention and recurrent layers carry it, because of their dropout.
- A backward operator is never zero, whatever its tags say: the forward pass is what is counted.
- In-place twins, copying views, prims and `_foreach_` variants are what the operator is that they are named after.
"""

from __future__ import annotations

from typing import Any

import torch

from archaudit.measure.formulas.zero_tables import KIND_BY_NAMESPACE, QUANTIZED_PACKING_ENDINGS, ZERO_BY_NAME

_OWN_NAMESPACES = ("aten", "prims")
_KIND_BY_TAG = {"pointwise": "elementwise", "reduction": "reduction", "view_copy": "copy", "inplace_view": "view"}


def find_zero_kind(operator: Any) -> str | None:
    """The kind of zero ("view", "norm", ...) that the operator is by convention; None for what is not declared zero."""
    name = str(operator._schema.name)
    if is_backward(name):
        return None
    return _kind_in_tables(name) or ("view" if _is_view(operator._schema) else None) or _kind_by_tags(operator, name) or _kind_of_twin(name)


def is_backward(name: str) -> bool:
    """Whether the operator computes gradients, going by its name."""
    return "backward" in name


def _kind_in_tables(name: str) -> str | None:
    namespace, _, operator = name.partition("::")
    if namespace in KIND_BY_NAMESPACE:
        return KIND_BY_NAMESPACE[namespace]
    if namespace in ("quantized", "_quantized") and operator.endswith(QUANTIZED_PACKING_ENDINGS):
        return "quantising"
    return ZERO_BY_NAME.get(name)


def _is_view(schema: Any) -> bool:
    aliases = [returned.alias_info for returned in schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def _kind_by_tags(operator: Any, name: str) -> str | None:
    """By the operator's tags; in torch's own namespaces one tagged overload speaks for all, since some were forgotten."""
    namespace, _, base = name.partition("::")
    if namespace not in _OWN_NAMESPACES:
        return "elementwise" if torch.Tag.pointwise in operator.tags else None
    packet = getattr(getattr(torch.ops, namespace), base, None)
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else [operator]
    names = {tag.name for overload in overloads for tag in overload.tags}
    return next((kind for tag, kind in _KIND_BY_TAG.items() if tag in names), None)


def _kind_of_twin(name: str) -> str | None:
    namespace, _, base = name.partition("::")
    if namespace not in _OWN_NAMESPACES:
        return None
    if namespace == "prims":
        twin = base
    elif base.startswith("_foreach_"):
        twin = base.removeprefix("_foreach_").removesuffix("_")
    elif base.endswith("_") and not base.endswith("__"):
        twin = base[:-1]
    else:
        return None
    packet = getattr(torch.ops.aten, twin, None)
    if packet is None:
        return _kind_in_tables(f"aten::{twin}")
    return find_zero_kind(getattr(packet, packet.overloads()[0]))
