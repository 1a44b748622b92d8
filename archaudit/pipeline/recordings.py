"""Recorded times, looked up by a model's architecture and inputs, not by its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from archaudit.errors import SavedFileError
from archaudit.schema import Latency, LatencyFile, Precision, Profile, RecordedLatency, decode_latencies, read_file

FOLDER = "latency"
# Of several recordings of the same models, the first in this order is shown: the dtype that models are written in comes first.
_DTYPE_ORDER: tuple[Precision, ...] = ("float32", "tf32", "bfloat16", "float16")


def fingerprint(profile: Profile) -> str:
    """A hash of the architecture and its inputs: it does not depend on names, machine or versions."""
    modules = [
        (module.path, module.type, module.settings, [(each.name, each.shape, each.dtype, each.tied_to) for each in module.tensors])
        for module in profile.modules
    ]
    inputs = [(each.name, each.dtype, each.shape) for each in profile.inputs]
    content = msgspec.json.encode((modules, inputs, profile.totals.params, profile.totals.macs), order="sorted")
    return hashlib.sha256(content).hexdigest()[:16]


def read_recordings(folder: Path) -> list[tuple[str, RecordedLatency]]:
    """All recordings of a folder of baselines, each with its file's name, in the order of the files. Raises SavedFileError."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            content = decode_latencies(read_file(path), str(path))
        except OSError as error:
            raise SavedFileError(f"{path} cannot be read: {error.strerror}") from error
        found += [(path.name, entry) for entry in content.entries]
    return found


def attach_recorded(profiles: Sequence[Profile], folder: Path) -> list[Profile]:
    """The profiles with their recorded times: two models get times of the same run."""
    recordings = read_recordings(folder)
    if not recordings or any(profile.latency is not None for profile in profiles):
        return list(profiles)
    known = [fingerprint(profile) for profile in profiles]
    if len(profiles) == 2:
        pairs = [
            (name, (entry.before, entry.after))
            for name, entry in recordings
            if entry.after is not None and [entry.fingerprint_before, entry.fingerprint_after] == known
        ]
        return _attach(profiles, pairs)
    return [_attach([profile], find_recordings(recordings, key))[0] for profile, key in zip(profiles, known, strict=True)]


def find_recordings(recordings: Iterable[tuple[str, RecordedLatency]], key: str) -> list[tuple[str, tuple[Latency | None, ...]]]:
    """The recordings of one model, alone or as one of a pair."""
    return [(name, (latency,)) for name, entry in recordings for other, latency in _list_sides(entry) if other == key]


def _list_sides(entry: RecordedLatency) -> list[tuple[str | None, Latency]]:
    sides = [(entry.fingerprint_before, entry.before), (entry.fingerprint_after, entry.after)]
    return [(key, latency) for key, latency in sides if latency is not None]


def _attach(profiles: Sequence[Profile], found: Sequence[tuple[str, tuple[Latency | None, ...]]]) -> list[Profile]:
    """The profiles with the first recording in the order of dtypes; a note names the others."""
    ranked = sorted(found, key=lambda each: _rank(each[1]))
    if not ranked:
        return list(profiles)
    name, chosen = ranked[0]
    others = tuple(dict.fromkeys(_describe_recording(other, latencies) for other, latencies in ranked[1:]))
    return [
        profile
        if latency is None
        else msgspec.structs.replace(profile, latency=msgspec.structs.replace(latency, recorded=name, notes=(*latency.notes, *others)))
        for profile, latency in zip(profiles, chosen, strict=True)
    ]


def _rank(latencies: Iterable[Latency | None]) -> int:
    dtypes = [latency.settings.dtype for latency in latencies if latency is not None and latency.settings is not None]
    return _DTYPE_ORDER.index(dtypes[0]) if dtypes else len(_DTYPE_ORDER)


def _describe_recording(name: str, latencies: Iterable[Latency | None]) -> str:
    """Another recording of the same models, in one line."""
    from statistics import median

    known = [latency for latency in latencies if latency is not None]
    times = " → ".join(f"{median(latency.samples_s) * 1e3:,.3f} ms" for latency in known if latency.samples_s)
    dtype = known[0].settings.dtype if known[0].settings is not None else "?"
    return f"another recording: {dtype} on {known[0].device} ({name}): {times}"


def merge_recording(content: LatencyFile, entry: RecordedLatency) -> LatencyFile:
    """The file with the entry added; it replaces an earlier one of the same models and settings."""
    kept = [other for other in content.entries if _key(other) != _key(entry)]
    return LatencyFile(entries=tuple(sorted([*kept, entry], key=_key)))


def _key(entry: RecordedLatency) -> tuple[str, ...]:
    settings = msgspec.json.encode(entry.before.settings, order="sorted").decode()
    return (entry.name_before, entry.name_after or "", settings, entry.fingerprint_before, entry.fingerprint_after or "")


def make_recording(profiles: Sequence[Profile]) -> RecordedLatency:
    """The recording of one or two profiles that were timed."""
    first, second = profiles[0], profiles[1] if len(profiles) > 1 else None
    assert first.latency is not None
    return RecordedLatency(
        name_before=first.name,
        fingerprint_before=fingerprint(first),
        before=first.latency,
        name_after=second.name if second is not None else None,
        fingerprint_after=fingerprint(second) if second is not None else None,
        after=second.latency if second is not None else None,
    )
