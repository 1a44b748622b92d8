"""Meta kernels that replace those of torch where torch rejects calls that its CPU kernels accept. They return shape and dtype only.

torch's meta kernel of a grouped matrix product checks the requirements of its CUDA kernel (bfloat16, strides of 16 bytes). A mixture of
experts in float32 runs on the CPU, but without this kernel it could not be measured without values. Operators whose result shape depends on
values (`nonzero`, `unique`) have no kernel here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from archaudit.measure.tape.recurrent_layers import count_lstm_workspace

MetaKernel = Callable[..., Any]


def _grouped_mm(left: Tensor, right: Tensor, offs: Tensor | None = None, bias: Tensor | None = None, out_dtype: Any = None) -> Tensor:
    """(rows, inner) x (groups, inner, columns), and the three other forms of `torch.nn.functional.grouped_mm`."""
    if left.dim() not in (2, 3) or right.dim() not in (2, 3):
        raise RuntimeError(f"grouped_mm takes matrices or stacks of them, not tensors of {left.dim()} and {right.dim()} dimensions")
    if left.shape[-1] != right.shape[-2]:
        raise RuntimeError(f"grouped_mm: the inner sizes differ, {list(left.shape)} and {list(right.shape)}")
    if left.dim() == 3 and right.dim() == 3 and left.shape[0] != right.shape[0]:
        raise RuntimeError(f"grouped_mm: the numbers of groups differ, {left.shape[0]} and {right.shape[0]}")
    if left.dtype != right.dtype:
        raise RuntimeError(f"grouped_mm: the dtypes differ, {left.dtype} and {right.dtype}")
    if (left.dim() == 2 or right.dim() == 2) and offs is None:
        raise RuntimeError("grouped_mm needs offs, the end of each group, unless both operands are stacks")
    groups: tuple[int, ...] = ()
    if left.dim() == right.dim():
        groups = (left.shape[0],) if left.dim() == 3 else (offs.shape[0],) if offs is not None else ()
    return left.new_empty((*groups, left.shape[-2], right.shape[-1]), dtype=out_dtype or left.dtype)


_LSTM_MODE = 2


def _mkldnn_rnn_layer(inputs: Tensor, *arguments: Any) -> Any:
    """A layer of an LSTM on oneDNN, with the workspace that it keeps for the backward pass; torch's meta kernel has an empty one."""
    results = torch.ops.aten.mkldnn_rnn_layer.default(inputs, *arguments)
    mode, hidden, train = arguments[8], arguments[9], arguments[-1]
    if not train or mode != _LSTM_MODE:
        return results
    return (*results[:-1], inputs.new_empty(count_lstm_workspace(inputs.shape, hidden, inputs.element_size()), dtype=torch.uint8))


# By name, because older versions of torch do not have every operator.
_KERNELS: dict[str, MetaKernel] = {"aten::_grouped_mm": _grouped_mm, "aten::mkldnn_rnn_layer": _mkldnn_rnn_layer}


def find_meta_kernel(operator: Any) -> MetaKernel | None:
    """The kernel above for an operator; None if there is none."""
    schema = getattr(operator, "_schema", None)
    return _KERNELS.get(schema.name) if schema is not None else None


def run_meta_kernel(kernel: MetaKernel | None, operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs `kernel` if there is one and the first argument has no values, else torch's own."""
    return operator(*args, **kwargs) if kernel is None or not _has_no_values(args[0]) else kernel(*args, **kwargs)


def _has_no_values(value: object) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor  # not at the top: the import takes 20 ms, and few models need it

    return isinstance(value, Tensor) and (value.device.type == "meta" or isinstance(value, FakeTensor))
