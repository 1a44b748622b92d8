"""Operators that count as zero multiply-accumulates by convention, by kind, where torch's own tags do not say so.

Names without a namespace are in `aten`. The in-place variant (`fill_`), the copying view (`narrow_copy`), the prim (`prims::cat`) and the
list variant (`_foreach_norm`) follow the operator of the same name. An operator is unknown if it is not listed here, is no view by its
schema, has no tag of torch and no formula: linear algebra, Fourier transforms, derivatives of products, operators of other libraries.
"""

from __future__ import annotations

from typing import Any

import torch

ZERO_BY_KIND: dict[str, str] = {
    "metadata": """
        size stride storage_offset numel dim sym_size sym_stride sym_numel sym_storage_offset sym_is_contiguous is_same_size is_set_to
        is_coalesced is_complex is_conj is_contiguous is_distributed is_floating_point is_inference is_leaf is_neg is_nonzero is_pinned
        is_signed is_vulkan_available isreal can_cast result_type promote_types get_device output_nr requires_grad_ retain_grad
        retains_grad record_stream _version _nnz sparse_dim dense_dim _dimI _dimV _coalesced _has_same_storage_numel
        _has_compatible_shallow_copy_type _is_zerotensor _debug_has_internal_overlap _shape_as_tensor _nested_tensor_size
        _nested_tensor_strides _nested_tensor_storage_offsets _nested_get_lengths _nested_get_offsets _nested_get_ragged_idx
        _nested_get_min_seqlen _nested_get_max_seqlen _nested_get_jagged_dummy _nested_compute_contiguous_strides_offsets
        q_scale q_zero_point q_per_channel_scales q_per_channel_zero_points q_per_channel_axis qscheme _fused_sdp_choice
        cudnn_is_acceptable _use_cudnn_ctc_loss _use_miopen_ctc_loss _use_cudnn_rnn_flatten_weight _nnpack_available
        _cufft_clear_plan_cache _cufft_get_plan_cache_max_size _cufft_get_plan_cache_size _cufft_set_plan_cache_max_size
        data set_data get_gradients prim::device prim::layout prim::dtype prim::NumToTensor torchvision::_cuda_version
        mkldnn::_nbytes mkldnn::data_ptr mkldnn::_get_mkldnn_serialized_md mkldnn::_is_mkldnn_acl_supported
        mkldnn::_is_mkldnn_bf16_supported mkldnn::_is_mkldnn_fp16_supported""",
    "check": """
        _assert_async _assert_scalar _assert_tensor_metadata _functional_assert_async _functional_assert_scalar _is_all_true
        _is_any_true _functional_sym_constrain_range _functional_sym_constrain_range_for_size sym_constrain_range
        sym_constrain_range_for_size _linalg_check_errors _make_dep_token _print _validate_compressed_sparse_indices
        _validate_sparse_bsc_tensor_args _validate_sparse_bsr_tensor_args _validate_sparse_compressed_tensor_args
        _validate_sparse_coo_tensor_args _validate_sparse_csc_tensor_args _validate_sparse_csr_tensor_args
        prims::_make_token prims::_sink_tokens higher_order::print profiler::_record_function_enter
        profiler::_record_function_enter_new profiler::_record_function_exit debug_mode_ops::annotate""",
    "view": """
        _unsafe_view _reshape_from_tensor _mkldnn_reshape _mkldnn_transpose set shallow_copy_data_ resize resize_as resize_sparse
        sparse_resize sparse_resize_and_clear resize_as_sparse _resize_output _add_batch_dim _remove_batch_dim _unpack_dual
        _propagate_xla_data atleast_1d atleast_2d atleast_3d broadcast_tensors unsafe_chunk unsafe_split unsafe_split_with_sizes
        unflatten_dense_tensors fliplr flipud prims::collapse prims::reshape prims::as_strided prims::resize
        inductor::_reinterpret_tensor inductor::_alloc_from_pool inductor::resize_storage_bytes_
        export::access_subclass_inner_tensor""",
    "copy": """
        copy _to_copy _to_cpu _copy_from _copy_from_and_resize _lazy_clone _conj_copy lift type_as copy_sparse_to_sparse _pin_memory
        _reshape_copy fft_fftshift fft_ifftshift
        _cast_Byte _cast_Char _cast_Double _cast_Float _cast_Half _cast_Int _cast_Long _cast_Short chalf complex polar item
        _local_scalar_dense cat concat concatenate stack _stack hstack vstack dstack row_stack column_stack _chunk_cat block_diag
        flatten_dense_tensors repeat tile repeat_interleave roll rot90 flip diag diagflat diag_embed _spdiags expand_copy
        as_strided_scatter diagonal_scatter select_scatter slice_scatter pixel_shuffle pixel_unshuffle channel_shuffle
        native_channel_shuffle im2col col2im unfold_copy tril triu meshgrid cartesian_prod combinations sum_to_size
        to_dense _to_dense to_mkldnn mkldnn_reorder_conv2d_weight mkldnn_reorder_conv3d_weight _cudnn_rnn_flatten_weight
        mkldnn::_reorder_convolution_weight mkldnn::_reorder_convolution_transpose_weight mkldnn::_reorder_linear_weight
        mkldnn::_reorder_mkldnn_rnn_layer_weight mkl::_mkl_reorder_linear_weight prims::copy_to prims::copy_strided
        prims::device_put prims::rev prims::clone lu_unpack""",
    "sparse layout": """
        to_sparse to_sparse_bsc to_sparse_bsr to_sparse_csc to_sparse_csr _to_sparse _to_sparse_bsc _to_sparse_bsr _to_sparse_csc
        _to_sparse_csr _coalesce sparse_mask _sparse_mask_projection _convert_indices_from_coo_to_csr
        _convert_indices_from_csr_to_coo sparse_coo_tensor sparse_compressed_tensor sparse_csr_tensor sparse_csc_tensor
        sparse_bsr_tensor sparse_bsc_tensor _sparse_coo_tensor_unsafe _sparse_coo_tensor_with_dims
        _sparse_coo_tensor_with_dims_and_tensors _sparse_compressed_tensor_unsafe _sparse_compressed_tensor_with_dims
        _sparse_csr_tensor_unsafe _sparse_csc_tensor_unsafe _sparse_bsr_tensor_unsafe _sparse_bsc_tensor_unsafe _cslt_compress
        _to_sparse_semi_structured _sparse_semi_structured_tile _sparse_semi_structured_apply
        _sparse_semi_structured_apply_dense _rowwise_prune""",
    "nested layout": """
        _nested_from_padded _nested_from_padded_and_nested_example _nested_from_padded_tensor _nested_tensor_from_mask
        _nested_tensor_from_mask_left_aligned _nested_tensor_from_tensor_list nested_to_padded_tensor to_padded_tensor
        _jagged_to_padded_dense_forward _padded_dense_to_jagged_forward _pack_padded_sequence _pad_packed_sequence pad_sequence""",
    "factory": """
        empty empty_like empty_permuted empty_strided empty_quantized new_empty new_empty_strided new_full new_ones new_zeros full
        full_like ones ones_like zeros zeros_like fill fill_diagonal zero eye arange range linspace logspace scalar_tensor from_file
        tril_indices triu_indices one_hot _dim_arange _efficientzerotensor _new_zeros_with_same_feature_meta bartlett_window
        blackman_window hamming_window hann_window kaiser_window fft_fftfreq fft_rfftfreq vander linalg_vander
        affine_grid_generator cudnn_affine_grid_generator prims::iota prims::item debugprims::load_tensor""",
    "random": """
        alpha_dropout bernoulli binomial cauchy dropout exponential feature_alpha_dropout feature_dropout geometric log_normal
        multinomial native_dropout _fused_dropout normal normal_functional poisson rand rand_like randint randint_like randn
        randn_like random randperm rrelu rrelu_with_noise rrelu_with_noise_functional uniform _sample_dirichlet _dirichlet_grad
        _standard_gamma _standard_gamma_grad _masked_scale _cudnn_init_dropout_state _fill_mem_eff_dropout_mask_ _philox_key_fold_in
        _philox_key_split _philox_normal _philox_randint _philox_uniform _sobol_engine_draw _sobol_engine_ff
        _sobol_engine_initialize_state _sobol_engine_scramble rngprims::philox_rand inductor_prims::inductor_reserve_rng_state""",
    "elementwise": """
        __and__ __iand__ __ior__ __irshift__ __or__ _add_relu absolute arccos arccosh arcsin arcsinh arctan arctan2 arctanh
        divide floor_divide fix greater greater_equal less less_equal multiply negative not_equal subtract isclose bucketize
        searchsorted cross linalg_cross outer ger addr kron glu glu_jvp hardswish log_sigmoid log_sigmoid_forward prelu
        _prelu_kernel softplus gradient trapezoid trapz cumulative_trapezoid diff _transform_bias_rescale_qkv
        _thnn_fused_lstm_cell _thnn_fused_gru_cell _test_serialization_subcmul special_digamma special_erf special_erfc
        special_erfinv special_exp2 special_expit special_expm1 special_gammainc special_gammaincc special_gammaln special_i0
        special_log1p special_logit special_multigammaln special_ndtr special_polygamma special_psi special_round special_sinc
        special_xlogy _amp_foreach_non_finite_check_and_unscale _amp_update_scale higher_order::inline_asm_elementwise
        prims::bessel_i0 prims::bessel_i0e prims::bessel_i1 prims::bessel_i1e prims::bessel_j0 prims::bessel_j1 prims::cbrt
        prims::erf_inv prims::erfcx prims::ndtri prims::shift_left prims::shift_right_arithmetic prims::spherical_bessel_j0
        prims::zeta prims::maximum_value prims::minimum_value""",
    "reduction": """
        all any amax amin aminmax _aminmax argmax argmin count_nonzero nansum sum mean nanmean prod std std_mean var var_mean
        median nanmedian mode quantile nanquantile kthvalue norm native_norm frobenius_norm linalg_vector_norm linalg__powsum
        logsumexp special_logsumexp allclose hash_tensor trace dist pairwise_distance cosine_similarity linalg_vecdot renorm
        norm_except_dim segment_reduce _foreach_powsum _sparse_sum _sparse_csr_sum _sparse_csr_prod prims::xor_sum""",
    "scan": """
        cumsum cumprod cummax cummin logcumsumexp _cummax_helper _cummin_helper _logcumsumexp""",
    "sorting": """
        sort msort argsort topk unique_consecutive unique_dim unique_dim_consecutive _unique _unique2 histc histogram histogramdd
        _histogramdd_bin_edges _histogramdd_from_bin_cts _histogramdd_from_bin_tensors bincount isin nonzero nonzero_numpy
        nonzero_static argwhere""",
    "indexing": """
        gather scatter scatter_add scatter_reduce index index_add index_copy index_fill index_put index_reduce index_select
        _index_put_impl _unsafe_index _unsafe_index_put _unsafe_masked_index _unsafe_masked_index_put_accumulate masked_fill
        masked_scatter masked_select put take take_along_dim embedding embedding_bag _embedding_bag _embedding_bag_forward_only
        embedding_renorm""",
    "padding": """
        pad constant_pad_nd _pad_circular _pad_enum reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d
        replication_pad2d replication_pad3d""",
    "norm": """
        batch_norm native_batch_norm _native_batch_norm_legit _native_batch_norm_legit_functional
        _native_batch_norm_legit_no_training _batch_norm_impl_index _batch_norm_no_update _batch_norm_with_update
        _batch_norm_with_update_functional cudnn_batch_norm miopen_batch_norm batch_norm_elemt batch_norm_gather_stats
        batch_norm_gather_stats_with_counts batch_norm_stats batch_norm_update_stats quantized_batch_norm layer_norm
        native_layer_norm group_norm native_group_norm instance_norm rms_norm _fused_rms_norm _weight_norm
        _weight_norm_interface""",
    "softmax": """
        softmax _softmax log_softmax _log_softmax _safe_softmax _masked_softmax _nested_tensor_softmax_with_shape special_softmax
        special_log_softmax _sparse_softmax _sparse_log_softmax""",
    "pooling": """
        avg_pool1d avg_pool2d avg_pool3d max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices
        max_pool3d_with_indices adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d
        _adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d fractional_max_pool2d
        fractional_max_pool3d max_unpool2d max_unpool3d mkldnn_adaptive_avg_pool2d mkldnn_max_pool2d mkldnn_max_pool3d
        quantized_max_pool1d quantized_max_pool2d quantized_max_pool3d torchvision::roi_pool torchvision::ps_roi_pool""",
    "resampling": """
        grid_sampler grid_sampler_2d grid_sampler_3d _grid_sampler_2d_cpu_fallback cudnn_grid_sampler upsample_bicubic2d
        upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d
        _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d
        _upsample_nearest_exact3d torchvision::roi_align torchvision::qroi_align torchvision::ps_roi_align""",
    "boxes": """
        torchvision::nms torchvision::qnms torchvision::box_iou_rotated""",
    "loss": """
        binary_cross_entropy binary_cross_entropy_with_logits cosine_embedding_loss cross_entropy_loss ctc_loss _ctc_loss
        _cudnn_ctc_loss miopen_ctc_loss hinge_embedding_loss huber_loss kl_div l1_loss margin_ranking_loss mse_loss
        multi_margin_loss multilabel_margin_loss multilabel_margin_loss_forward nll_loss nll_loss2d nll_loss2d_forward
        nll_loss_forward nll_loss_nd poisson_nll_loss smooth_l1_loss soft_margin_loss triplet_margin_loss""",
    "quantising": """
        quantize_per_channel quantize_per_tensor quantize_per_tensor_dynamic dequantize int_repr choose_qparams_optimized
        _choose_qparams_per_tensor fake_quantize_per_channel_affine fake_quantize_per_channel_affine_cachemask
        fake_quantize_per_tensor_affine fake_quantize_per_tensor_affine_cachemask _fake_quantize_learnable_per_channel_affine
        _fake_quantize_learnable_per_tensor_affine _fake_quantize_per_tensor_affine_cachemask_tensor_qparams
        fused_moving_avg_obs_fake_quant _fused_moving_avg_obs_fq_helper _fused_moving_avg_obs_fq_helper_functional
        _make_per_channel_quantized_tensor _make_per_tensor_quantized_tensor _empty_affine_quantized
        _empty_per_channel_affine_quantized _saturate_weight_to_fp16 fbgemm_linear_quantize_weight fbgemm_pack_gemm_matrix_fp16
        fbgemm_pack_quantized_matrix _convert_weight_to_int4pack _convert_weight_to_int4pack_for_cpu _dyn_quant_pack_4bit_weight
        _wrapped_linear_prepack _quantized::_wrapped_linear_prepack _quantized::wrapped_fbgemm_pack_gemm_matrix_fp16
        onednn::linear_prepack_fp16 onednn::qconv_prepack onednn::qlinear_prepack mkldnn_prepacked::conv2d_prepack
        sparse::qlinear_prepack sparse::qlinear_unpack quantization::_Bfloat16QuantizedToFloat
        quantization::_FloatToBfloat16Quantized quantized_decomposed::quantize_per_tensor quantized_decomposed::dequantize_per_tensor
        quantized_decomposed::quantize_per_channel quantized_decomposed::dequantize_per_channel
        quantized_decomposed::quantize_per_token quantized_decomposed::dequantize_per_token
        quantized_decomposed::quantize_per_channel_group quantized_decomposed::dequantize_per_channel_group
        quantized_decomposed::choose_qparams quantized_decomposed::choose_qparams_symmetric
        quantized_decomposed::_choose_qparams_per_token_asymmetric_impl quantized_decomposed::choose_qparams_per_token
        quantized_decomposed::choose_qparams_per_token_asymmetric quantized_decomposed::fake_quant_per_channel
        quantized_decomposed::convert_element_type bitsandbytes::int8_vectorwise_quant bitsandbytes::int8_vectorwise_dequant
        bitsandbytes::int8_mm_dequant bitsandbytes::int8_double_quant bitsandbytes::quantize_4bit bitsandbytes::dequantize_4bit
        bitsandbytes::quantize_blockwise bitsandbytes::dequantize_blockwise torchao::quantize_affine torchao::dequantize_affine
        torchao::choose_qparams_affine torchao::quantize_affine_float8_non_decomposed
        torchao::dequantize_affine_float8_non_decomposed torchao::mxfp8_quantize torchao::da8w4_linear_prepack_cpu
        torchao::float8_linear_prepack_cpu torchao::to_sparse_semi_structured_cutlass_sm9x_f8""",
    "quantised elementwise": """
        quantized::add quantized::add_out quantized::add_relu quantized::add_relu_out quantized::add_scalar
        quantized::add_scalar_out quantized::add_scalar_relu quantized::add_scalar_relu_out quantized::mul quantized::mul_out
        quantized::mul_relu quantized::mul_relu_out quantized::mul_scalar quantized::mul_scalar_out quantized::mul_scalar_relu
        quantized::mul_scalar_relu_out quantized::cat quantized::cat_out quantized::cat_relu quantized::cat_relu_out
        quantized::batch_norm quantized::batch_norm_relu quantized::batch_norm1d quantized::batch_norm1d_relu
        quantized::batch_norm2d quantized::batch_norm2d_relu quantized::batch_norm3d quantized::batch_norm3d_relu
        quantized::group_norm quantized::instance_norm quantized::layer_norm quantized::celu quantized::clamp quantized::dropout
        quantized::elu quantized::hardswish quantized::leaky_relu quantized::prelu quantized::relu6 quantized::sigmoid
        quantized::softmax quantized::threshold quantized::max_pool1d quantized::max_pool2d quantized::embedding_4bit
        quantized::embedding_byte quantized::embedding_bag_4bit quantized::embedding_bag_byte
        quantized::embedding_bag_2bit_rowwise_offsets quantized::embedding_bag_4bit_rowwise_offsets
        quantized::embedding_bag_byte_rowwise_offsets _quantized::add onednn::qadd onednn::qadd_relu onednn::qmul
        onednn::qbatch_norm2d""",
    # The derivative of an operator that counts as zero, where it contracts nothing either.
    "derivative": """
        tanh_backward sigmoid_backward silu_backward gelu_backward threshold_backward logit_backward elu_backward softplus_backward
        hardshrink_backward softshrink_backward hardsigmoid_backward hardswish_backward hardtanh_backward leaky_relu_backward
        log_sigmoid_backward mish_backward glu_backward _prelu_kernel_backward rrelu_with_noise_backward native_dropout_backward
        infinitely_differentiable_gelu_backward masked_select_backward masked_scatter_backward
        _softmax_backward_data _log_softmax_backward_data _masked_softmax_backward native_batch_norm_backward
        native_layer_norm_backward native_group_norm_backward _fused_rms_norm_backward batch_norm_backward
        _batch_norm_impl_index_backward cudnn_batch_norm_backward
        avg_pool2d_backward avg_pool3d_backward _adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward
        max_pool2d_with_indices_backward max_pool3d_with_indices_backward adaptive_max_pool2d_backward adaptive_max_pool3d_backward
        reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward replication_pad1d_backward
        replication_pad2d_backward replication_pad3d_backward upsample_bicubic2d_backward upsample_bilinear2d_backward
        upsample_linear1d_backward upsample_nearest1d_backward upsample_nearest2d_backward upsample_nearest3d_backward
        upsample_trilinear3d_backward grid_sampler_2d_backward grid_sampler_3d_backward
        mse_loss_backward smooth_l1_loss_backward huber_loss_backward binary_cross_entropy_backward nll_loss_backward
        nll_loss2d_backward soft_margin_loss_backward embedding_dense_backward index_select_backward gather_backward select_backward
        slice_backward diagonal_backward unfold_backward trace_backward value_selecting_reduction_backward cumprod_backward
        cummaxmin_backward
        _thnn_fused_gru_cell_backward _thnn_fused_lstm_cell_backward_impl _weight_norm_interface_backward
        _ctc_loss_backward multi_margin_loss_backward multilabel_margin_loss_backward
        _embedding_bag_backward _embedding_bag_dense_backward _embedding_bag_per_sample_weights_backward
        _fake_quantize_learnable_per_channel_affine_backward _fake_quantize_learnable_per_tensor_affine_backward
        _grid_sampler_2d_cpu_fallback_backward cudnn_grid_sampler_backward cudnn_affine_grid_generator_backward
        _nested_select_backward _nested_sum_backward _segment_reduce_backward _sparse_sum_backward
        _sparse_softmax_backward_data _sparse_log_softmax_backward_data
        _upsample_bicubic2d_aa_backward _upsample_bilinear2d_aa_backward _upsample_lanczos2d_aa_backward
        _upsample_nearest_exact1d_backward _upsample_nearest_exact2d_backward _upsample_nearest_exact3d_backward
        batch_norm_backward_elemt batch_norm_backward_reduce miopen_batch_norm_backward
        adaptive_avg_pool3d_backward fractional_max_pool2d_backward fractional_max_pool3d_backward max_pool2d_backward
        mkldnn_adaptive_avg_pool2d_backward mkldnn_max_pool2d_backward mkldnn_max_pool3d_backward
        torchvision::_ps_roi_align_backward torchvision::_ps_roi_pool_backward torchvision::_roi_align_backward
        torchvision::_roi_pool_backward""",
    "optimizer": """
        _fused_adagrad _fused_adam _fused_adamw _fused_sgd inductor::accumulate_grad_""",
}

# Operators that pack or unpack weights, or read the settings of packed ones: many names with one pattern.
QUANTIZED_PACKING_ENDINGS = (
    *("_prepack", "_prepack_fp16", "_prepack_legacy", "_prepack_fp16_legacy", "_unpack", "_unpack_fp16", "_unpack_sizes"),
    *("_stride", "_padding", "_output_padding", "_dilation", "_groups", "_transpose", "_prepack_with_rowwise_min_max"),
)

# Namespaces that only send tensors between processes, or schedule streams and memory. (Not symm_mem: it has fused products.)
KIND_BY_NAMESPACE: dict[str, str] = {
    **dict.fromkeys(("c10d", "_c10d_functional", "c10d_functional", "_c10d_functional_autograd", "_dtensor", "fsdp"), "communication"),
    **dict.fromkeys(("streams", "mempool", "coor"), "scheduling"),
}

ZERO_BY_NAME: dict[str, str] = {
    (name if "::" in name else f"aten::{name}"): kind for kind, names in ZERO_BY_KIND.items() for name in names.split()
}


# --- the kind of zero of an operator: from the tables, its schema, or torch's tags ---


_OWN_NAMESPACES = ("aten", "prims")
_KIND_BY_TAG = {"pointwise": "elementwise", "reduction": "reduction", "view_copy": "copy", "inplace_view": "view"}


def find_zero_kind(operator: Any) -> str | None:
    """The kind of zero of an operator ("view", "norm", ...); None for one that does not count as zero by convention."""
    name = str(operator._schema.name)
    if is_backward(name) and name not in ZERO_BY_NAME:
        return "derivative" if torch.Tag.pointwise in operator.tags else None
    own = _kind_in_tables(name) or ("view" if _is_view(operator._schema) else None) or _kind_by_tags(operator, name)
    return own or _kind_of_variant(name)


def is_backward(name: str) -> bool:
    """Whether the operator computes gradients, judged by its name."""
    return "backward" in name


def _kind_in_tables(name: str) -> str | None:
    namespace, _, operator = name.partition("::")
    if namespace in KIND_BY_NAMESPACE:
        return KIND_BY_NAMESPACE[namespace]
    if namespace in ("quantized", "_quantized") and operator.endswith(QUANTIZED_PACKING_ENDINGS):
        return "quantising"
    return ZERO_BY_NAME.get(name)


def _is_view(schema: Any) -> bool:
    aliases = [returned.alias_info for returned in schema.returns]
    return bool(aliases) and all(alias is not None and not alias.is_write for alias in aliases)


def _kind_by_tags(operator: Any, name: str) -> str | None:
    """The kind by the operator's tags. In torch's own namespaces one tagged overload is enough, because torch misses some."""
    namespace, _, base = name.partition("::")
    if namespace not in _OWN_NAMESPACES:
        return "elementwise" if torch.Tag.pointwise in operator.tags else None
    packet = getattr(getattr(torch.ops, namespace), base, None)
    overloads = [getattr(packet, overload) for overload in packet.overloads()] if packet is not None else [operator]
    names = {tag.name for overload in overloads for tag in overload.tags}
    return next((kind for tag, kind in _KIND_BY_TAG.items() if tag in names), None)


def _kind_of_variant(name: str) -> str | None:
    namespace, _, base = name.partition("::")
    if namespace not in _OWN_NAMESPACES:
        return None
    if namespace == "prims":
        base_name = base
    elif base.startswith("_foreach_"):
        base_name = base.removeprefix("_foreach_").removesuffix("_")
    elif base.endswith("_") and not base.endswith("__"):
        base_name = base[:-1]
    else:
        return None
    packet = getattr(torch.ops.aten, base_name, None)
    if packet is None:
        return _kind_in_tables(f"aten::{base_name}")
    return find_zero_kind(getattr(packet, packet.overloads()[0]))
