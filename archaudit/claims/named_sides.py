"""The two models of a comparison in a document: which of them a row, a sentence or the words before a figure name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from archaudit.claims.columns import find_side, read_columns, read_role
from archaudit.claims.named_figures import Catalogs, NamedFigure, choose_name, fill_down, find_names, list_named_figures, resolve_row
from archaudit.claims.names import Catalog, read_name
from archaudit.schema.documents import Document

OTHER_MODEL = "another model"


def find_named_sides(document: Document, names: Mapping[str, str]) -> dict[tuple[int, int], str]:
    """By the line and column of a number: the side whose name its row or sentence has, or OTHER_MODEL beside another name.

    `names` are the names of the two models, each with its side. A name that both have decides nothing.
    """
    if not names:
        return {}
    catalogs = Catalogs(((Catalog(names), False),))
    sides: dict[tuple[int, int], str] = {}
    for position, table in enumerate(document.tables):
        columns = read_columns(table)
        if columns is None:
            continue
        resolved = [resolve_row(table, columns, row, name, catalogs)[1] for row, name in enumerate(fill_down(table, columns.name))]
        if read_role(table.headings[columns.name]) != "name" and all(result.entry is None for result in resolved):
            continue  # the rows are parts of a model, not models
        for number in document.numbers:
            if number.run.table == position and number.run.row >= 0 and number.run.cell != columns.name:
                entry = resolved[number.run.row].entry
                side = find_side(table.rows[number.run.row][columns.name])
                if entry is not None or not side:  # a row called "before" or "ours, new" names a side, not a model
                    sides[number.line, number.column] = entry.reference if entry is not None else OTHER_MODEL
    for number in document.numbers:
        if number.run.table < 0:
            named = choose_name(find_names(number.run.whole, "", catalogs), number.run.whole, number.column - 1)
            if named is not None and named[2].entry is not None:
                sides[number.line, number.column] = named[2].entry.reference
    return sides


def list_stated(document: Document, names: Mapping[str, str]) -> dict[tuple[int, int], NamedFigure]:
    """The figures whose row or sentence names one of the two models and the metric, by line and column."""
    if not names:
        return {}
    figures = list_named_figures(document, Catalogs(((Catalog(names), False),)))
    return {(figure.number.line, figure.number.column): figure for figure in figures if figure.resolved.entry is not None}


def find_direct_sides(document: Document, names: Mapping[str, str]) -> dict[tuple[int, int], str]:
    """By the line and column of a number in a sentence: the side whose name is directly before it, "resnet18 has 11.7M"."""
    if not names:
        return {}
    catalog = Catalog(names)
    sides: dict[tuple[int, int], str] = {}
    for number in document.numbers:
        before = number.run.whole[max(0, number.column - 1 - _LONGEST_SUBJECT) : number.column - 1]
        subject = _SUBJECT.search(before) if number.run.table < 0 else None
        found = catalog.find(read_name(subject[1])) if subject else None
        if found is not None and found.entry is not None:
            sides[number.line, number.column] = found.entry.reference
    return sides


_LONGEST_SUBJECT = 80  # characters
_SUBJECT = re.compile(
    r"([\w./+-]+)[`*_]*\s*(?:model|network|backbone|encoder|variant)?\s*(?:has|had|with|needs|uses|:|=|\()?\s*(?:about|only|around|[~≈])?\s*\Z",
    re.IGNORECASE,
)
