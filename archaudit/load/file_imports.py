"""Imports a Python file as the interpreter would with the root of its repository on the path.

A file of a package is imported as part of it. Where that fails, other ways are tried: as part of a package without an `__init__.py`, from
the root of the repository; without running an `__init__.py` that does not import; alone.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import NamedTuple


class ImportAttemptsError(Exception):
    """No way to import a file worked: the error of the first, and what was tried."""

    def __init__(self, error: BaseException, tried: tuple[str, ...]) -> None:
        super().__init__(str(error))
        self.error = error
        self.tried = tried


class _Attempt(NamedTuple):
    """A way to import a file, in words."""

    text: str
    run: Callable[[], ModuleType | None]


def import_file(path: Path) -> tuple[ModuleType, tuple[str, ...]]:
    """The module of a file, and a note if the usual way to import it failed. Raises ImportAttemptsError."""
    root, dotted = _find_package(path)
    top = _find_top(path)
    # before the installed packages, one of which may have the name of the repository's package; the package's own folder comes first
    for folder in dict.fromkeys((str(top), str(root))):
        if sys.path[:1] != [folder]:
            sys.path[:] = [folder, *(entry for entry in sys.path if entry != folder)]
    first: BaseException | None = None
    tried: list[str] = []
    for attempt in _list_attempts(path, root, dotted, top):
        known = set(sys.modules)
        try:
            found = attempt.run()
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - code of the user can raise anything
            _remove_new(known, top)
            tried.append(f"{attempt.text}: {type(error).__name__}: {' '.join(str(error).split())[:120]}")
            first = first or error
            if not isinstance(error, ImportError) and _is_raised_in(error, path):
                break  # the file itself fails: another way to import it changes nothing
            continue
        if found is not None:
            notes = (f"{path.name} was imported {attempt.text}, because importing it {tried[0]}",) if tried else ()
            return found, notes
    assert first is not None
    raise ImportAttemptsError(first, tuple(tried))


def _list_attempts(path: Path, root: Path, dotted: str, top: Path) -> Iterator[_Attempt]:
    if "." in dotted:
        yield _Attempt(f"as {dotted} from {root.name or root}", lambda: _import_dotted(dotted, path))
    else:
        yield _Attempt("alone", lambda: _run_file(path, path.stem))
    inside = path.relative_to(top).with_suffix("").parts
    if len(inside) > 1 and all(part.isidentifier() for part in inside) and ".".join(inside) != dotted:
        yield _Attempt(f"as {'.'.join(inside)} from {top.name or top}", lambda: _import_dotted(".".join(inside), path))
    if "." in dotted:
        yield _Attempt("without its package's __init__.py", lambda: _import_without_init(dotted, path, root))
        yield _Attempt("alone", lambda: _run_file(path, path.stem))


def _find_top(path: Path) -> Path:
    """The root of the repository; without one, the current folder if the file is below it, else the file's folder."""
    for folder in path.parents:
        if (folder / ".git").exists():
            return folder
    below = [Path(entry).resolve() for entry in ["", *sys.path] if entry == "" or Path(entry).is_dir()]
    return min((folder for folder in path.parents if folder in below), key=lambda folder: len(folder.parts), default=path.parent)


def _import_dotted(dotted: str, path: Path) -> ModuleType | None:
    """The module of this name; None if another package of that name is installed."""
    python_module = importlib.import_module(dotted)
    source = getattr(python_module, "__file__", None)
    return python_module if source is not None and Path(source).resolve() == path else None


def _import_without_init(dotted: str, path: Path, root: Path) -> ModuleType | None:
    """The module of this name in packages of which only the folders are known."""
    parts = dotted.split(".")
    for number in range(1, len(parts)):
        name = ".".join(parts[:number])
        if name not in sys.modules:
            package = ModuleType(name)
            package.__path__ = [str(root.joinpath(*parts[:number]))]
            sys.modules[name] = package
    return _import_dotted(dotted, path)


def _remove_new(known: set[str], top: Path) -> None:
    """Forgets the modules of the repository that a failed import left behind, and packages without a file."""
    for name in set(sys.modules) - known:
        source = getattr(sys.modules[name], "__file__", None)
        folders = list(getattr(sys.modules[name], "__path__", []))
        places = [source] if source is not None else folders
        if any(Path(place).resolve().is_relative_to(top) for place in places):
            del sys.modules[name]


def _is_raised_in(error: BaseException, path: Path) -> bool:
    """Whether the file itself was running, or could not be compiled."""
    if isinstance(error, SyntaxError):
        return error.filename == str(path)
    return any(frame.filename == str(path) for frame in traceback.extract_tb(error.__traceback__))


class _SourceLoader(SourceFileLoader):
    """Compiles the file each time: bytecode counts as current by the source's size and time in seconds, which an edit may not change."""

    def get_code(self, fullname: str) -> CodeType:
        """The compiled source."""
        return self.source_to_code(self.get_data(self.path), self.path)


def _run_file(path: Path, name: str) -> ModuleType:
    """The file as a module of its own name, or of a prefixed name if another module has that name."""
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path):
        return known
    name = name if known is None and importlib.util.find_spec(name) is None else f"archaudit_user_{name}"
    loader = _SourceLoader(name, str(path))
    spec = importlib.util.spec_from_file_location(name, path, loader=loader)
    if spec is None:
        raise ImportError(f"{path.name} is not a Python file")
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module  # dataclasses and pickle look up a class's module by name
    try:
        loader.exec_module(python_module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return python_module


def _find_package(path: Path) -> tuple[Path, str]:
    """The folder to import from and the dotted name. A file in a package is imported as part of it, so that relative imports work."""
    parts, folder = [path.stem], path.parent
    while (folder / "__init__.py").is_file() and folder.parent != folder:
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts) if all(part.isidentifier() for part in parts) else path.stem
