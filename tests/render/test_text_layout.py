"""Tables and paragraphs keep within their width, and lose the least important first."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
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

from archaudit.render import layout, render_judgement_text, render_profile_text, render_text
from archaudit.render.formatting import make_visible, shorten_middle
from archaudit.render.layout import TextColumn, choose_columns, format_columns, measure_text, shorten, wrap
from archaudit.schema import Judgement

TEXTS = st.text(max_size=60).map(make_visible)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("make", [make_segmentation_report, make_incomplete_report, lambda: make_large_report(300)])
def test_no_line_is_wider_than_the_width(make: object, width: int) -> None:
    assert callable(make)
    report = make()
    for text in (render_text(report, width), render_profile_text(report.before, width)):
        assert max(map(measure_text, text.split("\n"))) <= width


def test_eighty_columns_keep_module_params_and_flops() -> None:
    lines = render_text(make_segmentation_report(), 80).split("\n")
    row = next(line for line in lines if line.startswith("~ classifier"))
    assert row.split()[1:] == ["classifier", "5,397", "2,709", "-2,688", "176M", "88.1M", "-88.1M"]


def test_a_wide_terminal_shows_type_and_shape_too() -> None:
    lines = render_text(make_segmentation_report(), 120).split("\n")
    row = next(line for line in lines if line.startswith("~ classifier"))
    assert row.split()[2:4] == ["Conv2d", "1×21×128×128"]


def test_unchanged_subtrees_are_one_line() -> None:
    text = render_text(make_segmentation_report(), 100)
    assert "… 37 modules unchanged" in text
    assert "backbone.3" not in text


def test_a_changed_row_says_what_its_figures_do_not_show() -> None:
    """A layer that was frozen, or is of another type, has the same figures before and after."""
    before = make_profile("toy", [make_module("", "Net"), make_module("norm", "BatchNorm2d", make_cost(8))])
    after = make_profile("toy", [make_module("", "Net"), make_module("norm", "GroupNorm", make_cost(8))])
    for kinds, told in (
        (("frozen",), "frozen"),
        (("resized",), "resized"),
        (("replaced", "dtype"), "replaced: BatchNorm2d → GroupNorm, dtype"),
    ):
        report = make_report(before, after)
        rows = tuple(msgspec.structs.replace(row, changes=kinds) if row.after_path == "norm" else row for row in report.modules)
        lines = render_text(msgspec.structs.replace(report, modules=rows), 80).split("\n")
        place = next(place for place, line in enumerate(lines) if line.startswith("~ norm"))
        assert lines[place + 1] == f"    {told}"


def test_long_paths_keep_both_ends() -> None:
    assert shorten_middle("encoder.layers.11.attention.query", 17) == "encoder.…on.query"
    assert shorten("名前の長いモジュール", 9) == "名前…ール"


@pytest.mark.parametrize(
    ("width", "limit"), [(120, "max increase 1% = 243,455,000 bytes (232 MiB)"), (80, "≤ 243,455,000 bytes"), (60, None)]
)
def test_a_limit_is_whole_or_a_bare_bound_but_never_cut(width: int, limit: str | None) -> None:
    verdict = make_verdict(
        id="activations",
        metric="activation_bytes",
        comparison="max_increase",
        expected="1%",
        limit=243_455_000,
        actual=241_044_960,
    )
    text = render_judgement_text(Judgement(outcome="passed", checks=(verdict,)), width)
    assert limit is None or limit in text
    assert "241,044,960 bytes" in text
    assert max(map(len, text.splitlines())) <= width


def test_the_least_important_column_goes_first() -> None:
    columns = [TextColumn(name, ("x" * 10,), rank=rank) for name, rank in (("kept", 0), ("first", 2), ("second", 1))]
    assert [column.heading for column in choose_columns(columns, 30)] == ["kept", "second"][:2]
    assert [column.heading for column in choose_columns(columns, 15)] == ["kept"]


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5), st.integers(min_value=20, max_value=100))
def test_a_table_with_columns_that_shrink_fits(rows: list[tuple[str, str]], width: int) -> None:
    columns = [TextColumn("a", tuple(row[0] for row in rows), least=4), TextColumn("b", tuple(row[1] for row in rows), least=4, right=True)]
    headings, lines = format_columns(columns, width)
    assert {measure_text(line) for line in (*headings, *lines)} == {measure_text(lines[0])}
    assert measure_text(lines[0]) <= width


@given(TEXTS, st.integers(min_value=1, max_value=30))
def test_shortened_text_fits(text: str, width: int) -> None:
    assert measure_text(shorten(text, width)) <= width


@given(st.text(max_size=200).map(make_visible), st.integers(min_value=10, max_value=40))
def test_wrapped_text_fits_and_keeps_every_word(text: str, width: int) -> None:
    lines = list(wrap(text, width, "  "))
    assert all(measure_text(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.text())
def test_what_cannot_be_seen_is_written_out(text: str) -> None:
    visible = make_visible(text)
    assert not {"\n", "\r", "\t", "\x1b", "\u202e", "\u200b", "\u2028"} & set(visible)
    assert visible.encode().decode() == visible


def test_the_time_of_long_cells_grows_with_their_length(monkeypatch):
    """Counted in characters that are measured: narrowing a column and breaking a long word measure each character a few times."""
    measured = []
    measure_character = layout._measure_character
    monkeypatch.setattr(layout, "_measure_character", lambda character: measured.append(1) or measure_character(character))
    for size in (1_000, 10_000):
        measured.clear()
        cell = "é" * size
        columns = [TextColumn("output", (cell, "1×4"), least=10), TextColumn("n", ("1", "2"))]
        _, rows = format_columns(columns, 40)
        assert len(rows[0]) == 40
        assert "".join(wrap(cell, 80)) == cell
        assert len(measured) <= 20 * size
