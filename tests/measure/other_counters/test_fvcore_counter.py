"""The counts of fvcore: unchanged, and the same on meta as on real tensors."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torchvision import models

from archaudit.measure.other_counters import run_other_counters
from archaudit.measure.other_counters.fvcore_counter import SuspendTracing
from archaudit.measure.other_counters.isolation import CounterSkippedError
from archaudit.measure.tape.shape_cache import ShapeCache
from archaudit.schema import CounterResult


def count(model: nn.Module, *args: Any) -> CounterResult:
    names = {id(module): path for path, module in model.named_modules()}
    with torch.no_grad():
        return run_other_counters(model, args, {}, names)["fvcore"]


class Mixed(nn.Module):
    """Contains each thing that a trace represents differently from a module tree."""

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
    """The result of fvcore, called directly."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(model, inputs).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        total = analysis.total()
    return total, dict(analysis.by_operator()), dict(analysis.unsupported_ops()), analysis.by_module(), sorted(analysis.uncalled_modules())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_counts_on_meta_equal_fvcore_on_the_cpu(name: str) -> None:
    real, image = models.get_model(name, weights=None).eval(), torch.zeros(1, 3, 64, 64)
    with torch.device("meta"):
        light = models.get_model(name, weights=None).eval()
    counter = count(light, image.to("meta"))
    assert counter == count(real, image)
    total, by_operator, unsupported, by_module, uncalled = analyse(real, image)
    assert (counter.totals.macs, counter.macs_by_operator, counter.unsupported) == (total, by_operator, unsupported)
    assert {path: row.macs for path, row in counter.modules.items()} == dict(by_module)
    assert list(counter.uncalled) == uncalled


def test_resnet18_by_operator() -> None:
    with torch.device("meta"):
        model, image = models.resnet18(weights=None).eval(), torch.empty(1, 3, 224, 224)
    counter = count(model, image)
    assert (counter.totals.params, counter.totals.macs) == (11_689_512, 1_819_065_856)
    assert counter.macs_by_operator == {"adaptive_avg_pool2d": 25_088, "batch_norm": 4_967_424, "conv": 1_813_561_344, "linear": 512_000}
    assert (counter.unsupported, counter.uncalled) == ({"aten::add_": 8, "aten::max_pool2d": 1}, ())
    assert all(type(count) is int for count in (*counter.macs_by_operator.values(), *counter.unsupported.values()))
    assert counter.modules[""] == counter.totals


def test_every_kind_of_operator_counts_the_same_on_meta_and_on_the_cpu() -> None:
    with torch.device("meta"):
        light = Mixed().eval()
    real = Mixed().eval()
    on_meta, on_cpu = (count(model, torch.zeros(2, 3, 8, 8, device=device)) for model, device in ((light, "meta"), (real, "cpu")))
    assert on_meta.reason is None
    assert on_meta == on_cpu
    assert "unused" in on_meta.uncalled
    assert on_meta.unsupported["aten::lstm"] == 1


def test_a_slash_in_a_name_is_a_reason() -> None:
    model = nn.Sequential()
    model.add_module("a/b", nn.Linear(2, 2))
    assert count(model.eval(), torch.ones(1, 2)).reason == "skipped: fvcore confuses modules if a name contains '/': a/b"


def test_other_unusual_names_are_accepted() -> None:
    model = nn.Sequential()
    for name in ("model", "a b", "<b>|`", "ü", "a\nb"):
        model.add_module(name, nn.Linear(2, 2, bias=False))
    counter = count(model.eval(), torch.ones(1, 2))
    assert {path: row.macs for path, row in counter.modules.items()} == {"": 20, "model": 4, "a b": 4, "<b>|`": 4, "ü": 4, "a\nb": 4}


def test_a_dot_in_a_name_is_a_reason() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    model._modules["a.b"] = nn.Linear(2, 2)
    assert (count(model.eval(), torch.ones(1, 2)).reason or "").startswith("skipped: KeyError")


def test_an_output_without_tensors_is_a_reason() -> None:
    class Silent(nn.Module):
        def forward(self, tensor: torch.Tensor) -> None:
            return None

    assert count(Silent().eval(), torch.ones(1)).reason == "skipped: the model returns no tensor, which a trace needs"


def test_fake_tensors_are_a_reason() -> None:
    with FakeTensorMode():
        model, tensor = nn.Linear(2, 2).eval(), torch.ones(1, 2)
        assert count(model, tensor).reason == "skipped: fvcore cannot trace a model on fake tensors"


# --- the mode that makes a trace on meta possible ---


def test_a_torch_without_the_private_functions_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch._C, "_set_tracing_state")
    with pytest.raises(CounterSkippedError, match=r"cannot trace on the meta device: no torch\._C\._set_tracing_state"):
        SuspendTracing(ShapeCache())
    with torch.device("meta"):
        model, tensor = nn.Linear(2, 2).eval(), torch.empty(1, 2)
    answers = run_other_counters(model, (tensor,), {}, {id(model): ""})
    assert (answers["fvcore"].reason or "").endswith("no torch._C._set_tracing_state")
    assert answers["torchinfo"].reason is None
    assert run_other_counters(nn.Linear(2, 2).eval(), (torch.ones(1, 2),), {}, {})["fvcore"].totals.macs == 4


def test_outside_a_trace_it_changes_nothing() -> None:
    with torch.device("meta"):
        model, image = nn.Conv2d(3, 4, 3, stride=2).eval(), torch.empty(1, 3, 9, 9)
    with torch.no_grad(), SuspendTracing(ShapeCache()):
        assert model(image).shape == (1, 4, 4, 4)
    assert torch._C._get_tracing_state() is None
