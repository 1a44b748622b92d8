"""Higher-order operators: the operators in their bodies are counted, as often as they run; and attention of packed sequences.

Every product is (1 to 4 rows) x 8 with 8 x 8.
"""

import pytest
import torch
from modeling import measure, module
from torch import nn

from archaudit.measure.recipe import measure_live
from archaudit.measure.tape.higher_order import find_body_runner

X = torch.zeros(4, 8)


class Run(nn.Module):
    def __init__(self, run):
        super().__init__()
        self.run = run
        self.w = nn.Parameter(torch.zeros(8, 8))

    def forward(self, *inputs):
        return self.run(self, *inputs)


def count(run, *inputs):
    profile = measure(lambda: Run(run), *inputs)
    assert profile.flops_complete, profile.ledger.operators
    return profile.totals.macs


def test_a_scan_runs_its_body_once_for_each_row():
    scan = pytest.importorskip("torch._higher_order_ops.scan").scan

    def run(model, x):
        return scan(lambda carried, row: (carried @ model.w + row, carried @ model.w), torch.zeros(1, 8), x[:, None])

    assert count(run, X) == 4 * 2 * (8 * 8)


def test_a_while_loop_runs_as_often_as_its_condition_says():
    while_loop = pytest.importorskip("torch._higher_order_ops.while_loop").while_loop

    def run(model, x):
        start = torch.zeros((), dtype=torch.long), x
        return while_loop(lambda i, y: i < 3, lambda i, y: (i + 1, y @ model.w), start)

    assert count(run, X) == 3 * (4 * 8 * 8)


def test_a_map_runs_its_body_for_each_row():
    torch_map = pytest.importorskip("torch._higher_order_ops.map").map
    assert count(lambda model, x: torch_map(lambda row: row @ model.w, x[:, None]), X) == 4 * (8 * 8)


def test_an_associative_scan_is_counted():
    associative_scan = pytest.importorskip("torch._higher_order_ops.associative_scan").associative_scan

    def run(model, x):
        return associative_scan(lambda a, b: a @ b, x, 0, combine_mode="generic")

    # 8 matrices of 4 x 4: a scan by halves multiplies 4 + 2 + 1 pairs on the way up, and 1 + 3 on the way down
    assert count(run, torch.zeros(8, 4, 4)) == (4 + 2 + 1 + 1 + 3) * 4**3


def test_a_cond_counts_the_branch_that_runs_or_both_if_they_cost_the_same():
    def known(model, x):
        return torch.cond(torch.tensor(x.shape[0] > 2), lambda y: y @ model.w, lambda y: y @ model.w @ model.w, (x,))

    def same(model, x):
        return torch.cond(x.sum() > 0, lambda y: y @ model.w, lambda y: (y + 1) @ model.w, (x,))

    assert count(known, X) == 4 * 8 * 8
    assert count(same, X) == 4 * 8 * 8


def test_a_loop_that_never_ends_raises():
    class Loop:
        def name(self):
            return "while_loop"

    run_bodies = find_body_runner(Loop())
    with pytest.raises(RuntimeError, match="did not end"):
        run_bodies(lambda value: True, lambda value: (value,), (1,))


def test_ordinary_operators_have_no_body():
    assert find_body_runner(torch.ops.aten.mm.default) is None


PACKED = torch.zeros(128, 2, 16, dtype=torch.bfloat16)  # 128 tokens, 2 heads of size 16
OFFSETS = torch.tensor([0, 50, 128], dtype=torch.int32)  # sequences of 50 and 78 tokens
PAIRS = 2 * 2 * 16 * (50 * 50 + 78 * 78)  # QK^T and AV in two heads


def test_packed_sequences_are_multiplied_each_with_itself():
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    assert count(lambda model, q, offsets: varlen.varlen_attn(q, q, q, offsets, offsets, 78, 78), PACKED, OFFSETS) == PAIRS


def test_the_lengths_may_follow_from_a_mask():
    def run(model, q, mask):
        ends = nn.functional.pad(mask.sum(-1).cumsum(0), (1, 0)).to(torch.int32)
        return torch.ops.aten._flash_attention_forward(q, q, q, ends, ends, 78, 78, 0.0, False, False)[0]

    mask = (torch.arange(78) < torch.tensor([[50], [78]])).long()
    assert count(run, PACKED, mask) == PAIRS


def test_layers_of_bitsandbytes_are_counted():
    bitsandbytes = pytest.importorskip("bitsandbytes")
    for kind, settings in (
        (bitsandbytes.nn.Linear4bit, {"compute_dtype": torch.float32}),
        (bitsandbytes.nn.Linear8bitLt, {"has_fp16_weights": False}),
    ):

        def build(kind=kind, settings=settings):
            return nn.Sequential(kind(64, 128, bias=False, **settings), kind(128, 64, bias=False, **settings)).to("cpu")

        model = build().eval()
        model(torch.zeros(3, 64))
        profile = measure_live(model, (torch.zeros(3, 64),))
        assert profile.flops_complete, profile.ledger.operators
        assert [module(profile, path).total.macs for path in ("", "0", "1")] == [3 * 2 * 64 * 128, 3 * 64 * 128, 3 * 64 * 128]


@pytest.mark.parametrize("name", ["Int8WeightOnlyConfig", "Int8DynamicActivationInt8WeightConfig", "Float8WeightOnlyConfig"])
def test_layers_of_torchao_are_counted(name):
    quantization = pytest.importorskip("torchao.quantization")

    model = nn.Sequential(nn.Linear(64, 128, bias=False), nn.Linear(128, 64, bias=False)).eval()
    quantization.quantize_(model, getattr(quantization, name)())
    profile = measure_live(model, (torch.zeros(3, 64),))
    assert profile.flops_complete, profile.ledger.operators
    assert profile.totals.macs == 3 * 2 * 64 * 128
    assert profile.totals.params == 2 * 64 * 128
