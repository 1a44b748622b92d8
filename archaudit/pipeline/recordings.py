"""Recorded times: which models they are of, and how they are found again. A model is known by its architecture and inputs, not its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from archaudit.errors import SavedFileError
from archaudit.schema import Latency, LatencyFile, Precision, Profile, RecordedLatency, decode_latencies

FOLDER = "latency"
# Of several recordings of the same models the one in the arithmetic that the model was written in is shown.
_FIRST: tuple[Precision, ...] = ("float32", "tf32", "bfloat16", "float16")


def fingerprint(profile: Profile) -> str:
    """The same for two profiles of one architecture on the same inputs, whatever they are called and whatever measured them."""
    modules = [
        (module.path, module.type, module.settings, [(each.name, each.shape, each.dtype, each.tied_to) for each in module.tensors])
        for module in profile.modules
    ]
    inputs = [(each.name, each.dtype, each.shape) for each in profile.inputs]
    content = msgspec.json.encode((modules, inputs, profile.totals.params, profile.totals.macs), order="sorted")
    return hashlib.sha256(content).hexdigest()[:16]


def read_recordings(folder: Path) -> list[tuple[str, RecordedLatency]]:
    """Everything recorded in the files of a folder of baselines, with the names of the files, in their order. Raises SavedFileError."""
    found = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            content = decode_latencies(path.read_bytes(), str(path))
        except OSError as error:
            raise SavedFileError(f"{path} cannot be read: {error.strerror}") from error
        found += [(path.name, entry) for entry in content.entries]
    return found


def attach_recorded(profiles: Sequence[Profile], folder: Path) -> list[Profile]:
    """The profiles with what was recorded of them: two models with times of one run, one model with its own."""
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
    """What was recorded of one model, alone or as either side."""
    return [(name, (latency,)) for name, entry in recordings for other, latency in _list_sides(entry) if other == key]


def _list_sides(entry: RecordedLatency) -> list[tuple[str | None, Latency]]:
    sides = [(entry.fingerprint_before, entry.before), (entry.fingerprint_after, entry.after)]
    return [(key, latency) for key, latency in sides if latency is not None]


def _attach(profiles: Sequence[Profile], found: Sequence[tuple[str, tuple[Latency | None, ...]]]) -> list[Profile]:
    """The first recording in the order of arithmetics; the others are named."""
    ranked = sorted(found, key=lambda each: _rank(each[1]))
    if not ranked:
        return list(profiles)
    name, chosen = ranked[0]
    others = tuple(dict.fromkeys(_tell(other, latencies) for other, latencies in ranked[1:]))
    return [
        profile
        if latency is None
        else msgspec.structs.replace(profile, latency=msgspec.structs.replace(latency, recorded=name, notes=(*latency.notes, *others)))
        for profile, latency in zip(profiles, chosen, strict=True)
    ]


def _rank(latencies: Iterable[Latency | None]) -> int:
    dtypes = [latency.settings.dtype for latency in latencies if latency is not None and latency.settings is not None]
    return _FIRST.index(dtypes[0]) if dtypes else len(_FIRST)


def _tell(name: str, latencies: Iterable[Latency | None]) -> str:
    """What else was recorded of the same models, in one line."""
    from statistics import median

    told = [latency for latency in latencies if latency is not None]
    times = " → ".join(f"{median(latency.samples_s) * 1e3:,.3f} ms" for latency in told if latency.samples_s)
    dtype = told[0].settings.dtype if told[0].settings is not None else "?"
    return f"also recorded: {dtype} on {told[0].device} ({name}): {times}"


def merge_recording(content: LatencyFile, entry: RecordedLatency) -> LatencyFile:
    """The file with an entry added, in place of an earlier one of the same models and settings."""
    kept = [other for other in content.entries if _key(other) != _key(entry)]
    return LatencyFile(entries=tuple(sorted([*kept, entry], key=_key)))


def _key(entry: RecordedLatency) -> tuple[str, ...]:
    settings = msgspec.json.encode(entry.before.settings, order="sorted").decode()
    return (entry.name_before, entry.name_after or "", settings, entry.fingerprint_before, entry.fingerprint_after or "")


def make_recording(profiles: Sequence[Profile]) -> RecordedLatency:
    """What is to be kept of one or two profiles that were timed."""
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
