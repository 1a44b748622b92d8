"""Why a layer has more or fewer parameters: the change shared out over what was changed about it.

A convolution's or linear layer's count is a product (outputs x inputs / groups x kernel), so how much the one or the other factor
accounts for depends on which is changed first. Each cause gets its average over all orders (the Shapley value), and the shares sum to the
change exactly: fractions are rounded so that they do, the largest remainder first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import combinations
from math import factorial, floor, prod
from typing import TypeAlias

from archaudit.schema import Cause, ModuleRecord, Shape

# What a layer's count is made of. `form` is how the weights are laid out: `dense`, `depthwise`, `separable`, or a number of groups.
_Factors: TypeAlias = dict[str, object]


def explain_change(before: Sequence[ModuleRecord], after: Sequence[ModuleRecord]) -> tuple[Cause, ...]:
    """The causes of a change in parameters from the modules before to those after (several where a layer was split or merged).

    Their deltas sum to the difference of the modules' own parameters. Empty where nothing changed, or where one side has no module.
    """
    delta = sum(record.own.params for record in after) - sum(record.own.params for record in before)
    if not before or not after or not delta:
        return ()
    factors = _read_factors(before), _read_factors(after)
    if factors[0] is None or factors[1] is None or factors[0].keys() != factors[1].keys():
        return (Cause(text=_describe_whole(before, after), delta=delta),)
    if len(_list_kernel(factors[0])) != len(_list_kernel(factors[1])):
        return (Cause(text=_describe_whole(before, after), delta=delta),)
    changed = [name for name in factors[0] if factors[0][name] != factors[1][name]]
    shares = _share_out(factors[0], factors[1], changed, _count)
    counted = _count(factors[1]) - _count(factors[0])
    if counted != delta or not changed:  # a tied or missing tensor: the product is not the whole story
        return (Cause(text=_describe_whole(before, after), delta=delta),)
    whole = _round_to(shares, delta)
    return tuple(
        Cause(text=_describe(name, factors[0], factors[1]), delta=share) for name, share in zip(changed, whole, strict=True) if share
    )


def _share_out(before: _Factors, after: _Factors, changed: Sequence[str], count: Callable[[_Factors], Fraction]) -> list[Fraction]:
    """Each changed factor's difference to the count, averaged over all orders in which the factors may be changed."""
    total = len(changed)
    shares = []
    for name in changed:
        others = [other for other in changed if other != name]
        share = Fraction(0)
        for size in range(total):
            weight = Fraction(factorial(size) * factorial(total - size - 1), factorial(total))
            for earlier in combinations(others, size):
                mixed = {**before, **{other: after[other] for other in earlier}}
                share += weight * (count({**mixed, name: after[name]}) - count(mixed))
        shares.append(share)
    return shares


def _round_to(shares: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that sum to `total`: each rounded down, and what is missing given to the largest remainders, the first of equals."""
    whole = [floor(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda place: (whole[place] - shares[place], place))
    for place in order[: total - sum(whole)]:
        whole[place] += 1
    return whole


# --- layers as factors


def _read_factors(records: Sequence[ModuleRecord]) -> _Factors | None:
    if len(records) == 1:
        return _read_layer(records[0])
    first, second = _read_layer(records[0]), _read_layer(records[1])
    if len(records) != 2 or first is None or second is None or "form" not in first or "form" not in second:
        return None
    if first["form"] != "depthwise" or second["form"] != "dense" or first["outputs"] != second["inputs"] or prod(_list_kernel(second)) != 1:
        return None
    bias = (True, second["bias"]) if first["bias"] else second["bias"]
    return {**first, "form": "separable", "outputs": second["outputs"], "bias": bias}


def _read_layer(record: ModuleRecord) -> _Factors | None:
    """A convolution or linear layer by its weight's shape; a layer of vectors (a norm) by its features; None for anything else."""
    held = {tensor.name: tensor.shape for tensor in record.tensors if tensor.kind == "parameter" and tensor.tied_to is None}
    weight = held.get("weight", ())
    if not held or held.keys() - {"weight", "bias"}:
        return None
    if len(weight) < 2:
        return {"features": prod(next(iter(held.values()))), "vectors": len(held)}
    bias = "bias" in held
    groups = record.settings.get("groups", 1)
    if not isinstance(groups, int) or groups < 1:
        return None
    transposed = bool(record.settings.get("transposed"))
    inputs, outputs = (weight[0], weight[1] * groups) if transposed else (weight[1] * groups, weight[0])
    form: object = "dense" if groups == 1 else "depthwise" if groups == inputs else groups
    return {"form": form, "inputs": inputs, "outputs": outputs, "kernel": tuple(weight[2:]), "bias": bias}


def _count(factors: _Factors) -> Fraction:
    if "features" in factors:
        return Fraction(_int(factors["features"]) * _int(factors["vectors"]))
    inputs, outputs, form, bias = _int(factors["inputs"]), _int(factors["outputs"]), factors["form"], factors["bias"]
    size = prod(_list_kernel(factors))
    first, last = bias if isinstance(bias, tuple) else (False, bias)
    if form == "separable":
        return Fraction(inputs * size + inputs * outputs + first * inputs + last * outputs)
    groups = inputs if form == "depthwise" else 1 if form == "dense" else _int(form)
    return Fraction(outputs * inputs * size, groups) + bool(last) * outputs


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _list_kernel(factors: Mapping[str, object]) -> Shape:
    kernel = factors.get("kernel", ())
    assert isinstance(kernel, tuple)
    return kernel


# --- words


def _describe(name: str, before: _Factors, after: _Factors) -> str:
    if name == "form":
        return f"{_describe_form(before)} → {_describe_form(after)}"
    if name == "kernel":
        return f"kernel {_describe_kernel(before)}→{_describe_kernel(after)}"
    if name == "bias":
        return f"bias {_describe_bias(before)}→{_describe_bias(after)}"
    if name == "vectors":
        return f"{before[name]}→{after[name]} vectors"
    return f"{name} {before[name]}→{after[name]}"


def _describe_form(factors: _Factors) -> str:
    kernel, form = _describe_kernel(factors), factors["form"]
    if form == "separable":
        return f"depthwise {kernel} + pointwise {'x'.join('1' for _ in _list_kernel(factors))}"
    return f"{kernel} {form}".strip() if isinstance(form, str) else f"{kernel} in {form} groups".strip()


def _describe_kernel(factors: _Factors) -> str:
    return "x".join(map(str, _list_kernel(factors)))


def _describe_bias(factors: _Factors) -> str:
    bias = factors["bias"]
    return " + ".join("yes" if part else "no" for part in (bias if isinstance(bias, tuple) else (bias,)))


def _describe_whole(before: Sequence[ModuleRecord], after: Sequence[ModuleRecord]) -> str:
    types = [" + ".join(record.type for record in records) for records in (before, after)]
    return f"{types[0]} → {types[1]}" if types[0] != types[1] else "other shapes"
