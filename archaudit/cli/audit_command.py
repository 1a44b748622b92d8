"""`archaudit audit REF`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli import EXIT_FAILED
from archaudit.cli.options import arg_file_option, build_options, device_option, dtype_option, measurement_options
from archaudit.cli.output import print_text, terminal_width, wants_color


@click.command(short_help="Find what is wasted or wrong in a model.")
@click.argument("reference", required=False)
@click.option("--explain", "code", metavar="CODE", help="Instead, explain a rule: what, why, an example, the fix, the source.")
@click.option("--list-rules", is_flag=True, help="Instead, list every rule.")
@click.option("--select", multiple=True, metavar="CODE", help="Judge only these rules: a code (AR101), a family (AR1 or dead), or all.")
@click.option("--ignore", multiple=True, metavar="CODE", help="Do not judge these rules.")
@click.option("--full", is_flag=True, help="List every finding, also equal ones in equal layers, and the suppressed ones.")
@click.option(
    "--proof/--no-proof", default=True, help="Run the model with each fix to prove it and to measure what it saves (default: yes)."
)
@click.option("--max", "most", type=click.IntRange(min=0), metavar="N", help="Exit with status 1 if there are more than N findings.")
@click.option("--format", "format_name", type=click.Choice(["text", "markdown", "json"]), default="text", help="What to print.")
@device_option
@arg_file_option
@dtype_option
@measurement_options
def command(
    reference: str | None,
    code: str | None,
    list_rules: bool,
    select: tuple[str, ...],
    ignore: tuple[str, ...],
    full: bool,
    proof: bool,
    most: int | None,
    format_name: str,
    **arguments: Any,
) -> int:
    """Find what is wasted or wrong in REFERENCE: each finding with what it costs, its source line, and the fix.

    REFERENCE is one of `archaudit profile`. Where a rule says so, the model with the fix applied runs on random inputs, to prove that it
    computes the same. A comment `# archaudit: ignore[AR103] reason` on the line that makes a module accepts its finding.
    """
    from archaudit.audit import find_rule, select_rules
    from archaudit.render.audit_text import AUDIT_FORMATS, render_audit, render_rule, render_rules

    if code is not None:
        print_text(render_rule(find_rule(code), terminal_width()))
        return 0
    if list_rules:
        print_text(render_rules(terminal_width()))
        return 0
    if reference is None:
        raise click.UsageError("Missing argument 'REFERENCE'.")
    if arguments["params_only"]:
        raise click.UsageError("The audit runs the model; --params-only does not.")
    codes = select_rules(select, ignore) if select or ignore else None
    from archaudit.pipeline import audit

    with build_options(**arguments) as options:
        found = audit(reference, options, codes, proof=proof)
    if format_name == "text":
        print_text(render_audit(found, terminal_width(), full=full, color=wants_color()))
    else:
        print_text(AUDIT_FORMATS[format_name](found))
    return EXIT_FAILED if most is not None and len(found.findings) > most else 0
