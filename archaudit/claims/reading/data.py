"""Reads CSV files and YAML indexes of models as tables."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import yaml

from archaudit.claims.reading.cells import Cell, Part, Source, build_table
from archaudit.claims.reading.layout import Layout
from archaudit.errors import InputError

_POINT, _WORD = re.compile(r"\d\.\d"), re.compile(r"[^\W\d]{2}")  # without a decimal point in it, a file with semicolons has commas
_DELIMITERS = ",\t;|"
_NAME_KEYS = ("name", "model", "model_name", "id")
_MOST_LEVELS = 3  # of mappings in an entry of an index that are read as its columns


def read_csv(text: str) -> Layout:
    """A file of values that commas, tabs or semicolons separate, as one table. The first line has the headings."""
    lines = re.split(r"\r\n|\n|\r", text)
    delimiter = max(_DELIMITERS, key=lines[0].count) if lines and any(each in lines[0] for each in _DELIMITERS) else ","
    rows = [_split(line, number, delimiter, is_heading=number == 0) for number, line in enumerate(lines) if line.strip()]
    layout = _make_layout(lines, rows)
    if delimiter != ";" or any(_POINT.search(run.text) for run in layout.runs if run.row >= 0 and not _WORD.search(run.text)):
        return layout
    return layout._replace(runs=tuple(msgspec.structs.replace(run, decimal_comma=True) for run in layout.runs))


def _split(line: str, number: int, delimiter: str, *, is_heading: bool) -> list[Cell]:
    """The cells of a line. The values are found in the order in which the csv module reads them."""
    cells, position = [], 0
    for value in next(csv.reader([line], delimiter=delimiter), []):
        start = line.find(value, position)
        if start < 0:  # a value with doubled quotes
            start = position
        end = start + len(value)
        cells.append(Cell((Part(number, start, end),) if value.strip() else (), is_heading))
        comma = line.find(delimiter, end)
        position = comma + 1 if comma >= 0 else len(line)
    return cells


def read_yaml(text: str) -> Layout:
    """An index of models: each list of mappings that have a name is a table, with a row for each mapping and a column for each key.

    Raises InputError for text that is not YAML.
    """
    lines = re.split(r"\r\n|\n|\r", text)
    try:
        root = yaml.compose(text, Loader=yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise InputError(f"this is not YAML: {' '.join(str(error).split())}") from error
    rows: list[list[Cell]] = []
    for entries in _find_lists(root):
        columns: dict[str, int] = {}
        found = [dict(_list_values(entry)) for entry in entries]
        for values in found:
            for key in values:
                columns.setdefault(key, len(columns))
        # the key of the first entry that has it is the heading's text
        head: list[Cell] = [Cell((), is_heading=True)] * len(columns)
        for key, position in columns.items():
            first = next(values[key] for values in found if key in values)
            head[position] = Cell((_locate(first[0]),), is_heading=True)
        rows.append(head)
        for values in found:
            row: list[Cell] = [Cell(())] * len(columns)
            for key, (_, value) in values.items():
                row[columns[key]] = Cell((_locate(value),))
            rows.append(row)
        break  # an index has one list of models; collections and datasets have no figures
    return _make_layout(lines, rows)


def _find_lists(node: Any) -> Iterable[list[Any]]:
    """Lists of mappings with a name, those with the most entries first."""
    found: list[list[Any]] = []

    def visit(node: Any) -> None:
        if isinstance(node, yaml.SequenceNode):
            entries = [each for each in node.value if isinstance(each, yaml.MappingNode) and _has_name(each)]
            if entries and len(entries) == len(node.value):
                found.append(entries)
            for each in node.value:
                visit(each)
        elif isinstance(node, yaml.MappingNode):
            for _, value in node.value:
                visit(value)

    visit(node)
    return sorted(found, key=len, reverse=True)


def _has_name(node: Any) -> bool:
    return any(isinstance(key, yaml.ScalarNode) and key.value.casefold() in _NAME_KEYS for key, _ in node.value)


def _list_values(node: Any, level: int = 1) -> Iterable[tuple[str, tuple[Any, Any]]]:
    """The scalars of an entry with their keys, also in mappings inside; lists are left out."""
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        if isinstance(value, yaml.ScalarNode) and value.start_mark.line == value.end_mark.line:
            yield key.value, (key, value)
        elif isinstance(value, yaml.MappingNode) and level < _MOST_LEVELS:
            yield from _list_values(value, level + 1)


def _locate(node: Any) -> Part:
    return Part(node.start_mark.line, node.start_mark.column, node.end_mark.column)


def _make_layout(lines: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Layout:
    if not any(cell.parts for row in rows for cell in row):
        return Layout(())
    built = build_table(Source(lines, lines), rows, section="", block=0, number=0)
    return Layout(()) if built is None else Layout(tuple(built[1]), (), (built[0],), ())
