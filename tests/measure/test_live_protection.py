"""Whatever forward, a hook or `__deepcopy__` does to the program of a live model is restored, or the model is refused."""

import os
import signal
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

import archaudit

SHARED, COUNTS, TOTAL = torch.zeros(8), [], 0


class Net(nn.Module):
    """A linear layer of 8 x 4, which costs 2 x 8 x 4 MACs on two rows; `act` is what forward does first."""

    TABLE = torch.ones(8)
    seen = None
    runs = 0

    def __init__(self, act=None):
        super().__init__()
        self.layer, self.act, self.note = nn.Linear(8, 4), act, []
        self.register_buffer("steps", torch.zeros(()))

    def forward(self, x):
        if self.act is not None:
            self.act()
        return self.layer(x)


X = torch.ones(2, 8)
MACS = 2 * 8 * 4


def test_class_attributes_globals_and_their_contents_are_restored():
    class Writes(Net):
        def forward(self, x):
            global TOTAL
            TOTAL += 1
            COUNTS.append(1)
            type(self).runs += 1
            type(self).new = True
            type(self).seen["x"] = 1
            return super().forward(x)

    Writes.seen = {"before": 1}
    assert archaudit.profile(Writes(), X).totals.macs == MACS
    assert (TOTAL, COUNTS, Writes.runs, Writes.seen) == (0, [], 0, {"before": 1})
    assert not hasattr(Writes, "new")


def test_tensors_of_the_class_and_of_the_module_keep_their_values():
    class Adds(Net):
        def forward(self, x):
            type(self).TABLE.add_(1)
            SHARED[2:].mul_(0).sub_(3)
            return super().forward(x + type(self).TABLE + SHARED)

    archaudit.profile(Adds(), X)
    assert torch.equal(Adds.TABLE, torch.ones(8))
    assert torch.equal(SHARED, torch.zeros(8))


def test_what_a_hook_changes_by_its_closure_is_restored():
    model, calls, count = Net(), [], 0

    def hook(module, args, output):
        nonlocal count
        count += 1
        calls.append(module)
        model.note.append(1)
        model.extra = 1
        model.steps.add_(1)

    model.layer.register_forward_hook(hook)
    assert archaudit.profile(model, X).totals.macs == MACS
    assert (count, calls, model.note, model.steps.item(), hasattr(model, "extra")) == (0, [], [], 0, False)


ACTS = {
    "folder": lambda: os.chdir("/"),
    "search path": lambda: sys.path.append("elsewhere"),
    "variable": lambda: os.environ.update(ARCHAUDIT_TEST="1"),
    "deleted variable": lambda: os.environ.pop("ARCHAUDIT_KEPT", None),
    "signal": lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN),
    "warnings": lambda: warnings.simplefilter("error"),
    "threads": lambda: torch.set_num_threads(1),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "grad": lambda: torch.set_grad_enabled(False),
    "recursion": lambda: sys.setrecursionlimit(5000),
}


def read_process():
    return (
        Path.cwd(),
        list(sys.path),
        dict(os.environ),
        signal.getsignal(signal.SIGTERM),
        list(warnings.filters),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        sys.getrecursionlimit(),
        torch.get_default_device(),
    )


@pytest.mark.parametrize("act", list(ACTS))
@pytest.mark.parametrize("fails", [False, True])
def test_the_process_is_restored(act, fails, monkeypatch):
    monkeypatch.setenv("ARCHAUDIT_KEPT", "1")

    def change():
        ACTS[act]()
        if fails:
            raise RuntimeError("after the change")

    class Changes(Net):
        def forward(self, x):
            change()
            return self.layer(x.to(self.layer.weight.dtype))

    before = read_process()
    if fails:
        with pytest.raises(archaudit.MeasureError, match="after the change"):
            archaudit.profile(Changes(), X)
    else:
        assert archaudit.profile(Changes(), X).totals.macs == MACS
    assert read_process() == before


def test_a_copy_that_is_the_same_object_is_refused():
    class Returns(Net):
        def __deepcopy__(self, memo):
            self.note = "copied"
            return self

    for model in (Returns(), nn.Sequential(nn.Linear(8, 8), Returns())):
        with pytest.raises(archaudit.MeasureError, match="returns the same module"):
            archaudit.profile(model.train(), X)
        assert all(module.training for module in model.modules())
        assert all(module.note == [] for module in model.modules() if isinstance(module, Returns))


def test_an_own_forward_of_an_instance_is_refused():
    model = Net()
    plain, calls = model.forward, []

    def forward(x):
        calls.append(1)
        model.steps.add_(1)
        return plain(x)

    model.forward = forward
    with pytest.raises(archaudit.MeasureError, match="Net has its own forward, set on the instance"):
        archaudit.profile(model, X)
    with pytest.raises(archaudit.MeasureError, match="1 has its own forward"):
        archaudit.profile(nn.Sequential(nn.Linear(8, 8), model), X)
    assert (calls, model.steps.item(), model.forward) == ([], 0, forward)


def test_a_method_that_an_instance_has_as_its_forward_runs_the_copy():
    def forward(self, x):
        self.note.append(1)
        return self.layer(x)

    model = Net()
    model.forward = types.MethodType(forward, model)
    assert archaudit.profile(model, X).totals.macs == MACS
    assert model.note == []


@pytest.mark.parametrize("convert", [torch.compile, lambda model: torch.jit.trace(model, X), torch.fx.symbolic_trace])
def test_compiled_models_are_measured(convert):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = convert(nn.Sequential(nn.Linear(8, 4)).eval())
    assert archaudit.profile(model, X).totals.params == 36


def test_replaced_methods_of_tensors_are_refused(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "numel", lambda self: 0, raising=False)
    with pytest.raises(archaudit.MeasureError, match=r"torch\.Tensor\.numel was replaced"):
        archaudit.profile(Net(), X)


def test_methods_of_tensors_that_forward_replaces_are_refused():
    def replace():
        torch.Tensor.numel = lambda self: 0

    try:
        with pytest.raises(archaudit.MeasureError, match=r"torch\.Tensor\.numel was replaced"):
            archaudit.profile(Net(replace), X)
    finally:
        del torch.Tensor.numel
