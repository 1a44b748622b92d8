"""What the rows say: decisions that every format shares."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from render.synthetic import (
    make_cost,
    make_module,
    make_profile,
    make_report,
    make_segmentation_profiles,
    make_segmentation_report,
    make_verdict,
)

from archaudit.render.view import view_profile, view_report
from archaudit.render.view.histories import view_history
from archaudit.render.view.records import GapRow
from archaudit.schema import Deviation, Equivalence, Group, History, HistoryStep, Latency, Report


def test_importing_the_room_is_cheap() -> None:
    code = "import sys, archaudit.render; print(*sorted({'jinja2', 'rich', 'torch', 'archaudit.render.view'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_plain_text_needs_neither_rich_nor_templates(report: Report) -> None:
    code = "import sys, archaudit.render.terminal; print(*sorted({'jinja2', 'rich', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_a_model_against_itself_is_the_same_throughout() -> None:
    before, _ = make_segmentation_profiles()
    view = view_report(make_report(before, before, outcome="inconclusive"))
    assert {row.trend.percent for row in view.metrics} == {"same"}
    assert [type(row) for row in view.layers.brief] == [GapRow]
    assert view.headline.conclusion.verdict == "NO CHECKS"
    assert view.headline.sentence == "The same number of parameters and the same number of FLOPs."


def test_incomplete_flops_have_no_delta_and_say_so(incomplete_report: Report) -> None:
    view = view_report(incomplete_report)
    flops = next(row for row in view.metrics if row.key == "flops")
    assert flops.trend.sides.after.short.startswith("≥ ")
    assert (flops.trend.sides.delta.exact, flops.trend.percent, flops.trend.ratio) == ("?", "incomplete", "incomplete")
    assert "incomplete" in flops.note
    section = view.sections[0]
    assert section.flops.sides.after.exact.startswith("≥ ")
    assert not section.flops.sides.before.exact.startswith("≥ ")


def test_an_unknown_operator_is_named_with_its_place(incomplete_report: Report) -> None:
    ledger = view_report(incomplete_report).methods.ledger
    assert ledger[1].line == "228 operator calls: 60 counted, 166 counted as zero, 2 without a formula"
    assert ledger[1].unknown == ("mylib::fold (2 calls in decoder_stage1.pointwise)",)


def test_what_differs_never_looks_equal() -> None:
    before, after = (
        make_profile(name, [make_module("", "Net", make_cost(params))]) for name, params in (("b", 2_500_000), ("a", 2_500_001))
    )
    row = view_report(make_report(before, after)).metrics[0]
    assert (row.trend.sides.before.short, row.trend.sides.after.short) == ("2,500,000", "2,500,001")
    assert row.summary == "+<0.1 % (+1)"


def test_a_claim_is_shown_at_its_section(report: Report) -> None:
    sections = {row.name: row for row in view_report(report).sections}
    assert [(remark.figure, remark.finding, remark.measured) for remark in sections["Decoder stage 1"].remarks] == [
        ("884,736", "false", "700,416"),
        ("~21K", "true", "22,176"),
    ]
    assert [remark.figure for remark in sections["Total"].remarks] == ["42%", "6x"]


def test_a_claim_shows_whether_it_is_expected_to_be_false(report: Report) -> None:
    claims = {row.figure: row for row in view_report(report).claims}
    assert claims["884,736"].expected == "expected false"
    assert claims["884,736"].reason.endswith("304 input channels, not 384.")
    surprise = make_verdict(origin="claim", finding="true", outcome="failed", expected="5")
    (row,) = view_report(msgspec.structs.replace(report, checks=(surprise,))).claims
    assert row.expected == "expected false"


def test_a_claim_that_is_not_as_expected_says_once_why_it_is_marked(report: Report) -> None:
    # the judge ends a reason as expected with the claim's `why`; the page adds it where the judge does not
    common = {"origin": "claim", "why": "304 input channels"}
    as_expected = make_verdict(finding="false", outcome="passed", reason="false, as expected: 5; 304 input channels", **common)
    surprise = make_verdict(finding="unbound", outcome="inconclusive", reason="the document does not say 5", **common)
    rows = view_report(msgspec.structs.replace(report, checks=(as_expected, surprise))).claims
    assert [row.reason for row in rows] == ["false, as expected: 5; 304 input channels", "the document does not say 5; 304 input channels"]


@pytest.mark.parametrize(
    ("interval", "reading", "told"),
    [
        ((884_736, 884_736), None, "exactly"),
        ((2_515_000, 2_525_000), None, "2,515,000 to 2,525,000"),
        ((None, 3_000_000), None, "under 3,000,000"),
        ((1_000, None), None, "over 1,000"),
        ((2_515_000, 2_525_000), "FLOPs for MACs", "as FLOPs for MACs"),
        (None, None, "-"),
    ],
)
def test_a_claim_shows_the_range_of_its_figure(interval: Any, reading: str | None, told: str, report: Report) -> None:
    claim = make_verdict(origin="claim", interval=interval, reading=reading)
    (row,) = view_report(msgspec.structs.replace(report, checks=(claim,))).claims
    assert row.reading == told


def test_quotients_lose_their_noise_and_counts_keep_all(report: Report) -> None:
    claims = {row.figure: row.measured for row in view_report(report).claims}
    assert claims["42%"] == "42.3123 %"
    assert claims["884,736"] == "700,416"


def test_settings_of_a_changed_layer_are_in_its_note(report: Report) -> None:
    rows = {row.path: row for row in view_report(report).layers.brief if not isinstance(row, GapRow)}
    assert rows["aspp.dropout"].note == "p 0.3 → 0.1"
    assert rows["decoder"].kind == "removed"


def test_folded_rows_add_up(report: Report) -> None:
    table = view_report(report).layers
    (gap,) = (row for row in table.brief if isinstance(row, GapRow))
    before, after, delta = (gap.figures[position].exact for position in table.columns_of("params"))
    assert (before, after, delta) == ("927,000", "927,000", "0")
    assert gap.inside == "backbone"


def test_times_of_different_devices_are_not_compared(report: Report) -> None:
    def time_on(device: str) -> Latency:
        return Latency(device=device, method="loop", samples_s=(0.02, 0.03))

    def show(before: str, after: str) -> str:
        sides = {"before": msgspec.structs.replace(report.before, latency=time_on(before))}
        sides["after"] = msgspec.structs.replace(report.after, latency=time_on(after))
        rows = view_report(msgspec.structs.replace(report, **sides)).metrics
        return next(row.trend.percent for row in rows if row.key == "latency")

    assert show("cpu", "cuda") == "-"
    assert show("cpu", "cpu") == "same"


def test_without_times_there_is_no_latency_column() -> None:
    view = view_report(make_segmentation_report())
    assert view.layers.columns_of("latency") == ()
    assert "Latency: not measured." in view.methods.conventions


def test_the_own_cost_of_a_container_is_in_its_note() -> None:
    profile = make_profile("m", [make_module("", "Net", make_cost(5, 10)), make_module("a", "Linear", make_cost(1, 1))])
    assert view_profile(profile).layers.brief[0].note == "excluding submodules: 5 params, 20 FLOPs"  # type: ignore[union-attr]


def test_the_report_has_the_command_that_reproduces_it(report: Report) -> None:
    assert "To reproduce: archaudit compare before after (with the input shown at the top)" in view_report(report).methods.conventions
    live = msgspec.structs.replace(report.before, reference="Net")
    assert not any("To reproduce" in each for each in view_profile(live).methods.conventions)


def test_a_difference_of_outputs_is_listed_once_with_the_tolerance() -> None:
    reason = "the outputs differ by up to 0.0536; the first module whose output differs is head, by up to 0.0514"
    found = Equivalence(
        outcome="different",
        reason=reason,
        max_difference=0.05360521335875629,
        tolerance=1e-9,
        first_difference=Deviation(before_path="fc", after_path="head", max_difference=0.0514),
    )
    view = view_report(msgspec.structs.replace(make_segmentation_report(), equivalence=found))
    assert view.headline.proof == f"Different: {reason}; the tolerance is 1e-09 of the largest"
    assert not any(reason in row.text for row in view.other_changes)
    assert view_report(make_segmentation_report()).headline.proof == ""


def test_a_section_with_more_than_the_whole_change_is_given_in_numbers() -> None:
    before, after = (
        make_profile(
            name, [make_module("", "Net"), make_module("body", "Body", make_cost(body)), make_module("head", "Head", make_cost(head))]
        )
        for name, body, head in (("b", 7_056, 170), ("a", 2_160, 924))
    )
    groups = tuple(
        Group(name=name, before_paths=(name,), after_paths=(name,), before=one, after=other, delta=other - one)
        for name, one, other in (("body", make_cost(7_056), make_cost(2_160)), ("head", make_cost(170), make_cost(924)))
    )
    sentence = view_report(make_report(before, after, groups=groups)).headline.sentence
    assert sentence.endswith("; parameters changed by -4,896 in body and by +754 in the rest.")


@pytest.mark.parametrize(("untouched", "told"), [(0, "0 others did not"), (1, "1 other did not"), (2, "2 others did not")])
def test_a_history_counts_the_commits_without_changes(untouched: int, told: str) -> None:
    step = HistoryStep(commit="a" * 40, short="aaaaaaa", date="2026-01-01", subject="first")
    assert told in view_history(History(reference="net.py:Net", steps=(step, step), untouched=untouched)).sentence


def test_the_first_screen_says_which_claims_are_false(report: Report) -> None:
    """PASSED alone would hide that a claim is false, as the config expects."""
    assert view_report(report).headline.falsehoods == "1 claim is false: 884,736 (measured 700,416)."
    assert view_report(msgspec.structs.replace(report, checks=())).headline.falsehoods == ""
