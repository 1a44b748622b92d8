"""Names as documents write them, against the names of a catalog."""

from __future__ import annotations

from pathlib import Path

import pytest

from archaudit.claims.names import Catalog, parse_resolution, read_name
from archaudit.load.transformers_checkpoints import read_checkpoints
from archaudit.pipeline.zoo import open_catalogs


def _split(names: str) -> list[str]:
    return names.split()


# Names of timm and of torchvision as their libraries list them.
TIMM = _split("""
resnet18 resnet50 resnet50d resnext50_32x4d seresnext50_32x4d wide_resnet50_2 convnext_tiny convnext_small convnext_base
convnext_xlarge convnextv2_tiny vit_base_patch16_224 vit_base_patch16_384 vit_base_patch32_224 vit_large_patch32_384
vit_huge_patch14_224 swin_tiny_patch4_window7_224 swin_base_patch4_window7_224 swin_base_patch4_window12_384
swinv2_tiny_window8_256 swinv2_tiny_window16_256 deit_tiny_patch16_224 deit_base_patch16_384 deit_base_distilled_patch16_384
resmlp_12_224 resmlp_36_224 resmlp_big_24_224 mixer_b16_224 regnetx_004 regnety_032 regnetx_320 mobilenetv2_100 mobilenetv2_140
mobilenetv3_large_100 edgenext_x_small edgenext_small efficientnet_b0 levit_128s levit_128 repvgg_a1 repvgg_a2 mobilevit_xs
xcit_small_12_p16_224 xcit_small_12_p8_224 deit3_small_patch16_224 deit3_small_patch16_384 resnest50d densenet121
hrnet_w18 hrnet_w18_ssld res2net50_14w_8s inception_resnet_v2
""")
TORCHVISION = _split("""
resnet18 resnet50 vit_b_16 vit_l_32 swin_t swin_v2_t regnet_y_3_2gf regnet_x_32gf regnet_y_8gf mobilenet_v2 shufflenet_v2_x1_0
""")


def find(written: str, names: list[str], resolution: int | None = None) -> str | None:
    result = Catalog({name: name for name in names}).find(read_name(written), resolution)
    return result.entry.name if result.entry is not None else None


@pytest.mark.parametrize(
    ("written", "resolution", "name"),
    [
        ("ResNet-50", None, "resnet50"),
        ("`resnet50`", None, "resnet50"),
        ("ResNet_50 (ours)", None, "resnet50"),
        ("resnet50.a1_in1k", None, "resnet50"),
        ("vit_base_patch16_384.augreg_in21k_ft_in1k", None, "vit_base_patch16_384"),
        ("MobileNetV3-Large 1.0", None, "mobilenetv3_large_100"),
        ("mobilenet_v2_1.4_224", None, "mobilenetv2_140"),
        ("XCiT-S12/16", None, "xcit_small_12_p16_224"),
        ("DeiT-III-S", 224, "deit3_small_patch16_224"),
        ("DeiT III-S", 384, "deit3_small_patch16_384"),
        ("ResNeSt-50", None, "resnest50d"),
        ("DenseNet-121 (k=32)", None, "densenet121"),
        ("EffNet-B0", None, "efficientnet_b0"),
        ("resnet50_8xb32_in1k", None, "resnet50"),
        ("timm-resnet50", None, "resnet50"),
        ("ResNet-50-D", None, "resnet50d"),
        ("se_resnext50_32x4d", None, "seresnext50_32x4d"),
        ("Wide ResNet-50-2", None, "wide_resnet50_2"),
        ("ConvNeXt-T", 224, "convnext_tiny"),
        ("ConvNeXt-XL", 384, "convnext_xlarge"),
        ("ConvNeXt V2-T", None, "convnextv2_tiny"),
        ("ViT-B/16", None, "vit_base_patch16_224"),
        ("ViT-B/16", 384, "vit_base_patch16_384"),
        ("ViT-B/16 @384", None, "vit_base_patch16_384"),
        ("ViT-B", None, "vit_base_patch16_224"),
        ("ViT-L/32", None, "vit_large_patch32_384"),
        ("ViT-H", None, "vit_huge_patch14_224"),
        ("Swin-B", 224, "swin_base_patch4_window7_224"),
        ("Swin-B", 384, "swin_base_patch4_window12_384"),
        ("swinv2-tiny-w8_3rdparty_in1k-256px", None, "swinv2_tiny_window8_256"),
        ("DeiT-Ti", None, "deit_tiny_patch16_224"),
        ("DeiT-base 384", None, "deit_base_patch16_384"),
        ("DeiT-base distilled 384 (1000 epochs)", None, "deit_base_distilled_patch16_384"),
        ("ResMLP-S36", None, "resmlp_36_224"),
        ("ResMLP-B24", None, "resmlp_big_24_224"),
        ("Mixer-B/16", None, "mixer_b16_224"),
        ("RegNetX-400MF", None, "regnetx_004"),
        ("RegNetY-3.2GF", None, "regnety_032"),
        ("RegNetX-32GF", None, "regnetx_320"),
        ("MobileNetV2", None, "mobilenetv2_100"),
        ("MobileNetV2 1.4x", None, "mobilenetv2_140"),
        ("MobileNetV3-Large", None, "mobilenetv3_large_100"),
        ("EdgeNeXt-XS", None, "edgenext_x_small"),
        ("edgenext_small_usi", None, "edgenext_small"),
        ("repvgg-A2_8xb32_in1k", None, "repvgg_a2"),
        ("mobilevit-xsmall_3rdparty_in1k", None, "mobilevit_xs"),
        ("hrnet-w18_3rdparty_8xb32_in1k", None, "hrnet_w18"),
        ("res2net50-w14-s8_3rdparty_8xb32_in1k", None, "res2net50_14w_8s"),
        ("inceptionresnetv2", None, "inception_resnet_v2"),
    ],
)
def test_a_name_of_timm(written: str, resolution: int | None, name: str) -> None:
    assert find(written, TIMM, resolution) == name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("ViT-B/16", "vit_b_16"),
        ("Swin-T", "swin_t"),
        ("SwinV2-T", "swin_v2_t"),
        ("RegNetY-3.2GF", "regnet_y_3_2gf"),
        ("RegNetX-32GF", "regnet_x_32gf"),
        ("RegNetY-8.0GF", "regnet_y_8gf"),
        ("MobileNetV2", "mobilenet_v2"),
        ("ShuffleNetV2 1.0x", "shufflenet_v2_x1_0"),
        ("torchvision.models.resnet18", "resnet18"),
    ],
)
def test_a_name_of_torchvision(written: str, name: str) -> None:
    assert find(written, TORCHVISION) == name


@pytest.mark.parametrize(
    "written",
    [
        "my_net",
        "ours",
        "resnet51",
        "ResNet-50, wide",
        "resnet18_8xb16_cifar10",
        "ConvNeXt-S (isotropic)",
        "edgenext_small_bn_hs",
        "B",
        "",
        "---",
        "Swin-T/C24",
        "DenseNet-121 (k=12)",
        "resnet50.layer1",
    ],
)
def test_another_model_has_no_entry(written: str) -> None:
    assert find(written, TIMM) is None


def test_a_name_of_several_versions_is_ambiguous_until_something_says_which() -> None:
    catalog = Catalog({name: name for name in TIMM})
    assert catalog.find(read_name("SwinV2-T"), 256).reason == "ambiguous: swinv2_tiny_window16_256, swinv2_tiny_window8_256"
    assert find("SwinV2-T window8", TIMM, 256) == "swinv2_tiny_window8_256"


@pytest.mark.parametrize(
    ("text", "side"), [("224x224", 224), ("384", 384), ("384²", 384), ("@ 256 px", 256), ("512x1024", None), ("5", None), ("", None)]
)
def test_the_side_of_a_square_input(text: str, side: int | None) -> None:
    assert parse_resolution(text) == side


CHECKPOINTS = {
    "BERT-base": "bert-base-uncased",
    "BERT-Base, Uncased": "bert-base-uncased",
    "bert-base-cased": "bert-base-cased",
    "google-bert/bert-large-uncased": "bert-large-uncased",
    "BERT (large)": "bert-large-uncased",
    "gpt2": "gpt2",
    "GPT-2 XL": "gpt2-xl",
    "GPT2-Medium": "gpt2-medium",
    "Llama-3-8B": "llama-3-8b",
    "Llama 2 7B": "llama-2-7b",
    "meta-llama/Meta-Llama-3-8B-Instruct": "Meta-Llama-3-8B",
    "Mixtral 8x7B": "mixtral-8x7b-v0.1",
    "Mistral-7B-v0.1": "mistral-7b-v0.1",
    "RoBERTa-large": "roberta-large",
    "ViT-B/16": "vit-base-patch16-224",
    "google/vit-base-patch16-384": "vit-base-patch16-384",
    "ViT-B/32": "vit-base-patch32-224",
    "Swin-T": "swin-tiny-patch4-window7-224",
    "ResNet-50": "resnet-50",
}


@pytest.mark.parametrize("written", CHECKPOINTS)
def test_a_checkpoint_of_transformers(written: str) -> None:
    found = open_catalogs(["transformers"], None, Path()).find(written, None, "")
    assert found.entry is not None
    assert read_checkpoints().find(found.entry.reference.partition(":")[2]) == read_checkpoints().find(CHECKPOINTS[written])


def find_torchvision(written: str) -> tuple[str, int | None]:
    found = open_catalogs(["torchvision"], None, Path()).find(written, None, "Object detection on COCO" if "RCNN" in written else "")
    assert found.entry is not None
    return found.entry.reference, found.resolution


@pytest.mark.parametrize(
    ("written", "reference", "resolution"),
    [
        ("ResNet50_Weights.IMAGENET1K_V2", "torchvision:resnet50", 224),
        ("RegNet_Y_16GF_Weights.IMAGENET1K_SWAG_E2E_V1", "torchvision:regnet_y_16gf", 384),
        ("ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1", "torchvision:vit_h_14(image_size=518)", None),
        ("ViT_B_16_Weights.IMAGENET1K_V1", "torchvision:vit_b_16", None),
        ("FasterRCNN_ResNet50_FPN_Weights.COCO_V1", "torchvision:fasterrcnn_resnet50_fpn", None),
        ("FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1", "torchvision:fcn_resnet50(aux_loss=True)", None),
        ("R3D_18_Weights.KINETICS400_V1", "torchvision:r3d_18", None),
    ],
)
def test_the_name_of_weights_says_the_model_and_its_input(written: str, reference: str, resolution: int | None) -> None:
    # the crop sizes of torchvision's own documentation of these weights
    assert find_torchvision(written) == (reference, resolution)


@pytest.mark.parametrize(
    "written",
    [
        "BERT",
        "GPT-2",
        "T5",
        "Llama-3-9B",
        "bert-base-chinese",
        "bert-base-multilingual-cased",
        "distilbert-base-cased",
        "flan-t5-base",
        "Falcon-7B",
    ],
)
def test_a_name_whose_sizes_are_not_known_is_no_checkpoint(written: str) -> None:
    assert open_catalogs(["transformers"], None, Path()).find(written, None, "").reason == "unknown"
