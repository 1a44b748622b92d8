"""Documents of each format: the numbers, the headings of their columns, and the names of their rows."""

from __future__ import annotations

import pytest

from archaudit.claims.reading import read_document
from archaudit.errors import InputError
from archaudit.schema.documents import Document

HTML = """# Results
<table>
<thead><tr><th rowspan="2">Model</th><th colspan="2">Cost</th></tr><tr><th>Params (M)</th><th>MACs (G)</th></tr></thead>
<tr><td>resnet18</td><td>11.69</td><td>1.81</td></tr>

<tr>
  <td>resnet50</td>
  <td>25.6M</td>
  <td>4.09G</td>
</tr>
</table>
"""
RST = """Encoders
========

The table of encoders.

=========== ========= ==========
Encoder     Params, M GMACs
=========== ========= ==========
resnet18    11.69     1.81
resnet50    25.56     4.09
=========== ========= ==========

.. list-table::
   :header-rows: 1

   * - Model
     - Params (M)
   * - resnet50
     - 25.56

The :class:`resnet50` model has 25.6M parameters.
"""
LATEX = r"""\section{Results}
\begin{tabular}{l|cc}
\toprule
Model & \#Params (M) & FLOPs (G) \\
\midrule
ResNet-18 & 11.7 & 1.8 \\
\multirow{2}{*}{ResNet-50} & \textbf{25.6} & 4.1 \\ % 7.7
\bottomrule
\end{tabular}
ResNet-50~\cite{he2016} has 25.6M parameters, which is $2.19\times$ more. % 25M in a comment
"""
CSV = 'model,param_count,gmacs,img_size\nresnet18,11.69,1.81,224\n"resnet50, wide",25.56,4.09,224\n'
YAML = """Collections:
  - Name: ResNet
    Metadata: {Epochs: 100}
Models:
  - Name: resnet18_8xb32_in1k
    Metadata:
      FLOPs: 1820000000
      Parameters: 11690000
    Results:
      - Dataset: ImageNet-1k
        Metrics: {Top 1 Accuracy: 69.90}
  - Name: resnet34_8xb32_in1k
    Metadata: {FLOPs: 3680000000, Parameters: 2180000}
"""
PYTHON = '''"""ResNet-50 with 25.6M parameters."""

class Net:
    """It has 25,557,032 parameters."""

    width = 64  # 11.7M in all
    text = "99M"
'''


def list_numbers(document: Document) -> list[tuple[int, str, str, str, str]]:
    return [(number.line, number.reading.strip(), number.unit, number.heading, number.row_heading) for number in document.numbers]


def test_tables_of_html_have_spanning_headings_and_empty_lines() -> None:
    numbers = list_numbers(read_document(HTML, "a.md"))
    assert numbers == list_numbers(read_document(HTML.removeprefix("# Results\n").join(["<h1>Results</h1>\n", ""]), "a.html"))
    assert numbers == [
        (4, "11.69", "M", "Cost Params (M)", "resnet18"),
        (4, "1.81", "G", "Cost MACs (G)", "resnet18"),
        (8, "25.6M", "", "Cost Params (M)", "resnet50"),
        (9, "4.09G", "", "Cost MACs (G)", "resnet50"),
    ]


def test_tables_of_restructured_text() -> None:
    document = read_document(RST, "a.rst")
    assert list_numbers(document) == [
        (9, "11.69", "M", "Params, M", "resnet18"),
        (9, "1.81", "GMACs", "GMACs", "resnet18"),
        (10, "25.56", "M", "Params, M", "resnet50"),
        (10, "4.09", "GMACs", "GMACs", "resnet50"),
        (19, "25.56", "M", "Params (M)", "resnet50"),
        (21, "25.6M parameters", "", "", ""),
    ]
    assert {number.run.section for number in document.numbers} == {"Encoders"}


def test_tables_and_text_of_latex_without_comments() -> None:
    assert list_numbers(read_document(LATEX, "a.tex")) == [
        (6, "11.7", "M", "#Params (M)", "ResNet-18"),
        (6, "1.8", "G", "FLOPs (G)", "ResNet-18"),
        (7, "25.6", "M", "#Params (M)", "ResNet-50"),
        (7, "4.1", "G", "FLOPs (G)", "ResNet-50"),
        (10, "25.6M parameters", "", "", ""),
        (10, "2.19×", "", "", ""),
    ]


def test_a_file_of_comma_separated_values_is_a_table() -> None:
    numbers = list_numbers(read_document(CSV, "a.csv"))
    assert numbers[:3] == [
        (2, "11.69", "", "param_count", "resnet18"),
        (2, "1.81", "gmacs", "gmacs", "resnet18"),
        (2, "224", "", "img_size", "resnet18"),
    ]
    assert numbers[3] == (3, "25.56", "", "param_count", "resnet50, wide")


def test_an_index_of_models_is_a_table_of_its_scalars() -> None:
    document = read_document(YAML, "metafile.yml")
    assert list_numbers(document) == [
        (7, "1820000000", "", "FLOPs", "resnet18_8xb32_in1k"),
        (8, "11690000", "", "Parameters", "resnet18_8xb32_in1k"),
        (13, "3680000000", "", "FLOPs", "resnet34_8xb32_in1k"),
        (13, "2180000", "", "Parameters", "resnet34_8xb32_in1k"),
    ]


def test_docstrings_and_comments_of_python_state_numbers_and_code_does_not() -> None:
    document = read_document(PYTHON, "net.py")
    assert [(number.line, number.reading.strip(), number.run.section) for number in document.numbers] == [
        (1, "25.6M parameters", ""),
        (4, "25,557,032 parameters", "Net"),
        (6, "11.7M", "Net"),
    ]


@pytest.mark.parametrize("name", ["a.md", "a.html", "a.rst", "a.tex", "a.csv", "a.py"])
@pytest.mark.parametrize(
    "text", ["", "\n\n", "| a |\n|", "<table><tr><td>", "\\begin{tabular}{", "=== ===\n", '"""', ",\n,", "{{{", "\\", "`" * 9]
)
def test_broken_documents_are_read_as_far_as_they_go(name: str, text: str) -> None:
    assert read_document(text, name).numbers == ()


def test_text_that_is_not_yaml_is_a_message() -> None:
    with pytest.raises(InputError, match="not YAML"):
        read_document("a: [1", "a.yml")


def test_no_digit_is_lost() -> None:
    text = "It replaces one of \\$80M, of $80.0\\text{M}$, $12.5$M, \\textbf{99M}, 80.000.000; v1.2 of Conv2d in section 4 <3"
    document = read_document(text, "NOTE.md")
    assert [number.reading.strip() for number in document.numbers] == ["80.0M", "12.5M", "99M", "80,000,000"]
    assert [(each.text, each.rule) for each in document.ignored] == [
        ("80M", "unreadable"),
        ("1.2", "parts of names"),
        ("2", "parts of names"),
        ("4", "numbers of sections, figures and references"),
        ("<3", "hearts"),
    ]


def test_a_heading_in_two_rows_of_latex_keeps_its_columns() -> None:
    text = r"""\begin{tabular}{lccc}
\multirow{2}{*}{Model} & Image & \#Param. & FLOPs \\
 & size & (M) & (G) \\
\midrule
\multirow{2}{*}{ViT-B/16$^\dagger$~\cite{vit}} & $224^2$ & 86.6 & 17.6 \\
 & $384^2$ & 86.9 & 55.5 \\
\end{tabular}
"""
    document = read_document(text, "a.tex")
    (table,) = document.tables
    assert table.headings == ("Model", "Image size", "#Param. (M)", "FLOPs (G)")
    assert table.rows == (("ViT-B/16", "224^2", "86.6", "17.6"), ("ViT-B/16", "384^2", "86.9", "55.5"))
    assert [(number.reading, number.unit) for number in document.numbers if number.run.cell >= 2 and number.run.row >= 0] == [
        ("86.6", "M"), ("17.6", "G"), ("86.9", "M"), ("55.5", "G")
    ]  # fmt: skip


def test_a_comma_is_a_decimal_point_in_a_file_with_semicolons() -> None:
    numbers = read_document("model;top1;param_count\nresnet50;81,214;25,56\n", "a.csv").numbers
    assert [(number.text, number.reading) for number in numbers] == [("81,214", "81.214"), ("25,56", "25.56")]
    numbers = read_document("model;top1;params\nresnet50;81.2;25,557,032\n", "a.csv").numbers
    assert [number.reading for number in numbers] == ["81.2", "25,557,032"]


def test_spaces_written_as_entities_separate_groups_of_digits() -> None:
    text = "<table><tr><th>Model</th><th>Params</th></tr><tr><td>a</td><td>3&thinsp;504&thinsp;872</td></tr></table>"
    assert [number.reading for number in read_document(text, "a.html").numbers] == ["3,504,872"]


def test_a_cell_that_is_only_a_number_is_no_date() -> None:
    text = "| Model | GFLOPS |\n|---|---|\n| a | 1016.72 |\n\nIt needs 1016.72 GFLOPs since 2021.05.\n"
    document = read_document(text, "a.md")
    assert [number.reading for number in document.numbers] == ["1016.72", "1016.72 GFLOPs"]
    assert [each.text for each in document.ignored] == ["2021.05"]
