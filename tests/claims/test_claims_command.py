"""`archaudit claims`: its output and exit status."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from archaudit import cli

Notes = Callable[..., Path]
Pair = tuple[str, str]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs the command as a user would: exit status, standard output, standard error."""

    def invoke(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["archaudit", "claims", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as exited:
            cli.run()
        captured = capsys.readouterr()
        code = exited.value.code
        return code if isinstance(code, int) else 0, captured.out, captured.err

    return invoke


def test_a_document_whose_claims_hold_exits_with_0(run: Run, notes: Notes, saved_pair: Pair) -> None:
    status, out, err = run("check", notes("Now 2.52M <!-- claim: params after -->.\n"), *saved_pair, "--strict")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "✓ true  line 1  2.52M  params, after: 2,516,853",
        "1 claims: 1 true",
        "coverage: 1 of 1 numbers (100 %): 1 bound, 0 exempt, 0 uncovered",
        "NOTES.md: passed",
    ]


def test_a_false_claim_or_an_uncovered_number_exits_with_1(run: Run, notes: Notes, saved_pair: Pair) -> None:
    path = notes("Now 2.62M <!-- claim: params after -->, 17 %.\n")
    status, out, _ = run("check", path, *saved_pair)
    assert status == 1
    assert "✗ false  line 1  2.62M" in out
    assert "false: document says 2.62M, measured 2,516,853" in out
    assert "? uncovered  line 1  17 %" in out
    path = notes("Now 2.52M <!-- claim: params after -->, 17 %.\n")
    assert run("check", path, *saved_pair)[0] == 0
    assert run("check", path, *saved_pair, "--strict")[0] == 1


def test_a_number_is_shown_in_its_line_with_the_code_that_it_is_about(run: Run, notes: Notes, saved_pair: Pair) -> None:
    path = notes("- `decoder.0` had 17 things\n")
    assert "17  - `decoder.0` had 17 things" in run("check", path, *saved_pair, "--strict")[1]
    assert "# line 1: - `decoder.0` had 17 things" in run("draft", path, *saved_pair)[1]


def test_a_claim_that_cannot_be_judged_exits_with_2(run: Run, notes: Notes, saved_pair: Pair) -> None:
    assert run("check", notes("Nothing.\n"))[0] == 2
    assert run("check", notes("17 %\n"))[0] == 2
    status, _, err = run("check", notes("5M <!-- claim: 5M -->\n"), *saved_pair)
    assert (status, "is a number in place of a metric" in err) == (2, True)
    assert run("check", "none.md", *saved_pair)[0] == 2
    assert run("check", notes("x"), saved_pair[0])[0] == 2
    assert run("draft", notes("Nothing.\n"), *saved_pair)[0] == 2


def test_json_has_the_verdicts_and_the_coverage(run: Run, notes: Notes, saved_pair: Pair) -> None:
    status, out, _ = run("check", notes("2.55 GFLOPs <!-- claim: flops after -->\n"), *saved_pair, "--format", "json")
    answer = json.loads(out)
    assert (status, answer["outcome"]) == (2, "inconclusive")
    assert answer["verdicts"][0]["reading"] == "MACs, called FLOPs"
    assert [number["text"] for number in answer["coverage"]["bound"]] == ["2.55 GFLOPs"]


def test_fix_only_shows_the_change_without_a_terminal(run: Run, notes: Notes, saved_pair: Pair) -> None:
    path = notes("Now 2.62M <!-- claim: params after -->.\n")
    status, out, _ = run("check", path, *saved_pair, "--fix")
    assert status == 1
    assert "-Now 2.62M" in out
    assert "+Now 2.52M" in out
    assert "nothing was written; use --yes to write" in out
    assert path.read_text() == "Now 2.62M <!-- claim: params after -->.\n"


def test_fix_with_yes_writes_it_and_judges_again(run: Run, notes: Notes, saved_pair: Pair) -> None:
    path = notes("Now 2.62M <!-- claim: params after -->.\n")
    status, out, _ = run("check", path, *saved_pair, "--fix", "--yes")
    assert (status, path.read_text()) == (0, "Now 2.52M <!-- claim: params after -->.\n")
    assert out.endswith("after the correction: passed\n")
    assert sorted(file.name for file in path.parent.iterdir()) == ["NOTES.md"]
    assert "nothing to correct" in run("check", path, *saved_pair, "--fix", "--yes")[1]


def test_a_draft_is_printed_or_written_and_can_be_checked(run: Run, notes: Notes, saved_pair: Pair) -> None:
    path = notes("From 6.83M to 2.52M params.\n")
    status, out, _ = run("draft", path, *saved_pair)
    assert (status, out.count("[[claims]]")) == (0, 2)
    assert run("draft", path, *saved_pair, "-o", f"{path}.claims.toml")[0] == 0
    assert Path(f"{path}.claims.toml").read_text() == out
    assert run("check", path, *saved_pair, "--strict")[0] == 0


def test_comparing_reads_no_markdown() -> None:
    import subprocess
    import sys

    program = (
        "import sys; import archaudit.pipeline, archaudit.render; from archaudit.config import load_example_config; load_example_config(); "
        "sys.exit(', '.join({'markdown_it', 'archaudit.claims'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
