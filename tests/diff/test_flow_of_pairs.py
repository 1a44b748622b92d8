"""Properties of the comparison of forward graphs, on a toy, the example and pairs of torchvision models."""

from __future__ import annotations

import pytest
from flow_pairs import PAIRS, compare_pair, measure_pair

from archaudit.schema import FlowDiff

MIRRORED = {"added": "removed", "removed": "added"}


def list_levels(name: str, kind: str = "pair") -> list[FlowDiff]:
    flow = compare_pair(name, kind).flow
    assert flow is not None
    return [flow] if flow.detail is None else [flow, flow.detail]


def test_a_second_skip_connection_is_one_new_operator_with_its_edges() -> None:
    (flow,) = list_levels("skip")
    changed = {(part.before, part.after): part.change for part in flow.parts if part.change != "same"}
    assert changed == {
        (None, "add()"): "added",
        ("add()", "add()#2"): "rewired",
        ("b", "b"): "changed",
        ("head", "head"): "changed",
    }
    assert {edge.after for edge in flow.edges if edge.change == "added"} == {
        ("stem", "add()"), ("a", "add()"), ("add()", "b"), ("add()", "add()#2"),
    }  # fmt: skip
    assert {edge.before for edge in flow.edges if edge.change == "removed"} == {("a", "b"), ("stem", "add()")}
    assert {edge.after for edge in flow.edges if edge.change == "same"} == {
        ("input", "stem"), ("stem", "a"), ("b", "add()#2"), ("add()#2", "head"), ("head", "output"),
    }  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
def test_a_model_against_itself_has_no_change(name: str) -> None:
    for flow in list_levels(name, "same"):
        assert {part.change for part in flow.parts} == {"same"}
        assert {edge.change for edge in flow.edges} == {"same"}
        assert all(part.before == part.after for part in flow.parts)
        assert flow.sentences == ()


@pytest.mark.parametrize("name", PAIRS)
def test_swapping_the_sides_mirrors_every_part_and_edge(name: str) -> None:
    for there, back in zip(list_levels(name), list_levels(name, "swapped"), strict=True):
        assert {(part.before, part.after, part.change) for part in there.parts} == {
            (part.after, part.before, MIRRORED.get(part.change, part.change)) for part in back.parts
        }
        assert sorted((str(edge.before), str(edge.after), edge.change) for edge in there.edges) == sorted(
            (str(edge.after), str(edge.before), MIRRORED.get(edge.change, edge.change)) for edge in back.edges
        )


@pytest.mark.parametrize("name", PAIRS)
def test_an_operator_is_paired_alike_at_both_levels(name: str) -> None:
    levels = list_levels(name)
    coarse, fine = levels[0], levels[-1]
    pairs = {part.before_nodes: part.after_nodes for part in fine.parts if part.kind == "operator"}
    for part in coarse.parts:
        if part.kind == "operator" and part.before_nodes and part.after_nodes:
            assert pairs[part.before_nodes] == part.after_nodes


@pytest.mark.parametrize("name", PAIRS)
def test_every_module_that_runs_is_in_one_part(name: str) -> None:
    for flow in list_levels(name):
        for side, profile in enumerate(measure_pair(name)):
            held = [path for part in flow.parts for path in (part.before_paths, part.after_paths)[side]]
            assert len(held) == len(set(held))
            called = {node.module for node in profile.flow if node.op == "call"}
            assert all(sum(path == top or path.startswith(f"{top}.") for top in held) == 1 for path in called)
