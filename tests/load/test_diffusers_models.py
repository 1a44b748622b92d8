"""Models of diffusers from configuration files: small ones cost what torch counts in a real run, the published ones have their sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from archaudit.errors import LoadError
from archaudit.load.reference import parse_reference
from archaudit.load.sources import load_recipe
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import Recipe

pytest.importorskip("diffusers")
pytestmark = pytest.mark.filterwarnings("ignore")

BLOCKS = {"block_out_channels": [32, 64], "layers_per_block": 1, "norm_num_groups": 8, "sample_size": 16}
UNET = BLOCKS | {"down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"]}
DOWN_AND_UP = {"down_block_types": ["DownEncoderBlock2D"] * 2, "up_block_types": ["UpDecoderBlock2D"] * 2}
SDXL = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8, "projection_class_embeddings_input_dim": 8 * 6 + 20}
TRANSFORMER = {"num_attention_heads": 2, "attention_head_dim": 16, "num_layers": 1, "joint_attention_dim": 32, "pooled_projection_dim": 24}
SMALL: dict[str, dict[str, Any]] = {
    "UNet2DConditionModel": UNET | {"cross_attention_dim": 24, "attention_head_dim": 8},
    "UNet2DConditionModel of SDXL": UNET | SDXL | {"cross_attention_dim": 24, "attention_head_dim": 8},
    "UNet2DModel": BLOCKS | {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2},
    "AutoencoderKL": BLOCKS | DOWN_AND_UP,
    "SD3Transformer2DModel": TRANSFORMER | {"caption_projection_dim": 32, "sample_size": 16, "in_channels": 4},
    "FluxTransformer2DModel": TRANSFORMER
    | {"num_single_layers": 1, "in_channels": 4, "axes_dims_rope": [4, 4, 8], "guidance_embeds": True},
}


def load(folder: Path, name: str, content: dict[str, Any]) -> Recipe:
    path = folder / "config.json"
    path.write_text(json.dumps({"_class_name": name.split()[0], **content}))
    return load_recipe(parse_reference(f"diffusers:{folder}"))


@pytest.mark.parametrize("name", SMALL)
def test_a_small_model_costs_what_torch_counts_in_a_real_run(tmp_path: Path, name: str) -> None:
    profile = measure_recipe(load(tmp_path, name, SMALL[name]), other_counters=False)
    assert profile.flops_complete
    assert profile.provenance is not None
    assert profile.provenance.rung == "meta"
    recipe = load(tmp_path, name, SMALL[name])
    assert recipe.default_inputs is not None
    model = recipe.build().eval()
    # the counter has no formula for the CPU's fused attention: by matrix products it counts both of them
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(**recipe.default_inputs(model))
    assert profile.totals.macs == counter.get_total_flops() / 2


def test_arguments_replace_entries_of_the_configuration(tmp_path: Path) -> None:
    load(tmp_path, "UNet2DModel", SMALL["UNet2DModel"])
    recipe = load_recipe(parse_reference(f"diffusers:{tmp_path}/config.json(sample_size=32)"))
    assert measure_recipe(recipe, other_counters=False).inputs[0].shape == (1, 3, 32, 32)


def test_what_is_no_configuration_of_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="no model 'Nothing'"):
        load(tmp_path, "Nothing", {})
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(LoadError, match="has no _class_name"):
        load_recipe(parse_reference(f"diffusers:{tmp_path}"))
