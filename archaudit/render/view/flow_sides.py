"""One side of the forward pass as it is drawn and written: the names of its nodes, their shapes, and what happened to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from archaudit.index import index_modules, parent_path
from archaudit.render.formatting import NOTHING, count, format_outputs, format_shape, join_names, make_visible, name_path
from archaudit.render.view.flow_graph import Graph, Node
from archaudit.schema import FlowPartChange, ModuleDiff, ModuleRecord, Profile

_MOST_NAMED = 6


class Side(NamedTuple):
    """One side with everything that its boxes and lines are made of.

    `names` (unique) and `sources` are by the position of a node, `rows` and `anchors` (links into the layer table) by path. `above` are the
    modules that have a changed one inside them.
    """

    label: str
    profile: Profile
    graph: Graph
    names: tuple[str, ...]
    sources: list[list[int]]
    rows: Mapping[str | None, ModuleDiff]
    anchors: Mapping[str | None, str]
    above: frozenset[str] = frozenset()

    def find_change(self, path: str) -> FlowPartChange:
        """What happened to a module, or inside it, as its row and those below it say."""
        row = self.rows.get(path)
        changes = () if row is None else row.changes
        if "added" in changes or "removed" in changes:
            return "added" if "added" in changes else "removed"
        return "changed" if changes not in ((), ("same",)) or path in self.above else "same"


def make_side(label: str, profile: Profile, graph: Graph, rows: Mapping[str | None, ModuleDiff], anchors: Mapping[str | None, str]) -> Side:
    index = index_modules(profile)
    changed = [path for path, row in rows.items() if path is not None and row.changes != ("same",)]
    above = frozenset(container for path in changed for container in index.walk_up(path))
    return Side(label, profile, graph, name_nodes(graph, profile), graph.list_sources(), rows, anchors, above)


def name_anchors(rows: Sequence[ModuleDiff]) -> dict[str | None, str]:
    """The link of each module before into the layer table, which names rows by the path after (`view.tree`)."""
    taken = {row.after_path for row in rows}
    anchors: dict[str | None, str] = {}
    for row in rows:
        if row.before_path is not None:
            own = f"layer-{'before-' if row.before_path in taken else ''}{name_path(row.before_path)}"
            anchors[row.before_path] = own if row.after_path is None else f"layer-{name_path(row.after_path)}"
    return anchors


def name_nodes(graph: Graph, profile: Profile) -> tuple[str, ...]:
    """Paths for modules, words for operators; those that are there several times are numbered."""
    inputs = iter(profile.inputs)
    places = index_modules(profile).places
    names = [_name_input(next(inputs, None)) if node.op == "input" else _name_node(node, places) for node in graph.nodes]
    often = Counter(names)
    seen: Counter[str] = Counter()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} {seen[name]}" if often[name] > 1 else name)
    return tuple(unique)


def _name_input(record: object) -> str:
    name = getattr(record, "name", "")
    return "input" if not name or name.isdecimal() else f"input {make_visible(name)}"


def _name_node(node: Node, places: Mapping[str, int]) -> str:
    """`blocks.0 … 3` for a run of all from the first to the last; the names one by one where some run in another order, or not at all."""
    if node.op == "enter":
        return "in"
    if not node.is_module:
        several = f" and {node.steps - 1:,} more" if node.members is not None else ""
        return (make_visible(split_operator(node.op)[0]) or NOTHING) + several
    first, last = name_path(node.paths[0]), name_path(node.paths[-1])
    if len(node.paths) == 1:
        return first
    above = f"{parent}." if (parent := first.rpartition(".")[0]) else ""
    run = [places.get(path, 0) for path in node.paths]
    if run == list(range(run[0], run[0] + len(run))):
        return f"{first} … {last.removeprefix(above)}"
    return join_names([first, *(name_path(path).removeprefix(above) for path in node.paths[1:])], _MOST_NAMED)


def split_operator(op: str) -> tuple[str, str]:
    """What people call it, and how it does it: `interpolate` and `bilinear2d` for upsample_bilinear2d, `add` for add_."""
    name = op.strip("_") or op
    return ("interpolate", name.removeprefix("upsample_")) if name.startswith("upsample_") else (name, "")


def describe_type(node: Node, members: Sequence[ModuleRecord]) -> str:
    """A module's type, `12 × EncoderLayer` for a run of them; the method of an operator where its name has one."""
    if not members:
        return make_visible(split_operator(node.op)[1])
    types = {module.type for module in members}
    if len(members) == 1 and node.members is None:
        return make_visible(members[0].type)
    if len(types) == 1 and node.steps == len(members):
        return f"{len(members):,} × {make_visible(members[0].type)}"
    return count(len(members), "module") if node.steps == len(members) else count(node.steps, "step")


def describe_shape(node: Node, profile: Profile) -> str:
    if not node.is_module:
        return format_shape(node.shape) if node.shape is not None else ""
    module = index_modules(profile).get(node.paths[-1])
    return format_outputs(module) if module is not None and module.calls else ""


def describe_change(node: Node, side: Side, place: int) -> str:
    """What happened, in the words of the module's row; for a container that is the same while something in it changed, that."""
    if node.change in ("same", "added", "removed"):
        return node.state
    row = side.rows.get(node.paths[0]) if node.is_module else None
    if row is None or node.change != "changed":
        return node.change
    other = (row.after_path, row.before_path)[place]
    if other is not None and other != node.paths[0]:
        known = [side.rows.get(path) for path in node.paths]
        others = [(each.after_path, each.before_path)[place] for each in known if each is not None]
        return f"{('becomes', 'was')[place]} {_name_run(name_path(other), others)}"
    if row.changes == ("same",):
        return "changed inside"
    own = [make_visible(change.text) for change in row.forward_changes or () if change.kind != "call"]
    return ", ".join([*(make_visible(kind) for kind in row.changes if kind != "forward" or not own), *own])


def _name_run(first: str, paths: Sequence[str | None]) -> str:
    """`layers.0 … 11`, where the counterparts of a run are under one parent too; else the first."""
    parent = parent_path(first)
    together = all(path is not None and parent_path(path) == parent for path in paths)
    return f"{first} … {str(paths[-1]).rpartition('.')[2]}" if together and len(paths) > 1 else first
