"""Records everything that measuring a model reads, from the moment that a checkout is entered or a library's model is loaded.

An audit hook (`sys.addaudithook`) sees every file that Python opens, every folder that it lists and every native module that it loads. What
was imported before is in `sys.modules`. Calls such as `os.stat` have no audit event and are wrapped, and so is the environment. What
native code reads by itself is not seen: a model that loads such code, or that depends on chance or time, has a `refusal`.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archaudit.revisions.cache import digest_text
from archaudit.revisions.file_states import FileReader, Identity, digest_names, list_links, read_identity
from archaudit.schema import Checkout, Dependencies, FileState
from archaudit.worker.native_readers import READERS, explain_native_module, watch_readers
from archaudit.worker.pool import COMPILED_FOLDER
from archaudit.worker.recorded_environment import record_environment

# By audit event: why what happens there is not known.
_NOT_RECORDED = {
    "subprocess.Popen": "it starts processes",
    "os.system": "it starts processes",
    "os.fork": "it starts processes",
    "os.forkpty": "it starts processes",
    "os.posix_spawn": "it starts processes",
    "os.exec": "it starts processes",
    "socket.connect": "it opens connections",
    "socket.sendto": "it opens connections",
    "socket.getaddrinfo": "it opens connections",
    "urllib.Request": "it opens connections",
    "sqlite3.connect": "it reads files by native code (sqlite3)",
    "os.getxattr": "it reads attributes of files",
    "os.listxattr": "it reads attributes of files",
}
# State of the machine, not files. Other files there are: /dev/shm holds ordinary ones.
_IGNORED_PREFIXES = ("/proc/", "/sys/")
_IGNORED_FILES = ("/dev/null", "/dev/tty", "/dev/stdin", "/dev/stdout", "/dev/stderr")
_STARTED_NS = time.time_ns()
_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "gmtime", "ctime", "strftime")
# Names of the methods that read the time in `datetime`, which is native code and cannot be wrapped.
_DATE_WORDS = ("datetime", "utcnow", "today()")


class DependencyRecorder:
    """Records from its creation until the process ends: an audit hook cannot be removed."""

    def __init__(self, checkout: Checkout | None) -> None:
        from archaudit.measure.process_state import read_shared_random_state

        self._root = os.path.realpath(checkout.root) + os.sep if checkout is not None else None
        compiled = os.environ.get("TORCHINDUCTOR_CACHE_DIR", "")
        self._ignored = (*_IGNORED_PREFIXES, *([compiled] if COMPILED_FOLDER in compiled else []))  # it has another name each time
        self._opened: dict[str, Identity] = {}
        self._listed: dict[str, FileState] = {}
        self._checked: dict[str, Identity] = {}
        self._refusal: str | None = None
        self._paused = threading.local()
        self._chance = read_shared_random_state()
        self._variables = record_environment()
        self._watch_file_calls()
        self._watch_clocks()
        watch_readers(self._refuse)
        sys.addaudithook(self._handle_event)

    def list_dependencies(self) -> Dependencies:
        """Everything that was read so far."""
        with self._pause():
            return self._list_dependencies()

    def _refuse(self, why: str) -> None:
        self._refusal = self._refusal or why

    def _handle_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        if getattr(self._paused, "by_archaudit", False):
            return
        if event == "open":
            path, mode, flags = arguments
            writes = any(letter in mode for letter in "wx") if isinstance(mode, str) else bool((flags or 0) & os.O_WRONLY)
            if isinstance(path, str | bytes) and not writes:
                self._add_opened(_absolute_path(path))
        elif event in ("os.listdir", "os.scandir"):
            self._add_listed(arguments[0], with_sizes=event == "os.scandir")
        elif event == "import" and isinstance(arguments[1], str):
            self._check_native_module(*arguments[:2])
        elif event in READERS:
            READERS[event](arguments, self._refuse)
        elif event in _NOT_RECORDED:
            self._refuse(_NOT_RECORDED[event])

    def _add_opened(self, path: str) -> None:
        with self._pause():
            if path.startswith("/proc/"):  # /proc/self/cwd/x and /proc/self/fd/3 are ordinary files, but only now
                path = os.path.realpath(path)
            if path not in self._opened:
                self._opened[path] = read_identity(path)

    def _add_listed(self, path: Any, *, with_sizes: bool) -> None:
        if isinstance(path, int):
            self._refuse("it reads a folder by its descriptor")
            return
        name = _absolute_path(os.fspath(path) if path is not None else ".")
        known = self._listed.get(name)
        if known is None or (with_sizes and known.kind == "folder"):
            with self._pause():
                digest = digest_names(name, with_sizes=with_sizes)
                kind = "missing" if digest is None else "folder with sizes" if with_sizes else "folder"
                self._listed[name] = FileState(kind=kind, target=os.path.realpath(name), digest=digest)

    @contextmanager
    def _pause(self) -> Iterator[None]:
        """A block whose own readings are not recorded."""
        before = getattr(self._paused, "by_archaudit", False)
        self._paused.by_archaudit = True
        try:
            yield
        finally:
            self._paused.by_archaudit = before

    def _check_native_module(self, name: str, file: str) -> None:
        self._add_opened(_absolute_path(file))
        if (why := explain_native_module(name)) is not None:
            self._refuse(why)

    def _list_dependencies(self) -> Dependencies:
        reader = FileReader()
        modules = [module for module in list(sys.modules.values()) if isinstance(getattr(module, "__file__", None), str)]
        sources: set[str] = set()
        outside: dict[str, FileState] = {}
        for path, state in [*self._list_files(reader, modules), *self._listed.items()]:
            if path in _IGNORED_FILES or path.startswith(self._ignored) or _is_bytecode(path):
                continue
            real, root = reader.resolve(path), self._root
            if root is None:
                outside[path] = state
                continue
            if path.startswith(root) or real.startswith(root):
                for place in list_links(path):
                    if place.startswith(root):
                        sources.add(os.path.relpath(place, root).replace(os.sep, "/"))
            if not real.startswith(root) and not root.startswith(real.rstrip(os.sep) + os.sep):
                # the path in a checkout, and the folders above it, differ each time
                outside[real if path.startswith(root) else path] = state
        environ = {name: digest_text(value) for name, value in self._variables.items()}
        refusal = self._refusal or self._explain_chance() or self._explain_dates(sources, outside) or _explain_names([*sources, *outside])
        return Dependencies(sources=tuple(sorted(sources)), outside=outside, environ=environ, refusal=refusal)

    def _list_files(self, reader: FileReader, modules: list[Any]) -> list[tuple[str, FileState]]:
        found: dict[str, FileState] = {}
        for path, identity in self._checked.items():
            state = reader.read(path, identity)
            found[path] = FileState(kind="any folder") if state.kind == "folder" else state
        for entry in sys.path:
            name = _absolute_path(entry)
            if name not in self._listed:
                state = reader.read(name)
                digest = digest_names(name, with_sizes=False) if state.kind == "folder" else None
                found[name] = FileState(kind=state.kind, target=state.target, identity=state.identity, digest=digest)
        for module in modules:  # loaded before: a file that was changed since this program started may be another one
            identity = read_identity(module.__file__)
            changed = bool(identity) and max(identity[3:]) > _STARTED_NS
            found[module.__file__] = reader.read(module.__file__, (0,) if changed else identity)
        return [*found.items(), *((path, reader.read(path, identity)) for path, identity in self._opened.items())]

    # --- what has no audit event

    def _watch_file_calls(self) -> None:
        """From now on, adds each path of which the code reads the existence, type or size."""
        system = importlib.import_module(os.name)
        for name in ("stat", "lstat", "access", "readlink", "open"):
            original = getattr(os, name)
            watched = self._watch_call(original, name)
            setattr(os, name, watched)
            setattr(system, name, watched)
            for supported in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
                if original in supported:
                    supported.add(watched)

    def _watch_call(self, original: Any, name: str) -> Any:
        def watched(path: Any, *args: Any, **kwargs: Any) -> Any:
            if not getattr(self._paused, "by_archaudit", False):
                if kwargs.get("dir_fd") is not None:
                    self._refuse("it reads files by the descriptor of a folder")
                elif name != "open" and isinstance(path, str | bytes | os.PathLike):
                    absolute = _absolute_path(os.fspath(path))
                    if absolute not in self._checked:
                        with self._pause():
                            self._checked[absolute] = read_identity(absolute)
            return original(path, *args, **kwargs)

        return watched

    def _watch_clocks(self) -> None:
        """From now on, a clock that code outside of the libraries reads is a refusal."""
        for name in _CLOCKS:
            setattr(time, name, _watch_clock(getattr(time, name), self._refuse))

    def _explain_chance(self) -> str | None:
        from archaudit.measure.process_state import has_drawn, read_shared_random_state

        return "it draws random numbers" if has_drawn() or read_shared_random_state() != self._chance else None

    def _explain_dates(self, sources: set[str], outside: Iterable[str]) -> str | None:
        root = self._root
        written = [f"{root}{each}" for each in sources] if root is not None else [each for each in outside if not _is_library(each)]
        for source in written:
            if source.endswith(".py"):
                try:
                    text = Path(source).read_text(encoding="utf-8", errors="replace")
                except OSError:
                    continue
                if _DATE_WORDS[0] in text and any(word in text for word in ("now(", *_DATE_WORDS[1:])):
                    return "it reads the date"
        return None


def _watch_clock(original: Any, refuse: Any) -> Any:
    def watched(*args: Any) -> Any:
        if not _is_library(sys._getframe(1).f_code.co_filename):
            refuse("it reads the time")
        return original(*args)

    return watched


_LIBRARIES = tuple({os.path.realpath(folder) + os.sep for folder in (sys.prefix, sys.base_prefix, os.path.dirname(os.__file__))})  # noqa: PTH120
_OWN_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep


def _is_library(file: str) -> bool:
    return file.startswith((*_LIBRARIES, _OWN_FOLDER, "<")) or f"{os.sep}site-packages{os.sep}" in file


def _is_bytecode(path: str) -> bool:
    return path.endswith(".pyc") and "__pycache__" in path


def _explain_names(paths: list[str]) -> str | None:
    """A reply of a worker is UTF-8, which cannot hold every name of a file."""
    for path in paths:
        if not path.isascii() and any("\ud800" <= character <= "\udfff" for character in path):
            return "it reads a file whose name is not UTF-8"
    return None


def _absolute_path(path: str | bytes) -> str:
    return os.path.abspath(os.fsdecode(path))  # noqa: PTH100 - resolving links for each file that is opened takes too long
