"""Both other counters through the one door: any inputs and outputs, failures as reasons, and the model left as it was found."""

from __future__ import annotations

import logging
import random
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import archaudit.measure.other_counters as other_counters
from archaudit.measure.other_counters import run_other_counters
from archaudit.schema import CounterResult

DEVICES = ("meta", "cpu")


class Toy(nn.Module):
    """A linear layer of 12 weights, and what is done with its result."""

    def __init__(self, finish: Callable[..., Any] = lambda tensor: tensor) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3, bias=False)
        self.finish = finish

    def forward(self, tensor: torch.Tensor, **options: Any) -> Any:
        return self.finish(self.layer(tensor), **options)


def run_both(model: nn.Module, *args: Any, assumed_boolean: bool | None = None, **kwargs: Any) -> dict[str, CounterResult]:
    names = {id(module): path for path, module in model.named_modules()}
    with torch.no_grad():
        return run_other_counters(model, args, kwargs, names, assumed_boolean=assumed_boolean)


def build(device: str, finish: Callable[..., Any] = lambda tensor: tensor) -> tuple[Toy, torch.Tensor]:
    with torch.device(device):
        return Toy(finish).eval(), torch.ones(2, 4)


def take_snapshot(model: nn.Module) -> list[Any]:
    """Everything of a model that a counter may change; tensors by identity and contents."""
    shots: list[Any] = []
    for path, module in model.named_modules():
        contents = {name: list(value.items()) if isinstance(value, dict) else value for name, value in vars(module).items()}
        shots.append((path, id(module), module.training, {name: repr(value) for name, value in contents.items()}))
    tensors = {name: (id(tensor), None if tensor.is_meta else tensor.tolist()) for name, tensor in model.state_dict(keep_vars=True).items()}
    return [*shots, tensors]


@pytest.mark.parametrize("device", DEVICES)
def test_both_other_counters_count(device: str) -> None:
    model, tensor = build(device)
    answers = run_both(model, tensor)
    assert list(answers) == ["torchinfo", "fvcore"]
    for counter in answers.values():
        assert counter.reason is None
        assert (counter.totals.params, counter.totals.macs) == (12, 24)
        assert (counter.modules[""].params, counter.modules[""].macs) == (12, 24)
        assert (counter.modules["layer"].params, counter.modules["layer"].macs) == (12, 24)
    assert answers["torchinfo"].modules["layer"].output_shape == (2, 3)


@pytest.mark.parametrize("device", DEVICES)
def test_keyword_arguments_and_nested_outputs_are_supported(device: str) -> None:
    def finish(tensor: torch.Tensor, mode: str, device: dict[str, Any]) -> dict[str, Any]:
        return {"sum": tensor + device["bias"], "parts": [tensor, (tensor, None)], "count": 3, "name": mode}

    model, tensor = build(device, finish)
    # `mode` and `device` are names of torchinfo's own parameters
    answers = run_both(model, tensor, mode="eval", device={"bias": torch.ones(3, device=device), "scale": 2.0})
    assert {name: (counter.reason, counter.totals.macs) for name, counter in answers.items()} == {
        "torchinfo": (None, 24),
        "fvcore": (None, 24),
    }


@pytest.mark.parametrize("device", DEVICES)
def test_a_whole_number_as_output(device: str) -> None:
    model, tensor = build(device, lambda tensor: (tensor, 7))
    assert run_both(model, tensor)["fvcore"].totals.macs == 24


@pytest.mark.parametrize("device", DEVICES)
def test_a_model_without_tensors_as_inputs(device: str) -> None:
    class Constant(Toy):
        def forward(self, rows: int) -> torch.Tensor:  # type: ignore[override]
            return self.layer(self.layer.weight.new_ones(rows, 4))

    with torch.device(device):
        model = Constant().eval()
    for counter in run_both(model, 5).values():
        assert (counter.reason, counter.totals.macs) == (None, 60)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        (lambda tensor: 1 / 0, "skipped: ZeroDivisionError: division by zero"),
        (lambda tensor: tensor.view(5, 7), "skipped: RuntimeError: "),
        (lambda tensor: [][0], "skipped: IndexError: list index out of range"),
        (lambda tensor: exit(3), "skipped: SystemExit: 3"),
    ],
)
def test_a_forward_that_raises_is_a_reason_and_the_model_is_restored(device: str, finish: Callable[..., Any], reason: str) -> None:
    model, tensor = build(device, finish)
    model.layer.register_forward_hook(lambda *_: None)
    before = take_snapshot(model)
    for counter in run_both(model, tensor).values():
        assert counter == CounterResult(reason=counter.reason)
        assert (counter.reason or "").startswith(reason)
    assert take_snapshot(model) == before
    assert torch._C._get_tracing_state() is None


def test_values_read_from_meta_are_a_reason() -> None:
    model, tensor = build("meta", lambda tensor: tensor * tensor.sum().item())
    for counter in run_both(model, tensor).values():
        assert counter.reason == "skipped: RuntimeError: Tensor.item() cannot be called on meta tensors"


@pytest.mark.parametrize("answer", [True, False])
def test_booleans_read_from_meta_can_be_assumed(answer: bool) -> None:
    model, tensor = build("meta", lambda tensor: tensor @ tensor.T if tensor.sum() > 0 else tensor)
    fvcore = run_both(model, tensor, assumed_boolean=answer)["fvcore"]
    assert (fvcore.reason, fvcore.totals.macs) == (None, 24 + 2 * 3 * 2 * answer)
    assert run_both(model, tensor)["fvcore"].reason is not None


def test_memory_errors_and_interrupts_pass_through() -> None:
    for error in (MemoryError, KeyboardInterrupt):

        def finish(tensor: torch.Tensor, error: type[BaseException] = error) -> None:
            raise error

        model, tensor = build("meta", finish)
        before = take_snapshot(model)
        with pytest.raises(error):
            run_both(model, tensor)
        assert take_snapshot(model) == before


def test_reasons_are_one_short_line_without_addresses() -> None:
    def finish(tensor: torch.Tensor) -> None:
        raise ValueError(f"{object()!r} {'long ' * 100}\nsecond line")

    model, tensor = build("meta", finish)
    for counter in run_both(model, tensor).values():
        assert (counter.reason or "").startswith("skipped: ValueError: <object object at 0x…> long long")
        assert len(counter.reason or "") < 200
        assert "second" not in (counter.reason or "")


@pytest.mark.parametrize("device", DEVICES)
def test_a_model_that_changes_itself_is_restored(device: str) -> None:
    class ChangesItself(Toy):
        def __init__(self) -> None:
            super().__init__()
            self.seen: list[int] = [1]
            self.drop = nn.Dropout()

        def forward(self, tensor: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
            self.last = tensor
            self.seen.append(2)
            self.train()
            random.random()
            self.extra = nn.Parameter(torch.ones(2, device=tensor.device))
            self.register_buffer("state", tensor)
            return self.layer(tensor.add_(torch.rand(4, device=tensor.device)))

    with torch.device(device):
        model, tensor = ChangesItself().eval(), torch.ones(2, 4)
    model.drop.training = True  # a flag that differs from that of its parent
    before, states = take_snapshot(model), (torch.get_rng_state().tolist(), random.getstate())
    for counter in run_both(model, tensor).values():
        assert counter.reason is None
    assert take_snapshot(model) == before
    assert (torch.get_rng_state().tolist(), random.getstate()) == states
    if device == "cpu":
        assert tensor.tolist() == torch.ones(2, 4).tolist()


def test_global_settings_are_restored() -> None:
    model, tensor = build("cpu")
    loggers = {name: logging.getLogger(name).level for name in ("fvcore", "fvcore.nn.jit_analysis", "torch", "")}
    filters = list(warnings.filters)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    run_both(model, tensor)
    assert {name: logging.getLogger(name).level for name in loggers} == loggers
    assert list(warnings.filters) == filters
    assert torch.backends.mha.get_fastpath_enabled() == fast_path
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("device", DEVICES)
def test_tied_weights_stay_tied(device: str) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(100, 16)
            self.head = nn.Linear(16, 100, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.head(self.tokens(ids))

    with torch.device(device):
        model, ids = Tied().eval(), torch.zeros(1, 10, dtype=torch.int64)
    answers = run_both(model, ids)
    assert model.head.weight is model.tokens.weight
    assert (answers["fvcore"].totals.params, answers["fvcore"].totals.macs) == (1600, 16000)
    assert (answers["torchinfo"].totals.params, answers["torchinfo"].modules[""].params) == (3200, 1600)


@pytest.mark.parametrize("device", DEVICES)
def test_a_module_called_twice_and_named_twice(device: str) -> None:
    class Reused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(16, 16, bias=False)
            self.second = self.first

        def forward(self, tensor: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(tensor))

    with torch.device(device):
        model, tensor = Reused().eval(), torch.ones(1, 16)
    for counter in run_both(model, tensor).values():
        assert set(counter.modules) == {"", "first"}
        assert (counter.totals.params, counter.totals.macs) == (256, 512)
        assert (counter.modules["first"].params, counter.modules["first"].macs) == (256, 512)


def test_too_many_modules_are_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(other_counters, "MOST_MODULES", 3)
    three = nn.Sequential(nn.ReLU(), nn.ReLU()).eval()
    four = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU())).eval()
    assert {counter.reason for counter in run_both(three, torch.ones(1)).values()} == {None}
    assert {counter.reason for counter in run_both(four, torch.ones(1)).values()} == {"skipped: more than 3 modules"}


def test_a_few_modules_with_endless_names_are_too_many() -> None:
    model = nn.Identity()
    for _ in range(40):
        twice = nn.Module()
        twice.left = twice.right = model
        model = twice  # type: ignore[assignment]
    assert {counter.reason for counter in run_both(model).values()} == {"skipped: more than 5,000 modules"}


def test_deep_nesting_is_a_reason() -> None:
    model: nn.Module = nn.Linear(4, 4)
    for _ in range(400):
        model = nn.Sequential(model)
    answers = run_both(model.eval(), torch.ones(1, 4))
    assert "nested too deeply" in (answers["torchinfo"].reason or "")
    assert answers["fvcore"].reason == "skipped: modules are nested more than 200 levels deep"


def test_under_the_meta_device_as_default() -> None:
    model, tensor = build("meta", lambda tensor: tensor.view(tensor.shape[0] * tensor.shape[1]) + torch.arange(tensor.numel()))
    with torch.device("meta"):
        answers = run_both(model, tensor)
    assert {(counter.reason, counter.totals.macs) for counter in answers.values()} == {(None, 24)}
