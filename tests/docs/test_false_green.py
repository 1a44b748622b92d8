"""The page on false passes names tests that exist, and its rows are complete."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "false-green.md"
ROW = re.compile(r"^\| (?P<mistake>[^|]+) \| (?P<result>[^|]+) \| `(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)` \|$")


def list_rows():
    return [
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("|") and not re.match(r"\|(-| mistake)", line)
    ]


def test_every_row_names_a_mistake_a_result_and_a_test_that_exists():
    rows = list_rows()
    assert len(rows) >= 25
    assert [row for row in rows if not ROW.match(row)] == []
    missing = []
    for found in map(ROW.match, rows):
        tree = ast.parse((ROOT / found["file"]).read_text(encoding="utf-8"))
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        missing += [f"{found['file']}::{found['test']}"] if found["test"] not in names else []
    assert missing == []


def test_no_row_is_there_twice():
    rows = list_rows()
    assert len(set(rows)) == len(rows)
