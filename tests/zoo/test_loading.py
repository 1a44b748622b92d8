"""Real models of many libraries load from the command line with no option but their configuration.

    pytest -m "zoo or not zoo" tests/zoo/test_loading.py

The configurations of transformers are the defaults of the library's configuration classes, or facts written here where a class has no
usable default. Those in NOT_LOADED are known to fail; they are at most 5 % of all.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archaudit.cli import run

pytestmark = pytest.mark.filterwarnings("ignore")

_TRANSFORMERS = """
albert align altclip aria aria_text audio-spectrogram-transformer bart beit bert big_bird bigbird_pegasus biogpt bit blenderbot blip blip-2
bloom bridgetower camembert canine chinese_clip clap clip clipseg codegen cohere conditional_detr convbert convnext convnextv2 ctrl cvt dac
data2vec-audio data2vec-vision deberta deberta-v2 decision_transformer deformable_detr deit depth_anything detr dinov2 distilbert dpt
efficientnet electra encodec falcon flava focalnet funnel gemma gemma2 gemma3_text gemma3n git glpn gpt2 gpt_bigcode gpt_neo gpt_neox gptj
granite granitemoe grounding-dino groupvit hiera hubert idefics idefics2 idefics3 instructblip kosmos-2 layoutlm layoutlmv3 led levit llama
llava llava_next llava_onevision longformer longt5 luke lxmert m2m_100 mamba mamba2 marian mask2former maskformer mbart mimi mistral mixtral
mllama mobilebert mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 moonshine mpnet mpt mt5 mvp nystromformer olmo olmo2 olmoe oneformer opt
owlv2 owlvit paligemma patchtsmixer patchtst pegasus persimmon phi phi3 phimoe poolformer pvt pvt_v2 qwen2 qwen2_audio qwen2_moe qwen3
reformer regnet rembert resnet roberta roformer rt_detr rwkv sam sam2 seamless_m4t segformer seggpt sew siglip smolvlm speech_to_text
squeezebert stablelm starcoder2 swin swin2sr swinv2 switch_transformers t5 table-transformer timesfm timesformer udop umt5 unispeech univnet
videomae vilt vipllava visual_bert vit vit_mae vit_msn vitdet vivit wav2vec2 wav2vec2-bert wav2vec2-conformer wavlm whisper xclip xglm xlm
xlm-roberta xlnet xmod yolos yoso
"""
TRANSFORMERS = _TRANSFORMERS.split()

# The mixtures of experts at their real size, with the parameters that their authors publish.
EXPERTS: dict[str, tuple[dict[str, Any], int]] = {
    "Mixtral-8x7B": (
        {
            **{"model_type": "mixtral", "architectures": ["MixtralForCausalLM"], "vocab_size": 32000, "hidden_size": 4096},
            **{"intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
            **{"num_local_experts": 8, "num_experts_per_tok": 2, "tie_word_embeddings": False, "dtype": "bfloat16"},
        },
        46_702_792_704,
    ),
    "Qwen3-30B-A3B": (
        {
            **{"model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"], "vocab_size": 151936, "hidden_size": 2048},
            **{"intermediate_size": 6144, "moe_intermediate_size": 768, "num_hidden_layers": 48, "num_attention_heads": 32},
            **{"num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "tie_word_embeddings": False},
        },
        30_532_122_624,
    ),
    "GPT-OSS-20B": (
        {
            **{"model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "vocab_size": 201088, "hidden_size": 2880},
            **{"intermediate_size": 2880, "num_hidden_layers": 24, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64},
            **{"num_local_experts": 32, "num_experts_per_tok": 4, "tie_word_embeddings": False},
        },
        20_914_757_184,
    ),
    "Jamba-v0.1": (
        {
            **{"model_type": "jamba", "architectures": ["JambaForCausalLM"], "vocab_size": 65536, "hidden_size": 4096},
            **{"intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8},
            **{"num_experts": 16, "num_experts_per_tok": 2, "use_mamba_kernels": False, "tie_word_embeddings": False},
        },
        51_570_323_328,
    ),
    # the main model, without the layer that predicts a second token
    "DeepSeek-V3": (
        {
            **{"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "vocab_size": 129280, "hidden_size": 7168},
            **{"intermediate_size": 18432, "moe_intermediate_size": 2048, "num_hidden_layers": 61, "num_attention_heads": 128},
            **{"num_key_value_heads": 128, "n_routed_experts": 256, "n_shared_experts": 1, "num_experts_per_tok": 8, "n_group": 8},
            **{"topk_group": 4, "first_k_dense_replace": 3, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128},
            **{"qk_rope_head_dim": 64, "v_head_dim": 128, "tie_word_embeddings": False},
        },
        671_026_404_352,
    ),
}

_TIMM = """
beit_base_patch16_224 botnet26t_256 caformer_s18 cait_xxs24_224 coatnet_0_rw_224 convnextv2_atto crossvit_tiny_240 densenet121 dm_nfnet_f0
dpn48b edgenext_xx_small efficientformerv2_s0 efficientnet_b0 efficientvit_b0 eva02_tiny_patch14_224 fastvit_t8 focalnet_tiny_srf
ghostnetv2_100 gmlp_s16_224 hiera_tiny_224 hrnet_w18_small inception_next_atto lambda_resnet26t levit_128s mixer_b16_224
mobilenetv4_conv_small mobilevit_xxs nest_tiny poolformer_s12 pvt_v2_b0 regnetx_002 repvit_m0_9 resnet10t resnetv2_50x1_bit
samvit_base_patch16 swinv2_tiny_window8_256 tnt_s_legacy_patch16_224 vit_tiny_patch16_224 xcit_nano_12_p16_224
"""
TIMM = _TIMM.split()

SMP = ["DPT", "DeepLabV3", "DeepLabV3Plus", "FPN", "Linknet", "MAnet", "PAN", "PSPNet", "Segformer", "UPerNet", "Unet", "UnetPlusPlus"]

OTHERS = [
    "monai.networks.nets:UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=[8, 16, 32], strides=[2, 2])",
    "monai.networks.nets:UNet(spatial_dims=2, in_channels=3, out_channels=2, channels=[8, 16, 32], strides=[2, 2])",
    "monai.networks.nets:SegResNet(spatial_dims=3, in_channels=1, out_channels=2)",
    "monai.networks.nets:UNETR(in_channels=1, out_channels=2, img_size=[96, 96, 96])",
    "monai.networks.nets:SwinUNETR(in_channels=1, out_channels=2, feature_size=12)",
    "monai.networks.nets:DenseNet121(spatial_dims=3, in_channels=1, out_channels=2)",
    "monai.networks.nets:ViT(in_channels=1, img_size=[96, 96, 96], patch_size=[16, 16, 16])",
    "monai.networks.nets:DynUNet(spatial_dims=2, in_channels=1, out_channels=2, kernel_size=[3, 3, 3], strides=[1, 2, 2], "
    "upsample_kernel_size=[2, 2])",
    "torch_geometric.nn:GCN(in_channels=16, hidden_channels=32, num_layers=2)",
    "torch_geometric.nn:GAT(in_channels=16, hidden_channels=32, num_layers=2)",
    "torch_geometric.nn:GraphSAGE(in_channels=16, hidden_channels=32, num_layers=2)",
    "torch_geometric.nn:GIN(in_channels=16, hidden_channels=32, num_layers=2)",
    "torch_geometric.nn:EdgeCNN(in_channels=16, hidden_channels=32, num_layers=2)",
    "torchaudio.models:wav2vec2_base",
    "torchaudio.models:hubert_base",
    "torchaudio.models:conv_tasnet_base",
    "torchaudio.models:Conformer(input_dim=80, num_heads=4, ffn_dim=128, num_layers=2, depthwise_conv_kernel_size=31)",
    "torchaudio.models:DeepSpeech(n_feature=80)",
    "torchaudio.models:Wav2Letter",
    "torchaudio.models:squim_objective_base",
]

SD_UNET = {
    **{"_class_name": "UNet2DConditionModel", "sample_size": 64, "in_channels": 4, "out_channels": 4, "layers_per_block": 2},
    **{"block_out_channels": [320, 640, 1280, 1280], "cross_attention_dim": 768, "attention_head_dim": 8},
}
DIFFUSERS: dict[str, tuple[dict[str, Any], int]] = {
    "SD1.5": (SD_UNET, 859_520_964),
    "SDXL": (
        {
            **{"_class_name": "UNet2DConditionModel", "sample_size": 128, "in_channels": 4, "out_channels": 4, "layers_per_block": 2},
            **{"block_out_channels": [320, 640, 1280], "cross_attention_dim": 2048, "attention_head_dim": [5, 10, 20]},
            **{"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"]},
            **{"up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"], "transformer_layers_per_block": [1, 2, 10]},
            **{"use_linear_projection": True, "addition_embed_type": "text_time", "addition_time_embed_dim": 256},
            "projection_class_embeddings_input_dim": 2816,
        },
        2_567_463_684,
    ),
    "SD3-medium": (
        {
            **{"_class_name": "SD3Transformer2DModel", "sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 24},
            **{"attention_head_dim": 64, "num_attention_heads": 24, "joint_attention_dim": 4096, "caption_projection_dim": 1536},
            **{"pooled_projection_dim": 2048, "out_channels": 16, "pos_embed_max_size": 192},
        },
        2_028_328_000,
    ),
    "FLUX.1-dev": (
        {
            **{"_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38},
            **{"attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096, "pooled_projection_dim": 768},
            "guidance_embeds": True,
        },
        11_901_408_320,
    ),
}

# Why a model does not load; each reason is true of the model, or names what archaudit does not have.
NOT_LOADED: dict[str, str] = {}

QUICK = {"bert", "vit"}


@pytest.fixture
def measure(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """The profile that the command prints as JSON; nothing but the reference is given."""

    def call(reference: str) -> dict[str, Any]:
        options = ("--no-other-counters", "--no-isolation", "--format", "json")
        monkeypatch.setattr(sys, "argv", ["archaudit", "profile", reference, *options])
        with pytest.raises(SystemExit) as ended:
            run()
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        profile: dict[str, Any] = json.loads(printed.out)
        # experts that loop over their tokens run for real: what random weights choose decides the count, and the profile says so
        assert profile["flops_complete"] or "decide what runs" in str(profile.get("incomplete"))
        assert profile["totals"]["params"] > 0
        assert profile["totals"]["macs"] > 0
        return profile

    return call


def write(folder: Path, content: dict[str, Any]) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(content, default=str))
    return path


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if kind in QUICK else pytest.mark.zoo) for kind in TRANSFORMERS if kind not in NOT_LOADED]
)
def test_a_default_configuration_of_transformers_loads(tmp_path: Path, measure: Callable[[str], dict[str, Any]], kind: str) -> None:
    transformers = pytest.importorskip("transformers")
    content = transformers.models.auto.configuration_auto.CONFIG_MAPPING[kind]().to_diff_dict()
    measure(f"transformers:{write(tmp_path, {**content, 'model_type': kind})}")


@pytest.mark.zoo
@pytest.mark.parametrize("name", EXPERTS)
def test_a_mixture_of_experts_of_real_size_has_the_published_parameters(
    tmp_path: Path, measure: Callable[[str], dict[str, Any]], name: str
) -> None:
    pytest.importorskip("transformers")
    content, params = EXPERTS[name]
    assert measure(f"transformers:{write(tmp_path, content)}")["totals"]["params"] == params


@pytest.mark.zoo
@pytest.mark.parametrize("name", DIFFUSERS)
def test_a_model_of_diffusers_has_the_published_parameters(tmp_path: Path, measure: Callable[[str], dict[str, Any]], name: str) -> None:
    pytest.importorskip("diffusers")
    content, params = DIFFUSERS[name]
    assert measure(f"diffusers:{write(tmp_path, content)}")["totals"]["params"] == params


@pytest.mark.zoo
@pytest.mark.parametrize("name", TIMM)
def test_a_family_of_timm_loads(measure: Callable[[str], dict[str, Any]], name: str) -> None:
    pytest.importorskip("timm")
    measure(f"timm:{name}")


@pytest.mark.zoo
@pytest.mark.parametrize("decoder", SMP)
def test_a_segmentation_decoder_loads_without_a_download(measure: Callable[[str], dict[str, Any]], decoder: str) -> None:
    pytest.importorskip("segmentation_models_pytorch")
    assert "a default" in " ".join(measure(f"segmentation_models_pytorch:{decoder}")["ledger"]["assumptions"])


@pytest.mark.zoo
@pytest.mark.parametrize("reference", OTHERS)
def test_a_model_of_another_library_loads_by_default_inputs(measure: Callable[[str], dict[str, Any]], reference: str) -> None:
    pytest.importorskip(reference.partition(".")[0])
    measure(reference)


E3NN = {
    "a tensor product": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.product = o3.FullyConnectedTensorProduct("4x0e + 2x1o", "2x0e + 2x1o", "4x0e + 3x1o")

    def forward(self, x, y):
        return self.product(x, y)

def example_inputs():
    return torch.zeros(5, 10), torch.zeros(5, 8)
""",
    # its constructor reads a cached table of constants, so it only runs for real
    "a convolution on points": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        harmonics = o3.Irreps.spherical_harmonics(2)
        self.product = o3.FullyConnectedTensorProduct("8x0e + 4x1o", harmonics, "8x0e + 4x1o", shared_weights=False)
        self.weights = FullyConnectedNet([10, 16, self.product.weight_numel], torch.relu)
        self.harmonics = harmonics

    def forward(self, x, positions, source, target, lengths):
        edges = o3.spherical_harmonics(self.harmonics, positions[source] - positions[target], normalize=True)
        return torch.zeros_like(x).index_add(0, target, self.product(x[source], edges, self.weights(lengths)))

def example_inputs():
    return torch.randn(6, 20), torch.randn(6, 3), torch.randint(0, 6, (20,)), torch.randint(0, 6, (20,)), torch.randn(20, 10)
""",
    "a gate": """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Gate("8x0e", [torch.relu], "4x0e", [torch.sigmoid], "4x1o")
        self.layer = o3.Linear("2x0e + 2x1o", self.gate.irreps_in)

    def forward(self, x):
        return self.gate(self.layer(x))

def example_inputs():
    return torch.zeros(5, 8)
""",
}


@pytest.mark.zoo
@pytest.mark.parametrize("name", E3NN)
def test_a_model_of_e3nn_loads(tmp_path: Path, measure: Callable[[str], dict[str, Any]], name: str) -> None:
    pytest.importorskip("e3nn")
    imports = "import torch\nfrom torch import nn\nfrom e3nn import o3\nfrom e3nn.nn import FullyConnectedNet, Gate\n"
    (tmp_path / "net.py").write_text(imports + E3NN[name])
    measure(f"{tmp_path / 'net.py'}:Net")


def test_at_most_one_in_twenty_does_not_load() -> None:
    every = [*TRANSFORMERS, *EXPERTS, *TIMM, *SMP, *OTHERS, *DIFFUSERS]
    assert len(TRANSFORMERS) + len(EXPERTS) >= 100
    assert len(TIMM) >= 38
    assert len(SMP) == 12
    assert set(every) >= set(NOT_LOADED)
    assert len(NOT_LOADED) <= len(every) // 20
