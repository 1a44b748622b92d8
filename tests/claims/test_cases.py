"""Small documents that were judged wrongly once: each shows a kind, and its right outcome.

resnet18 has 11,689,512 parameters and 1.814 GMACs, resnet50 25,557,032 and 4.089 GMACs, as torchvision publishes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archaudit.claims.drafting.merging import merge_draft
from archaudit.pipeline.claims import DocumentJudgement, check_document
from archaudit.pipeline.drafts import draft_document, draft_zoo
from archaudit.pipeline.options import Options
from archaudit.schema import Profile, encode, strip_provenance

Notes = Callable[..., Path]
Pair = tuple[str, str]
ProfileOf = Callable[[str], Profile]


@pytest.fixture(scope="session")
def resnets(tmp_path_factory: pytest.TempPathFactory, profile_of: ProfileOf) -> Pair:
    """resnet18 and resnet50 as saved profiles, and a file that names them."""
    folder = tmp_path_factory.mktemp("resnets")
    for name in ("resnet18", "resnet50"):
        (folder / f"{name}.json").write_bytes(encode(strip_provenance(profile_of(name))))
    (folder / "models.toml").write_text(
        "".join(f'[models.{name}]\nreference = "{folder / name}.json"\n' for name in ("resnet18", "resnet50"))
    )
    return str(folder / "resnet18.json"), str(folder / "resnet50.json")


@pytest.fixture
def audit(notes: Notes, resnets: Pair) -> Callable[..., DocumentJudgement]:
    """Drafts the claims of a document, unless they are given, and judges them."""

    def audit(text: str, name: str = "NOTES.md", claims: str | None = None, *, zoo: bool = False, fix: bool = False) -> DocumentJudgement:
        path = notes(text, name=name)
        models = str(Path(resnets[0]).with_name("models.toml"))
        if claims is None:
            claims = draft_zoo(path, [models], Options()) if zoo else draft_document(path, *resnets, Options())
        notes(text, claims, name)
        return check_document(path, Options(), None if zoo else resnets, strict=True, fix=fix)

    return audit


def findings(judgement: DocumentJudgement) -> list[tuple[str, str | None]]:
    return [(verdict.expected, verdict.finding) for verdict in judgement.verdicts]


SWAPPED = """# Models

| Model | Params (M) | MACs (G) |
|---|---|---|
| resnet18 | 25.56 | 4.09 |
| resnet50 | 11.69 | 1.81 |

The torchvision resnet18 model has 25.6M parameters, the resnet50 model 11.7M.
"""
ZOO = """# Zoo

Model | Params(M) | MACs(G)
---|---|---
resnet18 | 11.69 | 1.81
resnet50 | 25.56 | 4.09
"""


@pytest.mark.parametrize("zoo", [True, False])
def test_swapped_rows_and_sentences_are_false_and_corrected_by_name(audit: Callable[..., DocumentJudgement], zoo: bool) -> None:
    judgement = audit(SWAPPED, zoo=zoo, fix=True)
    assert {finding for _, finding in findings(judgement)} == {"false"}
    assert len(judgement.verdicts) == 6
    (document,) = [each for each in judgement.corrections if each.path.endswith(".md")]
    right = (
        SWAPPED.replace("| 25.56 | 4.09 |", "| A |").replace("| 11.69 | 1.81 |", "| 25.56 | 4.09 |").replace("| A |", "| 11.69 | 1.81 |")
    )
    assert document.after == right.replace("25.6M", "A").replace("11.7M", "25.6M").replace("A parameters", "11.7M parameters")


def test_claims_by_value_about_swapped_rows_are_false(audit: Callable[..., DocumentJudgement]) -> None:
    claim = '[[claims]]\nfigure = "{}"\n{}source = "Models"\nnear = "{}"\nmodel = "{}"\nmetric = "{}"\n\n'
    rows = [("25.56", "M", "| resnet18 | 25.56 | 4.09 |", "after", "params"), ("4.09", "G", "| resnet18 | 25.56 | 4.09 |", "after", "macs")]
    rows += [
        ("11.69", "M", "| resnet50 | 11.69 | 1.81 |", "before", "params"),
        ("1.81", "G", "| resnet50 | 11.69 | 1.81 |", "before", "macs"),
    ]
    claims = "".join(claim.format(figure, f'unit = "{unit}"\n', near, model, metric) for figure, unit, near, model, metric in rows)
    claims += claim.format("25.6M parameters", "", "resnet18 model has 25.6M parameters", "after", "params")
    claims += claim.format("11.7M", "", "the resnet50 model 11.7M", "before", "params")
    judgement = audit(SWAPPED, claims=claims)
    assert [finding for _, finding in findings(judgement)] == ["false"] * 6
    assert judgement.verdicts[4].reason.startswith("false: the sentence is about before, the claim about after")


def test_a_right_zoo_is_not_touched_by_a_correction(audit: Callable[..., DocumentJudgement]) -> None:
    judgement = audit(ZOO, zoo=True, fix=True)
    assert (judgement.outcome, judgement.corrections, len(judgement.verdicts)) == ("passed", (), 4)


@pytest.mark.parametrize(
    ("heading", "figure"), [("Parameters (millions)", "25.6"), ("Parameters (Mio)", "25.6"), ("#P (×10⁶)", "25.6"), ("MParams", "25.6")]
)
def test_units_in_words_are_read(audit: Callable[..., DocumentJudgement], heading: str, figure: str) -> None:
    judgement = audit(f"# T\n\n| Model | {heading} |\n|---|---|\n| resnet50 | {figure} |\n", zoo=True)
    assert [finding for _, finding in findings(judgement)] == ["true"]


def test_operations_in_billions_and_a_noun_without_a_space_are_read(audit: Callable[..., DocumentJudgement]) -> None:
    assert findings(audit("# T\n\n| Model | MACs (billions) |\n|---|---|\n| resnet50 | 4.09 |\n", zoo=True))[0][1] == "true"
    assert findings(audit("The new model has 25.6 MParams.\n")) == [("25.6 MParams", "true")]


FORMATS = {
    "a.rst": "Encoders\n========\n\n=========== ========= ==========\nEncoder     Params, M GMACs\n=========== ========= ==========\n"
    "resnet18    11.69     1.81\nresnet50    25.56     4.09\n=========== ========= ==========\n\n"
    "+-----------+------------------------------------+\n| Name      | Details                            |\n"
    "+===========+====================================+\n| resnet50  | | 25.6M parameters                 |\n"
    "+-----------+------------------------------------+\n\nThe ``resnet50`` model has 25.6M parameters.\n",
    "b.md": "# R\n\n<table>\n<thead><tr><th>Model</th><th>Params (M)</th><th>MACs (G)</th></tr></thead>\n"
    '<tr><td>resnet18</td><td>11.69</td><td>1.81</td></tr>\n<tr><td rowspan="1">resnet50</td><td>25.56</td><td>4.09</td></tr>\n'
    "<tr>\n  <td>resnet50</td>\n  <td>25.6M</td>\n  <td>4.09G</td>\n</tr>\n</table>\n",
    "c.tex": "\\section{R}\n\\begin{tabular}{l|cc}\n\\toprule\nModel & \\#Params (M) & FLOPs (G) \\\\\n\\midrule\n"
    "ResNet-18 & 11.7 & 1.8 \\\\\nResNet-50 & \\textbf{25.6} & 4.1 \\\\\nResNet-50 & 25.6\\,M & 4.1$\\times10^9$ \\\\\n"
    "\\bottomrule\n\\end{tabular}\nResNet-50 has 25.6M parameters. % 99M in a comment\n",
    "d.csv": "model,param_count,gmacs,img_size,macts\nresnet18,11.69,1.81,224,2.48\nresnet50,25.56,4.09,224,11.11\n",
    "e.py": '"""ResNet-50 with 25.6M parameters and 4.1 GMACs."""\nwidth = 64\n',
}
COUNTS = {"a.rst": 6, "b.md": 6, "c.tex": 7, "d.csv": 4, "e.py": 2}


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "d.csv"])  # saved profiles cannot be run at another size
def test_every_format_is_bound_and_true(audit: Callable[..., DocumentJudgement], name: str) -> None:
    judgement = audit(FORMATS[name], name, zoo=True)
    assert [finding for _, finding in findings(judgement)] == ["true"] * COUNTS[name]
    assert judgement.coverage.uncovered == ()


SPELLINGS = [
    "25.6 M", "25.6 million", "25.6 x 10^6", "25 557 032", "25.557.032", "25'557'032", "25.6 Mio", "25,6M", "25-26M", "25–26 million",
    "between 25M and 26M", "25.6±0.1M", "≈25.6 M", "over 25 million", "$25.6\\text{M}$", "**25.6**M", "`25.6M`", "25.6&nbsp;M",
]  # fmt: skip


@pytest.mark.parametrize("figure", SPELLINGS)
def test_every_spelling_of_parameters_is_read(audit: Callable[..., DocumentJudgement], figure: str) -> None:
    judgement = audit(f"# Growing\n\nThe new model has {figure} parameters.\n", claims=None)
    assert [finding for _, finding in findings(judgement)] == ["true"]


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("The new model needs 4.1 GMac.", "true"),
        ("The new model needs 4.09 GMAdds.", "true"),
        ("The new model needs 4.1 BFLOPs.", "other reading"),
        ("The new model needs 4.1 GFLOPS.", "other reading"),
        ("The weights of the new model take 102 MB.", "true"),
        ("The weights of the new model take 97.5 MiB.", "true"),
        ("The new model has twenty-five million parameters.", "false"),
    ],
)
def test_units_of_operations_and_bytes_are_read(audit: Callable[..., DocumentJudgement], text: str, finding: str) -> None:
    assert [each for _, each in findings(audit(f"# T\n\n{text}\n"))] == [finding]


def test_no_digit_is_lost_in_a_strict_check(audit: Callable[..., DocumentJudgement]) -> None:
    text = (
        "# Note\n\nThe new model has 25.6M parameters. <!-- claim: params after -->\n\n"
        "It replaces one of \\$80M, sorry, $80.0\\text{M}$ parameters, $12.5$M before pruning, \\textbf{99M} in the paper; 80.000.000 in"
        " the thesis.\n\nA model with $4.1\\times10^{9}$ MACs has eighty million parameters.\n"
    )
    judgement = audit(text, claims="")
    assert [number.reading.strip() for number in judgement.coverage.uncovered] == [
        "80.0M parameters", "12.5M", "99M", "80,000,000", "4.1e9 MACs", "80 million parameters"
    ]  # fmt: skip
    assert [each.text for each in judgement.coverage.unreadable] == ["80M"]
    assert judgement.outcome == "failed"


def test_a_number_with_a_comment_gets_no_second_claim(notes: Notes, resnets: Pair) -> None:
    text = "# B\n\nTruncated, it has 25M <!-- claim: params after --> parameters.\n"
    assert draft_document(notes(text), *resnets, Options()) == ""


def test_another_input_is_no_contradiction(audit: Callable[..., DocumentJudgement]) -> None:
    text = "# T\n\nIt needs 4.09 GMACs <!-- claim: macs after --> at 224x224.\n\n"
    judgement = audit(text + "It needs 12.0 GMACs <!-- claim: macs after --> at 384x384.\n", claims="")
    assert [finding for _, finding in findings(judgement)] == ["true", "false"]
    assert "contradicts" not in judgement.verdicts[1].reason


def test_equal_rows_with_long_texts_are_told_apart_by_their_order(audit: Callable[..., DocumentJudgement]) -> None:
    rows = "".join(f"| resnet18{name} | on ImageNet with the usual augmentation, and for long | {figure} |\n" for name, figure in ROWS)
    claim = '[[claims]]\nfigure = "{}"\nnear = "the usual augmentation, and for long | {}"\nmodel = "before"\nmetric = "params"\n\n'
    judgement = audit(
        f"# Wide\n\n| name | how | params |\n|---|---|---|\n{rows}", claims="".join(claim.format(each, each) for _, each in ROWS)
    )
    assert findings(judgement) == [("11.7M", "true"), ("11.7M", "true"), ("11.9M", "false")]
    assert [judgement.numbers[verdict.id][0].line for verdict in judgement.verdicts] == [5, 6, 7]


ROWS = (("", "11.7M"), (" (ours)", "11.7M"), (" (again)", "11.9M"))


def test_a_draft_over_confirmed_claims_adds_nothing(notes: Notes, resnets: Pair) -> None:
    draft = draft_document(notes("The model has 25.6M parameters.\n"), *resnets, Options())
    assert merge_draft(draft.replace("confidence", "confirmed"), draft).added == ()


def test_a_pull_request_with_percentages_ratios_and_savings_is_bound(audit: Callable[..., DocumentJudgement]) -> None:
    # 25,557,032 / 11,689,512 is 2.186, and the difference is 13,867,520
    text = "## Grow\n\n- Params: 11.69M -> 25.56M (2.19x larger)\n- 1.81 → 4.09 GMACs\n- mIoU 67.4 → 66.9 (-0.5), batch size 32\n"
    judgement = audit(text)
    assert ("11.69M", "true") in findings(judgement)
    assert ("25.56M", "true") in findings(judgement)
    assert ("4.09 GMACs", "true") in findings(judgement)
    assert "false" not in {finding for _, finding in findings(judgement)}
    assert {"67.4", "66.9"} <= {number.reading.strip() for number in judgement.coverage.uncovered}
