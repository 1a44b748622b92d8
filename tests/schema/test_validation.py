"""Files that contradict themselves are refused, with the place."""

import json

import pytest
from factories import make_cost, make_input, make_module, make_profile, make_tensor

from archaudit.errors import SavedFileError
from archaudit.schema import Call, FlowNode, Ledger, OpRecord, decode_latencies, decode_profile, decode_rendered, encode


def make_saved():
    """A stem with a weight of 8 x 8 and a bias of 8, called once; 72 parameters, 288 bytes."""
    stem = make_module(
        make_cost(72, 64, buffers=1),
        tensors=(make_tensor("weight", (8, 8)), make_tensor("bias", (8,)), make_tensor("steps", (), kind="buffer", trainable=False)),
        calls=(Call(order=0, inputs=((1, 8),), outputs=((1, 8),)),),
    )
    flow = (FlowNode(id=0, op="input", module=""), FlowNode(id=1, op="call", module="stem", inputs=(0,), shape=(1, 8), symbolic=("B", "8")))
    operators = (OpRecord(name="aten::mm", count=1, status="counted", flops=128, modules=("stem",)),)
    return make_profile({"stem": stem}, inputs=(make_input(1, 8),), flow=flow, ledger=Ledger(counted=1, operators=operators))


def edit(content, keys, value):
    """The content with the value at a place; a function is given the present value."""
    *parents, last = keys
    inner = content
    for key in parents:
        inner = inner[key]
    inner[last] = value(inner[last]) if callable(value) else value
    return content


STEM = ("modules", 1)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ((*STEM, "own", "params"), 73, r"totals.params: 72, but the modules' own costs add up to 73"),
        (("totals", "buffers"), 2, r"totals.buffers: 2, but the modules' own costs add up to 1"),
        (("modules", 0, "total", "params"), 74, r"modules\[0\].total.params: 74, but the own costs in the root module add up to 72"),
        ((*STEM, "own", "buffers"), -1, r"modules\[1\].own.buffers: -1 is not a possible count"),
        ((*STEM, "own", "moved_bytes"), 10**25, r"modules\[1\].own.moved_bytes: a number of more than 24 digits is not a possible count"),
        ((*STEM, "own", "flops"), 3, r"flops must be twice macs"),
        ((*STEM, "own", "trainable_params"), 99, r"modules\[1\].own: 99 of 72 parameters are trainable"),
        ((*STEM, "path"), "", r"modules: the path of the root module is there 2 times"),
        (("modules", 0, "path"), "root", r"the first module is not the root"),
        (("modules",), lambda modules: [*modules, modules[1]], r"modules: the path of 'stem' is there 2 times"),
        (("modules",), [], r"the first module is not the root"),
        ((*STEM, "tensors", 0, "shape"), [8, 9], r"modules\[1\].own.params: 72, but the tensors of 'stem' have 80"),
        ((*STEM, "tensors", 0, "dtype"), "float16", r"modules\[1\].own.param_bytes: 288, but the tensors of 'stem' have 160"),
        ((*STEM, "tensors", 1, "trainable"), False, r"modules\[1\].own.trainable_params: 72, but the tensors of 'stem' have 64"),
        ((*STEM, "tensors", 1, "name"), "weight", r"the tensor 'weight' is there 2 times"),
        ((*STEM, "tensors", 1, "tied_to"), "nobody.bias", r"'bias' is tied to 'nobody.bias', which no module has"),
        ((*STEM, "tensors", 0, "shape"), [-8, -8], r"-8 is not a possible count"),
        ((*STEM, "calls"), lambda calls: [*calls, *calls], r"the order '0' is there 2 times"),
        ((*STEM, "calls", 0, "inputs_from"), ["nobody"], r"there is no module 'nobody'"),
        (("flow", 1, "inputs"), [1], r"flow\[1\].inputs: 1 is no earlier node"),
        (("flow", 1, "id"), 0, r"flow\[1\].id: 0 is there twice"),
        (("flow", 1, "module"), "nobody", r"flow\[1\].module: there is no module 'nobody'"),
        (("flow", 1, "symbolic"), ["B"], r"flow\[1\].symbolic: 1 sizes, but the shape has 2"),
        (("ledger", "counted"), 2, r"ledger.counted: 2, but the operators have 1 such calls"),
        (("ledger", "operators", 0, "flops"), -2, r"ledger.operators\[0\].flops: -2 is not a possible count"),
        (("ledger", "zero"), -1, r"ledger.zero: -1 is not a possible count"),
        (("modules", 0, "flops_complete"), False, r"flops_complete: it is true, but not for the root module"),
        (("flops_complete",), False, r"flops_complete: it is false, but true for all modules"),
        (("params_complete",), False, r"params_complete: it is false, but true for all modules"),
        (("peaks", "saved_bytes"), -1, r"peaks.saved_bytes: -1 is not a possible count"),
        (("inputs", 0, "shape"), [-1, 8], r"inputs\[0\], shape: -1 is not a possible count"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused_with_the_place(keys, value, message):
    content = json.loads(encode(make_saved()))
    with pytest.raises(SavedFileError, match=message) as caught:
        decode_profile(json.dumps(edit(content, keys, value)).encode(), "net.json")
    assert caught.value.message.startswith("net.json is not a saved profile: ")
    assert "\n" not in caught.value.message


def test_unknown_operators_make_flops_incomplete():
    content = edit(json.loads(encode(make_saved())), ("ledger",), {"unknown": 1})
    with pytest.raises(SavedFileError, match="complete, but 1 operators are unknown"):
        decode_profile(json.dumps(content).encode(), "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('"name":"model","name":"model"', "the key 'name' is there twice in one object"),
        ('"name":"model","n\\u0061me":"other"', "the key 'name' is there twice in one object"),
    ],
)
def test_a_key_that_an_object_has_twice_is_refused(text, message):
    data = json.dumps(json.loads(encode(make_saved())), separators=(",", ":")).replace('"name":"model"', text)
    with pytest.raises(SavedFileError, match=message):
        decode_profile(data.encode(), "x")


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"format_version": 1, "name": ' + b"[" * 100_000,
        b'{"format_version": NaN}',
        b'{"format_version": 1' + b"0" * 5_000 + b"}",
        b"nul",
        b"",
    ],
    ids=["deep", "deep in a key", "NaN", "a huge number", "not JSON", "empty"],
)
@pytest.mark.parametrize("decode", [decode_profile, decode_rendered, decode_latencies])
def test_json_that_no_record_can_have_is_refused_with_a_message(decode, data):
    with pytest.raises(SavedFileError, match=r"^x (is not|has format version)"):
        decode(data, "x")
