"""The forward pass: diagrams of both sides, and both passes in two columns, step by step. What changed is what `Report.flow` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from archaudit.index import index_modules, parent_path
from archaudit.metrics.quantities import format_percent, format_short
from archaudit.render.formatting import (
    ARROW,
    NOTHING,
    count,
    format_outputs,
    format_setting,
    format_shape,
    join_names,
    make_visible,
    name_path,
)
from archaudit.render.view.drawing_records import Box, Diagram, Edge, Flow, FlowLine
from archaudit.render.view.flow_graph import Graph, Node, fold_chains, fold_repeats, read_profile, read_sides
from archaudit.schema import FlowPart, ModuleDiff, ModuleRecord, Pair, Profile, Report

# With more boxes than this, chains without a change are drawn as one box; with more than the second number a diagram is unreadable.
_MANY, _TOO_MANY = 30, 60
# Graphs with more nodes than this are not folded at all: nothing readable is left of them.
_NEVER_FOLDED = 20 * _TOO_MANY
_MOST_SOURCES = 4
_MOST_ARGUMENTS = 3
_MOST_NAMED = 6
_LONGEST_ALT = 1_200
_MARKS = {"added": "+", "removed": "-", "changed": "~", "": ""}
_NOT_RECORDED = "The data flow was not recorded, so there is nothing to draw."
_OLD_REPORT = "An earlier version wrote this report, without what the diagrams need: compare the models again to draw their data flow."


class _Side(NamedTuple):
    """One side with everything that its boxes and lines are made of.

    `names` (unique) and `sources` are by the position of a node, `rows` and `anchors` (links into the layer table) by path.
    """

    label: str
    profile: Profile
    graph: Graph
    names: tuple[str, ...]
    sources: list[list[int]]
    rows: Mapping[str | None, ModuleDiff]
    anchors: Mapping[str | None, str]


def view_flow(report: Report) -> Flow:
    """The flows of both sides, as `Report.flow` compares them."""
    profiles = Pair(report.before, report.after)
    flow = report.flow
    if flow is None or not all(profile.flow for profile in profiles):
        return Flow(diagrams=(), lines=(), message=_NOT_RECORDED)
    if not any(part.before_nodes for part in flow.parts):
        return Flow(diagrams=(), lines=(), message=_OLD_REPORT, sentences=tuple(map(make_visible, flow.sentences)))
    graphs, message = _fold(read_sides(flow, profiles), profiles)
    sentences = tuple(map(make_visible, flow.sentences))
    if message:
        return Flow(diagrams=(), lines=(), message=message, sentences=sentences)
    rows = Pair({row.before_path: row for row in report.modules}, {row.after_path: row for row in report.modules})
    sides = Pair(
        _make_side("before", report.before, graphs[0], rows.before, _name_anchors(report.modules)),
        _make_side("after", report.after, graphs[1], rows.after, {}),
    )
    lines, moved = _list_lines(sides)
    return Flow(
        diagrams=(_draw(sides.before, 0), _draw(sides.after, 1)),
        lines=lines,
        sentences=sentences,
        summary=_summarise((flow.detail or flow).parts, moved),
    )


def view_profile_flow(profile: Profile) -> Flow:
    """The flow of one profile."""
    if not profile.flow:
        return Flow(diagrams=(), lines=(), message=_NOT_RECORDED)
    (graph,), message = _fold([read_profile(profile)], [profile])
    if message:
        return Flow(diagrams=(), lines=(), message=message)
    side = _make_side("", profile, graph, {}, {})
    lines = tuple(FlowLine(mark="", kind="", before=_write_step(side, position), after="") for position in range(len(graph.nodes)))
    return Flow(diagrams=(_draw(side, 0),), lines=lines, summary=count(len(lines), "step"))


def _make_side(
    label: str, profile: Profile, graph: Graph, rows: Mapping[str | None, ModuleDiff], anchors: Mapping[str | None, str]
) -> _Side:
    return _Side(label, profile, graph, _name_nodes(graph, profile), graph.list_sources(), rows, anchors)


def _name_anchors(rows: Sequence[ModuleDiff]) -> dict[str | None, str]:
    """The link of each module before into the layer table, which names rows by the path after (`view.tree`)."""
    taken = {row.after_path for row in rows}
    anchors: dict[str | None, str] = {}
    for row in rows:
        if row.before_path is not None:
            own = f"layer-{'before-' if row.before_path in taken else ''}{name_path(row.before_path)}"
            anchors[row.before_path] = own if row.after_path is None else f"layer-{name_path(row.after_path)}"
    return anchors


def _fold(graphs: Sequence[Graph], profiles: Sequence[Profile]) -> tuple[Sequence[Graph], str]:
    """The graphs small enough to be read, or why there are none."""
    largest = max(len(graph.nodes) for graph in graphs)
    if largest <= _NEVER_FOLDED:
        graphs = fold_repeats(graphs, profiles)
        if max(len(graph.nodes) for graph in graphs) > _MANY:
            graphs = fold_chains(graphs)
        largest = max(len(graph.nodes) for graph in graphs)
    if largest > _TOO_MANY:
        return graphs, f"The data flow between its modules has {count(largest, 'step')}, which is more than can be read as a diagram."
    return graphs, ""


# --- names ------------------------------------------------------------------------------------------------------------


def _name_nodes(graph: Graph, profile: Profile) -> tuple[str, ...]:
    """Paths for modules, words for operators; those that are there several times are numbered."""
    inputs = iter(profile.inputs)
    places = _place_siblings(profile)
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


def _place_siblings(profile: Profile) -> dict[str, int]:
    """The place of each module among the children of its parent."""
    seen: Counter[str] = Counter()
    places = {}
    for module in profile.modules:
        parent = module.path.rpartition(".")[0]
        places[module.path] = seen[parent]
        seen[parent] += 1
    return places


def _name_node(node: Node, places: Mapping[str, int]) -> str:
    """`blocks.0 … 3` for a run of all from the first to the last; the names one by one where some run in another order, or not at all."""
    if not node.is_module:
        return make_visible(_split_operator(node.op)[0]) or NOTHING
    first, last = name_path(node.paths[0]), name_path(node.paths[-1])
    if len(node.paths) == 1:
        return first
    above = f"{parent}." if (parent := first.rpartition(".")[0]) else ""
    run = [places.get(path, 0) for path in node.paths]
    if run == list(range(run[0], run[0] + len(run))):
        return f"{first} … {last.removeprefix(above)}"
    return join_names([first, *(name_path(path).removeprefix(above) for path in node.paths[1:])], _MOST_NAMED)


def _split_operator(op: str) -> tuple[str, str]:
    """What people call it, and how it does it: `interpolate` and `bilinear2d` for upsample_bilinear2d, `add` for add_."""
    name = op.strip("_") or op
    return ("interpolate", name.removeprefix("upsample_")) if name.startswith("upsample_") else (name, "")


# --- diagrams ---------------------------------------------------------------------------------------------------------


def _draw(side: _Side, place: int) -> Diagram:
    index = index_modules(side.profile)
    boxes = []
    for node, name in zip(side.graph.nodes, side.names, strict=True):
        members = [index[path] for path in node.paths if path in index]
        params = sum(module.total.params for module in members)
        share = params / side.profile.totals.params if side.profile.totals.params else 0.0
        boxes.append(
            Box(
                kind="module" if node.is_module else "input" if node.op == "input" else "operator",
                name=name,
                type=_describe_type(node, members),
                shape=_describe_shape(node, side.profile),
                figures=f"{format_short(params)} params, {format_percent(share)}" if params else "no params" if node.is_module else "",
                share=round(100 * share, 1),
                state=node.state,
                change=_describe_change(node, side, place),
                anchor=side.anchors.get(node.paths[0], f"layer-{name_path(node.paths[0])}") if node.is_module else "",
            )
        )
    edges = tuple(Edge(source=edge.source, target=edge.target, state=edge.state) for edge in side.graph.edges)
    title = f"{format_short(side.profile.totals.params)} params"
    return Diagram(side=side.label, title=title, alt=_write_alt(side), boxes=tuple(boxes), edges=edges)


def _describe_type(node: Node, members: Sequence[ModuleRecord]) -> str:
    """A module's type, `12 × EncoderLayer` for a run of them; the method of an operator where its name has one."""
    if not members:
        return make_visible(_split_operator(node.op)[1])
    types = {module.type for module in members}
    if len(members) == 1:
        return make_visible(members[0].type)
    return f"{len(members)} × {make_visible(members[0].type)}" if len(types) == 1 else count(len(members), "module")


def _describe_shape(node: Node, profile: Profile) -> str:
    if not node.is_module:
        return format_shape(node.shape) if node.shape is not None else ""
    module = index_modules(profile).get(node.paths[-1])
    return format_outputs(module) if module is not None and module.calls else ""


def _describe_change(node: Node, side: _Side, place: int) -> str:
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


def _write_alt(side: _Side) -> str:
    """`Data flow before: input to backbone; backbone to aspp and low_level_project; …`"""
    parts = []
    for name, readers in zip(side.names, side.graph.list_readers(), strict=True):
        if readers:
            parts.append(f"{name} to {join_names([side.names[reader] for reader in readers], _MOST_SOURCES)}")
    text = f"Data flow{' ' if side.label else ''}{side.label}: " + "; ".join(parts)
    return text if len(text) <= _LONGEST_ALT else text[: _LONGEST_ALT - 1] + "…"


# --- the forward pass, step by step -----------------------------------------------------------------------------------


def _list_lines(sides: Pair[_Side]) -> tuple[tuple[FlowLine, ...], int]:
    """Both passes in two columns, and how many steps run at another place in the order.

    A step that is on both sides, in the same order, is one line. Where a changed step has the same text on both sides, the line says how it
    changed.
    """
    # a shape in terms of the input, next to one in numbers, would look like another shape
    named = sides.map(lambda side: {node.parts: bool(node.symbolic) for node in side.graph.nodes})
    plain = {parts for parts, known in named.before.items() if named.after.get(parts, known) != known}
    texts = sides.map(
        lambda side: [_write_step(side, place, symbolic=node.parts not in plain) for place, node in enumerate(side.graph.nodes)]
    )
    steps = sides.map(lambda side: [node.parts for node in side.graph.nodes])
    common = set(steps.before) & set(steps.after)
    lines: list[FlowLine] = []
    moved = 0
    for tag, start, end, start_after, end_after in SequenceMatcher(None, *steps, autojunk=False).get_opcodes():
        if tag == "equal":
            for one, other in zip(range(start, end), range(start_after, end_after), strict=True):
                node, text = sides.after.graph.nodes[other], texts.after[other]
                kind = "" if node.change == "same" else "changed"
                if kind and text == texts.before[one]:
                    text += f" ({_describe_change(node, sides.after, 1)})"
                lines.append(FlowLine(mark=_MARKS[kind], kind=kind, before=texts.before[one], after=text))
            continue
        for place in range(start, end):
            kind, mark = ("moved", "↕") if steps.before[place] in common else ("removed", "-")
            moved += len(steps.before[place]) if kind == "moved" else 0
            lines.append(FlowLine(mark=mark, kind=kind, before=texts.before[place], after=""))
        for place in range(start_after, end_after):
            kind, mark = ("moved", "↕") if steps.after[place] in common else ("added", "+")
            lines.append(FlowLine(mark=mark, kind=kind, before="", after=texts.after[place]))
    return tuple(lines), moved


def _write_step(side: _Side, position: int, *, symbolic: bool = True) -> str:
    """`cat(interpolate bilinear, low_level_project) → [B, 160, H/4, W/4]`; the shape in numbers where not `symbolic`, or not known so."""
    node = side.graph.nodes[position]
    sources = join_names([side.names[source] for source in side.sources[position]], _MOST_SOURCES)
    inside = ", ".join([*([sources] if sources else []), *_list_arguments(node)])
    name = side.names[position] if node.op == "input" else f"{side.names[position]}({inside})"
    shape = f"[{', '.join(map(make_visible, node.symbolic))}]" if node.symbolic and symbolic else _describe_shape(node, side.profile)
    return f"{name} {ARROW} {shape}" if shape else name


def _list_arguments(node: Node) -> list[str]:
    """`dim=1`, and `2` for the second factor of a product."""
    shown = [
        make_visible(format_setting(value)) if name == "other" else f"{make_visible(name)}={make_visible(format_setting(value))}"
        for name, value in node.arguments
        if value != "none"
    ]
    return shown[:_MOST_ARGUMENTS]


def _summarise(parts: Sequence[FlowPart], moved: int) -> str:
    """`6 steps before, 7 after: 1 added, 2 changed`: the parts of `Report.flow` that are drawn."""
    counts = Counter(part.change if part.change in ("same", "added", "removed") else "changed" for part in parts if part.kind != "output")
    before, after = sum(bool(part.before_nodes) for part in parts), sum(bool(part.after_nodes) for part in parts)
    listed = [f"{counts[kind]:,} {kind}" for kind in ("added", "removed", "changed") if counts[kind]]
    listed += [f"{moved:,} moved"] if moved else []
    return f"{count(before, 'step')} before, {after:,} after: {', '.join(listed) or 'no change'}"
