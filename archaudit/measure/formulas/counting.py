"""What an operator costs: `count_operator`, asked once for each operator that a forward pass runs, and `explain` for doubters."""

from __future__ import annotations

from typing import Any

import torch

from archaudit.measure.formulas.registry import (
    Factor,
    Formula,
    NoFormulaAppliesError,
    Product,
    Status,
    Work,
    find_formula,
    on_change,
    read_products,
)
from archaudit.measure.formulas.zero import ZERO_BY_NAME, find_zero_kind, is_backward

# A formula written for other arguments than those that came must make the work unknown, neither zero nor a crash of the whole run.
_FORMULA_FAULTS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RuntimeError)

_LINEAR_ALGEBRA = (
    *("linalg_", "cholesky", "lu_", "svd", "det", "logdet", "slogdet", "inverse", "pinverse", "matrix_exp"),
    *("geqrf", "orgqr", "ormqr", "triangular_solve", "spsolve", "compute_linear_combination"),
)

_verdicts: dict[Any, Work | Formula] = {}
on_change(_verdicts.clear)


def count_operator(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Work:
    """What `operator`, called with `args` and `kwargs` and having returned `out`, cost. Takes higher-order operators too.

    Never raises for an operator: one without formula that is not zero by convention is unknown, and so is one whose formula
    fails or cannot tell from the shapes; the note says why. A zero costs one dictionary lookup.
    """
    verdict = _verdicts.get(operator)
    if verdict is None:
        verdict = _verdicts[operator] = _judge(operator)
    if isinstance(verdict, Work):
        return verdict
    try:
        answer = verdict(*args, **{**kwargs, "out": out})
        return _read_answer(answer)
    except NoFormulaAppliesError as reason:
        return Work("unknown", note=str(reason))
    except _FORMULA_FAULTS as error:
        return Work("unknown", note=f"its formula failed: {type(error).__name__}: {error}")


def _read_answer(answer: object) -> Work:
    if answer is None:
        return Work("unknown", note="its formula cannot tell")
    products = read_products(answer)
    return Work("counted", products) if products else Work("zero", note="multiplies nothing")


def status_of(operator: Any) -> Status:
    """How the operator is treated before its arguments are seen: "counted" means that it has a formula."""
    verdict = _judge(operator)
    return verdict.status if isinstance(verdict, Work) else "counted"


def _judge(operator: Any) -> Work | Formula:
    schema = getattr(operator, "_schema", None)
    if schema is None:
        return _judge_higher_order(operator)
    function = find_formula(schema.name, schema.overload_name or "default")
    if function is not None:
        return function
    kind = find_zero_kind(operator)
    return Work("zero", note=kind) if kind is not None else Work("unknown", note=_why_unknown(operator))


def _judge_higher_order(operator: Any) -> Work | Formula:
    name = operator.name() if callable(getattr(operator, "name", None)) else str(operator)
    qualified = f"higher_order::{name}"
    function = find_formula(qualified, "default")
    if function is not None:
        return function
    kind = ZERO_BY_NAME.get(qualified)
    if kind is not None:
        return Work("zero", note=kind)
    return Work("unknown", note="a higher-order operator: what it runs inside is not seen")


def _why_unknown(operator: Any) -> str:
    name = str(operator._schema.name)
    if is_backward(name):
        return "a backward operator: only the forward pass is counted"
    namespace, _, base = name.partition("::")
    base = base.lstrip("_")
    if namespace not in ("aten", "prims"):
        return "no formula for this operator; a plugin can register one"
    if base.startswith("fft_"):
        return "a Fourier transform: real work, but no dense contraction"
    if torch._C._dispatch_has_kernel_for_dispatch_key(operator.name(), "CompositeImplicitAutograd"):
        return "a composite operator, seen whole: its parts have to be counted"
    if base.startswith(_LINEAR_ALGEBRA):
        return "linear algebra: the work depends on the algorithm and the values"
    return "no formula for this operator"


def explain(work: Work) -> str:
    """The work as a sum to redo by hand, its factors grouped: `1*32*32 * 256 * 576*9 = 1,358,954,496`.

    Zero and unknown work is told with its kind or reason: `0 (norm)`, `unknown: no formula ...`.
    """
    if work.status == "unknown":
        return f"unknown: {work.note}"
    if work.status == "zero":
        return f"0 ({work.note})" if work.note else "0"
    written = " + ".join(_write_product(product) for product in work.products)
    return f"{written or '0'} = {work.macs:,}" if written else "0"


def _write_product(product: Product) -> str:
    return " * ".join(_write_factor(factor) for factor in product if factor != ())


def _write_factor(factor: Factor) -> str:
    return str(factor) if isinstance(factor, int) else "*".join(str(size) for size in factor)
