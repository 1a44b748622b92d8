"""Models from the user's own code: `path/to/file.py:Model`, `package.module:Model`; a class, a factory, or an instance."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
from torch import nn

from archaudit.errors import LoadError, describe_error
from archaudit.load.constructor_arguments import fit_arguments
from archaudit.load.file_imports import ImportAttemptsError, import_file
from archaudit.load.library_inputs import describe_library_inputs, is_known, make_library_inputs
from archaudit.load.reference import NestedCall, Reference
from archaudit.load.suggestions import suggest_attributes, suggest_users
from archaudit.schema import InputSpec, Recipe

_MOST_SUGGESTED = 3
# Its models download weights for their encoders unless they are built without.
_DOWNLOADS = "segmentation_models_pytorch"


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for a class, factory or instance in a Python file or module. Its function `example_inputs` makes the default input."""
    python_module, notes = _import_source(reference)
    found = _find_attribute(python_module, reference)
    example_inputs = getattr(python_module, "example_inputs", None)
    source = getattr(python_module, "__file__", None)
    assumptions = notes
    if not inputs and callable(example_inputs):
        assumptions += (f"the input is what example_inputs() of {Path(source or reference.target).name} returns",)
    library = str(getattr(found, "__module__", "")).partition(".")[0]
    if not inputs and not callable(example_inputs) and is_known(library):
        assumptions += (describe_library_inputs(library),)
    if library == _DOWNLOADS and "encoder_weights" not in reference.arguments and not isinstance(found, nn.Module):
        reference = msgspec.structs.replace(reference, arguments={**reference.arguments, "encoder_weights": None})
    return Recipe(
        name=name,
        reference=reference.text,
        build=_make_builder(found, reference, python_module),
        inputs=inputs,
        example_inputs=example_inputs if callable(example_inputs) else None,
        default_inputs=make_library_inputs,
        instance=isinstance(found, nn.Module),
        sources=(source,) if source else (),
        assumptions=assumptions,
    )


def import_source(reference: Reference) -> ModuleType:
    """Imports the Python file or module that a reference names. Raises LoadError."""
    return _import_source(reference)[0]


def _import_source(reference: Reference) -> tuple[ModuleType, tuple[str, ...]]:
    """The module, and notes on how a file was imported where that was not as usual."""
    with _disable_bytecode():
        return _import_file(reference) if reference.kind == "file" else (_import_module(reference), ())


def _make_builder(found: Any, reference: Reference, python_module: ModuleType) -> Any:
    if isinstance(found, nn.Module):
        if reference.arguments:
            raise LoadError(f"{reference.text}: {reference.attribute} is an instance and takes no arguments")
        return lambda: found
    if reference.arguments:
        arguments = {name: _make_value(value, reference, python_module) for name, value in reference.arguments.items()}
        reference = msgspec.structs.replace(reference, arguments=fit_arguments(found, arguments))
    _check_arguments(found, reference)
    return functools.partial(found, **reference.arguments)


def _make_value(value: Any, reference: Reference, python_module: ModuleType) -> Any:
    """The value of an argument, with the objects of nested calls such as `GPTConfig(n_layer=2)`; their names are those of the file."""
    if isinstance(value, list | tuple):
        return type(value)(_make_value(each, reference, python_module) for each in value)
    if isinstance(value, dict):
        return {key: _make_value(each, reference, python_module) for key, each in value.items()}
    if not isinstance(value, NestedCall):
        return value
    found: Any = python_module
    for part in value.name.split("."):
        if not hasattr(found, part):
            near = difflib.get_close_matches(
                value.name, [name for name in vars(python_module) if not name.startswith("_")], n=3, cutoff=0.5
            )
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Names of {Path(reference.target).name} can be called."
            raise LoadError(f"{reference.text}: {reference.target} has no {value.name!r}", hint)
        found = getattr(found, part)
    positional = [_make_value(each, reference, python_module) for each in value.positional]
    named = {name: _make_value(each, reference, python_module) for name, each in value.arguments.items()}
    try:
        return found(*positional, **named)
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise LoadError(f"{reference.text}: {value!r} raised {text}") from error


def _check_arguments(found: Any, reference: Reference) -> None:
    """Raises LoadError for missing or unknown arguments, before the constructor or factory runs."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # builtins have no signature; a call reports the fault
        return
    parameters = signature.parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    known = [parameter.name for parameter in parameters if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)]
    unknown = [] if takes_any else [name for name in reference.arguments if name not in known]
    if unknown:
        raise LoadError(
            f"{reference.text}: {reference.attribute} has no argument {unknown[0]!r}", f"It takes: {', '.join(known) or 'none'}."
        )
    missing = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        and parameter.name not in reference.arguments
    ]
    if missing:
        written = ", ".join(f"{name}=..." for name in missing)
        raise LoadError(
            f"{reference.text}: {reference.attribute} requires arguments: {', '.join(missing)}",
            f"Give them: '{reference.base}({written})'{_list_others(found, reference)}; or in a file: --arg-file FILE.",
        )


def _list_others(found: Any, reference: Reference) -> str:
    """`, or name net.py:build_net`: the functions of the same file that can be called without arguments."""
    path = getattr(sys.modules.get(getattr(found, "__module__", "")), "__file__", None)
    meant = [each.rpartition(":")[2] for each in suggest_attributes(Path(path or ""), reference.attribute)]
    names = [f"{reference.target}:{name}" for name in meant if name != reference.attribute]
    return f", or name {' or '.join(names[:_MOST_SUGGESTED])}" if names else ""


def _find_attribute(python_module: ModuleType, reference: Reference) -> Any:
    found: Any = python_module
    for part in reference.attribute.split("."):
        if not hasattr(found, part):
            models = _list_models(python_module)
            near = difflib.get_close_matches(reference.attribute, [*models, *_list_callables(python_module)], n=4, cutoff=0.5)
            hint = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else f"Models in the file: {', '.join(models) or 'none'}."
            raise LoadError(f"{reference.target} has no {reference.attribute!r}", hint)
        found = getattr(found, part)
    if isinstance(found, nn.Module) or (callable(found) and not isinstance(found, ModuleType)):
        if not isinstance(found, type) or issubclass(found, nn.Module):
            return found
        raise LoadError(f"{reference.text}: {reference.attribute} is a class, but not an nn.Module", _hint_models(python_module, reference))
    raise LoadError(
        f"{reference.text}: {reference.attribute} is not a model but of type {type(found).__name__}", _hint_models(python_module, reference)
    )


def _hint_models(python_module: ModuleType, reference: Reference) -> str:
    """The classes and functions of the file that can be called without arguments, those most like the given name first."""
    meant = suggest_attributes(Path(python_module.__file__ or ""), reference.attribute)
    models = ", ".join(_list_models(python_module)) or "none"
    if not meant and (used := suggest_users(Path(python_module.__file__ or ""), reference.attribute)):
        separator = "/" if reference.kind == "file" else "."
        folder = reference.target.rpartition(separator)[0]
        names = [f"{folder}{separator if folder else ''}{each if reference.kind == 'file' else each.replace('.py:', ':')}" for each in used]
        return f"Did you mean {' or '.join(names[:_MOST_SUGGESTED])}? The file uses {reference.attribute}."
    if meant:
        names = [f"{reference.target}:{each.rpartition(':')[2]}" for each in meant[:_MOST_SUGGESTED]]
        return f"Did you mean {' or '.join(names)}? Models in the file: {models}."
    return f"Name an nn.Module class, an instance, or a function that returns an instance. Models in the file: {models}."


def _list_models(python_module: ModuleType) -> list[str]:
    """The nn.Module classes and instances that the module defines itself."""
    return [
        name
        for name, value in vars(python_module).items()
        if isinstance(value, nn.Module)
        or (isinstance(value, type) and issubclass(value, nn.Module) and value.__module__ == python_module.__name__)
    ]


def _list_callables(python_module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(python_module).items()
        if callable(value) and getattr(value, "__module__", None) == python_module.__name__
    ]


def _import_module(reference: Reference) -> ModuleType:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return importlib.import_module(reference.target)
    except ModuleNotFoundError as error:
        if error.name is not None and (reference.target == error.name or reference.target.startswith(f"{error.name}.")):
            raise LoadError(
                f"{reference.text}: there is no module {error.name!r}", "Name a file by its path: path/to/file.py:Model."
            ) from error
        raise _explain_import(reference, error) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _explain_import(reference, error) from error


def _import_file(reference: Reference) -> tuple[ModuleType, tuple[str, ...]]:
    path = Path(reference.target).expanduser()
    if path.is_dir():
        raise LoadError(f"{reference.target} is a folder", "Write path/to/file.py:Model.")
    if not path.is_file():
        raise LoadError(f"there is no file {reference.target}", _suggest_files(path))
    try:
        return import_file(path.resolve())
    except ImportAttemptsError as failed:
        error = _explain_import(reference, failed.error)
        if len(failed.tried) == 1:
            raise error from failed.error
        tried = f"Tried to import it {'; '.join(failed.tried)}."
        raise LoadError(error.message, f"{error.hint}\n{tried}" if error.hint else tried) from failed.error


@contextmanager
def _disable_bytecode() -> Iterator[None]:
    """Writes no bytecode in the block: it would be written into the user's folders."""
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = written


def _suggest_files(path: Path) -> str:
    folder = path.parent
    names = [entry.name for entry in folder.iterdir() if entry.suffix == ".py"] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(str(folder / name) for name in near)}?"
    return "Paths are relative to the current folder." if folder.is_dir() else f"There is no folder {folder}."


def _explain_import(reference: Reference, error: BaseException) -> LoadError:
    """The error of an import, with the user's line that raised it."""
    text = describe_error(error)
    if "torchvision::nms does not exist" in text:
        from archaudit.load.torchvision_models import MISMATCH_HINT

        return LoadError(f"{reference.text}: torch and torchvision do not match: {text}", MISMATCH_HINT)
    if isinstance(error, SyntaxError) and error.filename:
        return LoadError(
            f"{reference.text} does not import: {text}", f"  {Path(error.filename).name}:{error.lineno}: {(error.text or '').strip()}"
        )
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "importlib" not in frame.filename and not frame.filename.startswith("<")
    ]
    user_frames = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    line = f"  {Path(user_frames[-1].filename).name}:{user_frames[-1].lineno}: {user_frames[-1].line}" if user_frames else None
    return LoadError(f"{reference.text} does not import: {text}", line)
