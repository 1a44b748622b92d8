"""The forward pass step by step: both sides in two columns. What changed is what `Report.flow` says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from archaudit.render.formatting import ARROW, count, format_setting, join_names, make_visible
from archaudit.render.view.drawing_records import FlowLine
from archaudit.render.view.flow_graph import Node
from archaudit.render.view.flow_sides import Side, describe_change, describe_shape
from archaudit.schema import FlowPart, Pair

MOST_SOURCES = 4
_MOST_ARGUMENTS = 3
_MARKS = {"added": "+", "removed": "-", "changed": "~", "": ""}


def list_lines(sides: Pair[Side]) -> tuple[tuple[FlowLine, ...], int]:
    """Both passes in two columns, and how many steps run at another place in the order.

    A step that is on both sides, in the same order, is one line. Where a changed step has the same text on both sides, the line says how it
    changed.
    """
    # a shape in terms of the input, next to one in numbers, would look like another shape
    named = sides.map(lambda side: {node.parts: bool(node.symbolic) for node in side.graph.nodes})
    plain = {parts for parts, known in named.before.items() if named.after.get(parts, known) != known}
    texts = sides.map(
        lambda side: [write_step(side, place, symbolic=node.parts not in plain) for place, node in enumerate(side.graph.nodes)]
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
                    text += f" ({describe_change(node, sides.after, 1)})"
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


def write_step(side: Side, position: int, *, symbolic: bool = True) -> str:
    """`cat(interpolate bilinear, low_level_project) → [B, 160, H/4, W/4]`; the shape in numbers where not `symbolic`, or not known so."""
    node = side.graph.nodes[position]
    sources = join_names([side.names[source] for source in side.sources[position]], MOST_SOURCES)
    inside = ", ".join([*([sources] if sources else []), *_list_arguments(node)])
    name = side.names[position] if node.op == "input" else f"{side.names[position]}({inside})"
    shape = f"[{', '.join(map(make_visible, node.symbolic))}]" if node.symbolic and symbolic else describe_shape(node, side.profile)
    return f"{name} {ARROW} {shape}" if shape else name


def _list_arguments(node: Node) -> list[str]:
    """`dim=1`, and `2` for the second factor of a product."""
    shown = [
        make_visible(format_setting(value)) if name == "other" else f"{make_visible(name)}={make_visible(format_setting(value))}"
        for name, value in node.arguments
        if value != "none"
    ]
    return shown[:_MOST_ARGUMENTS]


def summarise(parts: Sequence[FlowPart], moved: int) -> str:
    """`6 steps before, 7 after: 1 added, 2 changed`: the parts of `Report.flow` that are drawn."""
    counts = Counter(part.change if part.change in ("same", "added", "removed") else "changed" for part in parts if part.kind != "output")
    before, after = sum(bool(part.before_nodes) for part in parts), sum(bool(part.after_nodes) for part in parts)
    listed = [f"{counts[kind]:,} {kind}" for kind in ("added", "removed", "changed") if counts[kind]]
    listed += [f"{moved:,} moved"] if moved else []
    return f"{count(before, 'step')} before, {after:,} after: {', '.join(listed) or 'no change'}"
