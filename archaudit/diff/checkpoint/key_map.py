"""Which keys of a checkpoint of before load into after: unchanged, under another name, or not at all.

Follows from two profiles and the matches between their modules. A key is the name of a parameter or persistent buffer in a state_dict; a
module that is in a model several times has keys under each of its paths, and so has a tied parameter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from archaudit.index import join_name
from archaudit.schema import CheckpointMap, FoldedNorm, JoinedRows, Match, Pair, Profile, ReshapedKey, TensorRecord, WeightSource


def map_checkpoint(before: Profile, after: Profile, matches: Iterable[Match]) -> CheckpointMap:
    """Where every key goes: tensors go where their modules went, to the tensor of the same name.

    A key with the same shape on both sides, which the matches do not decide, loads unchanged: torch loads by name alone.
    """
    keys = Pair(_StateKeys(before), _StateKeys(after))
    sources = _follow_matches(keys, matches)
    filled, used = {keys.after.owners[key] for key in sources}, set(sources.values())
    for key, tensor in keys.after.tensors.items():
        known = keys.before.tensors.get(key)
        if known is not None and known.shape == tensor.shape and key not in used and keys.after.owners[key] not in filled:
            sources[key] = key
    return _sort_keys(keys, sources)


class _StateKeys:
    """The keys of one side: the tensor of each, the key of its first owner, and the keys of each module by the tensor's name."""

    def __init__(self, profile: Profile) -> None:
        self.tensors: dict[str, TensorRecord] = {}
        self.owners: dict[str, str] = {}
        self.modules: dict[str, dict[str, list[str]]] = {}
        for module in profile.modules:
            names = self.modules.setdefault(module.path, {})
            for tensor in module.tensors:
                if not tensor.persistent:
                    continue
                keys = [join_name(path, tensor.name) for path in (module.path, *module.aliases)]
                names[tensor.name] = keys
                for key in keys:
                    self.tensors[key] = tensor
                    self.owners[key] = tensor.tied_to or keys[0]


def _follow_matches(keys: Pair[_StateKeys], matches: Iterable[Match]) -> dict[str, str]:
    """For keys of after, the keys of before that fill them; a module that has one path on both sides is filled by that path."""
    sources: dict[str, str] = {}
    for match in matches:
        if match.before_path is None or match.after_path is None:
            continue
        names_before = keys.before.modules.get(match.before_path, {})
        for name, after_keys in keys.after.modules.get(match.after_path, {}).items():
            known = names_before.get(name, [])
            for key in after_keys:
                if known:
                    sources[key] = key if key in known else known[min(after_keys.index(key), len(known) - 1)]
    return sources


def _sort_keys(keys: Pair[_StateKeys], sources: dict[str, str]) -> CheckpointMap:
    before, after = keys
    same: list[str] = []
    renamed: dict[str, str] = {}
    tied: dict[str, str] = {}
    reshaped: list[ReshapedKey] = []
    missing: list[str] = []
    by_owner = {after.owners[key]: source for key, source in sources.items()}
    # a key that fills several loads under its own name where it can
    first = {source: key for key, source in reversed(sources.items())} | {key: key for key, source in sources.items() if key == source}
    used: set[str] = set()
    for key, tensor in after.tensors.items():
        source = sources.get(key, by_owner.get(after.owners[key]))
        if source is None:
            missing.append(key)
            continue
        shape = before.tensors[source].shape
        if shape != tensor.shape:
            reshaped.append(ReshapedKey(before=source, after=key, before_shape=shape, after_shape=tensor.shape))
        elif source == key:
            same.append(key)
        elif first.get(source) != key:
            tied[key] = source
        else:
            renamed[source] = key
        used.add(source)
    return CheckpointMap(
        same=tuple(same),
        renamed=renamed,
        tied=tied,
        reshaped=tuple(reshaped),
        missing=tuple(missing),
        unused=tuple(key for key in before.tensors if key not in used),
        conflicts=_find_conflicts(keys, {**{key: key for key in same}, **{key: source for source, key in renamed.items()}}),
    )


def _find_conflicts(keys: Pair[_StateKeys], sources: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    """Groups of keys that go into one tensor, and were separate tensors."""
    groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key, source in sources.items():
        groups[keys.after.owners[key]].setdefault(keys.before.owners[source], source)
    return tuple(tuple(group.values()) for group in groups.values() if len(group) > 1)


def merge_sources(mapping: CheckpointMap, before: Profile, after: Profile, sources: Mapping[str, WeightSource]) -> CheckpointMap:
    """The map with the `sources` of tensors of after, by their first owners: keys `built` from others, and keys under other names."""
    keys = Pair(_StateKeys(before), _StateKeys(after))
    unfilled = {*mapping.missing, *(row.after for row in mapping.reshaped)}
    built: dict[str, WeightSource] = {}
    renamed: dict[str, str] = {}
    for key, owner in keys.after.owners.items():
        source = sources.get(owner)
        if source is None or not _is_known(source, keys.before):
            continue
        is_plain = isinstance(source, JoinedRows) and source.is_plain
        if not is_plain or (key in unfilled and keys.before.tensors[source.names[0]].shape != keys.after.tensors[key].shape):
            built[key] = source
        elif key in unfilled and key == owner and source.names[0] in mapping.unused:
            renamed[source.names[0]] = key
    filled = built.keys() | set(renamed.values())
    used = {name for source in built.values() for name in source.names} | renamed.keys()
    norms = tuple(f"{source.norm}." for source in built.values() if isinstance(source, FoldedNorm))
    unused = {*mapping.unused, *(row.before for row in mapping.reshaped if row.after in filled)} - used
    return msgspec.structs.replace(
        mapping,
        same=tuple(key for key in mapping.same if key not in built),
        renamed={key: name for key, name in mapping.renamed.items() if name not in built} | renamed,
        tied={key: name for key, name in mapping.tied.items() if key not in built},
        reshaped=tuple(row for row in mapping.reshaped if row.after not in filled),
        missing=tuple(key for key in mapping.missing if key not in filled),
        unused=tuple(key for key in keys.before.tensors if key in unused and not key.startswith(norms)),
        built=built,
    )


def _is_known(source: WeightSource, before: _StateKeys) -> bool:
    """Whether the keys of a source are in a checkpoint; a norm may lack scale and shift."""
    return isinstance(source, FoldedNorm) or all(name in before.tensors for name in source.names)


def list_loading(mapping: CheckpointMap) -> list[str]:
    """The keys of after that a key of before fills, in the order of the map."""
    return [*mapping.same, *mapping.renamed.values(), *mapping.built, *mapping.tied]


def list_used(mapping: CheckpointMap, profiles: Pair[Profile], sources: Mapping[str, WeightSource]) -> set[str]:
    """The keys of after whose entries are exactly those `sources`."""
    keys = profiles.map(_StateKeys)
    plain = {key: key for key in mapping.same} | {key: source for source, key in mapping.renamed.items()} | mapping.tied
    used = {key for key, source in mapping.built.items() if sources.get(keys.after.owners[key]) == source}
    for key, origin in plain.items():
        source = sources.get(keys.after.owners[key])
        if isinstance(source, JoinedRows) and source.is_plain and keys.before.owners[source.tensors[0]] == keys.before.owners[origin]:
            used.add(key)
    return used
