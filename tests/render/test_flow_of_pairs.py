"""The diagrams draw `Report.flow`: what is drawn as changed is what the comparison says, and nothing else."""

from __future__ import annotations

from collections import Counter

import pytest
from flow_pairs import PAIRS, compare_pair

from archaudit.render.view.flow_diagram import view_flow
from archaudit.render.view.flow_graph import Graph, fold_chains, fold_repeats, read_sides
from archaudit.schema import FlowDiff, Pair, Report

STATES = {"same": "", "resized": "", "rewired": "changed"}


def find_level(report: Report) -> FlowDiff:
    assert report.flow is not None
    return report.flow.detail or report.flow


def fold(report: Report) -> Pair[Graph]:
    profiles = Pair(report.before, report.after)
    assert report.flow is not None
    return Pair(*fold_chains(fold_repeats(read_sides(report.flow, profiles), profiles)))


def test_a_second_skip_connection_is_drawn_as_one_new_operator() -> None:
    flow = view_flow(compare_pair("skip"))
    states = [{box.name: box.state for box in diagram.boxes if box.state} for diagram in flow.diagrams]
    assert states == [
        {"b": "changed", "add": "changed", "head": "changed"},
        {"b": "changed", "add 1": "added", "add 2": "changed", "head": "changed"},
    ]
    names = [[box.name for box in diagram.boxes] for diagram in flow.diagrams]
    edges = [
        {(names[side][edge.source], names[side][edge.target]) for edge in diagram.edges if edge.state}
        for side, diagram in enumerate(flow.diagrams)
    ]
    assert edges == [
        {("a", "b"), ("stem", "add")},
        {("stem", "add 1"), ("a", "add 1"), ("add 1", "b"), ("add 1", "add 2")},
    ]
    assert flow.summary == "6 steps before, 7 after: 1 added, 3 changed"


@pytest.mark.parametrize("name", PAIRS)
def test_a_model_against_itself_is_drawn_without_a_change(name: str) -> None:
    flow = view_flow(compare_pair(name, "same"))
    assert flow.diagrams
    assert {box.state for diagram in flow.diagrams for box in diagram.boxes} == {""}
    assert {edge.state for diagram in flow.diagrams for edge in diagram.edges} == {""}
    assert {line.mark for line in flow.lines} == {""}
    assert flow.summary.endswith(": no change")


@pytest.mark.parametrize("name", PAIRS)
def test_each_part_is_in_one_box_of_its_state(name: str) -> None:
    report = compare_pair(name)
    parts = find_level(report).parts
    for side, graph in enumerate(fold(report)):
        drawn = Counter(number for node in graph.nodes for number in node.parts)
        assert drawn == Counter(
            number for number, part in enumerate(parts) if (part.before, part.after)[side] is not None and part.kind != "output"
        )
        for node in graph.nodes:
            assert {STATES.get(parts[number].change, parts[number].change) for number in node.parts} == {node.state}


@pytest.mark.parametrize("name", PAIRS)
def test_each_edge_is_drawn_in_its_state_or_inside_a_box(name: str) -> None:
    report = compare_pair(name)
    flow = find_level(report)
    for side, graph in enumerate(fold(report)):
        boxes = {
            (flow.parts[number].before, flow.parts[number].after)[side]: place
            for place, node in enumerate(graph.nodes)
            for number in node.parts
        }
        expected = set()
        for edge in flow.edges:
            ends = (edge.before, edge.after)[side]
            if ends is not None and ends[0] in boxes and ends[1] in boxes:
                source, target = boxes[ends[0]], boxes[ends[1]]
                state = edge.change if edge.change in ("added", "removed") else ""
                if source != target:
                    expected.add((source, target, state))
                else:  # a box of added layers may hold added edges; no other box hides a change
                    assert graph.nodes[source].state == state or not state
        assert {tuple(edge) for edge in graph.edges} == expected


@pytest.mark.parametrize("name", PAIRS)
def test_the_diagrams_count_what_the_comparison_counts(name: str) -> None:
    report = compare_pair(name)
    flow = find_level(report)
    view = view_flow(report)
    counts = Counter(part.change for part in flow.parts if part.kind != "output")
    for diagram, one_sided in zip(view.diagrams, ("removed", "added"), strict=True):
        drawn: Counter[str] = Counter()
        for box in diagram.boxes:  # `12 × Layer` and `12 modules` are boxes of several parts
            number = box.type.partition(" ")[0]
            drawn[box.state] += int(number) if number.isdecimal() else 1
        assert drawn[one_sided] == counts[one_sided]
        assert drawn["changed"] == counts["changed"] + counts["rewired"]
        assert drawn[""] == counts["same"] + counts["resized"]
