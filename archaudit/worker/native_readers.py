"""Native code that can read files without Python's knowledge. A model that loads or uses it cannot be cached.

Native modules that only compute, or that read what Python gives them, are known by name; any other one may read files.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

Refuse = Callable[[str], None]

# Their native modules open no files, or Python opens them. Python's own modules are not in a package.
_COMPUTE_ONLY = frozenset(
    (
        "torch",
        "torchvision",
        "functorch",
        "triton",
        "numpy",
        "scipy",
        "sklearn",
        "PIL",
        "yaml",
        "_yaml",
        "regex",
        "markupsafe",
        "msgspec",
        "charset_normalizer",
        "orjson",
        "ujson",
        "gmpy2",
        "pydantic_core",
        "rpds",
        "pandas",
        "contourpy",
        "kiwisolver",
        "multidict",
        "yarl",
        "frozenlist",
        "aiohttp",
        "propcache",
        "numexpr",
        "bottleneck",
        "psutil",
        "greenlet",
        "safetensors",
        "tokenizers",
        "onnx",
        "google",
    )
)
_READERS_OF_PYTHON = frozenset({"_sqlite3", "_gdbm", "_dbm"})
# Functions of known packages that read a file: module and name.
_READING_FUNCTIONS = (
    ("torch", "from_file"),
    ("torch.UntypedStorage", "from_file"),
    ("torch._C", "PyTorchFileReader"),
    ("torchvision.io.image", "read_file"),
    ("safetensors._safetensors_rust", "safe_open"),
    ("tokenizers.Tokenizer", "from_file"),
)


def explain_native_module(name: str) -> str | None:
    """Why a model that loads this native module is not cached; None if the module reads no files."""
    package = name.partition(".")[0]
    if "." not in name and name in sys.stdlib_module_names:
        return f"it reads files by native code ({name})" if name in _READERS_OF_PYTHON else None
    if package in sys.stdlib_module_names or package in _COMPUTE_ONLY:
        return None
    return f"it loads native code that may read files ({name})"


def _check_symbol(arguments: tuple[Any, ...], refuse: Refuse) -> None:
    """A function that is looked up in a library by ctypes, by other code than an installed library."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith((ctypes.__path__[0], __file__, _OWN_FOLDER)):
        if frame.f_back is None:
            return
        frame = frame.f_back
    if f"{os.sep}site-packages{os.sep}" not in frame.f_code.co_filename:
        refuse("it calls native code by ctypes")


def _watch_new_module(arguments: tuple[Any, ...], refuse: Refuse) -> None:
    """Wraps the reading functions of a module that is about to be imported. The import is done here, and the one under way finds it."""
    name = arguments[0]
    if any(name == module for module, _ in _READING_FUNCTIONS) and name not in sys.modules:
        try:
            importlib.import_module(name)
        except ImportError:
            return
        watch_readers(refuse)


READERS: dict[str, Callable[[tuple[Any, ...], Refuse], None]] = {"ctypes.dlsym": _check_symbol, "import": _watch_new_module}
_OWN_FOLDER = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120


def watch_readers(refuse: Refuse) -> None:
    """From now on, a call of a known function that reads a file by native code is a refusal."""
    for place, name in _READING_FUNCTIONS:
        owner = _find_owner(place)
        original = getattr(owner, name, None)
        if owner is None or original is None or getattr(original, "_archaudit_watched", False):
            continue
        watched = _watch(original, f"it reads files by native code ({place.partition('.')[0]})", refuse)
        try:
            setattr(owner, name, watched)
        except TypeError:  # a class that cannot be changed
            continue
        for module in list(sys.modules.values()):  # those that imported the function by its name
            if getattr(module, "__dict__", {}).get(name) is original:
                setattr(module, name, watched)


def _find_owner(place: str) -> Any:
    if place in sys.modules:
        return sys.modules[place]
    module, _, name = place.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def _watch(original: Any, why: str, refuse: Refuse) -> Any:
    if isinstance(original, type) and original.__module__.startswith("torch"):  # torch makes subclasses of it
        kind: Any = original

        def start(self: Any, *args: Any, **kwargs: Any) -> None:
            if args and isinstance(args[0], str | os.PathLike):
                refuse(why)
            kind.__init__(self, *args, **kwargs)

        return type(original.__name__, (original,), {"__init__": start, "_archaudit_watched": True})

    def watched(*args: Any, **kwargs: Any) -> Any:
        refuse(why)
        return original(*args, **kwargs)

    watched._archaudit_watched = True  # type: ignore[attr-defined]
    return watched
