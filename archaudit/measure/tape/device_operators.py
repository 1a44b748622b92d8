"""The operators that composite functions run on the assumed device: fused attention, recurrent layers, softmax and dropout.

Such a function chooses its operators by the device of its tensors. On the meta device it takes the general ones: attention then makes
the whole matrix of scores, and a recurrent layer makes tensors for each step. While `run_operators_of(device)` is open, the functions below
make the choice of the CPU, or of a CUDA device of compute capability 8.0, for meta tensors. All other operators are the same on both.

The choices follow ATen/native/transformers (attention.cpp, sdp_utils_cpp.cpp, cuda/sdp_utils.cpp), ATen/native/RNN.cpp,
ATen/native/SoftMax.cpp and ATen/native/Dropout.cpp of PyTorch.
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from archaudit.measure.tape.recurrent_layers import run_gru, run_lstm_with_mkldnn, run_on_cudnn, run_plain_rnn

aten = torch.ops.aten

# The devices whose operators can be assumed; the first is the default, because every machine can check its numbers with a real run.
DEVICES = ("cpu", "cuda")

_HALF = (torch.float16, torch.bfloat16)
_MATH = "math"


# What people call the operators that are chosen by device, so that a forward graph is the same for each device.
_NAMES = {
    **{f"_scaled_dot_product_{kind}": "scaled_dot_product_attention" for kind in ("flash_attention", "efficient_attention")},
    "_scaled_dot_product_flash_attention_for_cpu": "scaled_dot_product_attention",
    "_scaled_dot_product_cudnn_attention": "scaled_dot_product_attention",
    "native_dropout": "dropout",
}


def name_operator(name: str) -> str:
    """The name of a node of the forward graph: that of the operator, without what only the device decides."""
    short = name.removeprefix("aten::")
    return _NAMES.get(short, short)


# By operator: what runs in its place now, for dispatch modes, which see composite operators in inference mode.
_running: dict[Any, Callable[..., Any]] = {}


def find_function(operator: Any, args: Sequence[Any]) -> Callable[..., Any] | None:
    """The function that runs in place of a composite operator of meta tensors; None if there is none."""
    return _running.get(operator) if _running and args and isinstance(args[0], Tensor) and args[0].is_meta else None


@contextmanager
def run_operators_of(device: str) -> Iterator[None]:
    """While open, composite functions of meta tensors run the operators of `device`.

    The functions are registered for the autograd key of the meta device, so that they also apply to calls from C++, and with grad.
    """
    if _running:  # a measurement inside a measurement: the outer one decides
        yield
        return
    chosen = _ON_CUDA if device == "cuda" else _ON_CPU
    library = torch.library.Library("aten", "IMPL")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns when a kernel replaces a general one
            for operator, function in chosen.items():
                library.impl(operator, function, "AutogradMeta")
        _running.update(chosen)
        yield
    finally:
        _running.clear()
        library._destroy()


def _decompose(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs the general operators of a composite function, as C++ does: a decomposition in Python may differ."""
    return operator._op_dk(torch._C.DispatchKey.CompositeImplicitAutograd, *args, **kwargs)


# --- attention


def _accept_three_dimensions(attend: Callable[..., Any]) -> Callable[..., Any]:
    """Attention with the signature of torch; inputs without a batch get one of size 1, which the result does not have."""

    @functools.wraps(attend)
    def attend_in_batches(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        *,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Any:
        if not query.dim() == key.dim() == value.dim() == 3:
            return attend(query, key, value, attn_mask, dropout_p, is_causal, scale, enable_gqa)
        given = (query.unsqueeze(0), key.unsqueeze(0), value.unsqueeze(0))
        mask = attn_mask.unsqueeze(0) if attn_mask is not None and attn_mask.dim() == 3 else attn_mask
        return attend(*given, mask, dropout_p, is_causal, scale, enable_gqa).squeeze(0)

    return attend_in_batches


@_accept_three_dimensions
def _attend_on_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Any:
    chosen = _choose_on_cpu((query, key, value), attn_mask, dropout_p, is_causal, enable_gqa)
    if chosen == _MATH:
        settings = {"scale": scale, "enable_gqa": enable_gqa}
        return _decompose(aten.scaled_dot_product_attention.default, query, key, value, attn_mask, dropout_p, is_causal, **settings)
    mask = _convert_mask(attn_mask, query)
    return aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, dropout_p, is_causal, attn_mask=mask, scale=scale)[0]


@_accept_three_dimensions
def _attend_on_cuda(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None,
    dropout_p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Any:
    chosen = _choose_on_cuda((query, key, value), attn_mask, is_causal, enable_gqa)
    size = query.shape[-1]
    if chosen == "flash":
        padded = [functional.pad(each, (0, -size % 8)) if size % 8 else each for each in (query, key, value)]
        scale = 1 / math.sqrt(size) if scale is None else scale
        result = aten._scaled_dot_product_flash_attention(*padded, dropout_p, is_causal, scale=scale)[0]
        return result[..., :size] if size % 8 else result
    if chosen == "efficient":
        needs_grad = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
        mask = _align_mask(_convert_mask(attn_mask, query), query, key)
        return aten._scaled_dot_product_efficient_attention(query, key, value, mask, needs_grad, dropout_p, is_causal, scale=scale)[0]
    settings = {"scale": scale, "enable_gqa": enable_gqa}
    return _decompose(aten.scaled_dot_product_attention.default, query, key, value, attn_mask, dropout_p, is_causal, **settings)


def _convert_mask(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """A boolean mask as a number to add: 0 or minus infinity."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    hidden, shown = (torch.scalar_tensor(each, dtype=query.dtype, device=mask.device) for each in (-math.inf, 0.0))
    return torch.where(mask, shown, hidden)


def _align_mask(mask: Tensor | None, query: Tensor, key: Tensor) -> Tensor | None:
    """The mask with rows of a multiple of 16 elements, which the memory-efficient kernel needs, for every head."""
    if mask is None:
        return None
    length = mask.shape[-1]
    if length % 16:
        mask = functional.pad(mask, (0, -length % 16))[..., :length]
    return mask.expand(*query.shape[:-1], key.shape[-2])


_choices: dict[Any, str] = {}


def _choose_on_cpu(operands: Sequence[Tensor], mask: Tensor | None, dropout_p: float, is_causal: bool, enable_gqa: bool) -> str:
    """The choice of torch itself for CPU tensors of the same sizes, which are views of a few bytes."""
    enabled = (torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled())
    tensors = (*operands, mask)
    described = tuple((each.shape, each.stride()[-1:], each.dtype, _needs_grad(each)) for each in tensors if each is not None)
    key = (described, mask is None, dropout_p > 0, is_causal, enable_gqa, enabled)
    if key not in _choices:
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            made = [None if each is None else _make_small_view(each).requires_grad_(_needs_grad(each)) for each in tensors]
            number = aten._fused_sdp_choice(*made, dropout_p, is_causal, enable_gqa=enable_gqa)
        _choices[key] = "flash" if number == torch.nn.attention.SDPBackend.FLASH_ATTENTION.value else _MATH
    return _choices[key]


def _needs_grad(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and tensor.requires_grad


def _make_small_view(tensor: Tensor) -> Tensor:
    """A CPU tensor of the same sizes: all its rows are the same memory."""
    last = tensor.stride()[-1] if tensor.dim() else 0
    length = tensor.shape[-1] if tensor.dim() else 0
    memory = torch.zeros(max(1, (length - 1) * last + 1), dtype=tensor.dtype, device="cpu")
    return memory.as_strided(tensor.shape, (*(0 for _ in tensor.shape[:-1]), *tensor.stride()[-1:]))


def _choose_on_cuda(operands: Sequence[Tensor], mask: Tensor | None, is_causal: bool, enable_gqa: bool) -> str:
    """The first of flash, memory-efficient and general attention whose conditions hold."""
    query, key, value = operands
    if any(each.dim() != 4 or 0 in each.shape for each in operands) or query.dtype != key.dtype or query.dtype != value.dtype:
        return _MATH
    heads = {each.shape[1] for each in (key, value)} | (set() if enable_gqa else {query.shape[1]})
    same_batch = len({each.shape[0] for each in operands}) == 1
    if not same_batch or len(heads) > 1 or query.shape[1] % key.shape[1]:
        return _MATH
    size, value_size = query.shape[-1], value.shape[-1]
    is_dense = all(each.stride(-1) == 1 for each in operands)
    if (
        torch.backends.cuda.flash_sdp_enabled()
        and mask is None
        and is_dense
        and query.dtype in _HALF
        and size == key.shape[-1] == value_size <= 256
        and not (is_causal and query.shape[-2] != key.shape[-2])
    ):
        return "flash"
    alignment = 8 if query.dtype in _HALF else 4
    if (
        torch.backends.cuda.mem_efficient_sdp_enabled()
        and is_dense
        and query.dtype in (*_HALF, torch.float32)
        and size == key.shape[-1]
        and size % alignment == 0
        and value_size % alignment == 0
    ):
        return "efficient"
    return _MATH


# --- recurrent layers


def _run_lstm_on_cpu(data: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], *settings: Any) -> Any:
    has_projections = hx[0].shape[-1] != hx[1].shape[-1]
    if has_projections or data.dtype not in (torch.float32, torch.bfloat16) or not data.numel() or not torch.backends.mkldnn.enabled:
        return _decompose(aten.lstm.input, data, hx, params, *settings)
    return run_lstm_with_mkldnn(data, hx, params, *settings)


def _run_lstm_on_cuda(data: Tensor, hx: Sequence[Tensor], params: Sequence[Tensor], *settings: Any) -> Any:
    return run_on_cudnn("lstm", data, hx, params, *settings)


def _run_gru_on_cuda(data: Tensor, hx: Tensor, params: Sequence[Tensor], *settings: Any) -> Any:
    return run_on_cudnn("gru", data, (hx,), params, *settings)[:2]


def _run_tanh_on_cuda(data: Tensor, hx: Tensor, params: Sequence[Tensor], *settings: Any) -> Any:
    return run_on_cudnn("tanh", data, (hx,), params, *settings)[:2]


def _run_relu_on_cuda(data: Tensor, hx: Tensor, params: Sequence[Tensor], *settings: Any) -> Any:
    return run_on_cudnn("relu", data, (hx,), params, *settings)[:2]


# --- functions with a fused operator on CUDA only


def _softmax_on_cuda(data: Tensor, dim: int, dtype: torch.dtype | None = None) -> Any:
    if data.dtype == torch.float16 and dtype == torch.float32:
        return aten._softmax(data, dim, True)
    return _decompose(aten.softmax.int, data, dim, dtype)


def _log_softmax_on_cuda(data: Tensor, dim: int, dtype: torch.dtype | None = None) -> Any:
    if data.dtype == torch.float16 and dtype == torch.float32:
        return aten._log_softmax(data, dim, True)
    return _decompose(aten.log_softmax.int, data, dim, dtype)


def _drop_on_cuda(data: Tensor, p: float, train: bool) -> Any:
    if train and 0 < p < 1 and data.numel():
        return aten.native_dropout(data, p, True)[0]
    return _decompose(aten.dropout.default, data, p, train)


_ON_CPU: dict[Any, Callable[..., Any]] = {
    aten.scaled_dot_product_attention.default: _attend_on_cpu,
    aten.lstm.input: _run_lstm_on_cpu,
    aten.gru.input: run_gru,
    aten.rnn_tanh.input: lambda data, hx, params, *settings: run_plain_rnn(torch.tanh, data, hx, params, *settings),
    aten.rnn_relu.input: lambda data, hx, params, *settings: run_plain_rnn(torch.relu, data, hx, params, *settings),
}
_ON_CUDA: dict[Any, Callable[..., Any]] = {
    aten.scaled_dot_product_attention.default: _attend_on_cuda,
    aten.lstm.input: _run_lstm_on_cuda,
    aten.gru.input: _run_gru_on_cuda,
    aten.rnn_tanh.input: _run_tanh_on_cuda,
    aten.rnn_relu.input: _run_relu_on_cuda,
    aten.softmax.int: _softmax_on_cuda,
    aten.log_softmax.int: _log_softmax_on_cuda,
    aten.dropout.default: _drop_on_cuda,
}
