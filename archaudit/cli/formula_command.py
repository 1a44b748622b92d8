"""`archaudit formula REF`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli.options import arg_file_option, build_options, device_option, dtype_option, measurement_options
from archaudit.cli.output import print_text, terminal_width
from archaudit.schema import encode


@click.command(short_help="Show how the costs of a model grow with the sizes of its input.")
@click.argument("reference")
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@click.option("--modules", is_flag=True, help="Also print the formulas of every module.")
@click.option(
    "--checks",
    type=click.IntRange(min=1, max=100),
    default=3,
    metavar="N",
    help="Runs at further sizes that the formulas are compared with (default: 3).",
)
@device_option
@arg_file_option
@dtype_option
@measurement_options
def command(reference: str, format_name: str, modules: bool, checks: int, **arguments: Any) -> int:
    """Print the exact formulas of MACs, FLOPs and bytes of REFERENCE in the sizes of its input: batch, length, height, width.

    The model runs without values at a few sizes. The formulas are compared with runs at other sizes.
    """
    from archaudit.pipeline import find_laws
    from archaudit.render.formula_texts import format_laws

    with build_options(**arguments) as options:
        laws = find_laws([reference], checks, options)
    if format_name == "json":
        print_text(encode(laws[0]).decode())
    else:
        print_text("\n".join(format_laws(laws, terminal_width(), modules=modules)))
    return 0 if not any(each.wrong for each in laws) else 2
