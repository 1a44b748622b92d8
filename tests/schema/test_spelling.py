"""Spellings of numbers, as documents have them, against the form that is parsed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archaudit.schema import parse_quantity
from archaudit.schema.spelling import normalize_number, normalize_spelling


@pytest.mark.parametrize(
    ("written", "low", "high"),
    [
        ("25 557 032", 25_557_032, 25_557_032),
        ("25\u202f557\u202f032", 25_557_032, 25_557_032),
        ("25.557.032", 25_557_032, 25_557_032),
        ("25'557'032", 25_557_032, 25_557_032),
        ("25,6M", 25.55e6, 25.65e6),
        ("**25.6**M", 25.55e6, 25.65e6),
        ("$25.6\\text{M}$", 25.55e6, 25.65e6),
        ("$12.5$M", 12.45e6, 12.55e6),
        ("\\textbf{25.6}M", 25.55e6, 25.65e6),
        ("25.6\\,M", 25.55e6, 25.65e6),
        ("25.6&nbsp;M", 25.55e6, 25.65e6),
        ("5.6\u2009M", 5.55e6, 5.65e6),
        ("25.6 x 10^6", 25.55e6, 25.65e6),
        ("$4.1\\times10^{9}$", 4.05e9, 4.15e9),
        ("4.1 × 10⁹", 4.05e9, 4.15e9),
        ("4.1 × 10<sup>9</sup>", 4.05e9, 4.15e9),
        ("2.56e7", 25.55e6, 25.65e6),
        ("25.6±0.1M", 25.5e6, 25.7e6),
        ("between 25M and 26M", 25e6, 26e6),
        ("eighty million", 79.5e6, 80.5e6),
        ("twenty-five million", 24.5e6, 25.5e6),
        ("one hundred and twenty million", 119.5e6, 120.5e6),
        ("25.6 Mio", 25.55e6, 25.65e6),
        ("11 bn", 10.5e9, 11.5e9),
        ("25.6M<sup>1</sup>", 25.55e6, 25.65e6),
        ("25.6M*", 25.55e6, 25.65e6),
        ("4.1 GMac", 4.05e9, 4.15e9),
        ("4.1 G FLOPs", 4.05e9, 4.15e9),
        ("25.6 MParams", 25.55e6, 25.65e6),
    ],
)
def test_a_figure_means_the_numbers_that_round_to_it(written: str, low: float, high: float) -> None:
    # the digits that are written, plus or minus half of the last one
    figure = parse_quantity(normalize_number(written))
    assert (figure.low, figure.high) == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize(
    "text",
    [
        "from 3 to 4",
        "two three",
        "one of them",
        "a 3*3 kernel",
        "lists (3,4)",
        "$5 and $6",
        "v1.234.567",
        "snake_case_name",
        "**bold** text",
    ],
)
def test_text_without_such_a_spelling_stays(text: str) -> None:
    assert normalize_spelling(text).text.replace("**", "") == text.replace("**", "")


@given(st.text(alphabet="0123456789 .,'*_$\\{}×x^eM\u00a0⁹abtwo-", max_size=60))
def test_each_character_has_its_place_in_the_source(text: str) -> None:
    spelling = normalize_spelling(text)
    assert len(spelling.text) == len(spelling.starts) == len(spelling.ends)
    assert all(0 <= start < end <= len(text) for start, end in zip(spelling.starts, spelling.ends, strict=True))
    assert list(spelling.starts) == sorted(spelling.starts)


def test_a_number_is_found_where_it_is_written() -> None:
    text = "It has **25.6**M parameters, or $4.1\\times10^{9}$ MACs."
    spelling = normalize_spelling(text)
    start = spelling.text.index("4.1e9")
    first, last = spelling.locate(start, start + len("4.1e9"))
    assert text[first:last] == "$4.1\\times10^{9}$"
