"""What lies at a path outside a revision, so that a cached profile is used only if that is the same.

A state has the path with symbolic links resolved, and the content's digest. Times alone prove nothing: `touch` sets them. But the file
system sets the time of the last change of a file's inode, and no program can set that one. So a file with the same device, inode, size and
both times is the same without reading it; any other one is read and compared by its content.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable

from archaudit.schema import FileState

# Reading a larger file takes longer than measuring most models. If its inode changes, the model is measured again.
_LARGEST_DIGESTED_BYTES = 256 * 2**20
_BLOCK_BYTES = 2**20

Identity = tuple[int, ...]


def read_identity(path: str) -> Identity:
    """Device, inode, size, and the times of the last change of content and of the inode, in nanoseconds. Empty if there is nothing."""
    try:
        found = os.stat(path)  # noqa: PTH116 - thousands of them
    except (OSError, ValueError):
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def digest_names(path: str, *, with_sizes: bool) -> str | None:
    """A digest of the names in a folder, `with_sizes` of its files; None if it cannot be read."""
    try:
        with os.scandir(path) as entries:
            lines = sorted((os.fsencode(entry.name), entry.stat().st_size if with_sizes and entry.is_file() else -1) for entry in entries)
    except OSError:
        return None
    return hashlib.sha256(b"\0".join(b"%s/%d" % line for line in lines)).hexdigest()


class FileReader:
    """Reads states. One reader resolves each folder and digests each file once, so it serves one look into the cache.

    One that `remembers` compares each path with each state once.
    """

    def __init__(self, digests: dict[tuple[str, Identity], str | None] | None = None, *, remembers: bool = False) -> None:
        self._compared: dict[tuple[str, FileState], bool] | None = {} if remembers else None
        self._folders: dict[str, str] = {}
        self._digests = digests if digests is not None else {}

    def read(self, path: str, identity: Identity | None = None) -> FileState:
        """The state of a path without a digest; with the `identity` that was found when it was used, if given."""
        kind = self._find_kind(path)
        return FileState(kind=kind, target=self.resolve(path), identity=read_identity(path) if identity is None else identity)

    def add_digest(self, path: str, state: FileState) -> FileState:
        """The state with the digest of the file's content, if the file is still the one that was used."""
        if state.digest is not None or state.kind not in ("file", "folder") or not state.identity:
            return state
        if read_identity(path) != state.identity:
            return state
        return FileState(kind=state.kind, target=state.target, identity=state.identity, digest=self._digest(path, state))

    def is_unchanged(self, path: str, state: FileState) -> bool:
        """Whether what lies at the path is the same as in `state`."""
        if self._compared is None:
            return self._compare(path, state)
        key = path, state
        if key not in self._compared:
            self._compared[key] = self._compare(path, state)
        return self._compared[key]

    def _compare(self, path: str, state: FileState) -> bool:
        if state.kind == "any folder":
            return os.path.isdir(path)  # noqa: PTH112
        if self.resolve(path) != state.target:
            return False
        kind = self._find_kind(path)
        if state.kind in ("missing", "other"):
            return kind == state.kind == "missing"
        if kind != ("folder" if state.kind == "folder with sizes" else state.kind):
            return False
        identity = read_identity(path)
        if identity == state.identity and state.kind != "folder with sizes":
            return True
        return state.digest is not None and self._digest(path, state, identity) == state.digest

    def resolve(self, path: str) -> str:
        """The path without symbolic links."""
        head, tail = os.path.split(path)
        if not tail or tail == "..":
            return os.path.realpath(path)
        folder = self._folders.get(head)
        if folder is None:
            folder = self._folders[head] = os.path.realpath(head)
        joined = os.path.join(folder, tail)  # noqa: PTH118
        return os.path.realpath(joined) if os.path.islink(joined) else joined  # noqa: PTH114

    def _digest(self, path: str, state: FileState, identity: Identity | None = None) -> str | None:
        if state.kind != "file":
            return digest_names(path, with_sizes=state.kind == "folder with sizes")
        key = path, state.identity if identity is None else identity
        if key not in self._digests:
            self._digests[key] = _digest_file(path)
        return self._digests[key]

    @staticmethod
    def _find_kind(path: str) -> str:
        try:
            mode = os.stat(path).st_mode  # noqa: PTH116
        except (OSError, ValueError):
            return "missing"
        return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def _digest_file(path: str) -> str | None:
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            if os.fstat(file.fileno()).st_size > _LARGEST_DIGESTED_BYTES:
                return None
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError:
        return None
    return digest.hexdigest()


def list_links(path: str) -> Iterable[str]:
    """Every symbolic link that resolving the path follows, each with its own folder resolved, and the resolved path at the end."""
    found: list[str] = []
    waiting = [part for part in path.split("/") if part][::-1]
    current = os.sep
    while waiting and len(found) < 40:  # as many as the system follows
        part = waiting.pop()
        if part == ".":
            continue
        if part == "..":
            current = os.path.dirname(current)  # noqa: PTH120
            continue
        joined = os.path.join(current, part)  # noqa: PTH118
        if not os.path.islink(joined):  # noqa: PTH114
            current = joined
            continue
        found.append(joined)
        target = os.readlink(joined)  # noqa: PTH115
        current = os.sep if target.startswith(os.sep) else current
        waiting += [each for each in target.split("/") if each][::-1]
    return [*found, current]
