"""Markdown that is cut keeps what matters, and names what it lost."""

from __future__ import annotations

import re

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from render.synthetic import HOSTILE_NAMES, make_large_report, make_segmentation_report

from archaudit.render import FORMATS
from archaudit.render.markdown import LIMIT, MarkdownPart, cut_markdown, escape_mermaid, mark_part, mark_row, split_parts


def make_parts() -> list[MarkdownPart]:
    rows = "".join(f"{mark_row(weight)}| row {weight} |\n" for weight in range(100))
    return split_parts(
        f"# Title\n{mark_part('the method', 1)}\n{'words ' * 200}\n{mark_part('the layers', 5)}\n## Layers\n{rows}"
        f"{mark_part('the budgets', 9)}\n## Budgets\nheld\n"
    )


def test_what_fits_is_whole_and_without_marks() -> None:
    text = cut_markdown(make_parts(), 10_000)
    assert text.count("| row ") == 100
    assert not re.search("[\x1e\x1f]", text)


def test_the_least_important_part_goes_first() -> None:
    text = cut_markdown(make_parts(), 2_300)
    assert "words" not in text
    assert text.count("| row ") == 100
    assert text.endswith("Left out to fit into 2,300 characters: the method. The HTML and JSON reports are complete.\n")


def test_the_lightest_rows_go_first_and_are_counted() -> None:
    text = cut_markdown(make_parts(), 1_200)
    kept = [int(number) for number in re.findall(r"\| row (\d+) \|", text)]
    assert kept == list(range(100 - len(kept), 100))
    assert f"{100 - len(kept)} of 100 rows of the layers" in text
    assert "## Budgets\nheld" in text


@given(st.integers(min_value=400, max_value=5_000))
def test_it_always_fits(limit: int) -> None:
    assert len(cut_markdown(make_parts(), limit)) <= limit


def test_a_large_report_fits_into_a_comment() -> None:
    report = make_large_report(5_000)
    # every row differs, so that no run of unchanged ones makes it short
    changed = tuple(msgspec.structs.replace(row, changes=("settings",)) for row in report.modules)
    text = FORMATS["markdown"](msgspec.structs.replace(report, modules=changed))
    assert LIMIT - 2_000 < len(text) <= LIMIT
    assert re.search(r"Left out .* of 5,002 rows of the layers\.", text)
    assert "## Summary" in text


def test_the_passes_are_a_diff_in_a_fence_that_holds() -> None:
    text = FORMATS["markdown"](make_segmentation_report())
    assert "~~~diff\n" in text
    assert "\n- decoder(cat) → 1×256×128×128\n+ decoder_stage1(cat) → 1×128×64×64\n" in text


def test_mermaid_labels_hold_nothing_that_acts() -> None:
    for name in HOSTILE_NAMES:
        assert not re.search(r"""["'`<>\[\]{}|\\@*$;&]""", re.sub(r"#\d+;", "", escape_mermaid(name)))
