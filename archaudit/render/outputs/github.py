"""Annotations as GitHub's runner reads them from a log: `::error file=...,line=...::message`.

Source: GitHub's documentation of workflow commands. Ten of a kind are shown for a step, so what matters most comes first.
"""

from __future__ import annotations

from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement, SourceLine, Verdict

_COMMANDS = {"error": "error", "warn": "warning", "info": "notice"}


def write_annotations(judgement: Judgement) -> str:
    """A line for each check that does not hold, those that decide first; empty where all hold."""
    told = [check for check in judgement.checks if check.outcome != "passed"]
    told.sort(key=lambda check: (list(_COMMANDS).index(check.level), check.outcome != "failed"))
    return "".join(_annotate(check, judgement.places.get(check.id), judgement.source) + "\n" for check in told)


def _annotate(check: Verdict, place: SourceLine | None, source: str) -> str:
    properties = {"title": f"archaudit: {check.outcome}: {check.id}"}
    if place is not None:
        properties["file"] = place.file
        if place.line is not None:
            properties["line"] = str(place.line)
    elif source.endswith(".toml"):
        properties["file"] = source
    text = ",".join(f"{name}={_escape(value, ':,')}" for name, value in sorted(properties.items()))
    return f"::{_COMMANDS[check.level]} {text}::{_escape(check.reason, '')}"


def _escape(text: str, special: str) -> str:
    """What the runner would read as the end of a property, of a message or of the line."""
    escaped = make_visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in special:
        escaped = escaped.replace(character, f"%{ord(character):02X}")
    return escaped


# --- markdown for a comment on a pull request ---


# GitHub refuses a comment of 65,536 characters; what posts it may add a line of its own.
COMMENT_LIMIT = 65_000


def write_comment(judgement: Judgement) -> str:
    """The comment, cut by importance where it would not fit, with a sentence that names what was cut."""
    from archaudit.render.templating import render_judgement

    return render_judgement("judgement.md.j2", judgement, COMMENT_LIMIT)


# --- markdown for the summary of a step on GitHub, which drops one of more than 1 MiB without a word ---


# The limit is in bytes, and a character has up to four of them.
SUMMARY_LIMIT = (2**20 - 1024) // 4


def write_summary(judgement: Judgement) -> str:
    """The summary: what the comment says, with room for more."""
    from archaudit.render.templating import render_judgement

    return render_judgement("judgement.md.j2", judgement, SUMMARY_LIMIT)
