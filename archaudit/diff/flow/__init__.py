"""How data flows otherwise: both forward graphs compared as graphs, by the matches of their modules.

Everything here follows from two profiles and the matches between them. Shapes are compared in terms of the input (`[B, 128, H/8, W/8]`)
where both sides know them so, else as they were measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from archaudit.diff.flow.describe import describe_flow_changes
from archaudit.diff.flow.graph import Edge, FlowGraph, Given, build_graph
from archaudit.diff.flow.pairing import pair_parts
from archaudit.schema import FlowDiff, FlowEdgeDiff, FlowPart, Match, Profile

__all__ = ["describe_flow_changes", "diff_flow"]

_Shapes = tuple[tuple[str, ...] | None, tuple[str, ...] | None]


def diff_flow(before: Profile, after: Profile, matches: Iterable[Match], depth: int | None = None) -> FlowDiff:
    """Both graphs as one: parts and edges that stayed, changed their shape, are new or gone; and the same in words.

    `depth` says how many levels below the root modules are looked at as wholes (1: the model's direct children; None: the first level, on
    each side, on which there is more than one).
    """
    matches = tuple(matches)
    graphs = build_graph(before, depth), build_graph(after, depth)
    pairs = pair_parts(*graphs, matches)
    flow = FlowDiff(
        parts=_diff_parts(*graphs, pairs, matches, _find_uncalled((before, after), matches)),
        edges=_diff_edges(*graphs, pairs),
        symbolic=all(any(node.symbolic is not None for node in profile.flow) for profile in (before, after)),
    )
    return msgspec.structs.replace(flow, sentences=describe_flow_changes(flow))


def _find_uncalled(sides: tuple[Profile, Profile], matches: Iterable[Match]) -> tuple[set[str], set[str]]:
    """The paths before, and after, of modules that the other side has too, but runs nothing of: not even of what is below."""
    run: tuple[set[str], set[str]] = (set(), set())
    for side, profile in zip(run, sides, strict=True):
        for module in profile.modules:
            path = module.path if module.calls else ""
            while path and path not in side:
                side.add(path)
                path = path.rpartition(".")[0]
    both = [(match.before_path, match.after_path) for match in matches if match.before_path and match.after_path]
    return {one for one, other in both if other not in run[1]}, {other for one, other in both if one not in run[0]}


def _diff_parts(
    before: FlowGraph, after: FlowGraph, pairs: dict[str, str], matches: tuple[Match, ...], uncalled: tuple[set[str], set[str]]
) -> tuple[FlowPart, ...]:
    origins = {other: one for one, other in pairs.items()}
    divided = [match for match in matches if match.change_id is not None and {"split", "merged"} & set(match.changes)]
    ids = [{getattr(match, f"{side}_path"): match.change_id for match in divided} for side in ("before", "after")]
    rows = []
    for label, part in after.parts.items():
        origin = before.parts.get(origins.get(label, ""))
        shapes = _write_shapes(origin.given if origin else None, part.given)
        change_id = ids[1].get(part.path) if part.path is not None else None
        row = _make_part(part.kind, origin.label if origin else None, label, shapes, change_id)
        rows.append(msgspec.structs.replace(row, uncalled=True) if origin is None and part.path in uncalled[1] else row)
    for label, part in before.parts.items():
        if label not in pairs:
            change_id = ids[0].get(part.path) if part.path is not None else None
            row = _make_part(part.kind, label, None, _write_shapes(part.given, None), change_id)
            rows.append(msgspec.structs.replace(row, uncalled=True) if part.path in uncalled[0] else row)
    return tuple(rows)


def _make_part(kind: str, before: str | None, after: str | None, shapes: _Shapes, change_id: int | None) -> FlowPart:
    fields = {"kind": kind, "before": before, "after": after, "change_id": change_id}
    return FlowPart(**fields, before_shape=shapes[0], after_shape=shapes[1])  # type: ignore[arg-type]


def _diff_edges(before: FlowGraph, after: FlowGraph, pairs: dict[str, str]) -> tuple[FlowEdgeDiff, ...]:
    waiting: defaultdict[tuple[str | None, str | None], list[Edge]] = defaultdict(list)
    for edge in before.edges:
        waiting[pairs.get(edge.source), pairs.get(edge.target)].append(edge)
    partners: dict[int, Edge] = {}
    for exact in (True, False):  # two tensors between the same parts: first those of equal shape
        for number, edge in enumerate(after.edges):
            known = waiting[edge.source, edge.target]
            alike = [one for one in known if not exact or len(set(_write_shapes(one.given, edge.given))) == 1]
            if number not in partners and alike:
                partners[number] = alike[0]
                known.remove(alike[0])
    rows = [_write_edge(partners.get(number), edge) for number, edge in enumerate(after.edges)]
    gone = {id(edge) for edge in before.edges} - {id(edge) for edge in partners.values()}
    return (*rows, *(_write_edge(edge, None) for edge in before.edges if id(edge) in gone))


def _write_edge(before: Edge | None, after: Edge | None) -> FlowEdgeDiff:
    shapes = _write_shapes(before.given if before else None, after.given if after else None)
    return FlowEdgeDiff(
        before=(before.source, before.target) if before else None,
        after=(after.source, after.target) if after else None,
        change="added" if before is None else "removed" if after is None else "same" if shapes[0] == shapes[1] else "resized",
        before_shape=shapes[0],
        after_shape=shapes[1],
    )


def _write_shapes(before: Given | None, after: Given | None) -> _Shapes:
    """Both shapes in the same terms."""
    sides = [side for side in (before, after) if side is not None]
    symbolic = all(side.symbolic is not None for side in sides)
    return _write_shape(before, symbolic), _write_shape(after, symbolic)


def _write_shape(given: Given | None, symbolic: bool) -> tuple[str, ...] | None:
    if given is None:
        return None
    if symbolic:
        return given.symbolic
    return None if given.sizes is None else tuple(map(str, given.sizes))
