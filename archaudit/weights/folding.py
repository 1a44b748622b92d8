"""Norms that disappeared into the layer before them."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from archaudit.schema import FoldedNorm, ModuleRecord
from archaudit.weights.pairing import Pairing, join


class Fold(NamedTuple):
    """A layer before, and the norm that followed it."""

    layer: ModuleRecord
    norm: ModuleRecord

    def find_source(self, name: str) -> FoldedNorm:
        """That of the layer's `weight` or `bias` after."""
        eps = self.norm.settings.get("eps")
        return FoldedNorm(
            weight=join(self.layer.path, "weight") if name == "weight" else None,
            bias=join(self.layer.path, "bias") if any(tensor.name == "bias" for tensor in self.layer.tensors) else None,
            norm=self.norm.path,
            eps=float(eps) if isinstance(eps, (int, float)) else 0.0,
            outputs=1 if self.layer.settings.get("transposed") else 0,
        )


def find_folds(pairing: Pairing) -> dict[str, Fold]:
    """Layers after into which the norm that alone followed them before went; it is gone, or nothing with tensors took its place."""
    followers: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in pairing.before.values():
        for feeder in {feeder for call in module.calls for feeder in call.inputs_from}:
            followers[feeder].append(module)
    found = {}
    for after_path, before_path in pairing.origins.items():
        layer, readers = pairing.before[before_path], followers.get(before_path, [])
        # what keeps no variance takes each batch's own, which no weight can stand for
        if len(readers) != 1 or not {"running_mean", "running_var"} <= {tensor.name for tensor in readers[0].tensors}:
            continue
        norm = readers[0]
        gone = norm.path not in pairing.successors or not pairing.after[pairing.successors[norm.path]].tensors
        shapes = [{tensor.name: tensor.shape for tensor in module.tensors} for module in (layer, pairing.after[after_path])]
        if gone and "bias" in shapes[1] and shapes[0].get("weight") == shapes[1].get("weight") is not None:
            found[after_path] = Fold(layer, norm)
    return found
