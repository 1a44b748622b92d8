"""Facts of two profiles that a number in a document can state: counts, settings, shapes, and comparisons of the two."""

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
_MAX_MODULES = 3000  # of a side; further modules are ignored
_NAME = re.compile(r"[A-Za-z_]\w*")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*")
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_NUMBERED = re.compile(
    rf"\b(?P<ordinal>{'|'.join(_ORDINALS)}) (?P<counted>[a-z]+)\b|\b(?P<name>[a-z]{{3,}}) (?P<number>\d)(?![\d.,]|\w)", re.IGNORECASE
)
# Words that are in many paths and sentences.
_EMPTY_WORDS = frozenset(
    ("the", "a", "of", "to", "and", "x", "in", "is", "self", "nn", "with", "for", "not", "no", "model", "module", "layer")
)


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The modules of a fact: one module, or those of a group on one side. The whole model has an empty path.

    `parts` are the words of its path, `top` and `last` those of the first and last name in it, `type_words` those of its type; `names` are
    its full names.
    """

    path: str = ""
    paths: tuple[str, ...] = ()
    parts: frozenset[str] = frozenset()
    top: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()
    type_words: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a scope of one side (`before` or `after`), alone or compared with a scope of the other side."""

    model: str
    metric: str
    scope: Scope
    value: float = 0
    comparison: str = "equals"
    against: Scope | None = None
    shapes: tuple[Shape, ...] = ()
    image: Shape = ()

    def fits_shape(self, text: str) -> float:
        """1 if a tensor has that shape, else 0. A symbol that the input does not define fits every size."""
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


def list_identifiers(text: str) -> frozenset[str]:
    """The identifiers and words of a text, not split."""
    return frozenset(name.casefold().removeprefix("self.").rstrip(".") for name in _IDENTIFIER.findall(text))


def list_words(text: str) -> frozenset[str]:
    """The words of a text, with identifiers both split and whole, without frequent words."""
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
    """Facts by comparison, sorted by value, for the search of facts that fit a figure."""

    def __init__(self, facts: Iterable[Fact]) -> None:
        self._by_comparison: dict[str, list[Fact]] = defaultdict(list)
        for fact in facts:
            self._by_comparison[fact.comparison].append(fact)
        for each in self._by_comparison.values():
            each.sort(key=_abs_value)

    def find_near(self, comparisons: Iterable[str], figure: Quantity, within: float) -> Iterable[Fact]:
        """The facts of these comparisons whose ratio to the figure is between `within` and its reciprocal."""
        low, high = sorted((abs(figure.low), abs(figure.high)))
        for comparison in comparisons:
            facts = self._by_comparison[comparison]
            yield from facts[bisect_left(facts, low * within, key=_abs_value) : bisect_right(facts, high / within, key=_abs_value)]


def _abs_value(fact: Fact) -> float:
    return abs(fact.value)


def list_facts(before: Profile, after: Profile, groups: Iterable[Group] = ()) -> list[Fact]:
    """Every number of the two sides that a document can state. `groups` are the groups of modules that replace others."""
    facts: list[Fact] = []
    modules: dict[str, dict[str, tuple[Scope, ModuleRecord]]] = {}
    children: dict[str, dict[str, Fact]] = {}
    for side, profile in (("before", before), ("after", after)):
        modules[side] = {module.path: (_make_scope(module), module) for module in profile.modules[:_MAX_MODULES]}
        for scope, module in modules[side].values():
            facts += _list_counts(side, scope, module)
            facts += _list_settings(side, scope, module)
        children[side] = _list_children(side, profile, modules[side])
        facts += children[side].values()
    for path in modules["after"]:
        if path in modules["before"] and path.count(".") <= _DEEPEST_COMPARED:
            facts += _list_comparisons(modules["before"][path], modules["after"][path])
    for path, fact in children["after"].items():
        if was := children["before"].get(path):
            facts += _compare(msgspec.structs.replace(fact, against=was.scope), was.value, fact.value)
    for group in groups:
        facts += _list_group_facts(group)
    return facts


def _make_scope(module: ModuleRecord) -> Scope:
    if not module.path:
        return Scope()
    names = [name for name in module.path.split(".") if not name.isdigit()]
    last = list_words(names[-1]) if names else frozenset()
    parts = frozenset(word for name in names for word in _split_name(name))
    return Scope(
        path=module.path,
        parts=parts,
        top=_split_name(names[0]) if names else frozenset(),
        last=last,
        type_words=list_words(module.type),
        names=frozenset((module.path.casefold(),)),
    )


def _split_name(name: str) -> frozenset[str]:
    """The words of a name; the whole name only if it is one word."""
    words = list_words(name)
    return words - {name.casefold()} or words


def _list_counts(side: str, scope: Scope, module: ModuleRecord) -> Iterable[Fact]:
    for name in _COUNTED:
        if value := getattr(module.total, name):
            yield Fact(model=side, metric=name, scope=scope, value=value)


def _list_settings(side: str, scope: Scope, module: ModuleRecord) -> Iterable[Fact]:
    for name in _SETTINGS:
        value = module.settings.get(name)
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Fact(model=side, metric=f"setting:{name}", scope=scope, value=value)


def _list_children(side: str, profile: Profile, modules: Mapping[str, tuple[Scope, ModuleRecord]]) -> dict[str, Fact]:
    """The number of children by path, for modules near the root that have several."""
    metric = find_metric("children")
    if metric is None or metric.of_scope is None:
        return {}
    return {
        path: Fact(model=side, metric="children", scope=scope, value=value)
        for path, (scope, _) in modules.items()
        if path.count(".") <= _DEEPEST_COUNTED and (value := metric.of_scope(profile, (path,))) > 1
    }


def _list_comparisons(before: tuple[Scope, ModuleRecord], after: tuple[Scope, ModuleRecord]) -> Iterable[Fact]:
    """Ratios, percentages and differences of two modules with the same path, or of the whole models."""
    (before_scope, was), (scope, now) = before, after
    for name in _COMPARED:
        yield from _compare(
            Fact(model="after", metric=name, scope=scope, against=before_scope), getattr(was.total, name), getattr(now.total, name)
        )
    for name in _SIZES:
        old, new = was.settings.get(name), now.settings.get(name)
        if isinstance(old, int) and isinstance(new, int):
            yield from _compare(Fact(model="after", metric=f"setting:{name}", scope=scope, against=before_scope), old, new)


def _compare(common: Fact, was: float, now: float) -> Iterable[Fact]:
    if not was or not now or was == now:
        return
    yield msgspec.structs.replace(common, comparison="ratio", value=was / now)
    if was < now and common.against is not None:  # "3x more" compares before with after
        swapped = msgspec.structs.replace(common, model="before", scope=common.against, against=common.scope)
        yield msgspec.structs.replace(swapped, comparison="ratio", value=now / was)
    yield msgspec.structs.replace(common, comparison="percent", value=100 * (was - now) / was)
    if common.metric in METRICS:
        yield msgspec.structs.replace(common, comparison="difference", value=was - now)


def _list_group_facts(group: Group) -> Iterable[Fact]:
    """The totals of both sides of a group with different paths, and their comparisons."""
    before_paths, after_paths = group.before_paths, group.after_paths
    if not before_paths or not after_paths or (before_paths == after_paths and len(after_paths) == 1):
        return
    lone = [paths[0] for paths in (before_paths, after_paths) if len(paths) == 1]
    texts = (group.name, *before_paths, *after_paths)
    parts = frozenset(word for text in texts for name in _NAME.findall(text) for word in _split_name(name))
    common = Scope(parts=parts, top=parts, last=parts, names=frozenset(text.casefold() for text in (group.name, *lone)))
    before_scope = msgspec.structs.replace(common, path=" + ".join(before_paths), paths=before_paths)
    scope = msgspec.structs.replace(common, path=" + ".join(after_paths), paths=after_paths)
    for name in _COMPARED:
        was, now = getattr(group.before, name), getattr(group.after, name)
        for side, where, value in (("before", before_scope, was), ("after", scope, now)):
            if value and len(where.paths) > 1:
                yield Fact(model=side, metric=name, scope=where, value=value)
        yield from _compare(Fact(model="after", metric=name, scope=scope, against=before_scope), was, now)


def list_shape_facts(before: Profile, after: Profile) -> list[Fact]:
    """The output shapes of modules."""
    facts = []
    for side, profile in (("before", before), ("after", after)):
        image = next((record.shape for record in profile.inputs if len(record.shape) == 4), ())
        for module in profile.modules[:_MAX_MODULES]:
            shapes = tuple(shape for call in module.calls for shape in call.outputs)
            facts.append(Fact(model=side, metric="shape", scope=_make_scope(module), shapes=shapes, image=image))
    return facts
