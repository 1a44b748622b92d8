"""archaudit's meta kernels return the shapes and dtypes of torch's CPU kernels, and reject the same calls."""

from __future__ import annotations

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.measure.tape import meta_kernels
from archaudit.measure.tape.meta_kernels import find_meta_kernel, run_meta_kernel

pytestmark = pytest.mark.skipif(not hasattr(torch.ops.aten, "_grouped_mm"), reason="this torch has no grouped product")
GROUPED = torch.ops.aten._grouped_mm.default if hasattr(torch.ops.aten, "_grouped_mm") else None


def ends(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int32)


def run_on_meta(left: torch.Tensor, right: torch.Tensor, offs: torch.Tensor | None) -> torch.Tensor:
    named = {"offs": None if offs is None else offs.to("meta")}
    return run_meta_kernel(find_meta_kernel(GROUPED), GROUPED, (left.to("meta"), right.to("meta")), named)


# rows 12, inner 16, columns 24, three groups of four
FORMS = [
    ((12, 16), (3, 16, 24), ends(4, 8, 12)),
    ((3, 4, 16), (16, 24), ends(8, 16, 24)),
    ((3, 4, 16), (3, 16, 24), None),
    ((12, 16), (16, 24), ends(4, 8, 16)),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("left", "right", "offs"), FORMS)
def test_each_form_of_the_grouped_product_has_the_shape_of_the_cpu(
    left: tuple[int, ...], right: tuple[int, ...], offs: torch.Tensor | None, dtype: torch.dtype
) -> None:
    operands = torch.ones(left, dtype=dtype), torch.ones(right, dtype=dtype)
    real = GROUPED(*operands, offs=offs)
    made = run_on_meta(*operands, offs)
    assert (made.shape, made.dtype, made.device.type) == (real.shape, real.dtype, "meta")


@pytest.mark.parametrize(
    ("left", "right", "offs", "text"),
    [
        ((12, 15), (3, 16, 24), ends(4, 8, 12), "inner sizes differ"),
        ((2, 4, 16), (3, 16, 24), None, "numbers of groups differ, 2 and 3"),
        ((12, 16), (3, 16, 24), None, "needs offs"),
        ((12,), (3, 16, 24), None, "stacks"),
    ],
)
def test_calls_that_the_cpu_rejects_are_rejected(
    left: tuple[int, ...], right: tuple[int, ...], offs: torch.Tensor | None, text: str
) -> None:
    operands = torch.ones(left), torch.ones(right)
    with pytest.raises((RuntimeError, ValueError)):
        GROUPED(*operands, offs=offs)
    with pytest.raises(RuntimeError, match=text):
        run_on_meta(*operands, offs)


def test_torch_still_rejects_what_each_kernel_replaces() -> None:
    assert set(meta_kernels._KERNELS) == {"aten::_grouped_mm", "aten::mkldnn_rnn_layer"}
    with pytest.raises(RuntimeError, match="BFloat16"):  # otherwise the kernel is no longer needed
        GROUPED(torch.ones(12, 16, device="meta"), torch.ones(3, 16, 24, device="meta"), offs=ends(4, 8, 12).to("meta"))


class Experts(nn.Module):
    """Three experts in one grouped product, in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 16, 24))

    def forward(self, x: torch.Tensor, offs: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.grouped_mm(x, self.weight, offs=offs)


def test_a_mixture_of_experts_in_float32_is_measured_without_values() -> None:
    profile = measure(Experts, torch.zeros(12, 16), ends(4, 8, 12))
    assert profile.totals.macs == 12 * 16 * 24  # each row is multiplied with the matrix of its group
    assert profile.flops_complete
    assert profile.provenance is not None
    assert profile.provenance.rung == "meta"
    assert profile.peaks.saved_bytes == 12 * 16 * 4 + 3 * 4  # the rows and the ends of the groups; the weights are parameters


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("sizes", [(2, 3, 8, 16), (2, 3, 8, 64), (2, 3, 64, 16), (2, 3, 8, 128), (48, 4, 32, 48)])
def test_the_workspace_of_an_lstm_is_that_of_the_kernel(sizes, dtype):
    """Other processors may have other kernels, with workspaces of about that size."""
    steps, batch, features, hidden = sizes

    def run(kernel, device):
        zeros = [
            torch.zeros(shape, dtype=dtype, device=device)
            for shape in (
                *((steps, batch, features), (4 * hidden, features), (4 * hidden, hidden)),
                *((4 * hidden,), (4 * hidden,), (batch, hidden), (batch, hidden)),
            )
        ]
        return kernel(*zeros, False, [], 2, hidden, 1, True, False, False, True)[-1].nbytes

    try:
        real = run(torch.ops.aten.mkldnn_rnn_layer.default, "cpu")
    except RuntimeError:
        pytest.skip("this processor has no kernel for this dtype")
    assert run(find_meta_kernel(torch.ops.aten.mkldnn_rnn_layer.default), "meta") == pytest.approx(real, rel=0.2)
