"""Every operator of torch, classified without running it: products are counted, zeros are in the tables, the rest is unknown."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F

from archaudit.measure.formulas import count_operator, status_of
from archaudit.measure.formulas.registry import find_formula
from archaudit.measure.formulas.zero import ZERO_BY_KIND, ZERO_BY_NAME

CONTRACTIONS = """
    mm addmm _addmm_activation bmm baddbmm addbmm mv addmv dot vdot matmul linear inner tensordot _trilinear bilinear _foreach_mm
    addmm_ baddbmm_ addbmm_ addmv_
    _int_mm _scaled_mm _scaled_mm_v2 _grouped_mm _scaled_grouped_mm _scaled_grouped_mm_v2 _weight_int4pack_mm
    _weight_int4pack_mm_for_cpu _weight_int8pack_mm _dyn_quant_matmul_4bit _mixed_dtypes_linear mkldnn_linear
    _wrapped_quantized_linear_prepacked fbgemm_linear_int8_weight fbgemm_linear_fp16_weight
    _sparse_mm _sparse_addmm _sparse_sparse_matmul hspmm sspaddmm sparse_sampled_addmm _cslt_sparse_mm
    _sparse_semi_structured_linear _sparse_semi_structured_mm _sparse_semi_structured_addmm
    _cdist_forward _euclidean_dist _pdist_forward
    convolution _convolution convolution_overrideable conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d
    cudnn_convolution cudnn_convolution_transpose cudnn_convolution_relu cudnn_convolution_add_relu miopen_convolution
    miopen_convolution_transpose miopen_depthwise_convolution mkldnn_convolution _mps_convolution _mps_convolution_transpose
    thnn_conv2d _slow_conv2d_forward slow_conv3d_forward slow_conv_transpose2d slow_conv_transpose3d slow_conv_dilated2d
    slow_conv_dilated3d _conv_depthwise2d conv_depthwise3d conv_tbc _nnpack_spatial_convolution _convolution_mode
    scaled_dot_product_attention _scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention
    _scaled_dot_product_cudnn_attention _scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_attention_math
    _scaled_dot_product_fused_attention_overrideable _flash_attention_forward _efficient_attention_forward
    _cudnn_attention_forward _native_multi_head_attention _triton_multi_head_attention _transformer_encoder_layer_fwd
    _triton_scaled_dot_attention
    lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell mkldnn_rnn_layer _cudnn_rnn miopen_rnn _lstm_mps
    quantized_lstm quantized_gru quantized_lstm_cell
"""

REAL_WORK_WITHOUT_FORMULA = """
    linalg_eig linalg_eigvals linalg_eigh linalg_svd linalg_svdvals linalg_matrix_exp linalg_lstsq linalg_pinv
    _linalg_svd _linalg_eigh _linalg_eigvals linalg_solve_ex
"""

ZERO = """
    relu relu_ add add_ mul abs_ gelu silu view permute expand reshape contiguous to clone copy_ _to_copy narrow_copy zeros arange
    fill_ zero_ randn bernoulli_ native_dropout native_batch_norm native_layer_norm native_group_norm _fused_rms_norm _softmax
    max_pool2d_with_indices avg_pool2d _adaptive_avg_pool2d upsample_bilinear2d grid_sampler_2d affine_grid_generator sum mean
    cumsum sort topk gather scatter_add_ index index_put_ embedding _embedding_bag constant_pad_nd cat stack where eq
    _thnn_fused_lstm_cell _local_scalar_dense sym_size _assert_async outer _foreach_add _foreach_norm _foreach_copy_
"""


def overloads(name, namespace="aten"):
    packet = getattr(getattr(torch.ops, namespace), name, None)
    return [] if packet is None else [getattr(packet, overload) for overload in packet.overloads()]


def all_operators():
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = name.partition("::")
        if namespace in ("aten", "prims"):
            base, _, overload = rest.partition(".")
            yield getattr(getattr(getattr(torch.ops, namespace), base), overload or "default")


@pytest.mark.parametrize("name", CONTRACTIONS.split())
def test_contractions_have_a_formula(name):
    assert {status_of(operator) for operator in overloads(name)} <= {"counted"}


@pytest.mark.parametrize("name", REAL_WORK_WITHOUT_FORMULA.split())
def test_real_work_without_formula_is_unknown(name):
    for operator in overloads(name):
        work = count_operator(operator, (), {}, None)
        assert work.status == "unknown"
        assert "linear algebra" in work.note or "composite" in work.note


@pytest.mark.parametrize("name", ZERO.split())
def test_operators_that_count_as_zero_have_their_kind(name):
    for operator in overloads(name):
        work = count_operator(operator, (), {}, None)
        assert (operator, work.status) == (operator, "zero")
        assert work.note


def test_only_derivatives_of_operators_that_count_as_zero_are_zero():
    """The name without `backward` is that of an operator that counts as zero; the exceptions have names of their own."""
    backward = {op._schema.name.partition("::")[2] for op in all_operators() if "backward" in op._schema.name and status_of(op) == "zero"}
    forward = {re.sub("^infinitely_differentiable_|_?backward(_data)?$", "", name) for name in backward}
    own_names = {"threshold", "masked_softmax", "value_selecting_reduction", "cummaxmin", "embedding_dense", "unfold"}
    own_names |= {"_embedding_bag_dense", "_embedding_bag_per_sample_weights", "_nested_select", "_nested_sum", "_segment_reduce"}
    own_names |= {"_thnn_fused_lstm_cell_backward_impl", "batch_norm_backward_elemt", "batch_norm_backward_reduce"}
    zero = {op._schema.name.partition("::")[2] for op in all_operators() if status_of(op) == "zero"}
    assert len(backward) > 50
    assert forward - zero - own_names == set()


def test_derivatives_of_products_are_not_zero():
    products = ("convolution_backward", "_scaled_dot_product_flash_attention_for_cpu_backward", "linear_backward", "_cdist_backward")
    assert {status_of(operator) for name in products for operator in overloads(name)} <= {"counted", "unknown"}


PRODUCT_WORDS = ("mm", "matmul", "linear", "conv", "attention", "rnn", "lstm", "gru", "linalg", "fft", "solve")
# Zero although the name contains such a word: elementwise, reductions, resampling, packing, settings.
ZERO_DESPITE_THEIR_NAME = """
    hamming_window convert_element_type resolve_conj resolve_neg cummax cummin _cummax_helper _cummin_helper
    upsample_linear1d upsample_bilinear2d upsample_trilinear3d _upsample_bilinear2d_aa
    _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu _convert_indices_from_coo_to_csr _convert_indices_from_csr_to_coo
    mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16
    fbgemm_pack_quantized_matrix
    _wrapped_linear_prepack _cudnn_rnn_flatten_weight _use_cudnn_rnn_flatten_weight _nested_get_jagged_dummy
    _thnn_fused_lstm_cell _thnn_fused_gru_cell _thnn_fused_lstm_cell_backward_impl _thnn_fused_gru_cell_backward
    _upsample_bilinear2d_aa_backward linalg_cross linalg_diagonal linalg_vecdot linalg_vector_norm linalg__powsum
    linalg_vander _linalg_check_errors fft_fftfreq fft_rfftfreq fft_fftshift fft_ifftshift _cufft_get_plan_cache_size
    _cufft_get_plan_cache_max_size _cufft_set_plan_cache_max_size _cufft_clear_plan_cache
"""


def test_nothing_that_looks_like_a_product_is_zero():
    """Checked by name, so that a new operator of torch that multiplies, convolves or attends does not become a zero unnoticed."""
    zero = {op._schema.name.partition("::")[2] for op in all_operators() if status_of(op) == "zero"}
    suspects = {name for name in zero if any(word in name.replace("gamma", "") for word in PRODUCT_WORDS)}
    suspects -= {name for name in suspects if name.startswith(("upsample_", "cummax")) and name.endswith("_backward")}
    assert suspects - set(ZERO_DESPITE_THEIR_NAME.split()) == set()


def test_few_operators_are_unknown():
    """The tables cover most forward operators of torch. Run with -s to print the unknown ones."""
    unknown = sorted({op._schema.name for op in all_operators() if status_of(op) == "unknown" and "backward" not in op._schema.name})
    known = {op._schema.name for op in all_operators() if status_of(op) != "unknown"}
    print(f"{len(known)} operators known, {len(unknown)} unknown:", *unknown)  # noqa: T201
    assert len(unknown) < len(known) / 10


def test_each_zero_name_has_one_kind_and_no_formula():
    names = [name for names in ZERO_BY_KIND.values() for name in names.split()]
    assert len(names) == len(set(names)) == len(ZERO_BY_NAME)
    assert {name for name in ZERO_BY_NAME if find_formula(name, "default")} == set()


def test_torchvision_boxes_are_zero_and_so_are_their_gradients():
    pytest.importorskip("torchvision")
    for name in ("nms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "_roi_align_backward", "_ps_roi_pool_backward"):
        assert {status_of(operator) for operator in overloads(name, "torchvision")} == {"zero"}
    assert {status_of(operator) for operator in overloads("_deform_conv2d_backward", "torchvision")} == {"counted"}


def test_a_common_vision_head_has_no_unknown_operator(count):
    def run():
        features = torch.rand(2, 8, 8, 8)
        features = F.batch_norm(features, torch.rand(8), torch.rand(8))
        features = F.interpolate(F.gelu(features), scale_factor=2, mode="bilinear")
        features = F.grid_sample(features, F.affine_grid(torch.rand(2, 2, 3), [2, 8, 4, 4], align_corners=False), align_corners=False)
        return F.adaptive_avg_pool2d(F.pad(features, (1, 1)), 1).flatten(1).softmax(-1).topk(2)

    for device in ("meta", "cpu"):
        assert count(run, device).macs == 0


@pytest.fixture
def library():
    library = torch.library.Library("archaudit_zero_test", "DEF")
    library.define("plain(Tensor x) -> Tensor")
    library.define("tagged(Tensor x) -> Tensor", tags=(torch.Tag.pointwise,))
    library.define("seeded(Tensor x) -> Tensor", tags=(torch.Tag.nondeterministic_seeded,))
    library.define("tagged_backward(Tensor x) -> Tensor", tags=(torch.Tag.pointwise,))
    library.define("look(Tensor(a) x) -> Tensor(a)")
    library.define("write(Tensor(a!) x) -> Tensor(a!)")
    yield torch.ops.archaudit_zero_test
    library._destroy()


def test_operators_of_other_libraries_are_zero_only_by_schema_or_pointwise_tag(library):
    statuses = {
        name: status_of(getattr(library, name).default) for name in ("plain", "tagged", "seeded", "tagged_backward", "look", "write")
    }
    assert statuses == {
        "plain": "unknown",
        "tagged": "zero",
        "seeded": "unknown",
        "tagged_backward": "zero",
        "look": "zero",
        "write": "unknown",
    }
