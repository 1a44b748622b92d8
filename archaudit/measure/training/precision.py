"""Mixed precision: `torch.autocast` for tensors without values.

torch applies autocast by the device of each tensor, and the meta device has none. While `autocast` is open, the operators of the lists
below cast their arguments as on the assumed device. The casts happen where torch makes them, above autograd, so they also apply to calls
from C++, are saved for the backward pass, and are recorded as operators.

Source of the lists: aten/src/ATen/autocast_mode.h and autocast_mode.cpp of PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

aten = torch.ops.aten

# The dispatch key of autocast for devices of other packages: no operator of torch uses it.
_KEY = "AutocastPrivateUse1"

_LOWER = """
    conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution _convolution conv_tbc prelu
    addmm addmv addbmm baddbmm bmm chain_matmul linalg_multi_dot linalg_vecdot matmul mm mv linear einsum scaled_dot_product_attention
"""
_LOWER_ON_CPU = "_addmm_activation _native_multi_head_attention mkldnn_rnn_layer"
_LOWER_ON_CUDA = """
    addr _cudnn_rnn _scaled_dot_product_flash_attention _thnn_fused_gru_cell _thnn_fused_lstm_cell gru_cell lstm_cell rnn_relu_cell
    rnn_tanh_cell cudnn_convolution cudnn_convolution_transpose
"""
_FLOAT_ON_CPU = """
    avg_pool3d binary_cross_entropy grid_sampler polar prod quantile nanquantile stft cdist trace view_as_complex cholesky cholesky_inverse
    cholesky_solve inverse lu_solve orgqr ormqr pinverse max_pool3d max_unpool2d max_unpool3d adaptive_avg_pool3d reflection_pad1d
    reflection_pad2d replication_pad1d replication_pad2d replication_pad3d mse_loss cosine_embedding_loss nll_loss nll_loss2d
    hinge_embedding_loss poisson_nll_loss smooth_l1_loss cross_entropy_loss l1_loss huber_loss margin_ranking_loss soft_margin_loss
    triplet_margin_loss multi_margin_loss ctc_loss kl_div multilabel_margin_loss binary_cross_entropy_with_logits
    _grid_sampler_2d_cpu_fallback _lu_with_info adaptive_max_pool3d fake_quantize_per_tensor_affine fractional_max_pool2d
    fractional_max_pool3d geqrf grid_sampler_2d grid_sampler_3d linalg_cholesky linalg_cholesky_ex linalg_cond linalg_eig linalg_eigh
    linalg_eigvals linalg_eigvalsh linalg_householder_product linalg_inv linalg_inv_ex linalg_lstsq linalg_matrix_rank
    linalg_matrix_sqrth linalg_qr linalg_solve linalg_svd linalg_svdvals linalg_tensorinv linalg_tensorsolve svd triangular_solve
    multilabel_margin_loss_forward
    fft_fft fft_ifft fft_fft2 fft_ifft2 fft_fftn fft_ifftn fft_rfft fft_irfft fft_rfft2 fft_irfft2 fft_rfftn fft_irfftn fft_hfft fft_ihfft
"""
_FLOAT_ON_CUDA = """
    acos asin cosh erfinv exp expm1 log log10 log2 log1p reciprocal rsqrt sinh tan pow softplus layer_norm native_layer_norm group_norm
    frobenius_norm nuclear_norm cosine_similarity poisson_nll_loss cosine_embedding_loss nll_loss nll_loss2d hinge_embedding_loss kl_div
    l1_loss smooth_l1_loss huber_loss mse_loss margin_ranking_loss multilabel_margin_loss soft_margin_loss triplet_margin_loss
    multi_margin_loss binary_cross_entropy_with_logits dist pdist cdist renorm logsumexp
    prod softmax log_softmax cumprod cumsum linalg_vector_norm linalg_matrix_norm sum
    norm rms_norm linalg_matrix_sqrth _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
    _upsample_nearest_exact3d upsample_bicubic2d upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d
    upsample_nearest3d upsample_trilinear3d
"""
_WIDEST_ON_CPU = "stack cat index_copy"
_WIDEST_ON_CUDA = "addcdiv addcmul atan2 bilinear cross dot vdot grid_sampler index_put tensordot scatter_add"

Cast = Callable[[torch.Tensor], torch.Tensor]


class _WeightCache:
    """The cast parameters: torch casts each once, and keeps the copies until autocast ends."""

    def __init__(self) -> None:
        self._cast: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def cast(self, tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        if tensor.dtype == dtype or not _is_eligible(tensor):
            return tensor
        keeps = tensor.dtype == torch.float32 and tensor.requires_grad and tensor.is_leaf and not tensor._is_view()
        if not keeps:
            return tensor.to(dtype)
        if id(tensor) not in self._cast:
            self._cast[id(tensor)] = (tensor, tensor.to(dtype))
        return self._cast[id(tensor)][1]

    def clear(self) -> None:
        self._cast.clear()


def _is_eligible(tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype != torch.float64


def _map(value: Any, cast: Cast) -> Any:
    if isinstance(value, torch.Tensor):
        return cast(value)
    if isinstance(value, list | tuple):
        return type(value)(_map(each, cast) for each in value)
    return value


@contextmanager
def autocast(device: str, name: str) -> Iterator[Callable[[], AbstractContextManager[None]]]:
    """Prepares autocast to the dtype `name` for meta tensors that are assumed to be on `device`; yields the context that turns it on.

    The preparation has to be open in the backward pass too: a checkpoint turns autocast on again there.
    """
    dtype = getattr(torch, name)
    cache = _WeightCache()
    key = getattr(torch._C.DispatchKey, _KEY)
    was_excluded = torch._C._dispatch_tls_is_dispatch_key_excluded(key)
    own, rest = torch.library.Library("aten", "IMPL"), torch.library.Library("_", "IMPL")
    try:
        rest.fallback(torch.library.fallthrough_kernel, _KEY)
        on_cuda = device == "cuda"
        kinds = (
            (f"{_LOWER} {_LOWER_ON_CUDA if on_cuda else _LOWER_ON_CPU}", "lower"),
            (_FLOAT_ON_CUDA if on_cuda else _FLOAT_ON_CPU, "float"),
            (_WIDEST_ON_CUDA if on_cuda else _WIDEST_ON_CPU, "widest"),
        )
        for names, kind in kinds:
            for operator in _list_overloads(names.split(), device):
                own.impl(operator, _make_kernel(operator, kind, (device, dtype), cache), _KEY)
        torch._C._dispatch_tls_set_dispatch_key_excluded(key, False)
        with torch._C._IncludeDispatchKeyGuard(key), _clearing(cache):
            yield lambda: _turn_on(device, dtype, cache)
    finally:
        torch._C._dispatch_tls_set_dispatch_key_excluded(key, was_excluded)
        own._destroy()
        rest._destroy()


def _list_overloads(names: list[str], device: str) -> Iterator[Any]:
    """Of the operators, the overloads that torch casts on that device."""
    for name in names:
        packet = getattr(aten, name, None)
        for overload in packet.overloads() if packet is not None else ():
            operator = getattr(packet, overload)
            if torch._C._dispatch_has_kernel(operator.name()) and torch._C._dispatch_has_kernel_for_dispatch_key(
                operator.name(), f"Autocast{device.upper()}"
            ):
                yield operator


def _make_kernel(operator: Any, kind: str, precision: tuple[str, torch.dtype], cache: _WeightCache) -> Callable[..., Any]:
    device, dtype = precision
    key = torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, _KEY))

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C._ExcludeDispatchKeyGuard(key):
            if torch.is_autocast_enabled(device):
                cast = _choose_cast((args, tuple(kwargs.values())), kind, dtype, cache)
                args, kwargs = _map(args, cast), {name: _map(value, cast) for name, value in kwargs.items()}
            return operator(*args, **kwargs)

    return run


def _choose_cast(given: Any, kind: str, dtype: torch.dtype, cache: _WeightCache) -> Cast:
    if kind == "lower":
        return lambda tensor: cache.cast(tensor, dtype)
    if kind == "float":
        return lambda tensor: tensor.to(torch.float32) if _is_eligible(tensor) else tensor
    found: list[torch.dtype] = []
    _map(given, lambda tensor: found.append(tensor.dtype) or tensor if _is_eligible(tensor) else tensor)  # type: ignore[func-returns-value]
    widest = torch.float32 if torch.float32 in found else dtype
    return lambda tensor: tensor.to(widest) if _is_eligible(tensor) else tensor


@contextmanager
def _turn_on(device: str, dtype: torch.dtype, cache: _WeightCache) -> Iterator[None]:
    """Turns autocast on as `torch.autocast` does, also for a device that this machine does not have."""
    enabled, chosen = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    torch.set_autocast_enabled(device, True)
    torch.set_autocast_dtype(device, dtype)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        if torch.autocast_decrement_nesting() == 0:
            cache.clear()
        torch.set_autocast_enabled(device, enabled)
        torch.set_autocast_dtype(device, chosen)


@contextmanager
def _clearing(cache: _WeightCache) -> Iterator[None]:
    """While open, the cache is cleared with that of torch: at the end of each recomputation of a checkpoint, for example."""
    clear = torch.clear_autocast_cache

    def clear_both() -> None:
        cache.clear()
        clear()

    torch.clear_autocast_cache = clear_both
    try:
        yield
    finally:
        torch.clear_autocast_cache = clear
