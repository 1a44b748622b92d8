"""Autocast without values: the lists of operators are those of this torch, and dtypes are those of a real run."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from archaudit.measure.training import precision

# An error in autocast, so it has no cast.
REFUSED = {"binary_cross_entropy"}


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_every_operator_that_torch_casts_is_in_a_list(device):
    key = f"Autocast{device.upper()}"
    cast = {
        name.partition("::")[2].partition(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("aten::") and torch._C._dispatch_has_kernel(name) and torch._C._dispatch_has_kernel_for_dispatch_key(name, key)
    }
    common, special = (
        precision._LOWER.split(),
        {
            "cpu": (precision._LOWER_ON_CPU, precision._FLOAT_ON_CPU, precision._WIDEST_ON_CPU),
            "cuda": (precision._LOWER_ON_CUDA, precision._FLOAT_ON_CUDA, precision._WIDEST_ON_CUDA),
        },
    )
    assert cast - set(common) - set(" ".join(special[device]).split()) - (REFUSED if device == "cuda" else set()) == set()


OPERATIONS = {
    "linear": lambda x, w: F.linear(x, w),
    "matmul": lambda x, w: x @ w.T,
    "einsum": lambda x, w: torch.einsum("bi,oi->bo", x, w),
    "softmax": lambda x, w: (x @ w.T).softmax(-1),
    "layer norm": lambda x, w: F.layer_norm(x @ w.T, (6,)),
    "loss": lambda x, w: F.mse_loss(x @ w.T, x @ w.T),
    "cat": lambda x, w: torch.cat([x @ w.T, x]),
    "sum": lambda x, w: (x @ w.T).sum(),
    "gelu": lambda x, w: F.gelu(x @ w.T),
    "added": lambda x, w: x @ w.T + x,
}


@pytest.mark.parametrize("name", list(OPERATIONS))
def test_dtypes_are_those_of_autocast_on_the_cpu(name):
    x, w = torch.rand(2, 6), nn.Parameter(torch.rand(6, 6))
    with torch.autocast("cpu", torch.bfloat16):
        real = OPERATIONS[name](x, w)
    with precision.autocast("cpu", "bfloat16") as amp, amp():
        made = OPERATIONS[name](x.to("meta"), nn.Parameter(w.to("meta")))
    assert made.dtype == real.dtype


def test_nothing_is_cast_outside_nor_where_a_model_turns_it_off():
    x, w = torch.rand(2, 6, device="meta"), nn.Parameter(torch.rand(6, 6, device="meta"))
    with precision.autocast("cpu", "bfloat16") as amp:
        assert (x @ w).dtype == torch.float32
        with amp(), torch.autocast("cpu", enabled=False):
            assert (x @ w).dtype == torch.float32
    assert (x @ w).dtype == torch.float32
    assert not torch.is_autocast_enabled("cpu")


def test_a_weight_is_cast_once():
    x, w = torch.rand(2, 6, device="meta"), nn.Parameter(torch.rand(6, 6, device="meta"))
    with precision.autocast("cpu", "bfloat16") as amp, amp():
        first, second = x @ w, x @ w
    casts = [each.grad_fn.next_functions[1][0] for each in (first, second)]
    assert casts[0] is casts[1]


def test_cuda_is_assumed_on_a_machine_without_it():
    x = torch.rand(2, 6, device="meta")
    with precision.autocast("cuda", "float16") as amp, amp():
        assert (x @ x.T).dtype == torch.float16
        assert (x @ x.T).softmax(-1).dtype == torch.float32  # on the CPU it would stay as it is
