"""`archaudit check`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.asking import asked_options, measuring_options
from archaudit.cli.output import print_text, terminal_width, wants_color


@click.command(short_help="Judge the budgets of the config.")
@click.argument("names", nargs=-1)
@measuring_options
def command(names: tuple[str, ...], **asked: Any) -> int:
    """Judge every budget of the config, or those of the models NAMES, against baselines where they ask for it.

    Exits with 1 when a budget is exceeded, with 2 when one could not be judged or there is none.
    """
    from archaudit.pipeline import check
    from archaudit.render import render_verdicts_text

    with asked_options(**asked) as options:
        judgement = check(names, options)
    print_text(render_verdicts_text(judgement.verdicts, judgement.outcome, terminal_width(), wants_color()))
    if judgement.outcome == "failed":
        return EXIT_FAILED
    return EXIT_UNJUDGED if judgement.outcome == "inconclusive" else 0
