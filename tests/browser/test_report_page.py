"""The page in a real browser: it does what it offers, needs nothing else, and can be read by everybody."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser.conftest import DESKTOP, PHONE, ROOT, WIDE, Opened, sync_api
from render.synthetic import HOSTILE_NAMES, make_hostile_report

from archaudit.render import FORMATS

pytestmark = pytest.mark.browser

Open = Callable[..., Opened]
Pages = dict[str, Path]
NAMES = ("example", "report", "profile", "large", "times", "history", "sweep")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_is_wider_than_the_screen(open_page: Open, pages: Pages, name: str, width: int) -> None:
    page = open_page(pages[name], width).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "large"])
def test_axe_finds_nothing(open_page: Open, pages: Pages, name: str, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    for width in (PHONE, DESKTOP):
        found = axe.Axe().run(open_page(pages[name], width, color_scheme=scheme, bypass_csp=True).page)
        assert [(each["id"], [node["html"] for node in each["nodes"]][:3]) for each in found.response["violations"]] == []


@pytest.mark.parametrize("name", ["example", "large"])
def test_it_reads_without_scripts(open_page: Open, pages: Pages, name: str) -> None:
    opened = open_page(pages[name], java_script_enabled=False)
    assert opened.page.locator(".tools").is_hidden()
    rows = opened.page.locator("#tree tbody tr")
    assert rows.count() >= 253
    assert rows.last.is_visible()


def test_a_page_of_five_thousand_modules_opens_small(open_page: Open, pages: Pages) -> None:
    assert pages["large"].stat().st_size < 2_000_000
    assert 50 <= len(open_page(pages["large"]).shown()) <= 250


# --- the layer table ---------------------------------------------------------------------------------------------------


def test_it_folds_by_mouse(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["example"])
    row = opened.page.locator("tr[id='layer-backbone']")
    assert row.get_attribute("aria-expanded") == "false"
    row.locator("th").click()
    assert "layer-backbone.features" in opened.shown()
    row.locator("th").click()
    assert "layer-backbone.features" not in opened.shown()


def test_it_folds_by_keys(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["example"])
    opened.page.locator("tr[id='layer-(root)']").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        opened.page.keyboard.press(key)
    assert opened.page.evaluate("document.activeElement.id") == "layer-backbone.features"
    for key in ("ArrowLeft", "ArrowLeft"):
        opened.page.keyboard.press(key)
    assert opened.page.evaluate("document.activeElement.id") == "layer-backbone"
    assert "layer-backbone.features" not in opened.shown()
    opened.page.keyboard.press("Enter")
    assert opened.page.url.endswith("#layer-backbone")


@pytest.mark.parametrize(("name", "words", "expected"), [("example", "POINTWISE conv2d", 2), ("large", "layers.31.sublayer_77", 1)])
def test_it_finds_rows_with_the_way_to_them(open_page: Open, pages: Pages, name: str, words: str, expected: int) -> None:
    opened = open_page(pages[name])
    before = opened.shown()
    opened.page.keyboard.press("/")
    opened.page.keyboard.type(words)
    _wait_for_status(opened, "match")
    assert opened.page.locator("#tree-status").text_content().startswith(f"{expected} of ")
    assert opened.shown()[0] == "layer-(root)"
    opened.page.locator("#tree-search").fill("")
    _wait_for_status(opened, "shown")
    assert opened.shown() == before


def test_only_changes_leaves_what_changed(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["example"])
    opened.page.locator("#tree-only").check()
    shown = opened.shown()
    assert "layer-classifier.1" in shown
    assert not {"layer-backbone", "layer-classifier.0"} & set(shown)


@pytest.mark.parametrize("name", ["example", "large"])
def test_it_sorts_siblings_and_the_flat_list(open_page: Open, pages: Pages, name: str) -> None:
    opened = open_page(pages[name])
    in_order = opened.shown()
    delta = opened.page.locator("th[data-sort=params] button").nth(2)
    delta.click()
    assert opened.page.locator("th[data-sort=params]").nth(2).get_attribute("aria-sort") == "descending"
    if name == "example":
        assert [each for each in opened.shown() if "." not in each][:3] == ["layer-(root)", "layer-aspp", "layer-decoder_stage1"]
    opened.page.locator("#tree-flat").check()
    sizes = [abs(int(opened.cells(anchor)[6].replace(",", ""))) for anchor in opened.shown()[:20]]
    assert sizes == sorted(sizes, reverse=True)
    opened.page.locator("#tree-flat").uncheck()
    delta.click()
    delta.click()
    assert opened.shown() == in_order


def test_units_can_be_switched_and_switched_back(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["example"])
    root = opened.cells("layer-(root)")
    opened.page.locator("#tree-costs").select_option("macs")
    opened.page.locator("#tree-sizes").select_option("bytes")
    switched = opened.cells("layer-(root)")
    assert (root[7], switched[7]) == ("52.7G", "26.3G")
    assert (root[4], switched[4]) == ("6,831,509", "26.1 MiB")
    assert opened.page.locator("th[data-group=flops]").text_content() == "MACs"
    opened.page.locator("#tree-costs").select_option("flops")
    opened.page.locator("#tree-sizes").select_option("params")
    assert opened.cells("layer-(root)") == root


def test_numbers_of_the_script_and_of_the_page_are_the_same(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["large"])
    anchors = opened.shown()[:60]
    before = [opened.cells(anchor) for anchor in anchors]
    cell = opened.page.locator("tr[id='layer-layers.0'] td").nth(6)
    flops = _read_exact(cell.get_attribute("title"))
    opened.page.locator("#tree-costs").select_option("macs")
    macs = [opened.cells(anchor)[7] for anchor in anchors]
    assert macs != [row[7] for row in before]
    assert _read_exact(cell.get_attribute("title")) * 2 == flops


def _read_exact(title: str | None) -> int:
    return int((title or "").replace(",", ""))


@pytest.mark.parametrize("anchor", ["layer-backbone.features.3.block.1.0", "layer-decoder_stage2.pointwise"])
def test_a_link_leads_to_its_row(open_page: Open, pages: Pages, anchor: str) -> None:
    opened = open_page(pages["example"], fragment=f"#{anchor}")
    row = opened.page.locator(f"tr[id='{anchor}']")
    row.wait_for(state="visible")
    box = row.bounding_box()
    assert -1 <= box["y"] < 900  # a fraction of a pixel is no miss


def test_a_box_of_the_diagram_leads_to_its_row(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["example"])
    opened.page.locator("#tree-search").fill("backbone")
    opened.page.locator("svg.graph a[href='#layer-mid_level_project']").first.click()
    opened.page.locator("tr[id='layer-mid_level_project']").wait_for(state="visible")


def test_rows_are_copied_as_csv(open_page: Open, pages: Pages) -> None:
    opened = open_page(pages["example"], permissions=["clipboard-read", "clipboard-write"])
    rows = _copy(opened)
    assert rows[0][:5] == ["path", "kind", "type", "what changed", "output"]
    root = dict(zip(rows[0], rows[1], strict=True))
    assert (root["params before"], root["param_bytes after"], root["macs after"]) == ("6831509", "10067412", "2552217600")
    assert len(rows) - 1 == sum(not anchor.startswith("layers-") for anchor in opened.shown())  # rows that gather others are sums


def _wait_for_status(opened: Opened, word: str) -> None:
    sync_api.expect(opened.page.locator("#tree-status")).to_contain_text(word)


def _copy(opened: Opened) -> list[list[str]]:
    opened.page.locator("#tree-copy").click()
    _wait_for_status(opened, "copied")
    return list(csv.reader(io.StringIO(opened.page.evaluate("navigator.clipboard.readText()"))))


# --- hostile names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*HOSTILE_NAMES, "=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "__proto__", "constructor"])
def test_names_do_nothing_in_the_page(open_page: Open, tmp_path: Path, name: str) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(FORMATS["html"](make_hostile_report(name)).encode())
    opened = open_page(path, permissions=["clipboard-read", "clipboard-write"])
    opened.page.locator("#tree-open").click()
    opened.page.locator("#tree-search").fill("x")
    opened.page.locator("#tree-search").fill("")
    opened.page.locator("th[data-sort=path] button").click()
    for row in _copy(opened)[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row[:5])


# --- Mermaid -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def draw_mermaid(open_page: Open, pages: Pages) -> Callable[[str], str]:
    """Draws a flowchart with the real library; the SVG's text. What it cannot parse is an error."""
    library = Path(__file__).parent / "node_modules" / "mermaid" / "dist" / "mermaid.min.js"
    if not library.exists():
        pytest.skip("mermaid is not installed: npm install --prefix tests/browser")
    page: Any = open_page(pages["profile"], bypass_csp=True).page
    page.add_script_tag(path=str(library))
    page.evaluate("mermaid.initialize({ startOnLoad: false, securityLevel: 'strict' })")

    def draw(text: str) -> str:
        script = """async text => {
            await mermaid.parse(text);
            const { svg } = await mermaid.render('drawn' + Math.random().toString(36).slice(2), text);
            const holder = document.createElement('div');
            holder.innerHTML = svg;
            return [...holder.querySelectorAll('.nodeLabel, .label')].map(each => each.innerText || each.textContent).join('\\n');
        }"""
        return str(page.evaluate(script, text))

    return draw


def _find_mermaid(markdown: str) -> str:
    return markdown.split("```mermaid\n")[1].split("\n```")[0]


def test_mermaid_draws_the_example(draw_mermaid: Callable[[str], str], pages: Pages) -> None:
    drawn = draw_mermaid(_find_mermaid(pages["markdown"].read_text(encoding="utf-8")))
    for label in ("mid_level_project", "832 params, <0.1 %", "+ added", "~ was decoder"):
        assert label in drawn
    assert "Unsupported markdown" not in drawn


def test_mermaid_draws_names_as_they_are(draw_mermaid: Callable[[str], str]) -> None:
    for name in (*HOSTILE_NAMES, "1. one", "- one", "end", "subgraph"):
        drawn = draw_mermaid(_find_mermaid(FORMATS["markdown"](make_hostile_report(name))))
        assert "Unsupported markdown" not in drawn, name
        if name in ("<script>alert(1)</script>", "a|b", "[bold]markup[/bold] :smile:", "&amp;&lt;", "名前"):
            assert name in drawn


# --- pictures ----------------------------------------------------------------------------------------------------------


PICTURED = ("example", "deep", "detector", "language", "sweep", "history")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP, WIDE])
@pytest.mark.parametrize("name", PICTURED)
def test_pictures_can_be_taken(
    open_page: Open, pages: Pages, measured: Pages, picture_folder: Path, name: str, width: int, scheme: str
) -> None:
    files = pages | measured
    if name not in files:
        pytest.skip("transformers is not installed")
    path = picture_folder / f"{name}-{width}-{scheme}.png"
    page = open_page(files[name], width, color_scheme=scheme).page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.screenshot(path=path, full_page=True)
    assert path.stat().st_size > 10_000


@pytest.mark.parametrize("name", ["example", "sweep"])
def test_it_can_be_printed(open_page: Open, pages: Pages, picture_folder: Path, name: str) -> None:
    page = open_page(pages[name]).page
    page.emulate_media(media="print")
    assert page.locator(".tools, .toc, .zoom").locator("visible=true").count() == 0
    assert page.evaluate("[...document.querySelectorAll('.view')].every(each => getComputedStyle(each).overflow === 'visible')")
    path = picture_folder / f"{name}.pdf"
    page.pdf(path=path, format="A4")
    assert path.read_bytes().startswith(b"%PDF")


def test_the_picture_that_readme_shows(request: pytest.FixtureRequest, open_page: Open, pages: Pages, tmp_path: Path) -> None:
    asked = request.config.getoption("--readme-picture", default=False)
    path = ROOT / "reports" / "before-after.png" if asked else tmp_path / "before-after.png"
    open_page(pages["example"], color_scheme="light").page.screenshot(path=path, clip={"x": 0, "y": 0, "width": DESKTOP, "height": 650})
    assert path.stat().st_size > 10_000
