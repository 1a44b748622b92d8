"""Inputs as users type them: `1x3x512x512`, `int64[1,128]`, `ids=int64[1,128]`."""

from __future__ import annotations

import re
from collections.abc import Iterable

from archaudit.errors import InputError
from archaudit.schema import InputSpec

_DTYPES = frozenset(
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
)  # fmt: skip
_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "int": "int32", "long": "int64"}
_PATTERN = re.compile(
    r"^(?:(?P<name>[^\W\d]\w*)\s*=\s*)?(?:(?P<dtype>[a-z]+\d*)\s*\[(?P<typed>[0-9\s,x×]*)\]|(?P<plain>[0-9]+(?:\s*[x×,]\s*[0-9]+)*))$",
    re.ASCII | re.IGNORECASE,
)
_HINT = "Write for example 1x3x224x224, int64[1,128] or ids=int64[1,128]."
# A larger tensor is a typing error: it has more bytes than any machine has memory.
_MAX_ELEMENTS = 2**48


def parse_inputs(texts: Iterable[str]) -> tuple[InputSpec, ...]:
    """The input specs, in order. An input with a name is passed by keyword, any other by position.

    Raises InputError for a text that is not an input, an unknown dtype, or a name that is given twice.
    """
    specs = tuple(_parse_input(text) for text in texts)
    names = [spec.name for spec in specs if spec.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--input names {name!r} twice", _HINT)
    return specs


def _parse_input(text: str) -> InputSpec:
    found = _PATTERN.match(text.strip().replace("×", "x"))
    if found is None:
        raise InputError(f"--input {text!r} is not a shape", _HINT)
    dtype = (found["dtype"] or "float32").lower()
    dtype = _ALIASES.get(dtype, dtype)
    if dtype not in _DTYPES:
        raise InputError(f"--input {text!r} has an unknown dtype {dtype!r}; known: {', '.join(sorted(_DTYPES))}", _HINT)
    sizes = tuple(int(size) for size in re.findall(r"\d+", found["typed"] if found["typed"] is not None else found["plain"]))
    elements = 1
    for size in sizes:
        elements *= size
    if elements > _MAX_ELEMENTS:
        raise InputError(f"--input {text!r} has {elements:,} elements", _HINT)
    return InputSpec(shape=sizes, dtype=dtype, name=found["name"])
