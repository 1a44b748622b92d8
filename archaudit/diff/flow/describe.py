"""The changes of the forward pass in words, one sentence a change, in the order in which after runs."""

from __future__ import annotations

from collections import Counter, defaultdict

from archaudit.schema import FlowDiff, FlowPart

# Sentences are for reading: past this many, the edges themselves say the rest.
_MOST_SENTENCES = 40

_Edge = tuple[str, str]


def describe_flow_changes(flow: FlowDiff) -> tuple[str, ...]:
    """What reads what now, what is new or gone, what became of one module, and whose shapes changed; empty when nothing changed."""
    teller = _Teller(flow)
    sentences = teller.tell_divisions()
    for part in flow.parts:
        sentences += teller.tell_part(part)
    sentences += teller.tell_operators()
    if len(sentences) > _MOST_SENTENCES:
        sentences = [*sentences[:_MOST_SENTENCES], f"and {len(sentences) - _MOST_SENTENCES} changes more"]
    return tuple(sentences)


class _Teller:
    def __init__(self, flow: FlowDiff) -> None:
        self.flow = flow
        self.renamed = {part.before: part.after for part in flow.parts if part.before is not None}
        operators = [{getattr(part, side) for part in flow.parts if part.kind == "operator"} for side in ("before", "after")]
        edges = [
            [(edge.before, edge.before_shape) for edge in flow.edges if edge.before is not None],
            [(edge.after, edge.after_shape) for edge in flow.edges if edge.after is not None],
        ]
        self.reads = [_trace(dict(side), operators[number], forwards=False) for number, side in enumerate(edges)]
        self.feeds = [_trace(dict(side), operators[number], forwards=True) for number, side in enumerate(edges)]
        self.shapes = [{edge: shape for edge, shape in side if shape is not None} for side in edges]
        self.given: list[defaultdict[str, list[tuple[str, ...]]]] = [defaultdict(list), defaultdict(list)]
        for number, side in enumerate(edges):
            for (_, target), shape in side:
                self.given[number][target] += [shape] if shape is not None else []

    def tell_divisions(self) -> list[str]:
        """`two modules stand where one stood: decoder became decoder_stage1 and decoder_stage2`."""
        groups: defaultdict[int, list[FlowPart]] = defaultdict(list)
        for part in self.flow.parts:
            if part.change_id is not None:
                groups[part.change_id].append(part)
        sentences = []
        for parts in groups.values():
            before = [part.before for part in parts if part.before is not None]
            after = [part.after for part in parts if part.after is not None]
            if before and after and len(before) != len(after):
                sentences.append(f"{_join(before)} became {_join(after)}: {len(after)} instead of {len(before)}")
        return sentences

    def tell_part(self, part: FlowPart) -> list[str]:
        """Whatever is to be said about one module, input or output."""
        if part.kind == "operator":
            return []
        if part.before is None and part.after is not None:
            return [f"{part.after} is {'called now' if part.uncalled else 'new'}: {self._tell_place(part.after, 1)}"]
        if part.after is None and part.before is not None:
            return [f"{part.before} is {'no longer called' if part.uncalled else 'gone'}: {self._tell_place(part.before, 0)}"]
        return [*self._tell_rewiring(part), *self._tell_shapes(part)]

    def _tell_place(self, label: str, side: int) -> str:
        verbs = (("read", "fed"), ("reads", "feeds"))[side]
        sources = self._with_shapes(self.reads[side].get(label, []), label, side)
        targets = list(dict.fromkeys(self.feeds[side].get(label, [])))
        clauses = [f"{verbs[0]} {_join(sources)}"] if sources else []
        clauses += [f"{verbs[1]} {_join(targets)}"] if targets else []
        return f"it {' and '.join(clauses)}" if clauses else "nothing that is followed goes in or out"

    def _with_shapes(self, sources: list[str], target: str, side: int) -> list[str]:
        """Each source with the shape of what it gives, as the one edge that leaves it on the way says."""
        told = []
        for source in dict.fromkeys(sources):
            shapes = {shape for (one, _), shape in self.shapes[side].items() if one == source}
            direct = self.shapes[side].get((source, target))
            shape = direct or (shapes.pop() if len(shapes) == 1 else None)
            told.append(f"{source} {write_shape(shape)}" if shape else source)
        return told

    def _tell_rewiring(self, part: FlowPart) -> list[str]:
        assert part.before is not None
        assert part.after is not None
        before, after = self.reads[0].get(part.before, []), self.reads[1].get(part.after, [])
        known = {self.renamed.get(source) for source in before}
        gained = [source for source in dict.fromkeys(after) if source not in known]
        lost = [source for source in dict.fromkeys(before) if self.renamed.get(source) not in after]
        if not gained and not lost:
            return []
        name = part.after if part.before == part.after else f"{part.after} (before: {part.before})"
        clauses = [f"now reads {_join(self._with_shapes(gained, part.after, 1))}"] if gained else []
        clauses += [f"no longer reads {_join(lost)}"] if lost else []
        return [f"{name} {' and '.join(clauses)}"]

    def _tell_shapes(self, part: FlowPart) -> list[str]:
        if part.kind != "module" or part.before is None or part.after is None:
            return []
        clauses = []
        taken = [self.given[side][label] for side, label in enumerate((part.before, part.after))]
        if len(taken[0]) == len(taken[1]) == 1 and taken[0] != taken[1]:
            clauses.append(f"takes {write_shape(taken[1][0])} instead of {write_shape(taken[0][0])}")
        if part.before_shape is not None and part.after_shape is not None and part.before_shape != part.after_shape:
            clauses.append(f"gives {write_shape(part.after_shape)} instead of {write_shape(part.before_shape)}")
        name = part.after if part.before == part.after else f"{part.after} (before: {part.before})"
        return [f"{name} {' and '.join(clauses)}"] if clauses else []

    def tell_operators(self) -> list[str]:
        """`cat() runs 2 times between modules, before once`."""
        counts: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        for part in self.flow.parts:
            for side, label in enumerate((part.before, part.after)):
                if part.kind == "operator" and label is not None:
                    counts[side][label.partition("#")[0]] += 1
        names = dict.fromkeys([*counts[1], *counts[0]])
        return [
            f"{name} runs {_times(counts[1][name])} between modules, before {_times(counts[0][name])}"
            for name in names
            if counts[0][name] != counts[1][name]
        ]


def _trace(edges: dict[_Edge, tuple[str, ...] | None], operators: set[str], *, forwards: bool) -> dict[str, list[str]]:
    """For each part, the nearest parts that are no operators: those that it reads from, or those that read from it."""
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


def write_shape(shape: tuple[str, ...] | None) -> str:
    """`[B, 128, H/8, W/8]`."""
    return f"[{', '.join(shape)}]" if shape is not None else "an unknown shape"


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _times(count: int) -> str:
    return {0: "not at all", 1: "once", 2: "twice"}.get(count, f"{count} times")
