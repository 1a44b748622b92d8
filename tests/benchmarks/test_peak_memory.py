"""A small version of the benchmark: the peak of a profile is that of real tensors in a real run, within 5 %."""

import pytest
import torch
import torch.nn.functional as F
from benchmarks.peak_memory import MODELS, MOST_DIFFERENCE, GroupedAttention, Pointwise, measure_allocator, measure_tensors
from torch import nn

from archaudit.measure.recipe import measure_live


class Run(nn.Module):
    """Runs layers, then a function of their result."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers, self.function = nn.Sequential(*layers), function

    def forward(self, x):
        return self.function(self.layers(x))


def attend(x, **settings):
    heads = x.unflatten(-1, (4, -1)).transpose(1, 2)
    return F.scaled_dot_product_attention(heads, heads, heads, **settings).transpose(1, 2).flatten(2)


IMAGE, TOKENS = torch.zeros(1, 3, 64, 64), torch.zeros(1, 96, 64)
SMALL = {
    "grouped attention": (GroupedAttention, torch.zeros(1, 64, 2048)),
    "group norm and pointwise layers": (Pointwise, IMAGE),
    "attention with a mask": (
        lambda: Run(lambda x: attend(x, attn_mask=torch.ones(96, 96, dtype=torch.bool, device=x.device).tril()), nn.Linear(64, 64)),
        TOKENS,
    ),
    "attention with dropout": (lambda: Run(lambda x: attend(x, dropout_p=0.1), nn.Linear(64, 64)), TOKENS),
    "attention in double precision": (lambda: Run(lambda x: attend(x.double()), nn.Linear(64, 64)), TOKENS),
    "nn.MultiheadAttention": (lambda: Run(lambda x: x[:1], nn.Linear(64, 64), nn.TransformerEncoderLayer(64, 4, 128)), TOKENS),
    "lstm": (lambda: nn.LSTM(64, 32, 2, bidirectional=True), TOKENS),
    "lstm without bias": (lambda: nn.LSTM(64, 32, bias=False, batch_first=True), TOKENS),
    "gru": (lambda: nn.GRU(64, 32, batch_first=True), TOKENS),
    "softmax in another dtype": (lambda: Run(lambda x: x.softmax(-1, dtype=torch.float64), nn.Linear(64, 64)), TOKENS),
    "resizing": (lambda: Run(lambda x: F.interpolate(x, scale_factor=2, mode="bicubic"), nn.Conv2d(3, 8, 3)), IMAGE),
    "antialiased resizing": (
        lambda: Run(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True), nn.Conv2d(3, 8, 3)),
        IMAGE,
    ),
    "norms": (lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.InstanceNorm2d(8), nn.GroupNorm(4, 8)), IMAGE),
    "normalized weights": (lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(64, 64)), nn.RMSNorm(64)), TOKENS),
    "pooling and a skip": (lambda: Run(lambda x: torch.cat([x, F.max_pool2d(x, 3, 1, 1)], 1), nn.Conv2d(3, 8, 3), nn.SiLU()), IMAGE),
    "windows": (lambda: Run(lambda x: x.unfold(2, 8, 8).unfold(3, 8, 8).flatten(4).softmax(-1), nn.Conv2d(3, 4, 1)), IMAGE),
    "sorted and gathered": (lambda: Run(lambda x: x.gather(1, x.argsort(1)).cumsum(1), nn.Linear(64, 64)), TOKENS),
    "einsum": (lambda: Run(lambda x: torch.einsum("bij,bkj->bik", x, x).tanh(), nn.Linear(64, 64)), TOKENS),
}


@pytest.fixture(autouse=True)
def _without_the_fast_path():
    """The fused inference path of nn.TransformerEncoder hides its layers; a profile runs the layers."""
    torch.backends.mha.set_fastpath_enabled(False)
    yield
    torch.backends.mha.set_fastpath_enabled(True)


def assert_close(model, args, kwargs):
    peak = measure_live(model, args, kwargs).peaks.activation_bytes
    assert peak == pytest.approx(measure_tensors(model, args, kwargs), rel=MOST_DIFFERENCE)
    # an independent way: torch's own allocator, without what one operator allocates and frees before it returns
    assert peak == pytest.approx(measure_allocator(model, args, kwargs).peak, rel=MOST_DIFFERENCE)


@pytest.mark.parametrize("name", SMALL)
def test_the_peak_is_that_of_a_real_run(name):
    build, x = SMALL[name]
    assert_close(build(), (x,), {})


def test_temporaries_of_a_kernel_are_no_activations():
    # a convolution of 8 to 8 channels by 3 x 3: the input and the result have 8 * 4096 numbers, and oneDNN copies them
    model, x = nn.Conv2d(8, 8, 3, padding=1), torch.zeros(1, 8, 64, 64)
    allocated = measure_allocator(model, (x,), {})
    assert allocated.peak == 2 * 8 * 4096 * 4 == measure_live(model, (x,)).peaks.activation_bytes
    assert allocated.whole_peak >= allocated.peak


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_the_peak_of_each_model_of_the_benchmark_is_that_of_a_real_run(name):
    assert_close(*MODELS[name]())
