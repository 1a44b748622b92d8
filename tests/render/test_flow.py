"""The data flow of both sides at a depth that can be read, and what became of each step."""

from __future__ import annotations

import msgspec
import pytest
from render.synthetic import make_cost, make_flow, make_module, make_profile, make_report, make_segmentation_report

from archaudit.align import align
from archaudit.diff import diff
from archaudit.render import diagram as diagrams
from archaudit.render.diagram import place_diagram
from archaudit.render.view.drawing_records import Flow
from archaudit.render.view.flow_diagram import view_flow, view_profile_flow
from archaudit.schema import Profile, decode_profile, encode


def find_states(flow: Flow, side: int) -> dict[str, str]:
    return {box.name: box.state for box in flow.diagrams[side].boxes}


def test_a_new_step_is_added_and_the_step_after_it_is_changed() -> None:
    flow = view_flow(make_segmentation_report())
    assert find_states(flow, 1)["cat"] == ""
    assert find_states(flow, 1)["decoder_stage1"] == "added"
    assert find_states(flow, 0)["decoder"] == "removed"
    assert find_states(flow, 1)["classifier"] == "changed"
    assert find_states(flow, 1)["backbone"] == ""


def test_both_passes_are_in_two_columns() -> None:
    lines = [(line.mark, line.before, line.after) for line in view_flow(make_segmentation_report()).lines]
    assert ("", "backbone(input) → 1×8×16×16", "backbone(input) → 1×8×16×16") in lines
    assert ("-", "decoder(cat) → 1×256×128×128", "") in lines
    assert ("+", "", "decoder_stage1(cat) → 1×128×64×64") in lines


def test_a_model_against_itself_changes_nothing() -> None:
    before = make_segmentation_report().before
    flow = view_flow(make_report(before, before))
    assert {line.mark for line in flow.lines} == {""}
    assert {box.state for diagram in flow.diagrams for box in diagram.boxes} == {""}
    assert {edge.state for diagram in flow.diagrams for edge in diagram.edges} == {""}


def test_a_step_that_changed_in_itself_alone_says_how() -> None:
    before = make_segmentation_report().before
    report = make_report(before, before)
    rows = tuple(msgspec.structs.replace(row, changes=("frozen",)) if row.after_path == "classifier" else row for row in report.modules)
    (line,) = [line for line in view_flow(make_report(before, before, modules=rows)).lines if line.mark]
    assert (line.mark, line.after) == ("~", f"{line.before} (frozen)")


def make_stack(layers: int, wrapped: str = "model.layers") -> Profile:
    """One module that holds a chain of like layers."""
    modules = [make_module("", "Net"), make_module("model", "Model"), make_module(wrapped, "Stack", shape=None)]
    modules += [make_module(f"{wrapped}.{number}", "Layer", make_cost(100, 100)) for number in range(layers)]
    steps = [("input", "", ()), *(("call", f"{wrapped}.{number}", (number,)) for number in range(layers))]
    return make_profile("stack", modules, flow=make_flow(*steps))


def test_a_wrapper_is_opened_and_like_layers_are_one_box() -> None:
    (diagram,) = view_profile_flow(make_stack(12)).diagrams
    assert [(box.name, box.type) for box in diagram.boxes] == [("input", ""), ("model.layers.0 … 11", "12 × Layer")]


def test_many_steps_next_to_each_other_are_drawn_as_few_boxes_that_open() -> None:
    modules = [make_module("", "Net"), *(make_module(f"m{number}", f"T{number}", make_cost(10)) for number in range(80))]
    steps = [("input", "", ()), *(("call", f"m{number}", (0,)) for number in range(80))]
    flow = view_profile_flow(make_profile("wide", modules, flow=make_flow(*steps)))
    (diagram,) = flow.diagrams
    assert [(box.name, box.type) for box in diagram.boxes[:2]] == [("input", ""), ("m0 … m2", "3 modules")]
    assert len(diagram.boxes) == 1 + 27  # 80 in threes
    inside = [box.name for each in diagram.boxes[1:] for box in flow.insides[each.inside].boxes]
    assert inside == [f"m{number}" for number in range(80)]


def make_chain(types: list[str]) -> Profile:
    modules = [make_module("", "Net"), *(make_module(f"m{place}", name, make_cost(10)) for place, name in enumerate(types))]
    steps = [("input", "", ()), *(("call", f"m{place}", (place,)) for place in range(len(types)))]
    return make_profile("chain", modules, flow=make_flow(*steps))


@pytest.mark.parametrize("readers", [1, 2])
def test_of_three_thousand_steps_those_that_changed_have_boxes_of_their_own(readers: int) -> None:
    """Two of 3,000 layers, each of another type, change. With two readers each, nothing is a chain."""
    types = [f"T{place}" for place in range(3_000)]
    chain = make_chain(types)
    if readers == 2:
        steps = [("input", "", ()), *(("call", f"m{place}", tuple(range(max(0, place - 1), place + 1))) for place in range(3_000))]
        chain = msgspec.structs.replace(chain, flow=make_flow(*steps))
    rows = tuple(
        msgspec.structs.replace(row, changes=("settings",)) if row.after_path in ("m1500", "m2900") else row
        for row in make_report(chain, chain).modules
    )
    flow = view_flow(make_report(chain, chain, modules=rows))
    for diagram in flow.diagrams:
        names = [box.name for box in diagram.boxes]
        assert [box.name for box in diagram.boxes if box.state] == ["m1500", "m2900"]
        assert len(names) <= 20
        assert {edge.state for edge in diagram.edges} == {""}
    assert [box.name for box in flow.diagrams[0].boxes] == [box.name for box in flow.diagrams[1].boxes]


def test_a_long_chain_that_did_not_change_is_drawn_together() -> None:
    modules = [make_module("", "Net"), *(make_module(f"m{number}", f"T{number}", make_cost(10)) for number in range(80))]
    steps = [("input", "", ()), *(("call", f"m{number}", (number,)) for number in range(80))]
    (diagram,) = view_profile_flow(make_profile("long", modules, flow=make_flow(*steps))).diagrams
    assert [(box.name, box.type) for box in diagram.boxes] == [("input", ""), ("m0 … m79", "80 modules")]


def test_a_missing_flow_gives_a_message() -> None:
    report = make_segmentation_report()
    without = msgspec.structs.replace(report, before=msgspec.structs.replace(report.before, flow=()))
    assert view_flow(without).message == "The data flow was not recorded, so there is nothing to draw."


# --- layout -----------------------------------------------------------------------------------------------------------


def test_boxes_do_not_overlap_and_flow_downwards() -> None:
    diagram = view_flow(make_segmentation_report()).diagrams[1]
    placed = place_diagram(diagram)
    assert placed is not None
    boxes = placed.boxes
    assert [each.box for each in boxes] == list(diagram.boxes)
    assert all(boxes[edge.source].y + boxes[edge.source].height < boxes[edge.target].y for edge in diagram.edges)
    apart = [
        one.x + one.width <= other.x or other.x + other.width <= one.x or one.y + one.height <= other.y or other.y + other.height <= one.y
        for place, one in enumerate(boxes)
        for other in boxes[place + 1 :]
    ]
    assert all(apart)
    assert placed == place_diagram(diagram)


def test_a_missing_layout_program_gives_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from archaudit.render import FORMATS

    monkeypatch.setattr(diagrams, "_find_program", lambda: None)
    text = FORMATS["html"](make_segmentation_report())
    assert "neither the package graphviz-pure nor Graphviz is installed" in text
    assert '<svg class="graph"' not in text


def test_layers_that_run_in_another_order_are_not_named_as_a_range() -> None:
    stack = make_stack(4)
    order = (1, 0, 2, 3)
    steps = [("input", "", ()), *(("call", f"model.layers.{number}", (place,)) for place, number in enumerate(order))]
    (diagram,) = view_profile_flow(msgspec.structs.replace(stack, flow=make_flow(*steps))).diagrams
    assert [box.name for box in diagram.boxes] == ["input", "model.layers.1, 0, 2, 3"]


def test_a_layer_that_is_passed_over_is_not_in_the_range() -> None:
    steps = [("input", "", ()), *(("call", f"model.layers.{number}", (place,)) for place, number in enumerate((0, 2, 3, 4, 5, 6, 7, 8)))]
    (diagram,) = view_profile_flow(msgspec.structs.replace(make_stack(9), flow=make_flow(*steps))).diagrams
    assert [box.name for box in diagram.boxes] == ["input", "model.layers.0, 2, 3, 4, 5, 6 and 2 more"]


def test_a_run_that_was_renamed_is_named_as_a_run_on_both_sides() -> None:
    before = make_stack(4)
    after = decode_profile(encode(make_stack(4, "model.blocks")).replace(b'"Layer"', b'"Block"'), "after")
    found = diff(before, after, align(before, after))
    report = make_report(before, after, modules=found.modules)
    boxes = [{box.name: box.change for box in diagram.boxes} for diagram in view_flow(report).diagrams]
    assert boxes[0]["model.layers.0 … 3"] == "becomes model.blocks.0 … 3"
    assert boxes[1]["model.blocks.0 … 3"] == "was model.layers.0 … 3"


def run_layers(order: tuple[int, ...]) -> Profile:
    """The stack of layers, run one after the other in this order."""
    steps = [("input", "", ()), *(("call", f"model.layers.{number}", (place,)) for place, number in enumerate(order))]
    return msgspec.structs.replace(make_stack(len(order)), flow=make_flow(*steps))


def test_a_run_of_layers_hides_no_changed_connection() -> None:
    swapped = view_flow(make_report(run_layers((0, 1, 2, 3, 4, 5)), run_layers((1, 0, 2, 3, 4, 5))))
    names = [[box.name for box in diagram.boxes] for diagram in swapped.diagrams]
    changed = [
        {(names[side][edge.source], names[side][edge.target]) for edge in diagram.edges if edge.state}
        for side, diagram in enumerate(swapped.diagrams)
    ]
    # layers 2 to 5 run in the same order; layer 2 is apart, since its input comes from another layer
    first, last = ("model.layers.0", "model.layers.1"), "model.layers.2"
    assert changed == [
        {("input", first[0]), first, (first[1], last)},
        {("input", first[1]), first[::-1], (first[0], last)},
    ]
    assert names[0][-1] == names[1][-1] == "model.layers.3 … 5"


def test_a_run_is_folded_on_both_sides_or_on_none() -> None:
    shorter = view_flow(make_report(run_layers((0, 1, 2)), run_layers((0, 1, 2, 3))))
    names = [[box.name for box in diagram.boxes] for diagram in shorter.diagrams]
    assert names == [["input", "model.layers.0 … 2"], ["input", "model.layers.0 … 2", "model.layers.3"]]
    # after, two layers are left: not enough for a run, so before has none of them in one either
    removed = view_flow(make_report(run_layers((0, 1, 2, 3, 4)), run_layers((0, 1))))
    names = [[box.name for box in diagram.boxes] for diagram in removed.diagrams]
    assert names == [
        ["input", "model.layers.0", "model.layers.1", "model.layers.2 … 4"],
        ["input", "model.layers.0", "model.layers.1"],
    ]
    assert removed.summary == "6 steps before, 3 after: 3 removed"
