"""The rooms whose code is mutated, and the test files that state what they do."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]

# Sources, and tests: folders or files. A room is tested where its tests are; what other rooms' tests happen to notice does not count.
ROOMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "align": (("align",), ("align", "diff/test_hunks.py", "diff/test_thresholds.py")),
    "diff": (
        ("diff", "flow_diff", "checkpoint.py", "weights", "definitions.py"),
        (
            "diff", "align/test_example.py", "align/test_pair_reports.py", "align/test_planted.py", "align/test_flow.py",
            "test_diff.py", "test_flow_diff.py", "test_checkpoint.py", "test_weights.py", "test_definitions.py",
        ),
    ),
    "judge": (("judge",), ("judge", "test_judge.py", "claims", "pipeline")),
    "metrics": (("metrics", "metrics.py", "kinds.py", "quantities.py"), ("metrics", "test_metrics.py", "test_quantities.py", "test_diff.py", "measure/test_kinds.py", "test_judge.py", "judge")),
    "formulas": (("measure/formulas",), ("measure",)),
    "tape": (("measure/tape",), ("measure",)),
}  # fmt: skip


def list_sources(room: str) -> list[str]:
    """The room's source files, relative to the project, in order."""
    found = [path for name in ROOMS[room][0] for path in _expand(ROOT / "archaudit" / name)]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def list_tests(room: str) -> list[str]:
    """The test files that state what the room does, in the order given."""
    found = [path for name in ROOMS[room][1] for path in _expand(ROOT / "tests" / name) if path.name.startswith("test_")]
    return list(dict.fromkeys(path.relative_to(ROOT).as_posix() for path in found))


def _expand(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return [path] if path.exists() else []
