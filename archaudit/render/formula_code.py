"""Formulas of costs as Python code with a test, and as LaTeX."""

from __future__ import annotations

import ast
import re

from archaudit.render.formula_texts import EXACT, label_quantity, read_rounded
from archaudit.scaling.reading import check_arithmetic
from archaudit.schema import ScalingLaws

# --- Python ---


def write_python(laws: ScalingLaws) -> str:
    """A module without dependencies: a function for each known formula, and a test with the counts of the runs that were compared."""
    names = [variable.name for variable in laws.variables]
    known = {name: law.expression for name, law in laws.laws.items() if law.expression is not None}
    ranges = "\n".join(
        f"    {each.name}: {each.meaning or 'size'}, {each.low} to {each.high} in steps of {each.step}" for each in laws.variables
    )
    lines = [
        f'"""Costs of {_clean(laws.name)} in the sizes of its input, written by archaudit formula.',
        "",
        "Exact in this range, as far as it was checked:",
        ranges,
        '"""',
    ]
    for name, expression in known.items():
        lines += [
            "",
            "",
            f"def {name}({', '.join(f'{each}: int' for each in names)}) -> int:",
            f'    """{label_quantity(name)}."""',
            f"    return {expression}",
        ]
    lines += ["", "", "def test_the_formulas_give_what_was_counted() -> None:"]
    checks = [
        f"    assert {name}({', '.join(f'{each}={size}' for each, size in sizes.items())}) == {counts[name]}"
        for sizes, counts in zip(laws.checked, laws.counts, strict=True)
        for name in known
        if name in counts
    ]
    return "\n".join([*lines, *(checks or ["    pass"])]) + "\n"


def _clean(name: str) -> str:
    return re.sub(r'[\\"\n\r]', " ", name)


# --- LaTeX ---

_SUM, _PRODUCT, _ATOM = range(3)


def write_latex(laws: ScalingLaws) -> str:
    """An `align*` environment (of amsmath) with a line for each quantity, in which the terms are broken over lines."""
    rows = []
    for name, law in laws.laws.items():
        label = rf"\text{{{label_quantity(name)}}}"
        if law.expression is None:
            rows.append(rf"{label} &= \text{{not known}}")
            continue
        exact = EXACT.fullmatch(law.expression)
        whole = _write(check_arithmetic(exact[1] if exact else law.expression))[0]
        text = rf"\tfrac{{1}}{{{exact[2]}}} ({whole})" if exact else whole
        rows.append(f"{label} &= " + text.replace(" + ", " \\\\\n  &\\quad + "))
    return "\\begin{align*}\n" + " \\\\\n".join(rows) + "\n\\end{align*}\n"


def _write(node: ast.expr) -> tuple[str, int]:
    if isinstance(node, ast.Constant):
        return f"{int(str(node.value)):,}".replace(",", "{,}"), _ATOM
    if isinstance(node, ast.Name):
        head, _, tail = node.id.partition("_")
        return (rf"{head}_{{\text{{{tail}}}}}" if tail else head), _ATOM
    if isinstance(node, ast.UnaryOp):
        return f"-{_enclose(node.operand, _PRODUCT)}", _PRODUCT
    if isinstance(node, ast.Compare):
        sign = {ast.Eq: "=", ast.GtE: r"\geq"}.get(type(node.ops[0]), "?")
        return rf"[{_write(node.left)[0]} {sign} {_write(node.comparators[0])[0]}]", _ATOM
    if isinstance(node, ast.Call):
        return rf"\max({', '.join(_write(each)[0] for each in node.args)})", _ATOM
    assert isinstance(node, ast.BinOp)
    return _write_operation(node)


def _write_operation(node: ast.BinOp) -> tuple[str, int]:
    if isinstance(node.op, ast.FloorDiv):
        inner, by = read_rounded(node)
        side = "ceil" if inner is not None else "floor"
        return rf"\left\l{side} \frac{{{_write(inner or node.left)[0]}}}{{{by}}} \right\r{side}", _ATOM
    if isinstance(node.op, ast.Mod):
        return rf"{_enclose(node.left, _ATOM)} \bmod {_write(node.right)[0]}", _PRODUCT
    if isinstance(node.op, ast.Pow):
        return f"{_enclose(node.left, _ATOM)}^{{{_write(node.right)[0]}}}", _ATOM
    if isinstance(node.op, ast.Mult):
        return rf"{_enclose(node.left, _PRODUCT)} \, {_enclose(node.right, _PRODUCT)}", _PRODUCT
    sign = "+" if isinstance(node.op, ast.Add) else "-"
    return f"{_write(node.left)[0]} {sign} {_enclose(node.right, _PRODUCT)}", _SUM


def _enclose(node: ast.expr, least: int) -> str:
    text, strength = _write(node)
    return text if strength >= least else rf"\left({text}\right)"
