"""`archaudit history REF [RANGE]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli.options import asked_options, format_option, measuring_options
from archaudit.cli.output import name_file, print_text, terminal_width, write_files


@click.command(short_help="One model over commits.")
@click.argument("reference")
@click.argument("commits", required=False, metavar="[RANGE]")
@format_option
@measuring_options
def command(reference: str, commits: str | None, format_name: str, folder: Path | None, **asked: Any) -> int:
    """The metrics of REFERENCE at every commit of RANGE that touched what it is read from, and the layers that made them jump.

    RANGE is main..HEAD, a revision for all commits up to it, or left out for all up to HEAD; commits are taken along first parents. What
    was measured is kept: a history that was interrupted goes on where it was.
    """
    from archaudit.history import trace_history
    from archaudit.render import EXTENSIONS
    from archaudit.render.studies import STUDY_FORMATS, render_study_text

    with asked_options(**asked) as options:
        history = trace_history(reference, commits, options)
    if folder is not None:
        stem = f"{name_file(reference)}-history"
        write_files(folder, {f"{stem}{EXTENSIONS[name]}": render(history) for name, render in STUDY_FORMATS.items()})
    print_text(render_study_text(history, terminal_width()) if format_name == "text" else STUDY_FORMATS[format_name](history))
    return 0
