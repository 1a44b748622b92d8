"""What changed in the forward of each matched module, and which modules get other inputs there.

Each module is compared with its match, by what it runs itself and what it calls. Sources are relative to the module, so a change is found
where it was made, and nothing downstream of it changes.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import zip_longest
from typing import NamedTuple

from archaudit.index import (
    ChangeText,
    Names,
    ProgramChanges,
    ProgramGraph,
    Texts,
    build_program_graph,
    compare_programs,
    has_programs,
    index_modules,
    is_below,
    is_opened,
    join_name,
    read_programs,
)
from archaudit.schema import ForwardChange, InputChange, Match, Pair, Profile, Program

_MOST_SOURCES = 4


class ForwardChanges(NamedTuple):
    """By paths after: the changes of what a module runs, and the modules that take other inputs."""

    changes: dict[str, tuple[ForwardChange, ...]]
    rewired: dict[str, InputChange]


def compare_forward(before: Profile, after: Profile, matches: tuple[Match, ...]) -> ForwardChanges | None:
    """The changes of all matched modules; None where a side does not record what its modules run."""
    if not (has_programs(before) and has_programs(after)):
        return None
    return _Comparison(Pair(before, after), matches).compare()


class _Comparison:
    def __init__(self, profiles: Pair[Profile], matches: tuple[Match, ...]) -> None:
        self._profiles = profiles
        self._indexes = profiles.map(index_modules)
        pairs = [
            (match.before_path, match.after_path) for match in matches if match.before_path is not None and match.after_path is not None
        ]
        self._partners: Pair[dict[str, str]] = Pair(dict(pairs), {other: one for one, other in pairs})
        # wrappers: modules without a counterpart that hold modules with one
        self._wrappers = Pair(
            *(
                {above for path in known for above in index.walk_up(path) if above not in known}
                for index, known in zip(self._indexes, self._partners, strict=True)
            )
        )
        for side, sources in enumerate(self._partners):
            here, there = self._indexes[side], self._indexes[1 - side]
            self._wrappers[side].update(one for one, other in sources.items() if is_opened(here, one, there, other))
        inputs = profiles.map(lambda profile: [record.shape for record in profile.inputs])
        self._same_inputs = inputs.before == inputs.after
        self._equal: dict[tuple[int, int], bool] = {}
        self._rewired: dict[str, InputChange] = {}

    def compare(self) -> ForwardChanges:
        changes = {}
        for one, other in self._partners.before.items():
            texts = self._compare_pair(one, other)
            if texts:
                changes[other] = tuple(ForwardChange(kind=text.kind, text=text.text, count=text.times) for text in texts)  # type: ignore[arg-type]
        return ForwardChanges(changes, self._rewired)

    def _compare_pair(self, one: str, other: str) -> tuple[ChangeText, ...]:
        programs = Pair(read_programs(self._profiles.before, one), read_programs(self._profiles.after, other))
        if not all(programs):
            return ()
        found: dict[ChangeText, None] = {}
        for before, after in zip_longest(*programs):
            if before is None or after is None:
                break  # the same module in a loop, with other sizes
            if not self._is_same(before, after, one, other):
                found |= dict.fromkeys(self._compare(before, after, one, other))
        return tuple(found)

    def _is_same(self, before: Program, after: Program, one: str, other: str) -> bool:
        """Whether both run the same, with the same names for everything that they use."""
        key = id(before), id(after)
        if key not in self._equal:
            self._equal[key] = before == after
        if not self._equal[key]:
            return False
        partners = self._partners.before
        called = {step.module for step in before.steps if step.op == "call"}
        if any(name.startswith("/") for name in called) or any(operand[0] == "/" for step in before.steps for operand in step.operands):
            return False
        owners = {operand[1:].rpartition(".")[0] for step in before.steps for operand in step.operands if operand[0] == "."}
        return all(
            partners.get(join_name(one, name) if name else one) == (join_name(other, name) if name else other) for name in called | owners
        )

    def _compare(self, before: Program, after: Program, one: str, other: str) -> tuple[ChangeText, ...]:
        graphs = Pair(
            build_program_graph(self._profiles.before, one, before, self._wrappers.before.__contains__),
            build_program_graph(self._profiles.after, other, after, self._wrappers.after.__contains__),
        )
        names = Names(self._partners.before.get, self._translate_tensor, self._is_function)
        found = compare_programs(graphs, names, same_inputs=self._same_inputs)
        paths = Pair(one, other)
        rewired = self._find_rewired(graphs, found, paths)
        texts = Texts(graphs, found, paths, self._find_counterpart, rewired)
        calls = [
            ChangeText("call", self._describe_inputs(graphs.before.nodes[one].path, graphs.after.nodes[two].path, texts, paths))
            for two, one in rewired.items()
        ]
        return (*texts.write(), *calls)

    def _describe_inputs(self, before: str, after: str, texts: Texts, paths: Pair[str]) -> str:
        """`decoder: new input from mid, no longer input from low`, with paths relative to the calling module."""
        names = Pair(texts.relate(before, 0), texts.relate(after, 1))
        own = "the block's input" if paths.after else "the model's input"
        change = self._rewired[after]
        listed = [
            [own if path == paths.after else texts.relate(path, 1) for path in each]
            if len(each) <= _MOST_SOURCES
            else ["a sum or join of many"]
            for each in (change.added, change.removed)
        ]
        clauses = [
            f"{verb} {_join(sources)}" for verb, sources in zip(("new input from", "no longer input from"), listed, strict=True) if sources
        ]
        name = names.after if names.before == names.after else f"{names.after} (before: {names.before})"
        return f"{name}: {', '.join(clauses) or 'other inputs'}"

    def _translate_tensor(self, name: str) -> str | None:
        owner = self._indexes.before.tensors.get(name)
        if owner is None:
            return None
        path = self._partners.before.get(owner.module.path)
        return None if path is None else join_name(path, owner.tensor.name)

    def _is_function(self, side: int, path: str) -> bool:
        module = self._indexes[side].get(path)
        return module is not None and path not in self._partners[side] and not module.tensors and self._indexes[side].is_leaf(path)

    def _find_counterpart(self, side: int, path: str) -> str | None:
        """The match of a module that only this side calls here, unless the other side calls it from another module as often."""
        other = self._partners[side].get(path)
        if other is None:
            return None
        calls = len(self._indexes[side][path].calls), len(self._indexes[1 - side][other].calls)
        return other if calls[0] != calls[1] else None

    # --- modules with other inputs

    def _find_rewired(self, graphs: Pair[ProgramGraph], found: ProgramChanges, paths: Pair[str]) -> dict[int, int]:
        """Records the modules whose inputs come from other modules, or from the module's own input; their calls after and before.

        A module that only one side calls is looked through, and so is every operator.
        """
        readers = Pair(_Readers(graphs.before, paths.before), _Readers(graphs.after, paths.after))
        # a module that only one side calls here was added, removed or moved: that is its own change
        calls = [
            (one, other)
            for one, other in found.pairs.items()
            if graphs.before.nodes[one].op == graphs.after.nodes[other].op == "call"
            and self._partners.before.get(graphs.before.nodes[one].path) == graphs.after.nodes[other].path
        ]
        known = Pair(
            {graphs.before.nodes[one].path for one, _ in calls}, {graphs.after.nodes[other].path for _, other in calls} | {paths.after}
        )
        rewired = {}
        for one, other in calls:
            old, new = self._translate(readers.before.find(one), paths), readers.after.find(other)
            through = self._translate(readers.before.find(one, known.before), paths), readers.after.find(other, known.after)
            kept = [path for path in old if path in known.after], [path for path in new if path in known.after]
            if set(kept[0]) <= {*kept[1], *through[1]} and set(kept[1]) <= {*kept[0], *through[0]}:
                continue
            path = graphs.after.nodes[other].path
            added, removed = (
                tuple(dict.fromkeys(self._find_wrapper(each, path) for each in here if each not in there))
                for here, there in ((new, old), (old, new))
            )
            self._rewired[path] = InputChange(added=added, removed=removed)
            rewired[other] = one
        return rewired

    def _find_wrapper(self, source: str, reader: str) -> str:
        """The outermost added module that holds `source` and not `reader`, else `source`."""
        index = self._indexes.after
        above = [path for path in index.walk_up(source) if path in self._wrappers.after and not is_below(reader, path)]
        return above[-1] if above else source

    def _translate(self, sources: list[str], paths: Pair[str]) -> list[str]:
        """Paths before as paths after; `paths.before`, the module itself, means its input."""
        return [paths.after if path == paths.before else self._partners.before.get(path, path) for path in sources]


def _join(names: list[str]) -> str:
    shown = names if len(names) <= _MOST_SOURCES else [*names[: _MOST_SOURCES - 1], f"{len(names) - _MOST_SOURCES + 1} more"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


class _Readers:
    """The modules whose outputs the calls of one program take, through operators; `path`, the module itself, means its input."""

    def __init__(self, graph: ProgramGraph, path: str) -> None:
        self._graph = graph
        self._path = path

    def find(self, number: int, known: Collection[str] | None = None) -> list[str]:
        """The nearest modules; with `known` the nearest among those."""
        found: dict[str, None] = {}
        pending, seen = list(reversed(self._graph.nodes[number].operands)), set()
        while pending:
            source = pending.pop()
            if source.input is not None:
                found[self._path] = None
            if source.node is None or source.node in seen:
                continue
            seen.add(source.node)
            node = self._graph.nodes[source.node]
            if node.op == "call" and (known is None or node.path in known):
                found[node.path] = None
            else:
                pending += reversed(node.operands)
        return list(found)
