"""The forward graphs' parts and edges in full, for small models whose answers are written out."""

from __future__ import annotations

import msgspec
import pytest
from factories import make_input, make_module, make_profile, make_rows

from archaudit.diff.flow import diff_flow
from archaudit.diff.flow.graph import FlowGraph, build_flow_graph, open_levels
from archaudit.schema import Call, FlowEdgeDiff, FlowNode, FlowPart, ModuleDiff, Profile

Row = tuple[str, tuple[int, ...], tuple[int, ...]]


def make_model(*rows: Row, modules: tuple[str, ...] = (), inputs: int = 1, outputs: tuple[tuple[int, ...], ...] | None = None) -> Profile:
    """Rows are (module, `op()` that the root runs, or `path/op()` that a module with children runs; ids of its inputs; its shape)."""
    flow = []
    for number, (name, sources, shape) in enumerate(rows):
        if name == "input":
            op, path = "input", ""
        elif name.endswith("()"):
            path, _, op = name[:-2].rpartition("/")
        else:
            op, path = "call", name
        flow.append(FlowNode(id=number, op=op, module=path, inputs=sources, shape=shape))
    called = {node.module: node for node in flow if node.op == "call"}
    paths: dict[str, None] = {}
    for path in [*called, *modules]:
        parts = path.split(".")
        paths |= dict.fromkeys(".".join(parts[: place + 1]) for place in range(len(parts)))
    returned = outputs if outputs is not None else (flow[-1].shape or (),)
    records = {path: make_module(0, calls=(Call(order=1, inputs=(), outputs=()),) if path in called else ()) for path in paths}
    root = make_module(0, "Net", calls=(Call(order=0, inputs=(), outputs=returned),))
    return make_profile({"": root} | records, flow=tuple(flow), inputs=tuple(make_input(1, 3, name=str(n)) for n in range(inputs)))


def build_graph(profile: Profile, depth: int | None = None) -> FlowGraph:
    return build_flow_graph(profile, open_levels(profile, depth))


def list_parts(before: Profile, after: Profile, matches: list[ModuleDiff], depth: int | None = None) -> list[tuple[str | None, str | None]]:
    return [(part.before, part.after) for part in diff_flow(before, after, matches, depth).parts]


S, W = (1, 4), (1, 8)
STR_S, STR_W = ("1", "4"), ("1", "8")


def test_every_part_and_edge_of_a_model_that_lost_a_layer_and_got_a_skip() -> None:
    before = make_model(("input", (), S), ("stem", (0,), S), ("old", (1,), S), ("head", (2,), W))
    after = make_model(("input", (), S), ("stem", (0,), S), ("new", (1,), S), ("add()", (1, 2), S), ("top", (3,), W))
    flow = diff_flow(before, after, make_rows(("", ""), ("stem", "stem"), ("old", None), (None, "new"), ("head", "top")))
    assert flow.parts == (
        FlowPart(
            kind="input", before="input", after="input", before_shape=STR_S, after_shape=STR_S, before_nodes=(0, 0), after_nodes=(0, 0)
        ),
        FlowPart(
            kind="module", before="stem", after="stem", before_shape=STR_S, after_shape=STR_S, before_paths=("stem",),
            after_paths=("stem",), before_nodes=(1, 1), after_nodes=(1, 1),
        ),
        FlowPart(kind="module", before=None, after="new", change="added", after_shape=STR_S, after_paths=("new",), after_nodes=(2, 2)),
        FlowPart(kind="operator", before=None, after="add()", change="added", after_shape=STR_S, after_nodes=(3, 3)),
        FlowPart(
            kind="module", before="head", after="top", change="rewired", before_shape=STR_W, after_shape=STR_W, before_paths=("head",),
            after_paths=("top",), before_nodes=(3, 3), after_nodes=(4, 4),
        ),
        FlowPart(kind="output", before="output", after="output"),
        FlowPart(kind="module", before="old", after=None, change="removed", before_shape=STR_S, before_paths=("old",), before_nodes=(2, 2)),
    )  # fmt: skip

    def edge(change: str, before: tuple[str, str] | None, after: tuple[str, str] | None, shape: tuple[str, ...] = STR_S) -> FlowEdgeDiff:
        sides = shape if before else None, shape if after else None
        return FlowEdgeDiff(before=before, after=after, change=change, before_shape=sides[0], after_shape=sides[1])  # type: ignore[arg-type]

    assert flow.edges == (
        edge("same", ("input", "stem"), ("input", "stem")),
        edge("added", None, ("stem", "new")),
        edge("added", None, ("stem", "add()")),
        edge("added", None, ("new", "add()")),
        edge("added", None, ("add()", "top")),
        edge("same", ("head", "output"), ("top", "output"), STR_W),
        edge("removed", ("stem", "old"), None),
        edge("removed", ("old", "head"), None),
    )
    assert not flow.symbolic


def test_a_module_that_stays_but_is_not_called_on_one_side_is_marked_there() -> None:
    called = make_model(("input", (), S), ("stem", (0,), S), ("aux", (1,), S), ("head", (2,), W))
    skipped = make_model(("input", (), S), ("stem", (0,), S), ("head", (1,), W), modules=("helper",))
    matches = make_rows(("", ""), ("stem", "stem"), ("aux", "helper"), ("head", "head"))
    marked = [(part.before, part.after) for part in diff_flow(called, skipped, matches).parts if part.uncalled]
    assert marked == [("aux", None)]
    back = make_rows(("", ""), ("stem", "stem"), ("helper", "aux"), ("head", "head"))
    marked = [(part.before, part.after) for part in diff_flow(skipped, called, back).parts if part.uncalled]
    assert marked == [(None, "aux")]
    # a module without a counterpart is removed, and so is not marked
    removed = make_rows(("", ""), ("stem", "stem"), ("aux", None), (None, "helper"), ("head", "head"))
    assert not any(part.uncalled for part in diff_flow(called, skipped, removed).parts)


def test_a_container_of_which_a_layer_still_runs_is_called() -> None:
    before = make_model(("input", (), S), ("stem", (0,), S), ("body.a", (1,), S), ("head", (2,), W))
    after = make_model(("input", (), S), ("stem", (0,), S), ("head", (1,), W), ("other.body.a", (2,), W), modules=("body",))
    matches = make_rows(("", ""), ("stem", "stem"), ("body", "other.body"), ("body.a", "other.body.a"), ("head", "head"), (None, "body"))
    assert not any(part.uncalled for part in diff_flow(before, after, [*matches, *make_rows((None, "other"))]).parts)


def test_the_parts_of_a_split_share_its_number_on_either_side() -> None:
    before = make_model(("input", (), S), ("stem", (0,), S), ("whole", (1,), S), ("head", (2,), W))
    after = make_model(("input", (), S), ("stem", (0,), S), ("one", (1,), S), ("two", (2,), S), ("head", (3,), W))
    kept = make_rows(("", ""), ("stem", "stem"), ("head", "head"))
    split = make_rows(("whole", "one"), (None, "two"), changes=("split",), change_id=4)
    found = {(part.before, part.after): part.change_id for part in diff_flow(before, after, kept + split).parts}
    assert {pair: number for pair, number in found.items() if number is not None} == {("whole", "one"): 4, (None, "two"): 4}
    merged = make_rows(("one", "whole"), ("two", None), changes=("merged",), change_id=4)
    found = {(part.before, part.after): part.change_id for part in diff_flow(after, before, kept + merged).parts}
    assert {pair: number for pair, number in found.items() if number is not None} == {("one", "whole"): 4, ("two", None): 4}
    # a number alone is no split
    other = make_rows(("whole", "one"), (None, "two"), change_id=4)
    assert all(part.change_id is None for part in diff_flow(before, after, kept + other).parts)


def test_of_two_tensors_between_the_same_parts_those_of_equal_shape_are_one() -> None:
    before = make_model(("input", (), S), ("a.x", (0,), S), ("a.y", (0,), W), ("b", (1, 2), S))
    after = make_model(("input", (), S), ("a.x", (0,), W), ("a.y", (0,), S), ("b", (1, 2), S))
    flow = diff_flow(before, after, make_rows(*((path, path) for path in ("", "a", "a.x", "a.y", "b"))))
    between = [(edge.change, edge.before_shape, edge.after_shape) for edge in flow.edges if edge.after == ("a", "b")]
    assert between == [("same", STR_W, STR_W), ("same", STR_S, STR_S)]
    wider = make_model(("input", (), S), ("a.x", (0,), (1, 9)), ("a.y", (0,), S), ("b", (1, 2), S))
    flow = diff_flow(before, wider, make_rows(*((path, path) for path in ("", "a", "a.x", "a.y", "b"))))
    between = [(edge.change, edge.before_shape, edge.after_shape) for edge in flow.edges if edge.after == ("a", "b")]
    assert between == [("resized", STR_W, ("1", "9")), ("same", STR_S, STR_S)]


def test_the_level_is_the_first_on_which_there_is_more_than_one_part() -> None:
    deep = make_model(("input", (), S), ("net.body.a", (0,), S), ("net.body.b", (1,), S), ("net.body.b/relu()", (2,), S))
    assert list(build_graph(deep).parts) == ["input", "net.body.a", "net.body.b", "output"]
    assert list(build_graph(deep, 1).parts) == ["input", "net", "output"]
    assert list(build_graph(deep, 2).parts) == ["input", "net.body", "output"]
    assert list(build_graph(deep, 9).parts) == ["input", "net.body.a", "net.body.b", "net.body.b.relu()", "output"]
    single = make_model(("input", (), S), ("net.only", (0,), S))
    assert list(build_graph(single).parts) == ["input", "net.only", "output"]


def test_operators_belong_to_the_part_that_runs_them_and_are_numbered_by_module_and_name() -> None:
    model = make_model(
        ("input", (), S),
        ("stem", (0,), S),
        ("neg()", (1,), S),
        ("neg()", (2,), S),
        ("body/add_()", (3,), S),
        ("body.fc", (4,), S),
        ("head", (5,), W),
    )
    assert list(build_graph(model, 1).parts) == ["input", "stem", "neg()", "neg()#2", "body", "head", "output"]
    assert list(build_graph(model, 2).parts) == ["input", "stem", "neg()", "neg()#2", "body.add()", "body.fc", "head", "output"]
    assert {path: build_graph(model, 1).holders[path] for path in ("stem", "body", "body.fc", "")} == {
        "stem": "stem",
        "body": "body",
        "body.fc": "body",
        "": "model",
    }


def test_several_inputs_are_named_and_paired_by_their_names_or_else_their_places() -> None:
    rows: tuple[Row, ...] = (("input", (), S), ("input", (), W), ("a", (0,), S), ("b", (1, 2), S))
    two = make_model(*rows, inputs=2)
    assert list(build_graph(two).parts)[:2] == ["input 0", "input 1"]
    one = make_model(("input", (), S), ("a", (0,), S), ("b", (1,), S))
    paired = list_parts(one, two, make_rows(("", ""), ("a", "a"), ("b", "b")))
    assert paired[:2] == [("input", "input 0"), (None, "input 1")]
    assert list_parts(two, two, make_rows(("", ""), ("a", "a"), ("b", "b")))[:2] == [("input 0", "input 0"), ("input 1", "input 1")]


def test_the_output_reads_what_the_model_returns_and_not_what_is_dropped() -> None:
    dropped = make_model(("input", (), S), ("a", (0,), S), ("aux", (1,), (7, 7)), ("b", (1,), W), outputs=(W,))
    assert [edge.source for edge in build_graph(dropped).edges if edge.target == "output"] == ["b"]
    unknown = make_model(("input", (), S), ("a", (0,), S), ("aux", (1,), (7, 7)), ("b", (1,), W), outputs=((5, 5),))
    assert [edge.source for edge in build_graph(unknown).edges if edge.target == "output"] == ["aux", "b"]


def test_a_layer_that_became_a_part_of_its_own_is_paired_with_the_part_that_it_went_into() -> None:
    before = make_model(("input", (), S), ("stem", (0,), S), ("fc", (1,), S), ("head", (2,), W))
    after = make_model(("input", (), S), ("stem", (0,), S), ("mlp.fc", (1,), S), ("mlp.act", (2,), S), ("head", (3,), W))
    matches = make_rows(("", ""), ("stem", "stem"), ("fc", "mlp.fc"), ("head", "head"), (None, "mlp"), (None, "mlp.act"))
    assert ("fc", "mlp") in list_parts(before, after, matches)
    # where the container itself was something before, it stays that
    other = make_model(("input", (), S), ("stem", (0,), S), ("fc", (1,), S), ("old.act", (2,), S), ("head", (3,), W))
    kept = make_rows(("", ""), ("stem", "stem"), ("fc", "mlp.fc"), ("old", "mlp"), ("old.act", "mlp.act"), ("head", "head"))
    parts = list_parts(other, after, kept)
    assert ("old", "mlp") in parts
    assert ("fc", None) in parts


def test_modules_that_were_put_into_one_are_one_part_unless_it_was_there_or_they_are_all_there_is() -> None:
    before = make_model(("input", (), S), ("a", (0,), S), ("b", (1,), S), ("c", (2,), W))
    after = make_model(("input", (), S), ("w.a", (0,), S), ("w.b", (1,), S), ("c", (2,), W))
    matches = make_rows(("", ""), ("a", "w.a"), ("b", "w.b"), ("c", "c"), (None, "w"))
    assert list_parts(before, after, matches)[1:3] == [("a + b", "w"), ("c", "c")]
    back = make_rows(("", ""), ("w.a", "a"), ("w.b", "b"), ("c", "c"), ("w", None))
    assert list_parts(after, before, back)[1:3] == [("w", "a + b"), ("c", "c")]
    whole = make_model(("input", (), S), ("w.a", (0,), S), ("w.b", (1,), S), ("w.c", (2,), W))
    all_in = make_rows(("", ""), ("a", "w.a"), ("b", "w.b"), ("c", "w.c"), (None, "w"))
    assert not any("+" in (one or "") for one, _ in list_parts(before, whole, all_in, depth=1))


@pytest.mark.parametrize(("symbolic", "shapes"), [(True, (("B", "8"), ("B", "9"))), (False, (("1", "8"), ("1", "9")))])
def test_shapes_are_in_terms_of_the_input_only_where_both_sides_know_them(symbolic: bool, shapes: tuple[object, object]) -> None:
    sides = []
    for width, known in ((8, True), (9, symbolic)):
        model = make_model(("input", (), S), ("a", (0,), (1, width)), ("b", (1,), S))
        named = [msgspec.structs.replace(node, symbolic=("B", str(node.shape[1]))) for node in model.flow if node.shape]
        sides.append(msgspec.structs.replace(model, flow=tuple(named)) if known else model)
    flow = diff_flow(*sides, make_rows(("", ""), ("a", "a"), ("b", "b")))
    assert [(edge.before_shape, edge.after_shape) for edge in flow.edges if edge.after == ("a", "b")] == [shapes]
    assert flow.symbolic == symbolic


def test_operators_that_part_and_meet_again_hide_none_of_the_modules_behind_them() -> None:
    before = make_model(("input", (), S), ("stem", (0,), S), ("other", (0,), S))
    after = make_model(
        ("input", (), S), ("stem", (0,), S), ("other", (0,), S), ("neg()", (1,), S), ("relu()", (3,), S), ("exp()", (3,), S),
        ("cat()", (4, 5, 2), S), ("top", (6,), S),
    )  # fmt: skip
    matches = make_rows(("", ""), ("stem", "stem"), ("other", "other"), (None, "top"))
    (sentence,) = [each for each in diff_flow(before, after, matches).sentences if each.startswith("top ")]
    assert "stem" in sentence
    assert "other" in sentence


def test_operators_in_a_row_are_paired_by_the_modules_behind_the_last_and_before_the_first_one() -> None:
    def run(first: str, last: str) -> Profile:
        return make_model(
            ("input", (), S), ("a", (0,), S), ("neg()", (1,), S), ("relu()", (2,), S), (first, (3,), S), ("neg()", (1,), S),
            ("relu()", (5,), S), (last, (6,), S), outputs=((9, 9),),
        )  # fmt: skip

    matches = make_rows(("", ""), ("a", "a"), ("b", "b"), ("c", "c"))
    pairs = dict(list_parts(run("b", "c"), run("c", "b"), matches))
    assert (pairs["neg()"], pairs["neg()#2"]) == ("neg()#2", "neg()")
    assert (pairs["relu()"], pairs["relu()#2"]) == ("relu()#2", "relu()")

    def join(first: str, last: str) -> Profile:
        return make_model(
            ("input", (), S), (first, (0,), S), ("neg()", (1,), S), ("relu()", (2,), S), (last, (0,), S), ("neg()", (4,), S),
            ("relu()", (5,), S), ("c", (3, 6), S),
        )  # fmt: skip

    pairs = dict(list_parts(join("a", "b"), join("b", "a"), matches))
    assert (pairs["neg()"], pairs["relu()"]) == ("neg()#2", "relu()#2")


def test_parts_that_become_one_have_the_shape_of_the_last() -> None:
    graph = build_graph(make_model(("input", (), S), ("a", (0,), W), ("b", (1,), S)))
    labels = [label for label, part in graph.parts.items() if part.kind == "module"]
    shapes = [graph.parts[label].shape for label in labels]
    assert shapes[0] != shapes[1]
    merged = graph.contract(labels)
    assert graph.parts[merged].shape == shapes[1]
