"""Formats texts that are no quantities: names with invisible characters escaped, shapes, settings, outcomes with symbols, and times."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from msgspec import UNSET, UnsetType

from archaudit.schema import ModuleRecord, Outcome, Repeat, Shape

ARROW = "→"
NOTHING = "-"
ELLIPSIS = "…"
ROOT = "(root)"

# Each outcome and finding has a symbol in addition to its colour, because colours alone are not readable for everybody.
SYMBOLS = {
    "passed": "✓",
    "failed": "✗",
    "inconclusive": "?",
    "true": "✓",
    "false": "✗",
    "other reading": "≈",
    "unbound": "?",
    "exempt": "·",
}

# Control, format (invisible or bidirectional), surrogate, private and unassigned characters, and line and paragraph separators: what a
# reader cannot see, or what a terminal or a bidirectional layout interprets.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

# A setting may be a whole table; in a cell it only has to be recognisable.
_LONGEST_SETTING = 60


@lru_cache(maxsize=65536)
def make_visible(text: str) -> str:
    r"""The text with every invisible character escaped: a newline as `\n`, an escape as `\x1b`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_show(character) if unicodedata.category(character) in _INVISIBLE else character for character in text)


def _show(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def name_path(path: str | None) -> str:
    """A module's path for people; `(root)` for the empty path, `-` for None."""
    return NOTHING if path is None else make_visible(path) or ROOT


def shorten_middle(text: str, longest: int) -> str:
    """The text, or its two ends with an ellipsis between them. The end gets the odd character, because it says more about a path."""
    if len(text) <= longest:
        return text
    if longest <= 1:
        return ELLIPSIS[:longest]
    head = (longest - 1) // 2
    return text[:head] + ELLIPSIS + text[len(text) - (longest - 1 - head) :]


def format_shape(shape: Shape) -> str:
    """`1×21×512×512`; a scalar is `scalar`."""
    return "×".join(map(str, shape)) if shape else "scalar"


# The classes of modules that TorchScript's interpreter runs: calls of those inside others cannot be observed.
_INSIDE_TORCHSCRIPT = ("RecursiveScriptModule", "TopLevelTracedModule")


def format_outputs(module: ModuleRecord) -> str:
    """The output shapes of a module's first call, with the number of calls if it is not one."""
    calls = module.calls
    if not calls:
        return "not known" if module.type in _INSIDE_TORCHSCRIPT else "not called"
    shapes = ", ".join(format_shape(shape) for shape in calls[0].outputs) or NOTHING
    return shapes if len(calls) == 1 else f"{shapes} ({len(calls)} calls)"


def format_setting(value: object) -> str:
    """A setting's value, short enough for a cell."""
    return shorten_middle(make_visible(value if isinstance(value, str) else repr(value)), _LONGEST_SETTING)


def format_outcome(outcome: Outcome | str) -> str:
    """`✓ passed`."""
    return f"{SYMBOLS[outcome]} {outcome}"


def format_repeats(repeats: tuple[Repeat, ...] | UnsetType) -> list[str]:
    """`Block ×4 → ×7`, for each block whose number changed."""
    return [f"{make_visible(each.block)} ×{each.before} {ARROW} ×{each.after}" for each in (() if repeats is UNSET else repeats)]


def format_milliseconds(seconds: float) -> str:
    """Three significant digits in milliseconds, without the unit."""
    milliseconds = seconds * 1e3
    size = abs(milliseconds)
    decimals = 4 if size < 0.1 else 3 if size < 1 else 2 if size < 10 else 1 if size < 100 else 0
    return f"{milliseconds:,.{decimals}f}"


def round_quotient(value: float) -> float:
    """Six significant digits of a fraction; a whole number keeps all of its digits."""
    return value if float(value).is_integer() else float(f"{value:.6g}")


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 module`, `1,284 modules`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def join_names(names: Sequence[str], most: int) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
