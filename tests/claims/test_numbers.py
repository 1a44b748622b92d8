"""The numbers that are found in a document, and digits that are not numbers."""

from __future__ import annotations

import pytest

from archaudit.claims.reading import read_document
from archaudit.schema.documents import Document, Number


def read(text: str) -> Document:
    return read_document(text, "notes.md")


def find(text: str) -> list[str]:
    return [number.text for number in read(text).numbers]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("It has 25.6M parameters and 4.09 GMACs.", ["25.6M parameters", "4.09 GMACs"]),
        ("exactly 2,516,853 (2.52M)", ["2,516,853", "2.52M"]),
        ("2_516_853 in all, 21K params each", ["2_516_853", "21K params"]),
        ("a 63% cut, 63 % or 63 percent", ["63%", "63 %", "63 percent"]),
        ("42x, 42×, 8 times fewer, ~8x", ["42x", "42×", "8 times", "~8x"]),
        ("~21K, ≈ 3M, about 2.5M, roughly 40 %", ["~21K", "≈ 3M", "about 2.5M", "roughly 40 %"]),
        ("<3M, ≤ 3M, under 3M, at least 2M", ["<3M", "≤ 3M", "under 3M", "at least 2M"]),
        ("saves ~2-3M, 2–3M or 60-65 %", ["~2-3M", "2–3M", "60-65 %"]),
        ("-63.2 % and −4,314,656, but +544", ["-63.2 %", "−4,314,656", "+544"]),
        ("12 MB, 9.6 MiB, 3 ms, 5 µs, 3 million, 300M Mult-Adds", ["12 MB", "9.6 MiB", "3 ms", "5 µs", "3 million", "300M Mult-Adds"]),
        ("3x3 convolutions on 512×512 images", ["3x3", "512×512"]),
        ("a tensor [B, 128, H/8, W/8] or (1, 3, 224, 224)", ["[B, 128, H/8, W/8]", "(1, 3, 224, 224)"]),
        ("[1, 6, 12] but (256, 128)", ["[1, 6, 12]", "256", "128"]),
        ("(16→48 ch), 256ch, a 2-stage decoder with 4 branches", ["16", "48", "256", "2", "4"]),
        ("*42x* **2.52M** ~~9~~ `2,516,853` `~8x`", ["42x", "2.52M", "9", "2,516,853", "~8x"]),
        ("| model | params |\n|---|---:|\n| small | 11.7M |\n| 2 | 3 |", ["11.7M", "2", "3"]),
        ("> quoted 5M\n\n- nested\n  - 6M\n    - 7M", ["5M", "6M", "7M"]),
        ("٣٤M parameters", ["٣٤M parameters"]),
        ("eps of 1e-5", ["1e-5"]),
    ],
)
def test_numbers_are_found_as_they_are_written(text: str, numbers: list[str]) -> None:
    assert find(text) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "ResNet-50, MobileNetV3, Conv2d, stage1, GPT-2, top-5, ViT-B/16, EfficientNet-B0, decoder.0, H/16, W/4",
        "fp16, int8, bfloat16, 2D and 3D, 1st, 2nd, 3rd and 26th, x_1",
        "on 2024-05-01, 12/05/2021, 3 May 2023, May 3, 2023, since 2017, CVPR 2018, Smith (2015), at 10:30, © 2024",
        "torch 2.6, Python 3.11, CUDA 12.1, v1.2.3, v2, 1.13.1, version 4, torch==2.5",
        "see Section 3.2, Table 4, Figure 7, Fig. 2, Eq. (5), step 1, page 12, chapter 9, §6, issue #12, PR 45",
        "lines 26-49, Line 65, Lines 1-2, L26-L49, model.py:12, #123",
        "commit a1b2c3d, 0x1f, deadbeef1",
        "1. first\n2. second\n\n3) third",
        "# 3. Title\n\n## 4.1 Part\n\n### 5 More",
        "[text](http://x.y/2?z=3#4) ![image](a5.png) <https://a.b/6> https://c.d/7 www.e8.f/9",
        "[label]: http://x.y/2\n",
        '<b id="8">bold</b> <img width=300 src="9.png"> <!-- 10 -->',
        "<!-- one\n5M parameters\ntwo -->",
        "`Conv2d(16, 48)` and `x[3]`, `model.2.conv`",
        "```python\nx = conv(16, 48)  # a comment\ny = '5M'\n```",
        '```json\n{"a": 5}\n```',
        "    indented = code(5)\n",
    ],
)
def test_digits_that_state_no_number_are_ignored(text: str) -> None:
    assert find(text) == []


def test_comments_and_docstrings_in_code_are_read_and_the_code_separately() -> None:
    text = '```python\nclass A:\n    """Saves ~8x."""\n    x = conv(16, 48)  # 768 params!\n    s = "# 5M"\n    t = """6M"""\n```\n'
    document = read(text)
    assert [number.text for number in document.numbers] == ["~8x", "768 params"]
    assert [number.text for number in document.optional_numbers] == ["16", "48", "5M", "6M"]
    assert [(number.line, number.run.place) for number in document.numbers] == [(3, "comment"), (4, "comment")]


def test_output_blocks_and_comments_of_other_languages_are_read() -> None:
    assert find("```\nTotal: 2,516,853 (2.52M)\n```") == ["2,516,853", "2.52M"]
    assert find("```text\n5M\n```\n```cpp\nint x = 3; // 6M\n```\n```sql\nselect 1 -- 7M\n```") == ["5M", "6M", "7M"]
    assert find("```bash\npython run.py --n 3 # gives 8M\n```") == ["8M"]


def test_a_number_has_its_line_column_and_section() -> None:
    text = "# Top\n\nfirst 1M\n\n## 2. Part (Lines 3-4)\n\n- second:  2M\r\n- third 3M\r\n"
    document = read(text)
    lines = text.replace("\r\n", "\n").split("\n")
    assert [(number.line, number.column, number.run.section) for number in document.numbers] == [
        (3, 7, "Top"),
        (7, 12, "2. Part (Lines 3-4)"),
        (8, 9, "2. Part (Lines 3-4)"),
    ]
    for number in document.numbers:
        assert lines[number.line - 1][number.column - 1 :].startswith(number.text)


def roles(text: str) -> list[tuple[str, str]]:
    return [(number.text, number.role) for number in read(text).numbers]


def test_arrows_give_their_two_sides_a_role() -> None:
    assert roles("256 → 128, 48->32") == [("256", "before"), ("128", "after"), ("48", "before"), ("32", "after")]
    assert roles("from 6.83M to 2.52M") == [("6.83M", "before"), ("2.52M", "after")]
    assert roles("4 branches → 3 branches (25% less)") == [("4", "before"), ("3", "after"), ("25%", "")]


def test_the_words_after_a_number_are_its_noun() -> None:
    numbers: tuple[Number, ...] = read("takes 256 input channels, and 4 branches").numbers
    assert [number.noun for number in numbers] == ["input channels", "branches"]
