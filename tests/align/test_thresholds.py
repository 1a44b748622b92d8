"""Every threshold and weight of the matching: a pair just on each side of it, worked out by hand."""

from __future__ import annotations

import pytest
from align.toys import box, chain, conv, find_partner, likeness, linear, norm
from factories import make_module, make_tensor

from archaudit.align.assignment import assign
from archaudit.schema import ModuleRecord, Profile

# --- siblings in order: 0.85 x likeness + 0.15 for matched neighbours must reach 0.5


@pytest.mark.parametrize(("size", "partner"), [(186, "y"), (185, None)])
def test_siblings_match_from_a_score_of_a_half(size: int, partner: str | None) -> None:
    # (0.5 + 0.3 r)(1 + r) / 1.6 = 0.35 / 0.85 at r = 0.18561
    found, confidence = find_partner({"x": linear(1000)}, {"y": linear(size)}, "x")
    assert found == partner
    assert confidence in (None, pytest.approx(0.85 * likeness(0.186) + 0.15, abs=1e-4))


def test_a_siblings_score_is_made_of_type_settings_and_shapes() -> None:
    # 8x8 against 10x8: r = (8/10 + 1) / 2 = 0.9; type 0.5 and shapes 0.3 x 0.9 of 0.8, times 0.95: 0.914375; with place 0.9272
    assert find_partner({"x": linear(8)}, {"y": linear(10, 8)}, "x") == ("y", 0.9272)
    # a size of zero on both sides is equal
    assert find_partner({"x": linear(0, 8)}, {"y": linear(0, 10)}, "x") == ("y", 0.9272)
    # an equal setting: (0.5 + 0.2 + 0.27) x 0.95 = 0.9215; 0.85 x 0.9215 + 0.15 = 0.9333
    assert find_partner({"x": linear(8, bias=True)}, {"y": linear(10, 8, bias=True)}, "x") == ("y", 0.9333)
    # another setting: (0.5 + 0.27) x 0.95 = 0.7315; 0.7718
    assert find_partner({"x": linear(8, bias=True)}, {"y": linear(10, 8, bias=False)}, "x") == ("y", 0.7718)
    # one of two settings: (0.5 + 0.1 + 0.27) x 0.95 = 0.8265; 0.8525
    sides = [linear(8, bias=True, scale=2.0), linear(10, 8, bias=True, scale=3.0)]
    assert find_partner({"x": sides[0]}, {"y": sides[1]}, "x") == ("y", 0.8525)
    # not a number on both sides is equal
    sides = [linear(8, fill=float("nan")), linear(10, 8, fill=float("nan"))]
    assert find_partner({"x": sides[0]}, {"y": sides[1]}, "x") == ("y", 0.9333)
    # settings that repeat the sizes say nothing, and neither do those that one side lacks
    sides = [linear(8, in_features=8, out_features=8, old=1), linear(10, 8, in_features=8, out_features=10, new=1)]
    assert find_partner({"x": sides[0]}, {"y": sides[1]}, "x") == ("y", 0.9272)


def test_a_tensor_that_only_one_side_has_counts_as_no_similarity() -> None:
    # the weight alone is alike: r = 0.9 / 2 = 0.45; (0.5 + 0.135) / 0.8 x 0.725 = 0.5755; 0.6391
    biased = make_module(90, "Linear", tensors=(make_tensor("weight", (10, 8)), make_tensor("bias", (10,))))
    assert find_partner({"x": linear(8)}, {"y": biased}, "x") == ("y", 0.6391)


def test_a_similar_name_removes_a_share_of_the_doubt() -> None:
    # `conv_a` and `conv_b` begin with the same 5 of 6 letters: 0.92721875 + 0.07278125 x 5/6 x 0.3 = 0.9454
    assert find_partner({"conv_a": linear(8)}, {"conv_b": linear(10, 8)}, "conv_a") == ("conv_b", 0.9454)
    # `left_arm` and `arm_right` share one word of two each: 0.5
    assert find_partner({"left_arm": linear(8)}, {"arm_right": linear(10, 8)}, "left_arm") == ("arm_right", 0.9381)


@pytest.mark.parametrize(("size", "partner"), [(93, ("b.1", 1.0)), (92, (None, None))])
def test_the_same_index_says_a_little(size: int, partner: object) -> None:
    # 0.08 of the doubt: s + 0.08 (1 - s) reaches 0.5 at s = 0.4565, likeness 0.3606, r = 0.0930
    before, after = block("a", conv(4, 4), linear(1000)), block("b", conv(4, 4), linear(size))
    assert find_partner(before, after, "a.1") == partner


def test_without_matched_neighbours_the_confidence_is_lower() -> None:
    # `m` ran before the one and after the other: 0.85 x 0.914375
    sides = {"x": linear(8), "m": conv(4, 4)}, {"m": conv(4, 4), "y": linear(10, 8)}
    assert find_partner(*sides, "x") == ("y", 0.7772)


def test_layers_that_hardly_differ_are_not_equal() -> None:
    # r = 0.9995 would be 0.999; at most 0.98, times 0.85 without neighbours
    sides = {"x": linear(1000), "m": conv(4, 4)}, {"m": conv(4, 4), "y": linear(1000, 999)}
    assert find_partner(*sides, "x") == ("y", 0.833)


def test_an_equal_layer_under_another_name_is_almost_sure() -> None:
    assert find_partner({"x": linear(8)}, {"y": linear(8)}, "x") == ("y", 0.95)


def test_another_type_in_the_same_place_has_a_confidence_of_a_half() -> None:
    assert find_partner({"x": box("ReLU")}, {"x": box("GELU")}, "x") == ("x", 0.5)
    # a norm of another kind scores 0.85 x (0.25 + 0.3) / 0.8 + 0.15 = 0.73: no more sure than that
    other = make_module(16, "GroupNorm", tensors=(make_tensor("weight", (8,)), make_tensor("bias", (8,))))
    assert find_partner({"x": norm(8)}, {"y": other}, "x") == ("y", 0.5)


def test_depthwise_pointwise_and_dense_convolutions_count_as_half_the_same_type() -> None:
    # dense 3x3 8→8 and depthwise 3x3 8→8 have weights 8x8x3x3 and 8x1x3x3: r = (1 + 1/8 + 1 + 1) / 4 = 0.78125, groups apart.
    # (0.25 + 0.3 x 0.78125) / 0.8 x 0.890625 = 0.5392; 0.85 x 0.5392 + 0.15 = 0.6084
    assert find_partner({"x": conv(8, 8)}, {"y": conv(8, 8, groups=8)}, "x") == ("y", 0.6084)
    # dense against grouped: weights 8x8x3x3 and 8x4x3x3, r = 0.875; half a type: (0.25 + 0.2625) / 0.8 x 0.9375 = 0.6006; 0.6605
    assert find_partner({"x": conv(8, 8)}, {"y": conv(8, 8, groups=2)}, "x") == ("y", 0.6605)


def test_one_name_and_type_is_one_layer_however_different_its_sizes() -> None:
    # the parts go on under another name; their layers `x` are of a thousand features and of one, and ran at the other end
    before = {"a": box(), "a.x": linear(1000), "a.k": conv(4, 4), "a.m": conv(5, 5)}
    after = {"b": box(), "b.k": conv(4, 4), "b.m": conv(5, 5), "b.x": linear(1)}
    assert find_partner(before, after, "a")[0] == "b"
    assert find_partner(before, after, "a.x") == ("b.x", 1.0)


def test_equal_layers_that_occur_once_are_each_other_in_any_order() -> None:
    sides = {"x": linear(8), "y": conv(4, 4)}, {"p": conv(4, 4), "q": linear(8)}
    assert [find_partner(*sides, path) for path in ("x", "y")] == [("q", 0.95), ("p", 0.95)]
    # of two equal ones either may be it: they are matched in order, without matched neighbours
    twice = {"x": linear(8), "w": linear(8), "y": conv(4, 4)}, {"p": conv(4, 4), "q": linear(8), "r": linear(8)}
    assert [find_partner(*twice, path) for path in ("x", "w", "y")] == [("q", 0.85), ("r", 0.85), ("p", 0.95)]


# --- containers: 0.3 for the container itself and 0.7 for what is in it


def block(name: str, *layers: object, type: str = "Block") -> dict[str, object]:
    return {name: box(type), **{f"{name}.{place}": layer for place, layer in enumerate(layers)}}


def test_a_container_is_compared_by_itself_and_more_by_its_contents() -> None:
    # child by child: (1 + 0.914375) / 2 = 0.9571875 inside; 0.3 + 0.7 x that = 0.97003; without neighbours x 0.85
    before = {**block("x", conv(4, 4), linear(8)), "m": norm(4), "n": conv(2, 2)}
    after = {"m": norm(4), "n": conv(2, 2), **block("y", conv(4, 4), linear(10, 8))}
    assert find_partner(before, after, "x") == ("y", 0.8245)


@pytest.mark.parametrize(("size", "confidence"), [(96, 0.5), (95, 0.9)])
def test_containers_of_unrelated_types_must_have_almost_the_same_contents(size: int, confidence: float) -> None:
    # 0 for the type, 0.7 x inside, times 0.6 since the types are unrelated: 0.85 x 0.42 x inside + 0.15 reaches 0.5 at 0.9804.
    # One child is equal, the other of r = 0.96: (1 + 0.9653) / 2 = 0.98265. With r = 0.95 it is 0.97836: they are found by their layers
    # instead, all of which are each other's.
    before = block("x", conv(4, 4), linear(100), type="Encoder")
    after = block("y", conv(4, 4), linear(size), type="Tower")
    assert find_partner(before, after, "x") == ("y", confidence)


def nest(name: str, depth: int, layer: object) -> dict[str, object]:
    paths = [".".join([name, *["0"] * level]) for level in range(depth + 1)]
    return {**{path: box(f"Level{level}") for level, path in enumerate(paths[:-1])}, paths[-1]: layer}


def test_contents_below_five_containers_count_half() -> None:
    # the sixth container of a row is 0.3 + 0.7 x 0.5 = 0.65 for any content; each above is 0.3 + 0.7 x the one below: 0.9411755 at the
    # top, times 0.85 without neighbours
    before, after = {**nest("x", 7, linear(8)), "m": conv(4, 4)}, {"m": conv(4, 4), **nest("y", 7, linear(9))}
    assert find_partner(before, after, "x") == ("y", 0.8)
    # with another setting the sixth container itself is 0.5 of 0.7 alike
    before["x.0.0.0.0.0"] = make_module(0, "Level5", settings={"depth": 1})
    after["y.0.0.0.0.0"] = make_module(0, "Level5", settings={"depth": 2})
    alike = 0.3 * 0.5 / 0.7 + 0.35
    for _ in range(5):
        alike = 0.3 + 0.7 * alike
    assert find_partner(before, after, "x") == ("y", pytest.approx(0.85 * alike, abs=1e-4))
    # the fifth is compared with what it holds: r = 8/9, 0.9004 in the leaf; 0.3 + 0.7 x ... five times up is 0.98326, at most 0.98
    before, after = {**nest("x", 5, linear(8)), "m": conv(4, 4)}, {"m": conv(4, 4), **nest("y", 5, linear(9))}
    assert find_partner(before, after, "x") == ("y", 0.833)


@pytest.mark.parametrize(("leaves", "inside"), [(39, 2 * (38 * likeness(0.9) + 0.5) / 78), (40, (2 * 39 / 80 + 0) / 2)])
def test_larger_containers_that_are_built_differently_are_compared_by_counting(leaves: int, inside: float) -> None:
    # with itself 40 modules: layer by layer, each of r = 0.9, and ReLU against GELU 0.5. With 41: the same types but for one, none equal.
    before = {**block("x", *[linear(8)] * (leaves - 1), box("ReLU")), "m": conv(4, 4)}
    after = {"m": conv(4, 4), **block("y", *[linear(10, 8)] * (leaves - 1), box("GELU"))}
    assert find_partner(before, after, "x") == ("y", pytest.approx(0.85 * (0.3 + 0.7 * inside), abs=1e-4))


@pytest.mark.parametrize(("leaves", "inside"), [(597, (1 + 298 / 597) / 2), (598, 1 / 4)])
def test_of_the_largest_containers_only_the_children_are_compared(leaves: int, inside: float) -> None:
    # With 600 modules (a container, two parts and their leaves) the leaves count: all of one type, the second part's equal. With 601 the
    # two parts count: the first is of the same types, none is equal.
    before = {**block("x", box("Part"), box("Part")), **{f"x.0.{n}": linear(8) for n in range(leaves - 298)}}
    before |= {f"x.1.{n}": linear(7) for n in range(298)}
    after = {**block("y", box("Part"), box("Half")), **{f"y.0.{n}": linear(9) for n in range(leaves - 298)}}
    after |= {f"y.1.{n}": linear(7) for n in range(298)}
    assert find_partner(before, after, "x") == ("y", pytest.approx(0.85 * (0.3 + 0.7 * inside) + 0.15, abs=1e-4))


def test_a_layer_with_an_activation_as_a_child_is_compared_by_itself() -> None:
    # a norm with an activation inside against one with a dropout inside: 0.9 x 1, times 0.85 without neighbours
    before = {"x": norm(8), "x.act": box("ReLU"), "m": conv(4, 4)}
    after = {"m": conv(4, 4), "y": norm(8), "y.drop": box("Dropout")}
    assert find_partner(before, after, "x") == ("y", 0.765)


# --- siblings out of order


@pytest.mark.parametrize(("size", "confidence"), [(695, 0.75), (694, 0.7655)])
def test_reordered_siblings_must_be_more_similar(size: int, confidence: float) -> None:
    # likeness reaches 0.75 at r = 0.694254. `p` changed least, so it is what stayed in order. Below, `q` is found as a layer in the same
    # part of the model instead: (0.55 x 0.74979 + 0.2) / 0.8.
    before = {"p": conv(8, 8), "q": linear(1000)}
    after = {"b": linear(size), "a": conv(8, 9)}
    assert find_partner(before, after, "q") == ("b", confidence)
    assert find_partner(before, after, "p")[0] == "a"


# --- layers across parents, in one segment of the data flow


A = {"a": box("A"), "a.k": conv(4, 4)}


def move(layer: ModuleRecord, after: dict[str, ModuleRecord]) -> tuple[Profile, Profile]:
    """`a.x`, which runs after `a.k`, and what runs after `a.k` in another container."""
    return chain({**A, "a.x": layer, "b": box("B"), "b.k": conv(5, 5)}), chain({**A, "b": box("B"), **after, "b.k": conv(5, 5)})


@pytest.mark.parametrize(("size", "partner"), [(665, "b.y"), (664, None)])
def test_a_layer_under_another_parent_must_be_similar_and_take_the_same_input(size: int, partner: str | None) -> None:
    # 0.55 x likeness + 0.2 (the same input; another part; another name) reaches 0.6 at a likeness of 0.72727, r = 0.66414
    found, confidence = find_partner(*move(linear(1000), {"b.y": linear(size)}), "a.x")
    assert found == partner
    assert confidence in (None, 0.6004)


def test_a_layer_of_another_size_that_takes_no_common_input_is_not_moved() -> None:
    """In the same segment, of the same type and almost the same size: the order of execution alone is no evidence."""
    before = {"a": box("A"), "a.x": linear(1000), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5)}
    after = {"a": box("A"), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5), "b.y": linear(990)}
    assert find_partner(before, after, "a.x") == (None, None)
    assert find_partner(chain(before), chain(after), "a.x") == (None, None)


@pytest.mark.parametrize(("name", "confidence"), [("y", 0.7029), ("x", 0.7529)])
def test_the_name_and_the_input_count_for_a_layer_under_another_parent(name: str, confidence: float) -> None:
    # r = 0.9, 0.914375: 0.55 x 0.914375 + 0.2 = 0.7029, and 0.05 more for the same name
    assert find_partner(*move(linear(8), {f"b.{name}": linear(10, 8)}), "a.x") == (f"b.{name}", pytest.approx(confidence, abs=1e-4))


def test_a_linear_layer_and_a_1x1_convolution_of_the_same_sizes_are_very_similar() -> None:
    # 0.55 x 0.9 + 0.2
    assert find_partner(*move(linear(16, 8), {"b.y": conv(16, 8, kernel=1)}), "a.x") == ("b.y", 0.695)
    assert find_partner(*move(linear(16, 8), {"b.y": conv(16, 9, kernel=1)}), "a.x") == (None, None)


def test_an_equal_layer_under_another_parent_has_more_confidence_when_it_is_unique() -> None:
    keep = {"a": box("A"), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5)}
    assert find_partner({**keep, "a.x": linear(8)}, {**keep, "b.y": linear(8)}, "a.x") == ("b.y", 0.9)
    two = {**keep, "a.x": linear(8), "a.w": linear(8)}, {**keep, "b.y": linear(8), "b.z": linear(8)}
    assert [find_partner(*two, path) for path in ("a.x", "a.w")] == [("b.y", 0.7), ("b.z", 0.7)]


# --- the best pairs of a table


@pytest.mark.parametrize(("columns", "pairs"), [(40, [(0, 1), (1, 0)]), (41, [(0, 0)])])
def test_the_best_total_is_found_in_small_tables_and_the_best_pair_first_in_large_ones(columns: int, pairs: list[object]) -> None:
    # 9 + 9 is the best total; the best single pair is 10, which leaves nothing for the others
    gains = {(0, 0): 10.0, (0, 1): 9.0, (1, 0): 9.0}
    assert assign(40, columns, lambda row, column: gains.get((row, column), 0.0)) == pairs


@pytest.mark.parametrize(("columns", "pairs"), [(500, [(3, 4)]), (501, [])])
def test_tables_beyond_200_000_cells_are_not_compared(columns: int, pairs: list[object]) -> None:
    assert assign(400, columns, lambda row, column: float((row, column) == (3, 4))) == pairs


# --- a dense convolution against a depthwise and a pointwise one under another parent


@pytest.mark.parametrize(
    ("whole", "confidence"),
    [
        (conv(16, 8), 0.75),  # as many inputs and outputs and one kernel: 0.5 + 0.15 x 2 + 0.2 = 1; 0.55 x 1 + 0.2
        (conv(16, 7), 0.7397),  # seven inputs of eight: 0.98125
        (conv(15, 8), 0.7448),  # fifteen outputs of sixteen: 0.990625
        (conv(16, 8, kernel=5), 0.64),  # another kernel: 0.8
        (conv(5, 8, kernel=5), None),  # and five outputs of sixteen: 0.69688, and 0.5833 is less than 0.6
    ],
)
def test_a_dense_convolution_is_alike_to_its_two_parts_under_another_parent(whole: ModuleRecord, confidence: float | None) -> None:
    found = find_partner(*move(whole, {"b.dw": conv(8, 8, groups=8), "b.pw": conv(16, 8, kernel=1)}), "a.x")
    assert found == (None if confidence is None else "b.dw", confidence)
