"""Which keys of a checkpoint of before load into after: as they are, under another name, not at all.

Follows from two profiles and the matches between their modules. A key is what a state_dict calls a parameter or persistent buffer; a
module that stands in a model several times has keys under each of its paths, and so has a tied parameter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from archaudit.schema import CheckpointMap, FoldedNorm, Match, Profile, ReshapedKey, TensorRecord, TensorSource


def map_checkpoint(before: Profile, after: Profile, matches: Iterable[Match]) -> CheckpointMap:
    """What becomes of every key. Tensors go where their modules went; between matched modules, to the one of the same name.

    A key that stands on both sides with one shape, and that the matches say nothing about, loads as it is: torch goes by names alone.
    """
    sides = _Keys(before), _Keys(after)
    sources = _follow_matches(*sides, matches)
    filled, used = {sides[1].owners[key] for key in sources}, set(sources.values())
    for key, tensor in sides[1].tensors.items():
        known = sides[0].tensors.get(key)
        if known is not None and known.shape == tensor.shape and key not in used and sides[1].owners[key] not in filled:
            sources[key] = key
    return _sort_keys(*sides, sources)


class _Keys:
    """The keys of one side: the tensor of each, the key that stands for its tensor, and the keys of each module."""

    def __init__(self, profile: Profile) -> None:
        self.tensors: dict[str, TensorRecord] = {}
        self.owners: dict[str, str] = {}
        self.modules: dict[str, dict[str, list[str]]] = {}
        for module in profile.modules:
            names = self.modules.setdefault(module.path, {})
            for tensor in module.tensors:
                if not tensor.persistent:
                    continue
                keys = [f"{path}.{tensor.name}" if path else tensor.name for path in (module.path, *module.aliases)]
                names[tensor.name] = keys
                for key in keys:
                    self.tensors[key] = tensor
                    self.owners[key] = tensor.tied_to or keys[0]


def _follow_matches(before: _Keys, after: _Keys, matches: Iterable[Match]) -> dict[str, str]:
    """For keys of after, the keys of before that fill them; where a module stands on both sides under one path, by that path."""
    sources: dict[str, str] = {}
    for match in matches:
        if match.before_path is None or match.after_path is None:
            continue
        given = before.modules.get(match.before_path, {})
        for name, keys in after.modules.get(match.after_path, {}).items():
            known = given.get(name, [])
            for key in keys:
                if known:
                    sources[key] = key if key in known else known[min(keys.index(key), len(known) - 1)]
    return sources


def _sort_keys(before: _Keys, after: _Keys, sources: dict[str, str]) -> CheckpointMap:
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
        conflicts=_find_conflicts(before, after, {**{key: key for key in same}, **{key: source for source, key in renamed.items()}}),
    )


def _find_conflicts(before: _Keys, after: _Keys, sources: dict[str, str]) -> tuple[tuple[str, ...], ...]:
    """Groups of keys that go into one tensor and were tensors of their own."""
    groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key, source in sources.items():
        groups[after.owners[key]].setdefault(before.owners[source], source)
    return tuple(tuple(group.values()) for group in groups.values() if len(group) > 1)


def put_together(mapping: CheckpointMap, before: Profile, after: Profile, sources: Mapping[str, TensorSource]) -> CheckpointMap:
    """The map, with keys `built` of others where `sources` (of tensors of after, by their first owners) know how."""
    given, owners = _Keys(before).tensors, _Keys(after).owners
    unfilled = {*mapping.missing, *(row.after for row in mapping.reshaped)}
    built: dict[str, TensorSource] = {}
    for key, owner in owners.items():
        source = sources.get(owner)
        # what a norm is folded into would load as it is, and be another layer; a norm may lack scale and shift
        if isinstance(source, FoldedNorm) or (source is not None and key in unfilled and all(name in given for name in source.names)):
            built[key] = source
    used = {name for source in built.values() for name in source.names}
    norms = tuple(f"{source.norm}." for source in built.values() if isinstance(source, FoldedNorm))
    loose = {*mapping.unused, *(row.before for row in mapping.reshaped if row.after in built)} - used
    return msgspec.structs.replace(
        mapping,
        same=tuple(key for key in mapping.same if key not in built),
        renamed={key: name for key, name in mapping.renamed.items() if name not in built},
        reshaped=tuple(row for row in mapping.reshaped if row.after not in built),
        missing=tuple(key for key in mapping.missing if key not in built),
        unused=tuple(key for key in given if key in loose and not key.startswith(norms)),
        built=built,
    )
