"""`--format latex|csv|svg`, `--columns`, `--rows` and `--extra` of compare, profile, sweep, claims and report."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from xml.etree import ElementTree

import pytest

NET = ("--input", "1x3x16x16", "--no-other-counters", "--no-isolation")
# the convolution: 3 x 3 x 3 x width parameters; the head: 2 x width and 2 biases; 256 positions
OLD, NEW = 3 * 9 * 8 + 2 * 8 + 2, 3 * 9 * 4 + 2 * 4 + 2


def read_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_comparison_is_a_table_of_sections(archaudit, project):
    found = archaudit("compare", "old.py:Net", "new.py:Net", *NET, "--format", "csv")
    assert found.status == 0
    assert read_rows(found.out)[-1] == {
        "section": "Total",
        "params_before": str(OLD),
        "params_after": str(NEW),
        "params_percent": f"{100 * (NEW - OLD) / OLD:.6g}",
        "flops_before": str(2 * 256 * (OLD - 2)),
        "flops_after": str(2 * 256 * (NEW - 2)),
        "flops_percent": "-50.0",  # the biases are no products
    }


def test_columns_and_rows_are_chosen(archaudit, project):
    found = archaudit("compare", "old.py:Net", "new.py:Net", *NET, "--rows", "models", "--columns", "params,model", "--format", "csv")
    assert found.out == f"params,model\n{OLD},old.py:Net\n{NEW},new.py:Net\n"


def test_units_decide_the_columns(archaudit, project):
    found = archaudit("compare", "old.py:Net", "new.py:Net", *NET, "--units", "macs", "--format", "csv")
    assert "macs_after" in found.out
    assert "flops" not in found.out


def test_a_profile_has_columns_in_a_terminal_too(archaudit, project):
    found = archaudit("profile", "old.py:Net", *NET, "--columns", "path,params", "--depth", "1")
    lines = [line.split() for line in found.out.splitlines()]
    assert ["(root)", str(OLD)] in lines
    assert ["head", "18"] in lines


def test_an_unknown_column_lists_those_that_exist(archaudit, project):
    found = archaudit("profile", "old.py:Net", *NET, "--columns", "parms", "--format", "latex")
    assert found.status == 2
    assert "there is no column 'parms' in this table. Did you mean params?" in found.err
    assert "Columns: path, type, depth, calls, output_shape, params, " in found.err


@pytest.mark.parametrize("name", ["json", "svg", "review"])
def test_a_format_without_a_table_has_no_columns(archaudit, project, name):
    found = archaudit("compare", "old.py:Net", "new.py:Net", "--columns", "section", "--format", name)
    assert found.status == 2
    assert f"not {name}" in found.err


def test_figures_are_printed_as_svg(archaudit, project):
    for arguments in (("compare", "old.py:Net", "new.py:Net", *NET), ("profile", "old.py:Net", *NET)):
        found = archaudit(*arguments, "--format", "svg")
        assert found.status == 0
        assert ElementTree.fromstring(found.out).tag == "{http://www.w3.org/2000/svg}svg"


def test_a_sweep_joins_a_file_and_names_what_matches_nothing(archaudit, project):
    Path("accuracy.csv").write_text("model,width,top1\nold.py:Net,4,61.5\nold.py:Net,8,70.25\nelse.py:Net,4,1\n")
    found = archaudit(
        *("sweep", "old.py:Net", "--set", "width=4,8", "--input", "1x3x16x16", "--workers", "1", "--no-isolation"),
        *("--extra", "accuracy.csv", "--columns", "width,params,top1", "--format", "csv"),
    )
    assert found.status == 0
    assert read_rows(found.out) == [
        {"width": "4", "params": str(NEW), "top1": "61.5"},
        {"width": "8", "params": str(OLD), "top1": "70.25"},
    ]
    assert "accuracy.csv: no row of the table is about else.py:Net; the models are old.py:Net" in found.err


def test_a_file_that_is_not_there_is_a_message(archaudit, project):
    found = archaudit("profile", "old.py:Net", *NET, "--extra", "missing.csv")
    assert found.status == 2
    assert "missing.csv cannot be read: No such file or directory" in found.err


def test_claims_are_a_table(archaudit, project):
    Path("notes.md").write_text(f"The net has {OLD} parameters.\n")
    Path("notes.md.claims.toml").write_text(f'[[claims]]\nfigure = "{OLD}"\nmodel = "old.py:Net"\nmetric = "params"\n')
    found = archaudit("claims", "check", "notes.md", *NET, "--format", "csv", "--columns", "document,measured,verdict")
    rows = read_rows(found.out)
    assert [row["measured"] for row in rows] == [str(OLD)]
    assert [row["verdict"] for row in rows] == ["true"]
    badge = archaudit("claims", "check", "notes.md", *NET, "--format", "svg")
    assert "1 of 1 true" in badge.out


def test_a_saved_report_and_a_saved_sweep_are_tables(archaudit, project):
    Path("report.json").write_text(archaudit("compare", "old.py:Net", "new.py:Net", *NET, "--format", "json").out)
    assert archaudit("report", "report.json", "--rows", "models", "--columns", "params", "--format", "csv").out == f"params\n{OLD}\n{NEW}\n"
    Path("sweep.json").write_text(
        archaudit("sweep", "old.py:Net", "--input", "1x3x16x16", "--workers", "1", "--no-isolation", "--format", "json").out
    )
    assert archaudit("report", "sweep.json", "--columns", "params", "--format", "csv").out == f"params\n{OLD}\n"
