"""Which parts become one group, and which groups are kept: small models with the matches given by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from factories import make_cost, make_module, make_profile

from archaudit.diff import diff
from archaudit.schema import Cost, Group, Match

Parts = Mapping[str, int | Cost]


def group(before: Parts, after: Parts, pairs: Mapping[str, str], segments: Mapping[str, int] | None = None) -> tuple[Group, ...]:
    """The groups; a part without a partner is in the segment of the data flow that `segments` says, else in the first one."""
    sides = make_profile(before, "before"), make_profile(after, "after")
    segments = segments or {}
    listed = [(module.path, pairs.get(module.path) if module.path else "") for module in sides[0].modules]
    found = {other for _, other in listed}
    listed += [(None, module.path) for module in sides[1].modules if module.path not in found]
    matches = [
        Match(before_path=one, after_path=other, confidence=1.0, reason="by hand", segment=segments.get(one or other or "", 0))
        for one, other in listed
    ]
    return diff(*sides, matches).groups


def name(groups: tuple[Group, ...]) -> list[tuple[str, int]]:
    return [(group.name, group.delta.params) for group in groups if group.name != "everything else"]


def same(*paths: str) -> dict[str, str]:
    return {path: path for path in paths}


def test_what_was_removed_and_added_in_one_segment_is_set_against_each_other_in_pairs() -> None:
    before, after = {"a": 1, "x": 10, "y": 20}, {"a": 1, "p": 100, "q": 200}
    assert name(group(before, after, same("a"))) == [("a", 0), ("x → p", 90), ("y → q", 180)]
    # in segments of their own: each with what is there
    assert name(group(before, after, same("a"), {"y": 1, "p": 1})) == [("a", 0), ("x → q", 190), ("y → p", 80)]


def test_unequally_many_in_one_segment_are_one_group() -> None:
    assert name(group({"a": 1, "x": 10}, {"a": 1, "p": 100, "q": 200}, same("a"))) == [("a", 0), ("x → p, q", 290)]
    assert name(group({"a": 1, "x": 10, "y": 5}, {"a": 1, "p": 100}, same("a"))) == [("a", 0), ("x, y → p", 85)]


def test_what_has_nothing_against_it_is_new_or_removed() -> None:
    assert name(group({"a": 1, "x": 10}, {"a": 1, "p": 100}, same("a"), {"p": 1})) == [("a", 0), ("x (removed)", -10), ("p (new)", 100)]


@pytest.mark.parametrize(
    ("before", "after", "groups"),
    [
        # the same list, one after the other, the same costs on each side
        ({"b_0": 5, "b_1": 5, "b_2": 5}, {"b_0": 7, "b_1": 7, "b_2": 7}, [("b_0-2", 6)]),
        ({"b_0": 5, "b_1": 5, "b_3": 5}, {"b_0": 7, "b_1": 7, "b_3": 7}, [("b_0-1", 4), ("b_3", 2)]),  # a place is missing
        ({"b_0": 5, "b_1": 5, "b_2": 5}, {"b_0": 7, "b_1": 8, "b_2": 8}, [("b_0", 2), ("b_1-2", 6)]),  # another cost after
        ({"b_0": 5, "b_1": 6, "b_2": 6}, {"b_0": 8, "b_1": 8, "b_2": 8}, [("b_0", 3), ("b_1-2", 4)]),  # another cost before
        ({"b_1": 5, "b_0": 5}, {"b_1": 7, "b_0": 7}, [("b_1", 2), ("b_0", 2)]),  # backwards
        ({"x": 5, "y": 5}, {"x": 7, "y": 7}, [("x", 2), ("y", 2)]),  # no list
        ({"b_0": 5, "c_1": 5}, {"b_0": 7, "c_1": 7}, [("b_0", 2), ("c_1", 2)]),  # of two lists
    ],
)
def test_blocks_of_a_list_that_changed_alike_are_one_group(before: Parts, after: Parts, groups: list[tuple[str, int]]) -> None:
    assert name(group({"keep": 1, **before}, {"keep": 1, **after}, same("keep", *before))) == [("keep", 0), *groups]


def test_new_blocks_of_a_list_are_one_group_and_are_not_joined_with_changed_ones() -> None:
    before, after = {"keep": 1, "b_0": 5}, {"keep": 1, "b_0": 7, "b_1": 7, "b_2": 7}
    assert name(group(before, after, same("keep", "b_0"))) == [("keep", 0), ("b_0", 2), ("b_1-2 (new)", 14)]


def test_neighbours_that_did_not_change_are_one_group_between_those_that_did() -> None:
    before = {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5}
    after = {**before, "c": 30}
    assert name(group(before, after, same(*before))) == [("a, b", 0), ("c", 27), ("d, e", 0)]


def test_a_part_whose_inside_changed_did_change() -> None:
    before, after = {"a": 0, "a.x": 1, "b": 2}, {"a": 0, "a.x": 3, "b": 2}
    assert name(group(before, after, same(*before))) == [("a", 2), ("b", 0)]


def test_the_largest_groups_are_kept_by_parameters_then_flops() -> None:
    names = [f"part{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    before = dict.fromkeys(names, make_cost(5, 1000))
    after = {name: make_cost(5 + (place > 1), 1000 + (7 if place == 0 else 3)) for place, name in enumerate(names)}
    groups = group(before, after, same(*names))
    kept = [each.name for each in groups]
    assert len(kept) == 25
    assert not {"parta", "partb"} & set(kept[:24])  # these grew by no parameter
    after[names[2]] = make_cost(5, 1000 + 5)
    kept = [each.name for each in group(before, after, same(*names))][:24]
    assert "parta" in kept  # grew by more FLOPs than `partb` and `partc`
    assert "partb" not in kept
    assert kept == sorted(kept)  # in the order of the model


def test_everything_else_is_what_the_root_runs_and_what_the_smallest_groups_hold() -> None:
    before, after = {"": make_cost(3, 7), "a": 1}, {"": make_cost(4, 9), "a": 2}
    groups = group(before, after, same("a"))
    assert [(each.name, each.before, each.after, each.delta) for each in groups] == [
        ("a", make_cost(1), make_cost(2), make_cost(1)),
        ("everything else", make_cost(3, 7), make_cost(4, 9), make_cost(1, 2)),
    ]


def test_a_part_that_became_several_is_cut_so_that_each_gets_its_share() -> None:
    before = {"d": 0, **{f"d.{place}": 10 for place in range(4)}, "keep": 1}
    after = {"p": 0, "p.0": 20, "p.1": 20, "q": 0, "q.0": 30, "q.1": 30, "keep": 1}
    pairs = {"d.0": "p.0", "d.1": "p.1", "d.2": "q.0", "d.3": "q.1", "keep": "keep"}
    assert name(group(before, after, pairs)) == [("d.0-1 → p", 20), ("d.2-3 → q", 40), ("keep", 0)]
    assert name(group(after, before, {other: one for one, other in pairs.items()})) == [("p → d.0-1", -20), ("q → d.2-3", -40), ("keep", 0)]


def test_a_module_between_parts_belongs_to_none() -> None:
    groups = group({"a": make_module(1), "b": 2}, {"a": make_module(1), "b": 2}, same("a", "b"))
    assert [each.before_paths for each in groups] == [("a", "b"), ()]
