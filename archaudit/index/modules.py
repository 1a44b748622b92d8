"""ModuleIndex: a profile's modules by path, with parents, children, ancestors, input modules, and tensors by their full names.

A module's name may itself hold a dot (`add_module` of old releases, `setattr` on containers), so a parent is the nearest path above that
is a module of the profile, not the text before the last dot.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from archaudit.schema import ModuleRecord, Profile, TensorRecord


class TensorOwner(NamedTuple):
    """A parameter or buffer with the module that holds it."""

    module: ModuleRecord
    tensor: TensorRecord


class ModuleIndex:
    """The modules of one profile, in its order (root first). Paths are dotted, the root's is empty.

    Each lookup is computed on first use and then kept.
    """

    def __init__(self, modules: Sequence[ModuleRecord]) -> None:
        self.modules: dict[str, ModuleRecord] = {module.path: module for module in modules}
        self._chains: dict[str, tuple[str, ...]] = {}

    def __getitem__(self, path: str) -> ModuleRecord:
        return self.modules[path]

    def __contains__(self, path: object) -> bool:
        return path in self.modules

    def __iter__(self) -> Iterator[ModuleRecord]:
        return iter(self.modules.values())

    def __len__(self) -> int:
        return len(self.modules)

    def get(self, path: str | None) -> ModuleRecord | None:
        """The module at `path`, None where there is none (or `path` is None: the missing side of a match)."""
        return None if path is None else self.modules.get(path)

    def find_parent(self, path: str) -> str | None:
        """The nearest module above `path`, which need not be a module itself; None above the root."""
        return next(self.walk_up(path), None)

    def walk_up(self, path: str) -> Iterator[str]:
        """The modules above `path`, nearest first."""
        while path:
            path = parent_path(path)
            if path in self.modules:
                yield path

    def list_chain(self, path: str) -> tuple[str, ...]:
        """The modules from the root (which counts even where it has no record) down to `path`, itself included."""
        if path not in self._chains:
            above = [each for each in self.walk_up(path) if each]  # a loop: models nest deeper than Python's recursion limit
            self._chains[path] = ("", *reversed(above), path) if path else ("",)
        return self._chains[path]

    def find_nearest(self, path: str) -> str | None:
        """`path` where it is a module, else the nearest module above."""
        return path if path in self.modules else self.find_parent(path)

    @cached_property
    def parents(self) -> dict[str, str | None]:
        """The parent of each module; None for a root."""
        return {path: self.find_parent(path) for path in self.modules}

    @cached_property
    def children(self) -> dict[str, tuple[str, ...]]:
        """The direct children of each module, in the profile's order; empty for a leaf."""
        below: dict[str, list[str]] = {path: [] for path in self.modules}
        for path, parent in self.parents.items():
            if parent is not None:
                below[parent].append(path)
        return {path: tuple(children) for path, children in below.items()}

    @cached_property
    def places(self) -> dict[str, int]:
        """The position of each module among the children of its parent."""
        return {path: place for below in self.children.values() for place, path in enumerate(below)}

    def is_leaf(self, path: str) -> bool:
        """Whether a module has no children."""
        return not self.children[path]

    def name(self, path: str) -> str:
        """A module's name within its parent: the path without the parent's."""
        parent = self.parents[path]
        return path[len(parent) + 1 :] if parent else path

    def list_subtree(self, path: str) -> list[ModuleRecord]:
        """A module and everything below it, parents first."""
        listed, waiting = [], [path]
        while waiting:
            current = waiting.pop()
            listed.append(self.modules[current])
            waiting.extend(reversed(self.children[current]))
        return listed

    @cached_property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The modules whose outputs each module takes as inputs, over all of its calls, in order of first use."""
        return {
            path: tuple(dict.fromkeys(source for call in module.calls for source in call.inputs_from))
            for path, module in self.modules.items()
        }

    @cached_property
    def tensors(self) -> dict[str, TensorOwner]:
        """Every parameter and buffer by its full name, as in a state dict: `layer1.0.conv.weight`."""
        return {
            join_name(module.path, tensor.name): TensorOwner(module, tensor)
            for module in self.modules.values()
            for tensor in module.tensors
        }


def parent_path(path: str) -> str:
    """The text before the last dot; empty for a direct child of the root. For paths that need not be modules of a profile."""
    return path.rpartition(".")[0]


def join_name(path: str, name: str) -> str:
    """The full name of something in the module at `path`: a child's path, or a tensor's key in the state dict."""
    return f"{path}.{name}" if path else name


def is_below(path: str, ancestor: str) -> bool:
    """Whether `path` is `ancestor` or below it. Everything is below the root."""
    return not ancestor or path == ancestor or path.startswith(f"{ancestor}.")


_indexes: dict[int, tuple[weakref.ref[Profile], ModuleIndex]] = {}


def index_modules(profile: Profile) -> ModuleIndex:
    """The index of a profile: the same object for the same profile as long as it lives."""
    known = _indexes.get(id(profile))
    if known is not None and known[0]() is profile:
        return known[1]
    key = id(profile)
    index = ModuleIndex(profile.modules)
    _indexes[key] = weakref.ref(profile, lambda _: _indexes.pop(key, None)), index
    return index
