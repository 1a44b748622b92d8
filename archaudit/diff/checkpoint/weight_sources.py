"""From which tensors of before each tensor of after takes its values, so that two models can be run with the same weights.

Tensors go where their modules went. Where a layer was split, or several were merged (query, key and value into one projection), tensors are
split or concatenated along their rows; a norm that was folded into the layer before it is folded into that layer's weight and bias, and a
low-rank adapter that was merged is added to its layer's weight. The order of concatenation is not recorded anywhere, nor how a class stores
its weights, nor that a parameter was renamed: these are questions, and a run of both models with each answer finds the right one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import permutations, product
from typing import NamedTuple

from archaudit.diff.checkpoint.adapters import ADAPTER_SCALES, fold_adapters
from archaudit.diff.checkpoint.arrangements import Arrangement, Arrangements, pair_by_size
from archaudit.diff.checkpoint.transforms import MatchedModules, divide, find_folds, list_divisions, list_layouts, list_parts
from archaudit.index import join_name
from archaudit.schema import JoinedRows, Match, Profile, Shape, TensorRecord, WeightSource

__all__ = ["Answer", "WeightMap", "WeightPlan", "map_weights", "plan_weights"]

# Up to this many tensors of one size are tried in every order.
_MOST_PERMUTED = 3


class Answer(NamedTuple):
    """One answer to a question: sources of tensors of after, and in words which modules or tensors take their values from which.

    Rows are interleaved in that many `groups`.
    """

    sources: dict[str, WeightSource]
    assumed: dict[str, tuple[str, ...]]
    groups: int = 1


class WeightMap(NamedTuple):
    """Where the weights of after come from: the `sources` of its tensors, those of `mismatched` shapes (in words), and `new` parameters.

    `assumed` names the sources that do not follow from the matches: `attn.qkv` from `attn.q, attn.k, attn.v`, interleaved in that many
    `groups` of rows. `modules` are modules after whose outputs should equal those of a module before, with that module. `unused` are
    tensors in a checkpoint of before that no tensor takes its values from.
    """

    sources: dict[str, WeightSource]
    mismatched: tuple[str, ...]
    new: tuple[str, ...]
    assumed: dict[str, tuple[str, ...]]
    modules: dict[str, str]
    groups: int
    unused: tuple[str, ...]


class WeightPlan(NamedTuple):
    """Everything that is known about where weights come from, and the `questions` that a run has to answer.

    `known` has the sources and the assumptions without the questions. `by_size` are the tensors of after that only their size pairs with a
    tensor of before. `ties` are tensors of before that are one tensor after: each with the one that it must equal.
    """

    known: WeightMap
    questions: tuple[tuple[Answer, ...], ...]
    by_size: frozenset[str]
    ties: dict[str, str]

    def choose(self, choice: Sequence[int] | None = None) -> WeightMap:
        """The map with these answers; without them, with the likeliest ones."""
        answers = [question[number] for question, number in zip(self.questions, choice or [0] * len(self.questions), strict=True)]
        sources, assumed = dict(self.known.sources), dict(self.known.assumed)
        for answer in answers:
            sources |= answer.sources
            assumed |= answer.assumed
        used = {name for source in sources.values() for name in source.names}
        return self.known._replace(
            sources=sources,
            assumed=assumed,
            groups=max((answer.groups for answer in answers), default=1),
            unused=tuple(name for name in self.known.unused if name not in used),
        )


def map_weights(before: Profile, after: Profile, matches: Iterable[Match]) -> Iterator[WeightMap]:
    """The possible maps, the likeliest first; only one where there are no questions."""
    plan = plan_weights(before, after, matches)
    choices = product(*(range(len(question)) for question in plan.questions[::-1]))
    return (plan.choose(choice[::-1]) for choice in choices)


def plan_weights(before: Profile, after: Profile, matches: Iterable[Match]) -> WeightPlan:
    """The sources of the weights of after, and the questions about them."""
    return _Planner(before, after, tuple(matches)).plan()


class _Planner:
    """Finds the sources of tensors for one pair of profiles."""

    def __init__(self, before: Profile, after: Profile, matches: tuple[Match, ...]) -> None:
        self.modules = MatchedModules(before, after, matches)
        self._arrangements = Arrangements(self.modules)
        self._divisions = list_divisions(self.modules, matches)
        self._folds = find_folds(self.modules)
        self._sources: dict[str, WeightSource] = {}
        self._open: defaultdict[tuple[str, ...], list[tuple[str, list[Arrangement]]]] = defaultdict(list)
        self._by_name: dict[str, tuple[str, ...]] = {}

    def plan(self) -> WeightPlan:
        questions = self._divide()
        divided = {whole: parts for answer in questions[:1] for whole, parts in answer[0].assumed.items()}
        if [len(question) for question in questions] == [1]:  # nothing to try, but still assumed
            self._by_name |= divided
        mismatched: list[str] = []
        unmatched: dict[str, tuple[str, TensorRecord]] = {}
        for name, (module, tensor) in self.modules.after.tensors.items():
            if not tensor.persistent or name in self._sources:  # not in a checkpoint: the constructor sets it
                continue
            shape = self.modules.find_shape(module.path, tensor.name)
            if self._find_source(name, module.path, tensor, shape):
                continue
            if tensor.kind == "parameter" and shape is not None:
                mismatched.append(f"{name} is {_write_shape(tensor.shape)}, before {_write_shape(shape)}")
            elif tensor.kind == "parameter" and tensor.tied_to is None:
                unmatched[name] = module.path, tensor
        self._load_by_name(unmatched)
        paired = {} if mismatched else self._pair_by_size(unmatched)
        questions += [*self._ask_arrangements(), *self._ask_order(paired)]
        adapters = [fold_adapters(self.modules, self._sources, scale) for scale in ADAPTER_SCALES]
        if adapters[0]:
            questions.append(tuple(Answer(dict(found), {name: source.names for name, source in found.items()}) for found in adapters))
        known = WeightMap(
            self._sources,
            tuple(mismatched),
            tuple(name for name in unmatched if name not in self._sources),
            self._by_name,
            dict(self._pair_outputs(divided)),
            1,
            tuple(self._list_unused()),
        )
        return WeightPlan(known, tuple(each for each in questions if len(each) > 1), frozenset(paired), self._find_ties())

    def _divide(self) -> list[tuple[Answer, ...]]:
        """The question in which layout parts are in a whole: all layers that were joined or divided have the same."""
        ways, numbers = 1, []
        for division in self._divisions:
            for whole in division.tensors:
                parts, possible = list_parts(division, whole)
                ways = max(ways, len(possible))
                if possible:
                    numbers.append(len(parts))
                if len(possible) == 1 and len(whole.shape) == 2:
                    for part in division.parts:
                        sides = (part, division.whole) if division.joined else (division.whole, part)
                        self._arrangements.record_order(*sides, swapped=possible[0].parts != possible[0].whole)
        if not numbers:
            return []
        answers = []
        for layout in list_layouts(self.modules, (number for number in numbers if number > 1), ways):
            sources: dict[str, WeightSource] = {}
            assumed: dict[str, tuple[str, ...]] = {}
            for division in self._divisions:
                for names, found in divide(division, layout):
                    sources |= found
                    assumed[division.whole.path] = names
            answers.append(Answer(sources, assumed, layout.groups))
        self._sources |= answers[0].sources
        return [tuple(answers)]

    def _find_source(self, name: str, path: str, tensor: TensorRecord, shape: Shape | None) -> bool:
        """Finds the source of a tensor of a module that is one module on both sides; `shape` is that of the tensor of its name before."""
        if path in self._folds and tensor.name in ("weight", "bias"):
            self._sources[name] = self._folds[path].find_source(tensor.name)
            return True
        if shape is None:
            return False
        origin = self.modules.before[self.modules.origins[path]]
        return self._arrange(name, join_name(origin.path, tensor.name))

    def _arrange(self, name: str, origin: str) -> bool:
        """Fills the tensor `name` of after from `origin` in the likeliest way; remembers that there are others."""
        before, given = self.modules.before.tensors[origin]
        after, tensor = self.modules.after.tensors[name]
        found = self._arrangements.list_possible(origin, before, after, given.shape, tensor)
        if not found:
            return False
        self._sources[name] = found[0].source
        if len(found) > 1 or found[0].label not in ("same", "transposed"):
            self._open[before.type, after.type, tensor.name, *(each.label for each in found)].append((name, found))
            self._by_name[name] = (origin,)
        return True

    def _load_by_name(self, unmatched: dict[str, tuple[str, TensorRecord]]) -> None:
        """A key with the same shape on both sides, which the matches do not decide, loads unchanged: torch loads by name alone."""
        for name in [name for name in unmatched if name in self.modules.before.tensors and name not in self._used]:
            given, tensor = self.modules.before.tensors[name].tensor, unmatched[name][1]
            if given.shape == tensor.shape and given.persistent:
                self._sources[name] = JoinedRows(tensors=(name,))
                self._by_name[name] = (name,)
                del unmatched[name]

    @cached_property
    def _used(self) -> frozenset[str]:
        return frozenset(name for source in self._sources.values() for name in source.names)

    def _pair_by_size(self, unmatched: dict[str, tuple[str, TensorRecord]]) -> dict[str, str]:
        paired = pair_by_size(self.modules, unmatched, self._sources.values())
        found = {name: origin for name, origin in paired.items() if self._arrange(name, origin)}
        self._by_name |= {name: (origin,) for name, origin in found.items()}
        return found

    def _ask_arrangements(self) -> Iterator[tuple[Answer, ...]]:
        """A question for each kind of tensor that can be arranged in several ways: all of a kind are arranged alike."""
        for tensors in self._open.values():
            count = len(tensors[0][1])
            yield tuple(Answer({name: found[number].source for name, found in tensors}, {}) for number in range(count))

    def _ask_order(self, paired: dict[str, str]) -> Iterator[tuple[Answer, ...]]:
        """A question for few parameters of one shape that only their size pairs: which is which."""
        groups: defaultdict[tuple[str, Shape], list[str]] = defaultdict(list)
        for name, origin in paired.items():
            before, after = self.modules.before.tensors[origin].tensor.shape, self.modules.after.tensors[name].tensor.shape
            if before == after:
                groups[self.modules.after.tensors[name].module.path, after].append(name)
        for names in groups.values():
            if 1 < len(names) <= _MOST_PERMUTED:
                orders = [dict(zip(names, [paired[name] for name in order], strict=True)) for order in permutations(names)]
                yield tuple(
                    Answer(
                        {name: JoinedRows(tensors=(origin,)) for name, origin in order.items()},
                        {name: (origin,) for name, origin in order.items()},
                    )
                    for order in orders
                )

    def _list_unused(self) -> Iterator[str]:
        """The tensors in a checkpoint of before that no source uses. The counters of batches have no effect in eval mode."""
        used = {name for source in self._sources.values() for name in source.names}
        for name, (_, tensor) in self.modules.before.tensors.items():
            if tensor.persistent and tensor.tied_to is None and name not in used and tensor.name != "num_batches_tracked":
                yield name

    def _find_ties(self) -> dict[str, str]:
        """Tensors of before that are separate and go into one tensor of after."""
        ties: dict[str, str] = {}
        for name, (_, tensor) in self.modules.after.tensors.items():
            one, other = self._sources.get(tensor.tied_to or ""), self._sources.get(name)
            if isinstance(one, JoinedRows) and isinstance(other, JoinedRows) and one.is_plain and other.is_plain:
                owners = [self.modules.before.tensors[source.tensors[0]].tensor.tied_to or source.tensors[0] for source in (one, other)]
                if owners[0] != owners[1]:
                    ties[owners[1]] = owners[0]
        return ties

    def _pair_outputs(self, divided: dict[str, tuple[str, ...]]) -> Iterator[tuple[str, str]]:
        """Modules after with the modules before that should have the same outputs: not a layer with one of its parts."""
        for after_path, before_path in self.modules.origins.items():
            if after_path in self._folds:
                yield after_path, self._folds[after_path].norm.path
            elif before_path not in divided.get(after_path, ()) and after_path not in divided.get(before_path, ()):
                yield after_path, before_path


def _write_shape(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"
