"""One mutant in a copy of the tree, and the tests that could notice it.

Each trial is a process forked from one that has imported torch and pytest but nothing of archaudit, so that a trial costs its tests and
little more.
"""

from __future__ import annotations

import compileall
import multiprocessing
import os
import py_compile
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mutation.mutants import Mutant, apply_mutant
from mutation.packages import ROOT

_PRELOADED = ["pytest", "numpy", "torch", "torchvision", "torch._dynamo", "torch._refs", "msgspec", "jinja2", "click", "rich"]
# Tests are run, fastest first, until they would have taken this long without a mutant: what only slower ones notice has survived.
_BUDGET_S = 30.0
# A mutant that loops takes forever; a test that is merely slower than usual, on a busy machine, does not take this much longer.
_PATIENCE, _LEAST_S, _STARTING_S = 10.0, 15.0, 120.0


@dataclass(frozen=True)
class Outcome:
    """`killed_by` is the test that noticed the mutant, `timeout` or `import` where there was none; None for a survivor."""

    mutant: Mutant
    killed_by: str | None
    tests: int


@contextmanager
def copy_tree() -> Iterator[Path]:
    """A copy of what git tracks or would track, compiled so that a changed file is recognised by its content."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder).resolve() / "tree"
        for name in listed.decode().split("\0"):
            if name and (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, copy / name)
        compileall.compile_dir(copy / "archaudit", quiet=2, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)
        yield copy


def try_mutant(copy: Path, mutant: Mutant, tests: Sequence[tuple[str, float]]) -> Outcome:
    """Plants the mutant, runs the tests (with the seconds that each takes) and takes the mutant out again."""
    chosen, total = {}, 0.0
    for test, seconds in tests:
        if total + seconds <= _BUDGET_S or not chosen:
            chosen[test] = seconds
            total += seconds
    if not chosen:
        return Outcome(mutant, None, 0)
    file = copy / mutant.path
    source = file.read_text()
    file.write_text(apply_mutant(source, mutant))
    try:
        return Outcome(mutant, run_tests(copy, chosen), len(chosen))
    finally:
        file.write_text(source)


def run_tests(copy: Path, tests: Mapping[str, float]) -> str | None:
    """The first test that fails, `timeout`, or `import` when the tests cannot even be collected; None when all pass.

    `tests` are those to be run, in order, with the seconds that each takes.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run_pytest, args=(str(copy), list(tests), theirs))
    process.start()
    theirs.close()
    patience = _STARTING_S
    try:
        while ours.poll(patience):
            running, failed = ours.recv()
            if running is None:
                return failed  # type: ignore[no-any-return]
            patience = max(_LEAST_S, _PATIENCE * tests.get(running, 0.0))
        return "timeout"
    except EOFError:
        return "import"
    finally:
        if process.pid is not None:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                process.kill()
        process.join()
        ours.close()


class _Chosen:
    """A pytest plugin: the chosen tests in the order given; says which one starts, and remembers the first that failed."""

    def __init__(self, tests: list[str], answer: Any) -> None:
        self.places = {test: place for place, test in enumerate(tests)}
        self.answer = answer
        self.failed: str | None = None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.places), key=lambda item: self.places[item.nodeid])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.answer.send((nodeid, None))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = report.nodeid


def _run_pytest(copy: str, tests: list[str], answer: Any) -> None:
    os.setsid()
    os.chdir(copy)
    original = {Path(), ROOT, ROOT / "tests", ROOT / "tests" / "mutation"}
    sys.path[:] = [copy, f"{copy}/tests", *(path for path in sys.path if Path(path) not in original)]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("archaudit", "mutation")]:
        del sys.modules[name]
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": copy, "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    with open(os.environ.get("MUTATION_LOG", os.devnull), "a") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    import torch

    torch.set_num_threads(1)
    chosen = _Chosen(tests, answer)
    files = list(dict.fromkeys(test.partition("::")[0] for test in tests))
    options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "--hypothesis-seed=0"]
    code = pytest.main([*options, *files], plugins=[chosen])
    answer.send((None, None if code == 0 else chosen.failed or "import"))
    answer.close()
    os._exit(0)
