"""What measuring a model of a revision reads: watched from the moment that the checkout is entered.

Python tells of every file that it opens and every folder that it lists (`sys.addaudithook`); what was imported before is in `sys.modules`.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

from archaudit.revisions.cache import A_FOLDER, digest_text, take_stamp
from archaudit.schema import Checkout, Footprint, Stamp

_READS_UNSEEN = {
    "subprocess.Popen": "it starts processes",
    "os.system": "it starts processes",
    "os.fork": "it starts processes",
    "os.forkpty": "it starts processes",
    "os.posix_spawn": "it starts processes",
    "os.exec": "it starts processes",
    "socket.connect": "it opens connections",
    "urllib.Request": "it opens connections",
}
# What the machine says of itself.
_NO_FILES = ("/proc/", "/sys/", "/dev/")


class FootprintRecorder:
    """Records from now on, for as long as the process lives: an audit hook cannot be taken off."""

    def __init__(self, checkout: Checkout) -> None:
        self._root = os.path.realpath(checkout.root) + os.sep
        self._opened: set[str] = set()
        self._looked_at: set[str] = set()
        self._refusal: str | None = None
        self._asked: dict[str, str | None] = {}
        _watch_environment(self._asked)
        _watch_looks(self._looked_at)
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wx") if isinstance(mode, str) else bool((flags or 0) & os.O_WRONLY)
            if isinstance(path, str | bytes) and not writes:
                self._opened.add(_name(path))
        elif event in ("os.listdir", "os.scandir"):
            (path,) = arguments
            if path is None or isinstance(path, str | bytes):
                self._opened.add(_name(path or "."))
        elif event in _READS_UNSEEN:
            self._refusal = self._refusal or _READS_UNSEEN[event]

    def take(self) -> Footprint:
        """What was read so far."""
        imported = {source for module in list(sys.modules.values()) if isinstance(source := getattr(module, "__file__", None), str)}
        searched = {_name(entry) for entry in sys.path}
        sources: set[str] = set()
        outside: dict[str, Stamp] = {}
        for path in sorted(self._opened | imported | searched | self._looked_at):
            if path.startswith(_NO_FILES) or "__pycache__" in path:
                continue
            real = os.path.realpath(path)
            if real.startswith(self._root):
                sources.add(os.path.relpath(real, self._root).replace(os.sep, "/"))
            elif not self._root.startswith(real.rstrip(os.sep) + os.sep):  # the folders that the checkout lies in are other ones each time
                only_looked = path not in self._opened and path not in imported and path not in searched
                outside[path] = A_FOLDER if only_looked and Path(path).is_dir() else take_stamp(path)
        environ = {name: digest_text(value) for name, value in self._asked.items()}
        return Footprint(sources=tuple(sorted(sources)), outside=outside, environ=environ, refusal=self._refusal)


def _watch_looks(looked_at: set[str]) -> None:
    """Notes each path whose being there, kind or size is asked for from now on: of that, Python tells no hook."""
    for name in ("stat", "lstat", "access", "readlink"):
        plain = getattr(os, name)

        @functools.wraps(plain)
        def watched(path: Any, *args: Any, _plain: Any = plain, **kwargs: Any) -> Any:
            if isinstance(path, str | bytes | os.PathLike) and kwargs.get("dir_fd") is None:
                looked_at.add(_name(os.fspath(path)))
            return _plain(path, *args, **kwargs)

        setattr(os, name, watched)


def _name(path: str | bytes) -> str:
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - links are followed later: opening a file must not cost that much


def _watch_environment(asked: dict[str, str | None]) -> None:
    """Notes in `asked` each variable that is asked for from now on, and what it was."""
    plain: Any = type(os.environ)

    class Watched(plain):  # type: ignore[misc]
        def __getitem__(self, name: str) -> str:
            value: str | None = None
            try:
                value = super().__getitem__(name)
                return value
            finally:
                if isinstance(name, str):
                    asked.setdefault(name, value)

        def __iter__(self) -> Any:
            names = list(super().__iter__())
            for name in names:
                asked.setdefault(name, super().__getitem__(name))
            return iter(names)

    os.environ.__class__ = Watched
