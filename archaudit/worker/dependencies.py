"""Records everything that measuring a model of a git revision reads, from the moment that the checkout is entered.

An audit hook (`sys.addaudithook`) sees every file that Python opens and every folder that it lists. What was imported before is in
`sys.modules`. Calls such as `os.stat` have no audit event and are wrapped.
"""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

from archaudit.revisions.cache import ANY_FOLDER, digest_text, read_file_state
from archaudit.schema import Checkout, Dependencies, FileState

# What a process or a server reads is not recorded, so such a profile is not cached. By audit event: the reason.
_NOT_RECORDED = {
    "subprocess.Popen": "it starts processes",
    "os.system": "it starts processes",
    "os.fork": "it starts processes",
    "os.forkpty": "it starts processes",
    "os.posix_spawn": "it starts processes",
    "os.exec": "it starts processes",
    "socket.connect": "it opens connections",
    "urllib.Request": "it opens connections",
}
# State of the machine, not files.
_IGNORED_PREFIXES = ("/proc/", "/sys/", "/dev/")


class DependencyRecorder:
    """Records from its creation until the process ends: an audit hook cannot be removed."""

    def __init__(self, checkout: Checkout) -> None:
        self._root = os.path.realpath(checkout.root) + os.sep
        self._opened: set[str] = set()
        self._checked: set[str] = set()
        self._refusal: str | None = None
        self._variables: dict[str, str | None] = {}
        _watch_environment(self._variables)
        _watch_stat_calls(self._checked)
        sys.addaudithook(self._handle_event)

    def _handle_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wx") if isinstance(mode, str) else bool((flags or 0) & os.O_WRONLY)
            if isinstance(path, str | bytes) and not writes:
                self._opened.add(_absolute_path(path))
        elif event in ("os.listdir", "os.scandir"):
            (path,) = arguments
            if path is None or isinstance(path, str | bytes):
                self._opened.add(_absolute_path(path or "."))
        elif event in _NOT_RECORDED:
            self._refusal = self._refusal or _NOT_RECORDED[event]

    def list_dependencies(self) -> Dependencies:
        """Everything that was read so far."""
        imported = {source for module in list(sys.modules.values()) if isinstance(source := getattr(module, "__file__", None), str)}
        searched = {_absolute_path(entry) for entry in sys.path}
        sources: set[str] = set()
        outside: dict[str, FileState] = {}
        for path in sorted(self._opened | imported | searched | self._checked):
            if path.startswith(_IGNORED_PREFIXES) or "__pycache__" in path:
                continue
            real = os.path.realpath(path)
            if real.startswith(self._root):
                sources.add(os.path.relpath(real, self._root).replace(os.sep, "/"))
            elif not self._root.startswith(real.rstrip(os.sep) + os.sep):  # the folders above a checkout differ each time
                only_checked = path not in self._opened and path not in imported and path not in searched
                outside[path] = ANY_FOLDER if only_checked and Path(path).is_dir() else read_file_state(path)
        environ = {name: digest_text(value) for name, value in self._variables.items()}
        return Dependencies(sources=tuple(sorted(sources)), outside=outside, environ=environ, refusal=self._refusal)


def _watch_stat_calls(checked: set[str]) -> None:
    """From now on, adds to `checked` each path of which the code reads the existence, type or size."""
    for name in ("stat", "lstat", "access", "readlink"):
        original = getattr(os, name)

        @functools.wraps(original)
        def watched(path: Any, *args: Any, _original: Any = original, **kwargs: Any) -> Any:
            if isinstance(path, str | bytes | os.PathLike) and kwargs.get("dir_fd") is None:
                checked.add(_absolute_path(os.fspath(path)))
            return _original(path, *args, **kwargs)

        setattr(os, name, watched)


def _absolute_path(path: str | bytes) -> str:
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolving links for each file that is opened takes too long


def _watch_environment(variables: dict[str, str | None]) -> None:
    """From now on, adds to `variables` each environment variable that the code reads, with its value."""
    original: Any = type(os.environ)

    class Watched(original):  # type: ignore[misc]
        def __getitem__(self, name: str) -> str:
            value: str | None = None
            try:
                value = super().__getitem__(name)
                return value
            finally:
                if isinstance(name, str):
                    variables.setdefault(name, value)

        def __iter__(self) -> Any:
            names = list(super().__iter__())
            for name in names:
                variables.setdefault(name, super().__getitem__(name))
            return iter(names)

    os.environ.__class__ = Watched
