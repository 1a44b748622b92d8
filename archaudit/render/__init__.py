"""Reports and profiles in every format. The modules of a format are imported when it is first used."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from archaudit.schema import Judgement, Profile, Report, encode

if TYPE_CHECKING:
    from archaudit.render.detail import Detail

__all__ = [
    "EXTENSIONS",
    "FORMATS",
    "PROFILE_FORMATS",
    "prepare",
    "render_judgement_text",
    "render_profile_screen",
    "render_profile_text",
    "render_screen",
    "render_text",
    "render_verdict",
    "summary_html",
    "summary_profile_html",
]

_TEMPLATES = {"markdown": "report.md.j2", "html": "report.html.j2"}
# Wide enough for all columns of an ordinary model.
DEFAULT_WIDTH = 120


def render_text(report: Report, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """A report as text. No line is wider than `width`, or than 40 for smaller widths."""
    from archaudit.render.terminal import format_report

    return format_report(report, width, color)


def render_profile_text(profile: Profile, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """A profile as text. No line is wider than `width`, or than 40 for smaller widths."""
    from archaudit.render.terminal import format_profile

    return format_profile(profile, width, color)


def render_screen(report: Report, detail: Detail, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The answer of a report: at most 25 lines at 80 columns or more, unless `detail` asks for more."""
    from archaudit.render.terminal import format_screen

    return format_screen(report, width, color, detail)


def render_profile_screen(profile: Profile, detail: Detail, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """The answer of a profile, like `render_screen`."""
    from archaudit.render.terminal import format_profile_screen

    return format_profile_screen(profile, width, color, detail)


def render_verdict(report: Report, color: bool = False) -> str:
    """The verdict of a report in one line."""
    from archaudit.render.terminal import format_verdict

    return format_verdict(report, color)


def render_judgement_text(judgement: Judgement, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
    """A judgement without a comparison as text; the last line is the verdict."""
    from archaudit.render.terminal import format_judgement

    return format_judgement(judgement, width, color)


def summary_html(report: Report) -> str:
    """A report for a notebook: verdict and totals, the rest folded. HTML without style or script."""
    from archaudit.render.templating import render_summary

    return render_summary(report)


def summary_profile_html(profile: Profile) -> str:
    """A profile for a notebook: totals, the layers folded. HTML without style or script."""
    from archaudit.render.templating import render_profile_summary

    return render_profile_summary(profile)


def prepare(formats: Iterable[str]) -> None:
    """Imports and compiles what these formats of a report need, so that a caller can do it while it waits for something else."""
    import archaudit.render.terminal  # noqa: F401 - imported for later

    templates = [_TEMPLATES[name] for name in formats if name in _TEMPLATES]
    if templates:
        from archaudit.render.templating import load_templates

        load_templates(templates)


def _write_json(record: Report | Profile) -> str:
    return encode(record).decode()


def _write_markdown(report: Report) -> str:
    from archaudit.render.templating import render_report

    return render_report(_TEMPLATES["markdown"], report)


def _write_review(report: Report) -> str:
    from archaudit.render.templating import render_view
    from archaudit.render.view.review import view_review

    return render_view("review.md.j2", view_review(report))


def _write_profile_markdown(profile: Profile) -> str:
    from archaudit.render.templating import render_profile

    return render_profile("profile.md.j2", profile)


def _write_html(report: Report) -> str:
    from archaudit.render.templating import render_report

    return render_report(_TEMPLATES["html"], report)


def _write_profile_html(profile: Profile) -> str:
    from archaudit.render.templating import render_profile

    return render_profile("profile.html.j2", profile)


# The same record gives the same text, in every format.
FORMATS: dict[str, Callable[[Report], str]] = {
    "text": render_text,
    "json": _write_json,
    "markdown": _write_markdown,
    "html": _write_html,
    "review": _write_review,
}
PROFILE_FORMATS: dict[str, Callable[[Profile], str]] = {
    "text": render_profile_text,
    "json": _write_json,
    "markdown": _write_profile_markdown,
    "html": _write_profile_html,
}
# The file name extension of each format.
EXTENSIONS: dict[str, str] = {"text": ".txt", "json": ".json", "markdown": ".md", "html": ".html", "review": ".review.md"}
