"""Why a layer has more or fewer parameters or FLOPs: the change divided among its changed sizes.

The count of a convolution or linear layer is a product (outputs x inputs / groups x kernel; for FLOPs also the positions that it is applied
at), so the share of each factor depends on the order in which the factors are changed. Each cause gets its average over all orders (the
Shapley value). The shares sum to the change exactly: they are rounded down, and the largest remainders are rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from math import factorial, floor, prod
from typing import TypeAlias

from archaudit.index import read_weight
from archaudit.schema import Cause, ModuleRecord, Shape

# The factors that a layer's FLOPs have.
_OF_WORK = ("form", "inputs", "outputs", "kernel", "positions")
# The factors of a layer's count. `form` is how the weights are laid out: `dense`, `depthwise`, `separable`, or a number of groups.
_Factors: TypeAlias = dict[str, object]
Count: TypeAlias = int | Fraction


def explain_change(before: Sequence[ModuleRecord], after: Sequence[ModuleRecord]) -> tuple[Cause, ...]:
    """The causes of a change in parameters between the modules before and after (several where a layer was split or merged).

    Their deltas sum to the difference of the modules' own parameters. Empty where nothing changed, or where one side has no module.
    """
    delta = sum(record.own.params for record in after) - sum(record.own.params for record in before)
    if not before or not after or not delta:
        return ()
    whole_change = (Cause(text=_describe_whole(before, after), delta=delta),)
    factors_before, factors_after = _read_factors(before), _read_factors(after)
    if (
        factors_before is None
        or factors_after is None
        or factors_before.keys() != factors_after.keys()
        or len(_list_kernel(factors_before)) != len(_list_kernel(factors_after))
    ):
        return whole_change
    changed = [name for name in factors_before if factors_before[name] != factors_after[name]]
    if (
        _count(factors_after) - _count(factors_before) != delta or not changed
    ):  # a tied or missing tensor: the product is not the layer's count
        return whole_change
    return _write_causes(
        factors_before, factors_after, changed, _round_to(_share_out(factors_before, factors_after, changed, _count), delta)
    )


def explain_flops(before: Sequence[ModuleRecord], after: Sequence[ModuleRecord]) -> tuple[Cause, ...]:
    """The causes of a change in FLOPs. Their deltas sum to the difference of the modules' own FLOPs.

    Empty where nothing changed, and where a layer's FLOPs are not the product of its weights and the positions that it is applied at.
    """
    delta = sum(record.own.flops for record in after) - sum(record.own.flops for record in before)
    if not before or not after or not delta:
        return ()
    factors_before, factors_after = _read_work(before), _read_work(after)
    if factors_before is None or factors_after is None or len(_list_kernel(factors_before)) != len(_list_kernel(factors_after)):
        return ()
    changed = [name for name in factors_before if name in _OF_WORK and factors_before[name] != factors_after[name]]
    if _count_flops(factors_after) - _count_flops(factors_before) != delta:
        return ()
    return _write_causes(
        factors_before, factors_after, changed, _round_to(_share_out(factors_before, factors_after, changed, _count_flops), delta)
    )


def _write_causes(before: _Factors, after: _Factors, changed: Sequence[str], shares: Sequence[int]) -> tuple[Cause, ...]:
    return tuple(Cause(text=_describe(name, before, after), delta=share) for name, share in zip(changed, shares, strict=True) if share)


def _share_out(before: _Factors, after: _Factors, changed: Sequence[str], count: Callable[[_Factors], Count]) -> list[Fraction]:
    """The difference that each changed factor makes to the count, averaged over all orders in which the factors can be changed."""
    number = len(changed)
    counts = []  # by mask: the count with those factors as after whose bits are set
    for mask in range(1 << number):
        counts.append(count({**before, **{name: after[name] for place, name in enumerate(changed) if mask >> place & 1}}))
    orders = [factorial(size) * factorial(number - size - 1) for size in range(number)]
    shares = []
    for place in range(number):
        bit = 1 << place
        steps = (orders[mask.bit_count()] * (counts[mask | bit] - counts[mask]) for mask in range(1 << number) if not mask & bit)
        shares.append(Fraction(sum(steps)) / factorial(number))
    return shares


def _round_to(shares: Sequence[Fraction], total: int) -> list[int]:
    """Whole numbers that sum to `total`: each share rounded down, then those with the largest remainders up (of equal ones, the first)."""
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
    """The factors of a convolution or linear layer, or of a layer of vectors (a norm); None for anything else."""
    shapes = {tensor.name: tensor.shape for tensor in record.tensors if tensor.kind == "parameter" and tensor.tied_to is None}
    weight = shapes.get("weight", ())
    if not shapes or shapes.keys() - {"weight", "bias"}:
        return None
    layer = read_weight(record)
    if len(weight) < 2:
        return {"features": prod(next(iter(shapes.values()))), "vectors": len(shapes)}
    if layer is None:
        return None
    form: object = "dense" if layer.groups == 1 else "depthwise" if layer.is_depthwise else layer.groups
    return {"form": form, "inputs": layer.inputs, "outputs": layer.outputs, "kernel": layer.kernel, "bias": "bias" in shapes}


def _read_work(records: Sequence[ModuleRecord]) -> _Factors | None:
    """The factors of a layer's FLOPs; None where its FLOPs are not their product, or where two layers have different positions."""
    factors = _read_factors(records)
    if factors is None or "form" not in factors or not all(record.flops_complete for record in records):
        return None
    weights = _count({**factors, "bias": False})
    if not weights:
        return None
    positions = Fraction(sum(record.own.macs for record in records)) / weights
    layers = [_read_layer(record) for record in records]
    for layer, record in zip(layers, records, strict=True):
        if layer is None or _count({**layer, "bias": False}) * positions != record.own.macs:
            return None
    side = "input" if records[-1].settings.get("transposed") else "output"
    return {**factors, "bias": False, "positions": positions.numerator, "sizes": _find_sizes(records[-1]), "sizes of": side}


def _find_sizes(record: ModuleRecord) -> Shape:
    """The spatial sizes of the output of a convolution that is called once (of the input where it is transposed)."""
    if len(record.calls) != 1 or (layer := read_weight(record)) is None or not layer.kernel:
        return ()
    shapes = record.calls[0].inputs if record.settings.get("transposed") else record.calls[0].outputs
    return shapes[0][-len(layer.kernel) :] if shapes else ()


def _count_flops(factors: _Factors) -> Count:
    weights: Count = _count(factors)
    return weights * (2 * _int(factors["positions"]))


def _count(factors: _Factors) -> Count:
    if "features" in factors:
        return _int(factors["features"]) * _int(factors["vectors"])
    inputs, outputs, form, bias = _int(factors["inputs"]), _int(factors["outputs"]), factors["form"], factors["bias"]
    size = prod(_list_kernel(factors))
    first, last = bias if isinstance(bias, tuple) else (False, bias)
    if form == "separable":
        return inputs * size + inputs * outputs + _int(first) * inputs + _int(last) * outputs
    groups = inputs if form == "depthwise" else 1 if form == "dense" else _int(form)
    weights = outputs * inputs * size  # in between, the groups need not divide them
    dense: Count = weights // groups if weights % groups == 0 else Fraction(weights, groups)
    return dense + bool(last) * outputs


def _int(value: object) -> int:
    assert isinstance(value, int)
    return value


def _list_kernel(factors: Mapping[str, object]) -> Shape:
    kernel = factors.get("kernel", ())
    assert isinstance(kernel, tuple)
    return kernel


# --- texts


def _describe(name: str, before: _Factors, after: _Factors) -> str:
    if name == "form":
        return f"{_describe_form(before)} → {_describe_form(after)}"
    if name == "kernel":
        return f"kernel {_describe_kernel(before)}→{_describe_kernel(after)}"
    if name == "bias":
        return f"bias {_describe_bias(before)}→{_describe_bias(after)}"
    if name == "positions":
        return _describe_positions(before, after)
    if name == "vectors":
        return f"{before[name]}→{after[name]} vectors"
    return f"{name} {before[name]}→{after[name]}"


def _describe_positions(before: _Factors, after: _Factors) -> str:
    """`output 128x128→64x64` where only the sizes differ (not the batch, nor the number of calls)."""
    sizes = [each if isinstance(each := factors["sizes"], tuple) else () for factors in (before, after)]
    times = {Fraction(_int(factors["positions"]), max(1, prod(each))) for factors, each in zip((before, after), sizes, strict=True)}
    if all(sizes) and len(times) == 1 and before["sizes of"] == after["sizes of"]:
        return f"{after['sizes of']} {'x'.join(map(str, sizes[0]))}→{'x'.join(map(str, sizes[1]))}"
    return f"positions {before['positions']:,}→{after['positions']:,}"


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
