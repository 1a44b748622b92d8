"""Corrected figures keep their style."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archaudit.claims.fixing import format_diff, format_like, format_shape_like, replace_claimed_figure, replace_numbers
from archaudit.claims.reading import read_document
from archaudit.schema import parse_quantity


@pytest.mark.parametrize(
    ("figure", "value", "written"),
    [
        ("884,736", 700_416, "700,416"),
        ("884736", 700_416, "700416"),
        ("884_736", 700_416, "700_416"),
        ("2.6M", 2_516_853, "2.5M"),
        ("2.61M", 2_516_853, "2.52M"),
        ("3M", 2_516_853, "3M"),
        ("~25K params", 22_176, "~22K params"),
        ("42x", 31.6075, "32x"),
        ("42.0×", 31.6075, "31.6×"),
        ("64 %", 63.158, "63 %"),
        ("-64 %", 63.158, None),
        ("12 MiB", 9.6 * 2**20, "10 MiB"),
        ("2.1 GFLOPs", 5_104_435_200, "5.1 GFLOPs"),
        ("5 million", 2_516_853, "3 million"),
        ("900", 1_234, "1,234"),
        ("0.5", 0.1, "0.1"),
        ("1M", 1_499, "0.001M"),
        ("1M", 3, None),
        ("<3M", 4_000_000, None),
        ("2-3M", 4_000_000, None),
        ("5M", -1, None),
    ],
)
def test_a_figure_keeps_its_style(figure: str, value: float, written: str | None) -> None:
    assert format_like(figure, value) == written


@given(st.sampled_from(["1,000", "1.0M", "~5K", "42x", "63%", "2.50 GMACs", "3 MiB"]), st.integers(1, 10**11))
def test_a_new_figure_stands_for_the_measured_value(figure: str, value: int) -> None:
    written = format_like(figure, value)
    assert written is None or parse_quantity(written).contains(value)


@pytest.mark.parametrize(
    ("figure", "written"),
    [
        ("[B, 64, H/4, W/4]", "[B, 128, H/8, W/8]"),
        ("(B,64,H/4,W/4)", "(B,128,H/8,W/8)"),
        ("[1, 64, 9, 9]", "[1, 128, 64, 64]"),
        ("[B, C, H/4, W/4]", "[B, C, H/8, W/8]"),
        ("[B, 64, H, W]", None),
        ("[B, 64]", None),
    ],
)
def test_a_shape_keeps_its_symbols(figure: str, written: str | None) -> None:
    assert format_shape_like(figure, (1, 128, 64, 64), {"B": 1, "H": 512, "W": 512}) == written


def test_numbers_are_replaced_and_nothing_else_changes() -> None:
    text = "\ufeff5M and 5M\r\n| 6M |\r7M\n\x0c 8M \u2028"
    document = read_document(text, "x")
    by_text = {(number.text, number.column): number for number in document.numbers}
    replaced = replace_numbers(document, [(by_text["5M", 2], "500K"), (by_text["5M", 9], "1M"), (by_text["7M", 1], "9M")])
    assert replaced == "\ufeff500K and 1M\r\n| 6M |\r9M\n\x0c 8M \u2028"


def test_the_figure_of_one_claim_in_a_file_is_replaced() -> None:
    text = (
        '[models.a]\nreference = "x"\n[[claims]]\nfigure = "5M" # kept\n[[claims]]\nid = "b"\nfigure = \'5M\'\n[[budgets]]\nfigure = "5M"\n'
    )
    assert replace_claimed_figure(text, 1, "5M", "6M") == text.replace("'5M'", '"6M"')
    assert replace_claimed_figure(text, 0, "5M", "6M") == text.replace('"5M" # kept', '"6M" # kept')
    assert replace_claimed_figure("[[tool.archaudit.claims]]\nfigure = 5\n", 0, "5", "6") == '[[tool.archaudit.claims]]\nfigure = "6"\n'
    assert replace_claimed_figure(text, 2, "5M", "6M") is None
    assert replace_claimed_figure(text, 0, "7M", "6M") is None
    assert replace_claimed_figure("claims = [{figure = '5M'}]", 0, "5M", "6M") is None


def test_changes_are_shown_as_a_diff() -> None:
    assert format_diff("a.md", "x\n5M\n", "x\n6M\n") == "--- a/a.md\n+++ b/a.md\n@@ -1,2 +1,2 @@\n x\n-5M\n+6M\n"
    assert "\\ No newline at end of file" in format_diff("a.md", "5M", "6M")
