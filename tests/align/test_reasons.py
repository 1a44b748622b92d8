"""The reason of each kind of match, word for word."""

from __future__ import annotations

import pytest
from align.toys import Modules, box, chain, conv, linear, list_matches, norm
from factories import make_module, make_profile, make_tensor

from archaudit.align import Pin, align
from archaudit.schema import Profile

KEEP = {"a": box("A"), "a.k": conv(4, 4), "b": box("B"), "b.k": conv(5, 5)}


def explain(before: Modules | Profile, after: Modules | Profile) -> dict[tuple[str | None, str | None], str]:
    return {pair: match.reason for pair, match in list_matches(before, after).items()}


def test_the_same_path_with_the_same_and_with_another_type() -> None:
    reasons = explain({"x": linear(8), "y": box("ReLU")}, {"x": linear(9), "y": box("GELU")})
    assert reasons["x", "x"] == "same path"
    assert reasons["y", "y"] == "same path, different type"


def test_the_same_name_under_a_renamed_parent() -> None:
    before = {"a": box(), "a.k": conv(4, 4), "a.fc": linear(8), "a.0": linear(7)}
    after = {"b": box(), "b.k": conv(4, 4), "b.fc": linear(9), "b.0": linear(7)}
    reasons = explain(before, after)
    assert reasons["a.fc", "b.fc"] == "same name under a → b"
    assert reasons["a.0", "b.0"] == "same name under a → b"  # an index, but the only such layer


def test_an_identical_layer_that_was_renamed_or_moved() -> None:
    assert explain({"x": linear(8)}, {"y": linear(8)})["x", "y"] == "identical layer, renamed"
    assert explain({**KEEP, "a.x": linear(8)}, {**KEEP, "b.y": linear(8)})["a.x", "b.y"] == "identical layer, moved from a to b"
    moved = explain({**KEEP, "x": linear(8)}, {**KEEP, "b.x": linear(8)})
    assert moved["x", "b.x"] == "identical layer, moved from the root to b"
    before, after = {"x": box(), "x.0": linear(8)}, {"y": box(), "y.0": linear(8)}
    assert explain(before, after)["x", "y"] == "identical subtree, renamed"


def test_a_layer_inside_a_new_wrapper_or_no_longer_inside_one() -> None:
    plain, wrapped = {"x": linear(8)}, {"x": box("Wrapper"), "x.inner": linear(8)}
    assert explain(plain, wrapped)["x", "x.inner"] == "same module, now inside x"
    assert explain(wrapped, plain)["x.inner", "x"] == "same module, no longer inside x"


@pytest.mark.parametrize(
    ("around", "words"),
    [
        (("m", "n"), "same position between m and n"),
        (("m", None), "same position after m"),
        ((None, "n"), "same position before n"),
        ((None, None), "same position in the root"),
    ],
)
def test_a_position_is_described_by_the_matched_siblings(around: tuple[str | None, str | None], words: str) -> None:
    def build(name: str, size: int) -> Modules:
        first, last = around
        return {**({first: conv(4, 4)} if first else {}), name: linear(size, 8), **({last: norm(4)} if last else {})}

    assert explain(build("x", 8), build("y", 10))["x", "y"] == f"{words}, same type, 8→10 outputs"


def test_a_sibling_that_moved_to_the_other_side_describes_no_position() -> None:
    before, after = {"x": linear(8), "m": conv(4, 4)}, {"m": conv(4, 4), "y": linear(10, 8)}
    assert explain(before, after)["x", "y"] == "same position in the root, same type, 8→10 outputs"


def test_sizes_that_differ_are_named() -> None:
    assert explain({"x": linear(8, 1000)}, {"y": linear(10, 2000)})["x", "y"].endswith("same type, 1,000→2,000 inputs, 8→10 outputs")
    grouped = explain({"x": conv(8, 8)}, {"y": conv(16, 16, groups=2)})["x", "y"]
    assert grouped.endswith("same type, 8→16 inputs, 8→16 outputs, 1→2 groups")
    assert explain({"x": norm(8)}, {"y": norm(10)})["x", "y"].endswith("same type, 8→10 features")
    other = make_module(16, "GroupNorm", tensors=(make_tensor("weight", (8,)), make_tensor("bias", (8,))))
    assert explain({"x": norm(8)}, {"y": other})["x", "y"] == "same position in the root, BatchNorm2d → GroupNorm"


def test_a_layer_alone_in_its_place_with_as_many_parameters() -> None:
    before = {"a": linear(11), "x": linear(8), "z": linear(12)}
    after = {"a": linear(11), "y": conv(4, 4, kernel=2), "z": linear(12)}
    words = "same position between a and z, same number of parameters, Linear → Conv2d, 8→4 inputs, 8→4 outputs"
    assert explain(before, after)["x", "y"] == words


def test_a_layer_out_of_order_under_its_parent() -> None:
    reasons = explain({"p": conv(8, 8), "q": linear(1000)}, {"b": linear(900, 1000), "a": conv(8, 9)})
    assert reasons["q", "b"] == "best match under the root, same type, 1,000→900 outputs"


def test_a_layer_and_what_follows_it_in_another_part() -> None:
    before = {"b": box("B"), "b.k": conv(5, 5), "a": box("A"), "a.x": linear(8), "a.n": norm(6)}
    after = {"a": box("A"), "b": box("B"), "b.k": conv(5, 5), "b.y": linear(9), "b.m": norm(7)}
    reasons = explain(chain(before), chain(after))
    assert reasons["a.x", "b.y"] == "same position in the data flow, same type, 8→9 inputs, 8→9 outputs"
    assert reasons["a.n", "b.m"] == "follows the same layer, same type, 6→7 features"


def test_containers_found_by_their_layers_or_their_children() -> None:
    before = {"x": box("Encoder"), "x.0": linear(11), "x.1": linear(12), "x.2": linear(13)}
    after = {"y": box("Tower"), "y.0": linear(11), "y.1": linear(12), "y.2": conv(21, 3)}
    assert explain(before, after)["x", "y"] == "most of the layers inside match, Encoder → Tower"
    moved = explain({**KEEP, **{f"a.{path}": record for path, record in before.items()}},
                    {**KEEP, **{f"b.{path}": record for path, record in after.items()}})  # fmt: skip
    assert moved["a.x", "b.y"] == "most children match, Encoder → Tower"


def test_a_split_and_its_mirror() -> None:
    whole, parts = {"qkv": linear(20, 8)}, {"q": linear(10, 8), "kv": linear(10, 8)}
    split = explain(whole, parts)
    assert split["qkv", "q"].endswith("; qkv split into q + kv: its 20 outputs are divided")
    assert split[None, "kv"] == "qkv split into q + kv: its 20 outputs are divided"
    assert explain(parts, whole)["kv", None] == "q + kv merged into qkv: their outputs are its 20 outputs"


def test_a_separated_a_factored_and_a_fused_layer() -> None:
    separated = explain({"x": conv(16, 8)}, {"dw": conv(8, 8, groups=8), "pw": conv(16, 8, kernel=1)})
    assert separated[None, "pw"] == "x split into dw + pw: depthwise and pointwise"
    factored = explain({"x": linear(100)}, {"down": linear(4, 100), "up": linear(100, 4)})
    assert "x split into down + up: factored" in {reason.rpartition("; ")[2] for reason in factored.values()}
    fused = explain({"x": conv(8, 8, bias=True)}, {"x": conv(8, 8), "n": norm(8)})
    assert fused[None, "n"] == "x split into x + n: a norm is fused with the layer before it"


def test_children_that_were_divided_among_containers() -> None:
    before = {"x": box("Decoder"), **{f"x.{n}": linear(11 + n) for n in range(4)}}
    after = {"p": box("Decoder"), "p.0": linear(11), "p.1": linear(12), "q": box("Decoder"), "q.0": linear(13), "q.1": linear(14)}
    reasons = explain(before, after)
    assert reasons[None, "p"] == "x split into q + p: its children are divided"
    assert explain(after, before)["p", None] == "q + p merged into x: their children are joined"


def test_a_number_of_repeated_blocks() -> None:
    def stack(count: int) -> Modules:
        blocks = {f"s.{n}": box("Stage") for n in range(count)}
        return {"s": box("Holder"), **blocks, **{f"s.{n}.fc": linear(8) for n in range(count)}}

    def order(modules: Modules) -> Modules:
        return {path: modules[path] for path in sorted(modules)}

    assert explain(order(stack(3)), order(stack(5)))["s", "s"] == "same path; Stage ×3 → ×5"
    assert explain(order(stack(5)), order(stack(3)))["s", "s"] == "same path; Stage ×5 → ×3"


def test_a_pinned_pair_and_what_was_removed_or_added() -> None:
    sides = make_profile({"x": linear(8)}), make_profile({"y": conv(8, 8)})
    assert [match.reason for match in align(*sides)] == ["same path", "no counterpart after", "no counterpart before"]
    pinned = align(*sides, [Pin(before="x", after="y", source="pin")])
    assert [match.reason for match in pinned] == ["same path", "Linear → Conv2d; pinned (pin)"]


def test_profiles_without_a_common_root_type_are_still_matched_at_the_root() -> None:
    assert chain({"x": linear(8)}).modules[0].path == ""
    sides = make_profile({"": box("Old"), "x": linear(8)}), make_profile({"": box("New"), "x": linear(8)})
    assert next((match.before_path, match.after_path, match.reason) for match in align(*sides)) == (
        "",
        "",
        "both are roots, Old → New",
    )
