from types import SimpleNamespace
from typing import Any

import msgspec
from align.plan import Plan, Run
from factories import make_module, make_profile, make_tensor

from archaudit.align import align
from archaudit.diff import diff
from archaudit.diff.auto_groups import _list_running, _pair_replaced
from archaudit.diff.groups import Part, name_group, split_index
from archaudit.metrics.catalog import METRICS
from archaudit.schema import Diff, ModuleRecord, Pair, Profile


def linear(inputs: int, outputs: int) -> ModuleRecord:
    return make_module(inputs * outputs, "Linear", tensors=(make_tensor("weight", (outputs, inputs)),))


def block(width: int) -> dict[str, ModuleRecord]:
    return {"": make_module(type="Sequential"), ".0": linear(width, width), ".1": make_module(type="ReLU")}


def model(**parts: int) -> Profile:
    """Blocks by name, each as wide as its number, run one after the other."""
    listed = {f"{name}{path}": record for name, width in parts.items() for path, record in block(width).items()}
    plan = Plan(make_profile(listed))
    last = Run("input", plan.root, [], (1, 4), "float32")
    plan.runs = [last]
    for part in plan.root.children:
        for layer in part.children:
            last = Run("call", layer, [last], (1, 4), "float32")
            plan.runs.append(last)
    return plan.build("model")


def compare(before: Profile, after: Profile) -> Diff:
    return diff(before, after, align(before, after))


def name_groups(result: Diff) -> list[tuple[str, int]]:
    return [(group.name, group.delta.params) for group in result.groups]


def test_what_did_not_change_is_one_group() -> None:
    profile = model(a=2, b=3, c=4)
    assert name_groups(compare(profile, profile)) == [("a, b, c", 0), ("everything else", 0)]
    long = model(a=2, b=3, c=4, d=5)
    assert name_groups(compare(long, long))[0] == ("a … d", 0)


def test_what_was_taken_out_stands_against_what_was_put_in_between_the_same_passages() -> None:
    groups = name_groups(compare(model(a=2, out=30, c=4, gone=31, e=5), model(a=2, put=300, c=4, new=310, e=5)))
    assert groups[:2] == [("a", 0), ("out → put", 300**2 - 30**2)]
    assert ("gone → new", 310**2 - 31**2) in groups


def test_a_part_that_is_new_or_gone_is_named_so() -> None:
    assert ("b (new)", 900) in name_groups(compare(model(a=2, c=4), model(a=2, b=30, c=4)))
    assert ("b (removed)", -900) in name_groups(compare(model(a=2, b=30, c=4), model(a=2, c=4)))


def list_blocks(*widths: int) -> dict[str, int]:
    return {f"block_{number}": width for number, width in enumerate(widths)}


def test_blocks_of_a_list_that_changed_alike_are_one_group() -> None:
    wider = name_groups(compare(model(a=2, **list_blocks(8, 8, 8, 9), z=5), model(a=2, **list_blocks(10, 10, 10, 10), z=5)))
    assert wider == [("a", 0), ("block_0-2", 3 * 36), ("block_3", 19), ("z", 0), ("everything else", 0)]
    deeper = name_groups(compare(model(a=2, **list_blocks(8), z=5), model(a=2, **list_blocks(8, 8, 8, 8), z=5)))
    assert [each for each in deeper if each[1]] == [("block_1-3 (new)", 3 * 64)]


def test_blocks_are_in_a_list_by_the_number_that_their_name_ends_with() -> None:
    assert [split_index(path) for path in ("blocks.3", "3", "layers.layer_11", "layer1", "blocks.03", "head", "")] == [
        ("blocks.", 3), ("", 3), ("layers.layer_", 11), None, None, None, None,
    ]  # fmt: skip
    named = tuple(f"layers.layer_{number}" for number in range(3))
    assert name_group(named, named, unchanged=False) == "layers.layer_0-2"


def test_groups_partition_both_models_and_their_deltas_lead_from_total_to_total() -> None:
    result = compare(model(a=2, b=30, c=4), model(a=3, x=31, c=4, d=9))
    for metric in ("params", "param_bytes"):
        read = METRICS[metric].of_cost
        assert read(result.before.totals) + sum(read(group.delta) for group in result.groups) == read(result.after.totals)  # type: ignore[misc]


def test_added_parts_of_one_segment_stay_apart_where_nothing_was_removed() -> None:
    one, other = SimpleNamespace(side=1, path="a"), SimpleNamespace(side=1, path="b")
    groups: Any = [Pair((), (one,)), Pair((), (other,))]
    assert _pair_replaced(groups, {(1, "a"): 0, (1, "b"): 0}) == groups


def test_parts_of_one_container_are_named_behind_it() -> None:
    one = ("backbone.layer3.0", "backbone.layer3.1", "backbone.layer3.2")
    assert name_group(one, one, unchanged=False) == "backbone.layer3.0-2"
    assert name_group(("bn1",), ("stem.scale", "stem.path", "stem.attn"), unchanged=False) == "bn1 → stem.{scale, path, attn}"
    long = ("stages.0", "stages.3.1.conv_kxk.2.conv", "stages.3.1.conv_kxk.2.bn.drop")
    assert name_group(("blocks",), long, unchanged=False) == "blocks → stages (3 parts)"
    assert name_group(("a", "b"), ("a", "b"), unchanged=False) == "a, b"
    assert name_group(("a.x", "b.x"), (), unchanged=False) == "a.x, b.x (removed)"


def test_a_part_that_never_runs_is_replaced_by_nothing_that_runs() -> None:
    """As googlenet's auxiliary head, which only trains, beside a new convolution of the stem: both are in the first segment."""
    removed, added = Pair((Part(0, "aux"),), ()), Pair((), (Part(1, "stem"),))
    assert _pair_replaced([removed, added], {(0, "aux"): (0, False), (1, "stem"): (0, True)}) == [removed, added]
    assert _pair_replaced([removed, added], {(0, "aux"): (0, True), (1, "stem"): (0, True)}) == [Pair(removed.before, added.after)]


def test_a_container_runs_where_a_module_in_it_does() -> None:
    profile = model(a=2, b=3)
    still = tuple(msgspec.structs.replace(each, calls=()) if each.path.startswith("b") else each for each in profile.modules)
    found = _list_running(msgspec.structs.replace(profile, modules=still))
    assert {"", "a", "a.0", "a.1"} <= found
    assert not [path for path in found if path.startswith("b")]
