"""Tables and figures for papers, spreadsheets and notebooks: CSV, LaTeX, SVG and data frames, with columns that have names.

The names of the columns are the same in every format. `tables` chooses columns, `models`, `comparisons` and `claim_rows` say which there
are, `formats` writes tables, `figures` draws.
"""

from __future__ import annotations

from archaudit.render.exports.extra import Extra, parse_extra, read_extra
from archaudit.render.exports.figures import draw
from archaudit.render.exports.formats import TABLE_FORMATS, make_frame, write_table
from archaudit.render.exports.sources import ROWS, Selection, tabulate
from archaudit.render.exports.tables import Table

__all__ = [
    "ROWS",
    "TABLE_FORMATS",
    "Extra",
    "Selection",
    "Table",
    "draw",
    "make_frame",
    "parse_extra",
    "read_extra",
    "tabulate",
    "write_table",
]
