"""Rendered text as a whole: it changes only when somebody means it to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from archaudit.render import EXTENSIONS, FORMATS, PROFILE_FORMATS, render_judgement_text, render_profile_text, render_text
from archaudit.schema import Judgement, Report, decode_report, encode

Match = Callable[[str, str], None]


@pytest.mark.parametrize("width", [80, 120])
def test_text_of_a_report(report: Report, match_golden: Match, width: int) -> None:
    match_golden(f"report-{width}.txt", render_text(report, width))


@pytest.mark.parametrize("form", ["markdown", "html"])
def test_files_of_a_report(report: Report, match_golden: Match, form: str) -> None:
    match_golden(f"report{EXTENSIONS[form]}", FORMATS[form](report))


def test_a_report_with_incomplete_flops_and_times(incomplete_report: Report, match_golden: Match) -> None:
    match_golden("incomplete-100.txt", render_text(incomplete_report, 100))
    match_golden("incomplete.md", FORMATS["markdown"](incomplete_report))


def test_a_profile(report: Report, match_golden: Match) -> None:
    match_golden("profile-100.txt", render_profile_text(report.after, 100))
    match_golden("profile.md", PROFILE_FORMATS["markdown"](report.after))
    match_golden("profile.html", PROFILE_FORMATS["html"](report.after))


def test_verdicts_alone(report: Report, match_golden: Match) -> None:
    match_golden("verdicts-100.txt", render_judgement_text(Judgement(checks=report.checks, outcome=report.outcome), 100))


@pytest.mark.parametrize("form", ["text", "markdown", "html"])
def test_a_saved_report_renders_the_same(report: Report, form: str) -> None:
    assert FORMATS[form](decode_report(encode(report), "saved")) == FORMATS[form](report)


def test_json_holds_every_number(report: Report) -> None:
    assert decode_report(FORMATS["json"](report).encode(), "rendered") == report


def test_without_provenance_nothing_identifies_the_machine(report: Report) -> None:
    for form in ("text", "markdown", "html"):
        assert "Measured with" not in FORMATS[form](report)
        assert "2.15.0" not in FORMATS[form](report)
