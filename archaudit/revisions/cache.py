"""Profiles of revisions, kept by content: a profile is found again only where everything that it depends on is the same.

An entry's name is a digest of what was asked and of the revision: the reference, inputs and options, the versions of Python, torch and
archaudit, the path of every file of the revision, and what each file holds that is not Python. Beside the profile stands what measuring it
really read: the Python files of the revision (with what they held), every file outside (with its size and time of change, installed
packages included), and the environment variables that were asked for. All are compared when an entry is looked up. So a commit that
touches only Python files that the model does not import costs nothing, and any other change is measured.

A model that starts processes or opens connections reads what is not seen here: it is never kept.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import msgspec

import archaudit
from archaudit.revisions.git import TreeEntry
from archaudit.schema import FORMAT_VERSION, Footprint, Profile, Record, Stamp

# Prefixes of variables that libraries read before they can be watched.
_WATCHED_TOO_LATE = ("TORCH", "PYTORCH", "PYTHON", "CUDA", "OMP_", "MKL_", "HF_", "TRANSFORMERS_")
_KEPT_ENTRIES = 2000


class CacheKey(Record, frozen=True, kw_only=True):
    """What is asked of a revision: `question` is everything but the content, `entries` are the files of the commit."""

    question: str
    entries: dict[str, TreeEntry]

    def digest(self) -> str:
        """The name that all entries share which differ at most in Python files."""
        skeleton = {path: (entry.mode, "" if path.endswith(".py") else entry.blob) for path, entry in self.entries.items()}
        return _digest([self.question, skeleton])


class Entry(Record, frozen=True, kw_only=True):
    """What a kept profile depends on; `blobs` are the Python files of the revision that were read."""

    blobs: dict[str, str]
    footprint: Footprint

    def holds(self, entries: Mapping[str, TreeEntry]) -> bool:
        """Whether everything is as it was."""
        return (
            all(path in entries and entries[path].blob == blob for path, blob in self.blobs.items())
            and all(digest_text(os.environ.get(name)) == value for name, value in self.footprint.environ.items())
            and all(_is_still(path, stamp) for path, stamp in self.footprint.outside.items())
        )


class Cache:
    """Kept profiles in a folder of the user's, each beside what it depends on."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or find_cache_folder()

    def find(self, key: CacheKey) -> tuple[Profile, tuple[str, ...]] | None:
        """The profile that measuring would give again, and the files of the revision that it was read from. An entry that cannot be read
        is none."""
        folder = self.folder / key.digest()
        for path in sorted(folder.glob("*.entry")) if folder.is_dir() else ():
            with suppress(OSError, msgspec.MsgspecError, ValueError, zlib.error):
                entry = msgspec.json.decode(zlib.decompress(path.read_bytes()), type=Entry)
                if entry.holds(key.entries):
                    data = zlib.decompress(path.with_suffix(".profile").read_bytes())
                    return msgspec.json.decode(data, type=Profile), entry.footprint.sources
        return None

    def keep(self, key: CacheKey, profile: Profile, footprint: Footprint) -> bool:
        """Keeps a profile that was just measured; False where it cannot be kept."""
        if footprint.refusal is not None:
            return False
        blobs = {path: key.entries[path].blob for path in footprint.sources if path in key.entries}
        entry = Entry(blobs=blobs, footprint=footprint)
        folder = self.folder / key.digest()
        name = _digest([blobs, msgspec.to_builtins(footprint)])[:24]
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(folder / f"{name}.profile", zlib.compress(msgspec.json.encode(profile), 1))
            _write(folder / f"{name}.entry", zlib.compress(msgspec.json.encode(entry), 1))  # last: with it the entry exists
            self._forget_oldest()
        except OSError:
            return False  # a full or read-only disk costs time, nothing else
        return True

    def _forget_oldest(self) -> None:
        entries = list(self.folder.glob("*/*.entry"))
        if len(entries) <= _KEPT_ENTRIES:
            return
        for path in sorted(entries, key=lambda entry: entry.stat().st_mtime)[: len(entries) - _KEPT_ENTRIES * 3 // 4]:
            path.unlink(missing_ok=True)
            path.with_suffix(".profile").unlink(missing_ok=True)


def find_cache_folder() -> Path:
    """`ARCHAUDIT_CACHE`, else archaudit's folder where the system keeps caches."""
    named = os.environ.get("ARCHAUDIT_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "archaudit" / "revisions"


def describe_surroundings() -> list[object]:
    """What any profile depends on beside its model: versions, interpreter, machine, and variables that are read before they are watched."""
    early = {name: value for name, value in os.environ.items() if name.startswith(_WATCHED_TOO_LATE) and name != "PYTHONPATH"}
    return [
        FORMAT_VERSION,
        archaudit.__version__,
        _read_version("torch"),
        sys.version,
        sys.executable,
        sys.prefix,
        platform.machine(),
        sorted(early.items()),
    ]


# Of a folder that was only looked at, what is in it does not matter.
A_FOLDER = Stamp(size=-1)


def _is_still(path: str, stamp: Stamp) -> bool:
    return Path(path).is_dir() if stamp == A_FOLDER else take_stamp(path) == stamp


def take_stamp(path: str) -> Stamp:
    """What a file or folder is now."""
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them
    except (OSError, ValueError):
        return Stamp()
    return Stamp(size=found.st_size, changed_ns=found.st_mtime_ns)


def digest_text(text: str | None) -> str | None:
    """What stands for a text that may be a secret: the cache must not hold those. None for none."""
    return None if text is None else hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def describe_question(parts: Iterable[object]) -> str:
    """One digest of plain values."""
    return _digest(list(parts))


def _read_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _digest(value: object) -> str:
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def _write(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
