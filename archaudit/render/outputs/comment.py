"""Markdown for a comment on a pull request.

Its first line is a mark that does not show, by which a program finds the comment that it is to update in place.
"""

from __future__ import annotations

from archaudit.schema import Judgement

# GitHub refuses a comment of 65,536 characters; what posts it may add a line of its own.
LIMIT = 65_000


def write(judgement: Judgement) -> str:
    """The comment, cut by importance where it would not fit, with a sentence that names what was cut."""
    from archaudit.render.templating import render_judgement

    return render_judgement("judgement.md.j2", judgement, LIMIT)
