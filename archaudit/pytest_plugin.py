"""pytest: budgets on the model that a test makes, and a fixture that measures one.

    @pytest.mark.model_budget(params="<3M", macs="<2.6G", input="1x3x512x512")
    def test_net():
        return Net()

    def test_head(audit):
        assert audit(Net(), torch.zeros(1, 3, 64, 64)).totals.params < 3_000_000

A test with the marker returns or yields its model, or (model, inputs), where inputs are a tensor or a tuple of arguments, or
(model, inputs, keyword arguments). A model that cannot be measured fails as inconclusive. Neither torch nor the rest of archaudit is
imported before the marker or the fixture is used.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from archaudit.api import Profile
    from archaudit.schema import Judgement

_MARKER = "model_budget"
_OPTIONS = ("dtype", "params_only")  # of archaudit.profile
_FINDINGS = "audit"  # the limit on the findings of the audit
_PROPERTY = "archaudit"  # the test property with the verdicts, which reaches the summary from worker processes (xdist) too
_HELP = (
    f'{_MARKER}(params="<3M", macs="<2.6G", ..., scope="", input="1x3x224x224", dtype="bfloat16", params_only=True): the model that the '
    "test returns or yields, "
    "alone or with its inputs, stays within these limits; with params_only it is not run and needs no input; "
    "audit=0 allows no findings of the audit"
)
_SYMBOLS = {"passed": "✓", "failed": "✗", "inconclusive": "?"}


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line("markers", _HELP)


@pytest.fixture
def audit() -> Callable[..., Profile]:
    """`audit(model, inputs).totals.params`: the profile of a live model, or of a reference. The model stays as it was."""

    def measure(model: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Profile:
        import archaudit

        return archaudit.profile(model, args, kwargs)

    return measure


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: Any, name: str, obj: object) -> Any:
    """Collects a marked test that yields its model: pytest itself does not collect generator functions."""
    if not inspect.isgeneratorfunction(obj) or not collector.funcnamefilter(name):
        return None
    if not any(mark.name == _MARKER for mark in _list_marks(obj)):
        return None

    @functools.wraps(obj)
    def start(*args: Any, **kwargs: Any) -> Any:
        return obj(*args, **kwargs)

    return collector.ihook.pytest_pycollect_makeitem(collector=collector, name=name, obj=start)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a marked test and judges its model; pytest runs all other tests."""
    marks = list(pyfuncitem.iter_markers(_MARKER))
    if not marks:
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    made = pyfuncitem.obj(**arguments)
    if not inspect.isgenerator(made):
        _judge(pyfuncitem, made, marks)
        return True
    try:
        _judge(pyfuncitem, next(made, None), marks)
        for _ in made:
            pytest.fail(f"a test with {_MARKER} yields one model", pytrace=False)
    finally:
        made.close()
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Adds a section with every judged model to the summary."""
    lines = [line for report in _list_reports(terminalreporter) for line in _format_test_report(report)]
    if lines:
        terminalreporter.section("archaudit: model budgets")
        for line in lines:
            terminalreporter.write_line(line)


# --- judging ----------------------------------------------------------------------------------------------------------


def _judge(item: pytest.Function, made: Any, marks: list[pytest.Mark]) -> None:
    """Fails the test if a limit is exceeded or could not be judged. The limits of the nearest marker override those of outer ones."""
    import archaudit

    model, args, kwargs = _unpack(made)
    options: dict[str, Any] = {}
    if model is None:
        _conclude(item, "no model", [("inconclusive", _MARKER, "the test returned no model; return or yield it")])
        return
    limits_by_scope: dict[tuple[str, str], Any] = {}
    for mark in marks:  # the nearest first
        limits = {name: limit for name, limit in mark.kwargs.items() if name not in ("scope", "input", *_OPTIONS)}
        options = {name: mark.kwargs[name] for name in _OPTIONS if name in mark.kwargs} | options
        args = mark.kwargs.get("input", ()) if _is_nothing(args) else args
        for metric, limit in limits.items():
            limits_by_scope.setdefault((mark.kwargs.get("scope", ""), metric), limit)
    if not limits_by_scope or any(mark.args for mark in marks):
        _conclude(item, type(model).__name__, [("inconclusive", _MARKER, 'no limit is given; write for example params="<3M"')])
        return
    most = next((limits_by_scope.pop(key) for key in list(limits_by_scope) if key[1] == _FINDINGS), None)
    name, rows = type(model).__name__, []
    try:
        profile = archaudit.profile(model, args, kwargs, **options)
        judgements = [profile.check(scope=scope, **{metric: limit}) for (scope, metric), limit in limits_by_scope.items()]
        name, rows = repr(profile), [row for judgement in judgements for row in _list_rows(judgement)]
        rows += [] if most is None else _list_findings(model, args, kwargs, most)
    except archaudit.ArchauditError as error:
        rows = [("inconclusive", _MARKER, str(error))]
    _conclude(item, name, rows)  # outside the handler, where a failure would show the error twice


def _unpack(made: Any) -> tuple[Any, Any, Any]:
    """The model, its arguments and its keyword arguments from the test's return value."""
    if not isinstance(made, tuple) or not 2 <= len(made) <= 3:
        return made, (), None
    return made[0], made[1], made[2] if len(made) == 3 else None


def _is_nothing(args: Any) -> bool:
    return isinstance(args, tuple) and not args


def _list_rows(judgement: Judgement) -> list[tuple[str, str, str]]:
    return [(check.outcome, check.id, check.reason) for check in judgement.checks]


def _list_findings(model: Any, args: Any, kwargs: Any, most: int) -> list[tuple[str, str, str]]:
    """A row on the number of findings of the audit; if there are more than `most`, one for each."""
    from archaudit.pipeline.auditing import audit_live

    found = audit_live(model, args, kwargs)
    number = len(found.findings)
    few = number <= most
    reason = f"{number} finding{'' if number == 1 else 's'} by {len(found.rules)} rules, {most} allowed"
    rows = [("passed" if few else "failed", _FINDINGS, reason)]
    listed = () if few else found.findings
    return rows + [("failed", f"{each.code} {each.path or '(root)'}", f"{each.message}; fix: {each.fix}") for each in listed]


def _conclude(item: pytest.Item, name: str, rows: list[tuple[str, str, str]]) -> None:
    """Stores the verdicts for the summary, and fails the test unless all of them passed."""
    item.user_properties.append((_PROPERTY, json.dumps({"model": name, "rows": rows})))
    bad = [row for row in rows if row[0] != "passed"]
    if bad:
        lines = [f"{_SYMBOLS[outcome]} {outcome}: {check}: {reason}" for outcome, check, reason in bad]
        pytest.fail("\n".join([f"{_MARKER}: {name}", *lines]), pytrace=False)


# --- the summary ------------------------------------------------------------------------------------------------------


def _list_marks(obj: Any) -> list[pytest.Mark]:
    marks = getattr(obj, "pytestmark", [])
    return list(marks) if isinstance(marks, (list, tuple)) else [marks]


def _list_reports(terminalreporter: Any) -> Iterator[Any]:
    for reports in terminalreporter.stats.values():
        yield from (report for report in reports if getattr(report, "when", None) == "call" and getattr(report, "user_properties", None))


def _format_test_report(report: Any) -> Iterator[str]:
    for name, value in report.user_properties:
        if name == _PROPERTY:
            stored = json.loads(value)
            yield f"{report.nodeid}: {stored['model']}"
            yield from (f"  {_SYMBOLS[outcome]} {outcome}: {check}: {reason}" for outcome, check, reason in stored["rows"])
