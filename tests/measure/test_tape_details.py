"""Parts of the tape by themselves: what a schema says of an operator, live memory, and wrapped forward methods."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from modeling import measure, module
from torch import nn

from archaudit.measure.tape import recording
from archaudit.measure.tape.arguments import as_setting
from archaudit.measure.tape.known_values import assume_boolean
from archaudit.measure.tape.memory import LivenessRecorder, read_traits
from archaudit.measure.tape.meta_kernels import find_meta_kernel, run_meta_kernel
from archaudit.measure.tape.rearranging import _read_order

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("operator", "is_view", "positions", "names", "is_lookup"),
    [
        (aten.add.Tensor, False, (), (), False),
        (aten.add_.Tensor, False, (0,), ("self",), False),
        (aten.add.out, False, (), ("out",), False),
        (aten.view.default, True, (), (), False),
        (aten.detach.default, True, (), (), False),
        (aten.split.Tensor, True, (), (), False),
        (aten.transpose_.default, False, (0,), ("self",), False),
        (aten.copy_.default, False, (0,), ("self",), False),
        (aten.sym_size.int, True, (), (), False),
        (aten.embedding.default, False, (), (), True),
        (aten.index_select.default, False, (), (), True),
        (aten._native_batch_norm_legit.default, False, (3, 4), ("running_mean", "running_var"), False),
        (aten.max_pool2d_with_indices.default, False, (), (), False),
    ],
)
def test_what_the_schema_says_of_an_operator(
    operator: Any, is_view: bool, positions: tuple[int, ...], names: tuple[str, ...], is_lookup: bool
) -> None:
    traits = read_traits(operator)
    assert (traits.is_view, traits.written_positions, traits.written_names, traits.is_lookup) == (is_view, positions, names, is_lookup)
    assert traits.name == operator._schema.name


def test_an_operator_without_a_schema_neither_views_nor_writes() -> None:
    traits = read_traits("cond")
    assert (traits.name, traits.is_view, traits.written_positions, traits.written_names, traits.is_lookup) == (
        "higher_order::cond", False, (), (), False,
    )  # fmt: skip


def test_memory_is_live_from_its_first_tensor_to_its_last() -> None:
    recorder = LivenessRecorder()
    assert (recorder.live_bytes, recorder.peak_bytes) == (0, 0)
    first = torch.zeros(4)
    assert recorder.watch(first) == 16
    view = first[1:]
    assert (recorder.watch(view), recorder.watch(first)) == (0, 0)  # one memory counts once
    second = torch.zeros(2)
    assert recorder.watch(second) == 8
    assert (recorder.live_bytes, recorder.peak_bytes) == (24, 24)
    del first
    assert recorder.live_bytes == 24  # the view holds it
    del view
    assert (recorder.live_bytes, recorder.peak_bytes) == (8, 24)
    third = torch.zeros(3)
    recorder.watch(third)
    assert (recorder.live_bytes, recorder.peak_bytes) == (20, 24)
    recorder.close()
    del second, third
    assert (recorder.live_bytes, recorder.peak_bytes) == (20, 24)  # what is dropped after the run changes nothing


def test_a_tensor_without_one_storage_is_not_counted() -> None:
    recorder = LivenessRecorder()
    places = torch.tensor([[0, 1], [1, 0]])
    assert recorder.watch(torch.sparse_coo_tensor(places, torch.ones(2), (2, 2), check_invariants=True)) == 0
    assert recorder.peak_bytes == 0


class ReadsSignatures(nn.Module):
    """Passes on what its layer takes, as libraries do that prune arguments by name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)
        self.names: tuple[str, ...] = ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert tuple(inspect.signature(self.layer.forward).parameters) == ("input",)
        return self.layer(x)


def test_a_forward_that_is_followed_keeps_its_signature() -> None:
    assert module(measure(ReadsSignatures, torch.zeros(1, 2)), "layer").own.macs == 4


def test_a_boolean_of_a_tensor_without_values_is_assumed_and_noted_once() -> None:
    notes: list[str] = []
    unknown = torch.empty((), dtype=torch.bool, device="meta")
    answers = [assume_boolean(unknown, answer, notes) for answer in (True, False)]
    assert answers == [True, False]
    assert len(notes) == 1  # one line, twice
    assert "test_tape_details.py:" in notes[0]
    # a boolean with a value, and a number without one, are not answered here
    assert assume_boolean(torch.tensor(True), False, notes) is None
    assert assume_boolean(torch.empty((), device="meta"), False, notes) is None


class Fails(nn.Module):
    """Raises in an inner module, which is caught outside."""

    def __init__(self) -> None:
        super().__init__()
        self.bad, self.good = nn.Linear(3, 3), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            return self.bad(x)
        except RuntimeError:
            return self.good(x)


def test_a_module_that_raised_is_left_and_the_next_one_gets_its_own_work() -> None:
    profile = measure(Fails, torch.zeros(1, 2))
    assert (module(profile, "bad").own.macs, module(profile, "good").own.macs, module(profile, "").own.macs) == (0, 4, 0)


@pytest.mark.skipif(not hasattr(aten, "_grouped_mm"), reason="this torch has no grouped product")
def test_tensors_with_values_are_computed_by_torch() -> None:
    operator = aten._grouped_mm.default
    left, right, ends = torch.ones(4, 16), torch.ones(2, 16, 8), torch.tensor([2, 4], dtype=torch.int32)
    result = run_meta_kernel(find_meta_kernel(operator), operator, (left, right), {"offs": ends})
    assert torch.equal(result, torch.full((4, 8), 16.0))


class InInferenceMode(nn.Module):
    """A composite operator in inference mode, where torch does not decompose it before dispatch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return torch.einsum("ij,kj->ik", x, x)


def test_a_composite_operator_in_inference_mode_is_decomposed() -> None:
    profile = measure(InInferenceMode, torch.zeros(3, 4))
    assert profile.flops_complete
    assert profile.totals.macs == 3 * 4 * 3


class CallsItself(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, again: bool = True) -> torch.Tensor:
        return self.forward(self.fc(x), False) if again else x


def test_a_forward_inside_another_that_calls_itself_is_two_calls() -> None:
    profile = measure(lambda: nn.Sequential(CallsItself()), torch.zeros(1, 4))
    assert [len(module.calls) for module in profile.modules] == [1, 2, 1]


class TurnsAround(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fc(x)
        flag = y.mean() > 0
        return y * torch.logical_not(flag).to(y.dtype) if flag else y


def test_only_a_boolean_that_python_reads_is_assumed() -> None:
    profile = measure(TurnsAround, torch.zeros(1, 4))
    assert profile.provenance is not None
    assert profile.provenance.rung == "answered"
    assert [node.op for node in profile.flow].count("logical_not") == 1


class Loops(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            if self.fc(x).mean() > 0:
                x = x + 1
        return x


def test_a_loop_may_read_as_many_conditions_as_the_limit_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_MOST_ASSUMED", 3)
    profile = measure(Loops, torch.zeros(1, 4))
    assert profile.provenance is not None
    assert (profile.provenance.rung, profile.totals.macs) == ("answered", 3 * 16)
    monkeypatch.setattr(recording, "_MOST_ASSUMED", 2)
    profile = measure(Loops, torch.zeros(1, 4))
    assert profile.provenance is not None
    assert profile.provenance.rung == "real"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1024.0, 1024),
        (-3.0, -3),
        (2.0**53 - 1, 2**53 - 1),
        (2.0**53, 2.0**53),
        (2.0**60, 2.0**60),
        (0.5, 0.5),
        (2**62, 2**62),
        (2**63, str(2**63)),
    ],
)
def test_whole_floats_are_integers_as_far_as_floats_hold_every_integer(value: float, written: object) -> None:
    made = as_setting(value)
    assert (made, type(made)) == (written, type(written))


@pytest.mark.parametrize(
    ("name", "args", "rank", "order"),
    [
        ("t", (None,), 2, [1, 0]),
        ("t", (None,), 1, [0]),
        ("transpose", (None, 0, -1), 3, [2, 1, 0]),
        ("transpose", (None, 1, 2), 4, [0, 2, 1, 3]),
        ("permute", (None, (0, -1, 1)), 3, [0, 2, 1]),
        ("numpy_T", (None,), 3, [2, 1, 0]),
    ],
)
def test_every_way_to_write_a_permutation(name: str, args: tuple[Any, ...], rank: int, order: list[int]) -> None:
    assert _read_order(name, args, rank) == order
