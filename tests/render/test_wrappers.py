"""Containers that were put around modules: what was there before is not shown as new, and rows add up to the one above them."""

from __future__ import annotations

import pytest
from factories import make_module, make_profile

from archaudit.align import align
from archaudit.diff import diff
from archaudit.render.view.layer_table.layers import view_layers
from archaudit.render.view.records import LayerTable
from archaudit.schema import Match, ModuleRecord, Profile, Report

Pairs = tuple[tuple[str | None, str | None], ...]


def make_linear(inputs: int, outputs: int) -> ModuleRecord:
    return make_module(inputs * outputs, settings={"in_features": inputs, "out_features": outputs})


PLAIN = make_profile(
    {"attn": make_module(0, "Attention"), "attn.q": make_linear(8, 8), "attn.v": make_linear(8, 8), "head": make_linear(8, 2)}
)
ADAPTED = make_profile(
    {
        "attn": make_module(0, "Attention"),
        "attn.q": make_module(0, "Adapter"),
        "attn.q.base": make_linear(8, 8),
        "attn.q.down": make_linear(8, 2),
        "attn.q.up": make_linear(2, 8),
        "attn.v": make_linear(8, 8),
        "head": make_linear(8, 2),
    }
)
NESTED = make_profile(
    {
        "encoder": make_module(0, "Encoder"),
        "encoder.inner": make_module(0, "Inner"),
        "encoder.inner.attn": make_module(0, "Attention"),
        "encoder.inner.attn.q": make_linear(8, 8),
        "encoder.inner.attn.v": make_linear(8, 8),
        "head": make_linear(8, 2),
    }
)
NESTING: Pairs = (
    ("", ""),
    ("attn", "encoder.inner.attn"),
    ("attn.q", "encoder.inner.attn.q"),
    ("attn.v", "encoder.inner.attn.v"),
    ("head", "head"),
    (None, "encoder"),
    (None, "encoder.inner"),
)


def view(before: Profile, after: Profile, pairs: Pairs = ()) -> LayerTable:
    matches = tuple(Match(before_path=one, after_path=other, confidence=1.0, reason="by hand") for one, other in pairs)
    compared = diff(before, after, matches or align(before, after))
    return view_layers(
        Report(before=before, after=after, delta=compared.delta, flops_complete=True, modules=compared.modules, groups=(), outcome="passed")
    )


def read(table: LayerTable) -> dict[str, tuple[str, ...]]:
    """Params before, after and delta of each row, and its note."""
    return {row.row.path: (*(figure.exact for figure in row.row.figures[:3]), row.row.note) for row in table.tree}


def test_an_added_wrapper_counts_the_modules_inside_it_before() -> None:
    table = view(PLAIN, ADAPTED)
    rows = read(table)
    assert rows["attn.q"] == ("64", "96", "+32", "wraps attn.q")
    assert rows["attn.q.base"] == ("64", "64", "0", "was attn.q")
    assert rows["attn"][:3] == ("128", "160", "+32")
    assert "added or removed wrapper" in table.caption


def test_a_removed_wrapper_counts_the_modules_inside_it_after() -> None:
    rows = [row.row for row in view(ADAPTED, PLAIN).tree]
    (wrapper,) = (row for row in rows if row.kind == "removed" and row.type == "Adapter")
    assert (*(figure.exact for figure in wrapper.figures[:3]), wrapper.note) == ("96", "64", "-32", "wrapped attn.q")


def test_wrappers_in_one_another_all_count_it() -> None:
    rows = read(view(PLAIN, NESTED, NESTING))
    assert rows["encoder"] == ("128", "128", "0", "wraps attn")
    assert rows["encoder.inner"] == ("128", "128", "0", "wraps attn")


def test_a_module_moved_in_from_another_container_counts_there() -> None:
    after = make_profile({"attn": make_module(0, "Attention"), "attn.q": make_linear(8, 8), "new": 0, "new.v": make_linear(8, 8)})
    rows = read(view(PLAIN, after, (("", ""), ("attn", "attn"), ("attn.q", "attn.q"), ("attn.v", "new.v"), (None, "new"), ("head", None))))
    assert (rows["attn"][2], rows["new"][:3]) == ("-64", ("-", "64", "+64"))


@pytest.mark.parametrize(("after", "pairs"), [(ADAPTED, ()), (NESTED, NESTING)])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_rows_below_a_container_add_up_to_it(after: Profile, pairs: Pairs, swapped: bool) -> None:
    table = view(after, PLAIN, tuple((other, one) for one, other in pairs)) if swapped else view(PLAIN, after, pairs)
    deltas: list[tuple[int, int]] = []
    for row in table.tree:
        before, now = (value or 0 for value in row.numbers[:2])
        deltas.append((row.depth, now - before))
    for place, (depth, delta) in enumerate(deltas):
        below = deltas[place + 1 :]
        end = next((number for number, each in enumerate(below) if each[0] <= depth), len(below))
        children = [each[1] for each in below[:end] if each[0] == depth + 1]
        assert not children or sum(children) == delta
