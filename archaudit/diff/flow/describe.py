"""The changes of the forward pass in words, one sentence a change, in the order in which after runs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from archaudit.schema import FlowDiff, FlowPart, Pair

# Sentences are for reading: past this many, the edges of the report hold the rest.
_MOST_SENTENCES = 40

_Edge = tuple[str, str]
_Shape = tuple[str, ...]


def describe_flow_changes(flow: FlowDiff, own: Sequence[str] | None = None) -> tuple[str, ...]:
    """Splits and merges, added and removed parts, other inputs, and other shapes; empty when nothing changed.

    `own` are the changes of what modules run, in sentences; None where a side does not record that. Then other inputs and numbers of
    operators are read from the graph.
    """
    writer = _SentenceWriter(flow)
    sentences = [*writer.describe_splits(), *(own or ())]
    for part in flow.parts:
        sentences += writer.describe_part(part, inputs=own is None)
    sentences += writer.describe_operators() if own is None else []
    if len(sentences) > _MOST_SENTENCES:
        sentences = [*sentences[:_MOST_SENTENCES], f"and {len(sentences) - _MOST_SENTENCES} more changes"]
    return tuple(sentences)


class _SentenceWriter:
    """`sources` and `targets` are the nearest parts of each that are no operators; `inputs` the shapes on the edges into each part."""

    def __init__(self, flow: FlowDiff) -> None:
        self._flow = flow
        self._after_labels = {part.before: part.after for part in flow.parts if part.before is not None}
        self._kinds = Pair({part.before: part.kind for part in flow.parts}, {part.after: part.kind for part in flow.parts})
        edges = Pair(
            {edge.before: edge.before_shape for edge in flow.edges if edge.before is not None},
            {edge.after: edge.after_shape for edge in flow.edges if edge.after is not None},
        )
        operators = self._kinds.map(lambda kinds: {label for label, kind in kinds.items() if kind == "operator" and label is not None})
        self._sources = Pair(*(_trace(found, names, forwards=False) for found, names in zip(edges, operators, strict=True)))
        self._targets = Pair(*(_trace(found, names, forwards=True) for found, names in zip(edges, operators, strict=True)))
        self._shapes = edges.map(lambda found: {edge: shape for edge, shape in found.items() if shape is not None})
        self._inputs: Pair[defaultdict[str, list[_Shape]]] = Pair(defaultdict(list), defaultdict(list))
        for edge in flow.edges:
            if edge.before is not None and edge.before_shape is not None:
                self._inputs.before[edge.before[1]].append(edge.before_shape)
            if edge.after is not None and edge.after_shape is not None:
                self._inputs.after[edge.after[1]].append(edge.after_shape)

    def describe_splits(self) -> list[str]:
        """`decoder is split into decoder_stage1 and decoder_stage2`."""
        groups: defaultdict[int, list[FlowPart]] = defaultdict(list)
        for part in self._flow.parts:
            if part.change_id is not None:
                groups[part.change_id].append(part)
        sentences = []
        for parts in groups.values():
            before = [part.before for part in parts if part.before is not None]
            after = [part.after for part in parts if part.after is not None]
            if len(before) == 1 < len(after):
                sentences.append(f"{before[0]} is split into {_join(after)}")
            elif len(after) == 1 < len(before):
                sentences.append(f"{_join(before)} are merged into {after[0]}")
            elif before and after and len(before) != len(after):
                sentences.append(f"{_join(before)} became {_join(after)}: {len(after)} modules instead of {len(before)}")
        return sentences

    def describe_part(self, part: FlowPart, *, inputs: bool) -> list[str]:
        """Everything that changed about one module, input or output; other `inputs` only where nothing else says them."""
        if part.kind == "operator":
            return []
        if part.before is None and part.after is not None:
            return [f"{self._name(part.after, 1)} is {'now called' if part.uncalled else 'added'}: {self._describe_place(part.after, 1)}"]
        if part.after is None and part.before is not None:
            verb = "no longer called" if part.uncalled else "removed"
            return [f"{self._name(part.before, 0)} is {verb}: {self._describe_place(part.before, 0)}"]
        return [*(self._describe_inputs(part) if inputs else ()), *self._describe_shapes(part)]

    def _name(self, label: str, side: int) -> str:
        return f"the model's {label}" if self._kinds[side].get(label) in ("input", "output") else label

    def _name_part(self, part: FlowPart) -> str:
        assert part.after is not None
        name = self._name(part.after, 1)
        return name if part.before == part.after else f"{name} (before: {part.before})"

    def _describe_place(self, label: str, side: int) -> str:
        sources = self._add_shapes(self._sources[side].get(label, []), label, side)
        targets = [self._name(target, side) for target in self._targets[side].get(label, [])]
        clauses = [f"input from {_join(sources)}"] if sources else []
        clauses += [f"output to {_join(targets)}"] if targets else []
        return ", ".join(clauses) or "no recorded inputs and outputs"

    def _add_shapes(self, sources: Iterable[str], target: str, side: int) -> list[str]:
        """Each source with the shape of its output: that on the edge to the target, else the only one on edges from the source."""
        named = []
        for source in sources:
            shapes = {shape for (one, _), shape in self._shapes[side].items() if one == source}
            direct = self._shapes[side].get((source, target))
            shape = direct or (shapes.pop() if len(shapes) == 1 else None)
            name = self._name(source, side)
            named.append(f"{name} {_write_shape(shape)}" if shape else name)
        return named

    def _describe_inputs(self, part: FlowPart) -> list[str]:
        assert part.before is not None
        assert part.after is not None
        before, after = self._sources.before.get(part.before, []), self._sources.after.get(part.after, [])
        known = {self._after_labels.get(source) for source in before}
        added = [source for source in after if source not in known]
        removed = [self._name(source, 0) for source in before if self._after_labels.get(source) not in after]
        clauses = [f"new input from {_join(self._add_shapes(added, part.after, 1))}"] if added else []
        clauses += [f"no longer input from {_join(removed)}"] if removed else []
        return [f"{self._name_part(part)}: {', '.join(clauses)}"] if clauses else []

    def _describe_shapes(self, part: FlowPart) -> list[str]:
        if part.kind != "module" or part.before is None or part.after is None:
            return []
        clauses = []
        before, after = self._inputs.before[part.before], self._inputs.after[part.after]
        if len(before) == len(after) == 1 and before != after:
            clauses.append(f"input {_write_shape(after[0])} instead of {_write_shape(before[0])}")
        if part.before_shape is not None and part.after_shape is not None and part.before_shape != part.after_shape:
            clauses.append(f"output {_write_shape(part.after_shape)} instead of {_write_shape(part.before_shape)}")
        return [f"{self._name_part(part)}: {', '.join(clauses)}"] if clauses else []

    def describe_operators(self) -> list[str]:
        """`cat() runs twice between modules (before: once)`."""
        counts: Pair[Counter[str]] = Pair(Counter(), Counter())
        for part in self._flow.parts:
            for side, label in zip(counts, (part.before, part.after), strict=True):
                if part.kind == "operator" and label is not None:
                    side[label.partition("#")[0]] += 1
        names = dict.fromkeys([*counts.after, *counts.before])
        return [
            f"{name} runs {_write_times(counts.after[name])} between modules (before: {_write_times(counts.before[name])})"
            for name in names
            if counts.before[name] != counts.after[name]
        ]


def _trace(edges: Iterable[_Edge], operators: set[str], *, forwards: bool) -> dict[str, list[str]]:
    """For each part, the nearest parts that are no operators: those that take its output (`forwards`), or those whose output it takes."""
    near: defaultdict[str, list[str]] = defaultdict(list)
    for source, target in edges:
        near[source if forwards else target].append(target if forwards else source)
    found = {}
    for label in list(near):
        reached: dict[str, None] = {}
        pending, seen = near[label][::-1], set()
        while pending:
            part = pending.pop()
            if part in seen:
                continue
            seen.add(part)
            if part in operators:
                pending += near[part][::-1] if part in near else []
            else:
                reached[part] = None
        found[label] = list(reached)
    return found


def _write_shape(shape: _Shape) -> str:
    """`[B, 128, H/8, W/8]`."""
    return f"[{', '.join(shape)}]"


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _write_times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")
