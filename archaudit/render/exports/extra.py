"""Columns that are no measurements of archaudit, such as accuracies, from a CSV file: joined to the rows of a table by the model's name."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from archaudit.errors import ConfigError, describe_error
from archaudit.render.exports.tables import Cell, Field, Value
from archaudit.render.formatting import join_names, make_visible

_KEYS = ("model", "name")
_MOST_NAMED = 8


class Extra(NamedTuple):
    """The rows of the file by heading. `key` is the column of the models' names, `source` the file's name."""

    source: str
    key: str
    headings: tuple[str, ...]
    rows: tuple[dict[str, str], ...]


class Subject(NamedTuple):
    """What a row of a table is about: the names that the model goes by, and the arguments and input that distinguish its rows."""

    names: tuple[str, ...]
    choices: Mapping[str, str]


def read_extra(path: Path) -> Extra:
    """Reads a CSV file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or describe_error(error, with_type=False)}",
            "It is a CSV file in UTF-8 with a column model.",
        ) from error
    return parse_extra(text, path.name)


def parse_extra(text: str, source: str) -> Extra:
    """Reads a CSV file whose column `model` (or `name`, else the first) has the names of models. Raises ConfigError."""
    rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    headings = [cell.strip() for cell in rows[0]] if rows else []
    if len(headings) < 2 or len(rows) < 2:
        raise ConfigError(
            f"{source} has no table", "Its first line has the headings: model,accuracy. Each further line is about one model."
        )
    if "" in headings or len(set(headings)) < len(headings):
        raise ConfigError(f"{source}: each column needs a heading of its own", f"Found: {', '.join(headings)}.")
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(headings):
            raise ConfigError(f"{source}: row {number} has {len(row)} cells, not {len(headings)}", "Quote a cell that contains a comma.")
    key = next((heading for heading in headings if heading.lower() in _KEYS), headings[0])
    return Extra(source, key, tuple(headings), tuple(dict(zip(headings, map(str.strip, row), strict=True)) for row in rows[1:]))


def join_extra(extra: Extra, subjects: Sequence[Subject], taken: Sequence[str]) -> tuple[list[Field], list[str]]:
    """A column for each further heading, whose rows are positions in `subjects`; and sentences on names that match nothing.

    A heading that is an argument or `input` of the rows must have their value, too. Raises ConfigError for the name of another column.
    """
    shared = {name for subject in subjects for name in subject.choices} & set(extra.headings)
    added = [heading for heading in extra.headings if heading != extra.key and heading not in shared]
    clash = next((heading for heading in added if heading in taken), None)
    if clash is not None:
        raise ConfigError(f"{extra.source}: there is a column {clash!r} already", "Give the column of the file another name.")
    found: list[dict[str, str]] = [{} for _ in subjects]
    used = set()
    for number, row in enumerate(extra.rows):
        for place, subject in enumerate(subjects):
            if row[extra.key] in subject.names and all(subject.choices.get(name) == row[name] for name in shared):
                found[place] = row
                used.add(number)
    numeric = {heading for heading in added if all(_is_number(row[heading]) for row in extra.rows if row[heading])}
    fields = [Field(heading, make_visible(heading), _make_reader(found, heading), right=heading in numeric) for heading in added]
    return fields, list(_explain(extra, subjects, found, used))


def _explain(extra: Extra, subjects: Sequence[Subject], found: Sequence[object], used: set[int]) -> list[str]:
    unknown = list(dict.fromkeys(row[extra.key] for number, row in enumerate(extra.rows) if number not in used))
    missing = list(dict.fromkeys(subject.names[0] for subject, row in zip(subjects, found, strict=True) if not row))
    sentences = []
    if unknown:
        models = join_names(list(dict.fromkeys(subject.names[0] for subject in subjects)), _MOST_NAMED)
        sentences.append(f"{extra.source}: no row of the table is about {join_names(unknown, _MOST_NAMED)}; the models are {models}")
    if missing:
        sentences.append(f"{extra.source}: nothing on {join_names(missing, _MOST_NAMED)}")
    return sentences


def _make_reader(found: Sequence[Mapping[str, str]], heading: str) -> Callable[[int], Cell]:
    return lambda place: _make_cell(found[place].get(heading, ""))


def _make_cell(text: str) -> Cell:
    value: Value = text or None
    if _is_number(text):
        value = float(text) if any(letter in text.lower() for letter in ".en") else int(text)
    return Cell(value, make_visible(text))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
