"""Live models: measured on a copy without values, and left unchanged."""

import copy

import pytest
import torch
from torch import nn

import archaudit


class Busy(nn.Module):
    """Batch norm and dropout in train mode, a buffer, a plain tensor attribute, a hook, ties, frozen weights, a half precision layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.a.bias.requires_grad_(False)
        self.register_buffer("seen", torch.zeros(1), persistent=False)
        self.plain = torch.ones(4)
        self.a.register_forward_hook(lambda module, args, output: output * 1)

    def forward(self, x, scale=1.0):
        self.seen += 1
        x = self.drop(self.norm(self.conv(x))).mean((2, 3)) * self.plain * scale
        return {"out": self.b(self.a(x))}


def test_a_class_in_place_of_a_model_is_an_error_message():
    with pytest.raises(archaudit.ArchauditError, match=r"Busy is a class, not a model\nPass an instance: Busy\(\.\.\.\)"):
        archaudit.profile(Busy)


def test_a_live_model_stays_unchanged():
    model = Busy().train()
    x = torch.rand(2, 3, 8, 8)
    state = copy.deepcopy(model.state_dict())
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    draw = torch.get_rng_state()
    profile = archaudit.profile(model, (x,), {"scale": 2.0}, other_counters=True)
    assert profile.totals.params == 3 * 4 * 9 + 4 + 8 + 16 + 4 + 4
    assert profile.totals.trainable_params == profile.totals.params - 4
    assert profile.totals.macs == 2 * 8 * 8 * 4 * 27 + 2 * 2 * 16
    assert profile.ties == (("a.weight", "b.weight"),)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model.seen.item() == 0
    assert all(module.training for module in model.modules())
    assert attributes == {name: set(vars(module)) for name, module in model.named_modules()}
    assert torch.equal(torch.get_rng_state(), draw)
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in model.parameters())
    assert type(model.plain) is torch.Tensor
    assert model.plain.device.type == "cpu"


def test_a_live_model_without_parameters_keeps_its_mode():
    model = nn.Dropout(0.5).train()
    archaudit.profile(model, torch.zeros(2))
    assert model.training


def test_a_model_that_cannot_be_copied_is_an_error_message():
    class Stubborn(nn.Module):
        def __deepcopy__(self, memo):
            raise TypeError("not me")

    with pytest.raises(archaudit.MeasureError, match="cannot be copied: TypeError: not me"):
        archaudit.profile(Stubborn(), torch.zeros(1))


def test_deep_models_are_copied():
    model = nn.Linear(2, 2, bias=False)
    for _ in range(300):
        model = nn.Sequential(model)
    assert archaudit.profile(model, torch.zeros(1, 2)).totals.macs == 4


def test_two_live_models_are_compared():
    report = archaudit.compare(nn.Linear(2, 2), nn.Linear(2, 4), torch.zeros(1, 2))
    assert report.delta.params == 6
    assert report.outcome == "inconclusive"  # there is no check


def test_a_distributed_wrapper_is_removed_with_an_assumption(tmp_path):
    import torch.distributed as dist

    if not dist.is_available():
        pytest.skip("this torch has no torch.distributed")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(nn.Linear(2, 3))
        profile = archaudit.profile(wrapped, torch.zeros(1, 2))
    finally:
        dist.destroy_process_group()
    assert profile.totals.params == 9
    assert profile.modules[0].type == "Linear"
    assert "the wrapper DistributedDataParallel was removed before the model was measured" in profile.ledger.assumptions


def test_a_model_whose_forward_raises_stays_unchanged():
    class Raises(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x):
            self.norm(x)
            raise RuntimeError("after the norm")

    model = Raises().train()
    with pytest.raises(archaudit.MeasureError, match="after the norm"):
        archaudit.profile(model, torch.rand(4, 2))
    assert model.norm.num_batches_tracked.item() == 0
    assert torch.equal(model.norm.running_mean, torch.zeros(2))
    assert model.training
    assert model.norm.training
    assert "forward" not in vars(model.norm)


@pytest.mark.slow
def test_20000_modules():
    model = nn.Sequential(*[nn.Linear(2, 2, bias=False) for _ in range(20_000)])
    profile = archaudit.profile(model, torch.zeros(1, 2))
    assert len(profile.modules) == 20_001
    assert profile.totals.params == 80_000
    assert profile.totals.macs == 80_000
