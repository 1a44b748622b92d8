"""Applies the edits of a fix to a built model, in place: what a person would change in its code."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import ModuleTree, iterate_children, walk_tree
from archaudit.measure.process_state import DispatchMode
from archaudit.measure.tape.arguments import read_name
from archaudit.measure.tensors import iterate_tensors_in
from archaudit.schema import Absorb, DropBias, DropTensor, Edit, Merge, Remove, Reuse, Skip, SkipOperator, Stub, Tie

# The shapes and dtypes of what a module returns, by path: what a stub returns in its place.
Templates = dict[str, Any]


class Passed(nn.Module):
    """Replaces a removed module: returns its first argument."""

    def forward(self, given: Any = None, *args: Any, **kwargs: Any) -> Any:
        return given if given is not None else next(iter(kwargs.values()), None)


class Stubbed(nn.Module):
    """Replaces a module whose result nothing needs: returns zeros in the shapes of its result."""

    def __init__(self, template: Any) -> None:
        super().__init__()
        self._template = template

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        device = next((tensor.device for tensor in iterate_tensors_in((args, kwargs))), torch.device("cpu"))
        return map_template(self._template, lambda tensor: torch.zeros((), dtype=tensor.dtype, device=device).expand(tensor.shape))


def map_template(value: Any, convert: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The result of a module with each tensor converted; only plain containers are supported."""
    if isinstance(value, torch.Tensor):
        return convert(value)
    if type(value) in (list, tuple):
        return type(value)(map_template(item, convert) for item in value)
    if type(value) is dict:
        return {key: map_template(item, convert) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise MeasureError(f"a result of type {type(value).__name__} cannot be replaced")


def apply_edits(model: nn.Module, edits: Iterable[Edit], templates: Templates) -> None:
    """Applies the edits, one after the other. Raises MeasureError for one that the model does not fit."""
    editor = _Editor(model, templates)
    with torch.no_grad():
        for edit in edits:
            editor.apply(edit)
    editor.install()


class _Editor:
    def __init__(self, model: nn.Module, templates: Templates) -> None:
        self._model = model
        self._tree: ModuleTree = walk_tree(model)
        self._modules = dict(zip(self._tree.paths, self._tree.modules, strict=True))
        self._templates = templates
        self._calls = _CallEdits()
        self._operators: dict[tuple[str, str], set[int]] = {}

    def apply(self, edit: Edit) -> None:
        if isinstance(edit, Remove):
            self._replace(edit.path, Passed())
        elif isinstance(edit, Stub):
            if edit.path not in self._templates:
                raise MeasureError(f"what {edit.path} returns was not recorded")
            self._replace(edit.path, Stubbed(self._templates[edit.path]))
        elif isinstance(edit, DropTensor):
            module = self._find(edit.path)
            table = module._parameters if edit.tensor in module._parameters else module._buffers
            table[edit.tensor] = None
        elif isinstance(edit, DropBias):
            self._drop_bias(edit)
        elif isinstance(edit, Merge):
            self._merge(edit)
        elif isinstance(edit, Absorb):
            self._absorb(edit)
        elif isinstance(edit, Reuse):
            self._calls.reuse(self._find(edit.path), edit.call, self._find(edit.of), edit.of_call)
        elif isinstance(edit, Skip):
            self._calls.skip(self._find(edit.path), edit.call)
        elif isinstance(edit, SkipOperator):
            self._operators.setdefault((edit.path, edit.operator), set()).add(edit.run)
        else:
            self._tie(edit)

    def install(self) -> None:
        """Starts what the edits of calls and operators need while the model runs."""
        self._calls.install(self._model)
        if self._operators:
            _skip_operators(self._model, self._tree, self._operators)

    def _find(self, path: str) -> nn.Module:
        if path not in self._modules:
            raise MeasureError(f"the model has no module {path!r}")
        return self._modules[path]

    def _replace(self, path: str, replacement: nn.Module) -> None:
        """Puts a module in the place of another, under every name."""
        old = self._find(path)
        replacement.training = old.training
        for module in self._tree.modules:
            for name, child in list(iterate_children(module)):
                if child is old:
                    module._modules[name] = replacement
        self._modules[path] = replacement

    def _tie(self, edit: Tie) -> None:
        (path, _, name), (other, _, source) = edit.tensor.rpartition("."), edit.to.rpartition(".")
        self._find(path)._parameters[name] = self._find(other)._parameters[source]

    def _drop_bias(self, edit: DropBias) -> None:
        layer = self._find(edit.path)
        bias = layer._parameters.get("bias")
        if bias is None:
            raise MeasureError(f"{edit.path} has no bias")
        layer._parameters["bias"] = None
        mean = self._find(edit.norm)._buffers.get("running_mean") if edit.norm else None
        if mean is not None:
            mean.sub_(bias.detach().to(mean.dtype))

    def _merge(self, edit: Merge) -> None:
        first, second = self._find(edit.first), self._find(edit.second)
        if isinstance(second, nn.modules.batchnorm._BatchNorm):
            _merge_norms(first, second)
            self._replace(edit.first, Passed())
            return
        keeper = first if _is_pointwise(second) else second
        merged = _merge_products(first, second, keeper)
        self._replace(edit.first, merged if keeper is first else Passed())
        self._replace(edit.second, Passed() if keeper is first else merged)

    def _absorb(self, edit: Absorb) -> None:
        """Moves `scale * x + shift` of each channel into the layers before or behind."""
        module = self._find(edit.path)
        scale, shift = _parameter(module, "weight"), _parameter(module, "bias")
        for path in edit.layers:
            layer = self._find(path)
            weight, bias = _parameter(layer, "weight"), _parameter(layer, "bias")
            assert weight is not None
            moved: torch.Tensor | int | None
            if edit.into_previous:
                factor = scale.flatten() if scale is not None else torch.ones(weight.shape[0], dtype=weight.dtype, device=weight.device)
                moved = (bias * factor if bias is not None else 0) + (shift if shift is not None else 0)
                weight.mul_(factor.reshape(-1, *[1] * (weight.dim() - 1)))
            else:
                moved = _move_into_next(layer, weight, bias, scale.flatten() if scale is not None else None, shift)
            if isinstance(moved, torch.Tensor):
                layer._parameters["bias"] = nn.Parameter(moved.detach().clone())
        if isinstance(module, nn.modules.conv._ConvNd):
            self._replace(edit.path, Passed())
        else:
            module._parameters["weight"] = module._parameters["bias"] = None


def _parameter(module: nn.Module, name: str) -> torch.Tensor | None:
    found = module._parameters.get(name)
    return None if found is None else found.detach()


def _move_into_next(
    layer: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None, scale: torch.Tensor | None, shift: torch.Tensor | None
) -> torch.Tensor | None:
    """Scales the inputs of a layer's weight in place. Returns its new bias."""
    groups = int(getattr(layer, "groups", 1))
    rest = [1] * (weight.dim() - 2)
    if shift is not None:
        grouped = shift.reshape(groups, 1, -1, *rest).expand(-1, weight.shape[0] // groups, -1, *rest).reshape(weight.shape[0], -1, *rest)
        moved = (weight * grouped).flatten(1).sum(1)
        bias = moved if bias is None else bias + moved
    if scale is not None:
        grouped = scale.reshape(groups, 1, -1, *rest).expand(-1, weight.shape[0] // groups, -1, *rest).reshape(weight.shape[0], -1, *rest)
        weight.mul_(grouped)
    return bias


def _is_pointwise(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear) or (set(getattr(layer, "kernel_size", (0,))) == {1} and set(getattr(layer, "stride", (0,))) == {1})


def _merge_products(first: nn.Module, second: nn.Module, keeper: nn.Module) -> nn.Module:
    """One layer that computes what both compute, with the kernel of `keeper`."""
    one, other = _parameter(first, "weight"), _parameter(second, "weight")
    if one is None or other is None:
        raise MeasureError("a layer to merge has no weight")
    if keeper is first:
        weight = torch.einsum("om,mi...->oi...", other.flatten(1), one)
    else:
        weight = torch.einsum("om...,mi->oi...", other, one.flatten(1))
    bias, inner = _parameter(second, "bias"), _parameter(first, "bias")
    if inner is not None:
        moved = other.flatten(2).sum(2) @ inner if other.dim() > 2 else other @ inner
        bias = moved if bias is None else bias + moved
    merged = copy.deepcopy(keeper)
    merged._parameters["weight"] = nn.Parameter(weight.contiguous())
    merged._parameters["bias"] = nn.Parameter(bias.clone()) if bias is not None else None
    names = ("in_features", "out_features") if isinstance(keeper, nn.Linear) else ("in_channels", "out_channels")
    for name, size in zip(names, (weight.shape[1], weight.shape[0]), strict=True):
        setattr(merged, name, int(size))
    return merged


def _merge_norms(first: nn.Module, second: nn.Module) -> None:
    """Makes the second batch norm compute, in eval mode, what both do: `scale * x + shift` of `scale * x + shift`."""
    (scale, shift), (outer, offset) = _read_affine(first), _read_affine(second)
    second._parameters["weight"] = nn.Parameter(scale * outer)
    second._parameters["bias"] = nn.Parameter(shift * outer + offset)
    mean, variance = second._buffers["running_mean"], second._buffers["running_var"]
    assert mean is not None
    assert variance is not None
    mean.zero_()
    variance.fill_(1.0 - float(getattr(second, "eps", 0.0)))


def _read_affine(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    mean, variance = norm._buffers.get("running_mean"), norm._buffers.get("running_var")
    if mean is None or variance is None:
        raise MeasureError("a batch norm without running statistics cannot be merged")
    scale = torch.rsqrt(variance + float(getattr(norm, "eps", 0.0)))
    weight, bias = _parameter(norm, "weight"), _parameter(norm, "bias")
    scale = scale if weight is None else scale * weight
    return scale, -mean * scale if bias is None else bias - mean * scale


# --- edits of single calls and operators, which take effect while the model runs ---


class _CallEdits:
    """Wraps the forward of modules whose calls are edited; the calls are counted from the start of each pass of the model."""

    def __init__(self) -> None:
        self._skipped: dict[int, set[int]] = {}
        self._reused: dict[int, dict[int, tuple[int, int]]] = {}
        self._modules: dict[int, nn.Module] = {}
        self._counts: dict[int, int] = {}
        self._results: dict[tuple[int, int], Any] = {}

    def skip(self, module: nn.Module, call: int) -> None:
        self._modules[id(module)] = module
        self._skipped.setdefault(id(module), set()).add(call)

    def reuse(self, module: nn.Module, call: int, other: nn.Module, of_call: int) -> None:
        self._modules |= {id(module): module, id(other): other}
        self._reused.setdefault(id(module), {})[call] = (id(other), of_call)

    def install(self, model: nn.Module) -> None:
        if not self._modules:
            return
        for module in self._modules.values():
            self._wrap(module)
        start = model.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            self._counts.clear()
            self._results.clear()
            return start(*args, **kwargs)

        model.__dict__["forward"] = forward

    def _wrap(self, module: nn.Module) -> None:
        original, key = module.forward, id(module)

        def forward(*args: Any, **kwargs: Any) -> Any:
            call = self._counts[key] = self._counts.get(key, -1) + 1
            if call in self._skipped.get(key, ()):
                result = args[0] if args else next(iter(kwargs.values()))
            elif call in self._reused.get(key, {}):
                result = self._results[self._reused[key][call]]
            else:
                result = original(*args, **kwargs)
            self._results[key, call] = result
            return result

        module.__dict__["forward"] = forward


def _skip_operators(model: nn.Module, tree: ModuleTree, skipped: dict[tuple[str, str], set[int]]) -> None:
    """Lets runs of operators return their first operand: those that a module runs itself, not in a module inside it."""
    running: list[str] = []
    counts: dict[tuple[str, str], int] = {}

    class Skipping(DispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
            key = (running[-1] if running else "", read_name(func))
            if key in skipped:
                counts[key] = counts.get(key, -1) + 1
                if counts[key] in skipped[key]:
                    return args[0]
            return func(*args, **(kwargs or {}))

    def wrap(path: str, module: nn.Module) -> None:
        original = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            running.append(path)
            try:
                return original(*args, **kwargs)
            finally:
                running.pop()

        module.__dict__["forward"] = forward

    for path, module in zip(tree.paths[1:], tree.modules[1:], strict=True):
        wrap(path, module)
    start = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        counts.clear()
        running[:] = [""]
        with Skipping():
            return start(*args, **kwargs)

    model.__dict__["forward"] = forward
