"""Checkouts: the files of a commit in a folder of their own, gone when the block ends or, after a crash, when archaudit next makes one.

Each folder stands beside a file that its process holds locked. The lock ends with the process, however that ends, so a folder whose lock
is free is left over.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archaudit.errors import RevisionError
from archaudit.revisions.git import Repository

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows has no such locks: leftovers stay in its temporary folder
    fcntl = None  # type: ignore[assignment]

_LFS_HEAD = b"version https://git-lfs.github.com/spec/"
_LFS_LARGEST = 1024


@contextmanager
def open_checkout(repository: Repository, commit: str) -> Iterator[Path]:
    """The folder with the commit's files. Neither hooks nor downloads run; submodules are empty folders, LFS files stay pointers."""
    with _locked_folder() as folder:
        tree = folder / repository.toplevel.name  # a package may be named after its repository
        tree.mkdir()
        repository.write_tree(commit, tree, folder / "index")
        yield tree


def list_missing(repository: Repository, commit: str, folder: Path) -> list[str]:
    """What a checkout lacks: submodules and files that are only pointers to large-file storage. For people, when something failed."""
    entries = repository.list_tree(commit)
    submodules = [path for path, entry in entries.items() if entry.is_submodule]
    pointers = [path for path in entries if _is_pointer(folder / path)]
    missing = [f"the submodule {path}" for path in submodules[:3]]
    if len(submodules) > 3:
        missing.append(f"{len(submodules) - 3} more submodules")
    if pointers:
        missing.append(f"{pointers[0]}{f' and {len(pointers) - 1} more files' if len(pointers) > 1 else ''} of Git LFS")
    return missing


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LFS_LARGEST:
            return False
        with path.open("rb") as file:
            return file.read(len(_LFS_HEAD)) == _LFS_HEAD
    except OSError:
        return False


def find_shelf() -> Path:
    """The folder of all checkouts of this user, private to them. Raises RevisionError when somebody else made it."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    shelf = Path(tempfile.gettempdir()) / f"archaudit-checkouts-{user}"
    shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = shelf.lstat()
    if hasattr(os, "getuid") and (found.st_uid != user or shelf.is_symlink() or found.st_mode & 0o077):
        raise RevisionError(f"{shelf} is not private to you", "Remove it, or set TMPDIR to a folder of your own.")
    return shelf


@contextmanager
def _locked_folder() -> Iterator[Path]:
    shelf = find_shelf()
    _remove_leftovers(shelf)
    name, lock = _take_lock(shelf)
    folder = shelf / name
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (shelf / f"{name}.lock").unlink(missing_ok=True)
        os.close(lock)


def _take_lock(shelf: Path) -> tuple[str, int]:
    while True:
        name = secrets.token_hex(4)
        path = shelf / f"{name}.lock"
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
        if fcntl is None:
            return name, lock
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(lock).st_ino:
                return name, lock
        os.close(lock)  # another process took it for a leftover before it was locked


def _remove_leftovers(shelf: Path) -> None:
    if fcntl is None:
        return
    names = {entry.name.removesuffix(".lock") for entry in shelf.iterdir()}
    for name in names:
        path = shelf / f"{name}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(shelf / name, ignore_errors=True)
            path.unlink(missing_ok=True)
        except OSError:
            continue  # in use
        finally:
            os.close(lock)
