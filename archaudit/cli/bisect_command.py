"""`archaudit bisect REF [RANGE] --when CONDITION`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.options import asked_options, measuring_options
from archaudit.cli.output import print_text, terminal_width


@click.command(short_help="The first commit at which something holds.")
@click.argument("reference")
@click.argument("commits", required=False, metavar="[RANGE]")
@click.option("--when", required=True, metavar="CONDITION", help='Such as "params > 3M" or "macs of decoder* >= 2G".')
@click.option("--format", "format_name", type=click.Choice(["text", "json"]), default="text", help="What to print (default: text).")
@measuring_options
def command(reference: str, commits: str | None, when: str, format_name: str, **asked: Any) -> int:
    """The first commit of RANGE at which the condition holds for REFERENCE, in about log2(commits) profiles.

    A commit that cannot be measured is skipped. Exits with 0 when the commit was found, with 1 when there is none (the condition holds from
    the beginning of the range, or not at its end), with 2 when commits that were skipped leave it open.
    """
    from archaudit.history import bisect
    from archaudit.render.studies import render_bisection_text
    from archaudit.schema import encode

    with asked_options(**asked) as options:
        found = bisect(reference, commits, when, options)
    print_text(encode(found).decode() if format_name == "json" else render_bisection_text(found, terminal_width()))
    return {"found": 0, "unsure": EXIT_UNJUDGED}.get(found.outcome, EXIT_FAILED)
