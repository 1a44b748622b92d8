"""What changed in the forward graph: both graphs compared, by the matches of their modules.

This is the only comparison of forward graphs: `Report.flow` holds it, and the diagrams draw it. Everything here follows from two profiles
and the rows of their modules. Shapes are compared in terms of the input (`[B, 128, H/8, W/8]`) where both sides have them so, else as they
were measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from archaudit.diff.flow.describe import describe_flow_changes
from archaudit.diff.flow.graph import Edge, FlowGraph, Part, TensorShape, build_flow_graph, open_levels
from archaudit.diff.flow.own_changes import describe_own_changes
from archaudit.diff.flow.pairing import list_operator_pairs, pair_parts
from archaudit.index import choose_opened, has_programs, index_modules
from archaudit.schema import FlowDiff, FlowEdgeDiff, FlowPart, FlowPartChange, ModuleDiff, Pair, Profile

__all__ = ["describe_flow_changes", "diff_flow"]

_Paths = Pair[set[str]]
_Shapes = Pair[tuple[str, ...] | None]


def diff_flow(before: Profile, after: Profile, rows: Iterable[ModuleDiff], depth: int | None = None) -> FlowDiff:
    """Both graphs as one: parts and edges that are the same, changed, added or removed; and the same in words.

    Modules at level `depth` below the root are one part each (1: the model's direct children; None: the first level, on each side, with
    more than one module). `detail` is the same at the level at which it is drawn.
    """
    profiles, rows = Pair(before, after), tuple(rows)
    opened = profiles.map(lambda profile: open_levels(profile, depth))
    flow, operators = _diff_at(profiles, opened, rows)
    counterparts = Pair({row.before_path: row.after_path for row in rows}, {row.after_path: row.before_path for row in rows})
    wider = Pair(*choose_opened(profiles, opened, lambda side, path: counterparts[side].get(path)))
    if wider != opened:
        flow = msgspec.structs.replace(flow, detail=_diff_at(profiles, wider, rows, operators)[0])
    own = describe_own_changes(rows) if all(has_programs(profile) for profile in profiles) else None
    return msgspec.structs.replace(flow, sentences=describe_flow_changes(flow, own))


def _diff_at(
    profiles: Pair[Profile], opened: Pair[frozenset[str]], rows: Sequence[ModuleDiff], operators: Iterable[tuple[int, int]] = ()
) -> tuple[FlowDiff, list[tuple[int, int]]]:
    """The comparison with these modules opened, and the flow nodes of the operators that it pairs; `operators` are paired already."""
    graphs = Pair(*(build_flow_graph(*each) for each in zip(profiles, opened, strict=True)))
    pairs = pair_parts(graphs, rows, operators)
    edges = _diff_edges(graphs, pairs)
    flow = FlowDiff(
        parts=_PartDiffer(profiles, graphs, rows, edges).diff(pairs),
        edges=edges,
        symbolic=all(any(node.symbolic is not None for node in profile.flow) for profile in profiles),
    )
    return flow, list_operator_pairs(graphs, pairs)


class _PartDiffer:
    """What happened to each part, by the rows of its modules and the edges into it."""

    def __init__(self, profiles: Pair[Profile], graphs: Pair[FlowGraph], rows: Sequence[ModuleDiff], edges: Iterable[FlowEdgeDiff]) -> None:
        self._graphs = graphs
        self._recorded = all(map(has_programs, profiles))
        self._changed = _find_changed(profiles, rows)
        self._uncalled = _find_uncalled(profiles, rows)
        divided = [row for row in rows if row.change_id is not None and {"split", "merged"} & set(row.changes)]
        self._ids = Pair({row.before_path: row.change_id for row in divided}, {row.after_path: row.change_id for row in divided})
        changed = [edge for edge in edges if edge.change in ("added", "removed")]
        self._rewired = Pair(
            {edge.before[1] for edge in changed if edge.before is not None}, {edge.after[1] for edge in changed if edge.after is not None}
        )

    def diff(self, pairs: dict[str, str]) -> tuple[FlowPart, ...]:
        origins = {other: one for one, other in pairs.items()}
        before, after = self._graphs.before.parts, self._graphs.after.parts
        both = [self._write_part(before.get(origins.get(label, "")), part) for label, part in after.items()]
        return (*both, *(self._write_part(part, None) for label, part in before.items() if label not in pairs))

    def _write_part(self, before: Part | None, after: Part | None) -> FlowPart:
        part = after or before
        assert part is not None
        shapes = _write_shapes(before.shape if before else None, after.shape if after else None)
        side = 0 if after is None else 1
        return FlowPart(
            kind=part.kind,
            before=before.label if before else None,
            after=after.label if after else None,
            change=self._find_change(before, after, shapes),
            before_shape=shapes.before,
            after_shape=shapes.after,
            change_id=self._ids[side].get(part.path) if part.path is not None else None,
            uncalled=(before is None or after is None) and part.path in self._uncalled[side],
            before_paths=before.paths if before else (),
            after_paths=after.paths if after else (),
            before_nodes=(before.nodes[0], before.nodes[-1]) if before and before.nodes else None,
            after_nodes=(after.nodes[0], after.nodes[-1]) if after and after.nodes else None,
        )

    def _find_change(self, before: Part | None, after: Part | None, shapes: _Shapes) -> FlowPartChange:
        if before is None:
            return "added"
        if after is None:
            return "removed"
        if not self._changed.before.isdisjoint(before.paths) or not self._changed.after.isdisjoint(after.paths):
            return "changed"
        if self._recorded and before.arguments != after.arguments:
            return "changed"
        if before.label in self._rewired.before or after.label in self._rewired.after:
            return "rewired"
        return "resized" if shapes.before != shapes.after else "same"


def _find_changed(profiles: Pair[Profile], rows: Sequence[ModuleDiff]) -> _Paths:
    """The paths before, and after, of modules that changed, or have one below them that did."""
    indexes = profiles.map(index_modules)
    paths = [(row.before_path, row.after_path) for row in rows if row.changes != ("same",)]
    changed = [
        {above for pair in paths if pair[side] is not None for above in index.list_chain(str(pair[side]))}
        for side, index in enumerate(indexes)
    ]
    return Pair(*changed)


def _find_uncalled(profiles: Pair[Profile], rows: Iterable[ModuleDiff]) -> _Paths:
    """The paths before, and after, of modules that the other side has too, but does not run: not even a module below."""
    run = profiles.map(
        lambda profile: set(
            chain.from_iterable(index_modules(profile).list_chain(module.path) for module in profile.modules if module.calls)
        )
    )
    both = [(row.before_path, row.after_path) for row in rows if row.before_path and row.after_path]
    return Pair({one for one, other in both if other not in run.after}, {other for one, other in both if one not in run.before})


def _diff_edges(graphs: Pair[FlowGraph], pairs: dict[str, str]) -> tuple[FlowEdgeDiff, ...]:
    before, after = graphs
    waiting: defaultdict[tuple[str | None, str | None], list[Edge]] = defaultdict(list)
    for edge in before.edges:
        waiting[pairs.get(edge.source), pairs.get(edge.target)].append(edge)
    partners: dict[int, Edge] = {}
    for exact in (True, False):  # of two tensors between the same parts, those of equal shape first
        for number, edge in enumerate(after.edges):
            known = waiting[edge.source, edge.target]
            alike = [one for one in known if not exact or len(set(_write_shapes(one.shape, edge.shape))) == 1]
            if number not in partners and alike:
                partners[number] = alike[0]
                known.remove(alike[0])
    both = [_write_edge(partners.get(number), edge) for number, edge in enumerate(after.edges)]
    paired = {id(edge) for edge in partners.values()}
    return (*both, *(_write_edge(edge, None) for edge in before.edges if id(edge) not in paired))


def _write_edge(before: Edge | None, after: Edge | None) -> FlowEdgeDiff:
    shapes = _write_shapes(before.shape if before else None, after.shape if after else None)
    return FlowEdgeDiff(
        before=(before.source, before.target) if before else None,
        after=(after.source, after.target) if after else None,
        change="added" if before is None else "removed" if after is None else "same" if shapes.before == shapes.after else "resized",
        before_shape=shapes.before,
        after_shape=shapes.after,
    )


def _write_shapes(before: TensorShape | None, after: TensorShape | None) -> _Shapes:
    """Both shapes in the same terms."""
    symbolic = all(shape.symbolic is not None for shape in (before, after) if shape is not None)
    return Pair(_write_shape(before, symbolic), _write_shape(after, symbolic))


def _write_shape(shape: TensorShape | None, symbolic: bool) -> tuple[str, ...] | None:
    if shape is None:
        return None
    if symbolic:
        return shape.symbolic
    return None if shape.sizes is None else tuple(map(str, shape.sizes))
