"""`archaudit profile REF`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli.options import (
    arg_file_option,
    build_options,
    detail_options,
    device_option,
    dtype_option,
    latency_option,
    measurement_options,
    read_detail,
    table_format_option,
)
from archaudit.cli.output import name_page, print_text, terminal_width, wants_color
from archaudit.cli.report_files import choose_stem, name_report, write_report_files
from archaudit.cli.table_options import columns_option, extra_option, rows_option, take_table_options, write_export
from archaudit.cli.training_options import take_training, training_options
from archaudit.schema import encode, strip_provenance


@click.command(short_help="Profile one model.")
@click.argument("reference")
@table_format_option
@rows_option("layers", "models")
@columns_option
@extra_option
@detail_options
@latency_option
@click.option(
    "--explain", "path", metavar="PATH", help="Instead, explain the MACs of one module, operator by operator ('' for the whole model)."
)
@device_option
@arg_file_option
@dtype_option
@training_options
@measurement_options
def command(reference: str, format_name: str, folder: Path | None, path: str | None, **arguments: Any) -> int:
    """Measure the parameters, FLOPs and memory of REFERENCE, layer by layer.

    REFERENCE is a name from the config (or before or after, the built-in example), file.py:Model, package.module:Model, torchvision:NAME,
    or a saved profile.
    """
    from archaudit.pipeline import profile
    from archaudit.render import EXTENSIONS, PROFILE_FORMATS, render_profile_screen

    stem = name_report(reference)
    detail, quiet = read_detail(arguments, name_page(folder, stem)), arguments.pop("quiet")
    chosen = take_table_options(format_name, arguments)
    training = take_training(arguments)
    if path is not None:
        return _explain(reference, path, format_name, arguments)
    with build_options(**arguments, training=training) as options:
        measured = profile(reference, options)
    if folder is not None:
        committed = strip_provenance(measured, other_counters=True)
        stem = choose_stem(folder, stem, (measured.name,))
        detail = detail._replace(report=name_page(folder, stem))
        files = {f"{stem}{EXTENSIONS[name]}": PROFILE_FORMATS[name](committed) for name in ("markdown", "html", "json")}
        write_report_files(folder, files)
    if quiet:
        return 0
    if (export := write_export(measured, format_name, chosen, detail)) is not None:
        print_text(export)
    elif format_name == "text":
        print_text(render_profile_screen(measured, detail, terminal_width(), wants_color()))
    else:
        print_text(PROFILE_FORMATS[format_name](measured))
    return 0


def _explain(reference: str, path: str, format_name: str, arguments: dict[str, Any]) -> int:
    from archaudit.pipeline import explain
    from archaudit.render.command_texts import render_explanation

    if format_name not in ("text", "json"):
        raise click.UsageError(f"--explain prints text or json, not {format_name}.")
    with build_options(**arguments) as options:
        explanation = explain(reference, path, options)
    print_text(encode(explanation).decode() if format_name == "json" else render_explanation(explanation))
    return 0
