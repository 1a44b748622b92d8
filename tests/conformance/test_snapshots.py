"""Every kind of change is found, and taking a snapshot makes none."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from archaudit.conformance import snapshots


def _model() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))
    model.notes = [1, 2]
    model.cache = torch.zeros(2)
    return model


def _with_copied_parameter(model: nn.Sequential) -> None:
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def _with_grad(model: nn.Sequential) -> None:
    model[0].weight.grad = torch.zeros(4, 4)


def _with_written_weight(model: nn.Sequential) -> None:
    with torch.no_grad():
        model[0].weight[0, 0] += 1


MODEL_CHANGES: dict[str, Callable[[nn.Sequential], Any]] = {
    "changed module ('0',): parameter 'weight'": _with_written_weight,
    "changed module ('1',): buffer 'running_mean'": lambda model: model[1].running_mean.add_(1),
    "changed model: training flag": lambda model: setattr(model, "training", False),
    "changed module ('2',): training flag": lambda model: model[2].eval(),
    "changed module ('0',): _forward_hooks": lambda model: model[0].register_forward_hook(lambda *_: None),
    "changed module ('0',): _forward_pre_hooks": lambda model: model[0].register_forward_pre_hook(lambda *_: None),
    "changed model: _state_dict_hooks": lambda model: model.register_state_dict_post_hook(lambda *_: None),
    "added module ('1',): attribute 'flops'": lambda model: setattr(model[1], "flops", 3),
    "added model: attribute 'forward'": lambda model: setattr(model, "forward", lambda x: x),
    "removed model: attribute 'notes'": lambda model: delattr(model, "notes"),
    "changed model: attribute 'notes'": lambda model: model.notes.append(3),
    "changed model: attribute 'cache'": lambda model: model.cache.add_(1),
    "added module ('0',): buffer 'total_ops'": lambda model: model[0].register_buffer("total_ops", torch.zeros(1)),
    "changed module ('0',): parameter 'bias'": lambda model: model[0].bias.requires_grad_(False),
    "changed module ('0',): class": lambda model: setattr(model[0], "__class__", nn.Identity),
    "added module ('3',): class": lambda model: model.append(nn.ReLU()),
    "removed module ('2',): class": lambda model: model.__delitem__(2),
}
CHANGES_OF_ONE_TENSOR = {"grad": _with_grad, "other parameter, same values": _with_copied_parameter}


def take_snapshot(model: nn.Module) -> snapshots.Snapshot:
    """The state of a model and of the process."""
    return {**snapshots.snapshot_model(model), **snapshots.snapshot_process()}


@pytest.mark.parametrize("found", MODEL_CHANGES)
def test_finds_what_was_changed_in_a_model(found: str) -> None:
    model = _model()
    before = take_snapshot(model)
    MODEL_CHANGES[found](model)
    assert found in snapshots.list_changes(before, take_snapshot(model))


@pytest.mark.parametrize("kind", CHANGES_OF_ONE_TENSOR)
def test_finds_gradients_and_swapped_parameters(kind: str) -> None:
    model = _model()
    before = take_snapshot(model)
    CHANGES_OF_ONE_TENSOR[kind](model)
    assert snapshots.list_changes(before, take_snapshot(model)) == ["changed module ('0',): parameter 'weight'"]


def test_finds_a_written_gradient() -> None:
    model = _model()
    _with_grad(model)
    before = take_snapshot(model)
    model[0].weight.grad.add_(1)
    assert snapshots.list_changes(before, take_snapshot(model)) == ["changed module ('0',): parameter 'weight'"]


def test_finds_the_changes_of_a_forward_pass_in_training_mode() -> None:
    model = _model()
    before = take_snapshot(model)
    model(torch.ones(2, 4))
    lines = snapshots.list_changes(before, take_snapshot(model))
    assert "changed process: torch random state" in lines
    assert "changed module ('1',): buffer 'num_batches_tracked'" in lines


def test_a_snapshot_and_a_forward_pass_in_eval_mode_change_nothing() -> None:
    model = _model().eval()
    before = take_snapshot(model)
    assert snapshots.list_changes(before, take_snapshot(model)) == []
    with torch.no_grad():
        model(torch.ones(2, 4))
    assert snapshots.list_changes(before, take_snapshot(model)) == []


def test_finds_changes_in_modules_whose_names_torch_cannot_look_up() -> None:
    model = nn.Module()
    model._modules["a.b"] = nn.Linear(2, 2)
    model._modules[""] = nn.Linear(2, 2)
    before = take_snapshot(model)
    model._modules["a.b"].eval()
    model._modules[""].eval()
    assert snapshots.list_changes(before, take_snapshot(model)) == [
        "changed module ('',): training flag",
        "changed module ('a.b',): training flag",
    ]


def test_meta_and_lazy_parameters_are_compared() -> None:
    with torch.device("meta"):
        meta = nn.Linear(2, 2)
    lazy = nn.LazyLinear(2)
    for model in (meta, lazy):
        assert snapshots.list_changes(snapshots.snapshot_model(model), snapshots.snapshot_model(model)) == []
    before = snapshots.snapshot_model(lazy)
    lazy(torch.ones(1, 3))
    assert snapshots.list_changes(before, snapshots.snapshot_model(lazy))


def test_finds_an_input_that_was_written_to() -> None:
    inputs = ((torch.zeros(2),), {"mask": torch.ones(2)})
    before = snapshots.snapshot_inputs(inputs)
    inputs[1]["mask"].zero_()
    assert snapshots.list_changes(before, snapshots.snapshot_inputs(inputs)) == ["changed input 1"]


def _replaced_linear(*args: Any) -> None:
    """A replacement of torch's own linear."""


PROCESS_CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "changed process: torch random state": (lambda: torch.rand(1), lambda: None),
    "changed process: Python random state": (random.random, lambda: None),
    "changed process: NumPy random state": (lambda: np.random.rand(1), lambda: None),
    "changed process: default dtype": (lambda: torch.set_default_dtype(torch.float64), lambda: torch.set_default_dtype(torch.float32)),
    "changed process: default device": (lambda: torch.set_default_device("meta"), lambda: torch.set_default_device(None)),
    "changed process: grad mode": (lambda: torch.set_grad_enabled(False), lambda: torch.set_grad_enabled(True)),
    "changed process: anomaly mode": (
        lambda: torch.autograd.set_detect_anomaly(True).prev,
        lambda: torch.autograd.set_detect_anomaly(False).prev,
    ),
    "changed process: deterministic algorithms": (
        lambda: torch.use_deterministic_algorithms(True),
        lambda: torch.use_deterministic_algorithms(False),
    ),
    "changed process: cuDNN flags": (
        lambda: setattr(torch.backends.cudnn, "benchmark", True),
        lambda: setattr(torch.backends.cudnn, "benchmark", False),
    ),
    "changed process: attention fast path": (
        lambda: torch.backends.mha.set_fastpath_enabled(False),
        lambda: torch.backends.mha.set_fastpath_enabled(True),
    ),
    "changed process: recursion limit": (
        lambda: sys.setrecursionlimit(sys.getrecursionlimit() + 1),
        lambda: sys.setrecursionlimit(sys.getrecursionlimit() - 1),
    ),
    "changed process: global_forward_hooks on all modules": (
        lambda: torch_module._global_forward_hooks.update({-1: print}),
        lambda: torch_module._global_forward_hooks.pop(-1),
    ),
}


@pytest.fixture
def _random_states_kept() -> Iterator[None]:
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python)
    np.random.set_state(numpy)


@pytest.mark.usefixtures("_random_states_kept")
@pytest.mark.parametrize("found", PROCESS_CHANGES)
def test_finds_what_was_changed_in_the_process(found: str) -> None:
    plant, remove = PROCESS_CHANGES[found]
    before = snapshots.snapshot_process()
    plant()
    try:
        lines = snapshots.list_changes(before, snapshots.snapshot_process())
    finally:
        remove()
    assert found in lines


@pytest.mark.parametrize(
    ("owner", "name", "line"),
    [
        (F, "linear", "replaced function torch.nn.functional.linear"),
        (torch, "matmul", "replaced function torch.matmul"),
        (torch.Tensor, "__matmul__", "replaced function torch.Tensor.__matmul__"),
        (nn.Module, "__call__", "replaced function torch.nn.Module.__call__"),
    ],
)
def test_finds_a_replaced_function_and_a_restored_one(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, line: str) -> None:
    before = snapshots.snapshot_process()
    monkeypatch.setattr(owner, name, _replaced_linear)
    replaced = snapshots.snapshot_process()
    monkeypatch.undo()
    assert line in snapshots.list_changes(before, replaced)
    assert line.replace("replaced", "restored") in snapshots.list_changes(replaced, snapshots.snapshot_process())


def test_a_seeded_block_does_not_advance_the_random_state() -> None:
    before = snapshots.snapshot_process()
    with snapshots.seed_torch(3):
        first = torch.rand(2)
    with snapshots.seed_torch(3):
        second = torch.rand(2)
    assert torch.equal(first, second)
    assert snapshots.list_changes(before, snapshots.snapshot_process()) == []


def test_the_process_is_restored_after_a_block_that_raises() -> None:
    before = snapshots.snapshot_process()
    with pytest.raises(ZeroDivisionError):
        _change_everything_and_raise()
    assert snapshots.list_changes(before, snapshots.snapshot_process()) == []


def _change_everything_and_raise() -> None:
    with snapshots.restore_process():
        F.linear = _replaced_linear  # type: ignore[assignment]
        torch_module._global_forward_hooks[-1] = print
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        torch.backends.mha.set_fastpath_enabled(False)
        torch.rand(1)
        random.random()
        raise ZeroDivisionError
