"""Imports from a checkout of a git revision: what would come from the user's work tree comes from the checkout instead."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from archaudit.errors import LoadError
from archaudit.schema import Checkout

_OWN_PACKAGE = __name__.partition(".")[0]
_OWN_FOLDER = str(Path(__file__).resolve().parents[1]) + os.sep


def enter_checkout(checkout: Checkout) -> None:
    """Moves this process into the checkout: its working folder and sys.path. Removes modules of the user's work tree from sys.modules."""
    _remove_modules(checkout)
    sys.dont_write_bytecode = True
    folder = Path(checkout.root) / checkout.folder
    os.chdir(folder if folder.is_dir() else checkout.root)
    sys.path[:] = [_move(entry, checkout) for entry in sys.path]
    if checkout.root not in sys.path:
        sys.path.append(checkout.root)  # as the root of the repository is on the path of its work tree
    sys.path[:0] = [folder for folder in dict.fromkeys(_list_editable(checkout)) if folder not in sys.path]
    sys.path_importer_cache.clear()


def check_origins(checkout: Checkout) -> None:
    """Raises LoadError if a module was imported from the user's work tree: then the revision is not what is measured."""
    for name, source in _list_work_tree_modules(checkout):
        raise LoadError(
            f"{checkout.text} imports {name} from {os.path.relpath(source, checkout.toplevel)} of the work tree, not of the revision",
            "Import it by a path that also exists in the checkout: relative to its package, or below the current folder.",
        )


def _remove_modules(checkout: Checkout) -> None:
    for name, _ in list(_list_work_tree_modules(checkout)):
        sys.modules.pop(name, None)


def _list_work_tree_modules(checkout: Checkout) -> Iterator[tuple[str, str]]:
    """The modules imported from the user's work tree, except those of a virtual environment in it and of archaudit itself."""
    toplevel = checkout.toplevel.rstrip(os.sep) + os.sep
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        if isinstance(source, str) and name.partition(".")[0] != _OWN_PACKAGE and _is_in_work_tree(source, toplevel, checkout.root):
            yield name, source


def _is_in_work_tree(source: str, toplevel: str, root: str) -> bool:
    real = os.path.realpath(source)
    return (
        real.startswith(toplevel)
        and not real.startswith((root.rstrip(os.sep) + os.sep, _OWN_FOLDER, os.path.realpath(sys.prefix) + os.sep))
        and "site-packages" not in real
    )


def _move(entry: str, checkout: Checkout) -> str:
    """The entry of sys.path, moved to the checkout if it is in the user's work tree and not in a virtual environment."""
    if not entry or not _is_in_work_tree(entry + os.sep + "x", checkout.toplevel.rstrip(os.sep) + os.sep, checkout.root):
        return entry
    inside = os.path.relpath(os.path.realpath(entry), checkout.toplevel)
    moved = os.path.normpath(Path(checkout.root) / inside)
    return entry if (Path(entry) / _OWN_PACKAGE / "schema").is_dir() else moved


def _list_editable(checkout: Checkout) -> Iterator[str]:
    """The folders of the checkout that correspond to packages of the work tree which are installed as editable."""
    for finder in sys.meta_path:
        mapping: Any = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        for source in mapping.values() if isinstance(mapping, dict) else ():
            if isinstance(source, str) and source.startswith(checkout.toplevel.rstrip(os.sep) + os.sep):
                inside = os.path.relpath(source, checkout.toplevel)
                yield str((Path(checkout.root) / inside).parent)
