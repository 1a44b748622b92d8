"""Weights that are in no count of parameters, since torch does not know them as such: told, so that no zero is silent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import torch

from archaudit.measure.structure.params import iterate_tensors, storage_key
from archaudit.measure.structure.tree import ModuleTree
from archaudit.measure.tape import Tape

# As many modules as fit in a sentence.
_MOST_NAMED = 3


def tell_uncounted(tree: ModuleTree, tape: Tape) -> Iterator[str]:
    """A sentence on parameters that forward read though no module has them registered (layers in a plain list, say), and one on
    weights inside of objects that are no tensors (what torch's own quantized layers keep)."""
    held = {storage_key(tensor) for module in tree.modules for _, tensor, _, _ in iterate_tensors(module)}
    strays = {key: read for key, read in tape.read_parameters.items() if key and key not in held}
    if strays:
        readers = Counter(module for module, _ in strays.values())
        elements = sum(count for _, count in strays.values())
        yield (
            f"{_name(tree, list(readers))} reads {len(strays):,} parameter{'s' if len(strays) > 1 else ''} ({elements:,} elements) that no "
            "module has registered, as layers in a plain list are not: parameters() does not give them, and no count has them"
        )
    sealed = [place for place, module in enumerate(tree.modules) if any(map(_is_sealed, vars(module).values()))]
    if sealed:
        yield f"{_name(tree, sealed)} keeps weights packed in an object that is no tensor: they are in no count of parameters"


def _is_sealed(value: object) -> bool:
    """Whether it is an object of TorchScript's, but no module, whose parameters are known."""
    return isinstance(value, torch.ScriptObject) and not isinstance(value, torch._C.ScriptModule)


def _name(tree: ModuleTree, places: list[int]) -> str:
    names = [tree.paths[place] or "the model itself" for place in places[:_MOST_NAMED]]
    more = len(places) - len(names)
    return ", ".join(names) + (f" (and {more} more)" if more else "")
