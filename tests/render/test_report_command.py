"""`archaudit report`: a saved report is rendered again, as it was."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner

from archaudit.cli import main
from archaudit.render import FORMATS
from archaudit.schema import Report, encode


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


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    found = CliRunner().invoke(main, ["report", str(path)])
    assert "other.json is not a saved report" in str(found.exception)
