"""Reads expressions from text, and checks that they are nothing but arithmetic: saved laws are files that anyone can edit."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from fractions import Fraction

from archaudit.errors import InputError
from archaudit.scaling.expressions import Expression

_LONGEST = 1_000_000
_LARGEST_POWER = 16
_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.Pow)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.GtE, ast.LtE, ast.Gt, ast.Lt)


class NotArithmeticError(ValueError):
    """A text is not an expression of sizes."""


def check_arithmetic(text: str) -> ast.expr:
    """The syntax tree of a text that has only integers, names, arithmetic, comparisons, `max` and `min`. Raises NotArithmeticError."""
    if len(text) > _LONGEST:
        raise NotArithmeticError("the expression is too long")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotArithmeticError(f"{text[:80]!r} is not an expression") from error
    for node in ast.walk(tree):
        if not _is_arithmetic(node):
            raise NotArithmeticError(f"{text[:80]!r} has more than arithmetic: {type(node).__name__}")
    return tree


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return type(node.value) is int
    if isinstance(node, ast.BinOp):
        power = not isinstance(node.op, ast.Pow) or (
            isinstance(node.right, ast.Constant) and 0 <= int(str(node.right.value)) <= _LARGEST_POWER
        )
        return isinstance(node.op, _OPERATORS) and power
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("max", "min") and not node.keywords and len(node.args) > 1
    return isinstance(node, (ast.UnaryOp, ast.USub, ast.Name, ast.Load, *_OPERATORS, *_COMPARISONS))


def parse_expression(text: str) -> Expression:
    """The polynomial of a text that `Expression.format` wrote, or that a person did. `max(...)` is an atom. Raises NotArithmeticError."""
    return _read(check_arithmetic(text))


def _read(node: ast.expr) -> Expression:
    if isinstance(node, ast.Constant):
        return Expression.constant(int(str(node.value)))
    if isinstance(node, ast.Name):
        return Expression.atom(node.id)
    if isinstance(node, ast.UnaryOp):
        return _read(node.operand) * -1
    if isinstance(node, ast.BinOp):
        return _read_operation(node)
    return Expression.atom(_write_atom(node))


def _read_operation(node: ast.BinOp) -> Expression:
    if isinstance(node.op, ast.FloorDiv | ast.Mod):
        return Expression.atom(_write_atom(node))
    left = _read(node.left)
    if isinstance(node.op, ast.Pow):
        assert isinstance(node.right, ast.Constant)
        power = Expression.constant(1)
        for _ in range(int(str(node.right.value))):
            power = power * left
        return power
    right = _read(node.right)
    if isinstance(node.op, ast.Mult):
        return left * right
    return left + right if isinstance(node.op, ast.Add) else left - right


def _write_atom(node: ast.expr) -> str:
    text = ast.unparse(node)
    text = re.sub(r"\s*//\s*", "//", text)
    return text if isinstance(node, ast.Call) else f"({text})"


def parse_sizes(text: str, variables: Mapping[str, object] | None = None) -> dict[str, int]:
    """`B=1,T=8192` as sizes. Raises InputError for another form, or for a name that is not among `variables`."""
    sizes: dict[str, int] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = (each.strip() for each in part.partition("="))
        number = value.replace("_", "")
        if not equals or not name.isidentifier() or not number.isdecimal() or int(number) < 1:
            raise InputError(f"{part!r} is not a size", "Write for example B=1,T=8192.")
        if variables is not None and name not in variables:
            raise InputError(f"the law has no size {name!r}", f"Its sizes are {', '.join(variables) or 'none'}.")
        sizes[name] = int(number)
    return sizes


def parse_growth(text: str) -> dict[str, int]:
    """`<= T` or `<= H*W**2` as the largest power of each variable that it names. Raises InputError for another form."""
    relation, bound = text.strip()[:2], text.strip()[2:].replace("^", "**").replace("²", "**2").replace("³", "**3")
    try:
        terms = list(parse_expression(bound).terms)
    except NotArithmeticError:
        terms = []
    monomial = terms[0] if len(terms) == 1 and relation == "<=" else ()
    if not monomial or not all(atom.isidentifier() for atom, _ in monomial):
        raise InputError(f"{text!r} is not a growth", "Write for example <= T or <= H*W.")
    return dict(monomial)


def find_degree(node: ast.expr | str, variable: str) -> int:
    """The highest power of a variable: rounding does not change it. A text is parsed first."""
    if isinstance(node, str):
        node = check_arithmetic(node)
    if isinstance(node, ast.Name):
        return int(node.id == variable)
    if isinstance(node, ast.UnaryOp):
        return find_degree(node.operand, variable)
    if isinstance(node, ast.Call):
        return max(find_degree(each, variable) for each in node.args)
    if not isinstance(node, ast.BinOp) or isinstance(node.op, ast.Mod):
        return 0  # a number, a condition or a remainder is bounded
    left = find_degree(node.left, variable)
    if isinstance(node.op, ast.Pow):
        assert isinstance(node.right, ast.Constant)
        return left * int(str(node.right.value))
    right = find_degree(node.right, variable)
    return left + right if isinstance(node.op, ast.Mult) else max(left, right)


def degree_of(expression: Expression, variable: str) -> int:
    """The highest power of a variable in a polynomial."""
    return max((sum(power * find_degree(atom, variable) for atom, power in each) for each in expression.terms), default=0)


def leading_terms(expression: Expression, variable: str, above: int) -> Expression:
    """The terms in which the power of a variable is larger than `above`."""
    kept: dict[tuple[tuple[str, int], ...], Fraction] = {}
    for monomial, value in expression.terms.items():
        if sum(power * find_degree(atom, variable) for atom, power in monomial) > above:
            kept[monomial] = value
    return Expression(kept)
