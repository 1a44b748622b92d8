"""From samples to expressions: the cost of each module in terms of the sizes of the input, or why there is none.

An operator that runs equally often in every sample is expressed by the sizes that its cost is a product of. Operators of which some runs
are missing in some samples (a loop over tokens, a copy that one row does not need) are summed up in each module first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product
from math import prod

from archaudit.scaling.explaining import Doubt, Explainer, Values
from archaudit.scaling.expressions import Expression, multiply_all, sum_expressions
from archaudit.scaling.samples import INPUT, Key, Sample, Sizes

# A solution that was found from fewer equations than this above the number of its terms proves nothing.
_SPARE_EQUATIONS = 2
# Fewer samples of one case prove nothing; more cases within cases are not understood.
_FEWEST_SAMPLES, _MOST_CASES = 4, 2
# A model pads to a multiple of these; for larger ones, too few samples are multiples.
_REMAINDERS = (2, 4, 7, 8)
_HOLDS = ("== 1)", "== 0)")


@dataclass(slots=True)
class Laws:
    """The expressions of one quantity by the position of the module, and the operators of modules for which none was found."""

    own: dict[int, Expression] = field(default_factory=dict)
    unresolved: dict[int, str] = field(default_factory=dict)

    @property
    def total(self) -> Expression | None:
        """The sum over all modules; None if one is unresolved."""
        return None if self.unresolved else sum_expressions(self.own.values())


class Fitter:
    """Finds the expressions of all quantities from the same samples."""

    def __init__(self, samples: Sequence[Sample], steps: Mapping[str, int], earlier: Fitter | None = None) -> None:
        self.samples = samples
        self.explainer: Explainer = Explainer(
            [sample.sizes for sample in samples], steps, earlier.explainer if earlier is not None else None
        )
        self._parts: dict[tuple[int, ...], Explainer] = {}
        self._totals: dict[Values, Expression | None] = {}
        self._costs: dict[tuple[Sizes, ...], Expression | None] = {}

    def take(self, numbers: Sequence[int]) -> Fitter:
        """A fitter for some of the samples, which knows the same sizes."""
        chosen = Fitter([self.samples[number] for number in numbers], {})
        chosen.explainer = self.explainer.take(numbers)
        return chosen

    def explain_sizes(self) -> list[Doubt]:
        """Explains every size that a cost is a product of; returns the doubts, which another sample may decide."""
        for tables in ([sample.products for sample in self.samples], [_as_rows(sample.allocations) for sample in self.samples]):
            for key in tables[0]:
                rows = [table[key] for table in tables if key in table]
                if len(rows) == len(self.samples) and len({tuple(map(len, row)) for row in rows}) == 1:
                    for columns in zip(*rows, strict=True):
                        for values in zip(*columns, strict=True):
                            self.explainer.explain(values)
        return list(self.explainer.doubts.values())

    def fit_macs(self) -> Laws:
        """Multiply-accumulates."""
        return self._fit([sample.products for sample in self.samples])

    def fit_activation_bytes(self) -> Laws:
        """Bytes of allocated tensors; inputs are not allocated."""
        tables = [{key: (sizes,) for key, sizes in sample.allocations.items() if key[1] != INPUT} for sample in self.samples]
        return self._fit(tables)

    def fit_allocations(self) -> dict[Key, Expression] | None:
        """The bytes of each storage that every sample has; None if one of them has no expression."""
        common = set.intersection(*(set(sample.allocations) for sample in self.samples))
        found = {}
        for key in common:
            expression = self.fit_product([sample.allocations[key] for sample in self.samples])
            if expression is None:
                return None
            found[key] = expression
        return found

    def fit_rows(self, rows: Sequence[tuple[Sizes, ...]]) -> Expression | None:
        """The sum of products of each sample, in the same order in all of them; None if there is no expression."""
        if len({len(each) for each in rows}) == 1:
            found = [self.fit_product(list(column)) for column in zip(*rows, strict=True)]
            if None not in found:
                return sum_expressions(each for each in found if each is not None)
        return self.fit_total(tuple(sum(map(prod, each)) for each in rows))

    def fit_product(self, column: Sequence[Sizes]) -> Expression | None:
        """One product of sizes, as each sample has it."""
        key = tuple(column)
        if key not in self._costs:
            self._costs[key] = self._fit_factors(column)
        return self._costs[key]

    def _fit_factors(self, column: Sequence[Sizes]) -> Expression | None:
        total = self.explainer.explain_multiple(tuple(map(prod, column)))
        if total is not None:  # the order of the factors may differ, for a batch of one for example
            return total
        if len({len(sizes) for sizes in column}) == 1:
            factors = [self.explainer.explain(values) for values in zip(*column, strict=True)]
            if None not in factors:
                return multiply_all(factor for factor in factors if factor is not None)
        return self.fit_total(tuple(map(prod, column)))

    def fit_total(self, values: Values) -> Expression | None:
        """Numbers that are no product of known sizes: a sum over a loop, or one that differs where a size is one."""
        if values not in self._totals:
            self._totals[values] = self._fit_part(values, tuple(range(len(values))), 0)
        return self._totals[values]

    def _fit_part(self, values: Values, numbers: tuple[int, ...], depth: int) -> Expression | None:
        """The numbers of some of the samples; in cases if there is no single expression."""
        if numbers not in self._parts:
            self._parts[numbers] = self.explainer if len(numbers) == len(self.samples) else self.explainer.take(numbers)
        explainer = self._parts[numbers]
        found = explainer.explain(values) or fit_polynomial(explainer, values)
        return found if found is not None or depth == _MOST_CASES else self._fit_cases(values, numbers, depth)

    def _fit_cases(self, values: Values, numbers: tuple[int, ...], depth: int) -> Expression | None:
        """One expression where a size is one, and another where it is larger: torch copies nothing then, for example."""
        for atom, remainder, column in self.list_splits():
            sides: list[Expression] = []
            for condition in name_conditions(atom, remainder):
                chosen = [place for place, number in enumerate(numbers) if column[number] == condition.endswith(_HOLDS)]
                part = tuple(values[place] for place in chosen)
                # where the only variable is one, there is one point
                fewest = 1 if condition == f"({atom} == 1)" and self.explainer.variables == (atom,) else _FEWEST_SAMPLES
                if len(chosen) < fewest and any(part):
                    break
                # nothing at all is one case, which needs no further one
                found = self._fit_part(part, tuple(numbers[place] for place in chosen), depth + 1) if any(part) else Expression()
                if found is None:
                    break
                sides.append(_restrict(found, atom, condition))
            if len(sides) == 2:
                return sides[0] + sides[1]
        return None

    def list_splits(self) -> list[tuple[str, int, tuple[bool, ...]]]:
        """What divides the samples into two cases: a size, the number that it may be a multiple of (1: it may be one), and where it is."""
        units = self.explainer.list_units()
        ones = [(atom, 1, tuple(size == 1 for size in column)) for atom, column in units]
        multiples = [(atom, by, tuple(size % by == 0 for size in column)) for by in _REMAINDERS for atom, column in units if atom != "B"]
        return [(atom, by, column) for atom, by, column in ones + multiples if len(set(column)) == 2]

    def _fit(self, tables: Sequence[Mapping[Key, tuple[Sizes, ...]]]) -> Laws:
        laws = Laws()
        own: defaultdict[int, list[Expression]] = defaultdict(list)
        common = set.intersection(*map(set, tables))
        missing = {(key[0], key[1]) for table in tables for key in table if key not in common}
        for key in tables[0]:
            if (key[0], key[1]) in missing:
                continue
            expression = self.fit_rows([table[key] for table in tables])
            if expression is None:
                laws.unresolved.setdefault(key[0], key[1])
            else:
                own[key[0]].append(expression)
        for position in sorted({position for position, _ in missing}):
            operators = sorted(operator for place, operator in missing if place == position)
            # one operator may run in place of another: torch multiplies a batch of one by addmm, larger ones by mm and add
            whole = self.fit_total(_sum_up(tables, position, operators))
            found = [whole] if whole is not None else [self.fit_total(_sum_up(tables, position, [each])) for each in operators]
            for operator, each in zip(operators, found, strict=False):
                if each is None:
                    laws.unresolved.setdefault(position, operator)
            own[position] += [each for each in found if each is not None]
        laws.own = {position: sum_expressions(each) for position, each in own.items()}
        return laws


def fit_polynomial(explainer: Explainer, values: Values) -> Expression | None:
    """An exact polynomial of low degree in the variables, for numbers that are summed over a loop; None if no small one fits."""
    variables = explainer.variables
    for degrees in ((1,), (2,), (3,)):
        for constant_batch in (False, True):
            powers = [range(degrees[0] + 1) if name != "B" else (range(2) if constant_batch else range(1, 2)) for name in variables]
            chosen = [
                each for each in product(*powers) if sum(power for name, power in zip(variables, each, strict=True) if name != "B") <= 3
            ]
            if len(chosen) + _SPARE_EQUATIONS > len(values):
                continue
            rows = [
                [prod(point[name] ** power for name, power in zip(variables, each, strict=True)) for each in chosen]
                for point in explainer.points
            ]
            solved = _solve(rows, values)
            if solved is not None:
                terms = {
                    tuple(sorted((name, power) for name, power in zip(variables, each, strict=True) if power)): value
                    for each, value in zip(chosen, solved, strict=True)
                }
                return Expression(terms)
    return None


def _sum_up(tables: Sequence[Mapping[Key, tuple[Sizes, ...]]], position: int, operators: Sequence[str]) -> Values:
    """What some operators of a module cost in each sample."""
    return tuple(
        sum(sum(map(prod, terms)) for key, terms in table.items() if key[0] == position and key[1] in operators) for table in tables
    )


def name_conditions(atom: str, by: int) -> tuple[str, str]:
    """The condition of a split, and its opposite."""
    return (f"({atom} == 1)", f"({atom} >= 2)") if by == 1 else (f"({atom} % {by} == 0)", f"({atom} % {by} >= 1)")


def _restrict(found: Expression, atom: str, condition: str) -> Expression:
    """The expression where the condition holds; where the atom is one, it is left out."""
    if condition.endswith("== 1)"):
        terms: defaultdict[tuple[tuple[str, int], ...], Fraction] = defaultdict(Fraction)
        for monomial, value in found.terms.items():
            terms[tuple(each for each in monomial if each[0] != atom)] += value
        found = Expression(terms)
    return found * Expression.atom(condition)


def _as_rows(allocations: Mapping[Key, Sizes]) -> dict[Key, tuple[Sizes, ...]]:
    return {key: (sizes,) for key, sizes in allocations.items()}


# A prime: elimination in its remainders is fast, and finds nearly every system without a solution.
_PRIME = (1 << 61) - 1


def _solve(rows: list[list[int]], values: Sequence[int]) -> list[Fraction] | None:
    """The only solution of more equations than unknowns; None if there is none, or more than one."""
    width = len(rows[0])
    table = [[*row, value] for row, value in zip(rows, values, strict=True)]
    pivots = []
    for column in range(width):
        pivot = next((number for number in range(column, len(table)) if table[number][column]), None)
        if pivot is None:
            return None
        table[column], table[pivot] = table[pivot], table[column]
        pivots.append((column, pivot))
        head, inverse = table[column], pow(table[column][column], -1, _PRIME)
        for number in range(column + 1, len(table)):
            factor = table[number][column] * inverse % _PRIME
            if factor:
                table[number] = [(value - factor * above) % _PRIME for value, above in zip(table[number], head, strict=True)]
    if any(row[width] for row in table[width:]):
        return None
    exact = [[*map(Fraction, row), Fraction(value)] for row, value in zip(rows, values, strict=True)]
    return _solve_exactly(exact, pivots)


def _solve_exactly(table: list[list[Fraction]], pivots: list[tuple[int, int]]) -> list[Fraction] | None:
    width = len(pivots)
    for column, pivot in pivots:
        table[column], table[pivot] = table[pivot], table[column]
        head = table[column]
        if not head[column]:
            return None
        for number, row in enumerate(table):
            if number != column and row[column]:
                factor = row[column] / head[column]
                table[number] = [value - factor * above for value, above in zip(row, head, strict=True)]
    if any(row[width] for row in table[width:]):
        return None
    return [table[number][width] / table[number][number] for number in range(width)]
