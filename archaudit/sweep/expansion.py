"""What people write for many at once: `1x3x{224,384}x{224,384}`, `width_mult=0.5,0.75,1.0`."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from archaudit.errors import InputError

# More is a typing error rather than a wish.
MOST_VARIANTS = 10_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_SETTING = re.compile(r"^\s*(?P<name>[^\W\d]\w*)\s*=\s*(?P<values>.+?)\s*$")


def expand_inputs(texts: Sequence[str]) -> list[tuple[str, ...]]:
    """Every combination of the alternatives in braces; several texts are several inputs of one model, not alternatives."""
    return list(itertools.product(*(_expand(text) for text in texts)))


def _expand(text: str) -> list[str]:
    pieces = _BRACES.split(text)
    if any(mark in piece for piece in pieces[::2] for mark in "{}"):
        raise InputError(f"--input {text!r}: the braces do not match", "Write alternatives as in 1x3x{224,384}x{224,384}.")
    alternatives = [[piece] if place % 2 == 0 else [each.strip() for each in piece.split(",")] for place, piece in enumerate(pieces)]
    return ["".join(parts) for parts in itertools.product(*alternatives)]


def expand_settings(texts: Iterable[str]) -> list[dict[str, Any]]:
    """Every combination of the values: literals, and what is none is a text. Raises InputError."""
    names: dict[str, list[Any]] = {}
    for text in texts:
        found = _SETTING.match(text)
        if found is None:
            raise InputError(f"--set {text!r} is no setting", "Write an argument and its values: --set width=0.5,0.75,1.0.")
        if found["name"] in names:
            raise InputError(f"--set gives {found['name']} twice", "Write all its values in one: --set width=0.5,1.0.")
        names[found["name"]] = _read_values(found["values"])
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*names.values())]


def _read_values(text: str) -> list[Any]:
    """The values between commas; a comma within brackets or quotes is part of a value."""
    try:
        tree = ast.parse(f"[{text}]", mode="eval").body
        if isinstance(tree, ast.List) and tree.elts:
            return [ast.literal_eval(element) for element in tree.elts]
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        pass  # names without quotes are texts
    return [_read_value(part.strip()) for part in text.split(",") if part.strip()]


def _read_value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return text
