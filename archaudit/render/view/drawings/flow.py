"""The forward pass as the tape saw it: diagrams of both sides, and the two passes beside each other, step by step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

import msgspec

from archaudit.metrics.quantities import format_percent, format_short
from archaudit.render.formatting import ARROW, NOTHING, count, format_outputs, format_shape, join_names, make_visible, name_path
from archaudit.render.view.drawing_records import Box, Diagram, Edge, Flow, FlowLine
from archaudit.render.view.drawings.graph import Graph, Node, build_graph, choose_opened, fold_chains, fold_repeats, list_readers
from archaudit.render.view.drawings.wiring import Wired, find_new_edges, wire
from archaudit.schema import ModuleDiff, ModuleRecord, Profile, Report

# From here on stretches that did not change are drawn together; beyond the second nobody reads a diagram.
_MANY, _TOO_MANY = 30, 60
_MOST_SOURCES = 4
_MOST_NAMED = 6
_LONGEST_ALT = 1_200
_MARKS = {"added": "+", "removed": "-", "changed": "~", "": ""}
_NOT_RECORDED = "The data flow was not recorded, so there is nothing to draw."


class _Side(NamedTuple):
    """One side with all that its boxes and lines are made of. `names` are unique among its nodes."""

    label: str
    profile: Profile
    graph: Graph
    wired: Wired
    edges: dict[tuple[int, int], str]
    names: tuple[str, ...]


def view_flow(report: Report) -> Flow:
    """The flows of both sides."""
    flow = _view((("before", report.before), ("after", report.after)), report.modules)
    sentences = report.flow.sentences if report.flow is not None else ()
    return msgspec.structs.replace(flow, sentences=tuple(map(make_visible, sentences)))


def view_profile_flow(profile: Profile) -> Flow:
    """The flow of one profile."""
    return _view((("", profile),), ())


def _view(sides: Sequence[tuple[str, Profile]], rows: Sequence[ModuleDiff]) -> Flow:
    profiles = [profile for _, profile in sides]
    if not all(profile.flow for profile in profiles):
        return Flow(diagrams=(), lines=(), message=_NOT_RECORDED)
    twins = ({row.before_path: row.after_path for row in rows}, {row.after_path: row.before_path for row in rows})
    opened = choose_opened(profiles, lambda side, path: twins[side].get(path))
    graphs = [build_graph(profile, each) for profile, each in zip(profiles, opened, strict=True)]
    touched = _find_touched(rows)
    if max(map(len, graphs)) > 20 * _TOO_MANY:
        return Flow(diagrams=(), lines=(), message=_refuse(max(map(len, graphs))))
    wired = wire(graphs, rows, touched)
    folded = [_fold(graph, each, profile) for graph, each, profile in zip(graphs, wired, profiles, strict=True)]
    graphs, wired = [graph for graph, _ in folded], tuple(each for _, each in folded)
    if max(map(len, graphs)) > _TOO_MANY:
        return Flow(diagrams=(), lines=(), message=_refuse(max(map(len, graphs))))
    edges = find_new_edges(graphs, wired)
    made = [
        _Side(label, profile, graphs[place], wired[place], edges[place], _name_nodes(graphs[place], profile))
        for place, (label, profile) in enumerate(sides)
    ]
    lines = _list_lines(made, rows) if len(made) == 2 else _list_single(made[0])
    return Flow(diagrams=tuple(_draw(side, rows, place) for place, side in enumerate(made)), lines=lines, summary=_summarise(made, lines))


def _refuse(size: int) -> str:
    return f"The data flow between its modules has {count(size, 'step')}, which is more than can be read as a diagram."


def _find_touched(rows: Sequence[ModuleDiff]) -> frozenset[int]:
    """The rows that changed, or have one below them that did, on either side."""
    touched: set[int] = set()
    for side in (0, 1):
        places = {(row.before_path, row.after_path)[side]: number for number, row in enumerate(rows)}
        for number, row in enumerate(rows):
            path = (row.before_path, row.after_path)[side]
            if row.changes == ("same",) or path is None:
                continue
            touched.add(number)
            while path:
                path = path.rpartition(".")[0]
                if path in places:
                    touched.add(places[path])
    return frozenset(touched)


def _fold(graph: Graph, wired: Wired, profile: Profile) -> tuple[Graph, Wired]:
    """Like layers in a row become one node; where there are many still, so do stretches that did not change."""
    kinds = {module.path: (module.type, module.total.params, module.total.flops) for module in profile.modules}
    alike = [(kinds.get(node.paths[0]), state) if node.is_module else None for node, state in zip(graph, wired.states, strict=True)]
    graph, wired = _merge(wired, *fold_repeats(graph, alike))
    if len(graph) > _MANY:
        graph, wired = _merge(wired, *fold_chains(graph, [not state for state in wired.states]))
    return graph, wired


def _merge(wired: Wired, graph: Graph, moved: Sequence[int]) -> tuple[Graph, Wired]:
    """What became of the merged nodes: the same as of one in each, the one whose row comes first, so that the same modules in another
    order are the same node."""
    first: dict[int, int] = {}
    for position, place in enumerate(moved):
        if place not in first or wired.tokens[position] < wired.tokens[first[place]]:
            first[place] = position
    kept = [first[place] for place in range(len(graph))]
    return graph, Wired(tuple(wired.tokens[each] for each in kept), tuple(wired.states[each] for each in kept))


# --- names ------------------------------------------------------------------------------------------------------------


def _name_nodes(graph: Graph, profile: Profile) -> tuple[str, ...]:
    """Paths for modules, words for operators; those that are there several times are numbered."""
    inputs = iter(profile.inputs)
    places = _place_siblings(profile)
    names = [_name_input(next(inputs, None)) if node.op == "input" else _name_node(node, places) for node in graph]
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
    name = op.rstrip("_") or op
    return ("interpolate", name.removeprefix("upsample_")) if name.startswith("upsample_") else (name, "")


# --- diagrams ---------------------------------------------------------------------------------------------------------


def _draw(side: _Side, rows: Sequence[ModuleDiff], place: int) -> Diagram:
    by_path = {(row.before_path, row.after_path)[place]: row for row in rows}
    modules = {module.path: module for module in side.profile.modules}
    boxes = []
    for position, node in enumerate(side.graph):
        state = side.wired.states[position]
        members = [modules[path] for path in node.paths if path in modules]
        params = sum(module.total.params for module in members)
        share = params / side.profile.totals.params if side.profile.totals.params else 0.0
        boxes.append(
            Box(
                kind="module" if node.is_module else "input" if node.op == "input" else "operator",
                name=side.names[position],
                type=_describe_type(node, members),
                shape=_describe_shape(node, side.profile),
                figures=f"{format_short(params)} params, {format_percent(share)}" if params else "no params" if node.is_module else "",
                share=round(100 * share, 1),
                state=state,
                change=_describe_change(node, state, by_path, place),
                anchor=_name_anchor(node.paths[0], by_path, rows) if node.is_module else "",
            )
        )
    edges = tuple(Edge(source=source, target=target, state=state) for (source, target), state in side.edges.items())
    title = f"{format_short(side.profile.totals.params)} params"
    return Diagram(side=side.label, title=title, alt=_tell(side), boxes=tuple(boxes), edges=edges)


def _name_anchor(path: str, by_path: dict[str | None, ModuleDiff], rows: Sequence[ModuleDiff]) -> str:
    """The row of a module in the layer table (`view.tree` names them)."""
    row = by_path.get(path)
    if row is None or row.after_path is not None:
        return f"layer-{name_path(path if row is None else row.after_path)}"
    is_taken = any(other.after_path == path for other in rows)
    return f"layer-{'before-' if is_taken else ''}{name_path(path)}"


def _describe_type(node: Node, members: Sequence[ModuleRecord]) -> str:
    """A module's type, `12 × EncoderLayer` for a run of them; how an operator does it where it says so."""
    if not members:
        return make_visible(_split_operator(node.op)[1])
    types = {module.type for module in members}
    if len(members) == 1:
        return make_visible(members[0].type)
    return f"{len(members)} × {make_visible(members[0].type)}" if len(types) == 1 else count(len(members), "module")


def _describe_shape(node: Node, profile: Profile) -> str:
    if not node.is_module:
        return format_shape(node.shape) if node.shape is not None else ""
    module = next((each for each in profile.modules if each.path == node.paths[-1]), None)
    return format_outputs(module.calls) if module is not None and module.calls else ""


def _describe_change(node: Node, state: str, by_path: dict[str | None, ModuleDiff], place: int) -> str:
    """What happened, in the words of a row; of a container that stayed while something in it changed, that."""
    if not state or not node.is_module:
        return {"changed": "re-wired"}.get(state, state)
    row = by_path.get(node.paths[0])
    if row is None or state != "changed":
        return state
    other = (row.after_path, row.before_path)[place]
    if other != node.paths[0]:
        known = [by_path.get(path) for path in node.paths]
        others = [(each.after_path, each.before_path)[place] for each in known if each is not None]
        return f"{('becomes', 'was')[place]} {_name_run(name_path(other), others)}"
    return "changed inside" if row.changes == ("same",) else ", ".join(map(make_visible, row.changes))


def _name_run(first: str, paths: Sequence[str | None]) -> str:
    """`layers.0 … 11`, where the counterparts of a run stand under one parent, too; else the first."""
    parent = first.rpartition(".")[0]
    together = all(path is not None and path.rpartition(".")[0] == parent for path in paths)
    return f"{first} … {str(paths[-1]).rpartition('.')[2]}" if together and len(paths) > 1 else first


def _tell(side: _Side) -> str:
    """`Data flow before: input to backbone; backbone to aspp and low_level_project; …`"""
    parts = []
    for name, readers in zip(side.names, list_readers(side.graph), strict=True):
        if readers:
            parts.append(f"{name} to {join_names([side.names[reader] for reader in readers], _MOST_SOURCES)}")
    text = f"Data flow{' ' if side.label else ''}{side.label}: " + "; ".join(parts)
    return text if len(text) <= _LONGEST_ALT else text[: _LONGEST_ALT - 1] + "…"


# --- the forward pass, step by step -----------------------------------------------------------------------------------


def _list_lines(sides: Sequence[_Side], rows: Sequence[ModuleDiff]) -> tuple[FlowLine, ...]:
    """Both passes aligned: what is on both sides in the same order stands in one line. A step that changed but reads and makes the same
    says how it changed."""
    before, after = sides
    by_path = {row.after_path: row for row in rows}
    texts = [[_write_step(side, position) for position in range(len(side.graph))] for side in sides]
    common = set(before.wired.tokens) & set(after.wired.tokens)
    lines: list[FlowLine] = []
    matcher = SequenceMatcher(None, before.wired.tokens, after.wired.tokens, autojunk=False)
    for tag, start, end, start_after, end_after in matcher.get_opcodes():
        if tag == "equal":
            for one, other in zip(range(start, end), range(start_after, end_after), strict=True):
                state = after.wired.states[other] or ("changed" if _list_facts(before, one) != _list_facts(after, other) else "")
                text = texts[1][other]
                if state and text == texts[0][one]:
                    text += f" ({_describe_change(after.graph[other], state, by_path, 1)})"
                lines.append(FlowLine(mark=_MARKS[state], kind=state, before=texts[0][one], after=text))
            continue
        for side, positions in ((0, range(start, end)), (1, range(start_after, end_after))):
            lines += (_write_alone(side, texts[side][each], sides[side].wired.tokens[each] in common) for each in positions)
    return tuple(lines)


def _list_facts(side: _Side, position: int) -> tuple[object, ...]:
    """What two steps must have in common to be the same; names may differ, since operators are numbered."""
    node = side.graph[position]
    return [side.wired.tokens[source] for source in node.sources], _describe_shape(node, side.profile), node.symbolic


def _write_alone(side: int, text: str, moved: bool) -> FlowLine:
    kind = "moved" if moved else ("removed", "added")[side]
    mark = "↕" if moved else ("-", "+")[side]
    return FlowLine(mark=mark, kind=kind, before=text if side == 0 else "", after=text if side == 1 else "")


def _list_single(side: _Side) -> tuple[FlowLine, ...]:
    return tuple(FlowLine(mark="", kind="", before=_write_step(side, position), after="") for position in range(len(side.graph)))


def _write_step(side: _Side, position: int) -> str:
    """`cat(interpolate bilinear, low_level_project) → [B, 160, H/4, W/4]`."""
    node = side.graph[position]
    sources = join_names([side.names[source] for source in node.sources], _MOST_SOURCES)
    name = side.names[position] if node.op == "input" else f"{side.names[position]}({sources})"
    shape = f"[{', '.join(map(make_visible, node.symbolic))}]" if node.symbolic else _describe_shape(node, side.profile)
    return f"{name} {ARROW} {shape}" if shape else name


def _summarise(sides: Sequence[_Side], lines: Collection[FlowLine]) -> str:
    if len(sides) == 1:
        return count(len(sides[0].graph), "step")
    kinds = Counter(line.kind for line in lines)
    parts = [f"{kinds[kind]:,} {kind}" for kind in ("added", "removed", "changed") if kinds[kind]]
    if kinds["moved"]:
        parts.append(f"{kinds['moved'] // 2:,} moved")
    told = ", ".join(parts) or "the same"
    return f"{count(len(sides[0].graph), 'step')} before, {len(sides[1].graph):,} after: {told}"
