"""A pin on models of torchvision whose source was edited: planted changes of constants, orders and calls, and refactorings.

An entry is `(file, old, new)`: the text of torchvision's own file that is replaced. An edit changes what the forward computes without
touching a module; a refactoring runs the same operators in the same order with the same constants.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from modeling import measure
from torch import nn

from archaudit.judge import judge
from archaudit.schema import Check, Profile

PIN = Check(
    id="pin", origin="budget", model="after", metric="structure", comparison="unchanged", expected="", against="baseline", scope=("",)
)
# Factories: the smallest model of the file that runs the edited lines.
MODELS: dict[str, tuple[str, dict[str, Any], int]] = {
    "densenet": ("densenet121", {}, 64),
    "googlenet": ("googlenet", {"aux_logits": False, "init_weights": False, "transform_input": True}, 64),
    "inception": ("inception_v3", {"aux_logits": False, "init_weights": False, "transform_input": True}, 96),
    "shufflenetv2": ("shufflenet_v2_x0_5", {}, 64),
    "squeezenet": ("squeezenet1_1", {}, 64),
    "mnasnet": ("mnasnet0_5", {}, 64),
    "convnext": ("convnext_tiny", {}, 64),
    "mobilenetv2": ("mobilenet_v2", {}, 64),
    "regnet": ("regnet_x_400mf", {}, 64),
    "resnet": ("resnet18", {}, 64),
    "vision_transformer": ("vit_b_32", {}, 224),
    "swin_transformer": ("swin_t", {}, 112),
    "efficientnet": ("efficientnet_b0", {}, 64),
}
EDITS: tuple[tuple[str, str, str], ...] = (
    ("densenet", "F.relu(features, inplace=True)", "F.gelu(features)"),
    ("densenet", "F.relu(features, inplace=True)", "F.leaky_relu(features, 0.1)"),
    ("densenet", "F.adaptive_avg_pool2d(out, (1, 1))", "F.adaptive_max_pool2d(out, (1, 1))"),
    ("densenet", "torch.cat(features, 1)", "torch.cat(features[::-1], 1)"),
    ("densenet", "out = torch.flatten(out, 1)", "out = torch.flatten(out.detach(), 1)"),
    ("googlenet", "F.relu(x, inplace=True)", "F.relu6(x, inplace=True)"),
    ("googlenet", "torch.cat(outputs, 1)", "torch.cat(outputs[::-1], 1)"),
    ("googlenet", "(0.229 / 0.5)", "(0.299 / 0.5)"),
    ("googlenet", "(0.456 - 0.5) / 0.5", "(0.466 - 0.5) / 0.5"),
    ("googlenet", "torch.cat((x_ch0, x_ch1, x_ch2), 1)", "torch.cat((x_ch2, x_ch1, x_ch0), 1)"),
    ("googlenet", "torch.unsqueeze(x[:, 0], 1)", "torch.unsqueeze(x[:, 1], 1)"),
    ("inception", "F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)", "F.max_pool2d(x, kernel_size=3, stride=1, padding=1)"),
    ("inception", "F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)", "F.avg_pool2d(x, kernel_size=5, stride=1, padding=2)"),
    ("inception", "F.max_pool2d(x, kernel_size=3, stride=2)", "F.avg_pool2d(x, kernel_size=3, stride=2)"),
    ("inception", "F.relu(x, inplace=True)", "F.gelu(x)"),
    ("inception", "torch.cat(branch3x3, 1)", "torch.cat(branch3x3[::-1], 1)"),
    ("inception", "(0.485 - 0.5) / 0.5", "(0.485 - 0.4) / 0.5"),
    ("inception", "torch.cat(outputs, 1)", "torch.cat(outputs[::-1], 1)"),
    ("shufflenetv2", "x1, x2 = x.chunk(2, dim=1)", "x2, x1 = x.chunk(2, dim=1)"),
    ("shufflenetv2", "torch.cat((x1, self.branch2(x2)), dim=1)", "torch.cat((self.branch2(x2), x1), dim=1)"),
    ("shufflenetv2", "torch.cat((self.branch1(x), self.branch2(x)), dim=1)", "torch.cat((self.branch2(x), self.branch1(x)), dim=1)"),
    ("shufflenetv2", "x.mean([2, 3])", "x.amax([2, 3])"),
    ("shufflenetv2", "x.mean([2, 3])", "x.sum([2, 3])"),
    ("squeezenet", "return torch.flatten(x, 1)", "return torch.flatten(x.detach(), 1)"),
    ("squeezenet", "return torch.flatten(x, 1)", "return torch.flatten(x * 0.5, 1)"),
    ("mnasnet", "self.layers(input) + input", "self.layers(input) - input"),
    ("mnasnet", "self.layers(input) + input", "self.layers(input) + 2 * input"),
    ("mnasnet", "self.layers(input) + input", "self.layers(input) + input.detach()"),
    ("mnasnet", "self.layers(input) + input", "self.layers(input)"),
    ("mnasnet", "x.mean([2, 3])", "x.amax([2, 3])"),
    ("convnext", "result += input", "result -= input"),
    ("convnext", "result += input", "result += input * 2"),
    ("convnext", "self.layer_scale * self.block(input)", "self.layer_scale + self.block(input)"),
    ("convnext", "self.normalized_shape, self.weight, self.bias, self.eps", "self.normalized_shape, self.weight, self.bias, 1e-3"),
    ("mobilenetv2", "x + self.conv(x)", "x - self.conv(x)"),
    ("mobilenetv2", "x + self.conv(x)", "self.conv(x) * x"),
    ("mobilenetv2", "adaptive_avg_pool2d(x, (1, 1))", "adaptive_max_pool2d(x, (1, 1))"),
    ("regnet", "x = x + self.f(x)", "x = x - self.f(x)"),
    ("regnet", "x = x + self.f(x)", "x = self.f(x)"),
    ("regnet", "self.proj(x) + self.f(x)", "self.proj(x) + 0.5 * self.f(x)"),
    ("resnet", "out += identity", "out -= identity"),
    ("resnet", "out += identity", "out += 2 * identity"),
    ("resnet", "out += identity", "out += identity.detach()"),
    ("resnet", "x = torch.flatten(x, 1)", "x = torch.flatten(x.sqrt(), 1)"),
    ("vision_transformer", "return x + y", "return x - y"),
    ("vision_transformer", "x = x[:, 0]", "x = x[:, 1]"),
    ("vision_transformer", "torch.cat([batch_class_token, x], dim=1)", "torch.cat([x, batch_class_token], dim=1)"),
    ("vision_transformer", "input = input + self.pos_embedding", "input = input - self.pos_embedding"),
    ("swin_transformer", "shifts=(-shift_size[0], -shift_size[1])", "shifts=(shift_size[0], shift_size[1])"),
    ("swin_transformer", "(C // num_heads) ** -0.5", "(C // num_heads) ** -0.25"),
    ("swin_transformer", "F.softmax(attn, dim=-1)", "F.softmax(attn, dim=-2)"),
    ("swin_transformer", "float(-100.0)", "float(-10.0)"),
    ("swin_transformer", "x + self.stochastic_depth(self.mlp(self.norm2(x)))", "x - self.stochastic_depth(self.mlp(self.norm2(x)))"),
    ("efficientnet", "result += input", "result -= input"),
)
REFACTORINGS: tuple[tuple[str, str, str], ...] = (
    *(
        (file, "torch.flatten(x, 1)", "x.flatten(1)")
        for file in ("googlenet", "inception", "squeezenet", "mobilenetv2", "resnet", "efficientnet")
    ),
    *(
        (file, "torch.flatten(x, 1)", "torch.flatten(x, start_dim=1)")
        for file in ("googlenet", "inception", "squeezenet", "mobilenetv2", "resnet", "efficientnet")
    ),
    ("densenet", "torch.flatten(out, 1)", "out.flatten(start_dim=1, end_dim=-1)"),
    ("densenet", "torch.cat(features, 1)", "torch.cat(features, dim=1)"),
    ("densenet", "torch.cat(inputs, 1)", "torch.cat(tensors=inputs, dim=1)"),
    ("densenet", "F.relu(features, inplace=True)", "F.relu_(features)"),
    ("densenet", "F.adaptive_avg_pool2d(out, (1, 1))", "F.adaptive_avg_pool2d(out, output_size=(1, 1))"),
    ("densenet", "out = ", "pooled = out = "),
    ("googlenet", "torch.cat(outputs, 1)", "torch.cat(tuple(outputs), dim=1)"),
    ("googlenet", "torch.unsqueeze(x[:, 0], 1)", "x[:, 0].unsqueeze(1)"),
    ("googlenet", "torch.unsqueeze(x[:, 1], 1)", "x[:, 1].unsqueeze(dim=1)"),
    ("googlenet", "x_ch0", "red"),
    ("googlenet", "F.relu(x, inplace=True)", "x.relu_()"),
    ("inception", "F.avg_pool2d(x, kernel_size=3, stride=1, padding=1)", "F.avg_pool2d(x, 3, 1, 1)"),
    ("inception", "F.max_pool2d(x, kernel_size=3, stride=2)", "F.max_pool2d(x, 3, 2)"),
    ("inception", "torch.cat(outputs, 1)", "torch.cat(outputs, -3)"),
    ("inception", "torch.cat(branch3x3, 1)", "torch.cat([*branch3x3], 1)"),
    ("inception", "outputs = ", "parts = outputs = "),
    ("inception", "F.relu(x, inplace=True)", "torch.relu_(x)"),
    ("inception", "torch.unsqueeze(x[:, 2], 1)", "x[:, 2].unsqueeze(1)"),
    ("shufflenetv2", "x.chunk(2, dim=1)", "torch.chunk(x, 2, 1)"),
    ("shufflenetv2", "x.mean([2, 3])", "x.mean(dim=(2, 3))"),
    ("shufflenetv2", "x.mean([2, 3])", "torch.mean(x, [2, 3])"),
    ("shufflenetv2", "torch.cat((x1, self.branch2(x2)), dim=1)", "torch.cat([x1, self.branch2(x2)], 1)"),
    ("shufflenetv2", "torch.transpose(x, 1, 2)", "x.transpose(1, 2)"),
    ("mnasnet", "x.mean([2, 3])", "x.mean((-2, -1))"),
    ("mnasnet", "self.layers(input) + input", "torch.add(self.layers(input), input)"),
    ("mnasnet", "self.layers(input) + input", "self.layers(input).add(input)"),
    ("convnext", "x.permute(0, 2, 3, 1)", "torch.permute(x, (0, 2, 3, 1))"),
    ("convnext", "x.permute(0, 3, 1, 2)", "x.permute([0, 3, 1, 2])"),
    ("convnext", "result += input", "result = result.add_(input)"),
    ("convnext", "self.layer_scale * self.block(input)", "torch.mul(self.layer_scale, self.block(input))"),
    ("mobilenetv2", "x + self.conv(x)", "torch.add(x, self.conv(x), alpha=1)"),
    ("mobilenetv2", "x + self.conv(x)", "x.add(self.conv(x))"),
    ("regnet", "x = x + self.f(x)", "x = torch.add(x, self.f(x))"),
    ("regnet", "x = x + self.f(x)", "kept = x\n            x = kept + self.f(kept)"),
    ("resnet", "out += identity", "out.add_(identity)"),
    ("resnet", "identity = x", "shortcut = identity = x"),
    ("vision_transformer", "return x + y", "return torch.add(x, y)"),
    ("vision_transformer", "x = x[:, 0]", "x = x.select(1, 0)"),
    ("vision_transformer", "torch.cat([batch_class_token, x], dim=1)", "torch.cat((batch_class_token, x), 1)"),
    (
        "swin_transformer",
        "torch.roll(x, shifts=(-shift_size[0], -shift_size[1]), dims=(1, 2))",
        "x.roll((-shift_size[0], -shift_size[1]), (1, 2))",
    ),
    ("swin_transformer", "F.softmax(attn, dim=-1)", "attn.softmax(-1)"),
    ("swin_transformer", "q = q * (C // num_heads) ** -0.5", "q = torch.mul(q, (C // num_heads) ** -0.5)"),
    ("efficientnet", "result += input", "result = result.add_(input)"),
)
FEW = 8  # of each kind in the default run


def _mark(cases: tuple[tuple[str, str, str], ...]) -> list[Any]:
    """A spread of the cases runs by default, all of them with `-m slow`."""
    step = max(len(cases) // FEW, 1)
    return [
        pytest.param(*case, id=f"{case[0]}-{number}", marks=() if number % step == 0 else pytest.mark.slow)
        for number, case in enumerate(cases)
    ]


def read_source(file: str) -> str:
    source = inspect.getsource(importlib.import_module(f"torchvision.models.{file}"))
    return source.replace("@register_model()\n", "")


def build(file: str, source: str) -> Callable[[], nn.Module]:
    factory, arguments, _ = MODELS[file]
    names: dict[str, Any] = {"__name__": f"torchvision.models.{file}", "__package__": "torchvision.models"}
    exec(compile(source, f"{file}.py", "exec"), names)
    return lambda: names[factory](weights=None, **arguments)  # type: ignore[no-any-return]


@cache
def measure_original(file: str) -> Profile:
    return measure(build(file, read_source(file)), torch.zeros(1, 3, MODELS[file][2], MODELS[file][2]))


def judge_edit(file: str, old: str, new: str) -> str:
    source = read_source(file)
    if old not in source:
        pytest.skip(f"this version of torchvision has no {old!r}")
    after = measure(build(file, source.replace(old, new)), torch.zeros(1, 3, MODELS[file][2], MODELS[file][2]))
    verdict = judge([PIN], {"after": after}, {"after": measure_original(file)})[0]
    return f"{verdict.outcome}: {verdict.reason}"


@pytest.mark.parametrize(("file", "old", "new"), _mark(EDITS))
def test_a_planted_change_trips_the_pin(file: str, old: str, new: str) -> None:
    assert judge_edit(file, old, new).startswith("failed: nothing may change")


@pytest.mark.parametrize(("file", "old", "new"), _mark(REFACTORINGS))
def test_a_refactoring_does_not_trip_the_pin(file: str, old: str, new: str) -> None:
    assert judge_edit(file, old, new).startswith("passed")


def test_there_are_fifty_of_each_kind() -> None:
    assert len(EDITS) >= 50
    assert len(REFACTORINGS) >= 50
