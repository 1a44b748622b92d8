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
from archaudit.schema.baseline import compute_digest


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
    return make_profile(
        modules,
        inputs=(make_input(1, 8),),
        flow=tuple(flow),
        ties=(tuple(f"{name}.weight" for name in layers[:2]),) if len(layers) > 1 else (),
    )


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
    assert json.loads(text)["lock_version"] == 2
    assert text.endswith("}\n")


def count_changed_lines(before, after):
    texts = [encode_baseline(profile).decode().splitlines() for profile in (before, after)]
    return sum(line[:1] in "+-" and line[:3] not in ("+++", "---") for line in difflib.unified_diff(*texts, lineterm="", n=0))


def test_an_inserted_layer_changes_seven_lines_of_any_model():
    names = [f"layer{number}" for number in range(100)]
    # three new lines: the module, its call, its step; and the totals and the digest, each before and after
    assert count_changed_lines(make_chain(names), make_chain([*names[:50], "new", *names[50:]])) == 3 + 2 + 2


def test_a_layer_that_works_more_changes_its_own_line_the_sum_and_the_digest():
    names = [f"layer{number}" for number in range(100)]
    before = make_chain(names)
    modules = {module.path: module for module in before.modules[1:]}
    modules["layer50"] = msgspec.structs.replace(modules["layer50"], own=make_cost(64, 65))
    after = make_profile(modules, inputs=before.inputs, flow=before.flow, ties=before.ties)
    assert count_changed_lines(before, after) == 2 + 2 + 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lock_version": 9}, "it has the layout 9; this archaudit reads layouts up to 2"),
        ({"calls": [{"module": "a", "shapes": "nothing"}]}, "contradict each other"),
        ({"calls": [{"module": "nobody", "shapes": "56c0232a"}]}, "contradict each other"),
        ({"calls": [{"times": 10**9, "next": 1}, {"module": "a", "shapes": "56c0232a"}]}, "is not possible"),
        ({"flow": [{"times": 2, "next": 3}]}, "is not possible"),
        ({"modules": 3}, "contradict each other"),
        ({"flow": [{"op": "input", "module": ""}]}, r"flow\[0\].inputs: -1 is no earlier node"),
        ({"totals": 3}, "is not a saved profile"),
    ],
)
def test_a_malformed_baseline_raises(change, message):
    content = json.loads(encode_baseline(make_chain("abc"))) | change
    content["digest"] = compute_digest(content)
    with pytest.raises(SavedFileError, match=message):
        decode_profile(json.dumps(content).encode(), "x")


def test_a_baseline_that_was_edited_by_hand_is_told_from_a_generated_one():
    text = encode_baseline(make_chain("abc")).decode()
    with pytest.raises(SavedFileError, match="it was edited by hand, or merged"):
        decode_profile(text.replace('"name": "model"', '"name": "other"').encode(), "x")
    without = json.dumps({name: value for name, value in json.loads(text).items() if name != "digest"})
    with pytest.raises(SavedFileError, match="it was edited by hand, or merged"):
        decode_profile(without.encode(), "x")
    # other line ends and spaces change no value
    assert decode_profile(json.dumps(json.loads(text), indent=3).replace("\n", "\r\n").encode(), "x") == make_chain("abc")


# --- the layout for review


def make_blocks(count):
    """A network of equal blocks, two layers each, with a residual connection over each block."""
    modules, flow = {"blocks": 0}, [FlowNode(id=0, op="input", module="", shape=(1, 8))]
    order = 0
    for number in range(count):
        path = f"blocks.{number}"
        modules[path] = make_module(0, "Block", settings={"width": 8})
        for name in ("first", "second"):
            call = Call(order=order, inputs=((1, 8),), outputs=((1, 8),), inputs_from=(f"{path}.first",) if name == "second" else ())
            modules[f"{path}.{name}"] = make_module(make_cost(64, 64), tensors=(make_tensor("weight", (8, 8)),), calls=(call,))
            flow.append(FlowNode(id=len(flow), op="call", module=f"{path}.{name}", inputs=(len(flow) - 1,), shape=(1, 8)))
            order += 1
        flow.append(FlowNode(id=len(flow), op="add", module=path, inputs=(len(flow) - 1, len(flow) - 3), shape=(1, 8)))
    return make_profile(modules, inputs=(make_input(1, 8),), flow=tuple(flow))


def test_two_more_blocks_change_about_as_many_lines_as_they_add():
    before, after = (encode_baseline(make_blocks(count)).decode().splitlines() for count in (10, 12))
    added = len(after) - len(before)
    assert added == 2 * (3 + 2 + 3)  # modules, calls, and steps of each block
    # the sums, the digest, and the last lines of the three lists, which get a comma, change too: each before and after
    assert count_changed_lines(make_blocks(10), make_blocks(12)) == added + 2 * (1 + 1 + 3)


def test_calls_that_repeat_are_written_once():
    calls = {
        name: tuple(Call(order=2 * step + place, inputs=((1, 8),), outputs=((1, 8),)) for step in range(50))
        for place, name in enumerate("ab")
    }
    looped = make_profile({name: make_module(make_cost(), calls=calls[name]) for name in "ab"})
    text = encode_baseline(looped).decode()
    assert '{"times": 50, "next": 2}' in text
    assert len([line for line in text.splitlines() if '"module": "a"' in line]) == 1
    assert decode_profile(text.encode(), "x") == looped


def test_lines_have_at_most_200_characters_and_figures_come_before_details():
    settings = {f"setting_{number}": [number] * 20 for number in range(30)}
    tensors = tuple(make_tensor(f"weight_{number}", (2, 2), init="kaiming_normal_(mode='fan_out')") for number in range(12))
    module = make_module(make_cost(48, 10**15, activation_bytes=10**12, moved_bytes=10**12), settings=settings, tensors=tensors)
    lines = encode_baseline(make_profile({"backbone": 0, "backbone." + "block" * 12: module})).decode().splitlines()
    assert max(map(len, lines)) <= 200
    figures = next(place for place, line in enumerate(lines) if '"macs": 1000000000000000' in line and '"path"' in line)
    assert figures < next(place for place, line in enumerate(lines) if "setting_0" in line)


def test_the_first_layout_is_still_read():
    """As archaudit wrote it before: a call and the forward graph with relative positions."""
    cost = {"params": 64, "trainable_params": 64, "buffers": 0, "param_bytes": 256, "flops": 128, "macs": 64}
    costs = cost | {"activation_bytes": 0, "moved_bytes": 0}
    zero = dict.fromkeys(costs, 0)
    tensor = {"name": "weight", "kind": "parameter", "persistent": True, "shape": [8, 8], "dtype": "float32", "trainable": True}
    call = {"inputs": [[1, 8]], "outputs": [[1, 8]], "inputs_from": []}
    content = {
        **{"format_version": 1, "lock_version": 1, "name": "m", "reference": "m.py:M", "totals": costs, "call_order": ["a", "a"]},
        "modules": [
            {"path": "", "type": "M", "own": zero, "total": costs, "calls": []},
            {"path": "a", "type": "Linear", "own": costs, "total": costs, "calls": [call, call], "tensors": [tensor]},
        ],
        "flow": [{"op": "input", "module": "", "inputs_back": []}, {"op": "call", "module": "a", "inputs_back": [1]}],
    }
    profile = decode_profile(json.dumps(content).encode(), "x")
    assert [call.order for call in profile.modules[1].calls] == [0, 1]
    assert profile.flow[1].inputs == (0,)
    assert decode_profile(encode_baseline(profile), "x") == profile
    content["call_order"] = ["a", "a", "a"]
    with pytest.raises(SavedFileError, match="contradict each other"):
        decode_profile(json.dumps(content).encode(), "x")
