"""The peak of a training step equals that of a real step on the CPU, which plain PyTorch runs under a counting allocator."""

import pytest
import torch
from measure.training.real_steps import measure_real_peak
from measure.training.steps import record_step
from torch import nn
from torch.utils.checkpoint import checkpoint

from archaudit.measure.training.memory import replay

OPTIMIZERS = {
    "adamw": lambda model: [torch.optim.AdamW(model.parameters())],
    "sgd": lambda model: [torch.optim.SGD(model.parameters())],
    "sgd:momentum=0.9": lambda model: [torch.optim.SGD(model.parameters(), momentum=0.9)],
    "adafactor": lambda model: [torch.optim.Adafactor(model.parameters())],
    "rmsprop": lambda model: [torch.optim.RMSprop(model.parameters())],
    "adagrad": lambda model: [torch.optim.Adagrad(model.parameters())],
    "adam:amsgrad=true": lambda model: [torch.optim.Adam(model.parameters(), amsgrad=True)],
    "muon": lambda model: [
        torch.optim.Muon([each for each in model.parameters() if each.dim() == 2]),
        torch.optim.AdamW([each for each in model.parameters() if each.dim() != 2]),
    ],
}


class Convolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(3 if not place else 16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()) for place in range(3)
        )
        self.head = nn.Linear(16, 10)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.head(x.mean((2, 3)))


def make_encoder():
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True, dropout=0.0), 2, enable_nested_tensor=False)


MODELS = {
    "convolutions": (Convolutions, torch.rand(4, 3, 32, 32), "layers.*"),
    "encoder": (make_encoder, torch.rand(8, 24, 32), "layers.*"),
}


def compare_peaks(build, args, kwargs, optimizer, amp, patterns, *, checkpoint_modules=None):
    """Our peak and that of a real step."""
    torch.manual_seed(0)
    model = build()
    if checkpoint_modules is not None:
        checkpoint_modules(model)
    real = measure_real_peak(model, args, kwargs, OPTIMIZERS[optimizer], amp=amp)
    step = record_step(build, *args, kwargs=kwargs, optimizer=optimizer, amp=amp, checkpoint=patterns)
    return replay(step.memory, step.tree.paths), real


def checkpoint_layers(layers):
    for layer in layers:
        layer.forward = _wrap(layer.forward)


def _wrap(forward):
    return lambda *args, **kwargs: checkpoint(forward, *args, use_reentrant=False, **kwargs)


@pytest.mark.parametrize(
    ("name", "optimizer", "is_checkpointed", "amp"),
    [
        ("convolutions", "sgd", False, None),
        ("convolutions", "adamw", True, "bfloat16"),
        ("encoder", "adamw", False, None),
        ("encoder", "sgd", True, None),
        ("encoder", "sgd", False, "bfloat16"),
        ("encoder", "sgd", True, "bfloat16"),
    ],
)
def test_the_peak_is_that_of_a_real_step(name, optimizer, is_checkpointed, amp):
    build, data, patterns = MODELS[name]
    layers = (lambda model: checkpoint_layers(model.layers)) if is_checkpointed else None
    memory, real = compare_peaks(build, (data,), {}, optimizer, amp, patterns if is_checkpointed else "", checkpoint_modules=layers)
    assert memory.peak.total == pytest.approx(real, rel=0.001)


@pytest.mark.parametrize("optimizer", [name for name in OPTIMIZERS if name not in ("adamw", "sgd")])
def test_the_states_of_each_optimizer_are_those_that_it_makes(optimizer):
    memory, real = compare_peaks(make_encoder, (torch.rand(2, 4, 32),), {}, optimizer, None, "")
    assert memory.peak.total == real


def test_categories_at_the_peak_by_hand():
    """One layer: the peak is in the optimizer's step, which needs a temporary as large as the weight for the root of its second moment."""
    step = record_step(lambda: nn.Linear(256, 128, bias=False), torch.rand(64, 256))
    memory = replay(step.memory, step.tree.paths)
    weight = 256 * 128 * 4
    assert memory.peak.phase == "optimizer"
    assert memory.peak.bytes == {
        "parameters": weight,
        "gradients": weight,
        "optimizer states": 2 * weight + 512,  # the number of steps is a scalar of its own
        "activations": 64 * 128 * 4 + 512,  # the output, and the loss
        "temporaries": 2 * weight,
        "inputs": 64 * 256 * 4,
    }


def test_what_is_saved_for_backward_is_listed_by_module_and_operator():
    step = record_step(lambda: nn.Sequential(nn.Linear(4, 128), nn.GELU(), nn.Linear(128, 4)), torch.rand(64, 4))
    saved = {(row.module, row.operator): row.bytes for row in replay(step.memory, step.tree.paths).saved}
    assert saved["0", "aten::addmm"] == saved["1", "aten::gelu"] == 64 * 128 * 4
    assert saved["2", "aten::addmm"] == 64 * 4 * 4  # the output, which the caller holds


def test_the_curve_has_each_phase_in_order():
    step = record_step(Convolutions, torch.rand(4, 3, 32, 32))
    memory = replay(step.memory, step.tree.paths)
    phases = [point.phase for point in memory.curve]
    assert list(dict.fromkeys(phases)) == ["forward", "backward", "optimizer"]
    assert max(point.total for point in memory.curve) == memory.peak.total
    assert [point.step for point in memory.curve] == sorted(point.step for point in memory.curve)


# --- models of the libraries ---


def list_library_cases():
    transformers = pytest.importorskip("transformers")
    models = pytest.importorskip("torchvision").models
    image, ids = torch.rand(2, 3, 64, 64), torch.randint(0, 500, (4, 48))
    text = {"input_ids": ids, "labels": ids}
    gpt = transformers.GPT2Config(n_layer=3, n_embd=64, n_head=4, vocab_size=500, n_positions=64, bos_token_id=0, eos_token_id=0)
    bert = transformers.BertConfig(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, intermediate_size=128, vocab_size=500)
    names = ("resnet18", "mobilenet_v2", "densenet121", "efficientnet_b0", "shufflenet_v2_x0_5", "convnext_tiny")
    cases = [(getattr(models, name), (image,), {}, "", None) for name in names]
    cases.append((models.resnet18, (image,), {}, "layer1.*,layer2.*", lambda model: checkpoint_layers([*model.layer1, *model.layer2])))
    cases.append((lambda: transformers.GPT2LMHeadModel(gpt), (), text, "", None))
    use_flag = {"gradient_checkpointing_kwargs": {"use_reentrant": False}}
    cases.append(
        (lambda: transformers.GPT2LMHeadModel(gpt), (), text, "model", lambda model: model.gradient_checkpointing_enable(**use_flag))
    )
    cases.append((lambda: transformers.BertModel(bert), (), {"input_ids": ids}, "", None))
    return cases


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("amp", [None, "bfloat16"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_the_peak_of_library_models_is_that_of_a_real_step(optimizer, amp):
    """40 cases: 10 models, two of them checkpointed, with two optimizers, with and without autocast."""
    for build, args, kwargs, patterns, checkpoint_modules in list_library_cases():
        memory, real = compare_peaks(build, args, kwargs, optimizer, amp, patterns, checkpoint_modules=checkpoint_modules)
        assert memory.peak.total == pytest.approx(real, rel=0.01), (build, patterns)
