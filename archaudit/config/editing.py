"""Changing one value of a config file in place: comments, order and everything else stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from archaudit.config.reading import PYPROJECT_FILE
from archaudit.errors import ConfigError


def replace_values(path: Path, values: Mapping[tuple[str, int, str], int]) -> str:
    """The file's text with new values, each by its table, the position of the entry in it and the key. Raises ConfigError."""
    import tomlkit  # only where something is written
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(path.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError, TOMLKitError) as error:
        raise ConfigError(f"{path}: cannot be edited: {error}") from error
    top: Any = document["tool"]["archaudit"] if path.name == PYPROJECT_FILE else document
    for (table, position, key), value in values.items():
        entry = top[table][position]
        item = tomlkit.integer(f"{value:_}")
        item.trivia.comment_ws, item.trivia.comment = entry.item(key).trivia.comment_ws, entry.item(key).trivia.comment
        entry[key] = item
    return tomlkit.dumps(document)
