"""Runs counters on cases and judges their answers. Prints nothing."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archaudit.conformance.case import Case, CaseOutcome, CaseResult, Count, Counter, Score
from archaudit.schema import Profile

if TYPE_CHECKING:
    from torch import nn


def run_counters(against: Sequence[str] = (), cases: Sequence[str] = ()) -> tuple[tuple[CaseResult, ...], tuple[Score, ...]]:
    """Runs archaudit on every case, then each counter named in `against`; returns the results, and a score for each counter.

    `cases` are the names of the only cases to run. Raises MeasureError for an unknown case, and for a counter that is unknown or not
    installed.
    """
    from archaudit.conformance.models import all_cases
    from archaudit.conformance.other_counters import make_counter
    from archaudit.errors import MeasureError

    known = {case.name: case for case in all_cases()}
    unknown = [name for name in cases if name not in known]
    if unknown:
        raise MeasureError(f"there is no case {unknown[0]!r}", f"Cases: {', '.join(sorted(known))}.")
    counters = {"archaudit": _count_with_archaudit, **{name: make_counter(name) for name in against}}
    results = run_cases([known[name] for name in cases] or list(known.values()), counters)
    return results, score(results)


def _count_with_archaudit(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    from archaudit.measure.recipe import measure_live

    return count_profile(measure_live(build(), args, kwargs))


def count_profile(profile: Profile) -> Count:
    """A profile as a counter's answer."""
    rows = {module.path: (module.own.params, module.total.macs) for module in profile.modules}
    return Count(params=profile.totals.params, macs=profile.totals.macs, complete=profile.flops_complete, modules=rows)


# --- running ----------------------------------------------------------------------------------------------------------


def run_cases(cases: Iterable[Case], counters: Mapping[str, Counter]) -> tuple[CaseResult, ...]:
    """Every counter on every case, one counter after the other in the order of the mapping."""
    cases = tuple(cases)
    return tuple(run_case(case, name, counter) for name, counter in counters.items() for case in cases)


def run_case(case: Case, name: str, counter: Counter) -> CaseResult:
    """One counter on one case: its answer judged, and what it left changed.

    The counter gets a function that builds the model, and real tensors as inputs. Each model that it builds is in eval mode unless the
    case says otherwise, and is watched from then on. Building a model does not advance the random state.
    """
    from archaudit.conformance import snapshots

    watcher = _Watcher(case)
    count, error = None, ""
    with warnings.catch_warnings(), snapshots.restore_process():
        warnings.simplefilter("ignore")  # deprecations that models and counters warn about are not part of the result
        with snapshots.seed_torch():
            args, kwargs = case.args(), case.kwargs()
        watcher.watch_process((args, kwargs))
        try:
            count = counter(watcher.build, args, kwargs)
        except Exception as raised:  # noqa: BLE001  a counter under test may raise anything; that is its result
            error = _describe_error(raised)
        dirt = watcher.list_changes()
    outcome, reason = judge(case, count, error)
    params, macs = (count.params, count.macs) if count else (None, None)
    return CaseResult(case=case.name, counter=name, outcome=outcome, reason=reason, params=params, macs=macs, dirt=dirt)


def _describe_error(error: Exception) -> str:
    """An exception in one line, without memory addresses."""
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {re.sub('0x[0-9a-f]+', '0x...', first_line)}"


class _Watcher:
    """Snapshots of the process and the inputs before a counter runs, and of each model when it is built."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.watched: list[tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = []

    def watch_process(self, inputs: Any) -> None:
        from archaudit.conformance import snapshots

        self._watch(snapshots.snapshot_process)
        self._watch(lambda: snapshots.snapshot_inputs(inputs))

    def build(self) -> nn.Module:
        from archaudit.conformance import snapshots

        with snapshots.seed_torch():
            model = self.case.build()
        if not self.case.train:
            model.eval()
        self._watch(lambda: snapshots.snapshot_model(model))
        return model

    def list_changes(self) -> tuple[str, ...]:
        from archaudit.conformance import snapshots

        return tuple(line for before, take in self.watched for line in snapshots.list_changes(before, take()))

    def _watch(self, take: Callable[[], dict[str, Any]]) -> None:
        self.watched.append((take(), take))


# --- judging ----------------------------------------------------------------------------------------------------------


def judge(case: Case, count: Count | None, error: str = "") -> tuple[CaseOutcome, str]:
    """The outcome of a counter's answer, with the reason where it is not right. `count` is None where the counter raised `error`."""
    if count is None:
        return ("right", "") if case.raises else ("error", error)
    if count.params is not None and count.params != case.params:
        return "wrong", f"{count.params} params, not {case.params}"
    if case.macs is None:
        return _judge_unanswerable(case, count)
    if not count.complete:
        return ("right", "") if case.may_be_incomplete else ("incomplete", f"called incomplete, although {case.macs} is known")
    if count.macs == case.macs:
        return _judge_modules(case, count)
    if count.macs in case.by_convention:
        return "convention", f"{count.macs} MACs, not {case.macs}: bias, norm or pooling terms"
    if count.macs is None or count.skipped:
        return "incomplete", f"{count.macs} MACs, not {case.macs}; not counted: {', '.join(count.skipped) or 'everything'}"
    return ("zero" if count.macs == 0 else "wrong"), f"{count.macs} MACs, not {case.macs}"


def _judge_unanswerable(case: Case, count: Count) -> tuple[CaseOutcome, str]:
    if case.raises:
        return "wrong", "a count for a model that cannot be run"
    if not count.complete or count.macs is None or count.skipped:
        return "right", ""
    return "wrong", f"{count.macs} MACs, given as complete although part of the work is unknown"


def _judge_modules(case: Case, count: Count) -> tuple[CaseOutcome, str]:
    """A counter with figures by module must have the right ones; one without them is judged by the total alone."""
    rows = count.modules
    if rows is not None:
        for path, expected in case.modules.items():
            if rows.get(path) != expected:
                return "wrong", f"module {path!r}: (own params, total MACs) {rows.get(path)}, not {expected}"
    return "right", ""


def score(results: Iterable[CaseResult]) -> tuple[Score, ...]:
    """One score for each counter, in order of first appearance."""
    by_counter: dict[str, list[CaseResult]] = {}
    for result in results:
        by_counter.setdefault(result.counter, []).append(result)
    return tuple(_score_counter(counter, of_counter) for counter, of_counter in by_counter.items())


def _score_counter(counter: str, results: list[CaseResult]) -> Score:
    outcomes = [result.outcome for result in results]
    return Score(
        counter=counter,
        cases=len(results),
        right=outcomes.count("right"),
        convention=outcomes.count("convention"),
        wrong=outcomes.count("wrong"),
        zero=outcomes.count("zero"),
        incomplete=outcomes.count("incomplete"),
        error=outcomes.count("error"),
        dirty=sum(bool(result.dirt) for result in results),
    )
