"""A pytest plugin, `-p mutation.timings`, for a run under coverage in several processes.

It writes how long each test took that passed to the file named by MUTATION_TIMINGS, and makes the processes that a test starts record
coverage too, by the settings in the file named by MUTATION_COVERAGE.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

_seconds: defaultdict[str, float] = defaultdict(float)
_failed: set[str] = set()


def pytest_configure(config: pytest.Config) -> None:
    """Only where tests run: the process that starts the others must not start them under coverage, since pytest-cov does."""
    if hasattr(config, "workerinput"):
        os.environ["COVERAGE_PROCESS_START"] = os.environ["MUTATION_COVERAGE"]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Sums setup, call and teardown. Under xdist the reports arrive in the process that started the others."""
    _seconds[report.nodeid] += report.duration
    if not report.passed:
        _failed.add(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Writes the file, once: not in the processes that xdist started."""
    if not hasattr(session.config, "workerinput"):
        passed = {test: seconds for test, seconds in _seconds.items() if test not in _failed}
        Path(os.environ["MUTATION_TIMINGS"]).write_text(json.dumps(passed))
