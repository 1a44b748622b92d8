"""Budgets on quantized checkpoints are about weights, never about packed elements."""

import json
import struct

import pytest

CONFIG = """
[models.m]
reference = "m.safetensors"

[[budgets]]
model = "m"
metric = "params"
max = "10M"
"""
# a layer of 4096x4096 in four bits: 2,097,152 packed elements, which are below the budget
AWQ = {"fc.qweight": ("I32", 4, [4096, 512]), "fc.qzeros": ("I32", 4, [32, 512]), "fc.scales": ("F16", 2, [32, 4096])}
CODES = {"fc.codes": ("I16", 2, [512, 512]), "fc.bias": ("F16", 2, [4096])}


@pytest.fixture
def check(tmp_path, monkeypatch, archaudit):
    """Writes the tensors as m.safetensors, and runs a command in their folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archaudit.toml").write_text(CONFIG)

    def write_and_run(tensors, *arguments):
        entries, place = {}, 0
        for name, (dtype, width, shape) in tensors.items():
            end = place + width * shape[0] * (shape[1] if len(shape) > 1 else 1)
            entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [place, end]}
            place = end
        header = json.dumps(entries).encode()
        (tmp_path / "m.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(place))
        return archaudit(*arguments)

    return write_and_run


def test_a_budget_counts_the_weights_of_a_packed_layer(check):
    result = check(AWQ, "check")
    assert result.status == 1
    assert "16,777,216" in result.out


def test_a_budget_on_an_unknown_packing_is_inconclusive(check):
    result = check(CODES, "check")
    assert result.status == 2
    assert "weights are packed in a layout that is not recognized" in " ".join(result.out.split())


@pytest.mark.parametrize(("tensors", "unknown"), [(AWQ, False), (CODES, True)])
def test_a_comparison_does_not_show_an_unknown_number(check, tensors, unknown):
    result = check(tensors, "compare", "m.safetensors", "m.safetensors", "--full")
    text = " ".join(result.out.split())
    assert ("The number of parameters is unknown and cannot be compared" in text) == unknown
    assert ("The same number of parameters" in text) != unknown
    assert ("≥ 4,096" in text) == unknown
