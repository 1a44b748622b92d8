"""Finds the expression of a size from its values in several runs: constants, shares, rounded shares, and products and sums of known ones.

Every candidate is exact in all runs. A rounded share `(H + c)//s` may fit for several `c`: `Explainer.doubts` has these, so that the next
run can be chosen where they differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, combinations_with_replacement, pairwise
from math import gcd

from archaudit.scaling.expressions import Expression, round_down

Values = tuple[int, ...]

# Strides and windows multiply up to this; a larger divisor is a coincidence of few values.
_LARGEST_DIVISOR = 4096
_LARGEST_NUMERATOR = 64
# Class tokens, distillation tokens, registers: what is added to a product of rounded sizes.
_TOKENS = (1, 2, -1, 3, 4, 5, 8)
# Sizes of more terms are no sizes that others are made of.
_MOST_TERMS = 3
# The factors of a size that was flattened: batch, rows and columns of windows, and tokens.
_MOST_FACTORS = 4
# Ratios that are tried for one rounded share, and fits that are kept of these.
_MOST_RATIOS, _MOST_FITS = 100, 6
# A size that takes two values only is a case, not a share.
_FEWEST_UNITS = 3
# Products of known sizes are searched among this many of the simplest ones.
_MOST_KNOWN = 120


@dataclass(frozen=True, slots=True)
class Fit:
    """`(numerator*size + c)//divisor` fits for every c from `low` to `high`."""

    numerator: int
    divisor: int
    low: int
    high: int

    def evaluate(self, size: int, offset: int) -> int:
        """The rounded share of a size."""
        return (self.numerator * size + offset) // self.divisor


@dataclass(frozen=True, slots=True)
class Doubt:
    """Several rounded shares of one variable that fit; the first is used."""

    variable: str
    fits: tuple[Fit, ...]

    def count_decided(self, size: int) -> int:
        """How well a run with this size distinguishes the fits: 0 if all of them have the same value there."""
        first = self.fits[0]
        # offsets at which the rounded share changes
        change, width = -(first.numerator * size + first.low) % first.divisor, first.high - first.low
        halved = min(change, width - change + 1) if 0 < change <= width else 0
        different = {fit.evaluate(size, offset) for fit in self.fits for offset in (fit.low, fit.high)}
        return halved + len(different) - 1

    def move(self, size: int, step: int) -> int:
        """The next larger size that divides the offsets of the first fit into halves."""
        first = self.fits[0]
        middle = (first.low + first.high + 1) // 2
        sizes = range(size, size + step * first.divisor, step)
        return next((each for each in sizes if (first.numerator * each + middle) % first.divisor == 0), size)


class Explainer:
    """Explains values that were seen at `points`, each a size for every variable.

    `steps` are the numbers that the sizes are multiples of, counted from the first point. `earlier` has seen all points but the last: its
    expressions are used where they hold at the last point as well.
    """

    def __init__(
        self, points: Sequence[Mapping[str, int]], steps: Mapping[str, int] | None = None, earlier: Explainer | None = None
    ) -> None:
        self.points = points
        self.variables = tuple(points[0])
        self.doubts: dict[str, Doubt] = {}  # by atom
        self._steps = steps or {}
        self._earlier = earlier
        self._columns = {name: tuple(point[name] for point in points) for name in self.variables}
        self._known: dict[Values, Expression | None] = {}
        # the sizes of one term, by the differences of their values: all lines through one of them have the same
        self._lines: dict[Values, tuple[Values, Expression]] = {}
        self._products = self._list_products()
        for expression, column in self._products:
            self._lines.setdefault(_normalise(column), (column, expression))

    def explain(self, values: Values) -> Expression | None:
        """The expression of a size with these values, one for each point; None if there is none of a known form."""
        if len(set(values)) == 1:
            return Expression.constant(values[0])
        if values not in self._known:
            self._record(values, self._recall(values) or self._find_simple(values, 0) or self._find_other(values))
        return self._known[values]

    def explain_multiple(self, values: Values) -> Expression | None:
        """A product of variables times a constant; None for anything else."""
        if len(set(values)) == 1:
            return Expression.constant(values[0])
        found = self._find_line(values)
        return found if found is not None and len(found.terms) == 1 and all(name in self.variables for name in found.atoms) else None

    def list_explained(self) -> list[Values]:
        """The values that have an expression, in the order in which they were found."""
        return [column for column, found in self._known.items() if found is not None]

    def take(self, numbers: Sequence[int]) -> Explainer:
        """An explainer of some of the points, which knows the same sizes."""
        chosen = Explainer([self.points[number] for number in numbers], self._steps)
        for column, found in self._known.items():
            values = tuple(column[number] for number in numbers)
            if found is not None and len(set(values)) > 1:
                chosen._known.setdefault(values, found)
                if len(found.terms) <= _MOST_TERMS:
                    chosen._lines.setdefault(_normalise(values), (values, found))
        return chosen

    def list_units(self) -> list[tuple[str, Values]]:
        """The variables and the rounded shares of them, with their values."""
        atoms = {found.atoms[0]: column for column, found in self._known.items() if found is not None and found.is_atom}
        return [*self._columns.items(), *atoms.items()]

    def _record(self, values: Values, found: Expression | None) -> None:
        self._known[values] = found
        if found is not None and len(found.terms) <= _MOST_TERMS:
            self._lines.setdefault(_normalise(values), (values, found))

    def _recall(self, values: Values) -> Expression | None:
        """What an explainer of fewer points found, if it holds and is not in doubt."""
        if self._earlier is None:
            return None
        found = self._earlier._known.get(values[:-1])
        if found is None or found.evaluate(self.points[-1]) != values[-1]:
            return None
        return None if any(atom in self._earlier.doubts for atom in found.atoms) else found

    def _list_products(self) -> list[tuple[Expression, Values]]:
        """The variables, and their products of up to four factors, simplest first."""
        found = []
        for count in range(1, 5):
            for chosen in combinations_with_replacement(self.variables, count):
                if all(chosen.count(name) <= 2 for name in chosen):
                    expression, column = Expression.constant(1), (1,) * len(self.points)
                    for name in chosen:
                        expression = expression * Expression.atom(name)
                        column = _multiply(column, self._columns[name])
                    found.append((expression, column))
        return found

    def _find_simple(self, values: Values, depth: int) -> Expression | None:
        """A line through a known size, a rounded share, or a product of these."""
        if len(set(values)) == 1:
            return Expression.constant(values[0])
        return (
            self._find_line(values) or self._find_rounded(values) or (self._find_product(values, depth) if depth < _MOST_FACTORS else None)
        )

    def _find_other(self, values: Values) -> Expression | None:
        return self._find_product_with_tokens(values) or self._find_rounded_again(values) or self._find_sum(values)

    def _find_line(self, values: Values) -> Expression | None:
        """A multiple of a known size with a constant added."""
        line = self._lines.get(_normalise(values))
        if line is None:
            return None
        column, found = line
        last = next(number for number, value in enumerate(column) if value != column[0])
        slope = Fraction(values[last] - values[0], column[last] - column[0])
        return found * slope + Expression.constant(values[0] - slope * column[0])

    def _find_rounded(self, values: Values) -> Expression | None:
        """`k * ((a*v + c)//b) + d` of one variable."""
        for name in self.variables:
            if name == "B":
                continue  # a model divides its batch only to undo it
            found = fit_rounded(self._columns[name], values)
            if found is None:
                continue
            factor, added, fits = found
            fit, step = fits[0], self._steps.get(name, 1)
            base = name if fit.numerator == 1 else f"{fit.numerator}*{name}"
            text = round_down(base, fit.divisor, _choose_offset(fit))
            if len(fits) > 1 or fit.high - fit.low >= step:
                self.doubts[text] = Doubt(name, fits)
            atom = Expression.atom(text)
            # a number of windows is a size of its own where the model flattens it
            unit = tuple((value - added) // factor for value in values)
            if unit != values and unit not in self._known:
                self._record(unit, atom)
            return atom * factor + Expression.constant(added)
        return None

    def _list_known(self) -> list[tuple[Values, Expression]]:
        """The known sizes that others are made of."""
        known = [(column, found) for column, found in self._known.items() if found is not None and len(found.terms) == 1]
        return [*((self._columns[name], Expression.atom(name)) for name in self.variables), *known[:_MOST_KNOWN]]

    def _find_product(self, values: Values, depth: int) -> Expression | None:
        """A product of a known size and another that can be explained."""
        for column, found in self._list_known():
            if min(column) < 1 or values[0] % column[0] or values[-1] % column[-1]:
                continue
            if all(value % size == 0 for value, size in zip(values, column, strict=True)):
                quotient = tuple(value // size for value, size in zip(values, column, strict=True))
                if quotient != values and (other := self._known.get(quotient) or self._find_simple(quotient, depth + 1)) is not None:
                    return found * other
        return None

    def _find_product_with_tokens(self, values: Values) -> Expression | None:
        for tokens in _TOKENS:
            without = tuple(value - tokens for value in values)
            if min(without) > 0 and (found := self._find_product(without, _MOST_FACTORS - 2)) is not None:
                return found + Expression.constant(tokens)
        return None

    def _find_rounded_again(self, values: Values) -> Expression | None:
        """A rounded share of a known size or of a product of variables."""
        known = [*self._list_known()[len(self.variables) :], *((column, found) for found, column in self._products)]
        for column, found in known:
            if len(found.atoms) == 1 and found.atoms[0] in self.variables:
                continue  # the variable itself was tried before
            fitted = fit_rounded(column, values)
            if fitted is not None:
                factor, added, fits = fitted
                text = (found * fits[0].numerator).format()
                atom = round_down(text, fits[0].divisor, _choose_offset(fits[0]))
                return Expression.atom(atom) * factor + Expression.constant(added)
        return None

    def _find_sum(self, values: Values) -> Expression | None:
        """A known size and a share of another known size."""
        for column, found in self._list_known():
            rest = tuple(value - size for value, size in zip(values, column, strict=True))
            if min(rest) >= 0 and len(set(rest)) > 1 and (other := self._find_line(rest)) is not None:
                return found + other
        return None


def _normalise(values: Values) -> Values:
    """The differences to the first value, without their common factor: equal for all rising lines through the same size."""
    differences = [value - values[0] for value in values]
    factor = gcd(*differences) or 1
    return tuple(difference // factor for difference in differences)


def _multiply(left: Values, right: Values) -> Values:
    return tuple(one * other for one, other in zip(left, right, strict=True))


def fit_rounded(sizes: Values, values: Values) -> tuple[int, int, tuple[Fit, ...]] | None:
    """`factor, added, fits` of `values = factor * ((numerator*size + c)//divisor) + added`, the simplest fit first; or None."""
    ordered = sorted(zip(sizes, values, strict=True))
    if any(value < before or (size == smaller and value != before) for (smaller, before), (size, value) in pairwise(ordered)):
        return None
    factor = gcd(*(value - values[0] for value in values))
    if factor == 0:
        return None
    added = values[0] % factor
    units = [(size, (value - added) // factor) for size, value in dict(ordered).items()]
    slopes = _limit_slope(units) if len({unit for _, unit in units}) >= _FEWEST_UNITS else None
    if slopes is None:
        return None
    fits = []
    for numerator, divisor in _list_ratios(*slopes):
        low = max(divisor * unit - numerator * size for size, unit in units)
        high = min(divisor * unit + divisor - 1 - numerator * size for size, unit in units)
        if low <= high:
            fits.append(Fit(numerator, divisor, low, high))
    fits.sort(key=_rank)
    return (factor, added, tuple(fits[:_MOST_FITS])) if fits else None


def _limit_slope(units: list[tuple[int, int]]) -> tuple[Fraction, Fraction] | None:
    """The slopes between which a rounded line through the points lies, since rounding changes each value by less than one; or None."""
    lowest, highest = (-1, 1), (1, 0)  # as numerator and denominator: comparing fractions takes most of the time otherwise
    for (size, unit), (larger, above) in combinations(units, 2):
        over, up = larger - size, above - unit
        if (up - 1) * lowest[1] > lowest[0] * over:
            lowest = up - 1, over
        if (up + 1) * highest[1] < highest[0] * over:
            highest = up + 1, over
    if highest[1] == 0 or lowest[0] * highest[1] >= highest[0] * lowest[1]:
        return None
    return Fraction(*lowest), Fraction(*highest)


def _rank(fit: Fit) -> tuple[int, int]:
    """Strides multiply to powers of two nearly always, and windows and patches to small multiples of these."""
    odd = fit.numerator * fit.divisor
    return odd // (odd & -odd), fit.numerator * fit.divisor


def _list_ratios(lowest: Fraction, highest: Fraction) -> list[tuple[int, int]]:
    """Reduced ratios between the two, those of small divisors first."""
    low, low_by, high, high_by = lowest.numerator, lowest.denominator, highest.numerator, highest.denominator
    found: list[tuple[int, int]] = []
    for divisor in range(2, _LARGEST_DIVISOR + 1):
        first, last = max(1, low * divisor // low_by + 1), min(_LARGEST_NUMERATOR, -(-high * divisor // high_by) - 1)
        found += [(numerator, divisor) for numerator in range(first, last + 1) if gcd(numerator, divisor) == 1]
        if len(found) > _MOST_RATIOS:
            break
    return found


def _choose_offset(fit: Fit) -> int:
    """The offset of rounding up or down, if it is possible; else the one next to zero."""
    for offset in (0, fit.divisor - 1):
        if fit.low <= offset <= fit.high:
            return offset
    return fit.low if fit.low > 0 else fit.high
