"""Models from the user's own code: `path/to/file.py:Model`, `package.module:Model`; a class, a factory, or an instance."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import msgspec
from torch import nn

from archaudit.errors import LoadError
from archaudit.load.constructor_arguments import fit_arguments
from archaudit.load.reference import Reference
from archaudit.load.suggestions import suggest_attributes
from archaudit.schema import InputSpec, Recipe

_MOST_SUGGESTED = 3


def load(reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    """The recipe for a class, factory or instance in a Python file or module. Its function `example_inputs` makes the default input."""
    python_module = import_source(reference)
    found = _find_attribute(python_module, reference)
    example_inputs = getattr(python_module, "example_inputs", None)
    source = getattr(python_module, "__file__", None)
    assumptions: tuple[str, ...] = ()
    if not inputs and callable(example_inputs):
        assumptions = (f"the input is what example_inputs() of {Path(source or reference.target).name} returns",)
    return Recipe(
        name=name,
        reference=reference.text,
        build=_make_builder(found, reference),
        inputs=inputs,
        example_inputs=example_inputs if callable(example_inputs) else None,
        instance=isinstance(found, nn.Module),
        sources=(source,) if source else (),
        assumptions=assumptions,
    )


def import_source(reference: Reference) -> ModuleType:
    """Imports the Python file or module that a reference names. Raises LoadError."""
    with _disable_bytecode():
        return _import_file(reference) if reference.kind == "file" else _import_module(reference)


def _make_builder(found: Any, reference: Reference) -> Any:
    if isinstance(found, nn.Module):
        if reference.arguments:
            raise LoadError(f"{reference.text}: {reference.attribute} is an instance and takes no arguments")
        return lambda: found
    if reference.arguments:
        reference = msgspec.structs.replace(reference, arguments=fit_arguments(found, reference.arguments))
    _check_arguments(found, reference)
    return functools.partial(found, **reference.arguments)


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
            near = difflib.get_close_matches(reference.attribute, [*models, *_list_callables(python_module)], n=3, cutoff=0.5)
            hint = f"Did you mean {' or '.join(near)}?" if near else f"Models in the file: {', '.join(models) or 'none'}."
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
    except (Exception, SystemExit) as error:
        raise _explain_import(reference, error) from error


def _import_file(reference: Reference) -> ModuleType:
    path = Path(reference.target).expanduser()
    if path.is_dir():
        raise LoadError(f"{reference.target} is a folder", "Write path/to/file.py:Model.")
    if not path.is_file():
        raise LoadError(f"there is no file {reference.target}", _suggest_files(path))
    path = path.resolve()
    root, dotted = _find_package(path)
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
    try:
        if "." in dotted:
            python_module = importlib.import_module(dotted)
            if _is_from(python_module, path):
                return python_module
        return _run_file(path, dotted.rpartition(".")[2])  # another package of that name is installed: import the file alone
    except (Exception, SystemExit) as error:
        raise _explain_import(reference, error) from error


def _is_from(python_module: ModuleType, path: Path) -> bool:
    source = getattr(python_module, "__file__", None)
    return source is not None and Path(source).resolve() == path


class _SourceLoader(SourceFileLoader):
    """Compiles the file each time: bytecode counts as current by the source's size and time in seconds, which an edit may not change."""

    def get_code(self, fullname: str) -> CodeType:
        """The compiled source."""
        return self.source_to_code(self.get_data(self.path), self.path)


@contextmanager
def _disable_bytecode() -> Iterator[None]:
    """Writes no bytecode in the block: it would be written into the user's folders."""
    written, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = written


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


def _suggest_files(path: Path) -> str:
    folder = path.parent
    names = [entry.name for entry in folder.iterdir() if entry.suffix == ".py"] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(str(folder / name) for name in near)}?"
    return "Paths are relative to the current folder." if folder.is_dir() else f"There is no folder {folder}."


def _explain_import(reference: Reference, error: BaseException) -> LoadError:
    """The error of an import, with the user's line that raised it."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
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
