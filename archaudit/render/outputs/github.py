"""The outputs of `archaudit check` for GitHub: annotations, a pull request comment, and a step summary.

Annotations are workflow commands in the log: `::error file=...,line=...::message` (GitHub's documentation of workflow commands). GitHub
shows ten of each kind for a step, so the most important come first.
"""

from __future__ import annotations

from archaudit.render.formatting import make_visible
from archaudit.schema import Judgement, SourceLine, Verdict

_COMMANDS = {"error": "error", "warn": "warning", "info": "notice"}


def write_annotations(judgement: Judgement) -> str:
    """A line for each check that did not pass, errors first; empty if all passed."""
    open_checks = [check for check in judgement.checks if check.outcome != "passed"]
    open_checks.sort(key=lambda check: (list(_COMMANDS).index(check.level), check.outcome != "failed"))
    return "".join(_annotate(check, judgement.places.get(check.id), judgement.source) + "\n" for check in open_checks)


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
    """The text with the characters escaped that end a property, a message or the line."""
    escaped = make_visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    for character in special:
        escaped = escaped.replace(character, f"%{ord(character):02X}")
    return escaped


# --- Markdown for a pull request comment ---


# GitHub rejects comments from 65,536 characters on; the program that posts the comment may add a line.
COMMENT_LIMIT = 65_000


def write_comment(judgement: Judgement) -> str:
    """The comment; if it is too long, the least important parts are left out and named."""
    from archaudit.render.templating import render_judgement

    return render_judgement("judgement.md.j2", judgement, COMMENT_LIMIT)


# --- Markdown for the summary of a step on GitHub, which silently drops summaries of more than 1 MiB ---


# The limit is in bytes, and a character has up to four of them.
SUMMARY_LIMIT = (2**20 - 1024) // 4


def write_summary(judgement: Judgement) -> str:
    """The summary: the content of the comment, with a higher limit."""
    from archaudit.render.templating import render_judgement

    return render_judgement("judgement.md.j2", judgement, SUMMARY_LIMIT)
