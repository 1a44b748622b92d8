"""The comparison of two recordings finds each kind of change, and ignores the wording of texts only."""

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks.same_json import compare, compare_json

COMMANDS = {"one": "compare before after"}


def make_report() -> dict[str, Any]:
    """A report with one value of each kind that the comparison treats in its own way."""
    return {
        "checks": [{"id": "small", "measured": "new (not in before)", "reason": "12 is more than 10", "why": None}],
        "delta": {"params": 12},
        "groups": [{"name": "stem"}, {"name": "head"}],
        "modules": [
            {
                "after_path": "stem",
                "before_path": "stem",
                "causes": [{"delta": 12, "text": "inputs 3→4"}],
                "confidence": 1.0,
                "reason": "same path",
            }
        ],
        "provenance": {"environment": {"torch": "2.9"}, "rung": "meta", "sources": ["/one/model.py"]},
    }


def write(report: dict[str, Any]) -> bytes:
    return json.dumps(report, indent=1, ensure_ascii=False).encode() + b"\n"


def find_paths(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [each.path for each in compare_json(write(before), write(after))]


def test_same_documents_have_no_difference() -> None:
    assert find_paths(make_report(), make_report()) == []


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("checks", 0, "measured"), "new (only in after)"),
        (("checks", 0, "reason"), "there are 12, the limit is 10"),
        (("modules", 0, "reason"), "the path is the same"),
        (("modules", 0, "causes", 0, "text"), "input channels 3→4"),
        (("provenance", "environment"), {"torch": "2.10"}),
        (("provenance", "sources"), []),
    ],
)
def test_another_wording_is_no_difference(keys: tuple[str | int, ...], value: Any) -> None:
    assert find_paths(make_report(), change(make_report(), keys, value)) == []


@pytest.mark.parametrize(
    ("keys", "value", "path"),
    [
        (("delta", "params"), 13, ".delta.params"),
        (("delta", "params"), 12.0, ".delta.params"),
        (("delta", "flops"), 0, ".delta.flops"),
        (("checks", 0, "measured"), "gone (not in after)", ".checks[small].measured"),
        (("checks", 0, "reason"), "", ".checks[small].reason"),
        (("checks", 0, "why"), "it is known", ".checks[small].why"),
        (("modules", 0, "reason"), None, ".modules[stem → stem].reason"),
        (("modules", 0, "confidence"), 0.9, ".modules[stem → stem].confidence"),
        (("modules", 0, "causes", 0, "text"), "inputs 3→5", ".modules[stem → stem].causes[0].text"),
        (("modules", 0, "causes", 0, "delta"), 11, ".modules[stem → stem].causes[0].delta"),
        (("groups", 0, "name"), "first", ".groups[stem]"),
        (("provenance", "rung"), "real", ".provenance.rung"),
    ],
)
def test_another_value_is_found_at_its_path(keys: tuple[str | int, ...], value: Any, path: str) -> None:
    assert find_paths(make_report(), change(make_report(), keys, value))[0] == path


def test_another_order_of_records_is_found() -> None:
    report = make_report()
    assert find_paths(report, {**report, "groups": report["groups"][::-1]}) == [".groups (order)"]


def test_another_order_of_keys_is_found() -> None:
    report = make_report()
    assert find_paths(report, dict(reversed(report.items()))) == ["(order)"]


def test_another_layout_is_found() -> None:
    report = make_report()
    indented = json.dumps(report, indent=2, ensure_ascii=False).encode() + b"\n"
    assert [each.path for each in compare_json(write(report), indented)] == ["(layout)"]
    escaped = json.dumps(report, indent=1).encode() + b"\n"
    assert [each.path for each in compare_json(write(report), escaped)] == ["(layout)"]


def test_compare_exits_with_1_for_a_difference_a_missing_file_or_another_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    for folder in (before, after):
        folder.mkdir()
        (folder / "one.json").write_bytes(write(make_report()))
        (folder / "one.status").write_text("0\n")
    assert compare(before, after, COMMANDS) == 0
    assert capsys.readouterr().out == "1 recordings are the same\n"

    (after / "one.status").write_text("1\n")
    assert compare(before, after, COMMANDS) == 1
    assert "(exit status)\n    before: 0\n    after:  1\n" in capsys.readouterr().out

    (after / "one.status").write_text("0\n")
    (after / "one.json").write_bytes(write(change(make_report(), ("delta", "params"), 13)))
    assert compare(before, after, COMMANDS) == 1
    assert "  .delta.params\n    before: 12\n    after:  13\n" in capsys.readouterr().out

    (after / "one.json").unlink()
    assert compare(before, after, COMMANDS) == 1
    assert "the file is missing" in capsys.readouterr().out


def change(report: dict[str, Any], keys: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    """The report with the value that the keys lead to replaced, or added."""
    inner: Any = report
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    return report
