"""`archaudit history REF [RANGE]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli.options import build_options, format_option, measurement_options
from archaudit.cli.output import name_file, print_text, terminal_width, write_files


@click.command(short_help="One model over commits.")
@click.argument("reference")
@click.argument("commits", required=False, metavar="[RANGE]")
@format_option
@measurement_options
def command(reference: str, commits: str | None, format_name: str, folder: Path | None, **arguments: Any) -> int:
    """Show the metrics of REFERENCE at every commit of RANGE that touched its source files, and the layers that caused a jump.

    RANGE is main..HEAD, or a revision for all commits up to it (default: HEAD). Only commits along first parents are measured. Results are
    cached, so an interrupted history continues where it stopped.
    """
    from archaudit.history import trace_history
    from archaudit.render import EXTENSIONS
    from archaudit.render.studies import STUDY_FORMATS, render_study_text

    with build_options(**arguments) as options:
        history = trace_history(reference, commits, options)
    if folder is not None:
        stem = f"{name_file(reference)}-history"
        write_files(folder, {f"{stem}{EXTENSIONS[name]}": render(history) for name, render in STUDY_FORMATS.items()})
    print_text(render_study_text(history, terminal_width()) if format_name == "text" else STUDY_FORMATS[format_name](history))
    return 0
