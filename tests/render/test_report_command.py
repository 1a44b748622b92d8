"""`archaudit report`: a saved report is rendered again, as it was."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner

from archaudit.cli import main
from archaudit.render import FORMATS
from archaudit.render.command_texts import render_study_html, render_study_text
from archaudit.schema import History, HistoryStep, Report, Sweep, Variant, encode


@pytest.fixture
def saved(report: Report, tmp_path: Path) -> Path:
    path = tmp_path / "before-after.json"
    path.write_bytes(encode(report))
    return path


@pytest.mark.parametrize("form", ["json", "markdown", "html"])
def test_it_prints_what_compare_printed(saved: Path, report: Report, form: str) -> None:
    found = CliRunner().invoke(main, ["report", str(saved), "--format", form])
    assert found.exit_code == 0
    assert found.output.rstrip("\n") == FORMATS[form](report).rstrip("\n")


def test_it_writes_the_same_files(saved: Path, report: Report, tmp_path: Path) -> None:
    folder = tmp_path / "again"
    assert CliRunner().invoke(main, ["report", str(saved), "-o", str(folder)]).exit_code == 0
    assert (folder / "before-after.html").read_text(encoding="utf-8") == FORMATS["html"](report)
    assert (folder / "before-after.json").read_bytes() == saved.read_bytes()


def test_it_opens_the_page(saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: bool(opened.append(address)) or True)
    folder = tmp_path / "again"
    found = CliRunner().invoke(main, ["report", str(saved), "-o", str(folder), "--open"])
    assert opened == [(folder / "before-after.html").as_uri()]
    assert "opened" in found.output


@pytest.mark.parametrize(
    "study",
    [
        Sweep(variants=(Variant(reference="net.py:Net", input="1x3"), Variant(reference="net.py:Net", input="1x4"))),
        History(reference="net.py:Net", steps=(HistoryStep(commit="a" * 40, short="aaaaaaa", date="2026-01-01", subject="first"),)),
    ],
)
def test_a_saved_sweep_or_history_is_rendered_again(study: Sweep | History, tmp_path: Path) -> None:
    path = tmp_path / "study.json"
    path.write_bytes(encode(study))
    assert CliRunner(env={"COLUMNS": "80"}).invoke(main, ["report", str(path)]).output == render_study_text(study, 80)
    assert CliRunner().invoke(main, ["report", str(path), "-o", str(tmp_path / "again")]).exit_code == 0
    assert (tmp_path / "again" / "study.html").read_text(encoding="utf-8") == render_study_html(study)
    assert (tmp_path / "again" / "study.json").read_bytes() == path.read_bytes()
    path.write_bytes(encode(study).replace(b'"format_version": 1', b'"format_version": 9'))
    assert "this archaudit reads version 1" in str(CliRunner().invoke(main, ["report", str(path)]).exception)


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    found = CliRunner().invoke(main, ["report", str(path)])
    assert "other.json is not a saved report" in str(found.exception)
