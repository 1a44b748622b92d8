"""The two sentences at the top of a report."""

from __future__ import annotations

import pytest
from factories import make_cost, make_input, make_module, make_profile, make_tensor

from archaudit.align import align
from archaudit.diff import diff
from archaudit.render.view.sentences import explain_changes, explain_remarks
from archaudit.schema import ModuleRecord, Profile, Report


def compare(before: Profile, after: Profile) -> Report:
    found = diff(before, after, align(before, after))
    fields = {"delta": found.delta, "flops_complete": found.flops_complete, "modules": found.modules, "groups": found.groups}
    return Report(before=before, after=after, outcome="passed", **fields)


def make_net(**layers: ModuleRecord) -> Profile:
    return make_profile({path.replace("__", "."): layer for path, layer in layers.items()})


def make_weight(dtype: str = "float32", **fields: object) -> ModuleRecord:
    return make_module(8, tensors=(make_tensor("weight", (2, 4), dtype=dtype),), **fields)


BLOCKS = {"blocks": make_module(0, "Stack")}


def list_blocks(depth: int) -> dict[str, ModuleRecord]:
    return {
        key: value for n in range(depth) for key, value in ((f"blocks__{n}", make_module(0, "Block")), (f"blocks__{n}__fc", make_weight()))
    }


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (make_net(fc=make_weight()), make_net(fc=make_weight()), "Modules: none changed."),
        (make_net(act=make_module(0, "ReLU")), make_net(act=make_module(0, "GELU")), "Modules: 1 replaced (ReLU → GELU)."),
        (make_net(fc=make_weight()), make_net(fc=make_weight("float16")), "Modules: 1 with another dtype (float32 → float16)."),
        (
            make_net(conv=make_weight(settings={"kernel": 3, "groups": 1})),
            make_net(conv=make_weight(settings={"kernel": 5, "groups": 1})),
            "Modules: 1 with changed settings (kernel).",
        ),
        (
            make_net(**BLOCKS, **list_blocks(4)),
            make_net(**BLOCKS, **list_blocks(6)),
            "Modules: 2 added (blocks.4, blocks.5, plus 2 inside); 1 with another number of blocks (Block ×4 → ×6).",
        ),
        (
            make_net(**BLOCKS, **list_blocks(6)),
            make_net(**BLOCKS, **list_blocks(1)),
            "Modules: 5 removed (blocks.1, blocks.2, blocks.3 and 2 more, plus 5 inside); 1 with another number of blocks (Block ×6 → ×1).",
        ),
    ],
)  # fmt: skip
def test_the_changes_of_modules_in_a_sentence(before: Profile, after: Profile, expected: str) -> None:
    assert explain_changes(compare(before, after)) == expected


def test_trainable_parameters_are_given_if_they_are_not_all() -> None:
    before, after = make_net(fc=make_module(1_000)), make_net(fc=make_module(make_cost(1_000, trainable_params=10)))
    assert list(explain_remarks(compare(before, after))) == ["Of the parameters 1.00K → 10 are trainable."]
    assert not list(explain_remarks(compare(before, before)))


def test_bytes_are_given_if_the_bytes_per_parameter_changed() -> None:
    before, after = make_net(fc=make_module(1_000)), make_net(fc=make_module(make_cost(1_000, param_bytes=2_000)))
    assert list(explain_remarks(compare(before, after))) == ["The parameters take 3.91 KiB → 1.95 KiB (2.00x fewer)."]
    assert not list(explain_remarks(compare(before, make_net(fc=make_module(500)))))


def test_flops_of_different_inputs_have_a_warning() -> None:
    small, large = (make_profile({"fc": make_cost(10, 100)}, inputs=(make_input(1, 3, size, size),)) for size in (8, 16))
    assert list(explain_remarks(compare(small, large))) == ["The two sides ran on inputs of different shapes, which changes their FLOPs."]
    assert not list(explain_remarks(compare(small, small)))
