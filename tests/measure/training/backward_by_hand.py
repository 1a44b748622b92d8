"""The multiply-accumulates of the backward pass of the conformance models, worked out by hand, and where torch's own counter differs.

A product of sizes a, b, c has two gradients, each of a * b * c. The gradient of a factor that is an input of the model, frozen, or made
from such factors only is not computed.
"""

# One product with one factor that is trained, the other from the input: as many as in the forward pass.
ONE_GRADIENT = """
    linear_3d_input linear_4d_batched linear_vector_input matmul_broadcast matmul_vector_by_batch einsum einsum_batched_heads
    tensordot addmm baddbmm addbmm grouped_mm chained_vmap functional_conv2d conv2d_bias_batch_four conv2d_rectangular conv2d_grouped
    conv2d_depthwise conv2d_dilated conv2d_padding_same conv2d_padding_circular conv2d_unbatched conv1d_strided conv3d
    conv_transpose2d conv_transpose2d_output_padding conv_transpose1d conv_by_unfold named_conv_that_is_linear
    conv2d_even_kernel_reflect conv1d_causal_depthwise conv_transpose3d_strided_grouped conv_then_pixel_shuffle parameter_dict
    unused_submodule child_forward_called child_method_called returns_tuple returns_dict returns_dataclass several_inputs
    keyword_inputs nested_inputs boolean_mask_input weight_norm weight_norm_old weight_norm_conv_transpose parametrized_symmetric
    pruned lazy_conv_norm complex_linear sparse_coo_buffer sparse_built_in_forward dense_adjacency branch_of_equal_cost
    branch_that_only_guards branch_of_other_cost selected_rows inner_products_by_mul vecdot cosine_similarity outer_products_by_mul
    distances_by_hand average_by_mul addcmul messages_index_add messages_scatter_add messages_scatter_reduce messages_index_put
    neighbours_averaged conv_by_windows conv_by_shifts inner factorization_machine experts_gathered grouped_mm_float32 nested_vmap
    vmap_over_weights data_parallel autocast_inside training_mode complex_conv2d complex_conv1d_with_bias complex_conv_transpose2d
    scripted_complex_convolution recomputed_twice checkpointed gru_cell nested_240_deep
"""
# Both factors are trained, or made from what is trained.
BOTH_GRADIENTS = """
    class_token_expanded lstm lstm_bidirectional_two_layers tied_embedding keyword_inputs_only integer_input autograd_function
"""
# Vectors: the gradients of inner products and of matrix-vector products are outer products, which sum nothing. Lookups, norms, activations.
NONE = """
    mv dot addmv einsum_diagonal outer_is_no_contraction embedding embedding_bag batch_norm layer_group_instance_norm activations
    kron_is_no_contraction
"""

PROJECTIONS = 4 * 10 * 16 * 16  # q, k, v and out of attention with 10 tokens of 16
INPUT_PROJECTIONS = 3 * 10 * 16 * 16  # their inputs need no gradient where they are those of the model
MIXING = 2 * 10 * 10 * 16  # QK^T and AV
FUSED = MIXING // 2 * 5  # five products in a fused kernel
FEED_FORWARD = 2 * 10 * 16 * 32

BY_HAND = {
    "functional_linear": 16 * 8 + 2 * 8 * 4,
    "matmul_operator": 10 * 16 * 16 + 2 * 10 * 16 * 10,
    "einsum_three_operands": 6**3 + 2 * 6**3,
    "multi_dot": 10 * 16 * 2 + 2 * 10 * 2 * 16,
    "mixed_dtypes": 3 * (16 * 8 + 2 * 8 * 4),
    "conv_norm_pool_linear": 64 * 6 * 3 * 9 + 2 * 6 * 10,
    "atrous_pyramid": 64 * (3 * 4 * 3 * 9 + 2 * 12 * 5),
    "mha_eval": INPUT_PROJECTIONS + 2 * MIXING + 2 * 10 * 16 * 16,
    "mha_heads": INPUT_PROJECTIONS + 2 * MIXING + 2 * 10 * 16 * 16,
    "attention_by_hand": INPUT_PROJECTIONS + 2 * MIXING + 2 * 10 * 16 * 16,
    "mha_cross_widths": 10 * 16 * 16 + 7 * 12 * 16 + 7 * 8 * 16 + 5 * 10 * 7 * 16 + 2 * 10 * 16 * 16,
    "mha_causal_mask": INPUT_PROJECTIONS + FUSED + 2 * 10 * 16 * 16,
    "sdpa": INPUT_PROJECTIONS + FUSED + 2 * 10 * 16 * 16,
    "sdpa_causal": INPUT_PROJECTIONS + FUSED + 2 * 10 * 16 * 16,
    "sdpa_grouped_query": 10 * (16 * 16 + 2 * 16 * 8) + 5 * 4 * 10 * 10 * 4,
    "window_attention": 20 * 8 * 24 + 5 * 5 * 4 * 4 * 8,  # five windows, five products
    "linear_attention": 2 * 20 * 8 * 24 + 2 * (2 * (8 * 20 * 8) * 2),
    "decode_step": 2 * (3 * 8 * 8 + 5 * 16 * 8),  # one token attends to 16
    "gru": 2 * 5 * 3 * 8 * (6 + 2 * 8) - 2 * 3 * 8 * 8,  # the first state needs no gradient
    "rnn_tanh": 5 * 2 * 8 * (6 + 2 * 8) - 2 * 8 * 8,
    "called_twice": 16 * 16 + 2 * 16 * 16,
    "aliased": 16 * 16 + 2 * 16 * 16,
    "tied_weight_own_bias": 16 * 16 + 2 * 16 * 16,
    "parameter_under_two_names": 16 * 16 + 2 * 16 * 16,
    "root_holds_childs_weight": 16 * 16 + 2 * 16 * 16,
    "shared_by_two_parents": 3 * (8 * 8 + 2 * 8 * 8 + 2 * 8 * 4),
    "repeated_block": 3 * 8 * 8 * (1 + 3 * 2),
    "scripted_loop": 3 * 8 * 8 * (1 + 3 * 2),
    "tied_transposed": 3 * 16 * 4 + 2 * 3 * 4 * 16,
    "parameter_list": 3 * (8 * 8 + 2 * 8 * 8 + 2 * 4 * 8),
    "hidden_in_a_list": 8 * 8 + 2 * 8 * 8,
    "lazy_linear": 3 * (16 * 8 + 2 * 8 * 4),
    "gradients_present": 3 * (16 * 8 + 2 * 8 * 4),
    "graph_module": 3 * (16 * 8 + 2 * 8 * 4),
    "scripted_model": 3 * (8 * 16 + 2 * 16 * 4),
    "traced_model": 3 * (8 * 16 + 2 * 16 * 4),
    "loop_by_value": 2 * 8 * 8 * (1 + 2 * 2),
    "early_exit_never_taken": 2 * 8 * 8 * (1 + 3 * 2),
    "lora_by_hand": 5 * (16 * 2 + 2 * 2 * 16),  # the base is frozen
    "frozen_body": 16 * 4,
    "matrix_power": 2 * 2 * 8**3 + 4 * 8 * 8,  # both factors of two products; one of the product with the input
    "dropped_head": 3 * (8 * 16 + 2 * 16 * 4),  # no gradient reaches the dropped head
    "result_in_a_buffer": 3 * 8 * 4,
    "functional_call": 2 * 8 * 8 * 16 + 3 * 16 * 8,  # the weight is a product of parameters
}

# Where torch.utils.flop_counter differs, and why: in everything else it counts the same, forward and backward.
TORCH_DIFFERS = {
    "it has no formula for products with a vector": "mv dot addmv matmul_vector_by_batch",
    "it has no formula for addbmm, bilinear forms, distances and triangular systems": "addbmm bilinear cdist solve_triangular",
    "it has no formula for linear algebra": "linalg_inv linalg_qr linalg_slogdet linalg_solve",
    "it has no formula for Fourier transforms": "fft fft_mixing fourier_operator",
    "it has no formula for deformable convolutions": "deform_conv2d",
    "it has no formula for recurrent layers of oneDNN": "lstm lstm_bidirectional_two_layers",
    "it has no formula for fused attention on the CPU": """
        mha_cross_widths mha_causal_mask sdpa sdpa_causal sdpa_grouped_query window_attention
        decode_step decode_step_with_object decode_step_static_cache""",
    "it counts the gradient of a grouped convolution as if it had one group": """conv2d_grouped conv2d_depthwise conv1d_causal_depthwise
        conv_transpose3d_strided_grouped conv_with_weights_of_each_image""",
    "it counts a transposed convolution's gradient at the output's positions": "conv_transpose2d_output_padding",
    "it counts the three real convolutions of a complex one": """complex_conv2d complex_conv1d_with_bias complex_conv_transpose2d
        functional_complex_conv2d scripted_complex_convolution""",
    "it counts sparse operands as dense": "sparse_coo_buffer sparse_csr_buffer sparse_built_in_forward",
    "it does not see products with vectors of the power iteration": "spectral_norm spectral_norm_old",
    "chance decides what runs": "branch_by_chance",
}
