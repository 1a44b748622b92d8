"""Parameters that nothing tells the counterpart of: tried for each other by their sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from archaudit.schema import TensorRecord, TensorSource
from archaudit.weights.pairing import Pairing, join, measure_rows

# A heap of tensors alike: in one module (its path before), or anywhere (None), of so many rows and elements.
_Key = tuple[str | None, tuple[int, int]]


def pair_leftovers(pairing: Pairing, left: Mapping[str, tuple[str, TensorRecord]], sources: Iterable[TensorSource]) -> dict[str, str]:
    """Parameters of after to those of before, of what is left on both sides, where as many of a size are: those in one module first."""
    used = {name for source in sources for name in source.names}
    heaps: defaultdict[_Key, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for path, module in pairing.before.items():
        for tensor in module.tensors:
            if tensor.kind == "parameter" and tensor.tied_to is None and join(path, tensor.name) not in used:
                for key in (path, None):
                    heaps[key, measure_rows(tensor.shape)][0].append(join(path, tensor.name))
    for name, (path, tensor) in left.items():
        for key in dict.fromkeys((pairing.origins.get(path), None)):
            heaps[key, measure_rows(tensor.shape)][1].append(name)
    found: dict[str, str] = {}
    for heap in sorted(heaps, key=lambda heap: heap[0] is None):
        given = set(found.values())
        ones = [one for one in heaps[heap][0] if one not in given]
        others = [other for other in heaps[heap][1] if other not in found]
        if len(ones) == len(others):
            found |= dict(zip(others, ones, strict=True))
    return found
