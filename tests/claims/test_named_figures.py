"""Figures of tables and sentences bound to the models that they name."""

from __future__ import annotations

from archaudit.claims.named_figures import Catalogs, list_named_figures
from archaudit.claims.named_sides import find_named_sides
from archaudit.claims.names import Catalog
from archaudit.claims.reading import read_document

LIBRARY = Catalogs(
    ((Catalog({name: f"lib:{name}" for name in ("resnet18", "resnet34", "resnet50", "cait_s24_224", "swin_t", "swin_s")}), True),)
)


def bind(text: str, catalogs: Catalogs = LIBRARY) -> list[tuple[str, str, str, int | None, str]]:
    figures = list_named_figures(read_document(text, "a.md"), catalogs)
    return [
        (
            each.number.reading.strip(),
            each.metric,
            each.unit,
            each.resolved.resolution,
            each.resolved.entry.name if each.resolved.entry else "",
        )
        for each in figures
    ]


def test_the_name_of_a_row_decides_whatever_the_figures_are() -> None:
    table = "| Model | Params (M) | MACs (G) |\n|---|---|---|\n| resnet18 | 25.56 | 4.09 |\n| my_net | 11.69 | 1.81 |\n"
    assert bind(table) == [
        ("25.56", "params", "M", None, "resnet18"),
        ("4.09", "macs", "G", None, "resnet18"),
        ("11.69", "params", "M", None, ""),
        ("1.81", "macs", "G", None, ""),
    ]


def test_a_plain_number_states_millions_of_parameters_and_billions_of_operations() -> None:
    assert bind(
        "| Model | Acc@1 | Params | FLOPs |\n|---|---|---|---|\n| resnet18 | 69.8 | 11.7 | 1.8 |\n| resnet50 | 76.1 | 25557032 | 4.1 |\n"
    ) == [
        ("11.7", "params", "M", None, "resnet18"),
        ("1.8", "flops", "G", None, "resnet18"),
        ("25557032", "params", "", None, "resnet50"),
        ("4.1", "flops", "G", None, "resnet50"),
    ]


def test_the_resolution_of_a_row_is_its_input() -> None:
    table = "| name | resolution | #params |\n|---|---|---|\n| resnet50 | 384x384 | 26M |\n| | 224x224 | 26M |\n"
    assert bind(table) == [("26M", "params", "", 384, "resnet50"), ("26M", "params", "", 224, "resnet50")]
    assert bind("| Model | GMACs @ 288 |\n|---|---|\n| resnet50 | 6.8 |\n| resnet18 | 3.0 |\n")[0][3] == 288


def test_a_detector_is_not_its_backbone_and_another_dataset_is_another_model() -> None:
    table = "| Backbone | Method | #params |\n|---|---|---|\n| Swin-T | Mask R-CNN | 48M |\n| Swin-S | Mask R-CNN | 69M |\n"
    assert [each[4] for each in bind(table)] == ["", ""]
    assert bind("## CIFAR-10\n\n| Model | Params |\n|---|---|\n| resnet18 | 11.17M |\n| resnet50 | 23.52M |\n")[0][4] == ""
    assert bind("## Models (isotropic)\n\n| Model | Params |\n|---|---|\n| resnet18 | 11.17M |\n| resnet50 | 23.52M |\n")[0][4] == ""


def test_the_family_of_a_short_name_is_in_the_title() -> None:
    assert bind("# CaiT: deeper\n\n## Zoo\n\n| name | res | #params |\n|---|---|---|\n| S24 | 224 | 47M |\n| S36 | 224 | 68M |\n") == [
        ("47M", "params", "", 224, "cait_s24_224"),
        ("68M", "params", "", 224, ""),
    ]


def test_a_table_with_a_row_for_each_metric() -> None:
    table = "| | resnet18 | resnet50 |\n|---|---|---|\n| params | 11.7M | 25.6M |\n| GMACs @ 224 | 1.8 | 4.1 |\n| top-1 | 69.8 | 76.1 |\n"
    assert bind(table) == [
        ("11.7M", "params", "", None, "resnet18"),
        ("25.6M", "params", "", None, "resnet50"),
        ("1.8", "macs", "GMACs", 224, "resnet18"),
        ("4.1", "macs", "GMACs", 224, "resnet50"),
    ]


def test_sentences_name_their_models() -> None:
    assert bind("ResNet-50 has 25.6M parameters, ResNet-18 11.7M. It needs 4.1 GMACs.\n") == [
        ("25.6M parameters", "params", "", None, "resnet50"),
        ("11.7M", "params", "", None, "resnet18"),
    ]
    assert bind("## ResNet-34\n\nThe model has 21.8M parameters.\n") == [("21.8M parameters", "params", "", None, "resnet34")]
    assert bind("ResNet-50 reaches 76.1 % with 1024 images and 90 epochs.\n") == []


def test_the_names_of_a_pair_give_the_sides_of_rows() -> None:
    text = "| Model | Params |\n|---|---|\n| resnet18 | 11.7M |\n| ours | 5M |\n| after | 6M |\n"
    sides = find_named_sides(read_document(text, "a.md"), {"resnet18": "before"})
    assert [sides.get((line, text.splitlines()[line - 1].index("|", 2) + 3)) for line in (3, 4, 5)] == ["before", "another model", None]


def test_operations_of_a_model_of_text_have_no_model_without_a_length() -> None:
    catalogs = Catalogs(((Catalog({"bert_base": "lib:bert"}, only_params=["bert_base"]), False),))
    table = "| Model | Params | FLOPs |\n|---|---|---|\n| BERT-base | 110M | 22.5G |\n"
    assert bind(table, catalogs) == [("110M", "params", "", None, "bert_base"), ("22.5G", "flops", "", None, "")]
    reasons = [each.resolved.reason for each in list_named_figures(read_document(table, "a.md"), catalogs)]
    assert reasons[1] == "operations depend on the size of the input, which is not stated"


def test_a_heading_with_two_resolutions_gives_each_number_its_own() -> None:
    table = (
        "| Model | GMACs (@224 / @288) | GMACs @384 | Params |\n|---|---|---|---|\n"
        "| resnet50 | 4.1 / 6.8 | 12.0 | 25.6M |\n| resnet18 | 1.8 / – | 5.3 | 11.7M |\n"
    )
    assert [(each[0], each[3]) for each in bind(table)] == [
        ("4.1", 224), ("6.8", 288), ("12.0", 384), ("25.6M", 224), ("1.8", 224), ("5.3", 384), ("11.7M", 224)
    ]  # fmt: skip


def test_a_figure_written_in_full_is_not_in_the_millions_of_its_heading() -> None:
    table = "| Model | Params (M) |\n|---|---|\n| resnet18 | 11.69 |\n| resnet50 | 25,557,032 |\n"
    assert bind(table) == [("11.69", "params", "M", None, "resnet18"), ("25,557,032", "params", "", None, "resnet50")]
