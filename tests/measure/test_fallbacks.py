"""Build modes: which one a model needs, its assumptions, and the error message if none works."""

import logging
import threading
from contextlib import suppress

import pytest
import torch
from modeling import measure, module
from torch import nn

from archaudit.errors import ArchauditError, InputError, LoadError, MeasureError
from archaudit.measure import fallbacks
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import Recipe


def read_build_mode(profile):
    return profile.provenance.rung


def test_a_plain_model_is_measured_on_meta():
    assert read_build_mode(measure(lambda: nn.Linear(2, 3), torch.zeros(1, 2))) == "meta"


class Arithmetic(nn.Module):
    """Computes with tensors in its constructor, which meta tensors do not support."""

    def __init__(self):
        super().__init__()
        width = 4 + int(torch.rand(()).item())  # random numbers are not known without values
        self.a = nn.Linear(2, width, bias=False)
        self.b = nn.Linear(2, width, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.a(x) + self.b(x)


def test_arithmetic_in_the_constructor_is_deferred_and_ties_survive():
    profile = measure(Arithmetic, torch.zeros(1, 2))
    assert read_build_mode(profile) == "deferred"
    assert profile.totals.params == 8
    assert profile.ties == (("a.weight", "b.weight"),)
    assert profile.provenance.rungs_failed[0].startswith("meta: ")


class Branches(nn.Module):
    """Has two branches; a value decides which one runs."""

    def __init__(self, width):
        super().__init__()
        self.yes, self.no = nn.Linear(4, 4, bias=False), nn.Linear(4, width, bias=False)

    def forward(self, x):
        return self.yes(x) if (x.sum() > 0).item() else self.no(x)


def test_branches_with_different_costs_need_a_real_run():
    profile = measure(lambda: Branches(400), torch.zeros(1, 4))
    assert read_build_mode(profile) == "real"
    assert profile.totals.macs == 1600  # zeros: the sum is not positive
    assert any("run for real" in text for text in profile.ledger.assumptions)


class SameCost(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)

    def forward(self, x):
        x = self.layer(x)
        return x + 1 if (x.sum() > 0).item() else x - 1


def test_branches_with_equal_costs_are_both_run_on_meta():
    profile = measure(SameCost, torch.zeros(1, 4))
    assert read_build_mode(profile) == "answered"
    assert profile.totals.macs == 16
    assert profile.flops_complete
    assert any("test_fallbacks.py" in text and "they cost the same" in text for text in profile.ledger.assumptions)


class TooLarge(nn.Module):
    """Three GiB of weights, and two branches with different costs."""

    def __init__(self):
        super().__init__()
        self.big = nn.Linear(2**15, 3 * 2**13, bias=False)
        self.small = nn.Linear(2**15, 1, bias=False)

    def forward(self, x):
        return self.big(x) if (x.sum() > 0).item() else self.small(x)


def test_a_model_too_large_to_run_has_incomplete_flops():
    profile = measure(TooLarge, lambda: torch.rand(1, 2**15))
    assert read_build_mode(profile) == "answered"
    assert not profile.flops_complete
    assert not module(profile, "big").flops_complete
    assert any("their costs differ" in text for text in profile.ledger.assumptions)


class Loops(nn.Module):
    def forward(self, x):
        for _ in range(int(x.sum())):
            x = x @ x
        return x


def test_a_loop_count_that_depends_on_data_needs_a_real_run():
    profile = measure(Loops, torch.full((2, 2), 0.75))
    assert read_build_mode(profile) == "real"
    assert profile.totals.macs == 3 * 8


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Linear(3, 3), nn.Linear(5, 5))

    def forward(self, x):
        return self.block(x)


def test_a_forward_that_raises_names_the_module_the_error_and_the_line():
    with pytest.raises(MeasureError) as caught:
        measure(Raises, torch.zeros(1, 3))
    text = str(caught.value)
    assert "block.1 (Linear) raised RuntimeError" in text
    assert "1x3" in text
    assert "--input" in text
    assert "test_fallbacks.py" in text
    assert len(text.splitlines()) <= 5


def test_torch_logs_no_traceback_of_a_forward_that_raises():
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    logger.addHandler(handler)
    try:
        with pytest.raises(MeasureError):
            measure(Raises, torch.zeros(1, 3))
    finally:
        logger.removeHandler(handler)
    assert not records
    assert not logger.filters


class Streams(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, x):
        yield self.layer(x)


def test_a_forward_that_returns_a_generator_is_an_error():
    with pytest.raises(MeasureError, match="forward of Streams returned a generator and ran no operator"):
        measure(Streams, torch.zeros(1, 3))


class Grows(nn.Module):
    """Creates a layer in its first forward pass; or in every pass."""

    def __init__(self, again=False):
        super().__init__()
        self.first, self.again = nn.Linear(3, 5, bias=False), again

    def forward(self, x):
        x = self.first(x)
        if self.again or not hasattr(self, "late"):
            self.late = nn.Sequential(nn.Linear(x.shape[1], 2, bias=False))
        return self.late(x)


def test_modules_created_by_forward_are_measured_in_a_second_run():
    profile = measure(Grows, torch.zeros(1, 3))
    assert [record.path for record in profile.modules] == ["", "first", "late", "late.0"]
    assert (profile.totals.params, profile.totals.macs) == (15 + 10, 15 + 10)
    assert any("the second run was measured" in text for text in profile.ledger.assumptions)
    with pytest.raises(MeasureError, match="forward of Grows creates new modules each time it runs"):
        measure(lambda: Grows(again=True), torch.zeros(1, 3))


class OnAThread(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 5)

    def forward(self, x):
        results = []
        thread = threading.Thread(target=lambda: results.append(self.layer(x)))
        thread.start()
        thread.join()
        return results[0]


def test_operators_on_another_thread_are_unknown():
    profile = measure(OnAThread, torch.zeros(1, 3))
    assert not profile.flops_complete
    assert [(each.name, each.modules) for each in profile.ledger.operators if each.status == "unknown"] == [
        ("what another thread ran", ("layer",))
    ]


class TakesNothing(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(3, 5))

    def forward(self):
        return self.table.T @ self.table


class MayTakeSomething(nn.Module):
    def forward(self, x=None):
        return x


def test_a_model_that_takes_no_input_needs_none():
    profile = measure_recipe(Recipe(name="toy", reference="toy", build=TakesNothing))
    assert profile.totals.macs == 5 * 3 * 5
    assert profile.inputs == ()
    with pytest.raises(InputError, match="does not say what input it takes"):
        measure_recipe(Recipe(name="toy", reference="toy", build=MayTakeSomething))


def test_a_constructor_that_raises_is_an_error_message():
    def build():
        raise ValueError("depth must be odd")

    with pytest.raises(MeasureError, match="raised while it was built: ValueError: depth must be odd"):
        measure(build, torch.zeros(1))


def test_a_factory_that_returns_no_model_is_an_error_message():
    with pytest.raises(LoadError, match="returned a dict"):
        measure(lambda: {}, torch.zeros(1))


def test_lazy_modules_get_their_shapes():
    profile = measure(lambda: nn.Sequential(nn.LazyLinear(8, bias=False), nn.LazyConv1d(2, 1, bias=False)), torch.zeros(2, 4, 6))
    assert profile.totals.params == 6 * 8 + 4 * 2
    assert profile.totals.macs == 2 * 4 * 6 * 8 + 2 * 8 * 4 * 2
    assert [record.type for record in profile.modules[1:]] == ["Linear", "Conv1d"]


def test_global_state_is_restored_even_if_forward_raises():
    call, state, stack = nn.Module.__call__, torch.get_rng_state(), torch.backends.mha.get_fastpath_enabled()
    for build in (lambda: nn.Linear(2, 3), Raises, Arithmetic, lambda: Branches(400)):
        with suppress(ArchauditError):
            measure(build, torch.zeros(1, 4))
    assert nn.Module.__call__ is call
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled() is stack
    assert torch.is_grad_enabled()


class RefusedWithoutValues(nn.Module):
    """Runs on the CPU only, like an operator whose meta kernel rejects a call that the CPU accepts."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.linear(x)
        if type(x) is not torch.Tensor or x.is_meta:
            raise RuntimeError("this kernel wants bfloat16")
        return x


def test_the_same_error_in_all_runs_without_values_is_followed_by_a_real_run() -> None:
    profile = measure(RefusedWithoutValues, torch.zeros(2, 4))
    assert profile.totals.macs == 2 * 4 * 4
    assert profile.provenance is not None
    assert profile.provenance.rung == "real"


def test_a_model_too_large_for_a_real_run_shows_the_error_of_the_run_that_got_furthest(monkeypatch: pytest.MonkeyPatch) -> None:
    class ReadsAValueThenFails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if (x > 0).all():
                x = x + 1
            x = self.linear(x)
            if type(x) is not torch.Tensor or x.is_meta:
                raise RuntimeError("this kernel wants bfloat16")
            return x

    monkeypatch.setattr(fallbacks, "REAL_PARAM_BYTES_LIMIT", 1)
    with pytest.raises(MeasureError) as caught:
        measure(ReadsAValueThenFails, torch.zeros(2, 4))
    assert "this kernel wants bfloat16" in caught.value.message  # not the error of the first run, which read a value
    assert "without values" in (caught.value.hint or "")


def test_a_loop_on_a_value_ends_without_values(monkeypatch):
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x):
            while self.layer(x).sum() > 0:  # true for ever, if it is assumed to be true
                x = x - 1
            return x

    monkeypatch.setattr(fallbacks, "REAL_PARAM_BYTES_LIMIT", 0)
    with pytest.raises(MeasureError):
        measure(Loop, torch.ones(3, 8))
