"""When parts of two models belong together, are cut further, or are too many: a case just on each side, the matches given by hand."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from factories import make_module, make_profile, make_rows

from archaudit.diff import diff
from archaudit.diff.checkpoint.transforms import MatchedModules, list_layouts
from archaudit.diff.flow import diff_flow
from archaudit.diff.groups import name_group
from archaudit.schema import FlowNode, Match, Profile


def part(name: str, children: int, size: int = 1) -> dict[str, int]:
    """A container and its children, each of so many parameters."""
    return {name: 0, **{f"{name}.{letter}": size for letter in "abcdefghijklmnopqrstuvwxyz"[:children]}}


def group(before: Mapping[str, int], after: Mapping[str, int], pairs: Mapping[str, str]) -> list[tuple[str, int]]:
    """The groups by name, with the change of their parameters. What is not in `pairs` is removed, or added in another segment."""
    sides = make_profile(before, "before"), make_profile(after, "after")
    listed = [(module.path, pairs.get(module.path) if module.path else "") for module in sides[0].modules]
    found = {other for _, other in listed}
    matches = [Match(before_path=one, after_path=other, confidence=1.0, reason="by hand") for one, other in listed]
    matches += [
        Match(before_path=None, after_path=module.path, confidence=1.0, reason="by hand", segment=1)
        for module in sides[1].modules
        if module.path not in found
    ]
    return [(group.name, group.delta.params) for group in diff(*sides, matches).groups if group.name != "everything else"]


@pytest.mark.parametrize(("children", "groups"), [(7, [("p → q", 0)]), (8, [("p (removed)", -8), ("q (new)", 8)])])
def test_parts_belong_together_with_a_quarter_of_the_smaller_in_common(children: int, groups: object) -> None:
    # two modules of eight are a quarter; two of nine are not
    pairs = {"p.a": "q.a", "p.b": "q.b"}
    assert group(part("p", children), part("q", children), pairs) == groups


@pytest.mark.parametrize(("others", "cut"), [(11, True), (12, False)])
def test_a_part_of_more_than_half_the_model_is_cut(others: int, cut: bool) -> None:
    # thirteen modules of 25 are more than half, of 26 they are not; one child grew
    rest = {f"other{place}": 1 for place in range(others)}
    before, after = {**rest, **part("big", 12)}, {**rest, **part("big", 12), "big.c": 5}
    grown = [name for name, delta in group(before, after, {path: path for path in before}) if delta]
    assert grown == (["big.c"] if cut else ["big"])


@pytest.mark.parametrize(("children", "cut"), [(11, False), (12, True), (13, False)])
def test_a_large_part_is_cut_unless_it_is_small_or_would_make_too_many_pieces(children: int, cut: bool) -> None:
    # twelve modules, the container included, are few enough to be read; more than twelve pieces are too many
    before, after = part("big", children), {**part("big", children), "big.c": 5}
    grown = [name for name, delta in group(before, after, {path: path for path in before}) if delta]
    assert grown == (["big.c"] if cut else ["big"])


def test_a_large_part_that_did_not_change_is_not_cut() -> None:
    before = {**part("big", 12), "head": 1}
    assert group(before, {**before, "head": 3}, {path: path for path in before}) == [("big", 0), ("head", 2)]


@pytest.mark.parametrize(("parts", "groups"), [(24, 24), (25, 24)])
def test_the_smallest_changes_beyond_24_join_everything_else(parts: int, groups: int) -> None:
    names = "abcdefghijklmnopqrstuvwxyz"[:parts]
    before, after = dict.fromkeys(names, 100), {name: 201 + place for place, name in enumerate(names)}
    found = group(before, after, {name: name for name in names})
    assert len(found) == groups
    assert ("a" in dict(found)) == (parts == 24)  # it grew least


def test_a_chain_of_containers_is_cut_64_times() -> None:
    paths = [".".join(["x"] * depth) for depth in range(1, 141)]
    before, after = dict.fromkeys(paths, 0) | {paths[-1]: 1}, dict.fromkeys(paths, 0) | {paths[-1]: 2}
    assert group(before, after, {path: path for path in paths}) == [(paths[64], 1)]


def test_up_to_three_parts_are_named() -> None:
    assert name_group(("a", "b", "c"), ("a", "b", "c"), unchanged=True) == "a, b, c"
    assert name_group(("a", "b", "c", "d"), ("a", "b", "c", "d"), unchanged=True) == "a … d"
    assert name_group(("a", "b", "c"), ("x",), unchanged=False) == "a, b, c → x"
    assert name_group(("a", "b", "c", "d", "e"), ("x",), unchanged=False) == "a, b, c and 2 more → x"


# --- the forward graphs


def run_chain(modules: list[str]) -> Profile:
    """Modules one after the other."""
    shape = (1, 4)
    flow = [FlowNode(id=0, op="input", module="", shape=shape)]
    for name in modules:
        flow.append(FlowNode(id=len(flow), op="call", module=name, inputs=(len(flow) - 1,), shape=shape))
    paths = dict.fromkeys(part for name in modules for part in (name.partition(".")[0], name))
    return make_profile({path: make_module(0) for path in paths}, flow=tuple(flow))


@pytest.mark.parametrize(("count", "name"), [(3, "a + b + c"), (4, "a + … + d")])
def test_up_to_three_modules_that_became_one_are_named(count: int, name: str) -> None:
    names = list("abcd"[:count])
    sides = run_chain(["stem", *names, "head"]), run_chain(["stem", *(f"new.{name}" for name in names), "head"])
    pairs = [("", ""), ("stem", "stem"), ("head", "head"), *((name, f"new.{name}") for name in names)]
    flow = diff_flow(*sides, make_rows(*pairs))
    assert [(part.before, part.after) for part in flow.parts if part.after == "new"] == [(name, "new")]


@pytest.mark.parametrize(("new", "sentences", "more"), [(39, 40, None), (40, 41, "1"), (59, 41, "20")])
def test_forty_changes_of_the_flow_are_described(new: int, sentences: int, more: str | None) -> None:
    # each new module is one, and so is the output that another one makes now
    sides = run_chain(["stem", "head"]), run_chain(["stem", "head", *(f"n{place}" for place in range(new))])
    described = diff_flow(*sides, make_rows(*((path, path) for path in ("", "stem", "head")))).sentences
    assert len(described) == sentences
    assert more is None or more in described[-1].split()


@pytest.mark.parametrize(("count", "partner"), [(199, "neg()#2"), (200, "neg()")])
def test_operators_of_one_name_are_paired_by_what_they_are_between_unless_there_are_very_many(count: int, partner: str) -> None:
    # before, one operator behind each layer; after, one more in front of them all. Of more than 200, each goes with the one at its place.
    names = [f"m{place}" for place in range(count)]
    paths = [path for name in names for path in (name, "")]
    shape = (1, 4)

    def run(order: list[str]) -> Profile:
        flow = [FlowNode(id=0, op="input", module="", shape=shape)]
        for name in order:
            flow.append(FlowNode(id=len(flow), op="call" if name else "neg", module=name, inputs=(len(flow) - 1,), shape=shape))
        return make_profile(dict.fromkeys(names, 0), flow=tuple(flow))

    rows = make_rows(*((path, path) for path in ("", *names)))
    parts = {part.before: part.after for part in diff_flow(run(paths), run(["", *paths]), rows).parts if part.before is not None}
    assert parts["neg()"] == partner


# --- ways in which rows may be arranged


def make_matched(**heads: int) -> MatchedModules:
    profile = make_profile({name: make_module(0, settings={"num_heads": number}) for name, number in heads.items()})
    return MatchedModules(profile, profile, [])


@pytest.mark.parametrize(("parts", "ways"), [([2], 2), ([3], 6), ([4], 1), ([4, 2], 2), ([1], 1), ([], 1)])
def test_up_to_three_parts_are_tried_in_every_order(parts: list[int], ways: int) -> None:
    assert len(list_layouts(make_matched(), parts)) == ways


@pytest.mark.parametrize(
    ("heads", "groups"),
    [
        ({"a": 4, "b": 4, "c": 8}, [1, 4, 8]),  # the commonest first
        ({"a": 4, "b": 4, "c": 4, "d": 8, "e": 8, "f": 2}, [1, 4, 8]),  # two of them
        ({"a": 256}, [1, 256]),
        ({"a": 257}, [1]),
        ({"a": 1}, [1]),
        ({"a": 2}, [1, 2]),
    ],
)
def test_rows_may_be_interleaved_by_the_commonest_numbers_of_heads(heads: dict[str, int], groups: list[int]) -> None:
    layouts = list_layouts(make_matched(**heads), [2])
    assert list(dict.fromkeys(layout.groups for layout in layouts)) == groups
    assert [layout.order for layout in layouts] == [0, 1] * len(groups)
