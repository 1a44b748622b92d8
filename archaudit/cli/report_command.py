"""`archaudit report FILE`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli.options import detail_options, read_detail, report_format_option
from archaudit.cli.output import name_file, name_page, print_text, terminal_width, wants_color, write_files
from archaudit.cli.report_files import write_report_files
from archaudit.cli.table_options import columns_option, extra_option, rows_option, take_table_options, write_export
from archaudit.errors import SavedFileError
from archaudit.schema import History, Report, Sweep, decode_rendered, read_file

if TYPE_CHECKING:
    from archaudit.render.detail import Detail


@click.command(short_help="Render a saved report again.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@report_format_option
@rows_option("sections", "layers", "models")
@columns_option
@extra_option
@detail_options
@click.option("--open", "opened", is_flag=True, help="Open the HTML report in the browser.")
def command(file: Path, format_name: str, folder: Path | None, opened: bool, **arguments: Any) -> int:
    """Render the report in FILE, which `--format json` or `-o` of compare, history or sweep wrote.

    Nothing is measured or judged. The exit status only says whether the report could be read and written.
    """
    from archaudit.render import EXTENSIONS

    chosen = take_table_options(format_name, arguments)
    report = _read_report(file)
    formats = _list_formats(report)
    stem = name_file(file.stem)
    detail, quiet = read_detail(arguments, name_page(folder, stem)), arguments.pop("quiet")
    files = {f"{stem}{EXTENSIONS[name]}": formats[name](report) for name in ("markdown", "html", "json")} if folder is not None else {}
    written = write_report_files(folder, files) if folder is not None else []
    if opened:
        _open_page(next((path for path in written if path.suffix == ".html"), None), file, report)
    if quiet:
        print_text(_render_verdict(report))
    elif not opened or format_name != "text":
        print_text(_render(report, format_name, chosen, detail))
    return 0


def _render(report: Report | History | Sweep, format_name: str, chosen: dict[str, Any], detail: Detail) -> str:
    formats = _list_formats(report)
    if not isinstance(report, History):
        export = write_export(report, format_name, chosen, detail)
        if export is not None:
            return export
    if format_name != "text" and format_name not in formats:
        raise click.UsageError(f"A history and a sweep are not written as {format_name}.")
    return _render_text(report, detail) if format_name == "text" else formats[format_name](report)


def _list_formats(report: Report | History | Sweep) -> Mapping[str, Callable[[Any], str]]:
    from archaudit.render import FORMATS
    from archaudit.render.command_texts import STUDY_FORMATS

    return FORMATS if isinstance(report, Report) else STUDY_FORMATS


def _render_verdict(report: Report | History | Sweep) -> str:
    from archaudit.render import render_verdict

    return render_verdict(report, wants_color()) if isinstance(report, Report) else ""


def _render_text(report: Report | History | Sweep, detail: Detail) -> str:
    from archaudit.render import render_screen
    from archaudit.render.command_texts import render_study_text

    if isinstance(report, Report):
        return render_screen(report, detail, terminal_width(), wants_color())
    return render_study_text(report, terminal_width())


def _read_report(file: Path) -> Report | History | Sweep:
    try:
        data = read_file(file)
    except OSError as error:
        hint = "Write it with: archaudit compare BEFORE AFTER --format json > FILE, or -o FOLDER."
        raise SavedFileError(f"{file} cannot be read: {error.strerror}", hint) from error
    return decode_rendered(data, str(file))


def _open_page(page: Path | None, file: Path, report: Report | History | Sweep) -> None:
    """Opens the page that was written, or one in a temporary folder."""
    import webbrowser

    if page is None:
        folder = Path(tempfile.mkdtemp(prefix="archaudit-"))
        (page,) = write_files(folder, {f"{name_file(file.stem)}.html": _list_formats(report)["html"](report)})
    shown = webbrowser.open(page.resolve().as_uri())
    print_text(f"opened {page}" if shown else f"no browser could be started; the page is {page}")
