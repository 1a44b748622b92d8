"""The module tree of a model: paths, settings and children, read from `_modules` directly.

torch's own lookups (`get_submodule`, `named_children`) fail on empty names and on names with dots. This walk accepts every name, and
every depth, because it does not recurse.
"""

from __future__ import annotations

import enum
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import nn

from archaudit.schema import Setting
from archaudit.schema.record import escape_surrogates

# A longer list is data, not a hyperparameter.
_LONGEST_SETTING = 64
_DEEPEST_SETTING = 3
# A module that is shared at every level of a deep model has exponentially many paths.
_MOST_PATHS = 100_000


@dataclass(frozen=True, slots=True)
class ModuleTree:
    """Every module of a model once, in `named_modules()` order, root first.

    All sequences have one entry for each module. `parents[i]` is the position of the module under which module i was first found (-1 for
    the root). `is_leaf[i]` says whether it has no submodules. `positions` maps `id(module)` to its position.
    """

    modules: tuple[nn.Module, ...]
    paths: tuple[str, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    is_leaf: tuple[bool, ...]
    positions: dict[int, int]

    def __len__(self) -> int:
        return len(self.modules)


def walk_tree(model: nn.Module) -> ModuleTree:
    """The tree of `model`. A module that is registered under several names is listed once, under the first."""
    modules: list[nn.Module] = []
    paths: list[str] = []
    parents: list[int] = []
    depths: list[int] = []
    is_leaf: list[bool] = []
    positions: dict[int, int] = {}
    taken: set[str] = set()
    pending: list[tuple[nn.Module, str, int, int]] = [(model, "", -1, 0)]
    while pending:
        module, path, parent, depth = pending.pop()
        if id(module) in positions:
            continue
        path = _make_unique(path, taken)
        position = positions[id(module)] = len(modules)
        modules.append(module)
        paths.append(path)
        parents.append(parent)
        depths.append(depth)
        children = list(iterate_children(module))
        is_leaf.append(not children)
        for name, child in reversed(children):
            pending.append((child, f"{path}.{name}" if parent >= 0 or path else name, position, depth + 1))
    return ModuleTree(tuple(modules), tuple(paths), tuple(parents), tuple(depths), tuple(is_leaf), positions)


def iterate_children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The direct submodules with their names; names that are set to None are skipped."""
    children = module._modules
    # the table of a ScriptModule is a view of C++ objects that has no `values()`
    for name in list(children.keys()):
        child = children[name]
        if child is not None:
            yield name, child


def _make_unique(path: str, taken: set[str]) -> str:
    """The path, or the path with `#2` where another module has it: a child named `a.b` and the child `b` of `a` have the same path."""
    unique, number = escape_surrogates(path), 2
    path = unique
    while unique in taken:
        unique, number = f"{path}#{number}", number + 1
    taken.add(unique)
    return unique


def is_script(module: nn.Module) -> bool:
    """Whether TorchScript's interpreter runs the module: its parts cannot be observed, and attributes cannot be set on it."""
    return type(module).__module__.startswith("torch.jit") or type(module).__name__ in ("RecursiveScriptModule", "TopLevelTracedModule")


def find_inside_script(tree: ModuleTree) -> dict[int, int]:
    """The positions of the modules inside TorchScript modules, with the position of the topmost of these."""
    inside: dict[int, int] = {}
    for position, module in enumerate(tree.modules):
        parent = tree.parents[position]
        if parent >= 0 and is_script(module) and is_script(tree.modules[parent]):
            inside[position] = inside.get(parent, parent)
    return inside


def list_aliases(tree: ModuleTree) -> dict[int, tuple[str, ...]]:
    """By position, the further paths of each module that has several, and of the modules inside it.

    The tree lists a shared module once, but a state_dict has its keys under every path.
    """
    links = [[(name, tree.positions[id(child)]) for name, child in iterate_children(module)] for module in tree.modules]
    if sum(map(len, links)) == len(tree) - 1:
        return {}
    aliases: dict[int, list[str]] = {}
    pending: list[tuple[int, str, tuple[int, ...]]] = [(0, "", ())]
    for _ in range(_MOST_PATHS):
        if not pending:
            break
        position, path, above = pending.pop()
        if path != tree.paths[position]:
            aliases.setdefault(position, []).append(escape_surrogates(path))
        for name, child in reversed(links[position]):
            if child != position and child not in above:
                pending.append((child, f"{path}.{name}" if above or path else name, (*above, position)))
    return {position: tuple(paths) for position, paths in aliases.items()}


def read_settings(module: nn.Module) -> dict[str, Setting]:
    """The hyperparameters of a module: its public attributes with plain values, and whether it has a bias.

    Functions (an activation kept as an attribute), dtypes and enum members are given by name. Tensors, modules and other objects are left
    out, and so is `training`, which is a mode and not a setting.
    """
    settings: dict[str, Setting] = {}
    for name, value in vars(module).items():
        if not name.startswith("_") and name != "training" and name != "forward":
            try:
                plain = _as_plain(value)
            except Exception:  # noqa: BLE001 - an object of a library may refuse anything (`len` of a tuple subclass); then it is left out
                plain = _LEFT_OUT
            if plain is not _LEFT_OUT:
                settings[escape_surrogates(name)] = plain  # type: ignore[assignment]
    parameters = vars(module).get("_parameters", {})
    if "bias" in parameters:
        settings["bias"] = parameters["bias"] is not None
    return settings


_LEFT_OUT = object()


def _as_plain(value: object, depth: int = 0) -> object:
    if isinstance(value, enum.Enum):
        return escape_surrogates(value.name)
    if isinstance(value, str):
        return escape_surrogates(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, list | tuple) and len(value) <= _LONGEST_SETTING and depth < _DEEPEST_SETTING:
        # a subclass can have more items than its length, even without end
        items = [_as_plain(item, depth + 1) for item in islice(value, _LONGEST_SETTING + 1)]
        return _LEFT_OUT if len(items) > _LONGEST_SETTING or any(item is _LEFT_OUT for item in items) else items
    if typing.get_origin(value) is not None:
        return _LEFT_OUT  # a type such as `list[int]` or `Optional[int]`
    # a lambda has no name that says what it does; what it runs is in the forward pass
    name = getattr(value, "__name__", "<lambda>")
    if callable(value) and not isinstance(value, nn.Module | type) and name != "<lambda>":
        return escape_surrogates(str(name))
    return _LEFT_OUT
