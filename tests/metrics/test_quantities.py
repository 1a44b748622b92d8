"""Numbers as people write them: read to intervals, and printed so that a text never says more than is true."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from archaudit.metrics.quantities import (
    Quantity,
    format_change,
    format_exact,
    format_pair,
    format_percent,
    format_ratio,
    format_short,
    format_signed,
    parse,
)

COUNTS = st.integers(min_value=0, max_value=10**15)
POSITIVE_COUNTS = st.integers(min_value=1, max_value=10**15)


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("3M", 3_000_000, ""),
        ("25K", 25_000, ""),
        ("25k params", 25_000, "params"),
        ("2.6 GMACs", 2_600_000_000, "macs"),
        ("2.6G", 2_600_000_000, ""),
        ("7B", 7_000_000_000, ""),
        ("7b", 7, "bytes"),
        ("1.5 MiB", 1_572_864, "bytes"),
        ("1.5MB", 1_500_000, "bytes"),
        ("2Ki", 2048, ""),
        ("1.2 TFLOPs", 1_200_000_000_000, "flops"),
        ("884,736", 884_736, ""),
        ("884_736", 884_736, ""),
        ("63 %", 63, "%"),
        ("63 percent", 63, "%"),
        ("42x", 42, "x"),
        ("42×", 42, "x"),
        ("8 times", 8, "x"),
        ("-5", -5, ""),
        ("−5", -5, ""),
        (".5M", 500_000, ""),
        ("3.5 ms", 3.5, "ms"),
    ],
)
def test_figures_are_read_with_their_unit(text: str, value: float, unit: str) -> None:
    figure = parse(text)
    assert (figure.value, figure.unit, figure.text) == (value, unit, text)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("2.52M", [2_515_000, 2_516_853, 2_524_999], [2_514_999, 2_525_000]),
        ("884,736", [884_736], [884_735, 884_737]),
        ("~21K", [18_900, 22_176, 23_100], [18_899, 23_101]),
        ("≈21K", [22_176], [23_101]),
        ("about 21K", [22_176], [23_101]),
        ("63%", [62.5, 63.16, 63.49], [62.49, 63.5]),
        ("42x", [41.5, 42.49], [31.6, 42.5]),
        ("1.4M", [1_350_000, 1_449_999], [1_290_240, 1_450_000]),
    ],
)
def test_a_figure_stands_for_what_rounds_to_it(text: str, inside: list[float], outside: list[float]) -> None:
    figure = parse(text)
    assert [number for number in inside if not figure.contains(number)] == []
    assert [number for number in outside if figure.contains(number)] == []


@pytest.mark.parametrize(("text", "relation"), [("<3M", "<"), ("<= 3M", "<="), ("≤3M", "<="), (">3M", ">"), ("≥ 3M", ">="), ("3M", "")])
def test_a_bound_keeps_its_relation(text: str, relation: str) -> None:
    figure = parse(text)
    assert (figure.relation, figure.value) == (relation, 3_000_000)


@pytest.mark.parametrize("text", ["", "three", "K", "1e6", "1,23", "1_00", "1.", "3 apples", "3%%", "--3", "3M 4M", "1.2.3", "9" * 61])
def test_anything_else_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number; write for example|has an unknown unit") as caught:
        parse(text)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("text", "low", "high", "unit"),
    [
        ("2-3M", 2_000_000, 3_000_000, ""),
        ("~2–3M", 1_800_000, 3_300_000, ""),
        ("800K-1M", 800_000, 1_000_000, ""),
        ("2M to 3M params", 2_000_000, 3_000_000, "params"),
        ("60-65 %", 60, 65, "%"),
        ("1.5-2x", 1.5, 2, "x"),
        ("about 100-200", 90, 220, ""),
    ],
)
def test_a_range_is_taken_at_its_ends(text: str, low: float, high: float, unit: str) -> None:
    figure = parse(text)
    assert (figure.low, figure.high, figure.unit, figure.is_range) == (low, high, unit, True)
    assert [figure.contains(number) for number in (low, high, low * 0.999, high * 1.001)] == [True, True, False, False]
    assert figure.value == pytest.approx((figure.low + figure.high) / 2, rel=0.1)


@pytest.mark.parametrize("text", ["3-2M", "5-5", "-2-3M", "<2-3M", "2-3-4M"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "relation", "value"),
    [("under 3M", "<", 3e6), ("Less than 5 %", "<", 5), ("at most 4", "<=", 4), ("up to 3K", "<=", 3e3), ("at least 2x", ">=", 2)],
)
def test_a_bound_may_be_said_in_words(text: str, relation: str, value: float) -> None:
    assert (parse(text).relation, parse(text).value) == (relation, value)


def test_multipliers_may_be_words_and_a_sign_is_kept_in_mind() -> None:
    assert [parse(text).value for text in ("3 million", "2.5 billion params", "5 thousand")] == [3e6, 2.5e9, 5e3]
    assert [parse(text).is_signed for text in ("-63 %", "+544", "−5", "63 %")] == [True, True, True, False]


def test_about_widens_by_what_it_is_told() -> None:
    assert (parse("~100", tolerance=0.02).low, parse("~100", tolerance=0.02).high) == (98, 102)
    assert parse("100", tolerance=0.02).is_exact


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        figure = parse(text)
    except ValueError:
        return
    assert isinstance(figure, Quantity)
    assert figure.low <= figure.value <= figure.high


# --- printing -------------------------------------------------------------------------------------------------------


def is_tie(number: int, unit: str) -> bool:
    """Whether a number lies exactly between two printed figures."""
    figure = parse(format_short(number, unit))
    return number in (figure.low, figure.high) and figure.low != figure.high


@given(COUNTS, st.sampled_from(["", "bytes"]))
@example(999_499, "")
@example(999_500, "")
@example(1024, "bytes")
@example(2**20 - 1, "bytes")
def test_a_short_figure_reads_back_as_an_interval_with_its_number(number: int, unit: str) -> None:
    assume(not is_tie(number, unit) and not (unit == "bytes" and number < 1024))
    assert parse(format_short(number, unit)).contains(number)


@pytest.mark.parametrize("number", [1_005, 1_015, 10_250])
def test_a_number_between_two_figures_is_rounded_up(number: int) -> None:
    assert parse(format_short(number)).contains(number)


def test_a_small_number_of_bytes_reads_back() -> None:
    assert parse(format_short(1023, "bytes")).contains(1023)


@given(COUNTS)
def test_an_exact_figure_reads_back_as_its_number(number: int) -> None:
    figure = parse(format_exact(number))
    assert (figure.low, figure.value, figure.high) == (number, number, number)


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_a_signed_figure_reads_back_as_its_number(number: int) -> None:
    text = format_signed(number)
    assert parse(text).value == number
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
    assert not text.startswith("1.00x")
    if before != after:
        assert text.endswith("fewer" if after < before else "more")


def test_ratios_say_which_way() -> None:
    assert format_ratio(700_928, 22_176) == "31.6x fewer"
    assert format_ratio(1, 2) == "2.00x more"
    assert (format_ratio(0, 3), format_ratio(3, 0)) == ("new", "gone")


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        # below 1.005 two decimals would print 1.00x; from there on they print 1.01x
        (1_000_000, 1_004_999, "<1.01x more"),
        (1_004_999, 1_000_000, "<1.01x fewer"),
        (1_000_000, 1_005_001, "1.01x more"),
        (1_000, 9_994, "9.99x more"),
        (1_000, 9_995, "10.0x more"),
        (1_000, 99_949, "99.9x more"),
        (1_000, 99_950, "100x more"),
    ],
)
def test_a_ratio_has_three_digits_and_is_never_rounded_to_one(before: int, after: int, text: str) -> None:
    assert format_ratio(before, after) == text


@given(COUNTS, COUNTS, st.sampled_from(["", "bytes"]))
@example(2_516_853, 2_516_854, "")
@example(999_999, 1_000_000, "")
def test_two_numbers_in_one_sentence_look_equal_only_if_they_are(first: int, second: int, unit: str) -> None:
    texts = format_pair(first, second, unit)
    assert (texts[0] == texts[1]) == (first == second)
