"""Two profiles and which module of one is which of the other, indexed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import prod

from archaudit.schema import Match, ModuleRecord, Profile, Shape


class Pairing:
    """`before` and `after` are the modules by path; `origins` the paths before of modules after, `successors` the other way round."""

    def __init__(self, before: Profile, after: Profile, matches: Iterable[Match]) -> None:
        self.before = {module.path: module for module in before.modules}
        self.after = {module.path: module for module in after.modules}
        both = [(match.before_path, match.after_path) for match in matches]
        self.origins = {other: one for one, other in both if one is not None and other is not None}
        self.successors = {one: other for other, one in self.origins.items()}
        self._new = _group_by_parent(self.after.values(), self.origins)
        self._gone = _group_by_parent(self.before.values(), self.successors)
        self._shapes = {join(module.path, tensor.name): tensor.shape for module in before.modules for tensor in module.tensors}

    def list_new(self, after_path: str) -> Sequence[ModuleRecord]:
        """The children of a module after that have tensors and no counterpart before."""
        return self._new.get(after_path, ())

    def list_gone(self, before_path: str) -> Sequence[ModuleRecord]:
        """The children of a module before that have tensors and no counterpart after."""
        return self._gone.get(before_path, ())

    def find_shape(self, after_path: str, name: str) -> Shape | None:
        """The shape of a tensor's namesake in the module that its own was."""
        return self._shapes.get(join(self.origins[after_path], name)) if after_path in self.origins else None


def _group_by_parent(modules: Iterable[ModuleRecord], matched: Mapping[str, str]) -> dict[str, list[ModuleRecord]]:
    groups: defaultdict[str, list[ModuleRecord]] = defaultdict(list)
    for module in modules:
        if module.path and module.path not in matched and module.tensors:
            groups[module.path.rpartition(".")[0]].append(module)
    return dict(groups)


def join(path: str, name: str) -> str:
    """What a state_dict calls a tensor."""
    return f"{path}.{name}" if path else name


def measure_rows(shape: Shape) -> tuple[int, int]:
    """How many rows, but for dimensions of one, and how many elements: what the weights of a linear layer and of a convolution that does
    the same (of one by one, or over all of what was flattened) have in common."""
    return next((size for size in shape if size != 1), 1), prod(shape)
