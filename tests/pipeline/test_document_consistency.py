"""Claims of one document judged together."""

from __future__ import annotations

from factories import make_module, make_profile

from archaudit.claims.reading import read_document
from archaudit.judge import judge
from archaudit.pipeline.document_consistency import find_convention, judge_together
from archaudit.schema import Check, Cost, Verdict

# Three models with 1, 2 and 3 GMACs, which are 2, 4 and 6 GFLOPs.
PROFILES = {
    name: make_profile(
        {"body": make_module(Cost(params=size * 10**6, trainable_params=size * 10**6, macs=size * 10**9, flops=2 * size * 10**9))}
    )
    for name, size in (("a", 1), ("b", 2), ("c", 3))
}


def judge_column(figures: dict[str, str], metric: str = "flops", heading: str = "FLOPs") -> list[Verdict]:
    """The verdicts on a table with a row for each model, in which every figure is claimed with the same metric."""
    rows = "".join(f"| {name[0]} | {figure} |\n" for name, figure in figures.items())
    document = read_document(f"| Model | {heading} |\n|---|---|\n{rows}", "a.md")
    checks = [
        Check(id=f"{name}-{position}", origin="claim", model=name[0], metric=metric, comparison="equals", expected=figure)
        for position, (name, figure) in enumerate(figures.items())
    ]
    numbers = {check.id: (number,) for check, number in zip(checks, document.numbers, strict=True)}
    return [*judge_together(document, [*zip(checks, judge(checks, PROFILES, {}), strict=True)], numbers)]


def test_a_column_that_counts_macs_throughout_has_one_convention() -> None:
    verdicts = judge_column({"a": "1.0G", "b": "2.0G", "c": "3.0G"})
    assert [verdict.finding for verdict in verdicts] == ["other reading"] * 3
    assert {find_convention(verdict) for verdict in verdicts} == {"macs"}


def test_a_figure_that_counts_otherwise_than_its_column_is_false() -> None:
    verdicts = judge_column({"a": "1.0G", "b": "2.0G", "c": "6.0G"})
    assert [verdict.finding for verdict in verdicts] == ["other reading", "other reading", "false"]
    assert (verdicts[2].outcome, verdicts[2].reason.partition(": document")[0]) == (
        "failed",
        "false: this figure counts FLOPs, the column MACs (lines 3, 4)",
    )
    verdicts = judge_column({"a": "2.0G", "b": "4.0G", "c": "3.0G"})
    assert [verdict.finding for verdict in verdicts] == ["true", "true", "false"]
    verdicts = judge_column({"a": "1.0G", "b": "2.0G", "c": "6.0G"}, "macs", "MACs")
    assert [verdict.finding for verdict in verdicts] == ["true", "true", "false"]


def test_a_cell_that_names_its_own_unit_and_a_tie_decide_nothing() -> None:
    verdicts = judge_column({"a": "1.0G", "b": "2.0G", "c": "6.0 GFLOPs"})
    assert [verdict.finding for verdict in verdicts] == ["other reading", "other reading", "true"]
    verdicts = judge_column({"a": "1.0G", "b": "4.0G"})
    assert [verdict.finding for verdict in verdicts] == ["other reading", "true"]


def test_two_figures_of_one_model_are_a_contradiction_where_one_is_false() -> None:
    verdicts = judge_column({"a": "1.0M", "a again": "2.0M", "b": "2.0M"}, "params", "Params")
    assert [verdict.finding for verdict in verdicts] == ["true", "false", "true"]
    assert verdicts[1].reason.endswith("the document contradicts itself: line 3 gives 1.0M for the same model")
    assert "contradicts" not in verdicts[0].reason
    verdicts = judge_column({"a": "1M", "a again": "2M"}, "params", "Params")  # 1.5M would round to both
    assert verdicts[1].reason.endswith("line 3 gives 1M for the same model")
    assert "contradicts" not in "".join(verdict.reason for verdict in judge_column({"a": "1M", "a again": "1.0M"}, "params", "Params"))
