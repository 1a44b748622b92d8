"""What a checkpoint becomes, on profiles written by hand: rows joined and divided, folded norms, and keys of several names."""

from __future__ import annotations

from itertools import permutations
from types import SimpleNamespace
from typing import Any

import pytest
from factories import make_module, make_profile, make_tensor

from archaudit.diff.checkpoint.adapters import _rate
from archaudit.diff.checkpoint.key_map import list_used, map_checkpoint
from archaudit.diff.checkpoint.transforms import measure_rows
from archaudit.diff.checkpoint.weight_sources import WeightMap, map_weights, plan_weights
from archaudit.schema import Call, CheckpointMap, FoldedNorm, JoinedRows, Match, ModuleRecord, Pair, ReshapedKey, TensorRecord

Modules = dict[str, ModuleRecord]
ROOT = {"": make_module(0, "Net")}


def hold(*tensors: TensorRecord, type: str = "Linear", **fields: Any) -> ModuleRecord:
    return make_module(0, type, tensors=tensors, **fields)


def weight(*shape: int, name: str = "weight", **fields: Any) -> TensorRecord:
    return make_tensor(name, shape, **fields)


def match(before: str | None, after: str | None, **fields: Any) -> Match:
    return Match(before_path=before, after_path=after, confidence=1.0, reason="by hand", **fields)


def inherit(before: Modules, after: Modules, *matches: Match) -> list[WeightMap]:
    return list(map_weights(make_profile(ROOT | before), make_profile(ROOT | after), [match("", ""), *matches]))


PARTS = {"q": hold(weight(2, 4)), "k": hold(weight(3, 4)), "v": hold(weight(5, 4))}
WHOLE = {"qkv": hold(weight(10, 4))}
MERGED = [match("q", "qkv", change_id=0), match("k", None, change_id=0), match("v", None, change_id=0)]
SPLIT = [match("qkv", "q", change_id=0), match(None, "k", change_id=0), match(None, "v", change_id=0)]


def test_parts_are_joined_in_their_order_and_then_tried_in_every_other() -> None:
    ways = [each.sources["qkv.weight"] for each in inherit(PARTS, WHOLE, *MERGED)]
    assert ways == [JoinedRows(tensors=order) for order in permutations(["q.weight", "k.weight", "v.weight"])]


def test_a_whole_is_divided_where_each_part_ends() -> None:
    ways = inherit(WHOLE, PARTS, *SPLIT)

    def rows(start: int, stop: int) -> JoinedRows:
        return JoinedRows(tensors=("qkv.weight",), start=start, stop=stop)

    assert ways[0].sources == {"q.weight": rows(0, 2), "k.weight": rows(2, 5), "v.weight": rows(5, 10)}
    assert ways[1].sources == {"q.weight": rows(0, 2), "v.weight": rows(2, 7), "k.weight": rows(7, 10)}
    assert len(ways) == 6


def test_the_parts_are_in_the_order_of_their_models_and_not_of_their_matches() -> None:
    (first, *_) = inherit(PARTS, WHOLE, MERGED[2], MERGED[0], MERGED[1])
    assert first.sources["qkv.weight"] == JoinedRows(tensors=("q.weight", "k.weight", "v.weight"))
    (first, *_) = inherit(WHOLE, PARTS, SPLIT[2], SPLIT[0], SPLIT[1])
    assert first.sources["k.weight"] == JoinedRows(tensors=("qkv.weight",), start=2, stop=5)


def test_rows_may_be_interleaved_where_every_part_divides_by_the_number_of_heads() -> None:
    heads = {"num_heads": 2}
    parts = {"q": hold(weight(2, 4), settings=heads), "k": hold(weight(4, 4), settings=heads)}
    joined = [match("q", "qk", change_id=0), match("k", None, change_id=0)]
    ways = inherit(parts, {"qk": hold(weight(6, 4))}, *joined)
    assert [(way.sources["qk.weight"].tensors[0], way.sources["qk.weight"].groups) for way in ways] == [  # type: ignore[union-attr]
        ("q.weight", 1), ("k.weight", 1), ("q.weight", 2), ("k.weight", 2),
    ]  # fmt: skip
    divided = inherit({"qk": hold(weight(6, 4), settings=heads)}, parts, match("qk", "q", change_id=0), match(None, "k", change_id=0))
    assert divided[2].sources == {
        "q.weight": JoinedRows(tensors=("qk.weight",), start=0, stop=1, groups=2),
        "k.weight": JoinedRows(tensors=("qk.weight",), start=1, stop=3, groups=2),
    }
    odd = {"q": hold(weight(3, 4), settings=heads), "k": hold(weight(3, 4), settings=heads)}
    ways = inherit(odd, {"qk": hold(weight(6, 4))}, *joined)
    assert {way.sources["qk.weight"].groups for way in ways} == {1}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "parts",
    [
        {"q": hold(weight(2, 4)), "k": hold(weight(3, 4))},  # five rows of ten
        {"q": hold(weight(2, 5)), "k": hold(weight(8, 5))},  # of another width
        {"q": hold(weight(10, 4)), "k": hold()},  # one of two has no such tensor
    ],
)
def test_what_does_not_add_up_to_the_whole_is_not_joined(parts: Modules) -> None:
    (found, *_) = inherit(parts, WHOLE, match("q", "qkv", change_id=0), match("k", None, change_id=0))
    assert found.assumed == {}


def test_each_tensor_of_a_whole_is_joined_from_those_of_its_name() -> None:
    parts = {name: hold(weight(2, 4), weight(2, name="bias")) for name in "qk"}
    whole = {"qk": hold(weight(4, 4), weight(4, name="bias"))}
    (found, *_) = inherit(parts, whole, match("q", "qk", change_id=0), match("k", None, change_id=0))
    assert found.sources == {
        name: JoinedRows(tensors=(f"q.{key}", f"k.{key}")) for name, key in (("qk.weight", "weight"), ("qk.bias", "bias"))
    }
    assert found.assumed == {"qk": ("q", "k")}


def test_tensors_of_a_module_itself_go_to_its_new_children_and_back() -> None:
    inlined = {"attn": hold(weight(6, 4, name="in_proj_weight"), type="Attention")}
    apart = {"attn": hold(type="Attention"), "attn.q": hold(weight(2, 4)), "attn.k": hold(weight(4, 4))}
    (found, *_) = inherit(inlined, apart, match("attn", "attn"), match(None, "attn.q"), match(None, "attn.k"))
    assert found.sources == {
        "attn.q.weight": JoinedRows(tensors=("attn.in_proj_weight",), start=0, stop=2),
        "attn.k.weight": JoinedRows(tensors=("attn.in_proj_weight",), start=2, stop=6),
    }
    (back, *_) = inherit(apart, inlined, match("attn", "attn"), match("attn.q", None), match("attn.k", None))
    assert back.sources == {"attn.in_proj_weight": JoinedRows(tensors=("attn.q.weight", "attn.k.weight"))}
    # a tensor that both sides have under one name is not in question
    kept = {"attn": hold(weight(6, 4, name="in_proj_weight"), type="Attention"), "attn.q": hold(weight(6, 4))}
    (found, *_) = inherit(inlined, kept, match("attn", "attn"), match(None, "attn.q"))
    assert found.new == ("attn.q.weight",)


# --- norms that disappeared into the layer before them


def norm(source: str, size: int = 4, *, eps: object = 0.5, variance: bool = True, **fields: Any) -> ModuleRecord:
    names = ["running_mean", *(["running_var"] if variance else [])]
    buffers = [weight(size, name=name, kind="buffer", trainable=False) for name in names]
    calls = (Call(order=2, inputs=(), outputs=(), inputs_from=(source,)),)
    settings = {} if eps is None else {"eps": eps}
    return hold(weight(size), weight(size, name="bias"), *buffers, type="BatchNorm2d", calls=calls, settings=settings, **fields)


BIASED = {"c": hold(weight(4, 3), weight(4, name="bias"))}


def test_a_layer_that_got_a_bias_takes_in_the_norm_that_followed_it() -> None:
    before = {"c": hold(weight(4, 3)), "n": norm("c")}
    (found,) = inherit(before, BIASED, match("c", "c"), match("n", None))
    assert found.sources == {
        "c.weight": FoldedNorm(weight="c.weight", bias=None, norm="n", eps=0.5, outputs=0),
        "c.bias": FoldedNorm(weight=None, bias=None, norm="n", eps=0.5, outputs=0),
    }
    assert found.modules == {"": "", "c": "n"}
    with_bias = {**before, "c": BIASED["c"]}
    assert inherit(with_bias, BIASED, match("c", "c"), match("n", None))[0].sources["c.bias"] == FoldedNorm(
        weight=None, bias="c.bias", norm="n", eps=0.5, outputs=0
    )


def test_a_norm_without_scale_and_shift_is_folded_by_its_mean_and_variance_alone() -> None:
    buffers = [weight(4, name=name, kind="buffer", trainable=False) for name in ("running_mean", "running_var")]
    plain = hold(*buffers, type="BatchNorm2d", calls=(Call(order=2, inputs=(), outputs=(), inputs_from=("c",)),))
    (found,) = inherit({"c": hold(weight(4, 3)), "n": plain}, BIASED, match("c", "c"), match("n", None))
    assert isinstance(found.sources["c.weight"], FoldedNorm)


def test_a_transposed_layer_has_its_outputs_second_and_a_norm_may_have_no_eps() -> None:
    deconv = hold(weight(4, 3), type="ConvTranspose2d", settings={"transposed": True})
    after = {"c": hold(weight(4, 3), weight(4, name="bias"), type="ConvTranspose2d", settings={"transposed": True})}
    (found,) = inherit({"c": deconv, "n": norm("c", eps=None)}, after, match("c", "c"), match("n", None))
    assert found.sources["c.weight"] == FoldedNorm(weight="c.weight", bias=None, norm="n", eps=0.0, outputs=1)


@pytest.mark.parametrize(
    ("before", "after", "norm_after"),
    [
        ({"n": norm("c", variance=False)}, BIASED, None),
        ({"n": norm("c"), "m": norm("c")}, BIASED, None),  # two read the layer
        ({"n": norm("other")}, BIASED, None),
        ({"n": norm("c")}, {"c": hold(weight(4, 3))}, None),  # it got no bias
        ({"n": norm("c")}, {"c": hold(weight(4, 5), weight(4, name="bias"))}, None),  # another weight
        ({"n": norm("c")}, {**BIASED, "n": norm("c")}, "n"),  # the norm is still there
    ],
)
def test_what_is_no_folded_norm(before: Modules, after: Modules, norm_after: str | None) -> None:
    before = {"c": hold(weight(4, 3)), **before}
    gone = [match(path, norm_after if path == "n" else None) for path in before if path != "c"]
    (found, *_) = inherit(before, after, match("c", "c"), *gone)
    assert not any(isinstance(source, FoldedNorm) for source in found.sources.values())


def test_a_norm_whose_place_something_without_tensors_took_is_folded() -> None:
    after = {**BIASED, "n": hold(type="Identity")}
    (found,) = inherit({"c": hold(weight(4, 3)), "n": norm("c")}, after, match("c", "c"), match("n", "n"))
    assert isinstance(found.sources["c.weight"], FoldedNorm)


# --- keys


def map_keys(before: Modules, after: Modules, *matches: Match) -> CheckpointMap:
    return map_checkpoint(make_profile(ROOT | before), make_profile(ROOT | after), [match("", ""), *matches])


def test_tensors_that_no_checkpoint_keeps_do_not_hide_those_behind_them() -> None:
    made = weight(3, name="made", kind="buffer", persistent=False)
    side = {"m": hold(made, weight(2, 2))}
    found = map_keys(side, side, match("m", "m"))
    assert (found.same, found.missing, found.unused) == (("m.weight",), (), ())


def test_every_way_a_key_may_go() -> None:
    before = {"a": hold(weight(2, 2), weight(2, name="bias")), "b": hold(weight(3)), "gone": hold(weight(4)), "stay": hold(weight(5))}
    after = {"z": hold(weight(2, 2), weight(9, name="bias")), "b": hold(weight(3)), "new": hold(weight(6)), "stay": hold(weight(5))}
    found = map_keys(before, after, match("a", "z"), match("b", "b"), match("gone", None), match(None, "new"))
    assert found.renamed == {"a.weight": "z.weight"}
    assert found.same == ("b.weight", "stay.weight")  # no match says anything of `stay`: torch goes by names
    assert found.reshaped == (ReshapedKey(before="a.bias", after="z.bias", before_shape=(2,), after_shape=(9,)),)
    assert (found.missing, found.unused) == (("new.weight",), ("gone.weight",))
    assert (found.tied, found.conflicts) == ({}, ())


def test_a_key_loads_by_its_name_only_with_its_shape_and_only_once() -> None:
    other = map_keys({"a": hold(weight(2))}, {"a": hold(weight(3))})
    assert (other.same, other.missing, other.unused) == ((), ("a.weight",), ("a.weight",))
    moved = map_keys({"a": hold(weight(2))}, {"a": hold(weight(2)), "b": hold(weight(2))}, match("a", "b"))
    assert (moved.same, moved.renamed, moved.missing) == ((), {"a.weight": "b.weight"}, ("a.weight",))


def test_a_module_of_several_names_has_keys_under_each() -> None:
    def side(path: str, *aliases: str) -> Modules:
        return {path: hold(weight(2), aliases=aliases)}

    both = map_keys(side("a", "c"), side("a", "c"), match("a", "a"))
    assert (both.same, both.renamed, both.tied) == (("a.weight", "c.weight"), {}, {})
    renamed = map_keys(side("a", "c"), side("x", "y"), match("a", "x"))
    assert renamed.renamed == {"a.weight": "x.weight", "c.weight": "y.weight"}
    more = map_keys(side("a"), side("x", "y"), match("a", "x"))
    assert (more.renamed, more.tied) == ({"a.weight": "x.weight"}, {"y.weight": "a.weight"})
    fewer = map_keys(side("a", "c"), side("a"), match("a", "a"))
    assert (fewer.same, fewer.unused) == (("a.weight",), ("c.weight",))


def test_tensors_of_their_own_that_go_into_one_are_a_conflict() -> None:
    before = {"a": hold(weight(2)), "b": hold(weight(2))}
    after = {"a": hold(weight(2)), "b": hold(weight(2, tied_to="a.weight"))}
    found = map_keys(before, after, match("a", "a"), match("b", "b"))
    assert found.conflicts == (("a.weight", "b.weight"),)
    assert map_keys(after, after, match("a", "a"), match("b", "b")).conflicts == ()
    assert map_keys(after, before, match("a", "a"), match("b", "b")).conflicts == ()


def test_the_rows_of_a_weight_of_one_element() -> None:
    assert measure_rows((1, 1)) == (1, 1)
    assert measure_rows((1, 6, 2)) == (6, 12)


def test_an_adapter_is_rated_by_how_far_its_weights_are_from_the_layer() -> None:
    weight = SimpleNamespace(path="fc", position=10)
    modules: Any = SimpleNamespace(before=SimpleNamespace(inputs={}))
    layer: Any = SimpleNamespace(weight=weight)
    down: Any = SimpleNamespace(path="down", position=4)
    up: Any = SimpleNamespace(path="up", position=20)
    assert _rate(modules, layer, down, up)[2] == 6 + 10


def test_new_children_of_a_matched_module_may_add_up_to_one_that_is_gone() -> None:
    """No match says that qkv became q, k and v; their rows do: 2 + 3 + 5 = 10."""
    block = {"block": make_module(0, "Block")}
    parts = {f"block.{name}": module for name, module in PARTS.items()}
    whole = {"block.qkv": WHOLE["qkv"]}
    gone = [match("block", "block"), match("block.qkv", None), *(match(None, path) for path in parts)]
    (found, *_) = inherit(block | whole, block | parts, *gone)
    names = [source.names for source in found.sources.values()]
    assert names == [("block.qkv.weight",)] * 3
    came = [match("block", "block"), match(None, "block.qkv"), *(match(path, None) for path in parts)]
    (found, *_) = inherit(block | parts, block | whole, *came)
    assert found.sources["block.qkv.weight"].names == ("block.q.weight", "block.k.weight", "block.v.weight")


def test_a_tensor_of_the_whole_that_no_rows_add_up_to_does_not_hide_the_next_one() -> None:
    """The scale of one element is the whole's alone."""
    whole = {"qkv": hold(weight(1, name="scale"), weight(10, 4))}
    assert set(inherit(PARTS, whole, *MERGED)[0].sources) == {"qkv.weight"}


def test_rows_of_transposed_parts_are_counted_along_their_second_dimension() -> None:
    """Stored as (inputs, outputs): 5 inputs, 4 outputs each. Heads of a setting divide the 4 outputs, and not the 5 inputs."""
    heads = {"num_heads": 2}
    parts = {name: hold(weight(5, 4), type="Conv1D") for name in ("q", "k")}
    whole = {"qk": hold(weight(8, 5), settings=heads)}
    merged = [match("q", "qk", change_id=0), match("k", None, change_id=0)]
    groups = {source.groups for each in inherit(parts, whole, *merged) for source in each.sources.values()}
    assert groups == {1, 2}


def test_two_parameters_of_one_shape_that_only_their_size_pairs_are_tried_in_both_orders() -> None:
    before = {"m": hold(weight(7, name="gain"), weight(7, name="shift"))}
    after = {"m": hold(weight(7, name="alpha"), weight(7, name="beta"))}
    (question,) = plan_weights(make_profile(ROOT | before), make_profile(ROOT | after), (match("", ""), match("m", "m"))).questions
    orders = [{name: source.names for name, source in answer.sources.items()} for answer in question]
    assert orders == [
        {"m.alpha": ("m.gain",), "m.beta": ("m.shift",)},
        {"m.alpha": ("m.shift",), "m.beta": ("m.gain",)},
    ]


def test_the_entries_that_a_run_used_are_those_with_exactly_its_sources() -> None:
    before = {"a": hold(weight(4, 4)), "b": hold(weight(4, 4)), "n": norm("b")}
    after = {"a": hold(weight(4, 4)), "c": hold(weight(4, 4))}
    profiles = Pair(make_profile(ROOT | before), make_profile(ROOT | after))
    mapping = CheckpointMap(same=("a.weight",), renamed={"b.weight": "c.weight"})
    plain = {"a.weight": JoinedRows(tensors=("a.weight",)), "c.weight": JoinedRows(tensors=("b.weight",))}
    assert list_used(mapping, profiles, plain) == {"a.weight", "c.weight"}
    turned = plain | {"c.weight": JoinedRows(tensors=("b.weight",), transposed=True)}
    assert list_used(mapping, profiles, turned) == {"a.weight"}
    swapped = plain | {"c.weight": JoinedRows(tensors=("a.weight",))}
    assert list_used(mapping, profiles, swapped) == {"a.weight"}
    folded = plain | {"c.weight": FoldedNorm(weight="b.weight", bias=None, norm="n", eps=0.5, outputs=0)}
    assert list_used(mapping, profiles, folded) == {"a.weight"}
