"""Corrections: measured values in the style of the figures that they replace.

The new figure has the same prefix, unit and separators, and as many decimals, or more if the measured value needs them.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from decimal import ROUND_HALF_UP, Decimal

from archaudit.schema import Shape, parse_quantity
from archaudit.schema.documents import Document, Number

_DIGITS = re.compile(r"[-+−]?(?:\d{1,3}(?:[,_]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)")
_MAX_DECIMALS = 4


def format_like(figure: str, value: float) -> str | None:
    """`value` in the style of `figure`: 700,416 for `884,736`, `31.6x` for `42.0x`. None if no figure in that style has the value.

    A bound or a range is not replaced: only the author knows what it should be.
    """
    quantity = parse_quantity(figure)
    found = _DIGITS.search(figure)
    if quantity.relation or quantity.is_range or found is None or value < 0:
        return None
    digits = found[0].lstrip("-+−")
    decimals = len(digits.partition(".")[2])
    separator = "_" if "_" in digits else "," if "," in digits or (len(digits.partition(".")[0]) <= 3 and value >= 1000) else ""
    scaled = Decimal(str(value)) / Decimal(str(quantity.scale))
    for places in range(decimals, max(decimals, _MAX_DECIMALS) + 1):
        rounded = scaled.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_UP)
        text = f"{rounded:,f}".replace(",", separator)
        written = figure[: found.start()] + found[0][: len(found[0]) - len(digits)] + text + figure[found.end() :]
        if rounded and parse_quantity(written).contains(value):
            return written
    return None


_SEPARATORS = ((",", "."), *((mark, ",") for mark in (" ", "'", "’", ".", "\u00a0", "\u2009", "\u202f")))


def find_separator(text: str, reading: str) -> tuple[str, str] | None:
    """The separator of a number as it is read and as it is written, where that is all they differ by: `.` and `,` for 25,6 (25.6)."""
    return next(((read, own) for own, read in _SEPARATORS if own in text and text.replace(own, read) == reading), None)


def format_shape_like(figure: str, shape: Shape, symbols: Mapping[str, int]) -> str | None:
    """A shape in the style of `figure`: `H/8` for `H/4`, `304` for `384`. None if that is not possible."""
    parts = re.split(r"([\[(,\])]\s*)", figure)
    positions = [position for position, part in enumerate(parts) if part.strip() and not re.fullmatch(r"[\[(,\])]\s*", part)]
    if len(positions) != len(shape):
        return None
    for position, size in zip(positions, shape, strict=True):
        name, slash, _ = parts[position].strip().partition("/")
        if parts[position].strip().isdecimal():
            parts[position] = str(size)
        elif slash and name.strip() in symbols:
            whole = symbols[name.strip()]
            if size == 0 or whole % size:
                return None
            parts[position] = f"{name.strip()}/{whole // size}" if whole != size else name.strip()
        elif name in symbols and symbols[name] != size:
            return None
    return "".join(parts)


def replace_numbers(document: Document, replacements: Iterable[tuple[Number, str]]) -> str:
    """The document's text with each number replaced. Everything else stays the same, byte for byte."""
    pieces = re.split(r"(\r\n|\n|\r)", document.text)
    for number, text in sorted(replacements, key=lambda each: (each[0].line, -each[0].column)):
        position = 2 * (number.line - 1)
        line = pieces[position]
        start = number.column - 1
        assert line[start : start + len(number.text)] == number.text, "a number has the text that was found"
        pieces[position] = line[:start] + text + line[start + len(number.text) :]
    return "".join(pieces)


def replace_claimed_figure(text: str, position: int, figure: str, replacement: str) -> str | None:
    """A file of claims with the figure of the claim at `position` replaced; None if it is not written as `figure = "..."`."""
    parts = re.split(r"(?m)^([ \t]*\[\[(?:[\w.]+\.)?claims\]\][^\n]*)$", text)
    block = 2 * (position + 1)
    if block >= len(parts):
        return None
    line = re.compile(rf"(?m)^([ \t]*figure[ \t]*=[ \t]*)([\"']?){re.escape(figure)}\2(?=[ \t]*(?:#|$))")
    found = line.search(parts[block].partition("\n[")[0])
    if found is None:
        return None
    parts[block] = parts[block][: found.start()] + found[1] + f'"{replacement}"' + parts[block][found.end() :]
    return "".join(parts)


def format_diff(name: str, before: str, after: str) -> str:
    """The change of one file as a unified diff."""
    lines = difflib.unified_diff(before.splitlines(keepends=True), after.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else line + "\n\\ No newline at end of file\n" for line in lines)
