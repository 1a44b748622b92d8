"""`archaudit check --format ... -o DIR`: which files it writes, what it prints, and what a run that failed leaves."""

import json
from xml.etree import ElementTree

from factories import make_profile

CAP = '[[budgets]]\nmetric = "params"\nmax = "1K"\n'
LARGE, SMALL = make_profile({"a": 2_000}, name="net"), make_profile({"a": 20}, name="net")


def test_several_formats_are_written_and_the_text_is_printed(gate, tmp_path):
    result = gate(CAP, "-o", "out", "--format", "csv", "--format", "badge", net=LARGE)
    assert result.status == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["badge.svg", "check.csv"]
    assert "✗ FAILED" in result.out


def test_a_folder_alone_gets_what_is_usually_read(gate, tmp_path):
    assert gate(CAP, "-o", "out", net=SMALL).status == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["check.json", "check.md", "junit.xml"]


def test_without_a_folder_formats_are_printed_one_after_the_other(gate):
    result = gate(CAP, "--format", "annotations", "--format", "markdown", net=LARGE)
    command, mark, *_ = result.out.splitlines()
    assert command.startswith("::error file=archaudit.toml,title=archaudit%3A failed%3A params-max-net::1K budget exceeded by 1,000")
    assert mark == "<!-- archaudit check archaudit.toml -->"


def test_annotations_are_printed_even_where_files_are_written(gate):
    assert "\n::error " in gate(CAP, "-o", "out", "--format", "annotations", "--format", "junit", net=LARGE).out
    assert "::" not in gate(CAP, "-o", "out", "--format", "annotations", net=SMALL).out


def test_a_run_that_could_not_judge_leaves_no_green_files_of_an_earlier_one(gate, tmp_path):
    assert gate(CAP, "-o", "out", net=SMALL).status == 0
    (tmp_path / "net.json").unlink()
    result = gate(CAP + "[models.gone]\nreference = 'gone.json'\n", "-o", "out", net=SMALL)
    assert result.status == 2
    assert json.loads((tmp_path / "out" / "check.json").read_text())["outcome"] == "inconclusive"
    suite = ElementTree.parse(tmp_path / "out" / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("errors")) == ("1", "1")
    assert "gone.json cannot be read" in (tmp_path / "out" / "check.md").read_text().replace("<!-- -->", "")


def test_an_annotation_is_at_the_class_that_grew(archaudit, project):
    (project / "archaudit.toml").write_text(f'[models.net]\nreference = "old.py:Net"\ninput = "1x3x8x8"\n{CAP.replace("1K", "10")}')
    result = archaudit("check", "--format", "annotations", "--no-isolation", "--no-other-counters")
    line = (project / "old.py").read_text().splitlines().index("class Net(nn.Module):") + 1
    assert result.status == 1
    assert result.out.startswith(f"::error file=old.py,line={line},title=archaudit%3A failed")


def test_an_unknown_format_is_refused(gate):
    assert gate(CAP, "--format", "pdf", net=SMALL).status == 2
