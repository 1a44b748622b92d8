"""The changes of a program in words, relative to its module: `relu → gelu`, `softmax: dim 1 → -1`, `sub(a, b) → sub(b, a)`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from archaudit.index.modules import is_below
from archaudit.index.program_changes import Change, ProgramChanges
from archaudit.index.program_pairing import REARRANGING
from archaudit.index.programs import ProgramGraph, ProgramNode, Source
from archaudit.schema import Pair, Setting

_ARROW = "→"
_MOST_NODES, _MOST_OPERANDS, _MOST_ARGUMENTS, _LONGEST_VALUE = 6, 5, 3, 40
# Values of arguments that say nothing; arguments that need no name (the 2 of `x * 2`); and defaults that are not written.
_SILENT = ("none", "None")
_UNNAMED = ("other", "self", "exponent", "equation")
_DEFAULTS: dict[str, Setting] = {"step": 1, "alpha": 1, "padding": 0, "dilation": 1, "groups": 1}

# A path with numbers in it (`layers.0.2`), and the numbers. Fewer texts than this that differ in a number are written one by one.
_PATH = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.\w+)+")
_NUMBER = re.compile(r"(?<=\.)\d+(?![^.])")
_FEWEST_FOLDED = 3


class ChangeText(NamedTuple):
    """A change in words, and how often it is in the module; `kind` as in `schema.ForwardChange`."""

    kind: str
    text: str
    times: int = 1


class Texts:
    """Writes the changes between two programs; `paths` are the module's on each side.

    `find_counterpart(side, path)` is the path on the other side of a module that is called on this side only; None where there is none, and
    where it is called from another module now. `left_out` are calls after whose other operands are described apart.
    """

    def __init__(
        self,
        graphs: Pair[ProgramGraph],
        changes: ProgramChanges,
        paths: Pair[str],
        find_counterpart: Callable[[int, str], str | None] = lambda _side, _path: None,
        left_out: Collection[int] = (),
    ) -> None:
        self._graphs = graphs
        self._changes = changes
        self._paths = paths
        self._find_counterpart = find_counterpart
        self._left_out = left_out

    def write(self) -> tuple[ChangeText, ...]:
        """The changes of operators, arguments and operands, equal ones once with their number."""
        listed = self._changes.changes
        # the sizes of an expanded tensor follow from those of another one, unless nothing else changed
        others = [change for change in listed if change.kind != "sizes" or self._graphs.after.nodes[change.after[0]].op != "expand"]
        counts = Counter(text for change in others or listed for text in self._describe(change))
        # a text about a module has its number of calls already
        return tuple(text if text.kind == "call" else text._replace(times=number) for text, number in counts.items())

    def _describe(self, change: Change) -> Iterator[ChangeText]:
        one, other = self._graphs
        match change.kind:
            case "replaced":
                before, after = self._list(change.before, 0, change), self._list(change.after, 1, change)
                if before != after:
                    yield ChangeText("operators", f"{before} {_ARROW} {after}")
            case "added" | "removed":
                side = 1 if change.kind == "added" else 0
                numbers = change.after or change.before
                if self._graphs[side].nodes[numbers[0]].op == "call":
                    yield from self._describe_calls(numbers[0], side)
                    return
                alike = len({self._list((number,), side, change) for number in numbers}) == 1
                text = (
                    self._call_text(numbers[0], side) if len(numbers) == 1 else self._list(numbers[:1] if alike else numbers, side, change)
                )
                yield from [ChangeText("operators", f"{text} {change.kind}")] * (len(numbers) if alike else 1)
            case "arguments" | "sizes":
                nodes = Pair(one.nodes[change.before[0]], other.nodes[change.after[0]])
                values = nodes.map(lambda node: node.arguments if change.kind == "arguments" else node.sizes)
                yield ChangeText(change.kind, f"{self._name(nodes.after, 1)}: {_compare_values(values)}")
            case "order":
                before, after = self._call_text(change.before[0], 0), self._call_text(change.after[0], 1)
                known = before != after and "…" not in before
                yield ChangeText("operands", f"{before} {_ARROW} {after}" if known else f"{after}: operands in another order")
            case "rewired" if change.after[0] not in self._left_out:
                nodes = Pair(one.nodes[change.before[0]], other.nodes[change.after[0]])
                text = self._compare_sources(nodes.before.operands, nodes.after.operands)
                yield ChangeText("operands", f"{self._name(nodes.after, 1)}: {text}")
            case "returns":
                names = Pair(self._name_all(one.returns, 0), self._name_all(other.returns, 1))
                if names.before != names.after:
                    yield ChangeText(
                        "returns", f"returns {', '.join(names.after) or 'nothing'} instead of {', '.join(names.before) or 'nothing'}"
                    )
                else:
                    yield ChangeText("returns", f"returns another {', '.join(names.after)}")

    def _describe_calls(self, number: int, side: int) -> Iterator[ChangeText]:
        """A module that both sides have, and one does not call, or calls less often."""
        path = self._graphs[side].nodes[number].path
        counterpart = self._find_counterpart(side, path)
        if counterpart is None:
            return
        paths = (path, counterpart) if side == 0 else (counterpart, path)
        times = [sum(node.path == each for node in graph.nodes) for each, graph in zip(paths, self._graphs, strict=True)]
        name = self.relate(paths[1], 1)
        if all(times):
            yield ChangeText("call", f"{name} is called {times[1]} times instead of {times[0]}")
            return
        readers = [
            f"{source.name[len(counterpart) + 2 :]} is used by {node.op}"
            for node in self._graphs[1 - side].nodes
            for source in node.operands
            if source.name.startswith(f"={counterpart}.")
        ]
        used = f": its {_join(list(dict.fromkeys(readers)))} directly" if readers and side == 0 else ""
        yield ChangeText("call", f"{name} is {'no longer called' if side == 0 else 'now called'}{used}")

    # --- nodes

    def _list(self, numbers: tuple[int, ...], side: int, change: Change) -> str:
        """The operators of one place. One that replaces another has the arguments that are not the other's; several have only factors."""
        nodes = [self._graphs[side].nodes[number] for number in numbers]
        if len(change.before) == len(change.after) == 1:
            (partner,) = (self._graphs[1 - side].nodes[(change.before, change.after)[1 - side][0]],)
            known = partner.arguments.items() if partner.op != "call" else [pair for node in nodes for pair in node.arguments.items()]
            texts = [self._name_with(node, side, {k: v for k, v in node.arguments.items() if (k, v) not in known}) for node in nodes]
        else:
            texts = [
                self._name_with(node, side, {k: v for k, v in node.arguments.items() if k in _UNNAMED or (v is True and k != "keepdim")})
                for node in nodes
            ]
        shown, rest = texts[:_MOST_NODES], len(texts) - _MOST_NODES
        runs = [(text, len(list(run))) for text, run in groupby(shown)]
        listed = [text if number == 1 else f"{text} ×{number}" for text, number in runs]
        return ", ".join(listed) + (f" and {rest} more" if rest > 0 else "")

    def _name_with(self, node: ProgramNode, side: int, arguments: dict[str, Setting]) -> str:
        if node.op == "index" and len(node.operands) > 1:
            return f"index{self._index_text(node, side)}"
        listed = _list_arguments(arguments)
        return f"{self._name(node, side)}({', '.join(listed)})" if listed else self._name(node, side)

    def _call_text(self, number: int, side: int) -> str:
        node = self._graphs[side].nodes[number]
        if node.op == "index" and len(node.operands) > 1:
            return self.name_source(node.operands[0], side) + self._index_text(node, side)
        whole = node.op in REARRANGING  # of what is rearranged, the name without the part
        operands = [self.name_source(source, side, parts=not whole) for source in node.operands]
        if len(operands) > _MOST_OPERANDS:
            operands = [*operands[: _MOST_OPERANDS - 1], "…", operands[-1]]
        return f"{self._name(node, side)}({', '.join([*operands, *_list_arguments(node.arguments)])})"

    def _index_text(self, node: ProgramNode, side: int) -> str:
        """`[:, [-1]]`: written lists of numbers, and other tensors by their names."""
        found = [self.name_source(source, side) for source in node.operands[1:]]
        lists, places = node.arguments.get("indices"), node.arguments.get("at")
        if isinstance(lists, list) and len(lists) == len(found):
            found = [format_value(each) for each in lists]
        known = [place for place in places if isinstance(place, int)] if isinstance(places, list) else []
        named = dict(zip(known if len(known) == len(found) else range(len(found)), found, strict=True))
        return f"[{', '.join(named.get(place, ':') for place in range(max(named) + 1))}]"

    def _name(self, node: ProgramNode, side: int) -> str:
        return self.relate(node.path, side) if node.op == "call" else node.op

    def relate(self, path: str, side: int) -> str:
        """A path as it is known inside the module."""
        above = self._paths[side]
        return path[len(above) + 1 :] if above and path != above and is_below(path, above) else path

    # --- operands

    def _name_all(self, sources: Iterable[Source], side: int) -> list[str]:
        return [self.name_source(source, side) for source in sources]

    def name_source(self, source: Source, side: int, *, parts: bool = True) -> str:
        """What an operand is: a module by its path, an operator by its name, `the block's input`."""
        if source.node is not None:
            node = self._graphs[side].nodes[source.node]
            if node.op in REARRANGING and node.operands:
                return self.name_source(node.operands[0], side, parts=parts) + (_name_part(node) if parts else "")
            return self._name(node, side) if not source.output else f"{self._name(node, side)}[{source.output}]"
        if source.input is not None:
            whose = "the block's input" if self._paths[side] else "the model's input"
            return whose if source.input == 0 else f"{whose} {source.input + 1}"
        if source.name.startswith("="):
            return self.relate(source.name[1:], side)
        return source.name.removeprefix("value ") if source.name.startswith("value ") else "a tensor"

    def _compare_sources(self, before: Iterable[Source], after: Iterable[Source]) -> str:
        """`input from norm1 instead of the block's input`."""
        one, other = self._name_all(before, 0), self._name_all(after, 1)
        added, removed = _subtract(other, one), _subtract(one, other)
        if not added and not removed:
            return f"input from another {' or '.join(dict.fromkeys(other))}"
        if added and removed:
            return f"input from {_join(added)} instead of {_join(removed)}"
        return f"also input from {_join(added)}" if added else f"no longer input from {_join(removed)}"


def _name_part(node: ProgramNode) -> str:
    """`[0:64]` for a slice, `[0]` for one element."""
    if node.op == "slice":
        return f"[{node.sizes.get('start', '')}:{node.sizes.get('end', '')}]"
    return f"[{node.arguments.get('index')}]" if node.op == "select" else ""


def _subtract(one: list[str], other: list[str]) -> list[str]:
    rest = Counter(one) - Counter(other)
    return [name for name in dict.fromkeys(one) if rest[name]]


def _join(names: list[str]) -> str:
    if len(names) > _MOST_OPERANDS:
        names = [*names[: _MOST_OPERANDS - 1], f"{len(names) - _MOST_OPERANDS + 1} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _list_arguments(arguments: dict[str, Setting]) -> list[str]:
    shown = {key: value for key, value in arguments.items() if value not in _SILENT and (key, value) != ("value", 0)}
    texts = [_shorten(value) if key in _UNNAMED else f"{key}={_shorten(value)}" for key, value in shown.items()]
    return texts[:_MOST_ARGUMENTS] + (["…"] if len(texts) > _MOST_ARGUMENTS else [])


def _compare_values(values: Pair[dict[str, Setting]]) -> str:
    """`dim 1 → -1`; for the second factor of a product only `2 → 3`."""
    texts = []
    for key in dict.fromkeys([*values.before, *values.after]):
        one, other = values.before.get(key), values.after.get(key)
        if one == other and type(one) is type(other):
            continue
        both = [_find_default(key, there) if here is None else here for here, there in ((one, other), (other, one))]
        shown = [format_value(value) for value in both]
        short = [_shorten(value) for value in both]
        shown = short if short[0] != short[1] else shown
        texts.append(f"{'' if key in _UNNAMED else f'{key} '}{shown[0]} {_ARROW} {shown[1]}")
    return ", ".join(texts)


def _find_default(key: str, value: Setting) -> Setting:
    """The text for a value that was left out: the opposite of a switch, else its default."""
    return not value if isinstance(value, bool) else _DEFAULTS.get(key, "default")


def _shorten(value: Setting) -> str:
    return f"{value:.4g}" if isinstance(value, float) else format_value(value)


def format_value(value: Setting) -> str:
    """A value in few letters."""
    text = f"[{', '.join(map(format_value, value))}]" if isinstance(value, list) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def fold_numbered(texts: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Texts that differ only in the number of a block, as one with a star, each with its texts: `add(add, layers.*.1) added`.

    In order of first appearance. The number must be the same wherever it is in a text.
    """
    shapes: dict[str, list[tuple[str, list[str]]]] = {}
    for text in dict.fromkeys(texts):
        paths = _PATH.findall(text)
        numbers = [number for path in paths for number in _NUMBER.findall(path)]
        shape = _PATH.sub(lambda path: _NUMBER.sub("\0", path[0]), text)
        shapes.setdefault(shape, []).append((text, numbers))
    folded: list[tuple[str, list[str]]] = []
    for shape, found in shapes.items():
        columns = list(zip(*(numbers for _, numbers in found), strict=True))
        varying = [column for column in columns if len(set(column)) > 1]
        if len(found) < _FEWEST_FOLDED or len(set(varying)) != 1:
            folded += [(text, [text]) for text, _ in found]
            continue
        parts = shape.split("\0")
        marks = [column[0] if len(set(column)) == 1 else "*" for column in columns]
        whole = "".join(part + mark for part, mark in zip(parts, [*marks, ""], strict=True))
        folded.append((whole, [text for text, _ in found]))
    return folded
