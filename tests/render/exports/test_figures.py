"""Figures: well-formed, self-contained SVG with the names and the marks of what changed; readable without colours."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from factories import make_cost
from render.synthetic import make_hostile_report, make_large_report, make_profile, make_segmentation_report

from archaudit.errors import ArchauditError
from archaudit.render.diagram import place_diagram
from archaudit.render.exports import draw
from archaudit.render.view.flow_diagram import view_flow
from archaudit.schema import Sweep, Variant

SVG = "{http://www.w3.org/2000/svg}"
REPORT = make_segmentation_report()
needs_layout = pytest.mark.skipif(place_diagram(view_flow(REPORT).diagrams[0]) is None, reason="no layout program is installed")


def read_texts(text: str) -> list[str]:
    return ["".join(node.itertext()) for node in ElementTree.fromstring(text).iter(f"{SVG}text")]


def check(text: str) -> None:
    """Valid XML with a size, a title and a description; no script, no link and nothing from outside."""
    root = ElementTree.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert root.find(f"{SVG}title") is not None
    assert root.find(f"{SVG}desc") is not None
    assert {node.tag.removeprefix(SVG) for node in root.iter()} <= {
        *("svg", "title", "desc", "style", "rect", "text", "g", "path", "polygon", "polyline", "line", "circle"),
    }
    assert not re.search(r"url\(|@import|href|javascript|<script|var\(", text)


@needs_layout
def test_both_sides_are_next_to_each_other_with_a_legend() -> None:
    text = draw(REPORT)
    check(text)
    words = read_texts(text)
    assert [word.partition(":")[0] for word in words if word.endswith("params") and ":" in word] == ["before", "after"]
    assert {"+ added", "- removed", "~ changed"} <= set(words)


@needs_layout
def test_what_changed_has_a_mark_and_a_line_of_its_own() -> None:
    """A print in grey still says it: added boxes have thick lines, removed ones dashed lines, and all have words."""
    text = draw(REPORT)
    style = ElementTree.fromstring(text).findtext(f"{SVG}style") or ""
    assert "stroke-width:2.5" in style
    assert "stroke-dasharray" in style
    marked = [
        node
        for node in ElementTree.fromstring(text).iter(f"{SVG}g")
        if "box" in (node.get("class") or "").split() and {"added", "removed", "changed"} & set((node.get("class") or "").split())
    ]
    assert marked
    for node in marked:
        assert any("".join(each.itertext())[:1] in "+-~" for each in node.iter(f"{SVG}text"))


@pytest.mark.parametrize("name", ["<b>&\"'", "\x00\x1b]0;x\x07", "\ud800", "a" * 500, "]]>"])
def test_names_are_escaped(name: str) -> None:
    check(draw(make_hostile_report(name)))


def test_a_model_with_too_many_steps_is_drawn_as_bars() -> None:
    text = draw(make_large_report(3_000))
    check(text)
    words = read_texts(text)
    assert words[:4] == ["before → after", "Parameters", "before", "after"]
    bars = [node for node in ElementTree.fromstring(text).iter(f"{SVG}rect") if node.get("class") == "after"]
    assert len(bars) == 1 + 16  # the legend's, and one for each of the largest changes
    assert words[-1].endswith("smaller changes not shown")


def test_a_model_alone_is_its_data_flow() -> None:
    if place_diagram(view_flow(REPORT).diagrams[0]) is not None:
        text = draw(REPORT.after)
        check(text)
        assert "+ added" not in read_texts(text)


def test_a_sweep_is_its_plot() -> None:
    variants = tuple(
        Variant(reference=f"torchvision:{name}", input="1x3x8x8", totals=make_cost(params, macs), pareto=name == "a")
        for name, params, macs in (("a", 10, 4), ("<b>", 20, 9))
    )
    text = draw(Sweep(variants=variants))
    check(text)
    assert {"a", "<b>", "Parameters", "FLOPs"} <= set(read_texts(text))


def test_variants_on_other_inputs_have_other_marks_and_a_legend() -> None:
    variants = tuple(
        Variant(reference=f"torchvision:{name}", input=size, totals=make_cost(params, macs), pareto=True)
        for name, params, macs, size in (
            ("a", 10, 4, "1x3x8x8"),
            ("b", 20, 3, "1x3x8x8"),
            ("a", 10, 9, "1x3x16x16"),
            ("b", 20, 8, "1x3x16x16"),
        )
    )
    text = draw(Sweep(variants=variants))
    check(text)
    root = ElementTree.fromstring(text)
    shapes = [
        re.sub(r"M[^a-z]*", "", node.get("d") or "", count=1) for node in root.iter(f"{SVG}path") if "dot" in (node.get("class") or "")
    ]
    assert len(shapes) == 4 + 2  # the points, then the legend
    assert len(set(shapes)) == 2
    assert shapes[4:] == [shapes[0], shapes[2]]
    assert {"input 1x3x8x8", "input 1x3x16x16"} <= set(read_texts(text))
    assert [node.get("stroke-dasharray") for node in root.iter(f"{SVG}polyline")] == [None, "5 3"]


def test_where_nothing_can_be_drawn_the_error_says_why() -> None:
    with pytest.raises(ArchauditError, match="two variants"):
        draw(Sweep(variants=(Variant(reference="a", input="", totals=make_cost(1, 1)),)))
    with pytest.raises(ArchauditError, match="not recorded"):
        draw(make_profile("net", [], flow=()))
