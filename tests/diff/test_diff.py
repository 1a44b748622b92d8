import msgspec
import pytest
from factories import draw_profiles, make_cost, make_module, make_profile, make_tensor
from hypothesis import given

from archaudit.align import align
from archaudit.diff import Section, diff
from archaudit.errors import ArchauditError, ConfigError
from archaudit.metrics.catalog import METRICS
from archaudit.schema import Call, Cost, Diff, Match, ModuleDiff, ModuleRecord, Profile, sum_costs


def compare(before: Profile, after: Profile, *sections: Section) -> Diff:
    return diff(before, after, align(before, after), sections)


def compare_one(before: ModuleRecord, after: ModuleRecord) -> ModuleDiff:
    return compare(make_profile({"m": before}), make_profile({"m": after})).modules[1]


# The decoder of the toy: a dense 3x3 convolution from 4 to 2 channels has 4*2*9 = 72 weights, its norm 2+2; depthwise separable it has
# 4*9 = 36 and 4*2 = 8. On a 10x10 map a weight is used 100 times.
DENSE = make_module(
    make_cost(72, 7200), "Conv2d", settings={"groups": 1, "kernel_size": [3, 3]}, tensors=(make_tensor("weight", (2, 4, 3, 3)),)
)
NORM = make_module(make_cost(4, buffers=5), "BatchNorm2d")
DEPTHWISE = make_module(make_cost(36, 3600), "Conv2d", settings={"groups": 4}, tensors=(make_tensor("weight", (4, 1, 3, 3)),))
POINTWISE = make_module(make_cost(8, 800), "Conv2d", tensors=(make_tensor("weight", (2, 4, 1, 1)),))
BEFORE = make_profile({"backbone": 100, "decoder": 0, "decoder.0": DENSE, "decoder.1": NORM, "head": 6}, name="before")
AFTER = make_profile({"backbone": 100, "stage": 0, "stage.dw": DEPTHWISE, "stage.pw": POINTWISE, "stage.bn": NORM, "head": 3}, name="after")


def test_rows_carry_what_was_taken_out_and_put_in_and_sum_to_the_delta() -> None:
    result = compare(BEFORE, AFTER)
    rows = {row.before_path if row.after_path is None else row.after_path: row for row in result.modules}
    assert {path: (row.changes, row.own_delta.params, row.total_delta.params) for path, row in rows.items()} == {
        "": (("same",), 0, -31),
        "backbone": (("same",), 0, 0),
        "stage": (("renamed",), 0, -28),
        "stage.dw": (("settings", "resized", "renamed", "split"), -36, -36),
        "stage.pw": (("added", "split"), 8, 8),
        "stage.bn": (("renamed",), 0, 0),
        "head": (("same",), -3, -3),
    }
    assert (result.delta.params, result.delta.macs, result.delta.flops, result.delta.buffers) == (-31, -2800, -5600, 0)


def test_changed_settings_are_named_with_both_values_although_they_cost_nothing() -> None:
    row = compare_one(
        make_module(0, "Dropout", settings={"p": 0.3, "inplace": False}), make_module(0, "Dropout", settings={"p": 0.1, "inplace": False})
    )
    assert (row.changes, row.settings_changed, row.own_delta) == (("settings",), {"p": (0.3, 0.1)}, Cost())


def test_a_setting_that_one_side_lacks_is_none_there() -> None:
    assert compare_one(make_module(settings={"a": 1}), make_module(settings={"b": 2})).settings_changed == {"a": (1, None), "b": (None, 2)}


def test_a_setting_that_is_not_a_number_on_both_sides_did_not_change() -> None:
    before, after = ({"fill": float(text), "p": p} for text, p in (("nan", 0.3), ("NaN", 0.1)))
    assert compare_one(make_module(settings=before), make_module(settings=after)).settings_changed == {"p": (0.3, 0.1)}
    alone = compare_one(make_module(settings={"fill": float("nan")}), make_module(settings={"fill": float("nan")}))
    assert (alone.changes, alone.settings_changed) == (("same",), {})


def test_several_changes_at_once() -> None:
    before = make_module(8, settings={"out": 4}, tensors=(make_tensor("weight", (4, 2)), make_tensor("bias", (4,))))
    after = make_module(
        6, settings={"out": 3}, tensors=(make_tensor("weight", (3, 2), trainable=False), make_tensor("bias", (4,), dtype="float16"))
    )
    assert compare_one(before, after).changes == ("settings", "resized", "dtype", "frozen")
    assert compare_one(after, before).changes == ("settings", "resized", "dtype", "unfrozen")


def test_a_lost_bias_is_resized() -> None:
    weight, bias = make_tensor("weight", (4, 2)), make_tensor("bias", (4,))
    assert compare_one(make_module(12, tensors=(weight, bias)), make_module(8, tensors=(weight,))).changes == ("resized",)


def test_another_type_is_replaced_and_compared_only_in_what_both_have() -> None:
    before = make_module(
        4, "Conv2d", settings={"stride": 1, "bias": True}, tensors=(make_tensor("weight", (2, 2)), make_tensor("bias", (2,)))
    )
    after = make_module(4, "Linear", settings={"in_features": 2, "bias": False}, tensors=(make_tensor("weight", (2, 2)),))
    row = compare_one(before, after)
    assert (row.changes, row.settings_changed, row.confidence) == (("replaced", "settings"), {"bias": (True, False)}, 0.5)


def make_tied(owner: str, other: str) -> Profile:
    """An embedding and a head of one weight, which the first of them owns."""
    weights = {owner: make_tensor("weight", (4, 2)), other: make_tensor("weight", (4, 2), tied_to=f"{owner}.weight")}
    types = ("Linear", "Embedding")
    return make_profile({path: make_module(8 if path == owner else 0, types["emb" in path], tensors=(weights[path],)) for path in weights})


def test_a_tie_to_a_module_that_was_renamed_is_the_same_tie() -> None:
    matches = [("", ""), ("emb", "tok_emb"), ("head", "head")]
    pairs = tuple(Match(before_path=one, after_path=other, confidence=1.0, reason="by hand") for one, other in matches)
    rows = diff(make_tied("emb", "head"), make_tied("tok_emb", "head"), pairs).modules
    assert {row.after_path: row.changes for row in rows} == {"": ("same",), "tok_emb": ("same",), "head": ("same",)}


def test_a_tie_is_the_same_whichever_module_comes_first() -> None:
    matches = [("", ""), ("emb", "emb"), ("head", "head")]
    pairs = tuple(Match(before_path=one, after_path=other, confidence=1.0, reason="by hand") for one, other in matches)
    rows = diff(make_tied("emb", "head"), make_tied("head", "emb"), pairs).modules
    assert {row.after_path: row.changes for row in rows} == {"": ("same",), "emb": ("same",), "head": ("same",)}


@pytest.mark.parametrize(
    ("tied_before", "tied_after", "changes"),
    [
        (None, "emb.weight", ("tied",)),
        ("emb.weight", None, ("untied",)),
        ("emb.weight", "other.weight", ("tied", "untied")),
        ("emb.weight", "emb.weight", ("same",)),
    ],
)
def test_ties(tied_before: str | None, tied_after: str | None, changes: tuple[str, ...]) -> None:
    before, after = (make_module(tensors=(make_tensor("weight", (2,), tied_to=tied_to),)) for tied_to in (tied_before, tied_after))
    assert compare_one(before, after).changes == changes


def test_a_layer_that_costs_more_because_its_input_grew_is_same_and_says_so() -> None:
    before = make_module(make_cost(4, 100), calls=(Call(order=1, inputs=((1, 2),), outputs=((1, 2),)),))
    after = make_module(make_cost(4, 200), calls=(Call(order=1, inputs=((2, 2),), outputs=((2, 2),)),))
    row = compare_one(before, after)
    assert (row.changes, row.own_delta.macs) == (("same",), 100)
    assert (row.cost_change, row.reason) == ("calls", "same path; called with other shapes, or another number of times")
    forward = compare_one(make_module(make_cost(0, 1)), make_module(make_cost(0, 2)))
    assert (forward.changes, forward.cost_change) == (("same",), "operators")
    assert forward.reason == "same path; its own operators have another cost"


def test_flops_are_complete_only_when_both_sides_are() -> None:
    incomplete = make_profile({"m": make_module(flops_complete=False)})
    assert compare(BEFORE, AFTER).flops_complete
    assert not compare(incomplete, AFTER).flops_complete
    assert not compare(BEFORE, incomplete).flops_complete


# --- groups


def test_sections_and_everything_else_partition_both_models() -> None:
    result = compare(
        BEFORE,
        AFTER,
        ("backbone", ["backbone"], ["backbone"]),
        ("decoder", ["decoder.0", "decoder.1"], ["stage"]),
        ("head", ["head"], ["head"]),
    )
    assert [
        (group.name, group.before_paths, group.after_paths, group.before.params, group.after.params, group.delta.params)
        for group in result.groups
    ] == [
        ("backbone", ("backbone",), ("backbone",), 100, 100, 0),
        ("decoder", ("decoder.0", "decoder.1"), ("stage",), 76, 48, -28),
        ("head", ("head",), ("head",), 6, 3, -3),
        ("everything else", (), (), 0, 0, 0),
    ]


def test_a_section_may_have_nothing_on_one_side() -> None:
    group = compare(BEFORE, AFTER, ("stage", [], ["stage.*"])).groups[0]
    assert (group.before_paths, group.after_paths) == ((), ("stage.dw", "stage.pw", "stage.bn"))
    assert (group.before, group.after, group.delta) == (Cost(), AFTER.modules[2].total, AFTER.modules[2].total)


def test_everything_else_is_named_by_whole_subtrees_and_by_containers_that_cost_something_themselves() -> None:
    profile = make_profile({"": make_cost(0, moved_bytes=7), "a": 0, "a.x": 1, "a.y": 2, "b": 0, "b.x": 3})
    groups = compare(profile, profile, ("section", ["a.x"], ["a.x"])).groups
    assert (groups[1].name, groups[1].before_paths, groups[1].before.params) == ("everything else", ("", "a.y", "b"), 5)


def test_a_section_of_the_whole_model_leaves_nothing_else() -> None:
    groups = compare(BEFORE, AFTER, ("all", [""], [""])).groups
    assert [(group.name, group.before_paths, group.after_paths) for group in groups] == [("all", ("",), ("",))]


def test_without_sections_the_groups_are_found() -> None:
    groups = compare(BEFORE, AFTER).groups
    assert [(group.name, group.before_paths, group.after_paths, group.delta.params) for group in groups] == [
        ("backbone", ("backbone",), ("backbone",), 0),
        ("decoder → stage", ("decoder",), ("stage",), -28),
        ("head", ("head",), ("head",), -3),
        ("everything else", (), (), 0),
    ]


def test_a_model_without_parts_has_no_groups() -> None:
    assert compare(make_profile({}), make_profile({})).groups == ()


def test_a_module_that_two_sections_claim_is_an_error_naming_them() -> None:
    with pytest.raises(ConfigError, match=r"sections 'all' and 'first' both claim stage\.dw of after"):
        compare(BEFORE, AFTER, ("all", ["decoder"], ["stage"]), ("first", [], ["stage.d*"]))
    with pytest.raises(ConfigError, match="both claim the root module of before"):
        compare(BEFORE, AFTER, ("one", [""], []), ("two", [""], []))


def test_a_pattern_that_matches_nothing_is_an_error_naming_near_paths_though_another_pattern_matches() -> None:
    with pytest.raises(ConfigError) as caught:
        compare(BEFORE, AFTER, ("decoder", ["backbone", "decodr.0"], ["stage"]))
    assert caught.value.message == "section 'decoder': no module of before matches 'decodr.0'"
    assert "decoder.0" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="no module of after matches '%%'\nThe paths are those"):
        compare(BEFORE, AFTER, ("odd", ["backbone"], ["%%"]))


# --- what may not be


def test_a_profile_that_does_not_add_up_is_an_error() -> None:
    edited = msgspec.structs.replace(AFTER, totals=AFTER.totals + make_cost(1))
    with pytest.raises(ArchauditError, match="profile of after does not add up: its modules have 151 params, its totals say 152"):
        compare(BEFORE, edited)


@pytest.mark.parametrize("matches", [[], [("", ""), ("", None)], [("", ""), ("a", None)]])
def test_matches_that_do_not_cover_each_module_once_are_refused(matches: list[tuple[str, str | None]]) -> None:
    profile = make_profile({})
    records = [Match(before_path=before, after_path=after, confidence=1.0, reason="") for before, after in matches]
    with pytest.raises(AssertionError, match="exactly once"):
        diff(profile, profile, records, [])


# --- properties

MIRRORED = {"added": "removed", "removed": "added", "tied": "untied", "untied": "tied", "frozen": "unfrozen", "unfrozen": "frozen"} | {
    "wrapped": "unwrapped",
    "unwrapped": "wrapped",
    "split": "merged",
    "merged": "split",
}


@given(draw_profiles())
def test_a_profile_against_itself_is_all_same_and_costs_nothing(profile: Profile) -> None:
    result = compare(profile, profile)
    assert result.delta == Cost()
    assert all(
        (row.changes, row.own_delta, row.total_delta, row.settings_changed) == (("same",), Cost(), Cost(), {}) for row in result.modules
    )


@given(draw_profiles(), draw_profiles())
def test_swapping_the_sides_negates_deltas_and_mirrors_kinds(before: Profile, after: Profile) -> None:
    there, back = compare(before, after), compare(after, before)
    assert there.delta == -back.delta
    mirrored = {
        (row.after_path, row.before_path): ({MIRRORED.get(kind, kind) for kind in row.changes}, -row.own_delta, -row.total_delta)
        for row in back.modules
    }
    assert {(row.before_path, row.after_path): (set(row.changes), row.own_delta, row.total_delta) for row in there.modules} == mirrored


@given(draw_profiles(), draw_profiles())
def test_own_deltas_sum_to_the_delta_for_every_additive_metric(before: Profile, after: Profile) -> None:
    result = compare(before, after)
    for metric in METRICS.values():
        if metric.of_cost:
            assert sum(metric.of_cost(row.own_delta) for row in result.modules) == metric.of_cost(after.totals) - metric.of_cost(
                before.totals
            )


@given(draw_profiles(), draw_profiles())
def test_same_stands_alone_and_every_module_stands_once(before: Profile, after: Profile) -> None:
    rows = compare(before, after).modules
    assert all(row.changes and ("same" not in row.changes or row.changes == ("same",)) for row in rows)
    assert sorted(row.before_path for row in rows if row.before_path is not None) == sorted(module.path for module in before.modules)
    assert sorted(row.after_path for row in rows if row.after_path is not None) == sorted(module.path for module in after.modules)


@given(draw_profiles(), draw_profiles())
def test_groups_partition_both_models(before: Profile, after: Profile) -> None:
    tops = {module.path for profile in (before, after) for module in profile.modules if module.path and "." not in module.path}
    sections: list[Section] = []
    for top in sorted(tops)[1:]:
        on_before, on_after = ([module.path for module in profile.modules if module.path == top] for profile in (before, after))
        sections.append((top, on_before, on_after))
    groups = compare(before, after, *sections).groups
    assert not sections or groups[-1].name == "everything else"
    if sections:
        assert sum_costs(group.before for group in groups) == before.totals
        assert sum_costs(group.after for group in groups) == after.totals
        assert sum_costs(group.delta for group in groups) == after.totals - before.totals
