"""A table with named columns: which columns there are, and the values and texts of those that were chosen."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from archaudit.errors import ConfigError
from archaudit.metrics.quantities import format_change
from archaudit.render.view.figures import Figure, make_delta, make_figure
from archaudit.schema import Record

Value = str | int | float | bool | None


class Cell(NamedTuple):
    """What programs read, and the same as people read it."""

    value: Value
    text: str


class Field(NamedTuple):
    """A column: its `name` for `--columns`, and `read`, which makes the cell of a row.

    Neighbouring columns of one `group` share that as a heading. Numbers are aligned to the `right`.
    """

    name: str
    heading: str
    read: Callable[[Any], Cell]
    group: str = ""
    right: bool = False


class TableColumn(Record, frozen=True, kw_only=True):
    """A chosen column with its cells."""

    name: str
    heading: str
    cells: tuple[Cell, ...]
    group: str = ""
    right: bool = False

    @property
    def full_heading(self) -> str:
        """The heading with that of its group, for formats without common headings."""
        return f"{self.group} {self.heading}".strip()


class Table(Record, frozen=True, kw_only=True):
    """Columns of equal length under a title. The last row is a total where `has_total`. `notes` say what the figures mean."""

    title: str
    columns: tuple[TableColumn, ...]
    notes: tuple[str, ...] = ()
    has_total: bool = False

    @property
    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """The cells row by row."""
        return zip(*(column.cells for column in self.columns), strict=True)


def choose_columns(fields: Sequence[Field], rows: Sequence[Any], names: Sequence[str], default: Sequence[str]) -> tuple[TableColumn, ...]:
    """The named columns in the order given, else those of `default`. Raises ConfigError, which lists all, for an unknown name."""
    known = {field.name: field for field in fields}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {near[0]}?" if near else ""
            raise ConfigError(f"there is no column {name!r} in this table.{meant}", f"Columns: {', '.join(known)}.")
    return tuple(
        TableColumn(
            name=field.name,
            heading=field.heading,
            cells=tuple(field.read(row) for row in rows),
            group=field.group,
            right=field.right,
        )
        for field in (known[name] for name in dict.fromkeys(names or default))
    )


def read_text(name: str, heading: str, read: Callable[[Any], str | None], *, right: bool = False) -> Field:
    """A column of texts."""
    return Field(name, heading, lambda row: make_text(read(row)), right=right)


# --- cells ------------------------------------------------------------------------------------------------------------


def make_text(text: str | None) -> Cell:
    """A text; empty for None."""
    return Cell(text, text or "")


def make_flag(value: bool) -> Cell:
    """`yes` or `no`."""
    return Cell(value, "yes" if value else "no")


def make_number(value: float | None, unit: str = "", *, exact: bool = False, complete: bool = True) -> Cell:
    """A number; `≥` before its text if it is a lower bound, empty if it is not known."""
    if value is None:
        return Cell(None, "")
    return Cell(value, _choose(make_figure(value, unit, complete=complete), exact))


def make_difference(before: float | None, after: float | None, unit: str = "", *, exact: bool = False, complete: bool = True) -> Cell:
    """After minus before, where a missing side is 0; not known if one is a lower bound."""
    if not complete or (before is None and after is None):
        return Cell(None, "" if complete else "?")
    delta = (after or 0) - (before or 0)
    return Cell(delta, _choose(make_delta(delta, unit), exact))


def make_percentage(before: float | None, after: float | None, *, complete: bool = True) -> Cell:
    """The change in per cent of before: -63.16; empty where there is nothing to divide by."""
    if before is None or after is None or not complete or not before:
        return Cell(None, "")
    return Cell(float(f"{100 * (after - before) / before:.6g}"), format_change(before, after))


def make_share(part: float | None, whole: float, text: str) -> Cell:
    """A share of a whole in per cent."""
    return Cell(None, "") if part is None or not whole else Cell(float(f"{100 * part / whole:.6g}"), text)


def _choose(figure: Figure, exact: bool) -> str:
    return figure.exact if exact else figure.short
