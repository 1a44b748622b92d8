"""Weights without code: what a file holds is in the profile, everything else is unknown."""

import json
import struct

import pytest
import torch
from torch import nn

from archaudit.errors import LoadError
from archaudit.load import load_recipe, parse_reference
from archaudit.load import reference as reference_module
from archaudit.load.weights_file import read_weights
from archaudit.metrics.catalog import METRICS, measure_scope
from archaudit.pipeline import Options, compare, profile, resolve
from archaudit.schema import Recipe, decode_profile, encode


class Net(nn.Module):
    """216 + 8 + 16 params and 17 buffer elements in `block`, 90 params in `head`."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        return self.head(self.block(x).mean((2, 3)))


def write_header(path, entries, room=0, length=None):
    data = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(data) if length is None else length) + data + bytes(room))
    return path


@pytest.fixture
def saved(tmp_path):
    """The model's weights as safetensors; the bytes of the tensors are zeros."""
    entries, place = {"__metadata__": {"format": "pt"}}, 0
    names = {"torch.float32": "F32", "torch.int64": "I64"}
    for key, tensor in Net().state_dict().items():
        size = tensor.numel() * tensor.element_size()
        entries[key] = {"dtype": names[str(tensor.dtype)], "shape": list(tensor.shape), "data_offsets": [place, place + size]}
        place += size
    return write_header(tmp_path / "net.safetensors", entries, place)


def test_a_header_has_params_and_the_rest_is_unknown(saved):
    found = read_weights(saved, "net")
    assert (found.totals.params, found.totals.buffers, found.totals.param_bytes) == (330, 17, 1320)
    assert [(module.path, module.total.params) for module in found.modules] == [
        ("", 330), ("block", 240), ("block.0", 224), ("block.1", 16), ("head", 90)
    ]  # fmt: skip
    for name in ("flops", "macs", "activation_bytes", "moved_bytes", "trainable_params", "peak_activation_bytes", "saved_bytes"):
        assert measure_scope(found, METRICS[name]).value is None, name
    assert measure_scope(found, METRICS["params"], "head").value == 90
    assert decode_profile(encode(found), "net").unknown == found.unknown


def test_a_file_of_the_safetensors_library_is_read(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(Net().state_dict(), tmp_path / "net.safetensors")
    assert read_weights(tmp_path / "net.safetensors", "net").totals.params == 330


def test_weights_are_compared_with_weights(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = compare("net.safetensors", str(saved), Options(other_counters=False))
    # what the header does not hold is not a change: the forward pass, the classes, the initialisation
    assert report.flow is None
    assert (report.classes_added, report.classes_removed, report.initialisation) == ((), (), ())
    assert (report.delta.params, report.flops_complete) == (0, False)
    with pytest.raises(LoadError, match="weights only"):
        profile("net.safetensors", Options(inputs=("1x3x8x8",)))
    with pytest.raises(LoadError, match="cannot have a revision"):
        parse_reference("net.safetensors@main")


@pytest.mark.parametrize(
    ("entries", "room", "length"),
    [
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, 4, None),  # ends beyond the file
        ({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, 8, None),  # its size does not match its shape
        ({"a": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}}, 8, None),
        ({"a": {"dtype": "NEW", "shape": [2], "data_offsets": [0, 8]}}, 8, None),
        ({"a": 3}, 0, None),
        ([], 0, None),
        ({}, 0, 2**62),
        ({}, 0, 0),
    ],
)
def test_an_inconsistent_header_is_refused(tmp_path, entries, room, length):
    with pytest.raises(LoadError, match="is not a safetensors file"):
        read_weights(write_header(tmp_path / "bad.safetensors", entries, room, length), "bad")


def test_a_pickle_is_refused_unless_it_is_allowed_and_never_runs_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Net().state_dict()}, tmp_path / "net.pth")
    torch.save(Evil(), tmp_path / "evil.pt")
    with pytest.raises(LoadError, match="is a pickle") as caught:
        resolve(str(tmp_path / "net.pth"), None)
    assert "--allow-pickle" in caught.value.hint
    assert resolve(str(tmp_path / "net.pth"), None, allow_pickle=True).saved.totals.params == 330
    with pytest.raises(LoadError, match=r"cannot be loaded by torch\.load\(weights_only=True\)"):
        resolve(str(tmp_path / "evil.pt"), None, allow_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_onnx_initializers_are_params(tmp_path):
    onnx = pytest.importorskip("onnx")
    weight = onnx.helper.make_tensor("head.weight", onnx.TensorProto.FLOAT, (10, 8), [0.0] * 80)
    node = onnx.helper.make_node("MatMul", ["x", "head.weight"], ["y"])
    graph = onnx.helper.make_graph([node], "g", [], [], [weight])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "net.onnx")
    found = read_weights(tmp_path / "net.onnx", "net")
    assert (found.totals.params, found.flops_complete) == (80, False)
    (tmp_path / "bad.onnx").write_bytes(b"not onnx")
    with pytest.raises(LoadError, match="cannot be read as ONNX"):
        read_weights(tmp_path / "bad.onnx", "bad")


def test_an_exported_program_counts_as_its_model(tmp_path):
    from archaudit.measure.recipe import measure_recipe

    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(1, 3, 16, 16),)), path)
    found = measure_recipe(load_recipe(parse_reference(str(path))), other_counters=False)
    assert (found.totals.params, found.totals.buffers, found.totals.macs) == (330, 17, 14 * 14 * 8 * 27 + 80)
    assert {module.path: module.own.params for module in found.modules if module.own.params} == {"block.0": 224, "block.1": 16, "head": 90}
    path.write_bytes(b"nothing")
    with pytest.raises(LoadError, match="cannot be read as a program"):
        load_recipe(parse_reference(str(path)))


def test_another_package_can_register_a_source(monkeypatch):
    class Found:
        value = "theirs:load"

        def __init__(self, answer):
            self.answer = answer

        def load(self):
            return lambda reference, inputs, name: self.answer(reference, name)

    def make(reference, name):
        return Recipe(name=name, reference=reference.text, build=Net)

    sources = {"theirs": Found(make), "broken": Found(lambda reference, name: 3)}
    monkeypatch.setattr(reference_module, "find_plugin", sources.get)
    monkeypatch.setattr("archaudit.load.sources.find_plugin", sources.get)
    reference = parse_reference("theirs:some/model(width=2)")
    assert (reference.kind, reference.attribute, reference.arguments) == ("library", "some/model", {"width": 2})
    assert load_recipe(reference).build is Net
    with pytest.raises(LoadError, match="returned a int instead of a Recipe"):
        load_recipe(parse_reference("broken:x"))
