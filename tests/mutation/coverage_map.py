"""Which tests run which statement: one run of the packages' tests under coverage, kept until the tree changes."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import coverage
from mutation.packages import PACKAGES, ROOT, list_sources, list_tests

_CACHE = ROOT / ".cache" / "mutation"
# The processes that a test starts are followed, too: each reads these settings anew, and knows the test by pytest's variable.
_SETTINGS = """
[run]
source_pkgs = archaudit
parallel = true
data_file = {folder}/data/lines
patch =
    fork
    _exit
context = ${{PYTEST_CURRENT_TEST-import}}
disable_warnings = no-data-collected, module-not-imported, couldnt-parse, dynamic-conflict
"""
_TEST = re.compile(r"(tests/[^|]*?::.*?)(?:\|(?:run|setup|teardown)| \((?:call|setup|teardown)\))$", re.DOTALL)
_LONGEST_S = 3600


class Statement(NamedTuple):
    """The lines of a statement (of one with a body, only of its head), and whether it runs in a function or at import."""

    first: int
    last: int
    in_function: bool


@dataclass(frozen=True)
class CoverageMap:
    """`seconds` that each test takes, and for each file and line the tests that run it."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, list[str]]]

    def list_tests(self, path: str, statement: Statement) -> list[str]:
        """The tests that run a statement, the fastest first; then the other tests of their files, which may share what the first one
        computed. For what runs when the file is imported, such as a constant, the tests that run any function in it."""
        covered = self.lines.get(path, {})
        lines = range(statement.first, statement.last + 1) if statement.in_function else covered
        direct = {test for line in lines for test in covered.get(line, ())}
        files = {test.partition("::")[0] for test in direct}
        others = {test for test in self.seconds if test.partition("::")[0] in files} - direct
        return [test for group in (direct, others) for test in sorted(group, key=lambda test: (self.seconds.get(test, 0.0), test))]


def load_map(packages: Collection[str]) -> CoverageMap:
    """The map of this tree for these packages: from the cache, or measured."""
    path = _CACHE / f"{_hash_tree()}-{'-'.join(sorted(packages))}.json"
    if not path.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_measure(packages)))
    found = json.loads(path.read_text())
    lines = {name: {int(line): tests for line, tests in covered.items()} for name, covered in found["lines"].items()}
    return CoverageMap(found["seconds"], lines)


def find_statement(source: str, line: int) -> Statement:
    """The innermost statement on a line."""
    found: Statement | None = None
    waiting: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while waiting:
        node, in_function = waiting.pop()
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            first = min((each.lineno for each in getattr(node, "decorator_list", ())), default=node.lineno)
            last = max(body[0].lineno - 1 if body else node.end_lineno or node.lineno, node.lineno)
            if first <= line <= last and (found is None or last - first < found.last - found.first):
                found = Statement(first, last, in_function)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        waiting.extend((child, inside) for child in ast.iter_child_nodes(node))
    return found or Statement(line, line, False)


def _hash_tree() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for folder in ("archaudit", "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "tests/mutation" not in path.as_posix():
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _measure(packages: Collection[str]) -> dict[str, object]:
    tests = list(dict.fromkeys(path for package in PACKAGES if package in packages for path in list_tests(package)))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data").mkdir()
        settings = Path(folder) / "settings.ini"
        settings.write_text(_SETTINGS.format(folder=folder))
        timings = Path(folder) / "timings.json"
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
            "MUTATION_TIMINGS": str(timings),
            "MUTATION_COVERAGE": str(settings),
            "OMP_NUM_THREADS": "1",
        }
        subprocess.run(
            [
                sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "mutation.timings", "-p", "no:cacheprovider", "--cov=archaudit",
                f"--cov-config={settings}", "--cov-context=test", "--cov-report=", *tests,
            ],
            cwd=ROOT,
            env=environment,
            timeout=_LONGEST_S,
            check=False,  # a test that fails without a mutant is left out
        )  # fmt: skip
        seconds: dict[str, float] = json.loads(timings.read_text())
        assert seconds, "no test ran"
        return {"seconds": seconds, "lines": _read_lines(Path(folder), seconds)}


def _read_lines(folder: Path, seconds: dict[str, float]) -> dict[str, dict[int, list[str]]]:
    lines: dict[str, dict[int, set[str]]] = {}
    sources = {path for package in PACKAGES for path in list_sources(package)}
    for data_file in (folder / "data").iterdir():
        data = coverage.CoverageData(basename=str(data_file))
        try:
            data.read()
        except coverage.CoverageException:  # a process that was killed while it wrote
            continue
        for name in data.measured_files():
            path = Path(name).relative_to(ROOT).as_posix() if Path(name).is_relative_to(ROOT) else ""
            if path in sources:
                for line, contexts in data.contexts_by_lineno(name).items():
                    found = lines.setdefault(path, {}).setdefault(line, set())
                    found.update(match[1] for context in contexts if (match := _TEST.search(context)) and match[1] in seconds)
    return {path: {line: sorted(tests) for line, tests in covered.items()} for path, covered in lines.items()}
