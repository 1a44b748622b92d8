"""`archaudit bisect REF [RANGE] --when CONDITION`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.options import build_options, measurement_options
from archaudit.cli.output import print_text, terminal_width


@click.command(short_help="Find the first commit at which a condition holds.")
@click.argument("reference")
@click.argument("commits", required=False, metavar="[RANGE]")
@click.option("--when", required=True, metavar="CONDITION", help='For example "params > 3M" or "macs of decoder* >= 2G".')
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@measurement_options
def command(reference: str, commits: str | None, when: str, format_name: str, **arguments: Any) -> int:
    """Find the first commit of RANGE at which the condition holds for REFERENCE, with about log2(commits) measurements.

    A commit that cannot be measured is skipped. Exit status: 0 if the commit was found; 1 if there is none (the condition holds at the
    first commit of the range, or not at the last); 2 if skipped commits leave the answer open.
    """
    from archaudit.history import bisect
    from archaudit.render.studies import render_bisection_text
    from archaudit.schema import encode

    with build_options(**arguments) as options:
        found = bisect(reference, commits, when, options)
    print_text(encode(found).decode() if format_name == "json" else render_bisection_text(found, terminal_width()))
    return {"found": 0, "unsure": EXIT_UNJUDGED}.get(found.outcome, EXIT_FAILED)
