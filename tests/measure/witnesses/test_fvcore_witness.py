"""What fvcore says, unbent, and the same on meta as on real tensors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torchvision import models

from archaudit.measure.witnesses import run_witnesses
from archaudit.schema import Witness


def consult(model: nn.Module, *args: Any) -> Witness:
    names = {id(module): path for path, module in model.named_modules()}
    with torch.no_grad():
        return run_witnesses(model, args, {}, names)["fvcore"]


class Mixed(nn.Module):
    """One of each thing that a trace sees otherwise than a module tree."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 8, 3, padding="same")
        self.up = nn.ConvTranspose2d(8, 4, 2, stride=2, groups=2)
        self.norms = nn.ModuleList([nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True)])
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.rnn = nn.LSTM(4, 5, batch_first=True)
        self.unused = nn.Linear(3, 3)

    def forward(self, image: torch.Tensor) -> dict[str, Any]:
        image = self.up(self.same(image).relu_())
        for norm in self.norms:
            image = functional.hardswish(norm(image), inplace=True)
        image = functional.interpolate(image, size=(image.shape[2] // 2, 8), mode="bilinear")
        tokens = image.flatten(2).transpose(1, 2)
        tokens, _ = self.attention(tokens, tokens, tokens)
        tokens = self.layer(tokens)
        product = torch.einsum("btc,bsc->bts", tokens, tokens) + torch.arange(tokens.shape[1], device=image.device)
        return {"rnn": self.rnn(tokens)[0], "product": functional.conv1d(product, product[:, :, :3]), "rows": 3}


def analyse(model: nn.Module, *inputs: torch.Tensor) -> tuple[Any, ...]:
    """fvcore itself, called as anyone would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        total = analysis.total()
    return total, dict(analysis.by_operator()), dict(analysis.unsupported_ops()), analysis.by_module(), sorted(analysis.uncalled_modules())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_says_the_same_on_meta_as_fvcore_itself_on_the_cpu(name: str) -> None:
    real, image = models.get_model(name, weights=None).eval(), torch.zeros(1, 3, 64, 64)
    with torch.device("meta"):
        light = models.get_model(name, weights=None).eval()
    witness = consult(light, image.to("meta"))
    assert witness == consult(real, image)
    total, by_operator, unsupported, by_module, uncalled = analyse(real, image)
    assert (witness.totals.macs, witness.macs_by_operator, witness.unsupported) == (total, by_operator, unsupported)
    assert {path: row.macs for path, row in witness.modules.items()} == dict(by_module)
    assert list(witness.uncalled) == uncalled


def test_resnet18_by_operator() -> None:
    with torch.device("meta"):
        model, image = models.resnet18(weights=None).eval(), torch.empty(1, 3, 224, 224)
    witness = consult(model, image)
    assert (witness.totals.params, witness.totals.macs) == (11_689_512, 1_819_065_856)
    assert witness.macs_by_operator == {"adaptive_avg_pool2d": 25_088, "batch_norm": 4_967_424, "conv": 1_813_561_344, "linear": 512_000}
    assert (witness.unsupported, witness.uncalled) == ({"aten::add_": 8, "aten::max_pool2d": 1}, ())
    assert all(type(count) is int for count in (*witness.macs_by_operator.values(), *witness.unsupported.values()))
    assert witness.modules[""] == witness.totals


def test_every_kind_of_operator_says_the_same_on_meta_and_on_the_cpu() -> None:
    with torch.device("meta"):
        light = Mixed().eval()
    real = Mixed().eval()
    on_meta, on_cpu = (consult(model, torch.zeros(2, 3, 8, 8, device=device)) for model, device in ((light, "meta"), (real, "cpu")))
    assert on_meta.reason is None
    assert on_meta == on_cpu
    assert "unused" in on_meta.uncalled
    assert on_meta.unsupported["aten::lstm"] == 1


def test_a_slash_in_a_name_is_a_reason() -> None:
    model = nn.Sequential()
    model.add_module("a/b", nn.Linear(2, 2))
    assert consult(model.eval(), torch.ones(1, 2)).reason == "skipped: fvcore confuses modules if a name contains '/': a/b"


def test_other_hostile_names_pass() -> None:
    model = nn.Sequential()
    for name in ("model", "a b", "<b>|`", "ü", "a\nb"):
        model.add_module(name, nn.Linear(2, 2, bias=False))
    witness = consult(model.eval(), torch.ones(1, 2))
    assert {path: row.macs for path, row in witness.modules.items()} == {"": 20, "model": 4, "a b": 4, "<b>|`": 4, "ü": 4, "a\nb": 4}


def test_a_dot_in_a_name_is_no_exception() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model._modules["a.b"] = nn.Linear(2, 2)
    assert (consult(model.eval(), torch.ones(1, 2)).reason or "").startswith("skipped: KeyError")


def test_an_output_without_tensors_is_a_reason() -> None:
    class Silent(nn.Module):
        def forward(self, tensor: torch.Tensor) -> None:
            return None

    assert consult(Silent().eval(), torch.ones(1)).reason == "skipped: the model returns no tensor, which a trace needs"


def test_fake_tensors_are_a_reason() -> None:
    with FakeTensorMode():
        model, tensor = nn.Linear(2, 2).eval(), torch.ones(1, 2)
        assert consult(model, tensor).reason == "skipped: fvcore cannot trace a model on fake tensors"
