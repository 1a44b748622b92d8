"""Reports, profiles and judgements as text for a terminal, plain or in colour.

rich only writes the colours (see `layout` for the reason). Texts from models go into rich's `Text` objects, never through its markup.
"""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from itertools import chain

from archaudit.render.detail import Detail
from archaudit.render.lines import Line, write_judgement, write_layers, write_profile, write_report, write_timing_lines
from archaudit.render.screen import write_profile_screen, write_report_screen, write_verdict
from archaudit.render.training_lines import write_training
from archaudit.render.view import view_judgement, view_profile, view_report
from archaudit.render.view.layer_table.layers import view_layers, view_profile_layers
from archaudit.render.view.screen import view_profile_screen, view_screen
from archaudit.render.view.training import view_profile_training, view_training
from archaudit.schema import Judgement, Profile, Report

# Narrower text is not readable.
_NARROWEST = 40

STYLES = {
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


def format_report(report: Report, width: int, color: bool) -> str:
    """A report as text."""
    view, width = view_report(report), max(width, _NARROWEST)
    return _join_lines(write_report(view, width, section=write_training(view.training, width)), color)


def format_screen(report: Report, width: int, color: bool, detail: Detail) -> str:
    """The answer on one screen, or as much as `detail` says."""
    width = max(width, _NARROWEST)
    if detail.full:
        view = view_report(report, detail.units)
        return _join_lines(write_report(view, width, detail, write_training(view.training, width)), color)
    lines = write_report_screen(view_screen(report, detail.units), width, detail)
    step = write_training(view_training(report), width)
    layers = write_layers(view_layers(report, detail.units), width, detail) if detail.has_layers else ()
    return _join_lines(chain(lines, step, layers), color)


def format_profile_screen(profile: Profile, width: int, color: bool, detail: Detail) -> str:
    """A profile on one screen, or as much as `detail` says."""
    width = max(width, _NARROWEST)
    if detail.full:
        view = view_profile(profile, detail.units)
        return _join_lines(chain(write_profile(view, width, detail), write_training(view.training, width)), color)
    lines = write_profile_screen(view_profile_screen(profile), width, detail)
    step = write_training(view_profile_training(profile), width)
    layers = write_layers(view_profile_layers(profile, detail.units), width, detail) if detail.has_layers else ()
    return _join_lines(chain(lines, step, layers), color)


def format_verdict(report: Report, color: bool) -> str:
    """The verdict in one line."""
    return _join_lines([write_verdict(view_screen(report))], color)


def format_profile(profile: Profile, width: int, color: bool) -> str:
    """A profile as text."""
    view, width = view_profile(profile), max(width, _NARROWEST)
    return _join_lines(chain(write_profile(view, width), write_training(view.training, width)), color)


def format_comparison_timing(report: Report, width: int, color: bool) -> str:
    """The output of `archaudit latency` for two models."""
    view = view_report(report)
    return _join_lines(write_timing_lines(view.headline.title, view.layers, view.methods, max(width, _NARROWEST)), color)


def format_profile_timing(profile: Profile, width: int, color: bool) -> str:
    """The output of `archaudit latency` for one model."""
    view = view_profile(profile)
    return _join_lines(write_timing_lines(view.title, view.layers, view.methods, max(width, _NARROWEST)), color)


def format_judgement(judgement: Judgement, width: int, color: bool) -> str:
    """A judgement without a comparison as text."""
    return _join_lines(write_judgement(view_judgement(judgement), max(width, _NARROWEST)), color)


def _join_lines(lines: Iterable[Line], color: bool) -> str:
    if not color:
        return "".join(f"{line.text.rstrip()}\n" for line in lines)
    from rich.console import Console
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", markup=False, highlight=False, emoji=False, no_color=False)
    for line in lines:
        console.print(Text(line.text.rstrip(), style=STYLES[line.style]), soft_wrap=True)
    return out.getvalue()
