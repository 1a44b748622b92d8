"""Baselines as files: what is written is what is read, and a small change is a small diff."""

import difflib
import json

import msgspec
import pytest
from factories import draw_profiles, make_cost, make_input, make_module, make_profile, make_tensor
from hypothesis import given
from hypothesis import strategies as st

from archaudit.errors import SavedFileError
from archaudit.schema import Call, FlowNode, decode_profile, encode, encode_baseline


def make_chain(layers, reused=()):
    """A chain of layers, each fed by the one before; those in `reused` are called once more at the end."""
    called = [*layers, *reused]
    calls = {
        name: tuple(Call(order=place, inputs=(), outputs=((1, 8),)) for place, each in enumerate(called) if each == name) for name in layers
    }
    modules = {
        name: make_module(make_cost(64, 64), calls=calls[name], tensors=(make_tensor("weight", (8, 8)),), settings={"bias": None})
        for name in layers
    }
    flow = [FlowNode(id=0, op="input", module="", shape=(1, 8))]
    flow += (FlowNode(id=place, op="call", module=name, inputs=(place - 1,), shape=(1, 8)) for place, name in enumerate(called, 1))
    return make_profile(modules, inputs=(make_input(1, 8),), flow=tuple(flow), ties=(("a.weight", "b.weight"),))


@given(draw_profiles())
def test_a_baseline_is_read_as_it_was_written(profile):
    saved = decode_profile(encode_baseline(profile), "x")
    assert encode(saved) == encode(profile)
    assert encode_baseline(saved) == encode_baseline(profile)


@given(st.lists(st.sampled_from("abcdef"), unique=True, min_size=1), st.lists(st.integers(0, 5), max_size=4))
def test_calls_and_flow_are_read_as_they_were_written(layers, reused):
    profile = make_chain(layers, [layers[each % len(layers)] for each in reused])
    assert decode_profile(encode_baseline(profile), "x") == profile


def test_an_order_with_gaps_is_kept_as_it_is():
    profile = make_chain("abc")
    calls = (Call(order=7, inputs=(), outputs=()),)
    modules = tuple(msgspec.structs.replace(module, calls=calls if module.path == "a" else module.calls) for module in profile.modules)
    flow = (FlowNode(id=3, op="input", module=""),)
    gapped = msgspec.structs.replace(profile, modules=modules, flow=flow)
    assert decode_profile(encode_baseline(gapped), "x") == gapped


def test_each_module_has_one_line():
    text = encode_baseline(make_chain("abc")).decode()
    for name in "abc":
        assert len([line for line in text.splitlines() if f'"path": "{name}"' in line]) == 1
    assert json.loads(text)["lock_version"] == 1
    assert text.endswith("}\n")


def count_changed_lines(before, after):
    texts = [encode_baseline(profile).decode().splitlines() for profile in (before, after)]
    return sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in difflib.unified_diff(*texts, lineterm="", n=0))


def test_an_inserted_layer_changes_seven_lines_of_any_model():
    names = [f"layer{number}" for number in range(100)]
    # three new lines: the module, its call, its step; and the root's line and the totals, each before and after
    assert count_changed_lines(make_chain(names), make_chain([*names[:50], "new", *names[50:]])) == 3 + 2 + 2


def test_a_layer_resized_changes_its_own_line_and_the_sums():
    names = [f"layer{number}" for number in range(100)]
    before = make_chain(names)
    larger = tuple(
        msgspec.structs.replace(module, own=make_cost(65, 64), total=make_cost(65, 64)) if module.path == "layer50" else module
        for module in before.modules
    )
    assert count_changed_lines(before, msgspec.structs.replace(before, modules=larger)) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lock_version": 9}, "it has the layout 9; this archaudit reads 1"),
        ({"call_order": ["a"]}, "has more calls than call_order lists"),
        ({"call_order": ["a", "b", "c", "c"]}, "contradict each other"),
        ({"call_order": ["a", "b", "nobody"]}, "contradict each other"),
        ({"modules": 3}, "contradict each other"),
        ({"flow": [{"op": "call"}, {"inputs_back": [1]}]}, "contradict each other"),
        ({"totals": 3}, "is not a saved profile"),
    ],
)
def test_a_malformed_baseline_raises(change, message):
    content = json.loads(encode_baseline(make_chain("abc"))) | change
    with pytest.raises(SavedFileError, match=message):
        decode_profile(json.dumps(content).encode(), "x")
