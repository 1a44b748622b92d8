"""Small models of each kind that counters get wrong, each by its name, with the answer worked out by hand.

Further cases of the same kinds: rotary_conj, complex_inputs and lora_merge are proofs (`tests/pipeline/test_equivalence_verdicts.py`);
train_mem and checkpointed are in `test_saved_bytes.py`; peak_twice, gn_net and onegn in `test_repeated_peaks.py`; configurations of real
size in `tests/zoo`. chk and chk2 are budgets on dynamic_int8 and early_exit: a metric without a value cannot be judged.
"""

from functools import partial

import pytest
import torch
from modeling import measure
from torch import nn
from torch.nn import functional as F

from archaudit.measure.recipe import measure_live
from archaudit.metrics.catalog import METRICS, measure_scope


class Grouped(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.Parameter(torch.zeros(3, 16, 24))

    def forward(self, x, ends):
        return F.grouped_mm(x, self.experts, offs=ends)


def test_grouped_fp32_runs_without_values():
    profile = measure(Grouped, torch.zeros(12, 16), torch.tensor([4, 8, 12], dtype=torch.int32))
    assert profile.provenance.rung == "meta"
    assert profile.totals.macs == 12 * 16 * 24


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dynamic_int8_has_no_number_of_parameters():
    def build():
        model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64, bias=False))
        return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)

    profile = measure(build, torch.zeros(2, 3, 64))
    assert not profile.params_complete
    assert measure_scope(profile, METRICS["params"], "").value is None
    assert profile.totals.macs == 6 * 2 * 64 * 128


def make_adjacency():
    places = torch.arange(0, 1_000_000, 200)
    return torch.sparse_coo_tensor(torch.stack([places // 1000, places % 1000]), torch.ones(5000), (1000, 1000)).coalesce()


class Graph(nn.Module):
    """A layer of 16 to 8 features, and the sum over neighbours."""

    def __init__(self, convert=lambda adjacency: adjacency):
        super().__init__()
        self.weight = nn.Linear(16, 8, bias=False)
        self.register_buffer("adjacency", convert(make_adjacency()))

    def forward(self, x):
        return self.adjacency @ self.weight(x)


@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(
    ("convert", "entries"),
    [(lambda each: each, 5_000), (lambda each: each.to_sparse_csr(), 5_000), (lambda each: each.to_dense(), 1_000_000)],
    ids=["coo", "csr", "dense"],
)
def test_sparse_adjacency_costs_its_stored_entries(convert, entries):
    profile = measure(lambda: Graph(convert), torch.zeros(1000, 16))
    assert profile.flops_complete
    assert profile.totals.macs == 1000 * 16 * 8 + entries * 8


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_complex_conv_counts_each_complex_product_once(layer):
    profile = measure(lambda: layer(8, 16, 1, bias=False, dtype=torch.complex64), torch.zeros(1, 8, 6, 6, dtype=torch.complex64))
    assert profile.totals.macs == 36 * 8 * 16


class Hidden(nn.Module):
    def forward(self, q, k):
        return (q[:, None] * k[None]).sum(-1)


class Einsum(nn.Module):
    def forward(self, q, k):
        return torch.einsum("id,jd->ij", q, k)


def test_hidden_contractions_are_a_metric_of_their_own():
    given = torch.zeros(12, 64), torch.zeros(16, 64)
    hidden, einsum = measure(Hidden, *given), measure(Einsum, *given)
    assert (hidden.totals.macs, einsum.totals.macs) == (0, 12 * 16 * 64)
    assert measure_scope(hidden, METRICS["summed_products"], "").value == 12 * 16 * 64
    assert any("would be 12,288 multiply-accumulates" in text for text in hidden.ledger.assumptions)


class EarlyExit(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(64, 64) for _ in range(5))
        self.head = nn.Linear(64, 8)

    def forward(self, x):
        for block in self.blocks:
            x = torch.tanh(block(x))
            if self.head(x).softmax(-1).max() > 0.15:
                break
        return self.head(x)


def test_early_exit_is_a_lower_bound():
    profile = measure(EarlyExit, torch.zeros(3, 64))
    assert not profile.flops_complete
    assert measure_scope(profile, METRICS["macs"], "").value is None


def test_lazy_note_is_not_given_for_registered_parameters():
    profile = measure(lambda: nn.Sequential(nn.Linear(3, 4), nn.LazyLinear(2, bias=False)), torch.zeros(2, 3))
    assert profile.totals.params == 3 * 4 + 4 + 4 * 2
    assert profile.params_complete
    assert not any("no module registers" in text for text in profile.ledger.assumptions)


class Ragged(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(8, 12), nn.Linear(12, 4)

    def forward(self, a, b):
        ragged = torch.nested.as_nested_tensor([a, b], layout=torch.jagged)
        return self.second(torch.relu(self.first(ragged))).to_padded_tensor(0.0)


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_nested_in_counts_the_rows_that_there_are():
    profile = measure(Ragged, torch.zeros(3, 8), torch.zeros(5, 8))
    assert profile.flops_complete
    assert profile.totals.macs == (3 + 5) * (8 * 12 + 12 * 4)


class Entry(tuple):
    def __len__(self):
        raise NotImplementedError


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.entry = nn.Linear(4, 4), Entry((1, 2))

    def forward(self, x):
        return self.layer(x)


def test_odd_setting_of_a_library_is_left_out():
    profile = measure(Odd, torch.zeros(2, 4))
    assert profile.totals.macs == 2 * 4 * 4
    assert "entry" not in profile.modules[0].settings


class Energy(nn.Module):
    """Forces are the gradient of the energy."""

    def __init__(self, activation):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), activation, nn.Linear(8, 1))

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.layers(x).sum(), x)[0]


@pytest.mark.parametrize("activation", [nn.Tanh, nn.SiLU, nn.GELU, nn.Softplus, nn.ReLU, nn.Mish, nn.ELU])
def test_pinn_run_counts_the_products_of_both_passes(activation):
    profile = measure(lambda: Energy(activation()), torch.zeros(5, 2))
    assert profile.flops_complete
    assert profile.totals.macs == 2 * 5 * (2 * 8 + 8 * 1)


def make_llama():
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    configuration = transformers.LlamaConfig(vocab_size=1000, pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes)
    cache = transformers.DynamicCache(config=configuration)
    return transformers.LlamaForCausalLM(configuration).eval(), cache


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("past", [128, 1024])
def test_cache_not_told_is_an_input(past):
    model, cache = make_llama()
    for layer in range(2):
        cache.update(torch.zeros(1, 2, past, 16), torch.zeros(1, 2, past, 16), layer)
    profile = measure_live(model, (), {"input_ids": torch.ones(1, 1, dtype=torch.int64), "past_key_values": cache, "use_cache": True})
    assert [each.shape for each in profile.inputs].count((1, 2, past, 16)) == 4
    # decode: q and o of 64 x 64, k and v of 64 x 32, the MLP, attention to all positions in 64 channels; then the head
    layer = 2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 128 + 2 * (past + 1) * 64
    assert profile.totals.macs == 2 * layer + 64 * 1000


class GroupedHeads(nn.Module):
    def __init__(self, native):
        super().__init__()
        self.native = native
        self.q, self.k, self.v, self.o = nn.Linear(256, 256), nn.Linear(256, 64), nn.Linear(256, 64), nn.Linear(256, 256)

    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 32)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        if not self.native:
            k, v = k.repeat_interleave(4, 1), v.repeat_interleave(4, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.native)
        return self.o(y.transpose(1, 2).flatten(2))


def test_gqa_peak_has_no_matrix_of_scores():
    native, repeated = (measure(partial(GroupedHeads, native), torch.zeros(1, 2048, 256)) for native in (True, False))
    scores = 8 * 2048 * 2048 * 4
    assert native.peaks.activation_bytes < repeated.peaks.activation_bytes < scores / 5
    assert native.totals.macs == repeated.totals.macs
