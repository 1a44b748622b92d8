"""The forward graphs of two models compared: toy profiles written by hand, and the example."""

import msgspec
from factories import make_input, make_module, make_profile, make_rows

from archaudit.diff.flow import diff_flow
from archaudit.schema import Call, FlowNode


def make_flow(*nodes):
    """Nodes as (op or module, inputs, shape): a name with brackets is an operator that the root runs."""
    return tuple(
        FlowNode(
            id=number,
            op="input" if name == "input" else name[:-2] if name.endswith("()") else "call",
            module="" if name == "input" or name.endswith("()") else name,
            inputs=inputs,
            shape=shape,
        )
        for number, (name, inputs, shape) in enumerate(nodes)
    )


def make_model(*nodes, name="model"):
    """A profile of a model with these nodes, which returns the last one."""
    flow = make_flow(*nodes)
    paths = dict.fromkeys(node.module for node in flow if node.module)
    tops = dict.fromkeys(part for path in paths for part in (path.partition(".")[0], path))
    root = make_module(0, "Net", calls=(Call(order=0, inputs=(), outputs=(flow[-1].shape,)),))
    modules = {"": root} | {path: make_module(0) for path in tops}
    return make_profile(modules, name=name, flow=flow, inputs=(make_input(1, 3, 8, 8),))


SHAPE, WIDE = (1, 4, 8, 8), (1, 8, 8, 8)
PLAIN = make_model(("input", (), (1, 3, 8, 8)), ("stem", (0,), SHAPE), ("body", (1,), SHAPE), ("head", (2,), (1, 2)))
SKIPPED = make_model(
    ("input", (), (1, 3, 8, 8)), ("stem", (0,), SHAPE), ("body", (1,), SHAPE), ("add()", (1, 2), SHAPE), ("head", (3,), (1, 2))
)
SAME = make_rows(("", ""), ("stem", "stem"), ("body", "body"), ("head", "head"))


def test_a_model_against_itself_has_only_edges_that_stayed():
    flow = diff_flow(PLAIN, PLAIN, SAME)
    assert [(edge.before, edge.change) for edge in flow.edges] == [
        (("input", "stem"), "same"),
        (("stem", "body"), "same"),
        (("body", "head"), "same"),
        (("head", "output"), "same"),
    ]
    assert flow.sentences == ()


def test_a_module_that_is_no_longer_called_is_not_reported_as_removed():
    bypassed = make_model(("input", (), (1, 3, 8, 8)), ("stem", (0,), SHAPE), ("head", (1,), (1, 2)))
    kept = msgspec.structs.replace(bypassed, modules=(*bypassed.modules, *(each for each in PLAIN.modules if each.path == "body")))
    assert "body is no longer called: input from stem [1, 4, 8, 8], output to head" in diff_flow(PLAIN, kept, SAME).sentences
    assert "body is now called: input from stem [1, 4, 8, 8], output to head" in diff_flow(kept, PLAIN, SAME).sentences
    removed = make_rows(("", ""), ("stem", "stem"), ("head", "head"), ("body", None))
    assert "body is removed: input from stem [1, 4, 8, 8], output to head" in diff_flow(PLAIN, bypassed, removed).sentences


def test_a_new_skip_connection_is_a_new_edge_and_a_sentence():
    flow = diff_flow(PLAIN, SKIPPED, SAME)
    assert {(edge.before, edge.after, edge.change) for edge in flow.edges if edge.change != "same"} == {
        (None, ("stem", "add()"), "added"),
        (None, ("body", "add()"), "added"),
        (None, ("add()", "head"), "added"),
        (("body", "head"), None, "removed"),
    }
    assert flow.sentences == ("head: new input from stem [1, 4, 8, 8]", "add() runs once between modules (before: never)")


def test_swapping_the_sides_mirrors_every_edge():
    mirrored = {"added": "removed", "removed": "added", "same": "same", "resized": "resized"}
    there = {(edge.before, edge.after, edge.change) for edge in diff_flow(PLAIN, SKIPPED, SAME).edges}
    back = {(edge.after, edge.before, mirrored[edge.change]) for edge in diff_flow(SKIPPED, PLAIN, SAME).edges}
    assert there == back
    assert diff_flow(SKIPPED, PLAIN, SAME).sentences[0] == "head: no longer input from stem"


def test_renamed_modules_are_the_same_parts():
    renamed = make_model(("input", (), (1, 3, 8, 8)), ("entry", (0,), SHAPE), ("body", (1,), WIDE), ("head", (2,), (1, 2)))
    flow = diff_flow(PLAIN, renamed, make_rows(("", ""), ("stem", "entry"), ("body", "body"), ("head", "head")))
    assert [edge.change for edge in flow.edges] == ["same", "same", "resized", "same"]
    assert flow.sentences == (
        "body: output [1, 8, 8, 8] instead of [1, 4, 8, 8]",
        "head: input [1, 8, 8, 8] instead of [1, 4, 8, 8]",
    )


def test_layers_that_were_wrapped_into_one_module_are_one_part():
    wrapped = make_model(("input", (), (1, 3, 8, 8)), ("net.0", (0,), SHAPE), ("net.1", (1,), SHAPE), ("head", (2,), (1, 2)))
    matches = make_rows(("", ""), ("stem", "net.0"), ("body", "net.1"), ("head", "head"), (None, "net"))
    flow = diff_flow(PLAIN, wrapped, matches)
    assert [(edge.before, edge.after, edge.change) for edge in flow.edges] == [
        (("input", "stem + body"), ("input", "net"), "same"),
        (("stem + body", "head"), ("net", "head"), "same"),
        (("head", "output"), ("head", "output"), "same"),
    ]
    assert flow.sentences == ()


def test_operators_are_paired_by_their_neighbours():
    before = make_model(
        ("input", (), SHAPE), ("a", (0,), SHAPE), ("b", (0,), SHAPE), ("cat()", (1, 2), WIDE), ("c", (3,), SHAPE), name="before"
    )
    after = make_model(
        ("input", (), SHAPE), ("cat()", (0,), SHAPE), ("a", (1,), SHAPE), ("b", (1,), SHAPE), ("cat()", (2, 3), WIDE), ("c", (4,), SHAPE)
    )
    flow = diff_flow(before, after, make_rows(("", ""), ("a", "a"), ("b", "b"), ("c", "c")))
    pairs = {part.after: part.before for part in flow.parts if part.kind == "operator"}
    assert pairs == {"cat()": None, "cat()#2": "cat()"}


def test_a_split_is_described_and_at_full_depth_every_layer_is_a_part():
    matches = [*make_rows(("", ""), ("stem", "stem")), *make_rows(("body", "body1"), (None, "body2"), changes=("split",), change_id=3)]
    matches += make_rows(("head", "head"))
    after = make_model(
        ("input", (), SHAPE), ("stem.0", (0,), SHAPE), ("body1", (1,), SHAPE), ("body2", (2,), SHAPE), ("head", (3,), (1, 2))
    )
    flow = diff_flow(PLAIN, after, matches)
    assert flow.sentences[0] == "body is split into body1 and body2"
    assert "body2 is added: input from body1 [1, 4, 8, 8], output to head" in flow.sentences
    assert [part.after for part in diff_flow(after, after, matches[:1], depth=2).parts][1] == "stem.0"


def test_constants_are_left_out_and_profiles_without_a_flow_have_no_sentences():
    constant = make_model(
        ("input", (), SHAPE), ("arange()", (), (4,)), ("stem", (0, 1), SHAPE), ("body", (2,), SHAPE), ("head", (3,), (1, 2))
    )
    assert [part.after for part in diff_flow(constant, constant, SAME).parts] == ["input", "stem", "body", "head", "output"]
    empty = make_profile({"stem": 0})
    assert diff_flow(empty, empty, make_rows(("", ""), ("stem", "stem"))).sentences == ()


def test_the_example_changes_as_its_notes_say_about_the_forward_pass():
    from archaudit.align import align
    from archaudit.diff import diff
    from archaudit.load import load_recipe, parse_inputs, parse_reference
    from archaudit.measure.recipe import measure_recipe

    before, after = (
        measure_recipe(
            load_recipe(
                parse_reference(f"archaudit.examples.segmentation.{side}:LightweightSegmentationModel"), parse_inputs(["1x3x512x512"])
            ),
            other_counters=False,
            symbolic=True,
        )
        for side in ("before", "after")
    )
    flow = diff_flow(before, after, diff(before, after, align(before, after)).modules)
    assert flow.symbolic
    text = "\n".join(flow.sentences)
    for sentence in (
        "decoder is split into decoder_stage1 and decoder_stage2",
        "aspp: output [B, 128, H/16, W/16] instead of [B, 256, H/16, W/16]",
        "mid_level_project is added: input from backbone [B, 24, H/8, W/8], output to decoder_stage1",
        "decoder_stage1 (before: decoder): new input from mid_level_project, no longer input from low_level_project",
        "upsample_bilinear2d, cat added",
        "low_level_project: output [B, 32, H/4, W/4] instead of [B, 48, H/4, W/4]",
        "decoder_stage2 is added: input from decoder_stage1 [B, 128, H/8, W/8] and low_level_project [B, 32, H/4, W/4], "
        "output to classifier",
    ):
        assert sentence in text
    # what the notes' own comments say of the forward pass after, line by line
    after_shapes = {edge.after: " ".join(edge.after_shape) for edge in flow.edges if edge.after is not None}
    assert after_shapes["upsample_bilinear2d()", "cat()"] == "B 128 H/8 W/8"
    assert after_shapes["cat()", "decoder_stage1"] == "B 160 H/8 W/8"
    assert after_shapes["upsample_bilinear2d()#2", "cat()#2"] == "B 128 H/4 W/4"
    assert after_shapes["cat()#2", "decoder_stage2"] == "B 160 H/4 W/4"
    assert after_shapes["classifier", "upsample_bilinear2d()#3"] == "B 21 H/4 W/4"


def take(profile, path, *shapes):
    """The same profile, where a module takes inputs of these shapes."""
    calls = (Call(order=1, inputs=shapes, outputs=()),)
    modules = (msgspec.structs.replace(each, calls=calls) if each.path == path else each for each in profile.modules)
    return msgspec.structs.replace(profile, modules=tuple(modules))


def make_pooled(channels, length):
    """A body whose first position alone the head reads: `head(body(stem(x))[:, 0])`."""
    flow = ("input", (), (1, 3, 8, 8)), ("stem", (0,), (1, length, channels)), ("body", (1,), (1, length, channels)), ("head", (2,), (1, 2))
    return make_model(*flow)


def test_a_module_that_takes_a_slice_is_not_reported_to_take_the_whole():
    before, after = (take(make_pooled(8, length), "head", (1, 8)) for length in (197, 50))
    sentences = diff_flow(before, after, SAME).sentences
    assert any(sentence.startswith("body: input [1, 50, 8] instead of [1, 197, 8]") for sentence in sentences)
    assert not any("head: input" in sentence for sentence in sentences)


def test_a_module_that_takes_something_flattened_takes_that():
    before, after = (take(make_pooled(width, 1), "head", (1, width)) for width in (8, 16))
    assert "head: input [1, 16] instead of [1, 8]" in diff_flow(before, after, SAME).sentences


def test_sizes_that_were_dropped_leave_the_others_their_names():
    named = [
        msgspec.structs.replace(
            profile, flow=(*profile.flow[:2], msgspec.structs.replace(profile.flow[2], symbolic=("B", "T", str(width))), *profile.flow[3:])
        )
        for width in (8, 16)
        for profile in (take(make_pooled(width, 5), "head", (1, width)),)
    ]
    assert "head: input [B, 16] instead of [B, 8]" in diff_flow(*named, SAME).sentences


def test_which_of_several_inputs_a_changed_tensor_became_is_not_guessed():
    before, after = (take(make_pooled(8, length), "head", (1, 8), (1, 3)) for length in (197, 50))
    assert not any("head: input" in sentence for sentence in diff_flow(before, after, SAME).sentences)


def test_a_module_called_output_is_a_part_next_to_the_models_output():
    model = make_model(("input", (), SHAPE), ("stem", (0,), SHAPE), ("output", (1,), (1, 2)))
    flow = diff_flow(model, model, make_rows(("", ""), ("stem", "stem"), ("output", "output")))
    assert [(part.kind, part.after) for part in flow.parts] == [
        ("input", "input"), ("module", "stem"), ("module", "output"), ("output", "model output"),
    ]  # fmt: skip
    assert [edge.after for edge in flow.edges] == [("input", "stem"), ("stem", "output"), ("output", "model output")]


def test_a_module_that_changed_inside_is_changed_and_one_with_another_shape_alone_is_resized():
    wider = make_model(("input", (), (1, 3, 8, 8)), ("stem", (0,), WIDE), ("body", (1,), WIDE), ("head", (2,), (1, 2)))
    rows = [*make_rows(("", ""), ("body", "body"), ("head", "head")), *make_rows(("stem", "stem"), changes=("settings",))]
    flow = diff_flow(PLAIN, wider, rows)
    assert {part.after: part.change for part in flow.parts} == {
        "input": "same", "stem": "changed", "body": "resized", "head": "same", "output": "same",
    }  # fmt: skip
