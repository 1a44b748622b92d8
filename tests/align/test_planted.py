"""Edits planted into real and random models, so that the answer is known.

At least 95 % must be recognised, and no unchanged module may be shown as removed and added.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from random import Random

import pytest
from align.base_models import TORCHVISION
from align.edits import EDITS
from align.planting import MIRRORED, Case, Score, compare, make_case, score

from archaudit.align import align
from archaudit.diff import diff
from archaudit.metrics.catalog import METRICS

# Random trees are the cheapest and the most varied, so they are used more often.
_BASES = (*TORCHVISION, "tree", "tree", "tree")
_LEAST_RIGHT = 0.95
_SINGLE_EACH = 12


def draw_cases(seeds: range) -> Iterator[Case]:
    """Up to five edits at once, of any kinds."""
    for seed in seeds:
        random = Random(seed)
        count = random.choice([1, 1, 2, 3, 4, 5])
        case = make_case(_BASES[seed % len(_BASES)], seed, [random.choice(sorted(EDITS)) for _ in range(count)])
        if case is not None:
            yield case


def draw_single_cases() -> Iterator[Case]:
    """One edit each, of every kind on as many bases as have a place for it."""
    for kind in EDITS:
        found = 0
        for seed in range(4 * _SINGLE_EACH):
            case = make_case(_BASES[seed % len(_BASES)], seed, [kind]) if found < _SINGLE_EACH else None
            if case is not None:
                found += 1
                yield case


def judge(cases: Iterator[Case], capsys: pytest.CaptureFixture[str], at_least: int) -> None:
    total, count = Score(), 0
    for case in cases:
        total.add(score(case, compare(case)))
        count += 1
    edits = total.right + len(total.wrong)
    share = f"{total.right} of {edits} ({total.right / edits:.1%})"
    summary = f"planted edits recognised: {share} in {count} cases; shown as removed and added: {len(total.torn)}"
    with capsys.disabled():
        sys.stdout.write(f"\n  {summary}\n")
    assert count >= at_least
    assert total.torn == []
    assert total.right >= _LEAST_RIGHT * edits, "\n".join(total.wrong)


def test_edits_of_every_kind_one_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    judge(draw_single_cases(), capsys, at_least=170)


def test_up_to_five_edits_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    judge(draw_cases(range(150)), capsys, at_least=130)


@pytest.mark.slow
def test_many_more_cases(capsys: pytest.CaptureFixture[str]) -> None:
    judge(draw_cases(range(1_000, 3_000)), capsys, at_least=1_800)


def test_swapping_the_sides_of_a_planted_case_mirrors_it() -> None:
    for case in draw_cases(range(500, 530)):
        there = compare(case)
        back = diff(case.after, case.before, align(case.after, case.before))
        mirrored = {
            (row.after_path, row.before_path): ({MIRRORED.get(kind, kind) for kind in row.changes}, -row.own_delta, row.confidence)
            for row in back.modules
        }
        assert {(row.before_path, row.after_path): (set(row.changes), row.own_delta, row.confidence) for row in there.modules} == mirrored


def test_rows_and_groups_of_planted_cases_sum_to_the_delta() -> None:
    for case in draw_cases(range(600, 630)):
        result = compare(case)
        for metric in METRICS.values():
            if metric.of_cost is not None:
                delta = metric.of_cost(result.delta)
                assert sum(metric.of_cost(row.own_delta) for row in result.modules) == delta
                assert sum(metric.of_cost(group.delta) for group in result.groups) == delta
        by_change = {row.change_id: 0 for row in result.modules}
        for row in result.modules:
            by_change[row.change_id] += row.own_delta.params
        for row in result.modules:
            if row.causes:
                expected = row.own_delta.params if row.change_id is None else by_change[row.change_id]
                assert sum(cause.delta for cause in row.causes) == expected
