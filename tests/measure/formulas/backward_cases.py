"""Arguments of operators of the backward pass, all sizes different, and the products that they multiply, worked out by hand."""

from typing import Any

import torch


def T(*shape: int) -> torch.Tensor:
    return torch.empty(shape)


# (2 in the batch,) 3 heads, 5 queries of size 7, 11 keys, values of size 13: QK^T again and the gradients of Q and K; those of A and V
ATTENTION = [(2, 3, 5, 7, 11)] * 3 + [(2, 3, 5, 11, 13)] * 2
HEADS_FIRST = (T(2, 3, 5, 13), T(2, 3, 5, 7), T(2, 3, 11, 7), T(2, 3, 11, 13))
LENGTH_FIRST = (T(2, 5, 3, 13), T(2, 5, 3, 7), T(2, 11, 3, 7), T(2, 11, 3, 13))
# sequences of 2 and 3 queries, and 4 and 5 keys, packed: 2 * 4 + 3 * 5 = 23 pairs
PACKED = (T(5, 3, 13), T(5, 3, 7), T(9, 3, 7), T(9, 3, 13))
OFFSETS, KEY_OFFSETS = torch.tensor([0, 2, 5]), torch.tensor([0, 4, 9])
PACKED_PRODUCTS = [(3, 7, 23)] * 3 + [(3, 13, 23)] * 2
# 2 images: 3 groups of 5 channels to 3 groups of 7, kernel 11 x 13, output 17 x 19
GROUPED, GROUPED_OUT, GROUPED_IN = T(21, 5, 11, 13), T(2, 21, 17, 19), T(2, 15, 23, 29)
CONVOLUTION = (2, 5, 11, 13, 17, 19, 21)
TRANSPOSED, TRANSPOSED_IN, TRANSPOSED_OUT = T(15, 7, 11, 13), T(2, 15, 17, 19), T(2, 21, 23, 29)
# 5 steps of 3 sequences, 7 features, 11 hidden: the matrices of four gates
LSTM = (T(5, 3, 7), [T(44, 7), T(44, 11), T(44), T(44)])
LSTM_PRODUCTS = [(3, 5, 7, 44), (3, 5, 11, 44)]

BACKWARD_CASES: list[tuple[str, tuple[Any, ...], Any, list[tuple[int, ...]]]] = [
    *(
        (f"aten::_scaled_dot_product_{kind}_backward", HEADS_FIRST, None, ATTENTION)
        for kind in ("flash_attention", "efficient_attention", "cudnn_attention", "flash_attention_for_cpu", "fused_attention_overrideable")
    ),
    ("aten::_flash_attention_backward", (*LENGTH_FIRST, T(), T(), None, None, 5, 11), None, ATTENTION),
    ("aten::_flash_attention_backward", (*PACKED, T(), T(), OFFSETS, KEY_OFFSETS, 3, 5), None, PACKED_PRODUCTS),
    ("aten::_efficient_attention_backward", (*LENGTH_FIRST, None, T(), None, None, 5, 11), None, ATTENTION),
    ("aten::_cudnn_attention_backward", (*HEADS_FIRST, T(), T(), T(), T(), T(), None, None), None, ATTENTION),
    ("aten::_cudnn_attention_backward", (*PACKED, T(), T(), T(), T(), T(), OFFSETS, KEY_OFFSETS), None, PACKED_PRODUCTS),
    ("higher_order::flex_attention_backward", HEADS_FIRST[1:], None, ATTENTION),
    ("aten::mkldnn_rnn_layer_backward", (LSTM[0], *LSTM[1]), None, LSTM_PRODUCTS * 2),
    ("aten::_cudnn_rnn_backward", (*LSTM, [True, False, False, True]), None, LSTM_PRODUCTS * 2),
    ("aten::_cudnn_rnn_backward", (*LSTM, [True, False, False, False]), None, LSTM_PRODUCTS),  # frozen weights
    ("aten::linear_backward", (T(2, 3, 5), T(2, 3, 7), T(7, 5), [True, True, True]), None, [(2, 3, 5, 7)] * 2),
    ("aten::linear_backward", (T(2, 3, 5), T(2, 3, 7), T(7, 5), [False, True, True]), None, [(2, 3, 5, 7)]),
    ("aten::mkldnn_linear_backward_input", ([2, 3, 5], T(2, 3, 7), T(7, 5)), None, [(2, 3, 5, 7)]),
    ("aten::mkldnn_linear_backward_weights", (T(2, 3, 7), T(2, 3, 5), T(7, 5), True), None, [(2, 3, 5, 7)]),
    ("aten::_slow_conv2d_backward", (T(2, 21, 17, 19), T(2, 5, 23, 29), T(21, 5, 11, 13), 0, 0, 0, [True] * 3), None, [CONVOLUTION] * 2),
    (
        "aten::convolution_backward_overrideable",
        (GROUPED_OUT, GROUPED_IN, GROUPED, [1], [0], [1], False, [0], 3, [False, True, True]),
        None,
        [CONVOLUTION],
    ),
    (
        "aten::convolution_backward_overrideable",
        (TRANSPOSED_OUT, TRANSPOSED_IN, TRANSPOSED, [1], [0], [1], True, [0], 3, [True, True, False]),
        None,
        [(2, 7, 11, 13, 15, 17, 19)] * 2,
    ),
    ("torchvision::_deform_conv2d_backward", (GROUPED_OUT, GROUPED_IN, GROUPED), None, [CONVOLUTION] * 2),
    ("aten::_cdist_backward", (T(2, 5), T(2, 3), T(5, 3), 2.0, T(2, 5)), None, [(2, 3, 5)]),
    ("aten::_cdist_backward", (T(2, 5), T(2, 3), T(5, 3), 1.0, T(2, 5)), None, []),
    ("aten::_pdist_backward", (T(6), T(4, 3), 2.0, T(6)), None, [(3, 6)] * 2),
]
