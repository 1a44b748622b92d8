"""Numbers as text: a text never says more than is true, and parses back to its number."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from archaudit.metrics.quantities import (
    format_change,
    format_exact,
    format_pair,
    format_percent,
    format_ratio,
    format_short,
    format_signed,
    format_speed,
    format_times,
)
from archaudit.schema.quantity import parse_quantity

COUNTS = st.integers(min_value=0, max_value=10**15)
POSITIVE_COUNTS = st.integers(min_value=1, max_value=10**15)


def is_tie(number: int, unit: str) -> bool:
    """Whether a number lies exactly between two printed figures."""
    figure = parse_quantity(format_short(number, unit))
    return number in (figure.low, figure.high) and figure.low != figure.high


@given(COUNTS, st.sampled_from(["", "bytes"]))
@example(999_499, "")
@example(999_500, "")
@example(1024, "bytes")
@example(2**20 - 1, "bytes")
def test_a_short_figure_reads_back_as_an_interval_with_its_number(number: int, unit: str) -> None:
    assume(not is_tie(number, unit) and not (unit == "bytes" and number < 1024))
    assert parse_quantity(format_short(number, unit)).contains(number)


@pytest.mark.parametrize("number", [1_005, 1_015, 10_250])
def test_a_number_between_two_figures_is_rounded_up(number: int) -> None:
    assert parse_quantity(format_short(number)).contains(number)


def test_a_small_number_of_bytes_reads_back() -> None:
    assert parse_quantity(format_short(1023, "bytes")).contains(1023)


@given(COUNTS)
def test_an_exact_figure_reads_back_as_its_number(number: int) -> None:
    figure = parse_quantity(format_exact(number))
    assert (figure.low, figure.value, figure.high) == (number, number, number)


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_a_signed_figure_reads_back_as_its_number(number: int) -> None:
    text = format_signed(number)
    assert parse_quantity(text).value == number
    assert text[0] == ("+" if number > 0 else "-" if number < 0 else "0")


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        (0, "", "0"),
        (999, "", "999"),
        (1_000, "", "1.00K"),
        (22_176, "", "22.2K"),
        (927_008, "", "927K"),
        (999_499, "", "999K"),
        (999_500, "", "1.00M"),
        (2_516_853, "", "2.52M"),
        (-2_516_853, "", "-2.52M"),
        (26_349_592_576, "", "26.3G"),
        (1_023, "bytes", "1,023 bytes"),
        (1_536, "bytes", "1.50 KiB"),
        (10_067_412, "bytes", "9.60 MiB"),
    ],
)
def test_short_figures_have_three_digits(number: int, unit: str, text: str) -> None:
    assert format_short(number, unit) == text


def read_shown(text: str) -> float:
    return float(text.split()[0].strip("<>+-").replace(",", ""))


@given(COUNTS, POSITIVE_COUNTS)
@example(1, 10**15)
@example(10**15 - 1, 10**15)
@example(10**15, 10**15 - 1)
def test_a_share_says_0_or_100_percent_only_if_it_is_exactly_that(part: int, whole: int) -> None:
    text = format_percent(part / whole)
    share = Fraction(part, whole)
    assert (text == "0 %") == (share == 0)
    assert (text == "100 %") == (share == 1)
    bare = text.removesuffix(" %")
    assert bare not in ("0.0", "100.0")
    if bare.startswith("<"):
        assert share * 100 < read_shown(text)
    elif bare.startswith(">"):
        assert share * 100 > read_shown(text)


@given(POSITIVE_COUNTS, POSITIVE_COUNTS)
@example(10**15, 10**15 + 1)
@example(10**15, 1)
def test_a_change_is_the_same_only_if_nothing_changed(before: int, after: int) -> None:
    text = format_change(before, after)
    assert (text == "same") == (before == after)
    assert text not in ("+0.0 %", "-0.0 %", "+0 %", "-0 %", "-100.0 %", "-100 %")
    if before != after:
        assert text[0] == ("+" if after > before else "-")


@pytest.mark.parametrize(
    ("before", "after", "text"), [(0, 5, "new"), (5, 0, "gone"), (0, 0, "same"), (1_000, 368, "-63.2 %"), (1, 2, "+100 %")]
)
def test_changes_from_and_to_nothing_are_words(before: int, after: int, text: str) -> None:
    assert format_change(before, after) == text


@given(POSITIVE_COUNTS, POSITIVE_COUNTS)
@example(100_000, 99_999)
@example(99_999, 100_000)
def test_a_ratio_is_never_one_unless_equal(before: int, after: int) -> None:
    text = format_ratio(before, after)
    assert (text == "same") == (before == after)
    assert not text.startswith(("1.0x", "1.00x", "0.0 %"))
    if before != after:
        assert text.endswith("fewer" if after < before else "more")


def test_a_speed_below_twice_is_a_share_of_the_time() -> None:
    assert (format_speed(0.2, 0.1), format_speed(0.1, 0.3)) == ("2.00x faster", "3.00x slower")
    assert (format_speed(1.0, 0.88), format_speed(1.0, 1.25)) == ("12.0 % less time", "25.0 % more time")
    assert (format_speed(1.0, 1.0), format_times(1, 1.5), format_times(0, 3)) == ("same", "", "")


def test_ratios_say_which_way() -> None:
    assert format_ratio(700_928, 22_176) == "31.6x fewer"
    assert format_ratio(1, 2) == "2.00x more"
    assert (format_ratio(0, 3), format_ratio(3, 0)) == ("new", "gone")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        # below twice in percent of the number before
        (1_000_000, 1_000_001, "<0.1 % more"),
        (8_178_368_512, 8_460_959_744, "3.5 % more"),
        (1_000, 1_999, "99.9 % more"),
        (1_999, 1_000, "50.0 % fewer"),
        (2_000, 1_000, "2.00x fewer"),
        (1_000, 9_994, "9.99x more"),
        (1_000, 9_995, "10.0x more"),
        (1_000, 99_949, "99.9x more"),
        (1_000, 99_950, "100x more"),
    ],
)
def test_a_ratio_is_in_percent_below_twice_and_has_three_digits_from_there_on(before: int, after: int, text: str) -> None:
    assert format_ratio(before, after) == text


@given(COUNTS, COUNTS, st.sampled_from(["", "bytes"]))
@example(2_516_853, 2_516_854, "")
@example(999_999, 1_000_000, "")
def test_two_numbers_in_one_sentence_look_equal_only_if_they_are(first: int, second: int, unit: str) -> None:
    texts = format_pair(first, second, unit)
    assert (texts[0] == texts[1]) == (first == second)


@pytest.mark.parametrize(
    ("number", "unit", "text"),
    [
        # each step begins where rounding reaches it: 0.9995 of it
        (999_499_999, "", "999M"),
        (999_500_000, "", "1.00G"),
        (999_499_999_999, "", "999G"),
        (999_500_000_000, "", "1.00T"),
        (1_234_000_000_000_000, "", "1234T"),
        (999_999, "", "1.00M"),
        (9_994, "", "9.99K"),
        (9_995, "", "10.0K"),
        (99_949, "", "99.9K"),
        (99_950, "", "100K"),
        (1_005, "", "1.01K"),
        (999.4, "", "999.4"),
        (999.6, "", "1.00K"),
        # bytes below 1,024 stay bytes, and one byte is one byte
        (0, "bytes", "0 bytes"),
        (1, "bytes", "1 byte"),
        (-1, "bytes", "-1 byte"),
        (1_024, "bytes", "1.00 KiB"),
        (1_048_051, "bytes", "1023 KiB"),
        (1_048_576, "bytes", "1.00 MiB"),
        (2**30, "bytes", "1.00 GiB"),
        (2**40, "bytes", "1.00 TiB"),
        (3 * 2**50, "bytes", "3072 TiB"),
    ],
)
def test_the_step_of_a_short_figure(number: float, unit: str, text: str) -> None:
    assert format_short(number, unit) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.632, "63.2 %"),
        (0, "0 %"),
        (1, "100 %"),
        (-1, "-100 %"),
        (0.0004, "<0.1 %"),
        (0.00049, "<0.1 %"),
        (0.0005, "0.1 %"),
        (-0.0004, "-<0.1 %"),
        (0.9994, "99.9 %"),
        (0.9996, ">99.9 %"),
        (-0.9996, "->99.9 %"),
        (1.0004, ">100.0 %"),
        (-1.0004, "->100.0 %"),
        (1.0006, "100.1 %"),
        (12.345, "1,234.5 %"),
        (-0.25, "-25.0 %"),
    ],
)
def test_shares(share: float, text: str) -> None:
    assert format_percent(share) == text


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        (4, 1, "-75.0 %"),
        (4, 5, "+25.0 %"),
        (-4, -5, "-25.0 %"),
        (-4, -3, "+25.0 %"),
        (100_000, 100_001, "+<0.1 %"),
        (0, -3, "new"),
        (-3, 0, "gone"),
    ],
)
def test_changes(before: float, after: float, text: str) -> None:
    assert format_change(before, after) == text


@pytest.mark.parametrize(
    ("before", "after", "text"), [(-1, 2, ""), (2, -1, ""), (0, -1, "new"), (-1, 0, "gone"), (-1, -1, "same"), (3, 3, "same")]
)
def test_there_is_no_ratio_to_a_number_below_nothing(before: float, after: float, text: str) -> None:
    assert format_ratio(before, after) == text


def test_exact_figures() -> None:
    assert [format_exact(value) for value in (1_234, 1_234.0, 1_234.5, -7)] == ["1,234", "1,234", "1,234.5", "-7"]
    assert [format_signed(value) for value in (0, 1_234, -1_234, 0.5)] == ["0", "+1,234", "-1,234", "+0.5"]


def test_two_figures_of_one_sentence() -> None:
    assert format_pair(2_516_853, 3_000_000) == ("2.52M", "3.00M")
    assert format_pair(2_516_853, 2_516_854) == ("2,516,853", "2,516,854")
    assert format_pair(2_516_853, 2_516_853) == ("2.52M", "2.52M")
    assert format_pair(2**20, 2**21, "bytes") == ("1.00 MiB", "2.00 MiB")
    assert format_pair(2**20, 2**20 + 1, "bytes") == ("1,048,576", "1,048,577")
