"""Facts of two profiles that a number in a document may state: counts, settings, shapes, and how the sides compare."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from archaudit.metrics import METRICS, find_metric
from archaudit.schema import Group, ModuleRecord, Profile, Shape

_COUNTED = ("params", "macs", "flops", "param_bytes")
_COMPARED = ("params", "macs", "param_bytes")
_SIZES = ("in_channels", "out_channels", "num_features", "in_features", "out_features")
_SETTINGS = (*_SIZES, "p", "groups", "num_heads", "kernel_size", "embed_dim")
_MOST_MODULES = 3000  # of a side: beyond that a draft is of the first ones only
_WORD = re.compile(r"[A-Za-z]+[0-9]*|[0-9]+")
_METRIC_WORDS = {
    "params": {"params", "parameters", "parameter", "weights"},
    "macs": {"macs", "gmacs", "mult", "adds"},
    "flops": {"flops", "gflops", "mflops"},
    "param_bytes": {"mb", "mib", "bytes", "size"},
    "setting:in_channels": {"in", "channels", "input", "ch"},
    "setting:out_channels": {"out", "channels", "output", "ch"},
    "setting:p": {"dropout", "rate"},
    "setting:num_heads": {"heads"},
    "children": {"branches", "stages", "blocks", "layers"},
}
# Words that many paths and sentences have: they tell nothing apart.
_EMPTY_WORDS = frozenset(
    ("the", "a", "of", "to", "and", "x", "in", "is", "self", "nn", "with", "for", "not", "no", "model", "module", "layer")
)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is so: a metric of a scope of a side (`before` or `after`), by itself or against the same before.

    `words` are those of its path and type; `strangers` those of paths, in whose company the whole model is hardly meant. `paths` and
    `against_paths` are the scopes where they have several modules.
    """

    model: str
    metric: str
    value: float = 0
    scope: str = ""
    comparison: str = "equals"
    against_scope: str = ""
    words: frozenset[str] = frozenset()
    strangers: frozenset[str] = frozenset()
    shapes: tuple[Shape, ...] = ()
    image: Shape = ()
    paths: tuple[str, ...] = ()
    against_paths: tuple[str, ...] = ()

    @property
    def metric_words(self) -> frozenset[str]:
        """What people call the metric."""
        return frozenset(_METRIC_WORDS.get(self.metric, ()))

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


def words_of(text: str) -> frozenset[str]:
    """The words of a text, identifiers taken apart and whole, without those that tell nothing."""
    words = set()
    for name in re.findall(r"[A-Za-z_][\w.]*", text):
        words.add(name.casefold().removeprefix("self."))
        words.update(part.casefold() for part in re.split(r"[._]|(?<=[a-z])(?=[A-Z])", name))
    return frozenset(words - _EMPTY_WORDS - {""})


def list_facts(before: Profile, after: Profile) -> list[Fact]:
    """Every number of the two sides that a document may state."""
    facts: list[Fact] = []
    paths = {"before": {module.path: module for module in before.modules}, "after": {module.path: module for module in after.modules}}
    strangers = frozenset(word for side in paths.values() for path in side if path.count(".") < 1 for word in words_of(path))
    for side, profile in (("before", before), ("after", after)):
        for module in profile.modules[:_MOST_MODULES]:
            words = _name(module, profile)
            facts += _list_counts(side, module, words, strangers)
            facts += _list_settings(side, module, words)
        parents = [path for path in paths[side] if path.count(".") < 2]
        facts += [
            Fact(model=side, metric="children", scope=path, value=value, words=_name(paths[side][path], profile))
            for path in parents
            if (metric := find_metric("children")) and metric.of_scope and (value := metric.of_scope(profile, (path,))) > 1
        ]
    return [*facts, *_list_comparisons(paths["before"], paths["after"], strangers)]


def _name(module: ModuleRecord, profile: Profile) -> frozenset[str]:
    return frozenset(words_of(module.path) | words_of(module.type)) if module.path else frozenset()


def _list_counts(side: str, module: ModuleRecord, words: frozenset[str], strangers: frozenset[str]) -> Iterable[Fact]:
    for name in _COUNTED:
        value = getattr(module.total, name)
        if value:
            yield Fact(model=side, metric=name, scope=module.path, value=value, words=words, strangers=strangers)


def _list_settings(side: str, module: ModuleRecord, words: frozenset[str]) -> Iterable[Fact]:
    for name in _SETTINGS:
        value = module.settings.get(name)
        if isinstance(value, list) and value and all(each == value[0] for each in value):
            value = value[0]
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield Fact(model=side, metric=f"setting:{name}", scope=module.path, value=value, words=words)


def _list_comparisons(before: dict[str, ModuleRecord], after: dict[str, ModuleRecord], strangers: frozenset[str]) -> Iterable[Fact]:
    """Ratios, percentages and differences of the whole models, of modules of one path, and of the likeliest counterparts near the root."""
    for path, module in after.items():
        if path not in before or path.count(".") > 3:
            continue
        other = before[path]
        words = frozenset(words_of(path) | words_of(module.type)) if path else frozenset()
        pairs = [(name, float(getattr(other.total, name)), float(getattr(module.total, name))) for name in _COMPARED]
        for name in _SIZES:
            was, now = other.settings.get(name), module.settings.get(name)
            if isinstance(was, int) and isinstance(now, int):
                pairs.append((f"setting:{name}", was, now))
        for name, was, now in pairs:
            yield from _compare(
                Fact(model="after", metric=name, scope=path, against_scope=path, words=words, strangers=strangers), was, now
            )


def _compare(common: Fact, was: float, now: float) -> Iterable[Fact]:
    if was and now and was != now:
        yield msgspec.structs.replace(common, comparison="ratio", value=was / now)
        yield msgspec.structs.replace(common, comparison="percent", value=100 * (was - now) / was)
        if common.metric in METRICS:
            yield msgspec.structs.replace(common, comparison="difference", value=was - now)


def list_group_facts(groups: Iterable[Group]) -> list[Fact]:
    """What was put in for what was taken out, under other paths: the totals of each side, and how they compare."""
    facts: list[Fact] = []
    for group in groups:
        before_paths, after_paths = group.before_paths, group.after_paths
        if not before_paths or not after_paths or (before_paths == after_paths and len(after_paths) == 1):
            continue
        words = frozenset(word for text in (group.name, *before_paths, *after_paths) for word in words_of(text) if not word.isdigit())
        for name in _COMPARED:
            was, now = getattr(group.before, name), getattr(group.after, name)
            sides = {"before": (before_paths, was), "after": (after_paths, now)}
            facts += [
                Fact(model=side, metric=name, value=value, scope=" + ".join(paths), paths=paths, words=words)
                for side, (paths, value) in sides.items()
                if value and len(paths) > 1
            ]
            common = Fact(model="after", metric=name, scope=" + ".join(after_paths), paths=after_paths, words=words)
            common = msgspec.structs.replace(common, against_scope=" + ".join(before_paths), against_paths=before_paths)
            facts += _compare(common, was, now)
    return facts


def list_shape_facts(before: Profile, after: Profile) -> list[Fact]:
    """The shapes that modules give, and those that operators give between them."""
    facts = []
    for side, profile in (("before", before), ("after", after)):
        image = next((record.shape for record in profile.inputs if len(record.shape) == 4), ())
        for module in profile.modules[:_MOST_MODULES]:
            shapes = tuple(shape for call in module.calls for shape in call.outputs)
            words = _name(module, profile)
            facts.append(Fact(model=side, metric="shape", scope=module.path, shapes=shapes, words=words, image=image))
    return facts
