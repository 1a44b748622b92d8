"""The counts of torchinfo: unchanged, and the same on meta as on real tensors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torchinfo
from torch import nn
from torchvision import models

from archaudit.measure.other_counters import run_other_counters
from archaudit.schema import CounterResult


def count(model: nn.Module, *args: Any) -> CounterResult:
    names = {id(module): path for path, module in model.named_modules()}
    with torch.no_grad():
        return run_other_counters(model, args, {}, names)["torchinfo"]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_counts_on_meta_equal_torchinfo_on_the_cpu(name: str) -> None:
    real, image = models.get_model(name, weights=None).eval(), torch.zeros(1, 3, 64, 64)
    with torch.device("meta"):
        light = models.get_model(name, weights=None).eval()
    direct = torchinfo.summary(real, input_data=[image], verbose=0)
    counter = count(light, image.to("meta"))
    assert counter == count(real, image)
    assert (counter.totals.params, counter.totals.macs) == (direct.total_params, direct.total_mult_adds)
    assert sum(counter.macs_by_operator.values()) == direct.total_mult_adds
    paths = {id(module): path for path, module in real.named_modules()}
    for layer in direct.summary_list:
        row = counter.modules[paths[id(layer.module)]]
        assert row.params == layer.num_params
        if layer.is_leaf_layer:
            assert (row.macs, list(row.output_shape or ())) == (layer.macs, layer.output_size)


def test_resnet18_by_class() -> None:
    with torch.device("meta"):
        model, image = models.resnet18(weights=None).eval(), torch.empty(1, 3, 224, 224)
    counter = count(model, image)
    assert (counter.totals.params, counter.totals.macs) == (11_689_512, 1_814_083_944)
    assert counter.macs_by_operator == {"BatchNorm2d": 9_600, "Conv2d": 1_813_561_344, "Linear": 513_000}
    assert counter.modules[""].macs == counter.totals.macs
    assert counter.modules["layer1"].macs == sum(counter.modules[f"layer1.{block}"].macs or 0 for block in (0, 1))
    assert counter.modules["conv1"].output_shape == (1, 64, 112, 112)


def test_parameters_of_containers_count_as_torchinfo_counts_them() -> None:
    class Held(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1000))
            self.layer = nn.Linear(4, 4)

        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            return self.layer(tensor)

    for model in (Held().eval(), nn.Sequential(Held(), nn.Sequential(Held())).eval()):
        direct = torchinfo.summary(model, input_data=[torch.ones(1, 4)], verbose=0)
        counter = count(model, torch.ones(1, 4))
        assert (counter.totals.params, counter.totals.macs) == (direct.total_params, direct.total_mult_adds)
        assert counter.modules[""].params == direct.total_params


def test_a_submodule_that_returns_a_number_is_a_reason() -> None:
    class Counter(nn.Module):
        def forward(self, tensor: torch.Tensor) -> int:
            return tensor.dim()

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = Counter()

        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            return tensor * self.count(tensor)

    reason = count(Counting().eval(), torch.ones(2))
    assert (reason.reason or "").startswith("skipped: TypeError: Model contains a layer with an unsupported input or output type: 1")


def test_torchinfo_does_not_keep_the_model() -> None:
    kept = dict(torchinfo.torchinfo._cached_forward_pass)
    count(nn.Linear(2, 2).eval(), torch.ones(1, 2))
    assert torchinfo.torchinfo._cached_forward_pass == kept
