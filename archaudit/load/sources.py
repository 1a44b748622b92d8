"""SOURCES: for each kind of reference, the file here with the function that makes its recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from archaudit.errors import LoadError
from archaudit.load.reference import NestedCall, Reference, find_plugin
from archaudit.schema import InputSpec, Recipe, read_file

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# By the kind of reference, or by the library: the file, which has a function `load(reference, inputs, name) -> Recipe`.
SOURCES: dict[str, str] = {
    "file": "python_source",
    "module": "python_source",
    "exported": "exported_program",
    "torchvision": "torchvision_models",
    "timm": "timm_models",
    "transformers": "transformers_models",
    "diffusers": "diffusers_models",
}


def load_recipe(
    reference: Reference,
    inputs: tuple[InputSpec, ...] = (),
    name: str | None = None,
    *,
    dtype: str | None = None,
    arg_file: str = "",
) -> Recipe:
    """The recipe for a parsed reference of any kind except `name` and `saved`, which are resolved before.

    `inputs` replaces the default input of the source; `name` is the model's name in reports. The built model is cast to `dtype` if given.
    `arg_file` has arguments for its constructor, or entries of its configuration; those of the reference replace them. Raises LoadError.
    """
    if arg_file:
        from archaudit.load.arg_files import add_arguments

        reference = add_arguments(reference, arg_file)
    recipe = _load(reference, inputs, name)
    if any(spec.source for spec in inputs):
        from archaudit.load.inputs import read_sources

        sources = dict.fromkeys(Path(spec.source).name for spec in inputs if spec.source)
        said = f"inputs are from {', '.join(sources)}"
        recipe = replace(recipe, inputs=(), example_inputs=partial(read_sources, inputs), assumptions=(*recipe.assumptions, said))
    if arg_file:
        recipe = replace(recipe, assumptions=(f"arguments of the model are from {Path(arg_file).name}", *recipe.assumptions))
    return replace(recipe, dtype=dtype) if dtype is not None else recipe


def _load(reference: Reference, inputs: tuple[InputSpec, ...], name: str | None) -> Recipe:
    calls = [name for name, value in reference.arguments.items() if isinstance(value, NestedCall)]
    if calls and reference.kind not in ("file", "module"):
        raise LoadError(
            f"{reference.text}: the value of {calls[0]} is not a literal", "Only models of your own code take calls as arguments."
        )
    key = reference.target if reference.kind == "library" else reference.kind
    plugin = find_plugin(key) if key not in SOURCES else None
    if plugin is not None:
        return _load_with_plugin(plugin, reference, inputs, name or reference.text)
    if key not in SOURCES:
        raise LoadError(f"{reference.text}: there is no source of models called {key!r}", f"Known: {', '.join(sorted(SOURCES))}.")
    load: Callable[[Reference, tuple[InputSpec, ...], str], Recipe] = import_module(f"archaudit.load.{SOURCES[key]}").load
    return load(reference, inputs, name or reference.text)


def _load_with_plugin(plugin: EntryPoint, reference: Reference, inputs: tuple[InputSpec, ...], name: str) -> Recipe:
    try:
        load = plugin.load()
    except Exception as error:  # another package can raise anything
        raise LoadError(f"{reference.text}: the source {plugin.value} does not import: {type(error).__name__}: {error}") from error
    recipe = load(reference, inputs, name)
    if not isinstance(recipe, Recipe):
        raise LoadError(f"{reference.text}: the source {plugin.value} returned a {type(recipe).__name__} instead of a Recipe")
    return recipe


# --- the user's formulas for custom operators ---


def import_formulas(sources: Iterable[str]) -> None:
    """Imports each file (`formulas.py`) or module (`pkg.formulas`), which registers its formulas. Raises LoadError."""
    for source in sources:
        from archaudit.load.python_source import import_source

        import_source(Reference(text=source, kind="file" if source.endswith(".py") else "module", target=source))


def read_configuration(path: Path, reference: Reference, key: str) -> dict[str, Any]:
    """The content of a configuration file of a library's model, which has the entry `key`. Raises LoadError."""
    try:
        content = json.loads(read_file(path))
    except OSError as error:
        raise LoadError(f"{reference.text}: {path} cannot be read: {error.strerror}", "Give the path of a model's config.json.") from error
    except (ValueError, RecursionError) as error:
        raise LoadError(f"{reference.text}: {path} is not JSON: {error}") from error
    if not isinstance(content, dict) or key not in content:
        raise LoadError(f"{reference.text}: {path} has no {key}, so it is not a configuration of {reference.target}")
    return content
