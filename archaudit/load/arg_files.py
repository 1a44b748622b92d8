"""Arguments of a model from a file (`--arg-file`): JSON, TOML or YAML, or an attribute of a Python file (`settings.py:large`).

The file has the keyword arguments of the constructor. `constructor_arguments` fits them to it.
"""

from __future__ import annotations

import difflib
import inspect
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from archaudit.errors import LoadError
from archaudit.load.constructor_arguments import WHOLE
from archaudit.load.python_source import import_source
from archaudit.load.reference import Reference

_FORMS = (
    "An argument file is .json, .toml or .yaml with a table of keyword arguments, or file.py:NAME with a dict, an object, or a function."
)


def add_arguments(reference: Reference, arg_file: str) -> Reference:
    """The reference with the arguments of a file; arguments of the reference itself replace them. Raises LoadError."""
    content = _read_python(arg_file) if ".py:" in arg_file else _read_data(Path(arg_file))
    if not isinstance(content, Mapping):
        if reference.kind not in ("file", "module"):
            raise LoadError(f"{arg_file} is a {type(content).__name__}: {reference.target} takes a table of arguments", _FORMS)
        content = {WHOLE: content}
    elif not all(isinstance(name, str) for name in content):
        raise LoadError(f"{arg_file}: the names of arguments must be texts", _FORMS)
    return replace(reference, arguments={**content, **reference.arguments})


def _read_data(path: Path) -> Any:
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except OSError as error:
        raise LoadError(f"{path} cannot be read: {error.strerror}", "Paths are relative to the current folder.") from error
    except UnicodeDecodeError as error:
        raise LoadError(f"{path} is no text", _FORMS) from error
    try:
        if path.suffix == ".json":
            return json.loads(text)
        if path.suffix == ".toml":
            return tomllib.loads(text)
        if path.suffix in (".yaml", ".yml"):
            return _import_yaml().safe_load(text)
    except LoadError:
        raise
    except Exception as error:
        raise LoadError(f"{path} is not {path.suffix[1:].upper()}: {' '.join(str(error).split())[:200]}") from error
    raise LoadError(f"{path} is no argument file", _FORMS)


def _import_yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise LoadError(
            "an argument file in YAML needs PyYAML, which is not installed",
            "Install it with: pip install 'archaudit[documents]'. JSON and TOML need nothing.",
        ) from error
    return yaml


def _read_python(source: str) -> Any:
    path, _, name = source.rpartition(":")
    python_module = import_source(Reference(text=source, kind="file", target=path, attribute=name))
    names = [each for each in vars(python_module) if not each.startswith("_")]
    if not hasattr(python_module, name):
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        raise LoadError(f"{path} has no {name!r}", f"Did you mean {' or '.join(near)}?" if near else _FORMS)
    found = getattr(python_module, name)
    if inspect.isfunction(found) or (isinstance(found, type) and not inspect.isabstract(found)):
        try:
            return found()
        except Exception as error:
            raise LoadError(f"{source} raised {type(error).__name__}: {' '.join(str(error).split())[:200]}") from error
    return found
