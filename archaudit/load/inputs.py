"""Inputs as users type them: `1x3x512x512`, `ids=int64[1,128]:randint(0,32000)`, `@inputs.npz`, `make.py:make_inputs`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from archaudit.errors import InputError
from archaudit.schema import InputSpec

_DTYPES = frozenset(
    ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"]
)  # fmt: skip
_ALIASES = {"float": "float32", "double": "float64", "half": "float16", "int": "int32", "long": "int64"}
_ALIASES |= {"fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "fp64": "float64"}
# The dtypes that a model can be cast to.
FLOATING = ("float16", "bfloat16", "float32", "float64")
_NAMED = r"^(?:(?P<name>[^\W\d]\w*)\s*=\s*)?"
_PATTERN = re.compile(
    _NAMED + r"(?:(?P<dtype>[a-z]+\d*)\s*\[(?P<typed>[0-9\s,x×]*)\]|(?P<plain>[0-9]+(?:\s*[x×,]\s*[0-9]+)*))(?:\s*:\s*(?P<values>.*))?$",
    re.ASCII | re.IGNORECASE,
)
_FILE = re.compile(_NAMED + r"@(?P<file>.+)$", re.ASCII)
_FUNCTION = re.compile(r"^(?P<function>.+\.py:[^\W\d]\w*)$", re.ASCII)
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?"
# The functions that make values, each with the number of its arguments.
_VALUES = {"zeros": 0, "ones": 0, "arange": 0, "rand": 0, "randn": 0, "full": 1, "randint": 2}
_CALL = re.compile(rf"^(?P<function>[a-z]+)\s*(?:\(\s*(?P<numbers>(?:{_NUMBER}(?:\s*,\s*{_NUMBER})*)?)\s*\))?$")
_HINT = "Write for example 1x3x224x224, int64[1,128], ids=int64[1,128]:randint(0,32000), @inputs.npz or make.py:make_inputs."
_VALUES_HINT = "Values are zeros, ones, arange, rand, randn, full(NUMBER) or randint(LOW,HIGH)."
# A larger tensor is a typing error: it has more bytes than any machine has memory.
_MAX_ELEMENTS = 2**48


def parse_inputs(texts: Iterable[str]) -> tuple[InputSpec, ...]:
    """The input specs, in order. An input with a name is passed by keyword, any other by position.

    Raises InputError for a text that is not an input, an unknown dtype, or a name that is given twice.
    """
    specs = tuple(_parse_input(text.strip()) for text in texts)
    names = [spec.name for spec in specs if spec.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"--input names {name!r} twice", _HINT)
    return specs


def parse_dtype(text: str) -> str:
    """The name of the floating-point dtype that a user typed (`bf16`, `torch.float16`). Raises InputError."""
    name = text.strip().lower().removeprefix("torch.")
    name = _ALIASES.get(name, name)
    if name not in FLOATING:
        raise InputError(f"{text!r} is not a floating-point dtype", f"A model can be cast to {', '.join(FLOATING)}.")
    return name


def _parse_input(text: str) -> InputSpec:
    if (function := _FUNCTION.match(text)) is not None:
        path, _, attribute = function["function"].rpartition(":")
        return InputSpec(source=f"{_absolute(path)}:{attribute}")
    if (file := _FILE.match(text)) is not None:
        return InputSpec(source=_absolute(file["file"]), name=file["name"])
    found = _PATTERN.match(text.replace("×", "x"))
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
    values = _parse_values(found["values"], dtype, text) if found["values"] is not None else ""
    return InputSpec(shape=sizes, dtype=dtype, name=found["name"], values=values)


def _absolute(path: str) -> str:
    """The path from the root, because a worker of a git revision runs in another folder."""
    return str(Path.cwd() / Path(path).expanduser())


def _parse_values(text: str, dtype: str, whole: str) -> str:
    call = _CALL.match(text.strip())
    numbers = [each.strip() for each in (call["numbers"] or "").split(",") if each.strip()] if call is not None else []
    if call is None or _VALUES.get(call["function"]) != len(numbers):
        raise InputError(f"--input {whole!r}: {text!r} does not say how values are made", _VALUES_HINT)
    function = call["function"]
    if function in ("rand", "randn") and not dtype.startswith(("float", "bfloat", "complex")):
        raise InputError(f"--input {whole!r}: {function} makes no {dtype} values", "Write randint(LOW,HIGH).")
    if function == "randint" and (not all(re.fullmatch(r"-?[0-9]+", each) for each in numbers) or int(numbers[0]) >= int(numbers[1])):
        raise InputError(f"--input {whole!r}: randint takes two integers, the first smaller than the second", _VALUES_HINT)
    return f"{function}({','.join(numbers)})" if numbers else function


# --- inputs from files and functions, read where the model is loaded ---


def read_sources(specs: tuple[InputSpec, ...]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments and keyword arguments of specs of which some have a source; those without one stay in their place as InputSpec.

    An array of an `.npz` is passed by its name, or by position if numpy named it (`arr_0`). Raises InputError or LoadError.
    """
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for spec in specs:
        if not spec.source:
            if spec.name is None:
                args.append(spec)
            else:
                kwargs[spec.name] = spec
            continue
        given = _call_function(spec.source) if _FUNCTION.match(spec.source) else _read_file(spec)
        args += given[0]
        kwargs |= given[1]
    return tuple(args), kwargs


def _read_file(spec: InputSpec) -> tuple[list[Any], dict[str, Any]]:
    arrays = _load_arrays(Path(spec.source))
    if spec.name is not None:
        chosen = arrays[spec.name] if spec.name in arrays else next(iter(arrays.values())) if len(arrays) == 1 else None
        if chosen is None:
            raise InputError(f"{spec.source} has no array {spec.name!r}", f"It has {', '.join(arrays) or 'none'}.")
        return [], {spec.name: chosen}
    positional = [name for name in arrays if re.fullmatch(r"arr_[0-9]+", name)]
    return [arrays[name] for name in positional], {name: array for name, array in arrays.items() if name not in positional}


def _load_arrays(path: Path) -> dict[str, Any]:
    import numpy
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content = numpy.load(path, allow_pickle=False)
        arrays = dict(content) if isinstance(content, Mapping) else {"arr_0": content}
        return {name: torch.from_numpy(numpy.ascontiguousarray(array).reshape(array.shape)) for name, array in arrays.items()}
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}", "Paths are relative to the current folder.") from error
    except Exception as error:  # numpy, zipfile and safetensors raise errors of many types for a broken file
        raise InputError(
            f"{path} is no file of arrays: {' '.join(str(error).split())[:200]}",
            "Write it with numpy.savez(file, name=array), without pickle.",
        ) from error


def _call_function(source: str) -> tuple[list[Any], dict[str, Any]]:
    from archaudit.load.python_source import import_source
    from archaudit.load.reference import Reference

    path, _, attribute = source.rpartition(":")
    python_module = import_source(Reference(text=source, kind="file", target=path, attribute=attribute))
    make = getattr(python_module, attribute, None)
    if not callable(make):
        raise InputError(f"{path} has no function {attribute!r}", "It returns a tensor, a tuple, a dict, or (args, kwargs).")
    given = make()
    if isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], tuple | list) and isinstance(given[1], Mapping):
        return list(given[0]), dict(given[1])
    if isinstance(given, Mapping):
        return [], dict(given)
    return list(given) if isinstance(given, tuple | list) else [given], {}
