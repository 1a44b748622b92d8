"""The cache of profiles of revisions. A profile is found again only if everything that it depends on is the same.

The name of an entry is a digest of the settings and of the revision: the reference, inputs and options, the versions of Python, torch and
archaudit, the path of every file of the revision, and the content of each file that is not Python. An entry also holds what measuring the
profile read: the Python files of the revision (with their content), every file outside the revision (with its size and time of change,
installed packages included), and the environment variables. All are compared when an entry is looked up. So a commit that changes only
Python files that the model does not import is not measured again, and every other change is.

The dependencies of a model that starts processes or opens connections are not known: its profile is never cached.
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
from archaudit.errors import SavedFileError
from archaudit.revisions.git import TreeEntry
from archaudit.schema import FORMAT_VERSION, Dependencies, FileState, Profile, Record, decode_profile

# Prefixes of environment variables that libraries read before the recording starts.
_EARLY_VARIABLES = ("TORCH", "PYTORCH", "PYTHON", "CUDA", "OMP_", "MKL_", "HF_", "TRANSFORMERS_")
_MAX_ENTRIES = 2000


class CacheKey(Record, frozen=True, kw_only=True):
    """The key of a profile: `settings` is a digest of everything except the content, `entries` are the files of the commit."""

    settings: str
    entries: dict[str, TreeEntry]

    def digest(self) -> str:
        """The name that entries share if they differ only in the content of Python files."""
        skeleton = {path: (entry.mode, "" if path.endswith(".py") else entry.blob) for path, entry in self.entries.items()}
        return _digest([self.settings, skeleton])


class Entry(Record, frozen=True, kw_only=True):
    """What a cached profile depends on; `blobs` are the files of the revision that were read, with git's names of their content."""

    blobs: dict[str, str]
    dependencies: Dependencies

    def is_valid(self, entries: Mapping[str, TreeEntry]) -> bool:
        """Whether every dependency is unchanged."""
        return (
            all(path in entries and entries[path].blob == blob for path, blob in self.blobs.items())
            and all(digest_text(os.environ.get(name)) == value for name, value in self.dependencies.environ.items())
            and all(_is_unchanged(path, state) for path, state in self.dependencies.outside.items())
        )


class Cache:
    """The cached profiles in a folder, each with its dependencies."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or find_cache_folder()

    def find(self, key: CacheKey) -> tuple[Profile, tuple[str, ...]] | None:
        """The cached profile and the files of the revision that it was read from; None if there is none. An unreadable entry is ignored."""
        folder = self.folder / key.digest()
        for path in sorted(folder.glob("*.entry")) if folder.is_dir() else ():
            with suppress(OSError, msgspec.MsgspecError, SavedFileError, ValueError, RecursionError, zlib.error):
                entry = msgspec.json.decode(zlib.decompress(path.read_bytes()), type=Entry)
                if path.stem == _name_entry(entry.blobs, entry.dependencies) and entry.is_valid(key.entries):
                    data = zlib.decompress(path.with_suffix(".profile").read_bytes())
                    return decode_profile(data, str(path)), entry.dependencies.sources
        return None

    def keep(self, key: CacheKey, profile: Profile, dependencies: Dependencies) -> bool:
        """Writes a profile that was just measured; False if it cannot be cached."""
        if dependencies.refusal is not None:
            return False
        blobs = {path: key.entries[path].blob for path in dependencies.sources if path in key.entries}
        entry = Entry(blobs=blobs, dependencies=dependencies)
        folder = self.folder / key.digest()
        name = _name_entry(blobs, dependencies)
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(folder / f"{name}.profile", zlib.compress(msgspec.json.encode(profile), 1))
            _write(folder / f"{name}.entry", zlib.compress(msgspec.json.encode(entry), 1))  # last: it makes the entry valid
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


def _name_entry(blobs: Mapping[str, str], dependencies: Dependencies) -> str:
    """The name of an entry's files, which its content must have."""
    return _digest([blobs, msgspec.to_builtins(dependencies)])[:24]


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
        FORMAT_VERSION,
        archaudit.__version__,
        _read_version("torch"),
        sys.version,
        sys.executable,
        sys.prefix,
        platform.machine(),
        sorted(early.items()),
    ]


# The state of a folder whose existence was checked, but not its content.
ANY_FOLDER = FileState(size=-1)


def _is_unchanged(path: str, state: FileState) -> bool:
    return Path(path).is_dir() if state == ANY_FOLDER else read_file_state(path) == state


def read_file_state(path: str) -> FileState:
    """The current state of a file or folder."""
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them
    except (OSError, ValueError):
        return FileState()
    return FileState(size=found.st_size, changed_ns=found.st_mtime_ns)


def digest_text(text: str | None) -> str | None:
    """A digest of a text that may be a secret, which the cache must not hold. None for None."""
    return None if text is None else hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def digest_settings(parts: Iterable[object]) -> str:
    """A digest of the values that a profile depends on besides the content of its revision."""
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
