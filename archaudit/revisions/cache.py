"""The cache of profiles of revisions. A profile is found again only if everything that it depends on is the same.

The name of an entry is a digest of the settings and of the revision: the reference, inputs and options, the versions of Python, torch and
archaudit, the path of every file of the revision, the target of each symbolic link, and the content of each file that is not Python. An
entry also holds what measuring the profile read: the Python files of the revision (with their content), every file outside the revision
(`file_states`; installed packages included), and the environment variables. All are compared when an entry is looked up. So a commit that
changes only Python files that the model does not import is not measured again, and every other change is.

The dependencies of a model that starts processes, opens connections or reads files by native code are not known, and a model that depends
on chance or time has another profile each time: these are never cached.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import tempfile
import zlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

import archaudit
from archaudit.errors import SavedFileError
from archaudit.revisions.file_states import FileReader
from archaudit.revisions.git import TreeEntry
from archaudit.schema import FORMAT_VERSION, Dependencies, Profile, Record, decode_profile
from archaudit.versions import find_version

# Prefixes of environment variables that libraries read before the recording starts.
_EARLY_VARIABLES = ("TORCH", "PYTORCH", "PYTHON", "CUDA", "OMP_", "MKL_", "HF_", "TRANSFORMERS_")
_MAX_ENTRIES = 2000
_LARGEST_BYTES = 2**30
# What a damaged entry raises; one that is nested too deeply raises RecursionError.
_UNREADABLE = (OSError, msgspec.MsgspecError, SavedFileError, ValueError, RecursionError, MemoryError, zlib.error)
# Entries of another layout are not found.
_LAYOUT = 3
# By path and identity: a command that looks up many commits reads each file once.
_digests: dict[tuple[str, tuple[int, ...]], str | None] = {}


class CacheKey(Record, frozen=True, kw_only=True):
    """The key of a profile: `settings` is a digest of everything except the content, `entries` are the files of the commit."""

    settings: str
    entries: dict[str, TreeEntry]

    def digest(self) -> str:
        """The name that entries share if they differ only in the content of Python files."""
        skeleton = {
            path: (entry.mode, "" if path.endswith(".py") and entry.is_file else entry.blob) for path, entry in self.entries.items()
        }
        return _digest([self.settings, skeleton])


class Entry(Record, frozen=True, kw_only=True):
    """What a cached profile depends on; `blobs` are the files of the revision that were read, with git's names of their content."""

    blobs: dict[str, str]
    dependencies: Dependencies

    def is_valid(self, entries: Mapping[str, TreeEntry], reader: FileReader) -> bool:
        """Whether every dependency is unchanged."""
        return (
            all(path in entries and entries[path].blob == blob for path, blob in self.blobs.items())
            and all(digest_text(os.environ.get(name)) == value for name, value in self.dependencies.environ.items())
            and self._is_unchanged(reader)
        )

    def _is_unchanged(self, reader: FileReader) -> bool:
        return all(reader.is_unchanged(path, state) for path, state in self.dependencies.outside.items())


class Cache:
    """The cached profiles in a folder, each with its dependencies."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or find_cache_folder()

    def find(self, key: CacheKey) -> tuple[Profile, tuple[str, ...]] | None:
        """The cached profile and the files of the revision that it was read from; None if there is none. An unreadable entry is ignored."""
        return self._find(key, FileReader(_digests))

    def find_all(self, keys: Iterable[CacheKey]) -> Iterable[tuple[CacheKey, Profile]]:
        """The cached profiles of those keys that have one. Each file that several of them depend on is looked at once."""
        reader = FileReader(_digests, remembers=True)
        for key in keys:
            if (found := self._find(key, reader)) is not None:
                yield key, found[0]

    def _find(self, key: CacheKey, reader: FileReader) -> tuple[Profile, tuple[str, ...]] | None:
        folder = self.folder / key.digest()
        for path in sorted(folder.glob("*.entry")) if folder.is_dir() else ():
            with suppress(*_UNREADABLE):
                data = _decompress(path)
                if path.stem != _name_entry(data):
                    continue
                entry = msgspec.json.decode(data, type=Entry)
                if entry.is_valid(key.entries, reader):
                    return decode_profile(_decompress(path.with_suffix(".profile")), str(path)), entry.dependencies.sources
        return None

    def keep(self, key: CacheKey, profile: Profile, dependencies: Dependencies) -> bool:
        """Writes a profile that was just measured; False if it cannot be cached."""
        if dependencies.refusal is not None:
            return False
        reader = FileReader(_digests)
        outside = {path: reader.add_digest(path, state) for path, state in dependencies.outside.items()}
        dependencies = msgspec.structs.replace(dependencies, outside=outside)
        blobs = {path: key.entries[path].blob for path in dependencies.sources if path in key.entries}
        entry = Entry(blobs=blobs, dependencies=dependencies)
        folder = self.folder / key.digest()
        data = msgspec.json.encode(entry, order="sorted")
        name = _name_entry(data)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(folder / f"{name}.profile", zlib.compress(msgspec.json.encode(profile), 1))
            _write(folder / f"{name}.entry", zlib.compress(data, 1))  # last: it makes the entry valid
            self._delete_oldest()
        except OSError:
            return False  # on a full or read-only disk the profile is measured again next time
        return True

    def _delete_oldest(self) -> None:
        entries = list(self.folder.glob("*/*.entry"))
        if len(entries) <= _MAX_ENTRIES:
            return
        for path in sorted(entries, key=lambda entry: entry.stat().st_mtime)[: len(entries) - _MAX_ENTRIES * 3 // 4]:
            path.unlink(missing_ok=True)
            path.with_suffix(".profile").unlink(missing_ok=True)


def _name_entry(data: bytes) -> str:
    """The name of an entry's files, which its content must have."""
    return hashlib.sha256(data).hexdigest()[:24]


def find_cache_folder() -> Path:
    """`ARCHAUDIT_CACHE`, else archaudit's folder in the user's cache folder."""
    named = os.environ.get("ARCHAUDIT_CACHE")
    if named:
        return Path(named)
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "archaudit" / "revisions"


def describe_environment() -> list[object]:
    """What every profile depends on: versions, interpreter, machine, and variables that are read before the recording starts."""
    early = {name: value for name, value in os.environ.items() if name.startswith(_EARLY_VARIABLES) and name != "PYTHONPATH"}
    return [
        _LAYOUT,
        FORMAT_VERSION,
        archaudit.__version__,
        find_version("torch"),
        sys.version,
        sys.executable,
        sys.prefix,
        platform.machine(),
        sorted(early.items()),
    ]


def digest_text(text: str | None) -> str | None:
    """A digest of a text that may be a secret, which the cache must not hold. None for None."""
    return None if text is None else hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def digest_settings(parts: Iterable[object]) -> str:
    """A digest of the values that a profile depends on besides the content of its revision."""
    return _digest(list(parts))


def _digest(value: object) -> str:
    try:
        data = msgspec.json.encode(value, order="sorted")
    except UnicodeEncodeError:  # the name of a file is not UTF-8
        data = json.dumps(value, sort_keys=True).encode()
    return hashlib.sha256(data).hexdigest()


def _decompress(path: Path) -> bytes:
    """The content of a file of the cache. Raises ValueError for one that no profile can fill."""
    unpacker = zlib.decompressobj()
    data = unpacker.decompress(path.read_bytes(), _LARGEST_BYTES)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError(f"{path} is damaged")
    return data


def _write(path: Path, data: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
