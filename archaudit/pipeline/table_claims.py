"""Tables of documents as claims: each figure of a [[tables]] stanza becomes a check of the model that its row names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from archaudit.claims.columns import METRIC_ROLES, Columns, is_other_column, read_columns, read_role
from archaudit.claims.named_figures import Catalogs, NamedFigure, read_rows
from archaudit.claims.names import Catalog
from archaudit.config import Config, TableClaim
from archaudit.config.names import derive_id
from archaudit.errors import ConfigError
from archaudit.pipeline.zoo import Model, open_catalogs
from archaudit.schema import Check, Verdict
from archaudit.schema.documents import Document, Number, Table


class RowClaim(NamedTuple):
    """One figure of a table as a check, the number that it is about, its model, and the stanza that claims it."""

    check: Check
    number: Number
    model: Model
    row: str
    table: TableClaim


class ExpandedTables(NamedTuple):
    """The checks of the figures whose model is known; the figures whose model is not; and those that are exempt, with the reason.

    `other_columns` are the places of the other numbers in these tables that state no metric, such as accuracies and input sizes.
    """

    claims: tuple[RowClaim, ...]
    unknown: tuple[NamedFigure, ...]
    exempt: tuple[tuple[NamedFigure, str], ...]
    other_columns: frozenset[tuple[int, int]] = frozenset()


def expand_tables(document: Document, stanzas: Iterable[TableClaim], config: Config | None, folder: Path) -> ExpandedTables:
    """The claims of all stanzas about a document. Raises ConfigError for a stanza that fits no table of the document."""
    numbers: dict[int, list[Number]] = defaultdict(list)
    for number in document.numbers:
        if number.run.table >= 0:
            numbers[number.run.table].append(number)
    claims: list[RowClaim] = []
    unknown: list[NamedFigure] = []
    exempt: list[tuple[NamedFigure, str]] = []
    taken: set[tuple[int, int]] = set()
    others: set[tuple[int, int]] = set()
    for stanza in stanzas:
        catalogs = _open(stanza, config, folder)
        fitting = [(position, table) for position, table in enumerate(document.tables) if _is_below(stanza, table)]
        columns = {position: found for position, table in fitting if (found := _find_columns(stanza, table)) is not None}
        if not columns:
            wanted = " and ".join(map(repr, (stanza.name, *stanza.columns.values())))
            raise ConfigError(f"{stanza.key}: no table of {document.name} has {wanted} as headings", _list_headings(document))
        headings = {_fold(heading) for position in columns for heading in document.tables[position].headings}
        for heading in (each for each in stanza.columns.values() if _fold(each) not in headings):
            raise ConfigError(f"{stanza.key}: no table of {document.name} has {heading!r} as a heading", _list_headings(document))
        for position, found in columns.items():
            others |= _list_other_columns(document.tables[position], found, numbers[position])
            for figure in read_rows(document.tables[position], found, numbers[position], catalogs, document.title):
                place = (figure.number.line, figure.number.column)
                if place in taken:
                    continue
                taken.add(place)
                if figure.name in stanza.exempt:
                    exempt.append((figure, stanza.exempt[figure.name]))
                elif figure.resolved.entry is None:
                    unknown.append(figure)
                else:
                    claims.append(_make_claim(figure, stanza, document.name))
    return ExpandedTables(tuple(claims), tuple(unknown), tuple(exempt), frozenset(others - taken))


def _list_other_columns(table: Table, columns: Columns, numbers: Iterable[Number]) -> set[tuple[int, int]]:
    """The places of numbers in columns that state no metric that is measured: accuracies, times, input sizes, parts of names.

    A number of millions or billions in a column that says nothing known stays uncovered: it can be a metric under another name.
    """
    silent = {
        position
        for position, heading in enumerate(table.headings)
        if position not in columns.metrics and read_role(heading) not in METRIC_ROLES
    }
    return {(number.line, number.column) for number in numbers if number.run.cell in silent and not _may_count(number, columns.name)}


_COUNTS = re.compile(r"(?<![A-Za-z])(?:[KMGTB]|[mb]illions?|Mio)\Z")


def _may_count(number: Number, name: int) -> bool:
    """Whether a number is one of thousands, millions or billions below a heading that is not known to be about something else."""
    states_scale = _COUNTS.search(number.reading.strip()) is not None or _COUNTS.search(number.unit) is not None
    return states_scale and number.run.cell != name and not read_role(number.heading) and not is_other_column(number.heading)


def accept_readings(verdict: Verdict, claim: RowClaim) -> Verdict:
    """The verdict; true where the stanza accepts the reading under which it is, passed where it says that the row is false."""
    if verdict.reading in claim.table.accept:
        return msgspec.structs.replace(verdict, outcome="passed", finding="true")
    why = claim.table.expect_false.get(claim.row)
    if verdict.finding == "false" and why is not None:
        return msgspec.structs.replace(verdict, outcome="passed", why=why, reason=f"{verdict.reason}; expected: {why}")
    return verdict


def _open(stanza: TableClaim, config: Config | None, folder: Path) -> Catalogs:
    catalogs = open_catalogs(stanza.models, config, folder)
    if not stanza.names:
        return catalogs
    return Catalogs(((Catalog(stanza.names), False), *catalogs.members))


def _is_below(stanza: TableClaim, table: Table) -> bool:
    return stanza.section is None or stanza.section.casefold() in table.section.casefold()


def _find_columns(stanza: TableClaim, table: Table) -> Columns | None:
    """The columns that the stanza names; None if the table has no such name column, or none of the metrics."""
    positions: dict[str, int] = {}
    for position, heading in enumerate(table.headings):
        positions.setdefault(_fold(heading), position)
    name = positions.get(_fold(stanza.name))
    metrics = {positions[_fold(heading)]: metric for metric, heading in stanza.columns.items() if _fold(heading) in positions}
    if name is None or not metrics:
        return None
    guessed = read_columns(table)
    qualifier = guessed.qualifier if guessed is not None and guessed.name == name else None
    return Columns(name, qualifier, positions.get(_fold(stanza.resolution)) if stanza.resolution else None, metrics)


def _fold(heading: str) -> str:
    return " ".join(heading.casefold().split())


def _list_headings(document: Document) -> str:
    if not document.tables:
        return "The document has no table."
    known = "; ".join(" | ".join(filter(None, table.headings)) for table in document.tables[:3])
    return f"The headings of its tables are: {known}."


def _make_claim(figure: NamedFigure, stanza: TableClaim, document: str) -> RowClaim:
    entry = figure.resolved.entry
    assert entry is not None
    model = Model(entry.reference, figure.resolved.resolution)
    return RowClaim(make_check(figure, model, document), figure.number, model, figure.name, stanza)


def make_check(figure: NamedFigure, model: Model, document: str) -> Check:
    """The figure of a named model as a check."""
    number = figure.number
    figure = _say_metric(figure)
    rounded = _read_rounded(number.reading) if not figure.unit else None
    expected = rounded or f"{figure.number.reading} {figure.unit}".strip()
    return Check(
        id=derive_id(figure.name, figure.metric, f"line {number.line}", f"column {number.column}"),
        origin="claim",
        model=model.name,
        metric=figure.metric,
        comparison=_RELATIONS.get(figure.figure.relation, "equals"),
        expected=expected,
        source=number.run.section or None,
        document=document,
        written=number.reading if expected != number.reading else None,
    )


def _say_metric(figure: NamedFigure) -> NamedFigure:
    """The figure with a unit of its metric: 4.1 below `GFLOPs` counts GMACs where the document calls multiply-accumulates FLOPs."""
    stated = figure.figure
    if figure.metric not in ("macs", "flops") or stated.unit not in ("macs", "flops") or stated.unit == figure.metric:
        return figure
    letter = _LETTERS_OF_SCALES.get(int(stated.scale), "")
    bare = re.sub(r"\s?[KMGTB]?\s?-?[A-Za-z]*(?:flop|mac|add)[A-Za-z-]*\s*\Z", "", figure.number.reading, flags=re.IGNORECASE)
    return figure._replace(number=msgspec.structs.replace(figure.number, reading=bare), unit=letter)


_LETTERS_OF_SCALES = {10**3: "K", 10**6: "M", 10**9: "G", 10**12: "T"}
_ROUNDED = re.compile(r"\s*(\d+?)(0{3,})\s*")
_LETTERS = {3: "K", 6: "M", 9: "G", 12: "T"}


def _read_rounded(text: str) -> str | None:
    """`25.03M` for `25030000`: an index of models has no letters for millions, and rounds to as many digits. None for any other figure."""
    found = _ROUNDED.fullmatch(text)
    if found is None:
        return None
    digits, zeros = found[1], len(found[2])
    power = next((each for each in _LETTERS if each >= zeros), None)
    if power is None:
        return None
    decimals = power - zeros
    padded = digits.zfill(decimals + 1)
    return (f"{padded[:-decimals]}.{padded[-decimals:]}" if decimals else digits) + _LETTERS[power]


_RELATIONS: Mapping[str, str] = {"<": "below", "<=": "max", ">": "above", ">=": "min"}
