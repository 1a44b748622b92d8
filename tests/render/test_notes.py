"""What a row says in words of what became of a module."""

from __future__ import annotations

import pytest
import torch
from factories import make_input, make_module, make_profile, make_tensor
from modeling import measure
from torch import nn

from archaudit.align import align
from archaudit.diff import diff
from archaudit.render.view.layer_table.layers import view_layers
from archaudit.schema import Call, ModuleRecord, Profile, Report


def note(before: Profile, after: Profile) -> dict[str, str]:
    compared = diff(before, after, align(before, after))
    report = Report(
        before=before, after=after, delta=compared.delta, flops_complete=True, modules=compared.modules, groups=(), outcome="passed"
    )
    rows = [row.row for row in view_layers(report).tree if not row.gathers]
    return {row.path: row.note for row in rows}


def note_one(before: ModuleRecord, after: ModuleRecord) -> str:
    return note(make_profile({"m": before}), make_profile({"m": after}))["m"]


def run(times: int, feeder: str = "") -> tuple[Call, ...]:
    return tuple(Call(order=order, inputs=((1, 2),), outputs=((1, 2),), inputs_from=(feeder,) if feeder else ()) for order in range(times))


WEIGHT = make_tensor("weight", (2, 4))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (make_module(tensors=(WEIGHT,)), make_module(tensors=(make_tensor("weight", (2, 4), dtype="float16"),)), "dtype float32 → float16"),
        (make_module(tensors=(WEIGHT,)), make_module(tensors=(make_tensor("weight", (3, 4)),)), "weight [2, 4] → [3, 4]"),
        (
            make_module(tensors=(WEIGHT,)),
            make_module(tensors=(WEIGHT, make_tensor("scale", (2,)), make_tensor("mean", (2,), kind="buffer"))),
            "parameter scale added; buffer mean added",
        ),
        (make_module(tensors=(WEIGHT, make_tensor("scale", (2,)))), make_module(tensors=(WEIGHT,)), "parameter scale removed"),
        (
            make_module(settings={"bias": False}, tensors=(WEIGHT,)),
            make_module(settings={"bias": True}, tensors=(WEIGHT, make_tensor("bias", (2,)))),
            "bias False → True",
        ),
        (make_module(settings={"stride": 1}), make_module(settings={"width": 2}), "stride 1 → -; width - → 2"),
        (make_module(type="Norm", tensors=(WEIGHT,)), make_module(type="Identity"), ""),
        (make_module(calls=run(1)), make_module(calls=run(4)), "called 4 times (before: once)"),
        (make_module(calls=run(1)), make_module(), "no longer called (before: once)"),
        (make_module(), make_module(calls=run(2)), "called twice (before: not at all)"),
        (
            make_module(tensors=(WEIGHT,)),
            make_module(tensors=(make_tensor("weight", (2, 4), tied_to="emb.weight"),)),
            "weight is tied to emb.weight",
        ),
        (
            make_module(tensors=(make_tensor("weight", (2, 4), tied_to="emb.weight"),)),
            make_module(tensors=(WEIGHT,)),
            "weight was tied to emb.weight",
        ),
    ],
)  # fmt: skip
def test_a_note_has_the_values_before_and_after(before: ModuleRecord, after: ModuleRecord, expected: str) -> None:
    assert note_one(before, after) == expected


def test_a_changed_number_of_calls_is_noted_at_the_outermost_module() -> None:
    once, often = ({"block": make_module(0, "Block", calls=run(n)), "block.fc": make_module(8, calls=run(n))} for n in (1, 4))
    notes = note(make_profile(once), make_profile(often))
    assert (notes["block"], notes["block.fc"]) == ("called 4 times (before: once)", "")


def test_a_rewired_module_names_its_inputs() -> None:
    def feed(feeder: str) -> Profile:
        layers = {path: make_module(8, path.upper(), calls=run(1, "" if path != "c" else feeder)) for path in ("a", "b", "c")}
        return make_profile(layers, inputs=(make_input(1, 2),))

    assert note(feed("a"), feed("b"))["c"] == "input from b instead of a"


class Factored(nn.Module):
    """A layer, or two narrow ones in its place."""

    def __init__(self, factored: bool) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(16, 2, bias=False), nn.Linear(2, 16)) if factored else nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def test_a_changed_number_of_blocks_has_both_numbers() -> None:
    few, many = ({"blocks": 0} | {f"blocks.{number}": make_module(8, "Block") for number in range(depth)} for depth in (3, 5))
    assert note(make_profile(few), make_profile(many))["blocks"] == "Block ×3 → ×5"


def test_a_part_of_a_split_names_the_module_it_is_split_from() -> None:
    before, after = (measure(lambda factored=factored: Factored(factored), torch.zeros(1, 16)) for factored in (False, True))
    assert note(before, after)["inner.1"] == "split from inner"
    assert note(after, before)["inner.1"] == "merged into inner"
