"""Thresholds for matching containers, lists and long sequences: a case just on each side, worked out by hand."""

from __future__ import annotations

import pytest
from align.toys import Modules, box, chain, conv, find_partner, linear, list_matches, norm
from factories import make_module, make_profile, make_tensor

from archaudit.align.assignment import align_sequences, find_common_subsequence
from archaudit.align.rows import order_matches
from archaudit.index.layers import compare_containers
from archaudit.schema import Call, Match, ModuleRecord, Pair, Profile


def block(name: str, *layers: ModuleRecord, type: str = "Block") -> dict[str, ModuleRecord]:
    """A container and the layers in it, numbered."""
    return {name: box(type), **{f"{name}.{place}": layer for place, layer in enumerate(layers)}}


LINEARS = [linear(size) for size in (11, 12, 13, 14, 15)]
CONVS = [conv(size, 3) for size in (21, 22, 23, 24, 25, 26, 27, 28, 29)]


def find_changes(before: dict[str, ModuleRecord], after: dict[str, ModuleRecord], path: str) -> tuple[str, ...]:
    """The kinds of change of the row of a path after."""
    return next(match.changes for (_, other), match in list_matches(before, after).items() if other == path)


# --- containers by what they hold


@pytest.mark.parametrize(("more", "partner"), [(2, ("y", 0.5)), (3, (None, None))])
def test_containers_match_when_half_of_their_layers_match(more: int, partner: object) -> None:
    # two layers of four and four are in common: 4/8; of four and five: 4/9
    before = block("x", *LINEARS[:4], type="Encoder")
    after = block("y", *LINEARS[:2], *CONVS[:more], type="Tower")
    assert find_partner(before, after, "x") == partner


@pytest.mark.parametrize(("more", "partner"), [(2, ("b.y", 0.5)), (3, (None, None))])
def test_containers_under_other_parents_match_when_half_of_their_children_match(more: int, partner: object) -> None:
    keep = {"a": box("A"), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5)}
    before = {**keep, **block("a.x", *LINEARS[:4], type="Encoder")}
    after = {**keep, **block("b.y", *LINEARS[:2], *CONVS[:more], type="Tower")}
    assert find_partner(before, after, "a.x") == partner


def test_children_without_tensors_do_not_count() -> None:
    keep = {"a": box("A"), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5)}
    before = {**keep, **block("a.x", *LINEARS[:4], type="Encoder")}
    after = {**keep, **block("b.y", *LINEARS[:2], *CONVS[:2], *[box("Dropout")] * 5, type="Tower")}
    assert find_partner(before, after, "a.x") == ("b.y", 0.5)


@pytest.mark.parametrize(
    ("one", "other", "similarity"),
    [
        ("ConvBlock", "NormBlock", 0.5),  # one word of two each: 2/4
        ("BigConvBlock", "NormBlock", 0.0),  # 2/5
        ("SwinTransformerBlock", "SwinTransformerBlockV2", 0.5),
        ("Block", "Block", 1.0),
    ],
)
def test_types_are_related_when_they_share_half_of_their_words(one: str, other: str, similarity: float) -> None:
    assert compare_containers(one, other) == similarity


# --- wrappers


@pytest.mark.parametrize(("size", "confidence"), [(822, 0.95), (821, 0.8)])
def test_a_layer_that_was_wrapped_and_changed_must_still_be_very_similar(size: int, confidence: float) -> None:
    # likeness reaches 0.85 at r = 0.821764; below, it is only a layer in the same part of the model, whose score is cut at 0.8
    after = {"x": box("Wrapper"), "x.inner": linear(size)}
    assert find_partner({"x": linear(1000)}, after, "x") == ("x.inner", confidence)


@pytest.mark.parametrize(("others", "confidence"), [(7, 0.95), (8, 0.9)])
def test_a_container_of_more_than_eight_children_wraps_none_of_them(others: int, confidence: float) -> None:
    after = {"x": box("Wrapper"), "x.inner": linear(8), **{f"x.{place}": CONVS[place] for place in range(others)}}
    assert find_partner({"x": linear(8)}, after, "x") == ("x.inner", confidence)


@pytest.mark.parametrize(("others", "confidence", "change"), [(2, 0.95, "wrapped"), (3, 0.9, "moved")])
def test_a_container_half_of_whose_children_were_siblings_wraps_them(others: int, confidence: float, change: str) -> None:
    before = {"a": LINEARS[0], "b": LINEARS[1]}
    after = block("w", *LINEARS[:2], *CONVS[:others])
    assert [find_partner(before, after, path) for path in ("a", "b")] == [("w.0", confidence), ("w.1", confidence)]
    assert [find_changes(before, after, path) for path in ("w.0", "w.1")] == [(change,), (change,)]


def test_a_wrapper_is_before_the_module_that_it_wraps_and_after_the_removed_one() -> None:
    before = {"a": LINEARS[0], "gone": box("Dropout"), "b": LINEARS[1], "c": LINEARS[2]}
    after = {"a": LINEARS[0], "new": box("Hardswish"), "w": box("Outer"), "w.b": LINEARS[1], "c": LINEARS[2]}
    assert list(list_matches(before, after)) == [
        ("", ""),
        ("a", "a"),
        ("gone", None),
        (None, "new"),
        (None, "w"),
        ("b", "w.b"),
        ("c", "c"),
    ]


def test_nested_wrappers_are_all_before_the_module_that_they_wrap() -> None:
    pairs = [("", ""), ("a", "a"), ("gone", None), ("b", "w.v.b"), ("c", "c"), (None, "w"), (None, "w.v"), (None, "last")]
    before = make_profile({path: 1 for path, _ in pairs if path})
    after = make_profile(dict.fromkeys(["a", "w", "w.v", "w.v.b", "c", "last"], 1))
    matches = [Match(before_path=one, after_path=other, confidence=1.0, reason="by hand") for one, other in pairs]
    assert [(match.before_path, match.after_path) for match in order_matches(Pair(before, after), matches)] == [
        ("", ""),
        ("a", "a"),
        ("gone", None),
        (None, "w"),
        (None, "w.v"),
        ("b", "w.v.b"),
        ("c", "c"),
        (None, "last"),
    ]


def test_a_module_that_kept_path_and_type_in_another_container_is_matched() -> None:
    # the encoder went from place 0 to place 1 and lost its activation; the new part at place 0 has one under the same path
    before = {"0": box("Encoder"), "0.l": LINEARS[0], "0.m": LINEARS[1], "0.x": box("ReLU")}
    after = {"0": box("Part"), "0.x": box("ReLU"), "0.c": CONVS[0], "1": box("Encoder"), "1.l": LINEARS[0], "1.m": LINEARS[1]}
    pairs = list_matches(before, after)
    assert ("0", "1") in pairs
    assert pairs["0.x", "0.x"].confidence == 1.0
    other = {**after, "0.x": box("GELU")}
    assert ("0.x", None) in list_matches(before, other)


# --- replaced in its place


def test_the_only_layer_between_the_same_neighbours_with_as_many_parameters_is_a_replacement() -> None:
    # 8x8 = 64 weights and 4x4x2x2 = 64; with 4x4x3x3 = 144 it is another layer
    before = {"a": LINEARS[0], "x": linear(8), "z": LINEARS[1]}
    assert find_partner(before, {"a": LINEARS[0], "y": conv(4, 4, kernel=2), "z": LINEARS[1]}, "x") == ("y", 0.5)
    assert find_partner(before, {"a": LINEARS[0], "y": conv(4, 4), "z": LINEARS[1]}, "x") == (None, None)


@pytest.mark.parametrize(("size", "partner"), [(453, ("b.m", 0.7)), (452, (None, None))])
def test_a_norm_after_a_matched_layer_must_only_be_of_the_same_family(size: int, partner: object) -> None:
    # another norm: (0.25 + 0.3 r) / 0.8 x (1 + r) / 2 reaches 0.35 at r = 0.45213
    keep = {"a": box("A"), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5)}
    other = make_module(2 * size, "GroupNorm", tensors=(make_tensor("weight", (size,)), make_tensor("bias", (size,))))
    before = {**keep, "a.x": linear(8), "a.n": norm(1000)}
    # the layer moved to the end of the model on both sides, so that the norm follows it
    before = {"b": box("B"), "b.k": conv(5, 5), "a": box("A"), "a.x": linear(8), "a.n": norm(1000)}
    after = {"a": box("A"), "b": box("B"), "b.k": conv(5, 5), "b.y": linear(8), "b.m": other}
    assert find_partner(before, after, "a.n") == partner


@pytest.mark.parametrize(("sizes", "inner"), [((900, 990), "x.q"), ((990, 900), "x.p")])
def test_of_several_layers_in_a_wrapper_the_most_similar_is_the_wrapped_one(sizes: tuple[int, int], inner: str) -> None:
    after = {"x": box("Wrapper"), "x.p": linear(sizes[0]), "x.q": linear(sizes[1])}
    assert find_partner({"x": linear(1000)}, after, "x") == (inner, 0.95)


def test_a_wrapper_in_a_wrapper_counts_as_wrapped() -> None:
    # half of what `w` holds was its sibling, the other half is a wrapper itself
    before = {"a": LINEARS[0], "c": LINEARS[1], "d": LINEARS[2]}
    after = {"w": box("Outer"), "w.a": LINEARS[0], "w.v": box("Inner"), "w.v.c": LINEARS[1], "w.v.d": LINEARS[2], "w.n": box("Riddle")}
    assert find_changes(before, after, "w.a") == ("wrapped",)


def test_most_children_keep_their_order_even_if_the_one_that_moved_is_larger() -> None:
    small, large = {"p": linear(2), "q": linear(3)}, {"large": linear(50)}
    changed = [row.after_path for row in list_matches({**large, **small}, {**small, **large}).values() if row.changes]
    assert changed == ["large"]


def ran(type: str, inputs: tuple[int, ...] = (1, 4), outputs: tuple[int, ...] = (1, 4)) -> ModuleRecord:
    """A layer without tensors that ran once, as the second one."""
    return make_module(0, type, calls=(Call(order=1, inputs=(inputs,), outputs=(outputs,)),))


@pytest.mark.parametrize(
    ("after", "partner"),
    [
        ({"s.1": ran("Mystery")}, ("s.1", 0.5)),
        ({"s.1": ran("Mystery", outputs=(1, 5))}, (None, None)),  # other shapes
        ({"s.1": ran("Mystery", inputs=(1, 5))}, (None, None)),
        ({"s.1": box("Mystery")}, (None, None)),  # one that did not run
        ({"s.1": ran("Mystery"), "s.3": ran("Riddle")}, (None, None)),  # two in its place
        ({"s.1": ran("Mystery"), "s.1.in": box("Riddle")}, (None, None)),  # a container
        ({"s.3": ran("Mystery")}, (None, None)),  # another index
    ],
)
def test_a_layer_of_an_unrelated_type_with_the_same_index_and_shapes_replaces_another(
    after: dict[str, ModuleRecord], partner: object
) -> None:
    # at index 1 of a list, between the same two layers
    first = linear(8), linear(9)
    before = {"s": box(), "s.0": first[0], "s.1": ran("Dropout"), "s.2": first[1]}
    assert find_partner(before, {"s": box(), "s.0": first[0], **after, "s.2": first[1]}, "s.1") == partner


def test_what_never_ran_on_either_side_is_not_replaced() -> None:
    before, after = ({"s": box(), "s.0": linear(8), "s.1": box(type)} for type in ("Dropout", "Mystery"))
    assert find_partner(before, after, "s.1") == (None, None)


def test_segments_are_counted_from_zero_and_end_at_each_layer_that_everything_passes_through() -> None:
    def number(before: Modules | Profile, after: Modules | Profile) -> dict[tuple[str | None, str | None], int]:
        return {pair: row.segment for pair, row in list_matches(before, after).items()}

    never = number({"a": linear(8), "gone": box("Dropout")}, {"a": linear(8), "new": box("Mystery")})
    assert set(never.values()) == {0}
    before = chain({"a": linear(8), "gone": box("Dropout"), "b": linear(9), "last": box("ReLU")})
    after = chain({"a": linear(8), "b": linear(9), "new": conv(3, 3), "last": box("ReLU")})
    found = number(before, after)
    assert (found["a", "a"], found["gone", None], found["b", "b"], found[None, "new"], found["last", "last"]) == (1, 1, 2, 2, 3)


# --- splits


@pytest.mark.parametrize(("parts", "split"), [(4, True), (5, False)])
def test_a_layer_is_split_into_at_most_four(parts: int, split: bool) -> None:
    after = {f"part{place}": linear(20 // parts, 8) for place in range(parts)}
    assert any("split" in match.changes for match in list_matches({"whole": linear(20, 8)}, after).values()) == split


def test_the_parts_of_a_split_say_so_and_not_that_they_have_no_counterpart() -> None:
    rows = list_matches({"whole": linear(20, 8)}, {f"part{place}": linear(10, 8) for place in range(2)})
    assert [match.changes for match in rows.values()] == [(), ("renamed", "split"), ("split",)]
    assert "no counterpart" not in rows[None, "part1"].reason
    assert rows["whole", "part0"].reason.endswith(rows[None, "part1"].reason)  # first how the pair was found, then the split
    assert rows["whole", "part0"].change_id == rows[None, "part1"].change_id == 0


def test_a_split_layer_is_matched_with_its_first_part() -> None:
    after = {"a": linear(1, 8), "b": linear(2, 8), "c": linear(397, 8)}
    assert find_partner({"whole": linear(400, 8)}, after, "whole") == ("a", 0.8)


# --- counts of repeated blocks


def repeat(count: int, *others: ModuleRecord, type: str = "Stage") -> dict[str, ModuleRecord]:
    """A list of blocks, and other children."""
    listed = {"list": box("Holder")}
    for place in range(count):
        listed |= {f"list.{place}": box(type), f"list.{place}.fc": linear(8)}
    return listed | {f"list.other{place}": other for place, other in enumerate(others)}


@pytest.mark.parametrize(("counts", "repeated"), [((2, 3), True), ((1, 2), False), ((3, 2), True), ((2, 1), False)])
def test_three_blocks_of_a_list_are_a_repetition(counts: tuple[int, int], repeated: bool) -> None:
    assert ("repeated" in find_changes(repeat(counts[0]), repeat(counts[1]), "list")) == repeated


@pytest.mark.parametrize(("counts", "repeated"), [((3, 4), True), ((2, 3), False)])
def test_among_other_children_four_blocks_are_a_repetition(counts: tuple[int, int], repeated: bool) -> None:
    sides = [repeat(count, conv(4, 4), norm(4)) for count in counts]
    assert ("repeated" in find_changes(*sides, "list")) == repeated


def test_plain_containers_among_other_children_are_not_a_repetition() -> None:
    sides = [repeat(count, conv(4, 4), norm(4), type="Sequential") for count in (3, 4)]
    assert "repeated" not in find_changes(*sides, "list")
    assert "repeated" in find_changes(repeat(3, type="Sequential"), repeat(4, type="Sequential"), "list")


# --- order


@pytest.mark.parametrize(("count", "moved"), [(400, "light"), (401, "heavy")])
def test_of_two_swapped_siblings_the_lighter_one_moved_unless_the_list_is_very_long(count: int, moved: str) -> None:
    rest = {f"n{place}": linear(1) for place in range(count - 2)}
    before, after = {"heavy": linear(9), "light": linear(2), **rest}, {"light": linear(2), "heavy": linear(9), **rest}
    changed = [match.after_path for match in list_matches(before, after).values() if match.changes]
    assert changed == [moved]


@pytest.mark.parametrize(("between", "named"), [(7, True), (8, False)])
def test_a_reason_names_siblings_up_to_eight_places_away(between: int, named: bool) -> None:
    before = {"m": conv(4, 4), "x": linear(8)}
    after = {"m": conv(4, 4), **{f"f{place}": box("ReLU") for place in range(between)}, "y": linear(10, 8)}
    assert ("after m" in list_matches(before, after)["x", "y"].reason) == named


# --- long sequences


@pytest.mark.parametrize(("columns", "pairs"), [(200, 200), (201, 60)])
def test_long_sequences_are_split_at_equal_elements(columns: int, pairs: int) -> None:
    # One equal element, at 10 and at 150, is worth little; all pairs of equal places are worth more. A full table finds these 200. Split
    # there, 10 pairs fit before it and 49 behind.
    left: list[object] = [f"left {place}" for place in range(200)]
    right: list[object] = [f"right {place}" for place in range(columns)]
    left[10] = right[150] = "equal"

    def gain(row: int, column: int) -> float:
        return 0.1 if (row, column) == (10, 150) else float(row == column)

    assert len(align_sequences(left, right, gain)) == pairs


@pytest.mark.parametrize(("column", "pairs"), [(48, [(0, 48)]), (49, [])])
def test_long_sequences_are_searched_within_48_places_of_the_diagonal(column: int, pairs: list[object]) -> None:
    left, right = [f"left {place}" for place in range(201)], [f"right {place}" for place in range(201)]
    assert align_sequences(left, right, lambda row, other: float((row, other) == (0, column))) == pairs


def test_sequences_with_very_many_differences_are_split_at_elements_that_occur_once() -> None:
    # More than 400 differences. The element at 10 and at 150 occurs once, so 10 pairs fit before it and 59 after it; one that occurs twice
    # is no place to split at.
    left: list[object] = [f"left {place}" for place in range(210)]
    right: list[object] = [f"right {place}" for place in range(210)]
    left[10] = right[150] = "once"
    left[5] = left[6] = right[200] = right[201] = "twice"

    def gain(row: int, column: int) -> float:
        return 0.1 if (row, column) == (10, 150) else float(row == column)

    assert len(align_sequences(left, right, gain)) == 10 + 1 + 59


@pytest.mark.parametrize("row", [99, 100])
def test_a_pair_at_the_edge_of_the_band_is_reached_from_the_end(row: int) -> None:
    left, right = [f"left {place}" for place in range(300)], [f"right {place}" for place in range(300)]
    assert align_sequences(left, right, lambda one, other: float((one, other) == (row, row + 48))) == [(row, row + 48)]
    assert align_sequences(left, right, lambda one, other: float((one, other) == (row + 48, row))) == [(row + 48, row)]


def test_a_common_subsequence_is_searched_up_to_400_differences() -> None:
    assert find_common_subsequence(range(200), range(1000, 1200)) == []
    assert find_common_subsequence(range(201), range(1000, 1200)) is None


def test_a_sequential_around_a_sequential_keeps_its_name_and_the_inner_one_its_weights() -> None:
    plain = {"body": box("Sequential"), "body.0": linear(11), "body.1": linear(12)}
    wrapped = {"body": box("Sequential"), "body.0": box("Sequential"), "body.0.0": linear(11), "body.0.1": linear(12)}
    pairs = {("body", "body.0"), ("body.0", "body.0.0"), ("body.1", "body.0.1")}
    assert {pair for pair in list_matches(plain, wrapped) if None not in pair} == {("", ""), *pairs}
    assert {pair[::-1] for pair in list_matches(wrapped, plain) if None not in pair} == {("", ""), *pairs}
    assert find_changes(plain, wrapped, "body.0") == ("wrapped",)
    assert find_changes(wrapped, plain, "body") == ("unwrapped",)


def test_a_norm_alone_does_not_identify_what_was_put_into_a_new_container() -> None:
    """Norms of one size are alike everywhere; a matrix is not."""
    keep = {"k": linear(3)}
    assert find_partner({"n": norm(8), **keep}, {"w": box("Wrapper"), "w.0": norm(8), **keep}, "n") == (None, None)
    assert find_partner({"n": linear(8), **keep}, {"w": box("Wrapper"), "w.0": linear(8), **keep}, "n")[0] == "w.0"
