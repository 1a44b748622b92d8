"""Formulas of real models hold at ten sizes that they were not found from.

pytest -m zoo tests/zoo/test_formulas.py

Of the 97 models that were tried, these eight are left out: timm:vgg11 and vgg19_bn (a convolution of a size that is never less than one),
torchvision:swin3d_t, swin3d_s and swin3d_b, and transformers' swin, swinv2 (windows that the input is smaller than) and fnet (the logarithm
of a Fourier transform's length).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archaudit.load import load_recipe, parse_reference
from archaudit.measure.scaling_law import find_laws
from archaudit.scaling import parse_expression
from archaudit.schema import ScalingLaws

_TORCHVISION = """
deeplabv3_resnet50 densenet161 densenet169 densenet201 efficientnet_v2_l efficientnet_v2_s fcn_resnet101 mnasnet1_0 mobilenet_v2
mobilenet_v3_large mobilenet_v3_small regnet_x_32gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf resnet101 resnet18
resnet34 resnet50 shufflenet_v2_x2_0 squeezenet1_1 vgg11_bn vgg13_bn vgg16 vgg16_bn wide_resnet50_2
"""
_TIMM = """
cpubone_b2pt5_dwnorm csatv2 csatv2_21m densenetblur121d dpn98 ecaresnet50d_pruned edgenext_small efficientformer_l7
eva02_tiny_patch14_336 fastvit_mci3 fastvit_t8 focalnet_small_srf gmlp_b16_224 gmlp_s16_224 hiera_tiny_224 hrnet_w18_small hrnet_w64
iformer_l inception_next_base lambda_resnet26t legacy_xception mambaout_base_wide_rw nextvit_base nf_regnet_b0 pit_ti_224 poolformer_s24
repvit_m3 resnest101e resnest269e sebotnet33ts_256 sedarknet21 skresnet18 starnet_s4 swiftformer_l3 tresnet_xl visformer_tiny
volo_d2_384 xception71 xcit_large_24_p16_224 xcit_large_24_p8_384
"""
# The defaults of these configuration classes.
_TRANSFORMERS = """
clip convnext convnextv2 ctrl gemma2 gemma3_text layoutlm levit llama m2m_100 mpnet mt5 nystromformer poolformer pvt_v2 qwen2 qwen2_moe
siglip stablelm starcoder2 wavlm xglm xlm xlm-roberta
"""
REFERENCES = [f"torchvision:{name}" for name in _TORCHVISION.split()] + [f"timm:{name}" for name in _TIMM.split()]
HELD_OUT = 10


def find(reference: str) -> ScalingLaws:
    return find_laws(load_recipe(parse_reference(reference), ()), checks=HELD_OUT)


def find_configured(folder: Path, configuration: dict[str, Any]) -> ScalingLaws:
    path = folder / "config.json"
    path.write_text(json.dumps(configuration))
    return find(f"transformers:{path}")


def expect_exact(laws: ScalingLaws) -> None:
    """No difference at any held-out size, in any module."""
    assert laws.laws["macs"].expression is not None
    assert laws.wrong == ()
    assert len(laws.checked) == HELD_OUT


@pytest.mark.zoo
@pytest.mark.parametrize("reference", REFERENCES)
def test_formulas_of_image_models_hold_at_other_sizes(reference: str) -> None:
    pytest.importorskip(reference.partition(":")[0])
    expect_exact(find(reference))


@pytest.mark.zoo
@pytest.mark.parametrize("kind", _TRANSFORMERS.split())
def test_formulas_of_transformers_hold_at_other_sizes(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    expect_exact(find_configured(tmp_path, {"model_type": kind}))


@pytest.mark.zoo
def test_a_llama_layer_is_the_hand_formula_term_by_term(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    width, hidden, keys, vocabulary = 512, 1376, 128, 32000
    configuration = {
        **{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": vocabulary, "hidden_size": width},
        **{"num_hidden_layers": 2, "num_attention_heads": 8, "num_key_value_heads": 2, "intermediate_size": hidden},
    }
    laws = find_configured(tmp_path, configuration)
    macs = {module.path: module.laws["macs"].expression for module in laws.modules if "macs" in module.laws}
    layer = "model.layers.0"
    # every query with every key, twice; queries and outputs of full width, keys and values of two heads of 64; three matrices
    terms = {
        f"{layer}.self_attn": f"{2 * width}*B*T**2 + {2 * width * width + 2 * width * keys}*B*T",
        f"{layer}.self_attn.q_proj": f"{width * width}*B*T",
        f"{layer}.self_attn.k_proj": f"{width * keys}*B*T",
        f"{layer}.mlp": f"{3 * width * hidden}*B*T",
        layer: f"{2 * width}*B*T**2 + {2 * width * width + 2 * width * keys + 3 * width * hidden}*B*T",
        "lm_head": f"{width * vocabulary}*B*T",
    }
    for path, expected in terms.items():
        assert parse_expression(macs[path] or "") == parse_expression(expected), path
