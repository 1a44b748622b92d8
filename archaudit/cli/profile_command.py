"""`archaudit profile REF`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from archaudit.cli.asking import asked_options, format_option, latency_option, measuring_options
from archaudit.cli.output import name_file, print_text, terminal_width, wants_color, write_files
from archaudit.schema import strip_provenance


@click.command(short_help="Profile one model.")
@click.argument("reference")
@format_option
@latency_option
@measuring_options
def command(reference: str, format_name: str, folder: Path | None, **asked: Any) -> int:
    """The parameters, FLOPs and memory of REFERENCE, layer by layer.

    REFERENCE is a name from the config (or before, after of the built-in example), file.py:Model, package.module:Model, torchvision:NAME,
    or a saved profile.
    """
    from archaudit.pipeline import profile
    from archaudit.render import EXTENSIONS, PROFILE_FORMATS, render_profile_text

    with asked_options(**asked) as options:
        measured = profile(reference, options)
    if folder is not None:
        stem = name_file(reference)
        committed = strip_provenance(measured)
        write_files(folder, {f"{stem}{EXTENSIONS[name]}": PROFILE_FORMATS[name](committed) for name in ("markdown", "html", "json")})
    if format_name == "text":
        print_text(render_profile_text(measured, terminal_width(), wants_color()))
    else:
        print_text(PROFILE_FORMATS[format_name](measured))
    return 0
