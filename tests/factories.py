"""Small synthetic profiles: written by hand for toys, drawn at random for properties. Torch is not needed for either."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from hypothesis import strategies as st

from archaudit.schema import Cost, InputRecord, ModuleDiff, ModuleRecord, Profile, TensorRecord, sum_costs


def make_cost(params: int = 0, macs: int = 0, **others: int) -> Cost:
    """A cost of float32 parameters, all of them trainable."""
    return Cost(**{"params": params, "trainable_params": params, "param_bytes": 4 * params, "macs": macs, "flops": 2 * macs} | others)


def make_tensor(name: str, shape: tuple[int, ...], **fields: Any) -> TensorRecord:
    """A trainable float32 parameter, unless `fields` say otherwise."""
    plain: dict[str, Any] = {"kind": "parameter", "persistent": True, "dtype": "float32", "trainable": True}
    return TensorRecord(name=name, shape=shape, **(plain | fields))


def make_module(own: Cost | int = 0, type: str = "Linear", **fields: Any) -> ModuleRecord:
    """A module without a path, which `make_profile` gives it; an int is a number of parameters."""
    cost = make_cost(own) if isinstance(own, int) else own
    return ModuleRecord(path="", type=type, own=cost, total=cost, **fields)


def make_profile(modules: Mapping[str, ModuleRecord | Cost | int], name: str = "model", **fields: Any) -> Profile:
    """A profile of the modules, by path, parents first; a root and totals are added."""
    records = {path: value if isinstance(value, ModuleRecord) else make_module(value) for path, value in ({"": 0} | dict(modules)).items()}
    totals = {path: record.own for path, record in records.items()}
    for path in reversed(records):
        if path:
            totals[path.rpartition(".")[0]] += totals[path]
    measured: dict[str, Any] = {
        "name": name,
        "reference": f"toys:{name}",
        "totals": sum_costs(record.own for record in records.values()),
        "modules": tuple(msgspec.structs.replace(record, path=path, total=totals[path]) for path, record in records.items()),
        "flops_complete": all(record.flops_complete for record in records.values()),
    }
    return Profile(**(measured | fields))


def make_rows(
    *pairs: tuple[str | None, str | None], changes: tuple[str, ...] = ("same",), change_id: int | None = None
) -> list[ModuleDiff]:
    """Rows of matched modules, by their paths before and after, without a change in cost."""
    return [
        ModuleDiff(before_path=one, after_path=other, changes=changes, change_id=change_id, own_delta=Cost(), total_delta=Cost())
        for one, other in pairs
    ]


def make_input(*shape: int, dtype: str = "float32", name: str = "0") -> InputRecord:
    """An input as a profile records it."""
    return InputRecord(name=name, dtype=dtype, shape=shape)


def list_preorder(paths: Iterable[str]) -> list[str]:
    """The paths with all their ancestors, parents first, as `named_modules()` lists them: children in the order in which they appeared."""
    children: dict[str, list[str]] = {"": []}
    for path in paths:
        missing = []
        while path not in children:
            missing.append(path)
            path = path.rpartition(".")[0]
        for path in reversed(missing):
            children[path] = []
            children[path.rpartition(".")[0]].append(path)
    listed, waiting = [], [""]
    while waiting:
        path = waiting.pop()
        listed.append(path)
        waiting += reversed(children[path])
    return listed


_COUNTS = st.integers(0, 50)


@st.composite
def draw_costs(draw: st.DrawFn) -> Cost:
    """Any cost, most of its fields small."""
    return make_cost(draw(_COUNTS), draw(_COUNTS), buffers=draw(_COUNTS), activation_bytes=draw(_COUNTS), moved_bytes=draw(_COUNTS))


_TENSORS = st.builds(
    make_tensor,
    st.sampled_from(["weight", "bias"]),
    st.sampled_from([(1,), (2, 2)]),
    dtype=st.sampled_from(["float32", "float16"]),
    trainable=st.booleans(),
    tied_to=st.sampled_from([None, None, "a.weight", "b.weight"]),
)


def fit_counts(module: ModuleRecord) -> ModuleRecord:
    """The module with the counts of the parameters and buffers that it lists."""
    owned = [tensor for tensor in module.tensors if tensor.tied_to is None]
    sizes = [(tensor, math.prod(tensor.shape)) for tensor in owned]
    params = [(tensor, size) for tensor, size in sizes if tensor.kind == "parameter"]
    own = msgspec.structs.replace(
        module.own,
        params=sum(size for _, size in params),
        trainable_params=sum(size for tensor, size in params if tensor.trainable),
        buffers=sum(size for tensor, size in sizes if tensor.kind == "buffer"),
        param_bytes=sum(size * {"float32": 4, "float16": 2}[tensor.dtype] for tensor, size in params),
    )
    return msgspec.structs.replace(module, own=own)


_MODULES = st.builds(
    make_module,
    draw_costs(),
    st.sampled_from(["Linear", "Conv2d", "ReLU"]),
    settings=st.dictionaries(st.sampled_from(["bias", "p"]), st.sampled_from([True, False, 0.5, None, float("nan"), [1, 1]])),
    tensors=st.lists(_TENSORS, max_size=2, unique_by=lambda tensor: tensor.name).map(tuple),
    flops_complete=st.booleans(),
)


@st.composite
def draw_profiles(draw: st.DrawFn, names: Sequence[str] = ("a", "b", "0")) -> Profile:
    """Any tree of modules over few names, so that two draws have paths in common."""
    paths = draw(st.lists(st.lists(st.sampled_from(names), min_size=1, max_size=4).map(".".join), max_size=8))
    modules = {path: draw(_MODULES) for path in list_preorder(paths)}
    names_of_tensors = {f"{path}.{tensor.name}" for path, module in modules.items() for tensor in module.tensors}
    for path, module in modules.items():
        tensors = tuple(
            tensor if tensor.tied_to in names_of_tensors else msgspec.structs.replace(tensor, tied_to=None) for tensor in module.tensors
        )
        modules[path] = fit_counts(msgspec.structs.replace(module, tensors=tensors))
    return make_profile(modules, name=draw(st.sampled_from(["before", "after"])))
