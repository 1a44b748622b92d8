"""Bindings in a document, and the numbers of each claim."""

from __future__ import annotations

from typing import Any

import pytest

from archaudit.claims.binding import LocatedClaims, locate_claims, normalize_figure
from archaudit.claims.reading import read_document
from archaudit.config import read_claims
from archaudit.errors import ConfigError


def bind(text: str) -> list[dict[str, Any]]:
    return [binding.table for binding in read_document(text, "notes.md").bindings]


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("6.83M <!-- claim: params before -->", {"figure": "6.83M", "metric": "params", "model": "before"}),
        ("6.83M<!--claim:params-->", {"figure": "6.83M", "metric": "params"}),
        ("`21K` params <!-- claim: params after of a.b -->", {"figure": "21K", "metric": "params", "model": "after", "scope": ["a.b"]}),
        ("2 and 3 <!-- claim: children of a + b.* -->", {"figure": "3", "metric": "children", "scope": ["a", "b.*"]}),
        (
            "63% <!-- claim: params after vs before -->",
            {"metric": "params", "model": "after", "against": "before", "comparison": "percent"},
        ),
        ("42x <!-- claim: macs vs before of c -->", {"against": "before", "against_scope": ["c"], "comparison": "ratio"}),
        ("3M <!-- claim: params after of a vs before of b -->", {"scope": ["a"], "against_scope": ["b"], "comparison": "difference"}),
        ("26.3 <!-- claim: macs in GMACs before -->", {"figure": "26.3", "metric": "macs", "unit": "GMACs", "model": "before"}),
        ("42x <!-- claim: params vs before, expect false: never was -->", {"expect": "false", "why": "never was"}),
        ("4G <!-- claim: flops, expect other reading: MACs -->", {"expect": "other reading", "why": "MACs"}),
        ("512 <!-- claim: exempt: the size of images -->", {"figure": "512", "exempt": "the size of images"}),
        ("[B, 3, H, W] <!-- claim: shape of a -->", {"figure": "[B, 3, H, W]", "metric": "shape"}),
    ],
)
def test_a_comment_says_what_the_number_before_it_is_about(text: str, table: dict[str, Any]) -> None:
    (found,) = bind(f"# Part\n\n{text}\n")
    assert found["source"] == "Part"
    assert {key: found[key] for key in table} == table
    assert set(found) - set(table) <= {"source", "figure", "metric", "model", "scope", "against", "comparison"}


def test_each_number_of_a_line_has_its_own_comment() -> None:
    tables = bind("from 6.83M <!-- claim: params before --> to 2.52M <!-- claim: params after -->.")
    assert [(table["figure"], table["model"]) for table in tables] == [("6.83M", "before"), ("2.52M", "after")]


@pytest.mark.parametrize("text", ["<!-- not a claim: 5M -->", "```\n5M <!-- claim: params -->\n```", "<!--\n5M <!-- claim: params\n-->"])
def test_other_comments_and_code_are_not_bindings(text: str) -> None:
    assert bind(text) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("<!-- claim: params -->", "notes.md:1: there is no number before `claim: params` on its line"),
        ("5M <!-- claim: params of -->", "'params of' is not a binding"),
        ("5M <!-- claim: params a b -->", "'params a b' is not a binding"),
        ("5M <!-- claim: -->", "is not a binding"),
        ("5M <!-- claim: exempt -->", "has no reason"),
        ("42x <!-- claim: 884,736 / 21,000 -->", "is a number in place of a metric"),
        ("5M <!-- claim: 5,000,000 -->", "is a number in place of a metric"),
    ],
)
def test_a_faulty_comment_is_reported_with_its_line(text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(text)
    assert fault in caught.value.message


# --- coverage


def cover(text: str, *tables: dict[str, Any]) -> LocatedClaims:
    document = read_document(text, "notes.md")
    whole = [{"id": str(position), "metric": "params"} | table for position, table in enumerate(tables)]
    checks = read_claims([{key: value for key, value in table.items() if value is not None} for table in whole], ["after"], "notes.md")
    return locate_claims(document, checks, [])


def list_positions(located: LocatedClaims) -> dict[str, list[tuple[int, int]]]:
    return {name: [(number.line, number.column) for number in numbers] for name, numbers in located.numbers.items()}


TEXT = "# 1. One\n\n5M and 6M\n\n# 2. Two\n\n5M, then 5M\n\nagain 5M here\n"


def test_a_claim_is_about_every_number_with_its_figure() -> None:
    located = cover(TEXT, {"figure": "5M"})
    assert list_positions(located) == {"0": [(3, 1), (7, 1), (7, 10), (9, 7)]}
    assert [number.text for number in located.coverage.uncovered] == ["6M"]
    assert located.coverage.total == 5


def test_source_and_near_select_numbers() -> None:
    tables = [
        {"figure": "5M", "source": "section 1"},
        {"figure": "5M", "source": "two", "near": "again"},
        {"figure": "6M", "source": "Two"},
    ]
    located = cover(TEXT, *tables)
    assert list_positions(located) == {"0": [(3, 1)], "1": [(9, 7)], "2": []}


def test_claims_with_the_same_figure_get_the_numbers_in_order() -> None:
    table = {"figure": "5M", "source": "section 2"}
    assert list_positions(cover(TEXT, table, table)) == {"0": [(7, 1)], "1": [(7, 10), (9, 7)]}
    assert list_positions(cover(TEXT, table, table, table, table)) == {"0": [(7, 1)], "1": [(7, 10)], "2": [(9, 7)], "3": []}


def test_section_1_is_not_section_10() -> None:
    text = "# 10. Ten\n\n5M\n\n# 1 One\n\n6M\n\n## 1.2. More\n\n7M\n"
    tables = [{"figure": figure, "source": "section 1"} for figure in ("5M", "6M", "7M")]
    assert list_positions(cover(text, *tables)) == {"0": [], "1": [(7, 1)], "2": []}


def test_an_exempt_number_is_counted_separately() -> None:
    located = cover(TEXT, {"figure": "5M"}, {"figure": "6M", "exempt": "not ours", "metric": None})
    assert [len(part) for part in (located.coverage.bound, located.coverage.exempt, located.coverage.uncovered)] == [4, 1, 0]


def test_a_claim_about_code_covers_no_number_of_the_text() -> None:
    text = "```python\nnn.Dropout(0.3)  # 3 of 4\n```\n"
    located = cover(text, {"figure": "0.3", "metric": "setting:p"})
    assert list_positions(located) == {"0": [(2, 12)]}
    assert [number.text for number in located.coverage.uncovered] == ["3", "4"]


@pytest.mark.parametrize(
    ("one", "other"), [("42×", "42x"), ("42 x", "42x"), ("884,736 params", "884,736"), ("≈ 2–3M", "~2-3M"), ("63 percent", "63%")]
)
def test_insignificant_differences_in_form_are_ignored(one: str, other: str) -> None:
    assert normalize_figure(one) == normalize_figure(other)


def test_different_figures_stay_different() -> None:
    assert len({normalize_figure(figure) for figure in ("21K", "~21K", "21,000", "21k MACs", "<21K", "-21K")}) == 6


def test_a_unit_next_to_the_figure_needs_no_second_one() -> None:
    bindings = read_document("It has 4.11 G <!-- claim: macs in G after --> MACs.\n", "a.md").bindings
    assert [(binding.table["figure"], "unit" in binding.table) for binding in bindings] == [("4.11 G", False)]
