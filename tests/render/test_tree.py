"""The layer table as a tree: every module once, under its parent, like siblings gathered, what changed open at first."""

from __future__ import annotations

import msgspec
from render.synthetic import make_cost, make_large_report, make_module, make_profile, make_report, make_segmentation_report

from archaudit.render.view import view_profile, view_report
from archaudit.render.view.layer_table.folding import make_relative
from archaudit.render.view.records import GapRow, TreeRow
from archaudit.schema import Cost, ModuleDiff, ModuleRecord, Profile


def view_rows(*modules: ModuleRecord) -> tuple[TreeRow, ...]:
    return view_profile(make_profile("m", [make_module("", "Net"), *modules])).layers.tree


def test_each_module_has_one_row() -> None:
    report = make_segmentation_report()
    anchors = [row.anchor for row in view_report(report).layers.tree if not row.gathers]
    assert len(anchors) == len(set(anchors)) == len(report.modules)


def test_rows_stand_below_their_parents_wherever_the_matches_put_them() -> None:
    before = make_profile("b", [make_module("", "Net"), make_module("a", "A"), make_module("z", "Z")])
    after = make_profile("a", [make_module("", "Net"), make_module("a", "A"), make_module("a.new", "New"), make_module("z", "Z")])
    rows = [(row.anchor, row.depth, row.row.kind) for row in view_report(make_report(before, after)).layers.tree]
    assert rows == [("layer-(root)", 0, ""), ("layer-a", 1, ""), ("layer-a.new", 2, "added"), ("layer-z", 1, "")]


def test_modules_in_a_new_wrapper_have_the_order_of_the_after_side() -> None:
    """The rows come in the order of the before side, with what is new in the container right behind it."""
    before = make_profile("b", [make_module("", "Net"), make_module("conv", "Conv2d"), make_module("norm", "Norm")])
    body = [
        make_module("body", "Sequential"),
        *(make_module(f"body.{place}", kind) for place, kind in enumerate(("Conv2d", "Norm", "ReLU"))),
    ]
    after = make_profile("a", [make_module("", "Net"), *body])
    matched = (("", ""), (None, "body"), (None, "body.2"), ("conv", "body.0"), ("norm", "body.1"))
    rows = tuple(
        ModuleDiff(before_path=one, after_path=other, changes=changes, own_delta=Cost(), total_delta=Cost())
        for (one, other), changes in zip(matched, (("same",), ("added",), ("added",), ("wrapped",), ("wrapped",)), strict=True)
    )
    layers = view_report(msgspec.structs.replace(make_report(before, after), modules=rows)).layers
    assert [row.name for row in layers.tree] == ["(root)", "body", "0", "1", "2"]
    assert [row.path for row in layers.brief if not isinstance(row, GapRow)] == ["(root)", "body", "body.0", "body.1", "body.2"]


def test_a_removed_row_with_the_path_of_another_has_its_own_link() -> None:
    report = make_segmentation_report()
    rows = list(report.modules)
    classifier = next(place for place, row in enumerate(rows) if row.after_path == "classifier")
    apart = [
        msgspec.structs.replace(rows[classifier], after_path=None, changes=("removed",)),
        msgspec.structs.replace(rows[classifier], before_path=None, changes=("added",)),
    ]
    tree = view_report(msgspec.structs.replace(report, modules=(*rows[:classifier], *apart, *rows[classifier + 1 :]))).layers.tree
    assert {"layer-classifier", "layer-before-classifier"} <= {row.anchor for row in tree}


def test_like_siblings_are_gathered_and_still_there() -> None:
    blocks = [
        module
        for number in range(6)
        for module in (make_module(f"blocks.{number}", "Block"), make_module(f"blocks.{number}.fc", "Linear", make_cost(10, 20)))
    ]
    rows = view_rows(make_module("blocks", "ModuleList", shape=None), *blocks)
    (gathered,) = (row for row in rows if row.gathers)
    assert (gathered.name, gathered.row.note) == ("1 … 5", "5 more modules like 0")
    assert gathered.numbers == (50, None, 200, None, 200, None)
    assert [(row.anchor, row.depth) for row in rows if row.depth == 3] == [
        ("layer-blocks.0.fc", 3),
        *((f"layer-blocks.{n}", 3) for n in range(1, 6)),
    ]


def test_siblings_that_differ_are_not_gathered() -> None:
    rows = view_rows(*(make_module(f"fc{number}", "Linear", make_cost(10 + number)) for number in range(6)))
    assert not any(row.gathers for row in rows)


def test_what_changed_is_open_and_what_did_not_is_folded() -> None:
    tree = view_report(make_segmentation_report()).layers.tree
    shown = {row.anchor for row in tree if not row.hidden}
    assert {"layer-backbone", "layer-aspp.branches.0", "layer-decoder_stage1.pointwise"} <= shown
    assert "layer-backbone.3" not in shown


def test_a_large_report_opens_with_a_screenful() -> None:
    tree = view_report(make_large_report(5_000)).layers.tree
    assert 50 <= sum(not row.hidden for row in tree) <= 250


def test_a_chain_of_modules_needs_no_recursion() -> None:
    paths = [".".join(["a"] * depth) for depth in range(1_500)]
    modules = tuple(msgspec.structs.replace(make_module("", "Chain"), path=path) for path in paths)
    profile: Profile = msgspec.structs.replace(make_profile("chain", [make_module("", "Chain")]), modules=modules)
    tree = view_profile(profile).layers.tree
    assert [row.depth for row in tree] == list(range(1_500))


def test_bars_are_shares_of_the_model() -> None:
    rows = {row.anchor: row for row in view_report(make_segmentation_report()).layers.tree}
    assert rows["layer-(root)"].bars[0] == "v20"
    assert rows["layer-(root)"].bars[2].startswith("f")
    assert rows["layer-classifier"].bars[:3] == ("", "", "")


def make_blocks(costs: list[int]) -> list[ModuleRecord]:
    return [
        module
        for number, cost in enumerate(costs)
        for module in (make_module(f"blocks.{number}", "Block"), make_module(f"blocks.{number}.fc", "Linear", make_cost(cost, 20)))
    ]


def test_repeated_blocks_take_one_line_in_texts() -> None:
    blocks = make_blocks([10] * 5 + [11] + [10] * 6)
    brief = view_profile(make_profile("m", [make_module("", "Net"), make_module("blocks", "ModuleList"), *blocks])).layers.brief
    lines = [(row.label, row.inside) if isinstance(row, GapRow) else row.path for row in brief]
    assert lines == [
        "(root)",
        "blocks",
        "blocks.0",
        "blocks.0.fc",
        ("… 4 more like blocks.0", "blocks.1 to 4"),
        "blocks.5",
        "blocks.5.fc",
        ("… 6 more like blocks.0", "blocks.6 to 11"),
    ]
    assert [row.figures[0].exact for row in brief if isinstance(row, GapRow)] == ["40", "60"]


def rename_blocks(moves: dict[int, int]) -> list[str]:
    """The lines of blocks that were at other numbers before, and had another name inside."""
    sides = [
        make_profile(name, [make_module("", "Net"), make_module(f"{name}s", "ModuleList"), *below])
        for name, below in (
            ("layer", [make_module(f"layers.{number}.fc1", "Linear", make_cost(10, 20)) for number in moves.values()]),
            ("block", [make_module(f"blocks.{number}.lin", "Linear", make_cost(10, 20)) for number in moves]),
        )
    ]
    pairs = [("", ""), ("layers", "blocks"), *((f"layers.{one}.fc1", f"blocks.{other}.lin") for other, one in moves.items())]
    rows = tuple(
        ModuleDiff(before_path=one, after_path=other, changes=("renamed",), reason=f"{one} renamed", own_delta=Cost(), total_delta=Cost())
        for one, other in pairs
    )
    report = msgspec.structs.replace(make_report(*sides), modules=rows)
    return [row.label if isinstance(row, GapRow) else row.path for row in view_report(report).layers.brief]


def test_blocks_that_were_renamed_alike_take_one_line() -> None:
    assert rename_blocks({number: number for number in range(6)}) == ["(root)", "blocks", "blocks.0.lin", "… 5 more like lin"]
    assert rename_blocks({number: number + 2 for number in range(6)}) == ["(root)", "blocks", "blocks.0.lin", "… 5 more like lin"]


def test_blocks_that_were_renamed_otherwise_are_named_one_by_one() -> None:
    lines = rename_blocks({0: 0, 1: 1, 2: 2, 3: 9, 4: 5, 5: 4})
    assert lines[2:] == ["blocks.0.lin", "blocks.1.lin", "blocks.2.lin", "blocks.3.lin", "blocks.4.lin", "blocks.5.lin"]


def test_figures_are_no_paths() -> None:
    assert make_relative("was a.3.b_7.c; itself: 2.10M FLOPs; eps 1e-05 → 0.001", "x.1.y") == (
        "was a.+2.b_+7.c; itself: 2.10M FLOPs; eps 1e-05 → 0.001"
    )


def test_repeats_in_which_nothing_changed_stay_part_of_a_longer_run() -> None:
    modules = [make_module("", "Net"), make_module("blocks", "ModuleList"), *make_blocks([10] * 6)]
    brief = view_report(make_report(make_profile("b", modules), make_profile("a", modules))).layers.brief
    assert [row.label for row in brief if isinstance(row, GapRow)] == ["… 14 modules unchanged"]
