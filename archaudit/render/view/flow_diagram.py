"""The forward pass: diagrams of both sides, with what is inside their boxes. What changed is what `Report.flow` says."""

from __future__ import annotations

from collections.abc import Sequence

from archaudit.index import index_modules
from archaudit.metrics.quantities import format_exact, format_percent, format_short
from archaudit.render.formatting import count, join_names, make_visible, name_path
from archaudit.render.view.drawing_records import Box, Diagram, Flow, FlowLine
from archaudit.render.view.flow_graph import Graph, fold_chains, fold_evenly, fold_quiet, fold_repeats, read_profile, read_sides
from archaudit.render.view.flow_insides import Insides, make_edges
from archaudit.render.view.flow_sides import (
    Side,
    describe_change,
    describe_shape,
    describe_type,
    make_side,
    name_anchors,
    name_nodes,
)
from archaudit.render.view.flow_steps import MOST_SOURCES, list_lines, summarise, write_step
from archaudit.schema import Pair, Profile, Report

# With more boxes than this, what did not change is drawn as few boxes; with more than the second number, neighbours are drawn as one box.
_MANY, _TOO_MANY = 30, 60
_LONGEST_ALT = 1_200
_NOT_RECORDED = "The data flow was not recorded, so there is nothing to draw."
_OLD_REPORT = "An earlier version wrote this report, without what the diagrams need: compare the models again to draw their data flow."


def view_flow(report: Report) -> Flow:
    """The flows of both sides, as `Report.flow` compares them."""
    profiles = Pair(report.before, report.after)
    flow = report.flow
    if flow is None or not all(profile.flow for profile in profiles):
        return Flow(diagrams=(), lines=(), message=_NOT_RECORDED)
    sentences = tuple(map(make_visible, flow.sentences))
    if not any(part.before_nodes for part in flow.parts):
        return Flow(diagrams=(), lines=(), message=_OLD_REPORT, sentences=sentences)
    graphs = _fold(read_sides(flow, profiles), profiles)
    rows = Pair({row.before_path: row for row in report.modules}, {row.after_path: row for row in report.modules})
    sides = Pair(
        make_side("before", report.before, graphs[0], rows.before, name_anchors(report.modules)),
        make_side("after", report.after, graphs[1], rows.after, {}),
    )
    lines, moved = list_lines(sides)
    diagrams, insides = _draw(sides)
    return Flow(
        diagrams=diagrams,
        insides=insides,
        lines=lines,
        sentences=sentences,
        summary=summarise((flow.detail or flow).parts, moved),
    )


def view_profile_flow(profile: Profile) -> Flow:
    """The flow of one profile."""
    if not profile.flow:
        return Flow(diagrams=(), lines=(), message=_NOT_RECORDED)
    (graph,) = _fold([read_profile(profile)], [profile])
    side = make_side("", profile, graph, {}, {})
    lines = tuple(FlowLine(mark="", kind="", before=write_step(side, position), after="") for position in range(len(graph.nodes)))
    diagrams, insides = _draw([side])
    return Flow(diagrams=diagrams, insides=insides, lines=lines, summary=count(len(lines), "step"))


def _fold(graphs: Sequence[Graph], profiles: Sequence[Profile]) -> Sequence[Graph]:
    """The graphs small enough to be read, with the changes and what is next to them in most detail."""
    graphs = fold_repeats(graphs, profiles)
    if _find_largest(graphs) > _MANY:
        graphs = fold_chains(graphs)
    if _find_largest(graphs) > _MANY and any(node.state for graph in graphs for node in graph.nodes):
        graphs = fold_quiet(graphs)
    if _find_largest(graphs) > _TOO_MANY:
        graphs = fold_evenly(graphs, _MANY)
    return graphs


def _find_largest(graphs: Sequence[Graph]) -> int:
    return max(len(graph.nodes) for graph in graphs)


def _draw(sides: Sequence[Side]) -> tuple[tuple[Diagram, ...], tuple[Diagram, ...]]:
    """The diagrams of the sides, and those inside their boxes."""
    insides = Insides(_draw_inner)
    outer = []
    for place, side in enumerate(sides):
        boxes = insides.find(side, place, _draw_boxes(side, side.graph, side.names, place))
        title = f"{format_short(side.profile.totals.params)} params"
        edges = make_edges(side.graph)
        outer.append(Diagram(side=side.label, title=title, alt=_write_alt(side), boxes=tuple(boxes), edges=edges))
    diagrams, inner = insides.select(outer)
    return tuple(diagrams), inner


def _draw_inner(side: Side, place: int, graph: Graph, base: str) -> list[Box]:
    """The boxes inside another one, with names relative to `base`."""
    prefix = f"{name_path(base)}." if base else ""
    return _draw_boxes(side, graph, [name.removeprefix(prefix) for name in name_nodes(graph, side.profile)], place, prefix)


def _draw_boxes(side: Side, graph: Graph, names: Sequence[str], place: int, prefix: str = "") -> list[Box]:
    index = index_modules(side.profile)
    whole = side.profile.totals.params
    boxes = []
    for node, name in zip(graph.nodes, names, strict=True):
        members = [index[path] for path in node.paths if path in index]
        params, flops = (sum(getattr(module.total, metric) for module in members) for metric in ("params", "flops"))
        share = params / whole if whole else 0.0
        complete = all(module.params_complete and module.flops_complete for module in members)
        exact = f"{format_exact(params)} params ({format_percent(share)}), {format_exact(flops)} FLOPs" if members else ""
        boxes.append(
            Box(
                kind="module" if node.is_module else {"input": "input", "enter": "enter"}.get(node.op, "operator"),
                name=name,
                type=describe_type(node, members),
                shape=describe_shape(node, side.profile),
                figures=f"{format_short(params)} params, {format_percent(share)}" if params else "no params" if node.is_module else "",
                exact=exact if complete or not exact else f"at least {exact}",
                share=round(100 * share, 1),
                state=node.state,
                change=describe_change(node, side, place),
                anchor=side.anchors.get(node.paths[0], f"layer-{name_path(node.paths[0])}") if node.is_module else "",
                path=name_path(node.paths[0]).removeprefix(prefix) if node.is_module and node.members is None else "",
            )
        )
    return boxes


def _write_alt(side: Side) -> str:
    """`Data flow before: input to backbone; backbone to aspp and low_level_project; …`"""
    parts = []
    for name, readers in zip(side.names, side.graph.list_readers(), strict=True):
        if readers:
            parts.append(f"{name} to {join_names([side.names[reader] for reader in readers], MOST_SOURCES)}")
    text = f"Data flow{' ' if side.label else ''}{side.label}: " + "; ".join(parts)
    return text if len(text) <= _LONGEST_ALT else text[: _LONGEST_ALT - 1] + "…"
