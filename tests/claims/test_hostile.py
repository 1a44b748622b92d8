"""Hostile documents: no crash, no missing number, and a cost that grows only with the size.

Time is never asserted: what would not be linear runs into a limit that is a thousand times what is needed, in a process of its own.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archaudit.claims.binding import locate_claims
from archaudit.claims.reading import MAX_NUMBERS, read_document
from archaudit.errors import ArchauditError, InputError
from archaudit.render.command_texts import format_claims
from archaudit.render.formatting import make_visible
from archaudit.schema.documents import Document

MEGABYTE = 1_000_000

# Each is repeated. What a slow expression would chew on: openings without an end, and figures that almost go on.
FRAGMENTS = {
    "digits": "1",
    "brackets": "[",
    "open shapes": "[a,",
    "parentheses": "](",
    "backticks": "`",
    "uneven backticks": "` `` ```",
    "open tags": "<a ",
    "open comments": "<!--",
    "open bindings": "x <!-- claim: ",
    "pipes": "|",
    "quotes": ">",
    "tildes": "~",
    "words": "about ",
    "addresses": "http://x ",
    "slashes": "H/",
    "signs": "-",
    "letters": "a",
    "labels": "lines ",
}

PROGRAM = """
import sys
from archaudit.claims.reading import read_document
size = int(sys.argv[1])
for fragment in sys.argv[2:]:
    text = fragment * (size // len(fragment))
    print(len(read_document('5M ' + text, 'x').numbers))
    read_document('```python\\n' + text + '\\n```', 'x')
"""


def count_numbers(size: int, fragments: list[str]) -> list[str]:
    arguments = [sys.executable, "-c", PROGRAM, str(size), *fragments]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_a_megabyte_of_digits_is_not_a_number() -> None:
    assert count_numbers(MEGABYTE, ["1"]) == ["1"]


def test_a_large_document_is_read_in_bounded_time() -> None:
    counts = dict(zip(FRAGMENTS, count_numbers(MEGABYTE // 16, list(FRAGMENTS.values())), strict=True))
    assert {name: count for name, count in counts.items() if count != "1"} == {}


@pytest.mark.parametrize("fragment", ["1 ", "1,", "1.", "3x", "1-2-", "|1", "[1,", "1 → ", "[1](2)", "x_1", "2024-"])
def test_a_megabyte_of_numbers_is_refused_as_data(fragment: str) -> None:
    with pytest.raises(InputError, match="which is data, not a document"):
        read_document(fragment * (MEGABYTE // len(fragment)), "data.md")


def test_more_lines_than_a_document_has_are_refused_before_they_are_parsed() -> None:
    with pytest.raises(InputError, match="more than 100,000 lines"):
        read_document("- x\n" * (MEGABYTE // 4), "list.md")


def test_every_number_of_a_long_document_is_found() -> None:
    row = "5M and 6K\n"
    assert len(read_document(row * 2_000, "long.md").numbers) == 4_000 <= MAX_NUMBERS


def find(text: str) -> list[str]:
    return [number.text for number in read_document(text, "x").numbers]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("|a|b|\n|-|\n|5M|6M|\n", ["5M", "6M"]),
        ("|a|b\n|-|-|\n|5M\n|6M|7M|8M|\n", ["5M", "6M", "7M", "8M"]),
        ("".join("  " * depth + "- 5M\n" for depth in range(200)), ["5M"] * 200),
        ("> " * 500 + "5M", ["5M"]),
        ("<div>5M<p>6M</div", ["5M", "6M"]),
        ("<table><tr><td width=7>5M</td></tr></table>", ["5M"]),
        ("<script>x = 7</script>", ["7"]),
        ("\u202e5M\u202c and \u200f6M\u200e שלום", ["5M", "6M"]),
        ("a\x005M\x0c6M\u20287M\x1b[31m8M", ["5M", "6M", "7M"]),
        ("```python\n# 5M\n", ["5M"]),
        ("~~~\n5M\n```\n6M\n~~~\n7M", ["5M", "6M", "7M"]),
        ("```\n```\n5M", ["5M"]),
        ("\t5 # 6M", ["6M"]),
        ("5M\r6M\r\n7M", ["5M", "6M", "7M"]),
        ("1" * 39 + " and " + "2" * 41, ["1" * 39]),
        ("", []),
        ("\ufeff5M", ["5M"]),
    ],
)
def test_broken_structure_hides_no_number(text: str, numbers: list[str]) -> None:
    found = find(text)
    assert [number for number in numbers if number not in found] == []


PIECES = st.sampled_from(
    [
        "5M",
        "~",
        "<",
        "-",
        "→",
        "x",
        "%",
        "`",
        "```",
        "\n",
        "\r",
        "|",
        "|-|",
        "[",
        "]",
        "(",
        ")",
        "<!--",
        "-->",
        "claim:",
        "#",
        "- ",
        "1.",
        "H/",
        '"',
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=40).map(" ".join))
def test_any_text_is_read_and_its_numbers_have_their_positions(text: str) -> None:
    try:
        document: Document = read_document(text, "x")
    except ArchauditError:
        return  # a binding that is none
    for number in document.numbers:
        line = document.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[number.line - 1]
        assert line[number.column - 1 :].startswith(number.text)
    coverage = locate_claims(document, [], []).coverage
    assert coverage.total == len(document.numbers)
    assert all(make_visible(line) == line for line in format_claims([], {}, coverage))


def test_a_terminal_interprets_nothing_in_the_output() -> None:
    assert make_visible("5M\x1b[31m\u202e") == "5M\\x1b[31m\\u202e"
