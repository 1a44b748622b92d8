"""`archaudit sweep REF...`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli import EXIT_UNJUDGED
from archaudit.cli.options import build_options, format_option, measurement_options
from archaudit.cli.output import name_file, print_text, terminal_width, write_files


@click.command(short_help="Measure many models, inputs and arguments.")
@click.argument("references", nargs=-1, required=True, metavar="REFERENCE...")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUES", help="A constructor argument and its values: width_mult=0.5,0.75,1.0."
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Processes on this machine (default: one per CPU).")
@click.option("--scheduler", metavar="ADDRESS", help="Use the workers of a Dask cluster instead: tcp://host:8786.")
@click.option("--plot", "plotted", default="params,flops", metavar="X,Y", help="The two metrics of the plot (default: params,flops).")
@format_option
@measurement_options
def command(references: tuple[str, ...], format_name: str, folder: Path | None, inputs: tuple[str, ...], **arguments: Any) -> int:
    """Measure every REFERENCE with every combination of --input and --set. Prints a table and marks the Pareto front.

    Write the alternatives of an input in braces: --input 1x3x{224,384}x{224,384}. Exit status: 2 if a variant could not be measured.
    """
    from archaudit.render import EXTENSIONS
    from archaudit.render.studies import STUDY_FORMATS, render_study_text
    from archaudit.sweep import Plan, connect_dask, sweep

    settings, workers, scheduler, plotted = (arguments.pop(name) for name in ("settings", "workers", "scheduler", "plotted"))
    across, _, up = plotted.partition(",")
    plan = Plan(references=references, inputs=inputs, settings=settings, metrics=(across.strip(), up.strip()))
    with build_options(inputs=(), **arguments) as options:
        if scheduler is None:
            found = sweep(plan, options, workers)
        else:
            with connect_dask(scheduler) as executor:
                found = sweep(plan, options, executor=executor)
    if folder is not None:
        stem = f"{name_file(references[0])}-sweep"
        write_files(folder, {f"{stem}{EXTENSIONS[name]}": render(found) for name, render in STUDY_FORMATS.items()})
    print_text(render_study_text(found, terminal_width()) if format_name == "text" else STUDY_FORMATS[format_name](found))
    return EXIT_UNJUDGED if any(variant.error is not None for variant in found.variants) else 0
