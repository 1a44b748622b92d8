"""`archaudit formula REF`, and `archaudit formula BEFORE AFTER`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archaudit.cli import EXIT_UNJUDGED
from archaudit.cli.options import arg_file_option, build_options, device_option, dtype_option, measurement_options
from archaudit.cli.output import print_text, terminal_width
from archaudit.cli.report_files import choose_stem, name_report, write_report_files

if TYPE_CHECKING:
    from archaudit.schema import ScalingLaws

_FORMATS = ("text", "json", "markdown", "html", "latex", "python")


@click.command(short_help="Show how the costs of a model grow with the sizes of its input.")
@click.argument("reference")
@click.argument("after", required=False)
@click.option("--format", "format_name", type=click.Choice(_FORMATS), default="text", help="What to print (default: text).")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also write the formulas to this folder as .md, .html, .json, .tex and .py.",
)
@click.option("--modules", is_flag=True, help="Also print the formulas of every module.")
@click.option("--at", "at", metavar="SIZES", help="Also print the costs at these sizes: B=1,T=8192.")
@click.option("--over", metavar="SIZE", help="The size that plots are over, such as T (default: the length, else the height).")
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
def command(reference: str, after: str | None, format_name: str, folder: Path | None, at: str | None, **arguments: Any) -> int:
    """Print the exact formulas of MACs, FLOPs and bytes of REFERENCE in the sizes of its input: batch, length, height, width.

    The model runs without values at a few sizes. The formulas are compared with runs at other sizes. With AFTER, the difference of the two
    models follows, and from which size on which of them is cheaper.
    """
    from archaudit.pipeline import find_laws
    from archaudit.render.formula_texts import format_laws, format_values
    from archaudit.scaling import parse_sizes

    modules, over, checks = (arguments.pop(name) for name in ("modules", "over", "checks"))
    references = [reference] if after is None else [reference, after]
    with build_options(**arguments) as options:
        laws = find_laws(references, checks, options)
    known = {variable.name: variable.base for each in laws for variable in each.variables}
    sizes = None if at is None else {**known, **parse_sizes(at, known)}
    if over is not None and over not in known:
        raise click.UsageError(f"--over {over}: the sizes are {', '.join(known)}.")
    if folder is not None:
        names = tuple(each.name for each in laws)
        stem = choose_stem(folder, f"{name_report(*references)}-formula", names)
        write_report_files(
            folder,
            {f"{stem}{extension}": _write(laws, name, over) for name, extension in _EXTENSIONS.items() if len(laws) == 1 or name in _PAIRS},
        )
    if format_name == "text":
        lines = list(format_laws(laws, terminal_width(), modules=modules))
        print_text("\n".join([*lines, *(format_values(laws, sizes) if sizes is not None else ())]))
    else:
        print_text(_write(laws, format_name, over))
    return EXIT_UNJUDGED if any(each.wrong for each in laws) else 0


_EXTENSIONS = {"json": ".json", "markdown": ".md", "html": ".html", "latex": ".tex", "python": ".py"}
# What has both models in one file.
_PAIRS = ("markdown", "html")


def _write(laws: Sequence[ScalingLaws], name: str, over: str | None) -> str:
    from archaudit.render.formula_code import write_latex, write_python
    from archaudit.render.templating import render_view
    from archaudit.render.view.formulas import view_formulas
    from archaudit.schema import encode

    if name in _PAIRS:
        return render_view("study.md.j2" if name == "markdown" else "study.html.j2", view_formulas(laws, over))
    if name == "json":
        return encode(laws[0]).decode() if len(laws) == 1 else "[" + ",".join(encode(each).decode() for each in laws) + "]"
    writer = write_latex if name == "latex" else write_python
    return "\n".join(writer(each) for each in laws)
