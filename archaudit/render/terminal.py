"""A report or profile as text for a terminal, within its width; plain or in colour.

Texts from models are only ever put into rich's `Text` objects, never read as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import StringIO

from archaudit.render.lines import Line, write_profile, write_report, write_verdicts
from archaudit.render.view import view_checks, view_claims, view_conclusion, view_profile, view_report
from archaudit.schema import Outcome, Profile, Report, Verdict

# Below this nothing is readable anyway.
_NARROWEST = 40

_STYLES = {
    "passed": "bold green",
    "failed": "bold red",
    "inconclusive": "bold yellow",
    "true": "green",
    "false": "red",
    "other reading": "yellow",
    "unbound": "yellow",
    "exempt": "dim",
    "added": "green",
    "removed": "red",
    "changed": "yellow",
    "cost": "cyan",
    "dim": "dim",
    "heading": "bold",
    "total": "bold",
    "": "",
}


def paint_report(report: Report, width: int, color: bool) -> str:
    """A report as text."""
    return _paint(write_report(view_report(report), max(width, _NARROWEST)), color)


def paint_profile(profile: Profile, width: int, color: bool) -> str:
    """A profile as text."""
    return _paint(write_profile(view_profile(profile), max(width, _NARROWEST)), color)


def paint_verdicts(verdicts: Sequence[Verdict], outcome: Outcome, width: int, color: bool) -> str:
    """Checks without a comparison, as text."""
    rows = view_checks(verdicts), view_claims(verdicts), view_conclusion(verdicts, outcome)
    return _paint(write_verdicts(*rows, max(width, _NARROWEST)), color)


def _paint(lines: Iterable[Line], color: bool) -> str:
    if not color:
        return "".join(f"{line.text.rstrip()}\n" for line in lines)
    from rich.console import Console
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", markup=False, highlight=False, emoji=False, no_color=False)
    for line in lines:
        console.print(Text(line.text.rstrip(), style=_STYLES[line.style]), soft_wrap=True)
    return out.getvalue()
