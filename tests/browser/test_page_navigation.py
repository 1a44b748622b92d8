"""What moves on the page: the table of contents, the diagrams, numbers by keyboard; and how soon a large report is there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.conftest import DESKTOP, PHONE, WIDE, Opened, sync_api

pytestmark = pytest.mark.browser

Open = Callable[..., Opened]
Pages = dict[str, Path]

# The limit of a report of 3,000 modules.
MOST_PAGE_BYTES = 1_500_000
# The first paint takes 0.3 to 0.6 s on two cores without load; a busy machine gets this much.
LONGEST_FIRST_PAINT_MS = 4_000


# --- the table of contents ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [DESKTOP, WIDE])
def test_the_contents_stay_and_mark_the_section_in_view(open_page: Open, pages: Pages, width: int) -> None:
    page = open_page(pages["example"], width).page
    assert page.locator("#toc-button").is_hidden()
    for anchor in ("flow", "layers", "other-counters"):
        page.locator(f"#toc-list a[href='#{anchor}']").focus()
        page.keyboard.press("Enter")
        sync_api.expect(page.locator("#toc-list a[aria-current]")).to_have_attribute("href", f"#{anchor}")
        assert page.locator("nav.toc").bounding_box()["y"] == 0
        assert 0 <= page.locator(f"#{anchor}").bounding_box()["y"] < 300


def test_the_contents_are_a_bar_that_opens_on_a_phone(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"], PHONE).page
    button, links = page.locator("#toc-button"), page.locator("#toc-list")
    assert links.is_hidden()
    button.focus()
    page.keyboard.press("Enter")
    assert links.is_visible()
    assert button.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert links.is_hidden()
    button.click()
    links.locator("a[href='#sections']").click()
    assert links.is_hidden()
    bar, heading = button.bounding_box(), page.locator("#sections").bounding_box()
    assert bar["y"] == 0
    assert heading["y"] >= bar["height"]  # not below the bar
    sync_api.expect(page.locator("#toc-now")).to_have_text("Breakdown")


def test_the_contents_are_there_without_scripts(open_page: Open, pages: Pages) -> None:
    for width in (PHONE, DESKTOP):
        assert open_page(pages["example"], width, java_script_enabled=False).page.locator("#toc-list").is_visible()


def test_the_first_screen_says_what_is_false(open_page: Open, pages: Pages) -> None:
    for width in (PHONE, DESKTOP, WIDE):
        page = open_page(pages["example"], width).page
        badge = page.locator(".badge.false")
        assert badge.text_content() == "✗ 4 claims are false"
        assert badge.bounding_box()["y"] < 150
        assert page.locator(".callout").bounding_box()["y"] < 500
        assert "4 claims are false" in page.title()


# --- tables ------------------------------------------------------------------------------------------------------------


def test_the_head_of_the_layer_table_stays_while_the_page_scrolls(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"]).page
    page.locator("#tree-open").click()
    page.locator("tr[id='layer-classifier.1']").scroll_into_view_if_needed()
    head = page.locator("#tree thead th").first.bounding_box()
    assert 0 <= head["y"] <= 2
    scrolls = "[...document.querySelectorAll('#tree, .rows')].some(each => each.scrollHeight > each.clientHeight + 1)"
    assert not page.evaluate(scrolls)


def test_the_root_is_one_line(open_page: Open, pages: Pages, measured: Pages) -> None:
    for path in (pages["example"], measured["detector"], measured["deep"]):
        page = open_page(path).page
        assert page.locator("tr[id='layer-(root)']").bounding_box()["height"] < 40


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_figures_of_the_breakdown_are_in_sight(open_page: Open, pages: Pages, width: int) -> None:
    page = open_page(pages["example"], width).page
    row = page.locator(".breakdown tbody tr", has=page.locator("th", has_text="ASPP")).first
    for figure in ("4,606,976", "1,541,376", "-3,065,600", "9.13G", "3.00G"):
        cell = row.locator("td", has_text=re.compile(f"^{re.escape(figure)}"))
        box = cell.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        assert page.evaluate("cell => cell.scrollWidth <= cell.clientWidth + 1", cell.element_handle())


# --- diagrams ----------------------------------------------------------------------------------------------------------


def find_view(page: Any, side: int = 1) -> tuple[float, float, float, float]:
    """What the diagram of a side shows: left, top, width and height in its own pixels."""
    text = page.locator(".view svg.graph").nth(side).get_attribute("viewBox")
    left, top, width, height = map(float, text.split())
    return left, top, width, height


def test_a_diagram_zooms_and_moves_by_keyboard(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"]).page
    page.locator(".view").nth(1).focus()
    start = find_view(page)
    page.keyboard.press("+")
    page.keyboard.press("+")
    near = find_view(page)
    assert near[2] < 0.7 * start[2]
    page.keyboard.press("ArrowDown")
    assert find_view(page)[1] > near[1]
    page.keyboard.press("-")
    assert find_view(page)[2] > near[2]
    page.keyboard.press("0")
    _, top, _, height = find_view(page)
    stage = page.evaluate("document.querySelectorAll('.view')[1].view.stage.H")
    assert top <= 0
    assert top + height >= stage  # all of it is shown


def test_a_diagram_zooms_by_wheel_with_ctrl_only_and_moves_by_mouse(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"]).page
    port = page.locator(".view").nth(1)
    port.scroll_into_view_if_needed()
    box = port.bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    start = find_view(page)
    page.mouse.wheel(0, 50)
    assert find_view(page) == start
    page.keyboard.down("Control")
    page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    page.wait_for_function(f"() => document.querySelectorAll('.view svg.graph')[1].viewBox.baseVal.width < {start[2] - 1}")
    near, url = find_view(page), page.url
    place = port.bounding_box()
    page.mouse.move(place["x"] + 300, place["y"] + 200)
    page.mouse.down()
    page.mouse.move(place["x"] + 260, place["y"] + 150, steps=4)
    page.mouse.up()
    moved = find_view(page)
    assert moved[0] > near[0]
    assert moved[1] > near[1]
    assert page.url == url  # the end of a drag is no click on a box


def test_buttons_zoom_fit_and_fill_the_window(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"]).page
    start = find_view(page)
    page.get_by_label("Zoom in, after").click()
    assert find_view(page)[2] < start[2]
    page.get_by_label("Full window, after").click()
    assert page.locator("figure.large").bounding_box() == {"x": 0, "y": 0, "width": DESKTOP, "height": 900}
    page.locator(".view").nth(1).focus()
    page.keyboard.press("Escape")
    assert page.locator("figure.large").count() == 0


def test_a_box_opens_in_place_and_closes_again(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"]).page
    stage = page.locator(".view").nth(1).locator("svg.graph > .stage")
    before = stage.inner_html()
    button = stage.locator(":scope > .n > .open[aria-label='Open aspp']")
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "true"
    inner = stage.locator(".n.opened > .stage > .n")
    names = [each.split(",")[0] for each in inner.locator("title").all_text_contents()]
    assert {"branches", "project"} <= set(names)
    assert inner.locator("a[href='#layer-aspp.branches']").count() == 1
    inner.locator(".open[aria-label='Open project']").focus()
    page.keyboard.press(" ")
    assert stage.locator("a[href='#layer-aspp.project.0']").count() == 1
    _expect_no_overlaps(page)
    button.focus()
    page.keyboard.press("Enter")
    assert button.get_attribute("aria-expanded") == "false"
    strip = re.compile(r' transform="[^"]*"')
    assert strip.sub("", stage.inner_html()) == strip.sub("", before)


@pytest.mark.parametrize("name", ["detector", "language"])
def test_everything_can_be_open_without_overlaps(open_page: Open, measured: Pages, name: str) -> None:
    if name not in measured:
        pytest.skip("transformers is not installed")
    page = open_page(measured[name], WIDE).page
    for _ in range(60):
        closed = page.locator(".view").nth(1).locator(".open[aria-expanded=false]")
        if not closed.count():
            break
        closed.first.focus()
        page.keyboard.press("Enter")
    _expect_no_overlaps(page)


def _expect_no_overlaps(page: Any) -> None:
    """No two boxes of one level overlap, every box is inside the one that it belongs to, and edges end at boxes."""
    found = page.evaluate("""() => {
        const bad = [];
        for (const stage of document.querySelectorAll('.view .stage')) {
            const boxes = [...stage.children].filter(each => each.classList.contains('n'));
            const rects = boxes.map(each => each.querySelector('rect').getBoundingClientRect());
            const name = each => each.querySelector('title').textContent.slice(0, 40);
            rects.forEach((one, i) => rects.forEach((other, j) => {
                const across = one.left < other.right - 1 && other.left < one.right - 1;
                if (i < j && across && one.top < other.bottom - 1 && other.top < one.bottom - 1)
                    bad.push(['overlap', name(boxes[i]), name(boxes[j])]);
            }));
            const holder = stage.parentElement.closest('.n');
            if (holder) {
                const outer = holder.querySelector('rect').getBoundingClientRect();
                rects.forEach((one, i) => {
                    const across = one.left < outer.left - 1 || one.right > outer.right + 1;
                    if (across || one.top < outer.top - 1 || one.bottom > outer.bottom + 1)
                        bad.push(['outside', name(boxes[i]), name(holder)]);
                });
            }
            for (const edge of [...stage.children].filter(each => each.classList.contains('e'))) {
                const target = rects[Number(edge.dataset.e.split(' ')[1])];
                const head = edge.querySelector('polygon').getBoundingClientRect();
                const across = Math.max(target.left - head.right, head.left - target.right);
                const away = Math.max(across, target.top - head.bottom, head.top - target.bottom);
                if (away > 2) bad.push(['edge', edge.dataset.e, away]);
            }
        }
        return bad;
    }""")
    assert found == []


def test_diagrams_are_whole_without_scripts(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"], java_script_enabled=False).page
    port = page.locator(".view").nth(1)
    assert page.evaluate("each => each.scrollHeight <= each.clientHeight + 1", port.element_handle())
    assert page.locator(".view .open").count() == 0
    assert page.locator(".live").is_hidden()


# --- numbers by keyboard -----------------------------------------------------------------------------------------------


def test_a_chart_is_one_stop_and_shows_exact_numbers(open_page: Open, pages: Pages) -> None:
    page = open_page(pages["example"]).page
    values = page.locator(".fall").first.locator(".val")
    values.first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    tip = page.locator(".tip")
    assert tip.text_content().startswith("ASPP: -3,065,600 Parameters")
    assert values.evaluate_all("all => all.filter(each => each.tabIndex === 0).length") == 1
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    icicle = page.locator(".icicle").first
    icicle.locator("a").first.focus()
    page.keyboard.press("ArrowRight")
    assert re.search(r": [\d,]+ params, ", tip.text_content())


# --- a large report ----------------------------------------------------------------------------------------------------


def test_the_changed_part_of_three_thousand_modules_is_in_sight(open_page: Open, measured: Pages) -> None:
    for width in (PHONE, DESKTOP, WIDE):
        page = open_page(measured["deep"], width).page
        for side in (0, 1):
            port = page.locator(".view").nth(side)
            port.scroll_into_view_if_needed()
            outer = port.bounding_box()
            box = port.locator(".n.changed").first.bounding_box()
            assert outer["y"] <= box["y"]
            assert box["y"] + box["height"] <= outer["y"] + min(outer["height"], 700)
            assert "blocks.117" in port.locator(".n.changed title").first.text_content()
        edges = page.locator(".view .e")
        assert edges.count() > 0
        assert page.locator(".view .e.added, .view .e.removed").count() == 0


def test_a_report_of_three_thousand_modules_is_there_at_once(
    open_page: Open, measured: Pages, record_property: Callable[..., None]
) -> None:
    assert measured["deep"].stat().st_size < MOST_PAGE_BYTES
    page = open_page(measured["deep"]).page
    first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    record_property("first_paint_ms", first)
    assert first < LONGEST_FIRST_PAINT_MS
