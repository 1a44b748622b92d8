"""How an initialising call is written: the function of `torch.nn.init` or the operator, with the arguments that its values follow from."""

from __future__ import annotations

from types import FrameType
from typing import Any

# The same values under one name, however they were made.
SAME = {
    "zeros": "zero_",
    "zeros_like": "zero_",
    "new_zeros": "zero_",
    "full": "fill_",
    "full_like": "fill_",
    "new_full": "fill_",
    "scalar_tensor": "fill_",
    "randn": "normal_",
    "randn_like": "normal_",
    "rand": "uniform_",
    "rand_like": "uniform_",
}
_USUAL: dict[str, dict[str, float]] = {"normal_": {"mean": 0.0, "std": 1.0}, "uniform_": {"a": 0.0, "b": 1.0}}
# Arguments that say nothing about values: sizes, tensor options, and the tensor itself.
NOT_TOLD = frozenset(
    (
        "size",
        "dtype",
        "layout",
        "device",
        "pin_memory",
        "memory_format",
        "generator",
        "tensor",
        "self",
        "non_blocking",
        "src",
        "out",
        "n",
        "m",
    )
)


def write_call(name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], init: FrameType | None) -> str:
    """`zeros_()`, `fill_(0.5)`, `normal_(mean=0, std=0.02)`, `kaiming_normal_(...) = normal_(mean=0, std=0.0417)`.

    `init` is the frame of the function of `torch.nn.init` that called the operator, if one did.
    """
    effect = write_operator(name, operator, args, kwargs)
    if init is None:
        return effect
    code = init.f_code
    function = code.co_name.removeprefix("_no_grad_")
    if function in ("zeros_", "ones_", "constant_", "normal_", "uniform_"):
        return effect
    names = [argument for argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if argument not in NOT_TOLD]
    given = {argument: init.f_locals.get(argument) for argument in names}
    text = f"{function}({write_arguments(given)})"
    return f"{text} = {effect}" if name in ("normal_", "uniform_") and function != "trunc_normal_" else text


def write_operator(name: str, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """The operator with its numbers, in the words of `torch.nn.init` where it says the same."""
    given = {argument.name: value for argument, value in zip(operator._schema.arguments, args, strict=False)} | kwargs
    told = {key: value for key, value in given.items() if key not in NOT_TOLD and _is_told(value)}
    value = told.get("value", told.get("fill_value", told.get("s")))
    known = SAME.get(name, name)
    if known == "zero_" or (known == "fill_" and value == 0):
        return "zeros_()"
    if known == "fill_" or name in ("ones", "ones_like", "new_ones"):
        return "ones_()" if value is None or value == 1 else f"fill_({_write_value(value)})"
    if known in _USUAL:
        renamed = {{"from": "a", "to": "b"}.get(key, key): value for key, value in told.items()}
        return f"{known}({write_arguments({**_USUAL[known], **renamed})})"
    return f"{known}({', '.join(map(_write_value, told.values()))})"


def _is_told(value: Any) -> bool:
    """Numbers, flags and words; not tensors, nor lists of them."""
    return isinstance(value, bool | int | float | str) or (isinstance(value, list | tuple) and all(map(_is_told, value)))


def write_arguments(given: dict[str, Any]) -> str:
    """`mean=0, std=0.02`."""
    return ", ".join(f"{name}={_write_value(value)}" for name, value in given.items())


def _write_value(value: Any) -> str:
    """Floats to six digits: the last bits of a computed deviation differ between platforms."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_write_value, value))}]"
    return repr(value) if isinstance(value, bool | int | str | type(None)) else type(value).__name__
