"""The multiply-accumulates of a training step, worked out by hand.

A product of (rows, inner) and (inner, columns) has two gradients, each a product of the same three sizes: that of the left factor and that
of the right one. A gradient that nothing needs is not computed: the input of the first layer, and frozen weights.
"""

import pytest
import torch
import torch.nn.functional as F
from measure.training.steps import count_by_module, count_macs, record_step
from torch import nn
from torch.utils.checkpoint import checkpoint

from archaudit import profile
from archaudit.errors import MeasureError

X = torch.rand(2, 4)
FIRST, SECOND = 2 * 4 * 5, 2 * 5 * 3  # rows * inputs * outputs


def mlp():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))


def test_the_first_layer_has_no_gradient_of_its_input():
    step = record_step(mlp, X)
    assert count_macs(step) == {"forward": FIRST + SECOND, "backward": FIRST + 2 * SECOND}
    assert count_by_module(step, "backward") == {"0": FIRST, "2": 2 * SECOND}


def test_an_input_that_requires_grad_has_its_gradient():
    step = record_step(mlp, X.clone().requires_grad_())
    assert count_by_module(step, "backward") == {"0": 2 * FIRST, "2": 2 * SECOND}


def test_frozen_weights_cost_nothing():
    def frozen(*names):
        model = mlp()
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.partition(".")[0] not in names)
        return model

    assert count_by_module(record_step(lambda: frozen("0"), X), "backward") == {"2": SECOND}  # nothing needs the gradient of its input
    assert count_by_module(record_step(lambda: frozen("2"), X), "backward") == {"0": FIRST, "2": SECOND}


def test_tied_weights_have_a_gradient_for_each_use_and_one_state():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(7, 4)
            self.head = nn.Linear(4, 7, bias=False)
            self.head.weight = self.table.weight

        def forward(self, ids):
            return self.head(self.table(ids))

    step = record_step(Tied, torch.zeros(2, 3, dtype=torch.int64))
    head = 2 * 3 * 4 * 7
    assert count_macs(step) == {"forward": head, "backward": 2 * head}  # the lookup and its gradient multiply nothing
    assert step.gradient_bytes == {1: 7 * 4 * 4}
    assert step.optimizer_bytes == {1: 2 * 7 * 4 * 4 + 4}  # AdamW: two moments and the number of steps


class Double(torch.autograd.Function):
    """A product whose backward pass multiplies three times: both gradients, and the product again."""

    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        _again = x @ weight
        return gradient @ weight.T, x.T @ gradient


def test_an_autograd_function_costs_what_its_backward_runs():
    class Custom(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Module()
            self.inner.weight = nn.Parameter(torch.rand(4, 5))
            self.inner.forward = lambda x: Double.apply(x, self.inner.weight)
            self.last = nn.Linear(5, 3)

        def forward(self, x):
            return self.last(self.inner(x))

    step = record_step(Custom, X)
    assert count_by_module(step, "backward") == {"inner": 3 * FIRST, "last": 2 * SECOND}


IMAGE = torch.rand(2, 6, 8, 8)


@pytest.mark.parametrize(
    ("build", "macs"),
    [
        (lambda: nn.Conv2d(6, 12, 3, padding=1), 2 * 64 * 12 * 6 * 9),
        (lambda: nn.Conv2d(6, 12, 3, padding=1, groups=3), 2 * 64 * 12 * 2 * 9),
        (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), 2 * 64 * 6 * 9),
        (lambda: nn.Conv2d(6, 12, 3, stride=2, padding=1), 2 * 16 * 12 * 6 * 9),
        (lambda: nn.ConvTranspose2d(6, 12, 3, stride=2), 2 * 64 * 6 * 12 * 9),
        (lambda: nn.ConvTranspose2d(6, 12, 3, stride=2, groups=2), 2 * 64 * 6 * 6 * 9),
    ],
    ids=["dense", "grouped", "depthwise", "strided", "transposed", "transposed grouped"],
)
def test_each_gradient_of_a_convolution_costs_what_the_convolution_does(build, macs):
    assert count_macs(record_step(build, IMAGE)) == {"forward": macs, "backward": macs}
    assert count_macs(record_step(build, IMAGE.clone().requires_grad_()))["backward"] == 2 * macs


class Attention(nn.Module):
    """Attention on queries, keys and values that are parameters."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.parts = nn.ParameterList(nn.Parameter(torch.rand(2, 3, 8, 16, dtype=dtype)) for _ in range(3))

    def forward(self):
        return F.scaled_dot_product_attention(*self.parts)


PRODUCT = 2 * 3 * 8 * 8 * 16  # QK^T or AV: batch * heads * queries * keys * size


@pytest.mark.parametrize(
    ("device", "dtype", "kernel"),
    [
        ("cpu", torch.float32, "_scaled_dot_product_flash_attention_for_cpu_backward"),
        ("cuda", torch.bfloat16, "_scaled_dot_product_flash_attention_backward"),
        ("cuda", torch.float32, "_scaled_dot_product_efficient_attention_backward"),
    ],
)
def test_fused_attention_multiplies_the_scores_again(device, dtype, kernel):
    step = record_step(lambda: Attention(dtype), device=device)
    assert count_macs(step) == {"forward": 2 * PRODUCT, "backward": 5 * PRODUCT}
    assert [entry.operator for entry in step.flops.entries if entry.phase == "backward"] == [f"aten::{kernel}"]


def test_a_recurrent_layer_multiplies_its_weights_for_both_gradients():
    lstm = 5 * 3 * 4 * 16 * (8 + 16)  # steps * batch * gates * hidden * (features + hidden)
    data = torch.rand(5, 3, 8)
    assert count_macs(record_step(lambda: nn.LSTM(8, 16), data)) == {"forward": lstm, "backward": 2 * lstm}
    gru = 5 * 3 * 3 * 16  # the input needs no gradient
    assert count_macs(record_step(lambda: nn.GRU(8, 16), data)) == {
        "forward": gru * (8 + 16),
        "backward": gru * (8 + 2 * 16) - 3 * 3 * 16 * 16,
    }


class Blocks(nn.Module):
    """Two equal blocks of two layers, checkpointed or not."""

    def __init__(self, reentrant):
        super().__init__()
        self.reentrant = reentrant
        self.first = nn.Linear(4, 4)
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4)) for _ in range(2))

    def forward(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return x


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")  # of the run without grad that builds the model
@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_under_checkpoints_is_its_own_column(reentrant):
    """The form that is not reentrant stops when everything that the backward pass needs is there: before the last layer of each block."""
    step = record_step(lambda: Blocks(reentrant), X)
    first, layer = 2 * 4 * 4, 2 * 4 * 6
    again = 2 * layer if reentrant else layer
    assert count_macs(step) == {"forward": first + 4 * layer, "backward": first + 8 * layer, "recompute": 2 * again}
    by_module = {"blocks.0.0": layer, "blocks.1.0": layer} | ({"blocks.0.2": layer, "blocks.1.2": layer} if reentrant else {})
    assert count_by_module(step, "recompute") == by_module
    assert count_by_module(step, "backward")["blocks.0.2"] == 2 * layer


def test_patterns_choose_the_modules_that_are_checkpointed():
    step = record_step(mlp, X, checkpoint="0,2")
    assert "recompute" not in count_macs(step)  # a layer alone keeps its input anyway, and runs nothing again
    nested = record_step(lambda: nn.Sequential(mlp(), nn.Linear(3, 2)), X.clone().requires_grad_(), checkpoint="0")
    assert count_macs(nested)["recompute"] == FIRST


def test_what_a_checkpoint_runs_outside_modules_belongs_to_the_module_that_checkpoints():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(4, 4))

        def forward(self, x):
            return checkpoint(lambda y: ((y @ self.weight).relu() @ self.weight).relu(), x, use_reentrant=False)

    step = record_step(lambda: nn.Sequential(nn.Linear(4, 4), Own()), X)
    assert count_by_module(step, "recompute") == {"1": 2 * 2 * 4 * 4}


def test_the_optimizer_is_counted_at_the_root():
    step = record_step(lambda: nn.Linear(4, 5, bias=False), X, optimizer="muon:ns_steps=2")
    iteration = 4 * 4 * 5 + 4 * 4 * 4 + 4 * 4 * 5  # X X^T, its square, and the product with X, for the wide form of a (5, 4) matrix
    assert count_macs(step)["optimizer"] == 2 * iteration


# --- what cannot be measured ---


def test_a_model_without_trainable_parameters_is_refused():
    with pytest.raises(MeasureError, match="no parameter of Linear requires grad") as raised:
        record_step(lambda: nn.Linear(4, 5).requires_grad_(False), X)
    assert "requires_grad_(True)" in raised.value.hint


def test_an_output_without_grad_is_refused():
    class Detached(nn.Linear):
        def forward(self, x):
            return super().forward(x).detach()

    with pytest.raises(MeasureError, match="a loss cannot be formed: the model returns no output that requires grad"):
        record_step(lambda: Detached(4, 5), X)


def test_an_unknown_optimizer_is_refused_with_the_nearest_name():
    with pytest.raises(MeasureError, match="the optimizer 'adamv' is unknown") as raised:
        record_step(mlp, X, optimizer="adamv")
    assert "Did you mean adamw?" in raised.value.hint or "Did you mean adam?" in raised.value.hint


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("lbfgs", "runs the model several times"),
        ("sgd:momentum", "cannot be read"),
        ("sgd:speed=2", "unexpected keyword"),
        ("adamw:lr=-1", "Invalid learning rate"),
        ("no.such.module:Class", "No module named"),
    ],
)
def test_a_wrong_optimizer_is_refused(optimizer, message):
    with pytest.raises(MeasureError, match=message):
        record_step(mlp, X, optimizer=optimizer)


def test_a_model_without_a_flag_for_checkpoints_is_refused():
    with pytest.raises(MeasureError, match="has no flag for activation checkpointing") as raised:
        record_step(mlp, X, checkpoint="model")
    assert "--checkpoint-modules" in raised.value.hint
    with pytest.raises(MeasureError, match="no module matches 'layers"):
        record_step(mlp, X, checkpoint="layers.*")


def test_a_live_model_stays_as_it_is():
    """Also one that has to run with values: its length follows from a parameter."""

    class ReadsValues(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 4)
            self.norm = nn.BatchNorm1d(4)

        def forward(self, x):
            rows = int(self.layer.weight.abs().sum().item() > 0) + 1
            return self.norm(self.layer(x[:rows]))

    for model in (mlp().eval(), ReadsValues().train()):
        state, modes = {name: value.clone() for name, value in model.state_dict().items()}, [each.training for each in model.modules()]
        measured = profile(model, X, training="sgd:lr=1,momentum=0.9")
        assert measured.training.totals.backward_flops > 0
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert [each.training for each in model.modules()] == modes
        assert all(parameter.grad is None for parameter in model.parameters())
