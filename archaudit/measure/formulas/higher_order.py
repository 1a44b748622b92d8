"""Higher-order operators: those that run another operator on its own arguments. (flex_attention stands with attention.)

All others hide the operators of a subgraph, and stay unknown: `cond`, `scan`, `while_loop`, checkpoints, compiled regions.
"""

from __future__ import annotations

from typing import Any

from archaudit.measure.formulas.registry import NoFormulaAppliesError, Products, find_formula, formula


@formula("higher_order::out_dtype")
def count_out_dtype(operator: Any, _dtype: object, *arguments: Any, out: object, **keywords: Any) -> Products:
    """What the operator costs that is run with another result type.

    Source: `torch._higher_order_ops.out_dtype`. Leaves out: the conversion.
    """
    return _count_inner(operator, arguments, keywords, out)


@formula("higher_order::with_effects")
def count_with_effects(_token: object, operator: Any, *arguments: Any, out: Any, **keywords: Any) -> Products:
    """What the operator costs that is run in order with other effects.

    Source: `torch._higher_order_ops.effects`. Leaves out: the token.
    """
    return _count_inner(operator, arguments, keywords, out[1] if isinstance(out, tuple) and len(out) > 1 else out)


def _count_inner(operator: Any, arguments: tuple[Any, ...], keywords: dict[str, Any], out: object) -> Products:
    schema = getattr(operator, "_schema", None)
    function = find_formula(schema.name, schema.overload_name or "default") if schema is not None else None
    if function is None:
        raise NoFormulaAppliesError(f"it runs {operator}, which has no formula")
    answer: Products = function(*arguments, **{**keywords, "out": out})
    return answer
