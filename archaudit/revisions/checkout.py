"""Checkouts: the files of a commit in a temporary folder. It is deleted when the block ends or, after a crash, with the next checkout.

Each folder has a lock file next to it, which its process holds locked. The lock ends with the process, so a folder whose lock is free
belongs to a process that crashed.
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
except ImportError:  # pragma: no cover - Windows has no such locks: there, a crash leaves its folder
    fcntl = None  # type: ignore[assignment]

_LFS_HEAD = b"version https://git-lfs.github.com/spec/"
_LFS_LARGEST = 1024


@contextmanager
def open_checkout(repository: Repository, commit: str) -> Iterator[Path]:
    """The folder with the commit's files. No hook runs and nothing is downloaded: submodules are empty folders, LFS files are pointers."""
    with _locked_folder() as folder:
        tree = folder / repository.toplevel.name  # the name can be part of an import: a repository may itself be a package
        tree.mkdir()
        repository.write_tree(commit, tree, folder / "index")
        yield tree


def list_missing(repository: Repository, commit: str, folder: Path) -> list[str]:
    """What a checkout lacks, for an error message: submodules, files that are pointers to Git LFS, and those that a partial clone lacks."""
    entries = repository.list_tree(commit)
    submodules = [path for path, entry in entries.items() if entry.is_submodule]
    pointers = [path for path in entries if _is_pointer(folder / path)]
    missing = [f"the submodule {path}" for path in submodules[:3]]
    if len(submodules) > 3:
        missing.append(f"{len(submodules) - 3} more submodules")
    if pointers:
        missing.append(f"{pointers[0]}{f' and {len(pointers) - 1} more files' if len(pointers) > 1 else ''} of Git LFS")
    absent = [path for path, entry in entries.items() if not entry.is_submodule and not os.path.lexists(folder / path)]
    if absent:
        missing.append(f"{', '.join(absent[:3])}{f' and {len(absent) - 3} more files' if len(absent) > 3 else ''} of a partial clone")
    return missing


def _is_pointer(path: Path) -> bool:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _LFS_LARGEST:
            return False
        with path.open("rb") as file:
            return file.read(len(_LFS_HEAD)) == _LFS_HEAD
    except OSError:
        return False


def find_checkouts_folder() -> Path:
    """The folder of all checkouts of this user, private to the user. Raises RevisionError if it belongs to someone else."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    parent = Path(tempfile.gettempdir()) / f"archaudit-checkouts-{user}"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = parent.lstat()
    if hasattr(os, "getuid") and (found.st_uid != user or parent.is_symlink() or found.st_mode & 0o077):
        raise RevisionError(f"{parent} is not private to your user", "Remove it, or set TMPDIR to a private folder.")
    return parent


@contextmanager
def _locked_folder() -> Iterator[Path]:
    parent, name, lock = _find_place()
    folder = parent / name
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        (parent / f"{name}.lock").unlink(missing_ok=True)
        os.close(lock)
        with contextlib.suppress(OSError):  # other commands have checkouts in it
            parent.rmdir()


def _find_place() -> tuple[Path, str, int]:
    """The folder of checkouts, a free name in it, and its lock."""
    while True:
        parent = find_checkouts_folder()
        _remove_abandoned(parent)
        try:
            return parent, *_take_lock(parent)
        except FileNotFoundError:  # another command removed the empty folder
            continue


def _take_lock(parent: Path) -> tuple[str, int]:
    while True:
        name = secrets.token_hex(4)
        path = parent / f"{name}.lock"
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o600)
        if fcntl is None:
            return name, lock
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and path.stat().st_ino == os.fstat(lock).st_ino:
                return name, lock
        os.close(lock)  # another process removed it as abandoned before it was locked


def _remove_abandoned(parent: Path) -> None:
    if fcntl is None:
        return
    try:
        names = {entry.name.removesuffix(".lock") for entry in parent.iterdir()}
    except FileNotFoundError:
        return
    for name in names:
        path = parent / f"{name}.lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(parent / name, ignore_errors=True)
            path.unlink(missing_ok=True)
        except OSError:
            continue  # in use
        finally:
            os.close(lock)
