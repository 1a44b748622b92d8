"""Arguments that were read from a file, as a constructor takes them.

A constructor with one argument for its whole configuration gets the content of the file as that argument. A mapping becomes an instance of
the dataclass (or another class made from keywords) that the argument is annotated with; without an annotation it is a dict whose entries
are attributes too.
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from archaudit.errors import LoadError

# The key under which an object that is no mapping is passed until the constructor is known.
WHOLE = "*"


def fit_arguments(found: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments as the class or function `found` takes them: the whole content as its one argument, mappings as dataclasses."""
    try:
        parameters = {
            name: each
            for name, each in inspect.signature(found).parameters.items()
            if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        }
    except (TypeError, ValueError):
        return dict(arguments)
    required = [name for name, each in parameters.items() if each.default is each.empty]
    if WHOLE in arguments:
        name = required[0] if required else next(iter(parameters), "config")
        return {name: arguments[WHOLE], **{key: value for key, value in arguments.items() if key != WHOLE}}
    hints = _read_hints(found)
    if len(required) == 1 and required[0] not in arguments and arguments and not set(arguments) & set(parameters):
        return {required[0]: _convert(dict(arguments), hints.get(required[0]), parameters[required[0]].default)}
    return {
        name: _convert(value, hints.get(name), parameters[name].default if name in parameters else None)
        for name, value in arguments.items()
    }


def _read_hints(found: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(vars(found).get("__init__", found.__init__) if isinstance(found, type) else found)  # type: ignore[misc]
    except Exception:  # noqa: BLE001 - an annotation can name what does not exist at run time; then it says nothing
        return {}


class _Settings(dict[str, Any]):
    """A dict whose entries are attributes too, as models read a configuration in both ways."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the argument file has no {name!r}") from None


def _convert(value: Any, hint: Any, default: Any = None) -> Any:
    """A mapping as the class that its place is annotated with, or as the class of the default; anything else as it is."""
    if isinstance(value, list) and (item := _find_item(hint)) is not None:
        return [_convert(each, item) for each in value]
    if not isinstance(value, Mapping):
        return value
    kind = next((each for each in _list_classes(hint) if _is_made_from_keywords(each)), None)
    if kind is None and default is not None and _is_made_from_keywords(type(default)):
        kind = type(default)
    if kind is None:
        return _Settings({name: _convert(each, None) for name, each in value.items()})
    hints = _read_hints(kind)
    known = {field.name for field in dataclasses.fields(kind)} if dataclasses.is_dataclass(kind) else set(value)
    unknown = [name for name in value if name not in known]
    if unknown:
        raise LoadError(f"{kind.__name__} has no argument {unknown[0]!r}", f"It takes: {', '.join(sorted(known))}.")
    try:
        return kind(**{name: _convert(each, hints.get(name)) for name, each in value.items()})
    except Exception as error:
        raise LoadError(
            f"{kind.__name__} cannot be made from the argument file: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def _list_classes(hint: Any) -> list[type]:
    if isinstance(hint, type):
        return [hint]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return [each for each in typing.get_args(hint) if isinstance(each, type)]
    return []


def _find_item(hint: Any) -> Any:
    """The class of the items, of a list of dataclasses for example."""
    items = [each for each in typing.get_args(hint) if each is not Ellipsis]
    return items[0] if typing.get_origin(hint) in (list, tuple) and items else None


def _is_made_from_keywords(kind: type) -> bool:
    """Whether a mapping has to become an instance of this class. Mappings and typed dictionaries stay mappings."""
    return not issubclass(kind, Mapping | str | int | float | list | tuple) and kind is not object and kind.__module__ != "builtins"
