"""`saved_bytes` is what autograd saves in a real run in training mode, to the byte: the same hooks on a real run are the truth."""

import pytest
import torch
from modeling import measure
from torch import nn
from torch.utils.checkpoint import checkpoint

from archaudit.measure.recipe import measure_live


def count_saved(model, args, kwargs):
    """The bytes that autograd saves in a real forward pass in training mode, without parameters and buffers."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    held = {}

    def pack(tensor):
        key = tensor.untyped_storage().data_ptr()
        if key not in own:
            held[key] = tensor
        return tensor

    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(*args, **kwargs)
    return sum(tensor.untyped_storage().nbytes() for tensor in held.values())


class Blocks(nn.Module):
    """Four blocks: checkpointed always, in training mode only, or never."""

    def __init__(self, when, use_reentrant=False):
        super().__init__()
        self.when, self.use_reentrant = when, use_reentrant
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 32), nn.GELU(), nn.Dropout(), nn.Linear(32, 8)) for _ in range(4))

    def forward(self, x):
        for block in self.blocks:
            if self.when == "always" or (self.when == "training" and self.training):
                x = checkpoint(block, x, use_reentrant=self.use_reentrant)
            else:
                x = block(x)
        return x


X = torch.randn(16, 8, requires_grad=True)
IMAGES = torch.randn(2, 3, 16, 16)
TOKENS = torch.randn(6, 2, 16)
MODELS = {
    "no checkpoint": (lambda: Blocks("never"), X),
    "checkpoints": (lambda: Blocks("always"), X),
    "reentrant checkpoints": (lambda: Blocks("always", use_reentrant=True), X),
    "checkpoints in training mode": (lambda: Blocks("training"), X),
    "reentrant checkpoints in training mode": (lambda: Blocks("training", use_reentrant=True), X),
    "batch norm and dropout": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout2d(), nn.MaxPool2d(2), nn.AlphaDropout()),
        IMAGES,
    ),
    "group and instance norm": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.GELU()), IMAGES),
    "transformer": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, 32), 2, enable_nested_tensor=False), TOKENS),
    "gru": (lambda: nn.GRU(16, 8, 2, dropout=0.2), TOKENS),
    "lstm": (lambda: nn.LSTM(16, 8), TOKENS),
    "lstm of two layers in both directions": (lambda: nn.LSTM(16, 8, 2, dropout=0.2, bidirectional=True), TOKENS),
    "lstm, batch first, behind a layer": (lambda: nn.Sequential(nn.Linear(16, 24), nn.LSTM(24, 64, batch_first=True)), TOKENS),
    "lstm with a row of 256 elements": (lambda: nn.LSTM(16, 256), TOKENS),
    "lstm without bias": (lambda: nn.LSTM(16, 8, bias=False), TOKENS),
    "lstm with projections": (lambda: nn.LSTM(16, 8, proj_size=4), TOKENS),
    "lstm in bfloat16": (lambda: nn.LSTM(16, 8, dtype=torch.bfloat16), TOKENS.bfloat16()),
}


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad", "ignore:LSTM with projections")
@pytest.mark.parametrize("name", MODELS)
def test_saved_bytes_are_those_of_a_real_run_in_training_mode(name):
    build, x = MODELS[name]
    model = build()
    assert measure_live(model, (x,)).peaks.saved_bytes == count_saved(model, (x,), {})


def test_what_cudnn_reserves_for_the_backward_pass_is_unknown():
    model = nn.Sequential(nn.Linear(16, 16), nn.LSTM(16, 8))
    profile = measure_live(model, (TOKENS,), device="cuda")
    assert profile.peaks.saved_bytes is None
    assert any("cuDNN reserves memory" in text for text in profile.ledger.assumptions)


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable")
@pytest.mark.parametrize("use_reentrant", [None, False, True])
def test_gradient_checkpointing_of_transformers_is_followed(use_reentrant):
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=50, pad_token_id=0, bos_token_id=1, eos_token_id=2, **sizes))
    if use_reentrant is not None:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": use_reentrant})
        model.enable_input_require_grads()
    ids = torch.randint(0, 50, (1, 12))
    inputs = {"input_ids": ids, "labels": ids, "use_cache": False}
    assert measure_live(model, (), inputs).peaks.saved_bytes == count_saved(model, (), inputs)


class NeedsTargets(nn.Module):
    """Needs targets while it trains, as the detectors of torchvision do."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 8)

    def forward(self, x, targets=None):
        if self.training and targets is None:
            raise ValueError("targets are needed")
        return self.layer(x).relu()


def test_a_model_that_cannot_be_trained_on_the_input_is_run_in_eval_mode():
    # the linear layer saves its input, relu its output
    profile = measure(NeedsTargets, torch.zeros(1, 4))
    assert profile.peaks.saved_bytes == (4 + 8) * 4
    assert any("those of eval mode" in text and "ValueError" in text for text in profile.ledger.assumptions)


class DropsLayers(nn.Module):
    """Skips a layer at random while it trains, as LayerDrop does."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x):
        return x if self.training and torch.rand([]) < 0.5 else self.layer(x).sigmoid()


def test_layers_that_are_skipped_at_random_are_kept():
    profile = measure(DropsLayers, torch.zeros(2, 4))
    assert profile.peaks.saved_bytes == 2 * 2 * 4 * 4
    assert not any("eval mode" in text for text in profile.ledger.assumptions)


def test_the_mode_of_each_module_is_restored():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    model[1].eval()
    measure_live(model, (torch.zeros(1, 2),))
    assert [module.training for module in model.modules()] == [True, True, False]
