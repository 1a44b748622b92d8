"""`archaudit compare BEFORE AFTER`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import UnsetType

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED, printable
from archaudit.cli.options import (
    arg_file_option,
    build_options,
    detail_options,
    device_option,
    dtype_option,
    latency_option,
    measurement_options,
    read_detail,
    report_format_option,
)
from archaudit.cli.output import name_page, print_text, terminal_width, wants_color, write_files
from archaudit.cli.report_files import choose_stem, name_report, write_report_files
from archaudit.cli.table_options import columns_option, extra_option, rows_option, take_table_options, write_export
from archaudit.cli.training_options import take_training, training_options
from archaudit.schema import Report, encode, strip_provenance

_FILES = ("markdown", "html", "json")


@click.command(short_help="Compare two models.")
@click.argument("before")
@click.argument("after")
@report_format_option
@rows_option("sections", "layers", "models")
@columns_option
@extra_option
@detail_options
@latency_option
@click.option(
    "--symbolic/--no-symbolic",
    default=True,
    help="Write shapes relative to the input, as [B, 128, H/8, W/8]; needs two more runs (default: yes).",
)
@click.option("--equivalent", is_flag=True, help="Run both models with the same weights and check that their outputs are equal.")
@click.option("--audit", is_flag=True, help="Also list the findings of the audit that the change introduces and resolves.")
@click.option(
    "--checkpoint-map",
    "map_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also write a JSON file that maps the state_dict keys of BEFORE to those of AFTER; runs both models to prove its entries.",
)
@device_option
@arg_file_option
@dtype_option
@training_options
@measurement_options
def command(before: str, after: str, format_name: str, folder: Path | None, map_path: Path | None, **arguments: Any) -> int:
    """Show what changed from BEFORE to AFTER, what each change costs, and whether budgets and claims hold.

    BEFORE and AFTER are names from the config (or before and after, the built-in example), file.py:Model, package.module:Model,
    torchvision:NAME, or saved profiles. Add @REVISION to your own code for a git revision: REF@main. `compare main..HEAD REF` compares two
    revisions of one model; main...HEAD starts where the branch began. Exit status: 1 if a check failed, 2 if one could not be judged. With
    --equivalent also 1 if the outputs differ, and 2 if the two models could not be run.
    """
    from archaudit.pipeline import compare
    from archaudit.render import FORMATS, prepare, render_screen, render_verdict
    from archaudit.render.layout import wrap
    from archaudit.render.view.other_changes import describe_audit
    from archaudit.render.view.sentences import explain_map

    stem = name_report(before, after)
    detail, quiet = read_detail(arguments, name_page(folder, stem)), arguments.pop("quiet")
    chosen = take_table_options(format_name, arguments)
    wanted = {format_name, *(_FILES if folder is not None else ())}
    arguments |= {"prove_map": map_path is not None, "while_workers_start": lambda: prepare(wanted), "training": take_training(arguments)}
    with build_options(**arguments) as options:
        report = compare(before, after, options)
    if folder is not None:
        stem = choose_stem(folder, stem, (report.before.name, report.after.name))
        detail = detail._replace(report=name_page(folder, stem))
        write_report_files(folder, _render_files(report, stem))
    if map_path is not None and report.checkpoint is not None:
        write_files(map_path.parent, {map_path.name: encode(report.checkpoint)})
    if quiet:
        print_text(render_verdict(report, wants_color()))
    elif (export := write_export(report, format_name, chosen, detail)) is not None:
        print_text(export)
    elif format_name == "text":
        print_text(render_screen(report, detail, terminal_width(), wants_color()))
        if not isinstance(report.audit, UnsetType):
            print_text("\n".join(line for text in describe_audit(report.audit) for line in wrap(f"Audit: {text}", terminal_width(), "  ")))
        if map_path is not None and report.checkpoint is not None:
            print_text("\n".join(wrap(printable(f"{map_path.name}: {explain_map(report.checkpoint)}"), terminal_width())))
    else:
        print_text(FORMATS[format_name](report))
    return _choose_status(report)


def _choose_status(report: Report) -> int:
    proof = report.equivalence.outcome if report.equivalence is not None else "equivalent"
    if report.outcome == "failed" or proof == "different":
        return EXIT_FAILED
    unjudged = report.outcome == "inconclusive" and bool(report.checks)
    return EXIT_UNJUDGED if unjudged or proof == "not comparable" else 0


def _render_files(report: Report, stem: str) -> dict[str, str]:
    """Returns the files of a report without what varies by machine and version, so that they can be committed."""
    from archaudit.render import EXTENSIONS, FORMATS

    committed = msgspec.structs.replace(
        report, before=strip_provenance(report.before, other_counters=True), after=strip_provenance(report.after, other_counters=True)
    )
    return {f"{stem}{EXTENSIONS[name]}": FORMATS[name](committed) for name in _FILES}
