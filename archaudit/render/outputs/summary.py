"""Markdown for the summary of a step on GitHub, which drops one of more than 1 MiB without a word."""

from __future__ import annotations

from archaudit.schema import Judgement

# The limit is in bytes, and a character has up to four of them.
LIMIT = (2**20 - 1024) // 4


def write(judgement: Judgement) -> str:
    """The summary: what the comment says, with room for more."""
    from archaudit.render.templating import render_judgement

    return render_judgement("judgement.md.j2", judgement, LIMIT)
