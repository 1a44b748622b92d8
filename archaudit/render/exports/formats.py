"""A table as CSV, LaTeX, Markdown, HTML, text for a terminal, or a data frame of pandas."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from archaudit.errors import ArchauditError
from archaudit.render import DEFAULT_WIDTH
from archaudit.render.exports.latex import write_latex
from archaudit.render.exports.tables import Table
from archaudit.render.layout import GAP, TextColumn, format_columns, wrap
from archaudit.render.view.plots import Column, StudyView

if TYPE_CHECKING:
    from pandas import DataFrame


# What a spreadsheet reads as a formula; a sign before a digit begins a number.
_FORMULA = re.compile(r"[=@]|[+-](?!\d)(?=.)")


def format_csv(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; no text is a formula for a spreadsheet."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([headings, *([_defuse(cell) for cell in row] for row in rows)])
    return text.getvalue()


def _defuse(cell: object) -> object:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) else cell


def write_csv(table: Table) -> str:
    """The names of the columns, then exact numbers without separators; empty for what is not known."""
    return format_csv([column.name for column in table.columns], ([cell.value for cell in row] for row in table.rows))


def make_study(table: Table) -> StudyView:
    """The table for the templates of studies."""
    return StudyView(
        title=table.title,
        sentence=" ".join(table.notes),
        columns=tuple(
            Column(heading=column.full_heading, cells=tuple(cell.text for cell in column.cells), right=column.right)
            for column in table.columns
        ),
    )


def _write_markdown(table: Table) -> str:
    from archaudit.render.templating import render_view

    return render_view("study.md.j2", make_study(table))


def _write_html(table: Table) -> str:
    from archaudit.render.templating import render_view

    return render_view("study.html.j2", make_study(table))


def write_text(table: Table, width: int) -> str:
    """All chosen columns under their headings, also where they are wider than `width`."""
    columns = [
        TextColumn(column.heading, tuple(cell.text for cell in column.cells), right=column.right, group=column.group)
        for column in table.columns
    ]
    headings, rows = format_columns(columns, sum(column.width + GAP for column in columns))
    lines = [table.title, "", *headings, *rows, "", *(line for note in table.notes for line in wrap(note, width))]
    return "\n".join(line.rstrip() for line in lines) + "\n"


TABLE_FORMATS: dict[str, Callable[[Table], str]] = {
    "csv": write_csv,
    "latex": write_latex,
    "markdown": _write_markdown,
    "html": _write_html,
}


def write_table(table: Table, form: str, width: int = DEFAULT_WIDTH) -> str:
    """The table in a format of TABLE_FORMATS, or as text."""
    return write_text(table, width) if form == "text" else TABLE_FORMATS[form](table)


def make_frame(table: Table) -> DataFrame:
    """The table as a data frame: a column for each, under its name. Raises ArchauditError where pandas is not installed."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise ArchauditError("to_dataframe() needs pandas, which is not installed", "Install it with: pip install pandas") from error
    values = {column.name: [cell.value for cell in column.cells] for column in table.columns}
    return DataFrame(values).convert_dtypes()
