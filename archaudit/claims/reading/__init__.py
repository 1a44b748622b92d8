"""Reads documents of several formats into runs of text, tables, numbers and bindings.

`markdown`, `html`, `rst`, `latex`, `data` (CSV and YAML) and `code` (Python) each find the runs and tables of their format, with the line
and column of everything. `cells` reads the cells of tables. The numbers in them are found in one way, by `claims.numbers`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import PurePath

from archaudit.claims.binding import find_bindings
from archaudit.claims.numbers import add_headings, find_numbers, read_run
from archaudit.claims.reading.layout import Layout, has_digit
from archaudit.errors import InputError
from archaudit.schema.documents import Document, Number

_MAX_LINES = 100_000
MAX_NUMBERS = 20_000  # sequences of digits; a long paper has a few thousand, and the text near each of them is read
_DIGITS = re.compile(r"\d+")
_BYTE_ORDER_MARK = "\ufeff"  # at the start of a file; a space in its place keeps the columns
_BINDS_IN = ("markdown", "html")  # formats whose comments can hold a binding

# The reader of each file suffix. Any other text is read as Markdown.
_READERS = {
    ".html": ("html", "read_html"),
    ".htm": ("html", "read_html"),
    ".rst": ("rst", "read_rst"),
    ".tex": ("latex", "read_latex"),
    ".csv": ("data", "read_csv"),
    ".tsv": ("data", "read_csv"),
    ".yml": ("data", "read_yaml"),
    ".yaml": ("data", "read_yaml"),
    ".py": ("code", "read_python"),
}


def read_document(text: str, name: str) -> Document:
    """The runs, tables, numbers and bindings of a document, whose format its name's suffix says; messages name it `name`.

    Raises ConfigError for a faulty binding; InputError for a document that is too large or cannot be read, or a missing package.
    """
    _expect_fewer(name, text.count("\n"), _MAX_LINES, "lines")
    module, function = _READERS.get(PurePath(name).suffix.casefold(), ("markdown", "read_markdown"))
    try:
        reader: Callable[[str], Layout] = getattr(import_module(f"archaudit.claims.reading.{module}"), function)
    except ModuleNotFoundError as error:
        raise InputError(
            f"{name}: reading this format needs the package {error.name}", "Install it: pip install 'archaudit[documents]'"
        ) from error
    marked = text.startswith(_BYTE_ORDER_MARK) and module != "code" and function != "read_yaml"
    layout = reader(f" {text[1:]}" if marked else text)
    _expect_fewer(name, sum(len(_DIGITS.findall(run.text)) for run in (*layout.runs, *layout.code_runs)), MAX_NUMBERS, "numbers")
    read = [read_run(run) for run in layout.runs]
    found = [number for numbers, _ in read for number in numbers]
    stated = [number for number in found if not _is_optional(number)]
    numbers = add_headings(stated, layout.tables)
    bindings = find_bindings(layout.binding_lines, numbers, name) if module in _BINDS_IN else []
    return Document(
        name=name,
        text=text,
        runs=layout.runs,
        numbers=tuple(numbers),
        bindings=tuple(bindings),
        optional_numbers=(
            *(number for number in found if _is_optional(number)),
            *(number for run in layout.code_runs for number in find_numbers(run)),
        ),
        tables=layout.tables,
        title=layout.title,
        ignored=tuple(
            each for run, (_, ignored) in zip(layout.runs, read, strict=True) if run.row >= 0 or run.table < 0 for each in ignored
        ),
    )


def _is_optional(number: Number) -> bool:
    """Whether a number needs no claim: a word such as "two", of which prose has many, or a number in a heading of a table."""
    in_heading = number.run.table >= 0 and number.run.row < 0
    return in_heading or (not has_digit(number.text) and re.search(r"illion|thousand", number.text) is None)


def _expect_fewer(name: str, number: int, most: int, what: str) -> None:
    if number > most:
        raise InputError(f"{name}: has more than {most:,} {what}, which is data, not a document", "Check only the part that has claims.")
