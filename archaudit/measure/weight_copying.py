"""Fills the tensors of one model with the weights of another: unchanged, transposed, joined, split, or with a norm or adapter folded in."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real

import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.module_tree import ModuleTree
from archaudit.measure.tensors import iterate_module_tensors
from archaudit.schema import FoldedAdapter, FoldedNorm, JoinedRows, PermutedAxes, WeightSource

Weights = Mapping[str, torch.Tensor]
# The factors of adapters by module path: `scale`, or `alpha`, which is divided by the rank. `q:default` is the adapter `default` of `q`.
Scales = Mapping[str, Mapping[str, float]]

_SCALE_NAMES = ("scaling", "lora_scaling", "scale")
_ALPHA_NAMES = ("lora_alpha", "alpha")


def copy_weights(tensors: Weights, given: Weights, sources: Mapping[str, WeightSource], scales: Scales | None = None) -> None:
    """Fills each tensor that has a source with the given weights, in place. A tensor without a source keeps its initial values.

    `scales` has the factors of the adapters in the given model. Raises MeasureError where the dtype of a tensor cannot hold the weights.
    """
    with torch.no_grad():
        for name, tensor in tensors.items():
            source = sources.get(name)
            if source is not None:
                _copy(name, tensor, _compute_value(given, source, scales or {}).reshape(tensor.shape))


def _compute_value(given: Weights, source: WeightSource, scales: Scales) -> torch.Tensor:
    if isinstance(source, JoinedRows):
        return _join_rows(given, source)
    if isinstance(source, PermutedAxes):
        return given[source.tensor].reshape(source.sizes).permute(source.axes)
    return _fold_norm(given, source) if isinstance(source, FoldedNorm) else _fold_adapter(given, source, scales)


def _copy(name: str, tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Copies without a loss: no imaginary part is dropped, and no integer is rounded or wraps."""
    if value.is_complex() and not tensor.is_complex():
        raise MeasureError(f"{name} is real after and takes complex weights: a copy would drop the imaginary parts")
    tensor.copy_(value)
    exact = tensor.is_floating_point() or tensor.is_complex()
    if not exact and value.dtype != tensor.dtype and not torch.equal(tensor.to(value.dtype), value):
        raise MeasureError(f"{name} is {tensor.dtype} after and cannot hold the weights of before, which are {value.dtype}")


def _join_rows(given: Weights, source: JoinedRows) -> torch.Tensor:
    tensors = [_transpose(given[name]) if source.transposed_parts else given[name] for name in source.tensors]
    if len(tensors) == 1 and source.stop is None:  # a scalar has no rows
        joined = tensors[0]
    else:
        grouped = torch.cat([tensor.unflatten(0, (source.groups, -1)) for tensor in tensors], 1)
        joined = grouped[:, source.start : source.stop].flatten(0, 1)
    return _transpose(joined) if source.transposed else joined


def _transpose(tensor: torch.Tensor) -> torch.Tensor:
    """The matrix with its rows as columns; dimensions of one do not count."""
    return tensor.squeeze().t()


def _fold_norm(given: Weights, source: FoldedNorm) -> torch.Tensor:
    """`norm(layer(x)) = scale * (weight @ x + bias - mean) + shift`, with `scale = gamma / sqrt(var + eps)`."""
    mean, variance = given[f"{source.norm}.running_mean"], given[f"{source.norm}.running_var"]
    gamma, shift = given.get(f"{source.norm}.weight"), given.get(f"{source.norm}.bias")
    scale = torch.rsqrt(variance + source.eps) if gamma is None else gamma * torch.rsqrt(variance + source.eps)
    if source.weight is not None:
        weight = given[source.weight]
        return weight * scale.reshape([-1 if place == source.outputs else 1 for place in range(weight.dim())])
    bias = -mean if source.bias is None else given[source.bias] - mean
    return bias * scale if shift is None else bias * scale + shift


def tie_tensors(tensors: Weights, ties: Mapping[str, str]) -> None:
    """Gives each tensor the values of the one that it is tied to, in place."""
    with torch.no_grad():
        for name, source in ties.items():
            tensors[name].copy_(tensors[source].reshape(tensors[name].shape))


# --- low-rank adapters ---


def _fold_adapter(given: Weights, source: FoldedAdapter, scales: Scales) -> torch.Tensor:
    """`layer(x) + scale * up(down(x))` has the weight `weight + scale * up @ down`; a convolution's kernel is flattened for the product."""
    weight = given[source.weight]
    down, up = given[source.down].flatten(1), given[source.up].flatten(1)
    if source.transposed_factors:
        down, up = down.t(), up.t()
    update = find_factor(given, source, scales) * (up @ down)
    merged = weight + (update.t() if source.transposed else update).reshape(weight.shape)
    return _transpose(merged) if source.transposed_result else merged


def find_factor(given: Weights, source: FoldedAdapter, scales: Scales) -> float:
    """The factor of an adapter: the one to try, or the one that the model has as an attribute."""
    if source.scale is not None:
        return source.scale
    down = given[source.down].flatten(1)
    return find_scale(scales, source, down.shape[1] if source.transposed_factors else len(down))


def find_scale(scales: Scales, source: FoldedAdapter, rank: int) -> float:
    """The factor that the closest module above the adapter (or the module that holds it) has as an attribute; 1 where there is none."""
    path = source.down.rpartition(".")[0]
    adapter = path.rpartition(".")[2]
    while True:
        for key in (f"{path}:{adapter}", path):
            known = scales.get(key, {})
            if "scale" in known:
                return known["scale"]
            if "alpha" in known:
                return known["alpha"] / rank
        if not path:
            return 1.0
        path = path.rpartition(".")[0]


def read_scales(tree: ModuleTree) -> dict[str, dict[str, float]]:
    """The attributes of each module that can be the factor of an adapter: one number, or one for each named adapter (as in peft)."""
    found: dict[str, dict[str, float]] = {}
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for key, names in (("scale", _SCALE_NAMES), ("alpha", _ALPHA_NAMES)):
            for name in names:
                value = vars(module).get(name)
                for where, number in (
                    [(f"{path}:{each}", part) for each, part in value.items()] if isinstance(value, dict) else [(path, value)]
                ):
                    if isinstance(number, Real) and not isinstance(number, bool):
                        found.setdefault(where, {}).setdefault(key, float(number))
    return found


# --- the tensors of a model, and noise on them ---


# Noise that is added to the initial weights: without it, weights that start at zero or one (biases, norms, residual scales) have no effect.
_MATRIX_NOISE, _VECTOR_NOISE = 0.02, 0.1


def name_tensors(tree: ModuleTree) -> Iterator[tuple[str, torch.Tensor]]:
    """Every parameter and buffer with its full name."""
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, tensor, _, _ in iterate_module_tensors(module):
            yield (f"{path}.{name}" if path else name), tensor


def add_noise(tree: ModuleTree, generator: torch.Generator) -> None:
    """Adds noise to the parameters and running statistics, in place: real to real ones, complex to complex ones."""
    seen: set[int] = set()
    with torch.no_grad():
        for module in tree.modules:
            for name, tensor, kind, _ in iterate_module_tensors(module):
                if id(tensor) in seen or not (tensor.is_floating_point() or tensor.is_complex()):
                    continue
                seen.add(id(tensor))
                if kind == "parameter" or name == "running_mean":
                    dtype = torch.complex128 if tensor.is_complex() else torch.float64
                    noise = torch.randn(tensor.shape, generator=generator, dtype=dtype)
                    tensor.add_(noise.mul_(_MATRIX_NOISE if tensor.dim() > 1 else _VECTOR_NOISE).to(tensor.dtype))
                elif name == "running_var":
                    tensor.mul_(torch.rand(tensor.shape, generator=generator, dtype=torch.float64).add_(0.5).to(tensor.dtype))


def list_vectors(tree: ModuleTree, others: Container[str]) -> dict[str, torch.Tensor]:
    """The parameters that are biases, scales, shifts or tables of vectors under each of their names: no matrices that a product contracts.

    `others` are names that do not count: tensors that are tied to others.
    """
    found: dict[str, torch.Tensor] = {}
    matrices: set[int] = set()
    for module, path in zip(tree.modules, tree.paths, strict=True):
        for name, tensor, kind, _ in iterate_module_tensors(module):
            full = f"{path}.{name}" if path else name
            is_table = isinstance(module, nn.Embedding | nn.EmbeddingBag) or (tensor.dim() > 1 and tensor.shape[0] == 1)
            has_values = tensor.is_floating_point() or tensor.is_complex()
            if kind == "parameter" and has_values and (tensor.dim() <= 1 or is_table) and full not in others:
                found[full] = tensor
            else:
                matrices.add(id(tensor))
    return {name: tensor for name, tensor in found.items() if id(tensor) not in matrices}


@contextmanager
def scaled(tensors: Iterable[torch.Tensor], factor: float) -> Iterator[None]:
    """Multiplies the tensors in place while open, each once."""
    kept = {id(tensor): (tensor, tensor.detach().clone()) for tensor in tensors} if factor != 1 else {}
    with torch.no_grad():
        for tensor, _ in kept.values():
            tensor.mul_(factor)
        try:
            yield
        finally:
            for tensor, value in kept.values():
                tensor.copy_(value)
