"""The options of tables and figures for papers and spreadsheets, and what is printed with them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from archaudit.cli import printable
from archaudit.cli.output import terminal_width

if TYPE_CHECKING:
    from archaudit.render.detail import Detail
    from archaudit.render.exports import Table
    from archaudit.schema import Profile, Report, Sweep

Command = TypeVar("Command", bound=Callable[..., Any])

# What a table or a figure is written in, in addition to the formats of reports.
TABLE_FORMATS = ("latex", "csv", "svg")
_WITHOUT_COLUMNS = ("json", "svg", "review")
# A page of a paper has room for the upper modules of a model.
_LATEX_DEPTH = 1


def columns_option(command: Command) -> Command:
    """Adds `--columns`."""
    return click.option(
        "--columns", metavar="NAME,...", help="The columns of the table, in this order; an unknown name lists those that exist."
    )(command)


def rows_option(*rows: str) -> Callable[[Command], Command]:
    """Adds `--rows`, of which the first is the default."""
    return click.option("--rows", type=click.Choice(rows), help=f"What the rows of the table are (default: {rows[0]}).")


def extra_option(command: Command) -> Command:
    """Adds `--extra`."""
    return click.option(
        "--extra",
        "extra_path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE.csv",
        help="Add columns such as accuracies to the table of models; the column model has the names.",
    )(command)


def take_table_options(format_name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Takes the options of this file out of `arguments`. Raises UsageError for those of a table with a format that is none."""
    taken: dict[str, Any] = {name: arguments.pop(name) for name in ("columns", "rows", "extra_path") if name in arguments}
    given = [f"--{name.removesuffix('_path')}" for name, value in taken.items() if value]
    if given and format_name in _WITHOUT_COLUMNS:
        raise click.UsageError(f"{given[0]} is about a table: text, markdown, html, latex or csv, not {format_name}.")
    return taken


def write_export(record: Report | Profile | Sweep, format_name: str, chosen: dict[str, Any], detail: Detail | None = None) -> str | None:
    """The table or figure that the options ask for; None where they ask for the ordinary output.

    `chosen` are the options of `take_table_options`. What of the extra file matches nothing is a warning.
    """
    if format_name == "svg":
        from archaudit.render.exports import draw

        return draw(record)
    columns, rows, path = (chosen.get(name) for name in ("columns", "rows", "extra_path"))
    if format_name not in TABLE_FORMATS and not (columns or rows or path):
        return None
    from archaudit.render.exports import Selection, read_extra, tabulate

    depth = detail.depth if detail is not None else None
    selection = Selection(
        rows=rows or "",
        columns=split_names(columns),
        extra=read_extra(path) if path is not None else None,
        units=detail.units if detail is not None else "flops",
        depth=_LATEX_DEPTH if depth is None and format_name == "latex" else depth,
        only_changes=detail is not None and detail.only_changes,
    )
    table, notes = tabulate(record, selection)
    for note in notes:
        click.echo(printable(f"archaudit: {note}"), err=True)
    return write_table_text(table, format_name)


def write_table_text(table: Table, format_name: str) -> str:
    """The table in a format, as wide as the terminal or wider."""
    from archaudit.render.exports import write_table

    return write_table(table, format_name, terminal_width())


def split_names(columns: str | None) -> tuple[str, ...]:
    """`params,flops` as names."""
    return tuple(filter(None, (name.strip() for name in (columns or "").split(","))))
