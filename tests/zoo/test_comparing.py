"""Two configurations of a library are compared as any two models are; the differences in parameters are worked out by hand.

pytest -m "zoo or not zoo" tests/zoo/test_comparing.py
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from zoo.test_loading import SD_UNET
from zoo.test_transformers import LLAMA_3_8B, LLAMA_3_70B

from archaudit.cli import run

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENS = 128
SMALL_LLAMA = {
    **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 200, "hidden_size": 32, "intermediate_size": 64},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": False, "pad_token_id": 0},
}
SMALL_UNET = {
    **{"_class_name": "UNet2DModel", "block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 16},
    **{"in_channels": 3, "out_channels": 3, "down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2},
}


Compare = Callable[[str, dict[str, Any], str, dict[str, Any]], dict[str, Any]]


@pytest.fixture
def compare(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Compare:
    """The report that the command prints as JSON, on two configurations, each with the source that reads it."""

    def call(source_before: str, before: dict[str, Any], source_after: str, after: dict[str, Any]) -> dict[str, Any]:
        references = []
        for side, source, content in (("before", source_before, before), ("after", source_after, after)):
            (tmp_path / side).mkdir()
            (tmp_path / side / "config.json").write_text(json.dumps(content))
            references.append(f"{source}:{tmp_path / side / 'config.json'}")
        options = ("--no-other-counters", "--no-isolation", "--format", "json")
        monkeypatch.setattr(sys, "argv", ["archaudit", "compare", *references, *options])
        with pytest.raises(SystemExit) as ended:
            run()
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        report: dict[str, Any] = json.loads(printed.out)
        return report

    return call


def read_deltas(report: dict[str, Any]) -> tuple[int, int]:
    """The differences in parameters and MACs."""
    before, after = report["before"]["totals"], report["after"]["totals"]
    return after["params"] - before["params"], after["macs"] - before["macs"]


def list_changed(report: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """The modules after that are not the same, each with its changes."""
    return [(module["after_path"], module["changes"]) for module in report["modules"] if module["changes"] != ["same"]]


def test_a_layer_more_in_a_language_model_is_its_weights(compare: Compare) -> None:
    pytest.importorskip("transformers")
    report = compare("transformers", SMALL_LLAMA, "transformers", SMALL_LLAMA | {"num_hidden_layers": 3})
    # q and o of 32 x 32, k and v of 32 x 16, three matrices of 32 x 64 in the MLP; attention twice tokens x tokens x 32
    weights = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64
    assert read_deltas(report) == (weights + 2 * 32, TOKENS * weights + 2 * TOKENS * TOKENS * 32)
    assert next(path for path, changes in list_changed(report) if "added" in changes) == "model.layers.2"


def test_a_channel_more_in_a_unet_is_its_filters(compare: Compare) -> None:
    pytest.importorskip("diffusers")
    report = compare("diffusers", SMALL_UNET, "diffusers", SMALL_UNET | {"in_channels": 4})
    assert read_deltas(report) == (32 * 9, 16 * 16 * 32 * 9)
    assert [path for path, _ in list_changed(report)] == ["conv_in"]


def count_llama(content: dict[str, Any]) -> int:
    """The parameters of a Llama with heads of 128, worked out by hand."""
    hidden, inner, layers = content["hidden_size"], content["intermediate_size"], content["num_hidden_layers"]
    attention = 2 * hidden * hidden + 2 * hidden * content["num_key_value_heads"] * 128
    return 2 * content["vocab_size"] * hidden + layers * (attention + 3 * hidden * inner + 2 * hidden) + hidden


@pytest.mark.zoo
def test_llama_of_70_billion_against_8_billion(compare: Compare) -> None:
    pytest.importorskip("transformers")
    report = compare("transformers", LLAMA_3_8B, "transformers", LLAMA_3_70B)
    assert read_deltas(report)[0] == count_llama(LLAMA_3_70B) - count_llama(LLAMA_3_8B) == 70_553_706_496 - 8_030_261_248


@pytest.mark.zoo
def test_stable_diffusion_for_inpainting_has_five_more_input_channels(compare: Compare) -> None:
    pytest.importorskip("diffusers")
    report = compare("diffusers", SD_UNET, "diffusers", SD_UNET | {"in_channels": 9})  # the mask, and the latents of the masked image
    assert read_deltas(report) == (320 * 5 * 9, 64 * 64 * 320 * 5 * 9)


@pytest.mark.zoo
def test_a_language_model_against_a_unet_is_compared_too(compare: Compare) -> None:
    pytest.importorskip("transformers")
    pytest.importorskip("diffusers")
    report = compare("transformers", SMALL_LLAMA, "diffusers", SMALL_UNET)
    assert read_deltas(report)[0] == report["after"]["totals"]["params"] - count_small_llama()


def count_small_llama() -> int:
    """Two tables of 200 x 32, two layers, and the last norm."""
    return 2 * 200 * 32 + 2 * (2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64 + 2 * 32) + 32
