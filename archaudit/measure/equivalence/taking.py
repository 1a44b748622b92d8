"""Weights of one model put into another: copied, joined, taken apart, or with a norm folded in."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from archaudit.schema import FoldedNorm, JoinedRows, TensorSource

Weights = Mapping[str, torch.Tensor]


def take_weights(tensors: Weights, given: Weights, sources: Mapping[str, TensorSource]) -> None:
    """Fills each of the tensors that has a source from the given weights, in place; what has none is left as it was built."""
    with torch.no_grad():
        for name, tensor in tensors.items():
            source = sources.get(name)
            if source is not None:
                value = _join_rows(given, source) if isinstance(source, JoinedRows) else _fold_norm(given, source)
                tensor.copy_(value.reshape(tensor.shape))


def _join_rows(given: Weights, source: JoinedRows) -> torch.Tensor:
    tensors = [given[name] for name in source.tensors]
    if source.turned:
        return tensors[0].t()
    if len(tensors) == 1 and source.stop is None:  # a scalar has no rows
        return tensors[0]
    grouped = torch.cat([tensor.unflatten(0, (source.groups, -1)) for tensor in tensors], 1)
    return grouped[:, source.start : source.stop].flatten(0, 1)


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
