"""Default inputs of transformers' models: each small model runs without values, and costs what torch counts in a real run of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from archaudit.errors import LoadError
from archaudit.load.reference import parse_reference
from archaudit.measure.recipe import measure_recipe
from archaudit.schema import Profile, Recipe

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 200}
TEXT |= {"num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
VISION = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 28, "patch_size": 14}
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
LAYERS = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
LAYERS |= {"encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "vocab_size": 100, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "head_dim": 8}
CONFIGS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {"model_type": "llama", **TEXT},
    "MixtralForCausalLM": {"model_type": "mixtral", **TEXT, "num_local_experts": 4, "num_experts_per_tok": 2},
    "Qwen3MoeForCausalLM": {"model_type": "qwen3_moe", **TEXT, **EXPERTS},
    "BartModel": {"model_type": "bart", **LAYERS},
    "ViTModel": {"model_type": "vit", **VISION},
    "SegformerModel": {"model_type": "segformer", "hidden_sizes": [8] * 4, "depths": [1] * 4, "num_attention_heads": [1] * 4},
    "VideoMAEModel": {"model_type": "videomae", **VISION, "num_frames": 4},
    "CLIPModel": {"model_type": "clip", "text_config": {**TEXT, "max_position_embeddings": 77}, "vision_config": VISION},
    "SiglipModel": {"model_type": "siglip", "text_config": TEXT, "vision_config": VISION},
    "WhisperModel": {"model_type": "whisper", **LAYERS, "max_source_positions": 50, "decoder_start_token_id": 3},
    "Wav2Vec2Model": {"model_type": "wav2vec2", **SMALL, "conv_dim": [16] * 7},
    "PatchTSTModel": {"model_type": "patchtst", "context_length": 64, "num_input_channels": 3, "d_model": 32, "num_hidden_layers": 1},
    "LlavaForConditionalGeneration": {
        "model_type": "llava",
        "image_token_index": 190,
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **VISION},
    },
    "PaliGemmaForConditionalGeneration": {
        "model_type": "paligemma",
        "image_token_index": 190,
        "projection_dim": 32,
        "text_config": {"model_type": "gemma", "head_dim": 8, **TEXT},
        "vision_config": {"model_type": "siglip_vision_model", **VISION},
    },
    "CanineModel": {"model_type": "canine", **SMALL, "num_hash_buckets": 256, "local_transformer_stride": 32},
    "DecisionTransformerModel": {"model_type": "decision_transformer", "hidden_size": 32, "n_layer": 1, "n_head": 2},
    "ClapModel": {
        "model_type": "clap",
        "text_config": {**SMALL, "vocab_size": 100},
        "audio_config": {
            **{"patch_embeds_hidden_size": 8, "depths": [1, 1], "num_attention_heads": [2, 2], "hidden_size": 16},
            **{"spec_size": 64, "num_mel_bins": 16, "window_size": 4},
        },
    },
    "Kosmos2Model": {
        "model_type": "kosmos-2",
        "latent_query_num": 8,
        "text_config": {"vocab_size": 200, "embed_dim": 32, "layers": 1, "ffn_dim": 64, "attention_heads": 4},
        "vision_config": VISION,
    },
    "Blip2ForConditionalGeneration": {
        "model_type": "blip-2",
        "num_query_tokens": 8,
        "text_config": {"model_type": "opt", **SMALL, "ffn_dim": 64, "vocab_size": 200, "word_embed_proj_dim": 32},
        "vision_config": VISION,
        "qformer_config": {**SMALL, "encoder_hidden_size": 32, "vocab_size": 100},
    },
    "Idefics3ForConditionalGeneration": {
        "model_type": "idefics3",
        "image_token_id": 190,
        "scale_factor": 2,
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {**VISION, "image_size": 56},
    },
    "ViltModel": {"model_type": "vilt", **VISION, "vocab_size": 100},
    "LxmertModel": {
        **{"model_type": "lxmert", "vocab_size": 100, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 64},
        **{"l_layers": 1, "x_layers": 1, "r_layers": 1, "visual_feat_dim": 16},
    },
    "DepthAnythingForDepthEstimation": {
        "model_type": "depth_anything",
        "backbone_config": {"model_type": "dinov2", **VISION, "out_indices": [1, 2], "reshape_hidden_states": False},
        **{"reassemble_hidden_size": 32, "reassemble_factors": [2, 1], "neck_hidden_sizes": [8, 16]},
        **{"fusion_hidden_size": 8, "head_hidden_size": 8, "patch_size": 14},
    },
    "AriaForConditionalGeneration": {
        "model_type": "aria",
        "image_token_index": 190,
        "projector_patch_to_query_dict": {9: 5, 16: 7},
        "text_config": {**TEXT, "moe_num_experts": 4, "moe_topk": 2, "head_dim": 8},
        "vision_config": VISION,
    },
    "Qwen2AudioForConditionalGeneration": {
        "model_type": "qwen2_audio",
        "audio_token_index": 190,
        "text_config": {"model_type": "qwen2", **TEXT},
        "audio_config": {
            **{"d_model": 32, "encoder_layers": 1, "encoder_attention_heads": 4, "encoder_ffn_dim": 64, "num_mel_bins": 16},
            "max_source_positions": 50,
        },
    },
    "Qwen2VLForConditionalGeneration": {
        "model_type": "qwen2_vl",
        "image_token_id": 190,
        "video_token_id": 191,
        "vision_start_token_id": 192,
        "text_config": {**TEXT, "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}},
        "vision_config": {"depth": 1, "embed_dim": 32, "hidden_size": 32, "num_heads": 4, "patch_size": 14},
    },
}


def load(folder: Path, architecture: str, **entries: Any) -> Recipe:
    from archaudit.load.sources import load_recipe

    path = folder / "config.json"
    path.write_text(json.dumps({"architectures": [architecture], **CONFIGS[architecture], **entries}))
    return load_recipe(parse_reference(f"transformers:{path}"))


def profile(recipe: Recipe) -> Profile:
    return measure_recipe(recipe, other_counters=False)


def count_for_real(recipe: Recipe) -> float:
    """The MACs that torch's counter finds when the model runs with values."""
    torch.manual_seed(0)
    model = recipe.build().eval()
    assert recipe.default_inputs is not None
    given = recipe.default_inputs(model)
    with FlopCounterMode(display=False) as counter:  # with grad: without it the counter fails on expanded parameters
        model(**given)
    return counter.get_total_flops() / 2


@pytest.mark.parametrize("architecture", CONFIGS)
def test_a_small_model_costs_what_torch_counts_in_a_real_run(tmp_path: Path, architecture: str) -> None:
    entries = {"experts_implementation": "eager", "attn_implementation": "eager"}
    measured = profile(load(tmp_path, architecture, attn_implementation="eager"))
    assert measured.provenance is not None
    assert measured.provenance.rung in ("meta", "deferred", "answered", "fake")
    assert measured.flops_complete
    assert measured.totals.macs == count_for_real(load(tmp_path, architecture, **entries))


@pytest.mark.parametrize("key", ["dtype", "torch_dtype"])
def test_parameters_have_the_dtype_that_the_configuration_names(tmp_path: Path, key: str) -> None:
    wide = profile(load(tmp_path, "LlamaForCausalLM"))
    narrow = profile(load(tmp_path, "LlamaForCausalLM", **{key: "bfloat16"}))
    assert wide.totals.params == narrow.totals.params
    assert wide.totals.param_bytes == 4 * wide.totals.params
    assert narrow.totals.param_bytes == 2 * wide.totals.params
    assert narrow.totals.macs == wide.totals.macs


def test_an_image_brings_a_token_for_each_of_its_features(tmp_path: Path) -> None:
    # 28 x 28 pixels in patches of 14 are 4 features, and the text has 128 tokens
    measured = profile(load(tmp_path, "LlavaForConditionalGeneration"))
    assert {each.name: each.shape for each in measured.inputs} == {"pixel_values": (1, 3, 28, 28), "input_ids": (1, 132)}
    assert "the size in the configuration" in measured.ledger.assumptions[0]


def read_shapes(folder: Path, architecture: str) -> dict[str, tuple[int, ...]]:
    return {each.name or "": each.shape for each in profile(load(folder, architecture)).inputs}


def test_an_image_has_a_size_that_the_model_has_queries_for(tmp_path: Path) -> None:
    # images of 28 x 28 pixels have 4 patches of 14; there are queries for 9 patches, 42 x 42 pixels, which become 5 tokens
    shapes = read_shapes(tmp_path, "AriaForConditionalGeneration")
    assert (shapes["pixel_values"], shapes["input_ids"]) == ((1, 3, 42, 42), (1, 128 + 5))
    assert "the smallest that the configuration has queries for" in load(tmp_path, "AriaForConditionalGeneration").assumptions[0]


def test_a_sound_brings_a_token_for_each_frame_that_the_tower_makes(tmp_path: Path) -> None:
    # 100 frames; a convolution with stride 2 makes 50 of them, and the pooling 25
    shapes = read_shapes(tmp_path, "Qwen2AudioForConditionalGeneration")
    assert (shapes["input_features"], shapes["input_ids"]) == ((1, 16, 100), (1, 128 + 25))


def test_a_size_that_the_configuration_does_not_name_is_said_to_be_a_default(tmp_path: Path) -> None:
    described = load(tmp_path, "SegformerModel", image_size=None).assumptions[0]
    assert described == "the input is one image of 3x224x224, a default, since the configuration names no size"


def test_tokens_are_random_the_same_each_time_and_never_special(tmp_path: Path) -> None:
    recipe = load(tmp_path, "LlamaForCausalLM")
    assert recipe.default_inputs is not None
    first, second = (recipe.default_inputs(recipe.build())["input_ids"] for _ in range(2))
    assert torch.equal(first, second)
    assert len(first.unique()) > 50
    assert not set(first.flatten().tolist()) & {0, 1, 2}


def test_an_argument_without_a_default_is_named(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"architectures": ["Blip2QFormerModel"], "model_type": "blip_2_qformer"}))
    from archaudit.load.sources import load_recipe

    with pytest.raises(LoadError, match="no default input for query_embeds"):
        load_recipe(parse_reference(f"transformers:{path}"))


def test_a_kind_that_has_only_classes_with_a_head_is_found(tmp_path: Path) -> None:
    recipe = load(tmp_path, "DepthAnythingForDepthEstimation", architectures=None)
    assert type(recipe.build()).__name__ == "DepthAnythingForDepthEstimation"


def test_floating_point_inputs_have_the_dtype_of_the_model(tmp_path: Path) -> None:
    measured = profile(load(tmp_path, "ViTModel", dtype="bfloat16"))
    assert {each.dtype for each in measured.inputs} == {"bfloat16"}
    assert "parameters are in bfloat16, as the configuration says" in measured.ledger.assumptions


def test_an_image_without_a_token_in_the_configuration_gets_one_for_each_query(tmp_path: Path) -> None:
    measured = profile(load(tmp_path, "Blip2ForConditionalGeneration"))
    assert {each.name: each.shape for each in measured.inputs}["input_ids"] == (1, 128 + 8)
