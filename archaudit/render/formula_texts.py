"""Formulas of costs as text: expressions for people, and the output of `archaudit formula` in a terminal."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from archaudit.metrics.catalog import METRICS
from archaudit.render.formatting import make_visible, name_path
from archaudit.render.layout import wrap
from archaudit.scaling.reading import check_arithmetic
from archaudit.schema import Law, ScalingLaws

_LABELS = {"kv_bytes": "Bytes of the cache"}
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
# Binding strength of a written expression: a sum, a product, a power or a single name.
_SUM, _PRODUCT, _ATOM = range(3)


def label_quantity(name: str) -> str:
    """The name of a quantity for people."""
    return METRICS[name].label if name in METRICS else _LABELS.get(name, name)


def write_expression(text: str) -> str:
    """An expression as people write it: `9,408·B·ceil(H/2)·ceil(W/2)`."""
    return _write(check_arithmetic(text))[0]


def _write(node: ast.expr) -> tuple[str, int]:
    if isinstance(node, ast.Constant):
        return f"{int(str(node.value)):,}", _ATOM
    if isinstance(node, ast.Name):
        return node.id, _ATOM
    if isinstance(node, ast.UnaryOp):
        return f"-{_enclose(node.operand, _PRODUCT)}", _SUM
    if isinstance(node, ast.Compare):
        sign = {ast.Eq: "=", ast.GtE: "≥"}.get(type(node.ops[0]), "?")
        return f"[{_write(node.left)[0]} {sign} {_write(node.comparators[0])[0]}]", _ATOM
    if isinstance(node, ast.Call):
        assert isinstance(node.func, ast.Name)
        return f"{node.func.id}({', '.join(_write(each)[0] for each in node.args)})", _ATOM
    assert isinstance(node, ast.BinOp)
    if isinstance(node.op, ast.FloorDiv):
        return _write_rounded(node), _ATOM
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
    """Lines: the formula of each quantity, of each module if wanted, the sizes with the range that was run, and what is not known."""
    for number, each in enumerate(laws):
        if number:
            yield ""
        yield f"{make_visible(each.name)}: costs in the sizes of the input"
        yield ""
        yield from _format_quantities(each.laws, width)
        if modules:
            yield from _format_modules(each, width)
        yield ""
        yield from _format_range(each, width)


def _format_quantities(laws: dict[str, Law], width: int) -> Iterator[str]:
    for name, law in laws.items():
        yield f"{label_quantity(name)}"
        yield from wrap(f"  {_describe_law(law)}", width, "  ")
        for expression, path in law.pieces:
            yield from wrap(f"    {write_expression(expression)}, at {name_path(path)}", width, "  ")


def _describe_law(law: Law) -> str:
    if law.expression is None:
        return f"not known: {law.reason}"
    if law.pieces:
        return "piecewise, the largest of:"
    return write_expression(law.expression)


def _format_modules(laws: ScalingLaws, width: int) -> Iterator[str]:
    for module in laws.modules:
        for name, law in module.laws.items():
            yield from wrap(f"  {name_path(module.path)}, {label_quantity(name)}: {_describe_law(law)}", width, "  ")


def _format_range(laws: ScalingLaws, width: int) -> Iterator[str]:
    for variable in laws.variables:
        step = f", in steps of {variable.step}" if variable.step > 1 else ""
        meaning = f" ({variable.meaning})" if variable.meaning else ""
        yield f"{variable.name}{meaning}: {variable.low:,} to {variable.high:,}{step}, here {variable.base:,}"
    if laws.fixed:
        yield f"fixed by the model: {', '.join(laws.fixed)}"
    exact = "all equal" if not laws.wrong else f"{len(laws.wrong)} different"
    yield f"found from {len(laws.points)} runs, checked in {len(laws.checked)} others: {exact}"
    for text in (*laws.wrong, *laws.notes):
        yield from wrap(f"- {make_visible(text)}", width, "  ")
