"""The answer on one screen: at most 25 lines, and nothing that a reader must not miss is left out."""

from __future__ import annotations

import msgspec
import pytest
from render.synthetic import (
    make_cost,
    make_incomplete_report,
    make_large_report,
    make_module,
    make_profile,
    make_report,
    make_segmentation_report,
    make_verdict,
)

from archaudit.render import render_profile_screen, render_screen, render_text, render_verdict
from archaudit.render.detail import Detail
from archaudit.render.layout import measure_text
from archaudit.schema import Report

WIDTHS = [80, 100, 140]


def show(report: Report, width: int = 80, **fields: object) -> str:
    return render_screen(report, Detail(**fields), width)  # type: ignore[arg-type]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("make", [make_segmentation_report, make_incomplete_report, lambda: make_large_report(3_000)])
def test_a_screen_has_at_most_25_lines_that_fit(make: object, width: int) -> None:
    assert callable(make)
    report = make()
    for text in (show(report, width), render_profile_screen(report.after, Detail(), width)):
        lines = text.splitlines()
        assert len(lines) <= 25
        assert max(map(measure_text, lines)) <= width


def test_verdict_sentence_and_totals_come_first() -> None:
    lines = show(make_segmentation_report()).splitlines()
    assert lines[0].startswith("before → after")
    assert lines[1].startswith("✗ FAILED")
    assert lines[3].startswith("47.2 % fewer parameters (2.22M → 1.17M) and 14.1x fewer FLOPs")
    labels = [line.split("  ")[0] for line in lines if line[:1].isupper()]
    assert labels[:4] == ["Parameters", "MACs", "FLOPs", "Peak memory"]
    # 2,223,149 - 1,173,069
    assert "Parameters   2,223,149  1,173,069  -1,050,080  -47.2 %" in lines


def test_failed_checks_and_false_claims_are_shown_without_an_option() -> None:
    text = show(make_segmentation_report(), 140)
    failed = [check for check in make_segmentation_report().checks if check.outcome == "failed"]
    assert len(failed) == 1
    assert f"✗ {failed[0].id}: {failed[0].reason}" in text
    assert "884,736 (params of decoder.0, before): measured 700,416, as expected" in text


def test_many_failures_leave_three_changes_and_are_counted() -> None:
    report = make_segmentation_report()
    verdicts = tuple(make_verdict(id=f"limit-{place}", outcome="failed", reason="too much " * 12) for place in range(40))
    lines = show(msgspec.structs.replace(report, checks=verdicts, outcome="failed")).splitlines()
    assert len(lines) <= 25
    shown = sum(line.startswith("✗ limit-") for line in lines)
    assert shown >= 3
    assert f"… {40 - shown} more checks and claims to look at: --full" in lines
    assert sum(line.startswith(("ASPP", "Decoder", "Classifier")) for line in lines) == 3


def test_no_banner_without_checks() -> None:
    report = msgspec.structs.replace(make_segmentation_report(), checks=())
    for text in (show(report), render_text(report, 80)):
        assert "NO CHECKS" not in text
        assert "INCONCLUSIVE" not in text
    assert render_verdict(report) == "- no checks: nothing was judged\n"


def test_quiet_is_the_verdict_in_one_line() -> None:
    text = render_verdict(make_segmentation_report())
    assert text.startswith("✗ FAILED: 7 checks, 1 failed")
    assert text.count("\n") == 1


def test_what_makes_the_count_incomplete_is_on_the_screen() -> None:
    text = show(make_incomplete_report(), 140)
    assert "no formula for" in text
    assert "lower bounds" in text


def test_a_wider_terminal_has_more_columns_but_the_same_digits() -> None:
    report = make_segmentation_report()
    numbers = [
        {word for line in show(report, width).splitlines() if line.startswith("Decoder") for word in line.split() if "_" not in word}
        for width in WIDTHS
    ]
    assert numbers[0] < numbers[1] <= numbers[2]


def test_units_are_those_of_the_table() -> None:
    report = make_segmentation_report()
    flops, macs = show(report), show(report, units="macs")
    row_flops, row_macs = (next(line for line in text.splitlines() if line.startswith("Decoder")).split() for text in (flops, macs))
    # 22,951,231,488 FLOPs are 11,475,615,744 MACs
    assert "23.0G" in row_flops
    assert "11.5G" in row_macs
    assert "MACs ───" in macs
    assert "MACs ───" in show(report, units="macs", full=True)


def test_layers_follow_the_answer() -> None:
    report = make_segmentation_report()
    whole, upper, changed = show(report, layers=True), show(report, depth=1), show(report, only_changes=True)
    assert "Layers: " in whole
    assert "… 37 modules unchanged" in whole
    assert "backbone.0" not in upper
    assert "aspp.dropout" not in upper
    assert "modules unchanged" not in changed
    assert "aspp.dropout" in changed


def test_a_single_change_is_described_by_its_module() -> None:
    """One section changed: its name alone would not say what was done."""
    before = make_profile("toy", [make_module("", "Net"), make_module("drop", "Dropout", p=0.3), make_module("fc", "Linear", make_cost(8))])
    after = make_profile("toy", [make_module("", "Net"), make_module("drop", "Dropout", p=0.1), make_module("fc", "Linear", make_cost(8))])
    text = show(make_report(before, after), 120)
    assert "~ drop" in text
    assert "p 0.3 → 0.1" in text


def test_equal_changes_of_blocks_are_one_row() -> None:
    def make(name: str, width: int) -> object:
        blocks = [make_module(f"blocks.{place}", "Linear", make_cost(width, 2 * width), out_features=width) for place in range(12)]
        return make_profile(name, [make_module("", "Net"), make_module("blocks", "ModuleList"), *blocks])

    report = msgspec.structs.replace(make_report(make("toy", 100), make("toy", 90)), groups=())
    row = next(line for line in show(report, 120).splitlines() if "×12" in line)
    # 12 blocks lose 10 parameters each
    assert row.split()[:6] == ["~", "blocks.*", "×12", "1,200", "1,080", "-120"]


def test_a_profile_begins_with_the_tree_and_has_macs_next_to_flops() -> None:
    lines = render_profile_screen(make_segmentation_report().after, Detail(), 100).splitlines()
    assert lines[1].split() == ["layer", "type", "output", "shape", "params", "MACs", "FLOPs", "share"]
    assert lines[2].split()[0] == "(root)"
    assert any(line.startswith("├─ aspp") for line in lines)
    classifier = next(line for line in lines if line.startswith("└─ classifier"))
    assert "44.0M" in classifier
    assert "88.1M" in classifier


def test_rows_of_equal_blocks_say_how_many_they_are() -> None:
    text = render_profile_screen(make_segmentation_report().after, Detail(top=40), 120)
    row = next(line for line in text.splitlines() if "1 … 11" in line)
    assert "Sequential ×11" in row


@pytest.mark.parametrize(("dead", "shown"), [({"head": 990}, True), ({"head": 9}, False), ({}, False)])
def test_dead_compute_of_at_least_one_percent_is_an_alert(dead: dict[str, int], shown: bool) -> None:
    profile = make_segmentation_report().after
    scaled = {path: share * profile.totals.flops // 1000 for path, share in dead.items()}
    text = render_profile_screen(msgspec.structs.replace(profile, dead_flops=scaled), Detail(), 100)
    assert ("dead compute: 99.0 % of the FLOPs, in head, reach no output" in text) == shown


def test_modules_of_a_model_that_was_not_run_have_no_output_shape() -> None:
    profile = msgspec.structs.replace(make_segmentation_report().after, unknown=("flops", "macs"))
    assert "not called" not in render_profile_screen(profile, Detail(), 100)
