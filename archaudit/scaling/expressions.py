"""Polynomials with exact coefficients in sizes and in rounded sizes: `9408*B*((H + 1)//2)*((W + 1)//2)`.

An atom is a piece of Python text: a variable (`H`), a rounded size (`((H + 1)//2)`), or a condition that is 1 or 0 (`(B == 1)`). Python
itself evaluates it, with integers of any size; `reading` checks texts that come from a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fractions import Fraction
from functools import lru_cache
from math import lcm
from types import CodeType

# Each atom with its power, sorted by atom; empty for the constant term.
Monomial = tuple[tuple[str, int], ...]

_DIVISORS = re.compile(r"//(\d+)")
_FUNCTIONS = {"max": max, "min": min}


class Expression:
    """An immutable polynomial: `terms` has the coefficient of each monomial. Its value is an integer for every valid size."""

    __slots__ = ("_code", "terms")

    def __init__(self, terms: Mapping[Monomial, Fraction | int] | None = None) -> None:
        self.terms: dict[Monomial, Fraction] = {each: Fraction(value) for each, value in (terms or {}).items() if value}
        self._code: CodeType | None = None

    @classmethod
    def constant(cls, value: Fraction | int) -> Expression:
        """A number."""
        return cls({(): value})

    @classmethod
    def atom(cls, text: str) -> Expression:
        """One variable, rounded size or condition."""
        return cls({((text, 1),): 1})

    def __add__(self, other: Expression) -> Expression:
        return sum_expressions((self, other))

    def __sub__(self, other: Expression) -> Expression:
        return sum_expressions((self, other * -1))

    def __mul__(self, other: Expression | Fraction | int) -> Expression:
        if not isinstance(other, Expression):
            return Expression({monomial: value * other for monomial, value in self.terms.items()})
        terms: dict[Monomial, Fraction] = {}
        for left, value in self.terms.items():
            for right, factor in other.terms.items():
                monomial = _multiply(left, right)
                terms[monomial] = terms.get(monomial, Fraction(0)) + value * factor
        return Expression(terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.terms == other.terms

    def __hash__(self) -> int:
        return hash(frozenset(self.terms.items()))

    def __repr__(self) -> str:
        return self.format()

    @property
    def is_constant(self) -> bool:
        """Whether no size changes it."""
        return not any(self.terms)

    @property
    def is_atom(self) -> bool:
        """Whether it is one atom and nothing else."""
        return len(self.terms) == 1 and next(iter(self.terms.values())) == 1 and [power for _, power in next(iter(self.terms))] == [1]

    @property
    def atoms(self) -> tuple[str, ...]:
        """The different atoms, sorted."""
        return tuple(sorted({atom for monomial in self.terms for atom, _ in monomial}))

    def format(self) -> str:
        """Python text, in a fixed order: `4*B*T**2 + 12*B*T`. Fractions have one common divisor, which divides every value exactly."""
        divisor = lcm(*(value.denominator for value in self.terms.values())) if self.terms else 1
        parts = [_format_term(monomial, int(self.terms[monomial] * divisor)) for monomial in self.sort_terms()]
        text = " + ".join(parts).replace("+ -", "- ") or "0"
        return text if divisor == 1 else f"({text})//{divisor}"

    def sort_terms(self) -> list[Monomial]:
        """The monomials: the highest powers first, then those of larger sizes, then by name."""
        return sorted(self.terms, key=lambda monomial: (-sum(power for _, power in monomial), _find_divisor(monomial), monomial))

    def evaluate(self, sizes: Mapping[str, int]) -> int:
        """The value at the sizes of all variables. Raises KeyError for a variable without a size."""
        if self._code is None:
            self._code = compile_text(self.format())
        return evaluate_code(self._code, sizes)


def sum_expressions(expressions: Iterable[Expression]) -> Expression:
    """The sum of any number of expressions; zero for none."""
    terms: dict[Monomial, Fraction] = {}
    for expression in expressions:
        for monomial, value in expression.terms.items():
            terms[monomial] = terms.get(monomial, Fraction(0)) + value
    return Expression(terms)


def multiply_all(expressions: Iterable[Expression]) -> Expression:
    """The product; one for none."""
    product = Expression.constant(1)
    for expression in expressions:
        product = product * expression
    return product


@lru_cache(maxsize=4096)
def compile_text(text: str) -> CodeType:
    """The compiled text of an expression, which was made here or checked by `reading`."""
    return compile(text, "<expression>", "eval")


def evaluate_code(code: CodeType, sizes: Mapping[str, int]) -> int:
    """The value of a compiled expression. Raises KeyError for a variable without a size."""
    missing = [name for name in code.co_names if name not in sizes and name not in _FUNCTIONS]
    if missing:
        raise KeyError(missing[0])
    return int(eval(code, {"__builtins__": {}, **_FUNCTIONS}, dict(sizes)))


def _multiply(left: Monomial, right: Monomial) -> Monomial:
    if not left or not right:
        return left or right
    powers = dict(left)
    for atom, power in right:
        # a condition is 1 or 0, so its square is itself
        powers[atom] = 1 if is_condition(atom) else powers.get(atom, 0) + power
    return tuple(sorted(powers.items()))


def is_condition(atom: str) -> bool:
    """Whether an atom is 1 or 0."""
    return "==" in atom or ">=" in atom


def _find_divisor(monomial: Monomial) -> int:
    return max((int(number) for atom, _ in monomial for number in _DIVISORS.findall(atom)), default=1)


def _sort_atom(factor: tuple[str, int]) -> tuple[bool, str]:
    return factor[0].startswith("("), factor[0]  # plain sizes first


def _format_term(monomial: Monomial, value: int) -> str:
    factors = [atom if power == 1 else f"{atom}**{power}" for atom, power in sorted(monomial, key=_sort_atom)]
    if value == -1 and factors:
        return "-" + "*".join(factors)
    return "*".join(([str(value)] if value != 1 or not factors else []) + factors)


def round_down(numerator: str, divisor: int, offset: int = 0) -> str:
    """The atom for a size that is divided and rounded down: `((H + 1)//2)`."""
    shifted = numerator if offset == 0 else f"({numerator} {'+' if offset > 0 else '-'} {abs(offset)})"
    return f"({shifted}//{divisor})" if divisor > 1 else shifted
