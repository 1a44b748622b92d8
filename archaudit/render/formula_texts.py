"""Formulas of costs as text: expressions for people, and the output of `archaudit formula` in a terminal."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_short
from archaudit.render.formatting import make_visible, name_path
from archaudit.render.layout import wrap
from archaudit.scaling.comparison import find_crossings, subtract_laws
from archaudit.scaling.expressions import compile_text, evaluate_code
from archaudit.scaling.reading import check_arithmetic
from archaudit.schema import Law, ScalingLaws

_LABELS = {"kv_bytes": "Bytes of the cache"}
# What an expression with fractions is written as: the sum divides without a rest, so this is no rounding.
EXACT = re.compile(r"\((.*)\)//(\d+)")
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# Binding strength of a written expression: a sum, a product, a power or a single name.
_SUM, _PRODUCT, _ATOM = range(3)


def label_quantity(name: str) -> str:
    """The name of a quantity for people."""
    return METRICS[name].label if name in METRICS else _LABELS.get(name, name)


def write_expression(text: str) -> str:
    """An expression as people write it: `9,408·B·ceil(H/2)·ceil(W/2)`."""
    exact = EXACT.fullmatch(text)
    if exact is not None:
        return f"({_write(check_arithmetic(exact[1]))[0]})/{int(exact[2]):,}"
    return _write(check_arithmetic(text))[0]


def _write(node: ast.expr) -> tuple[str, int]:
    if isinstance(node, ast.Constant):
        return f"{int(str(node.value)):,}", _ATOM
    if isinstance(node, ast.Name):
        return node.id, _ATOM
    if isinstance(node, ast.UnaryOp):
        return f"-{_enclose(node.operand, _PRODUCT)}", _PRODUCT
    if isinstance(node, ast.Compare):
        sign = {ast.Eq: "=", ast.GtE: "≥"}.get(type(node.ops[0]), "?")
        return f"[{_write(node.left)[0]} {sign} {_write(node.comparators[0])[0]}]", _ATOM
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return f"{node.func.id}({', '.join(_write(each)[0] for each in node.args)})", _ATOM
    assert isinstance(node, ast.BinOp)
    if isinstance(node.op, ast.FloorDiv):
        return _write_rounded(node), _ATOM
    if isinstance(node.op, ast.Mod):
        return f"{_enclose(node.left, _ATOM)} mod {_write(node.right)[0]}", _PRODUCT
    if isinstance(node.op, ast.Pow):
        return f"{_enclose(node.left, _ATOM)}{_write(node.right)[0].translate(_SUPERSCRIPTS)}", _ATOM
    if isinstance(node.op, ast.Mult):
        return f"{_enclose(node.left, _PRODUCT)}·{_enclose(node.right, _PRODUCT)}", _PRODUCT
    sign = "+" if isinstance(node.op, ast.Add) else "-"
    return f"{_write(node.left)[0]} {sign} {_enclose(node.right, _PRODUCT)}", _SUM


def _enclose(node: ast.expr, least: int) -> str:
    text, strength = _write(node)
    return text if strength >= least else f"({text})"


def _write_rounded(node: ast.BinOp) -> str:
    """A rounded size: `ceil(H/2)` for `(H + 1)//2`, `floor(H/2)` for `H//2`."""
    inner, by = read_rounded(node)
    if inner is not None:
        return f"ceil({_enclose(inner, _PRODUCT)}/{by})"
    return f"floor({_enclose(node.left, _PRODUCT)}/{by})"


def read_rounded(node: ast.BinOp) -> tuple[ast.expr | None, int]:
    """What a rounded size rounds up (None: it rounds down), and its divisor."""
    assert isinstance(node.right, ast.Constant)
    by, inner = int(str(node.right.value)), node.left
    is_sum = isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Add) and isinstance(inner.right, ast.Constant)
    rounds_up = is_sum and int(str(inner.right.value)) == by - 1  # type: ignore[attr-defined]
    return (inner.left if rounds_up else None), by  # type: ignore[attr-defined]


# --- the terminal ---


def format_laws(laws: Sequence[ScalingLaws], width: int, *, modules: bool = False) -> Iterator[str]:
    """Lines: the formula of each quantity, of each module if wanted, the sizes with the range that was run, and what is not known.

    Two models are before and after: their difference follows.
    """
    for number, each in enumerate(laws):
        if number:
            yield ""
        yield f"{make_visible(each.name)}: costs in the sizes of the input"
        yield ""
        for name, law in each.laws.items():
            yield label_quantity(name)
            yield from wrap(f"  {describe_law(law)}", width, "  ")
            for expression, path in law.pieces:
                yield from wrap(f"    {write_expression(expression)}, at {name_path(path)}", width, "  ")
        if modules:
            yield from _format_modules(each, width)
        yield ""
        for line in describe_range(each):
            yield from wrap(line, width, "  ")
    if len(laws) == 2:
        yield from ("", "difference, after minus before", "")
        for line in describe_difference(laws[0], laws[1]):
            yield from wrap(line, width, "  ")


def describe_law(law: Law) -> str:
    """The expression of a law for people, or why there is none."""
    if law.expression is None:
        return f"not known: {law.reason}"
    if law.pieces:
        return "piecewise, the largest of:" if law.expression.startswith("max") else f"piecewise: {write_expression(law.expression)}"
    return write_expression(law.expression)


def _format_modules(laws: ScalingLaws, width: int) -> Iterator[str]:
    yield ""
    for module in laws.modules:
        for name, law in module.laws.items():
            yield from wrap(f"  {name_path(module.path)}, {label_quantity(name)}: {describe_law(law)}", width, "  ")


def describe_range(laws: ScalingLaws) -> Iterator[str]:
    """The sizes with the range that was run, how the formulas were checked, and the notes."""
    for variable in laws.variables:
        step = f", in steps of {variable.step}" if variable.step > 1 else ""
        meaning = f" ({variable.meaning})" if variable.meaning else ""
        yield f"{variable.name}{meaning}: {variable.low:,} to {variable.high:,}{step}, here {variable.base:,}"
    if laws.fixed:
        yield f"fixed by the model: {', '.join(laws.fixed)}"
    exact = "all equal" if not laws.wrong else f"{len(laws.wrong)} different"
    yield f"found from {len(laws.points)} runs, checked in {len(laws.checked)} others: {exact}"
    yield from (f"- {make_visible(text)}" for text in (*laws.wrong, *laws.notes))


def describe_difference(before: ScalingLaws, after: ScalingLaws) -> Iterator[str]:
    """After minus before for each quantity, and from which size on which of the two is cheaper."""
    shared = [each.name for each in before.variables if each.name in {other.name for other in after.variables}]
    sizes = {each.name: each.base for each in (*after.variables, *before.variables)}
    for name, law in before.laws.items():
        other = after.laws.get(name)
        if law.expression is None or other is None or other.expression is None:
            continue
        is_piecewise = bool(law.pieces or other.pieces)
        difference = "piecewise" if is_piecewise else write_expression(subtract_laws(law.expression, other.expression))
        yield f"{label_quantity(name)}: {difference}"
        if name == "flops":
            continue  # it crosses where the MACs do
        for variable in shared:
            fixed = ", ".join(f"{each}={size}" for each, size in sizes.items() if each != variable)
            first, crossings = find_crossings(law.expression, other.expression, variable, sizes)
            for crossing in crossings:
                yield (
                    f"  after is {'cheaper' if crossing.cheaper else 'more expensive'} from {variable} = {crossing.size:,}"
                    f"{f' ({fixed})' if fixed else ''}"
                )
            if not crossings and variable == shared[-1] and first:
                yield f"  after is {'cheaper' if first < 0 else 'more expensive'} at every {variable}{f' ({fixed})' if fixed else ''}"


def format_values(laws: Sequence[ScalingLaws], sizes: Mapping[str, int]) -> Iterator[str]:
    """The costs at some sizes, exact and rounded; with a note where they are outside of the range that was run."""
    for each in laws:
        used = {variable.name: sizes[variable.name] for variable in each.variables}
        yield from ("", f"{make_visible(each.name)} at {', '.join(f'{name}={size:,}' for name, size in used.items())}")
        for name, law in each.laws.items():
            if law.expression is not None:
                value = evaluate_code(compile_text(law.expression), used)
                unit = METRICS[name].unit if name in METRICS else "bytes"
                yield f"  {label_quantity(name)}: {value:,} ({format_short(value, unit)})"
        outside = [variable.name for variable in each.variables if not variable.low <= used[variable.name] <= variable.high]
        if outside:
            yield f"  beyond the range that was run: {', '.join(outside)}"
