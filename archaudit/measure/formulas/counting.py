"""Counts one operator of a forward pass (`count_operator`), and formats the result (`format_work`)."""

from __future__ import annotations

from typing import Any

import torch

from archaudit.measure.formulas.registry import (
    Factor,
    Formula,
    NoFormulaAppliesError,
    Product,
    Products,
    Status,
    Work,
    find_formula,
    formula,
    on_change,
    read_products,
)
from archaudit.measure.formulas.zero import ZERO_BY_NAME, find_zero_kind, is_backward

# A formula that was written for other arguments makes the work unknown: it must neither count zero nor stop the whole run.
_FORMULA_FAULTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError)

_LINEAR_ALGEBRA = (
    *("linalg_", "cholesky", "lu_", "svd", "det", "logdet", "slogdet", "inverse", "pinverse", "matrix_exp"),
    *("geqrf", "orgqr", "ormqr", "spsolve", "compute_linear_combination"),
)

_classified: dict[Any, Work | Formula] = {}
on_change(_classified.clear)


def count_operator(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Work:
    """The cost of `operator`, called with `args` and `kwargs`, that returned `out`. Accepts higher-order operators too.

    It never raises for an operator. An operator that has no formula and is not zero by convention is unknown, and so is one whose formula
    fails or cannot count it from the shapes; the note says why. A zero costs one dictionary lookup.
    """
    found = _classified.get(operator)
    if found is None:
        found = _classified[operator] = _classify(operator)
    if isinstance(found, Work):
        return found
    try:
        return _read_answer(found(*args, **{**kwargs, "out": out}))
    except NoFormulaAppliesError as reason:
        return Work("unknown", note=str(reason))
    except _FORMULA_FAULTS as error:
        return Work("unknown", note=f"its formula failed: {type(error).__name__}: {error}")


def _read_answer(answer: object) -> Work:
    if answer is None:
        return Work("unknown", note="its formula returned None: it cannot count these arguments")
    products = read_products(answer)
    return Work("counted", products) if products else Work("zero", note="multiplies nothing")


def status_of(operator: Any) -> Status:
    """How the operator is treated before its arguments are known: "counted" means that it has a formula."""
    found = _classify(operator)
    return found.status if isinstance(found, Work) else "counted"


def _classify(operator: Any) -> Work | Formula:
    schema = getattr(operator, "_schema", None)
    if schema is None:
        return _classify_higher_order(operator)
    function = find_formula(schema.name, schema.overload_name or "default")
    if function is not None:
        return function
    kind = find_zero_kind(operator)
    return Work("zero", note=kind) if kind is not None else Work("unknown", note=_explain_unknown(operator))


def _explain_unknown(operator: Any) -> str:
    name = str(operator._schema.name)
    if is_backward(name):
        return "a backward operator without a formula"
    namespace, _, base = name.partition("::")
    base = base.lstrip("_")
    if namespace not in ("aten", "prims"):
        return "no formula for this operator; a plugin can register one"
    if torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd"):
        return "a composite operator that was not decomposed: its parts have to be counted"
    if base.startswith(_LINEAR_ALGEBRA):
        return "linear algebra that iterates: the work depends on the values"
    return "no formula for this operator"


# --- higher-order operators: those that run another operator on their arguments are counted (flex_attention: see attention.py). All others
# --- hide the operators of a subgraph and stay unknown: `cond`, `scan`, `while_loop`, checkpoints, compiled regions.


def _classify_higher_order(operator: Any) -> Work | Formula:
    name = operator.name() if callable(getattr(operator, "name", None)) else str(operator)
    qualified = f"higher_order::{name}"
    function = find_formula(qualified, "default")
    if function is not None:
        return function
    kind = ZERO_BY_NAME.get(qualified)
    if kind is not None:
        return Work("zero", note=kind)
    return Work("unknown", note="a higher-order operator: the operators inside it are not visible")


@formula("higher_order::out_dtype")
def count_out_dtype(operator: Any, _dtype: object, *arguments: Any, out: object, **keywords: Any) -> Products:
    """The cost of the operator that it runs with another result dtype.

    Source: `torch._higher_order_ops.out_dtype`. Leaves out: the conversion.
    """
    return _count_inner(operator, arguments, keywords, out)


@formula("higher_order::with_effects")
def count_with_effects(_token: object, operator: Any, *arguments: Any, out: Any, **keywords: Any) -> Products:
    """The cost of the operator that it runs in order with other effects.

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


# --- the count as text ---


def format_work(work: Work) -> str:
    """The work as a sum of products with grouped factors, to check by hand: `1*32*32 * 256 * 576*9 = 1,358,954,496`.

    Zero work has its kind, unknown work its reason: `0 (norm)`, `unknown: no formula ...`.
    """
    if work.status == "unknown":
        return f"unknown: {work.note}"
    if work.status == "zero":
        return f"0 ({work.note})" if work.note else "0"
    written = " + ".join(_format_product(product) for product in work.products)
    return f"{written or '0'} = {work.macs:,}" if written else "0"


def _format_product(product: Product) -> str:
    return " * ".join(_format_factor(factor) for factor in product if factor != ())


def _format_factor(factor: Factor) -> str:
    return str(factor) if isinstance(factor, int) else "*".join(str(size) for size in factor)
