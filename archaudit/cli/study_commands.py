"""`archaudit history REF [RANGE]`, `archaudit bisect REF [RANGE] --when CONDITION` and `archaudit sweep REF...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.options import build_options, dtype_option, format_option, measurement_options, table_format_option
from archaudit.cli.output import print_text, terminal_width
from archaudit.cli.report_files import choose_stem, name_report, write_report_files
from archaudit.cli.table_options import columns_option, extra_option, take_table_options, write_export

if TYPE_CHECKING:
    from archaudit.schema import History, Sweep


@click.command(short_help="One model over commits.")
@click.argument("reference")
@click.argument("commits", required=False, metavar="[RANGE]")
@format_option
@dtype_option
@measurement_options
def history(reference: str, commits: str | None, format_name: str, folder: Path | None, **arguments: Any) -> int:
    """Show the metrics of REFERENCE at every commit of RANGE that touched its source files, and the layers that caused a jump.

    RANGE is main..HEAD, or a revision for all commits up to it (default: HEAD). Only commits along first parents are measured. Results are
    cached, so an interrupted history continues where it stopped.
    """
    from archaudit.history import trace_history

    with build_options(**arguments) as options:
        found = trace_history(reference, commits, options)
    _output(found, f"{name_report(reference)}-history", (found.reference,), format_name, folder)
    return 0


@click.command(short_help="Find the first commit at which a condition holds.")
@click.argument("reference")
@click.argument("commits", required=False, metavar="[RANGE]")
@click.option("--when", required=True, metavar="CONDITION", help='For example "params > 3M" or "macs of decoder* >= 2G".')
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@dtype_option
@measurement_options
def bisect(reference: str, commits: str | None, when: str, format_name: str, **arguments: Any) -> int:
    """Find the first commit of RANGE at which the condition holds for REFERENCE, with about log2(commits) measurements.

    A commit that cannot be measured is skipped. Exit status: 0 if the commit was found; 1 if there is none (the condition holds at the
    first commit of the range, or not at the last); 2 if skipped commits leave the answer open.
    """
    from archaudit.history import bisect as search
    from archaudit.render.command_texts import render_bisection_text
    from archaudit.schema import encode

    with build_options(**arguments) as options:
        found = search(reference, commits, when, options)
    print_text(encode(found).decode() if format_name == "json" else render_bisection_text(found, terminal_width()))
    return {"found": 0, "unsure": EXIT_UNJUDGED}.get(found.outcome, EXIT_FAILED)


@click.command(short_help="Measure many models, inputs and arguments.")
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUES", help="A constructor argument and its values: width_mult=0.5,0.75,1.0."
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes on this machine (default: one per CPU).")
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of a Dask cluster instead: tcp://host:8786.")
@click.option("--plot", "plotted", default="params,flops", metavar="X,Y", help="The two metrics of the plot (default: params,flops).")
@table_format_option
@columns_option
@extra_option
@dtype_option
@measurement_options
def sweep(references: tuple[str, ...], format_name: str, folder: Path | None, inputs: tuple[str, ...], **arguments: Any) -> int:
    """Measure every REFERENCE with every combination of --input and --set. Prints a table and marks the Pareto front.

    Write the alternatives of an input in braces: --input 1x3x{224,384}x{224,384}. Exit status: 2 if a variant could not be measured.
    """
    from archaudit.sweeps import Plan, connect_dask, measure_variants

    settings, workers, scheduler, plotted = (arguments.pop(name) for name in ("settings", "workers", "scheduler", "plotted"))
    chosen = take_table_options(format_name, arguments)
    across, _, up = plotted.partition(",")
    plan = Plan(references=references, inputs=inputs, settings=settings, metrics=(across.strip(), up.strip()))
    with build_options(inputs=(), **arguments) as options:
        if scheduler is None:
            found = measure_variants(plan, options, workers)
        else:
            with connect_dask(scheduler) as executor:
                found = measure_variants(plan, options, executor=executor)
    names = tuple(dict.fromkeys(variant.reference for variant in found.variants))
    _output(found, f"{name_report(references[0])}-sweep", names, format_name, folder, write_export(found, format_name, chosen))
    return EXIT_UNJUDGED if any(variant.error is not None for variant in found.variants) else 0


def _output(
    study: History | Sweep, stem: str, names: tuple[str, ...], format_name: str, folder: Path | None, export: str | None = None
) -> None:
    """Writes the files if there is a folder, and prints the `export` or the chosen format. `names` are what the study is about."""
    from archaudit.render import EXTENSIONS
    from archaudit.render.command_texts import STUDY_FORMATS, render_study_text

    if folder is not None:
        stem = choose_stem(folder, stem, names)
        write_report_files(folder, {f"{stem}{EXTENSIONS[name]}": render(study) for name, render in STUDY_FORMATS.items()})
    if export is None:
        export = render_study_text(study, terminal_width()) if format_name == "text" else STUDY_FORMATS[format_name](study)
    print_text(export)
