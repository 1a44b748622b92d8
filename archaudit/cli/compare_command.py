"""`archaudit compare BEFORE AFTER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.asking import asked_options, format_option, latency_option, measuring_options
from archaudit.cli.output import name_file, print_text, terminal_width, wants_color, write_files
from archaudit.schema import Report, strip_provenance


@click.command(short_help="Compare two models.")
@click.argument("before")
@click.argument("after")
@format_option
@latency_option
@measuring_options
def command(before: str, after: str, format_name: str, folder: Path | None, **asked: Any) -> int:
    """What changed from BEFORE to AFTER, what each change cost, and whether budgets and claims hold.

    BEFORE and AFTER are names from the config (or of the built-in example: before, after), file.py:Model, package.module:Model,
    torchvision:NAME, or saved profiles. Exits with 1 when a check failed, with 2 when one could not be judged.
    """
    from archaudit.pipeline import compare
    from archaudit.render import FORMATS, render_text

    with asked_options(**asked) as options:
        report = compare(before, after, options)
    if folder is not None:
        write_files(folder, _render_files(report, name_file(before, after)))
    print_text(render_text(report, terminal_width(), wants_color()) if format_name == "text" else FORMATS[format_name](report))
    if report.outcome == "failed":
        return EXIT_FAILED
    return EXIT_UNJUDGED if report.outcome == "inconclusive" and report.checks else 0


def _render_files(report: Report, stem: str) -> dict[str, str]:
    """The files of a report, fit to be committed: without what varies by machine and version."""
    import msgspec

    from archaudit.render import EXTENSIONS, FORMATS

    committed = msgspec.structs.replace(
        report, before=strip_provenance(report.before, witnesses=True), after=strip_provenance(report.after, witnesses=True)
    )
    return {f"{stem}{EXTENSIONS[name]}": FORMATS[name](committed) for name in ("markdown", "html", "json")}
