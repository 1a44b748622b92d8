"""`archaudit check`."""

from __future__ import annotations

from typing import Any

import click

from archaudit.cli import EXIT_FAILED, EXIT_UNJUDGED
from archaudit.cli.asking import asked_options, measuring_options
from archaudit.cli.output import print_text, terminal_width, wants_color
from archaudit.schema import Judgement


@click.command(short_help="Judge the budgets of the config.")
@click.argument("names", nargs=-1)
@click.option("--allow-inconclusive", is_flag=True, help="Exit with 0 also where a check could not be judged; never where there is none.")
@measuring_options
def command(names: tuple[str, ...], allow_inconclusive: bool, **asked: Any) -> int:
    """Judge every budget of the config, or those of the models NAMES, against baselines where they ask for it.

    Exits with 1 when a budget is exceeded, with 2 when one could not be judged or there is none.
    """
    from archaudit.pipeline import check
    from archaudit.render import render_judgement_text

    with asked_options(**asked) as options:
        judgement = check(names, options)
    print_text(render_judgement_text(judgement, terminal_width(), wants_color()))
    return _choose_status(judgement, allow_inconclusive=allow_inconclusive)


def _choose_status(judgement: Judgement, *, allow_inconclusive: bool) -> int:
    if judgement.outcome == "failed":
        return EXIT_FAILED
    if judgement.outcome == "passed" or (allow_inconclusive and judgement.checks):
        return 0
    return EXIT_UNJUDGED
