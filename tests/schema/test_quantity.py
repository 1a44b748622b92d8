"""Numbers as people write them, parsed to intervals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archaudit.schema.quantity import Quantity, parse_limit, parse_quantity


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
    figure = parse_quantity(text)
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
def test_a_figure_means_what_rounds_to_it(text: str, inside: list[float], outside: list[float]) -> None:
    figure = parse_quantity(text)
    assert [number for number in inside if not figure.contains(number)] == []
    assert [number for number in outside if figure.contains(number)] == []


@pytest.mark.parametrize(("text", "relation"), [("<3M", "<"), ("<= 3M", "<="), ("≤3M", "<="), (">3M", ">"), ("≥ 3M", ">="), ("3M", "")])
def test_a_bound_keeps_its_relation(text: str, relation: str) -> None:
    figure = parse_quantity(text)
    assert (figure.relation, figure.value) == (relation, 3_000_000)


@pytest.mark.parametrize(
    "text", ["", "three", "K", "1e", "1e3.5", "1,23", "1_00", "1.", "3 apples", "3%%", "--3", "3M 4M", "1.2.3", "9" * 61]
)
def test_anything_else_says_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number; write for example|has an unknown unit") as caught:
        parse_quantity(text)
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
def test_a_range_runs_between_its_ends(text: str, low: float, high: float, unit: str) -> None:
    figure = parse_quantity(text)
    assert (figure.low, figure.high, figure.unit, figure.is_range) == (low, high, unit, True)
    assert [figure.contains(number) for number in (low, high, low * 0.999, high * 1.001)] == [True, True, False, False]
    assert figure.value == pytest.approx((figure.low + figure.high) / 2, rel=0.1)


@pytest.mark.parametrize("text", ["3-2M", "5-5", "-2-3M", "<2-3M", "2-3-4M"])
def test_what_is_no_range_raises(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "relation", "value"),
    [("under 3M", "<", 3e6), ("Less than 5 %", "<", 5), ("at most 4", "<=", 4), ("up to 3K", "<=", 3e3), ("at least 2x", ">=", 2)],
)
def test_a_bound_may_be_written_in_words(text: str, relation: str, value: float) -> None:
    assert (parse_quantity(text).relation, parse_quantity(text).value) == (relation, value)


def test_multipliers_may_be_words_and_a_sign_is_recorded() -> None:
    assert [parse_quantity(text).value for text in ("3 million", "2.5 billion params", "5 thousand")] == [3e6, 2.5e9, 5e3]
    assert [parse_quantity(text).is_signed for text in ("-63 %", "+544", "−5", "63 %")] == [True, True, True, False]


def test_about_widens_by_the_tolerance() -> None:
    assert (parse_quantity("~100", tolerance=0.02).low, parse_quantity("~100", tolerance=0.02).high) == (98, 102)
    assert parse_quantity("100", tolerance=0.02).is_exact


@given(st.text(max_size=80))
def test_any_text_is_parsed_or_raises(text: str) -> None:
    try:
        figure = parse_quantity(text)
    except ValueError:
        return
    assert isinstance(figure, Quantity)
    assert figure.low <= figure.value <= figure.high


@pytest.mark.parametrize("text", ["٣M", "３M", "1२3", "2-٣M"])
def test_digits_of_other_scripts_are_no_number(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a number|unknown unit"):
        parse_quantity(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("100-200", "is a range"), ("2M to 3M", "is a range"), ("0.18m", "m is a thousandth"), ("<3m params", "m is a thousandth")],
)
def test_a_limit_is_one_number_and_no_lowercase_m(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_limit(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0.18M", 180_000), ("10 mib", 10 * 2**20), ("3 million", 3e6), ("3 macs", 3), ("1.5 ms", 1.5)]
)
def test_other_words_with_m_are_limits(text: str, value: float) -> None:
    assert parse_limit(text).value == value


def test_a_figure_of_sixty_characters_is_read_and_a_longer_one_is_not() -> None:
    assert parse_quantity("5" + 58 * " " + "M").value == 5_000_000
    with pytest.raises(ValueError, match="is not a number"):
        parse_quantity("5" + 59 * " " + "M")


def test_a_capital_m_is_a_million_not_a_part_of_milliseconds() -> None:
    assert (parse_quantity("5Ms").unit, parse_quantity("5Ms").scale) == ("s", 10**6)
    assert parse_quantity("5ms").unit == "ms"
