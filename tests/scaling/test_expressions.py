"""Polynomials in sizes: arithmetic, text both ways, values, and what a text may not contain."""

import pytest

from archaudit.errors import InputError
from archaudit.scaling import Expression, parse_expression, parse_sizes
from archaudit.scaling.reading import NotArithmeticError, degree_of, leading_terms

B, T = Expression.atom("B"), Expression.atom("T")
HALF = Expression.atom("((H + 1)//2)")


def test_products_are_expanded_and_equal_terms_are_added():
    # (B + 2) * (B - 2) = B^2 - 4
    assert (B + Expression.constant(2)) * (B - Expression.constant(2)) == B * B - Expression.constant(4)
    assert (B * T - B * T).format() == "0"


def test_terms_are_written_by_degree_with_plain_sizes_first():
    assert (B * T * 12 + B * T * T * 4 + HALF * B).format() == "4*B*T**2 + 12*B*T + B*((H + 1)//2)"


def test_a_text_is_read_as_the_expression_that_wrote_it():
    law = B * T * T * 4 - HALF * HALF * B * 3 + Expression.constant(7)
    assert parse_expression(law.format()) == law
    assert parse_expression("max(B*T, 5)").evaluate({"B": 2, "T": 3}) == 6


def test_values_are_exact_integers_of_any_size():
    # ceil(7/2) = 4, and 10^12 squared is beyond floating point
    law = HALF * B * B
    assert law.evaluate({"B": 10**12, "H": 7}) == 4 * 10**24


def test_fractions_have_one_common_divisor():
    # a quarter of an image of 8 x 8, twice: 2 * 64 / 4
    quarter = Expression.atom("H") * Expression.atom("W") * Expression.constant(1) * parse_expression("2")
    law = Expression({monomial: value / 4 for monomial, value in quarter.terms.items()})
    assert law.format() == "(H*W)//2"
    assert law.evaluate({"H": 8, "W": 8}) == 32


def test_a_variable_without_a_size_is_named():
    with pytest.raises(KeyError, match="T"):
        (B * T).evaluate({"B": 1})


@pytest.mark.parametrize(
    "text", ["__import__('os')", "B.real", "B[0]", "lambda: 1", "B**T", "2**99", "B/2", "1.5", "'a'", "max(B, key=T)", "(", "x" * 2_000_000]
)
def test_a_text_that_is_more_than_arithmetic_is_refused(text):
    with pytest.raises(NotArithmeticError):
        parse_expression(text)


def test_the_power_of_a_variable_ignores_rounding_and_conditions():
    law = parse_expression("4*B*T**2 + T*((T + 3)//4)*(B == 1) + 12*B*T")
    assert (degree_of(law, "T"), degree_of(law, "B")) == (2, 1)
    assert leading_terms(law, "T", 1) == parse_expression("4*B*T**2 + T*((T + 3)//4)*(B == 1)")


def test_sizes_are_read_and_an_unknown_one_is_named():
    assert parse_sizes("B=1, T=8_192", {"B": 0, "T": 0}) == {"B": 1, "T": 8192}
    with pytest.raises(InputError, match="no size 'H'"):
        parse_sizes("H=3", {"B": 0})
    with pytest.raises(InputError, match="'B=x' is not a size"):
        parse_sizes("B=x")
