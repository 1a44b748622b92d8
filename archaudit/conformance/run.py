"""Run counters over cases, and say what each was worth. Prints nothing, judges no budget."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from archaudit.conformance.case import Case, CaseOutcome, CaseResult, Count, Counter, Score
from archaudit.schema import Profile

if TYPE_CHECKING:
    from torch import nn
if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn


def run_battery(cases: Iterable[Case], counters: Mapping[str, Counter]) -> tuple[CaseResult, ...]:
    """Every counter on every case, one counter after the other in the mapping's order, since some of them leave the process changed."""
    cases = tuple(cases)
    return tuple(run_case(case, name, counter) for name, counter in counters.items() for case in cases)


def run_case(case: Case, name: str, counter: Counter) -> CaseResult:
    """One counter on one case: its answer judged, and what it left changed.

    The counter is handed a builder, and real tensors as inputs. Each model that the builder makes is in eval mode unless the case says
    otherwise, and is watched from then on; building it costs no random numbers.
    """
    from archaudit.conformance import purity

    watched = _Watched(case)
    count, error = None, ""
    with warnings.catch_warnings(), purity.contained():
        warnings.simplefilter("ignore")  # models and counters warn of their own deprecations; the table is what is read
        with purity.seeded():
            args, kwargs = case.args(), case.kwargs()
        watched.begin((args, kwargs))
        try:
            count = counter(watched.build, args, kwargs)
        except Exception as raised:  # noqa: BLE001  a counter under test may raise anything, and that is its result
            error = _describe(raised)
        dirt = watched.end()
    outcome, reason = judge(case, count, error)
    params, macs = (count.params, count.macs) if count else (None, None)
    return CaseResult(case=case.name, counter=name, outcome=outcome, reason=reason, params=params, macs=macs, dirt=dirt)


def judge(case: Case, count: Count | None, error: str = "") -> tuple[CaseOutcome, str]:
    """What a counter's answer is worth: the outcome, and why where it is not right. `count` is None where it raised `error`."""
    if count is None:
        return ("right", "") if case.raises else ("error", error)
    if count.params is not None and count.params != case.params:
        return "wrong", f"{count.params} params, not {case.params}"
    if case.macs is None:
        return _judge_unanswerable(case, count)
    if not count.complete:
        return ("right", "") if case.may_be_incomplete else ("incomplete", f"said to be incomplete, where {case.macs} is known")
    if count.macs == case.macs:
        return _judge_modules(case, count)
    if count.macs in case.by_convention:
        return "convention", f"{count.macs} MACs, not {case.macs}: bias, norm or pooling terms"
    if count.macs is None or count.doubts:
        return "incomplete", f"{count.macs} MACs, not {case.macs}; left out: {', '.join(count.doubts) or 'everything'}"
    return ("zero" if count.macs == 0 else "wrong"), f"{count.macs} MACs, not {case.macs}"


def count_profile(profile: Profile) -> Count:
    """A profile as a counter's answer."""
    rows = {module.path: (module.own.params, module.total.macs) for module in profile.modules}
    return Count(params=profile.totals.params, macs=profile.totals.macs, complete=profile.flops_complete, modules=rows)


def score(results: Iterable[CaseResult]) -> tuple[Score, ...]:
    """The results of each counter summed up, in the order in which the counters first appear."""
    by_counter: dict[str, list[CaseResult]] = {}
    for result in results:
        by_counter.setdefault(result.counter, []).append(result)
    return tuple(_score(counter, of_counter) for counter, of_counter in by_counter.items())


def _describe(error: Exception) -> str:
    """An exception in one line, without the addresses in memory that some name."""
    first_line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {re.sub('0x[0-9a-f]+', '0x...', first_line)}"


def _judge_unanswerable(case: Case, count: Count) -> tuple[CaseOutcome, str]:
    if case.raises:
        return "wrong", "a count, of a model that cannot be run"
    if not count.complete or count.macs is None or count.doubts:
        return "right", ""
    return "wrong", f"{count.macs} MACs as if complete, where part of the work is unknown"


def _judge_modules(case: Case, count: Count) -> tuple[CaseOutcome, str]:
    """A counter without rows is not asked for them; one with rows must have the right ones."""
    rows = count.modules
    if rows is not None:
        for path, expected in case.modules.items():
            if rows.get(path) != expected:
                return "wrong", f"module {path!r}: (own params, total MACs) {rows.get(path)}, not {expected}"
    return "right", ""


def _score(counter: str, results: list[CaseResult]) -> Score:
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


class _Watched:
    """The models that a counter has built, each with a snapshot from its birth; and the process and the inputs from the beginning."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.checks: list[tuple[dict[str, Any], Callable[[], dict[str, Any]]]] = []

    def begin(self, inputs: Any) -> None:
        from archaudit.conformance import purity

        self._watch(purity.snapshot_process)
        self._watch(lambda: purity.snapshot_inputs(inputs))

    def build(self) -> nn.Module:
        from archaudit.conformance import purity

        with purity.seeded():
            model = self.case.build()
        if not self.case.train:
            model.eval()
        self._watch(lambda: purity.snapshot_model(model))
        return model

    def end(self) -> tuple[str, ...]:
        from archaudit.conformance import purity

        return tuple(line for before, look in self.checks for line in purity.compare(before, look()))

    def _watch(self, look: Callable[[], dict[str, Any]]) -> None:
        self.checks.append((look(), look))


# --- archaudit itself as a counter among others: the whole battery in one call ---


def run_counters(against: Sequence[str] = (), cases: Sequence[str] = ()) -> tuple[tuple[CaseResult, ...], tuple[Score, ...]]:
    """Every case run through archaudit, then through each counter named in `against`: results, and a score for each counter.

    `cases` limits the battery to these names. Raises MeasureError for an unknown counter or case, or one that is not installed.
    """
    from archaudit.conformance.models import all_cases
    from archaudit.conformance.other_counters import rival
    from archaudit.errors import MeasureError

    known = {case.name: case for case in all_cases()}
    unknown = [name for name in cases if name not in known]
    if unknown:
        raise MeasureError(f"the battery has no case {unknown[0]!r}", f"Cases: {', '.join(sorted(known))}.")
    counters = {"archaudit": _count_by_archaudit, **{name: rival(name) for name in against}}
    results = run_battery([known[name] for name in cases] or list(known.values()), counters)
    return results, score(results)


def _count_by_archaudit(build: Callable[[], nn.Module], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Count:
    from archaudit.measure.recipe import measure_live

    return count_profile(measure_live(build(), args, kwargs))
