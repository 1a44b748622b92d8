"""`archaudit compare BEFORE AFTER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED, printable
from archaudit.cli.options import asked_options, format_option, latency_option, measuring_options
from archaudit.cli.output import name_file, print_text, terminal_width, wants_color, write_files
from archaudit.schema import Report, encode, strip_provenance

_FILES = ("markdown", "html", "json")


@click.command(short_help="Compare two models.")
@click.argument("before")
@click.argument("after")
@format_option
@latency_option
@click.option(
    "--symbolic/--no-symbolic",
    default=True,
    help="Tell shapes in terms of the input, [B, 128, H/8, W/8], from two further runs (default: yes).",
)
@click.option("--equivalent", is_flag=True, help="Run both for real with the same weights: do they compute the same?")
@click.option(
    "--checkpoint-map",
    "map_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write there, as JSON, which keys of a checkpoint of BEFORE load into AFTER, and under which names.",
)
@measuring_options
def command(before: str, after: str, format_name: str, folder: Path | None, map_path: Path | None, **asked: Any) -> int:
    """What changed from BEFORE to AFTER, what each change cost, and whether budgets and claims hold.

    BEFORE and AFTER are names from the config (or of the built-in example: before, after), file.py:Model, package.module:Model,
    torchvision:NAME, or saved profiles; any of your own at a git revision: REF@main. `compare main..HEAD REF` compares two revisions of one
    model, main...HEAD from where the branch began. Exits with 1 when a check failed, with 2 when one could not be judged; with --equivalent
    also with 1 when the two compute something else, with 2 when that could not be tried.
    """
    from archaudit.pipeline import compare
    from archaudit.render import FORMATS, prepare, render_text
    from archaudit.render.layout import wrap
    from archaudit.render.view.story import explain_proof

    wanted = {format_name, *(_FILES if folder is not None else ())}
    with asked_options(**asked, meanwhile=lambda: prepare(wanted)) as options:
        report = compare(before, after, options)
    if folder is not None:
        write_files(folder, _render_files(report, name_file(before, after)))
    if map_path is not None and report.checkpoint is not None:
        write_files(map_path.parent, {map_path.name: encode(report.checkpoint)})
    print_text(render_text(report, terminal_width(), wants_color()) if format_name == "text" else FORMATS[format_name](report))
    if report.equivalence is not None and format_name == "text":
        print_text("\n".join(wrap(printable(explain_proof(report.equivalence)), terminal_width())))
    return _choose_status(report)


def _choose_status(report: Report) -> int:
    proof = report.equivalence.outcome if report.equivalence is not None else "equivalent"
    if report.outcome == "failed" or proof == "different":
        return EXIT_FAILED
    unjudged = report.outcome == "inconclusive" and bool(report.checks)
    return EXIT_UNJUDGED if unjudged or proof == "not comparable" else 0


def _render_files(report: Report, stem: str) -> dict[str, str]:
    """The files of a report, fit to be committed: without what varies by machine and version."""
    import msgspec

    from archaudit.render import EXTENSIONS, FORMATS

    committed = msgspec.structs.replace(
        report, before=strip_provenance(report.before, witnesses=True), after=strip_provenance(report.after, witnesses=True)
    )
    return {f"{stem}{EXTENSIONS[name]}": FORMATS[name](committed) for name in _FILES}
