"""Facts of two profiles that a number in a document may state: counts, settings, shapes, and how the sides compare."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from archaudit.metrics.catalog import METRICS, find_metric
from archaudit.schema import Group, ModuleRecord, Profile, Quantity, Shape

_COUNTED = ("params", "macs", "flops", "param_bytes")
_COMPARED = ("params", "macs", "flops", "param_bytes")
_SIZES = ("in_channels", "out_channels", "num_features", "in_features", "out_features")
_SETTINGS = (*_SIZES, "p", "groups", "num_heads", "kernel_size", "embed_dim")
_DEEPEST_COMPARED, _DEEPEST_COUNTED = 3, 1  # dots in a path
_MOST_MODULES = 3000  # of a side: beyond that a draft is of the first ones only
_NAME = re.compile(r"[A-Za-z_]\w*")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_NUMBERED = re.compile(
    rf"\b(?P<ordinal>{'|'.join(_ORDINALS)}) (?P<counted>[a-z]+)\b|\b(?P<name>[a-z]{{3,}}) (?P<number>\d)(?![\d.,]|\w)", re.IGNORECASE
)
# Words that many paths and sentences have: they tell nothing apart.
_EMPTY_WORDS = frozenset(
    ("the", "a", "of", "to", "and", "x", "in", "is", "self", "nn", "with", "for", "not", "no", "model", "module", "layer")
)


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """What a fact is of: a module, or the modules that a group has on one side; the whole model has an empty path.

    `parts` are the words of its path, `top` and `last` those of the first name in it and of the last, `kinds` those of its type; `names`
    is what it is called in full.
    """

    path: str = ""
    paths: tuple[str, ...] = ()
    parts: frozenset[str] = frozenset()
    top: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is so: a metric of a place of a side (`before` or `after`), by itself or against a place of the other side."""

    model: str
    metric: str
    place: Place
    value: float = 0
    comparison: str = "equals"
    against: Place | None = None
    shapes: tuple[Shape, ...] = ()
    image: Shape = ()

    def fits_shape(self, text: str) -> float:
        """1 where a tensor has that shape, 0 where none has; names that the input does not define fit any size."""
        sizes = [size.strip() for size in text.strip("[]()").split(",")]
        symbols = dict(zip("BCHW", self.image, strict=False)) if len(self.image) == 4 else {}
        return float(any(len(shape) == len(sizes) and all(map(_fits, sizes, shape, [symbols] * len(sizes))) for shape in self.shapes))


def _fits(written: str, size: int, symbols: dict[str, int]) -> bool:
    if written.isdecimal():
        return int(written) == size
    name, slash, factor = written.replace("//", "/").partition("/")
    whole = symbols.get(name.strip()) if name.strip() != "C" else None
    if slash and whole is not None and factor.strip().isdecimal() and int(factor):
        return size * int(factor) == whole
    return whole is None or whole == size


def identifiers_of(text: str) -> frozenset[str]:
    """The identifiers and words of a text, whole."""
    return frozenset(name.casefold().removeprefix("self.").rstrip(".") for name in _IDENTIFIER.findall(text))


def words_of(text: str) -> frozenset[str]:
    """The words of a text, identifiers taken apart and whole, without those that tell nothing."""
    words = set()
    for name in _IDENTIFIER.findall(_NUMBERED.sub(_join_numbered, text)):
        words.add(name.casefold().removeprefix("self."))
        words.update(part.casefold() for part in re.split(r"[._]|(?<=[a-z])(?=[A-Z])", name))
    return frozenset(words - _EMPTY_WORDS - {""})


def _join_numbered(match: re.Match[str]) -> str:
    """`stage1` for "stage 1" and "first stage", with the words themselves."""
    if match["ordinal"]:
        return f"{match['ordinal']} {match['counted']} {match['counted']}{1 + _ORDINALS.index(match['ordinal'].casefold())}"
    return f"{match['name']} {match['name']}{match['number']}"


class Facts:
    """Facts by how they compare, in order of their values, to be looked up by the figures that may state them."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._by_comparison: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._by_comparison[fact.comparison].append(fact)
        for each in self._by_comparison.values():
            each.sort(key=_size_of)

    def find_near(self, comparisons: Iterable[str], figure: Quantity, within: float) -> Iterable[Fact]:
        """Those of the named comparisons whose size is at least that share of the figure's, and at most its reciprocal."""
        low, high = sorted((abs(figure.low), abs(figure.high)))
        for comparison in comparisons:
            facts = self._by_comparison[comparison]
            yield from facts[bisect_left(facts, low * within, key=_size_of) : bisect_right(facts, high / within, key=_size_of)]


def _size_of(fact: Fact) -> float:
    return abs(fact.value)


def list_facts(before: Profile, after: Profile, groups: Iterable[Group] = ()) -> list[Fact]:
    """Every number of the two sides that a document may state; `groups` are what was put in for what was taken out."""
    facts: list[Fact] = []
    modules: dict[str, dict[str, tuple[Place, ModuleRecord]]] = {}
    children: dict[str, dict[str, Fact]] = {}
    for side, profile in (("before", before), ("after", after)):
        modules[side] = {module.path: (_place(module), module) for module in profile.modules[:_MOST_MODULES]}
        for place, module in modules[side].values():
            facts += _list_counts(side, place, module)
            facts += _list_settings(side, place, module)
        children[side] = _list_children(side, profile, modules[side])
        facts += children[side].values()
    for path in modules["after"]:
        if path in modules["before"] and path.count(".") <= _DEEPEST_COMPARED:
            facts += _list_comparisons(modules["before"][path], modules["after"][path])
    for path, fact in children["after"].items():
        if was := children["before"].get(path):
            facts += _compare(msgspec.structs.replace(fact, against=was.place), was.value, fact.value)
    for group in groups:
        facts += _list_group_facts(group)
    return facts


def _place(module: ModuleRecord) -> Place:
    if not module.path:
        return Place()
    names = [name for name in module.path.split(".") if not name.isdigit()]
    last = words_of(names[-1]) if names else frozenset()
    parts = frozenset(word for name in names for word in _part_words(name))
    return Place(
        path=module.path,
        parts=parts,
        top=_part_words(names[0]) if names else frozenset(),
        last=last,
        kinds=words_of(module.type),
        names=frozenset((module.path.casefold(),)),
    )


def _part_words(name: str) -> frozenset[str]:
    """The words that a name consists of, without itself where it consists of several."""
    words = words_of(name)
    return words - {name.casefold()} or words


def _list_counts(side: str, place: Place, module: ModuleRecord) -> Iterable[Fact]:
    for name in _COUNTED:
        if value := getattr(module.total, name):
            yield Fact(model=side, metric=name, place=place, value=value)


def _list_settings(side: str, place: Place, module: ModuleRecord) -> Iterable[Fact]:
    for name in _SETTINGS:
        value = module.settings.get(name)
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Fact(model=side, metric=f"setting:{name}", place=place, value=value)


def _list_children(side: str, profile: Profile, modules: Mapping[str, tuple[Place, ModuleRecord]]) -> dict[str, Fact]:
    """By path, for modules near the root that have several children."""
    metric = find_metric("children")
    if metric is None or metric.of_scope is None:
        return {}
    return {
        path: Fact(model=side, metric="children", place=place, value=value)
        for path, (place, _) in modules.items()
        if path.count(".") <= _DEEPEST_COUNTED and (value := metric.of_scope(profile, (path,))) > 1
    }


def _list_comparisons(before: tuple[Place, ModuleRecord], after: tuple[Place, ModuleRecord]) -> Iterable[Fact]:
    """Ratios, percentages and differences of the whole models, and of modules of one path."""
    (was_place, was), (place, now) = before, after
    for name in _COMPARED:
        yield from _compare(
            Fact(model="after", metric=name, place=place, against=was_place), getattr(was.total, name), getattr(now.total, name)
        )
    for name in _SIZES:
        old, new = was.settings.get(name), now.settings.get(name)
        if isinstance(old, int) and isinstance(new, int):
            yield from _compare(Fact(model="after", metric=f"setting:{name}", place=place, against=was_place), old, new)


def _compare(common: Fact, was: float, now: float) -> Iterable[Fact]:
    if not was or not now or was == now:
        return
    yield msgspec.structs.replace(common, comparison="ratio", value=was / now)
    if was < now and common.against is not None:  # "3x more" is the side before against the one after
        turned = msgspec.structs.replace(common, model="before", place=common.against, against=common.place)
        yield msgspec.structs.replace(turned, comparison="ratio", value=now / was)
    yield msgspec.structs.replace(common, comparison="percent", value=100 * (was - now) / was)
    if common.metric in METRICS:
        yield msgspec.structs.replace(common, comparison="difference", value=was - now)


def _list_group_facts(group: Group) -> Iterable[Fact]:
    """What was put in for what was taken out, under other paths: the totals of each side, and how they compare."""
    before_paths, after_paths = group.before_paths, group.after_paths
    if not before_paths or not after_paths or (before_paths == after_paths and len(after_paths) == 1):
        return
    lone = [paths[0] for paths in (before_paths, after_paths) if len(paths) == 1]
    texts = (group.name, *before_paths, *after_paths)
    parts = frozenset(word for text in texts for name in _NAME.findall(text) for word in _part_words(name))
    common = Place(parts=parts, top=parts, last=parts, names=frozenset(text.casefold() for text in (group.name, *lone)))
    was_place = msgspec.structs.replace(common, path=" + ".join(before_paths), paths=before_paths)
    place = msgspec.structs.replace(common, path=" + ".join(after_paths), paths=after_paths)
    for name in _COMPARED:
        was, now = getattr(group.before, name), getattr(group.after, name)
        for side, where, value in (("before", was_place, was), ("after", place, now)):
            if value and len(where.paths) > 1:
                yield Fact(model=side, metric=name, place=where, value=value)
        yield from _compare(Fact(model="after", metric=name, place=place, against=was_place), was, now)


def list_shape_facts(before: Profile, after: Profile) -> list[Fact]:
    """The shapes that modules give, and those that operators give between them."""
    facts = []
    for side, profile in (("before", before), ("after", after)):
        image = next((record.shape for record in profile.inputs if len(record.shape) == 4), ())
        for module in profile.modules[:_MOST_MODULES]:
            shapes = tuple(shape for call in module.calls for shape in call.outputs)
            facts.append(Fact(model=side, metric="shape", place=_place(module), shapes=shapes, image=image))
    return facts
