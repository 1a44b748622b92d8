"""A real browser, pages to open in it, and what it complained about."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from render.synthetic import make_cost, make_large_report, make_segmentation_report
from render.test_timing_section import make_pair
from render.test_timing_section import make_report as make_timed_report

from archaudit.render import FORMATS, PROFILE_FORMATS
from archaudit.render.command_texts import render_study_html
from archaudit.schema import Contribution, History, HistoryStep, Jump, Sweep, Variant

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

ROOT = Path(__file__).parents[2]
# Nothing but the page: no updates, no sync, no protocol that waits for an answer.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PHONE, DESKTOP = 390, 1200
HISTORY = History(
    reference="models/<b>seg</b>.py:Model",
    steps=(
        HistoryStep(commit="a" * 40, short="aaaaaaa", date="2026-01-02", subject="one", totals=make_cost(100, 1_000)),
        HistoryStep(commit="b" * 40, short="bbbbbbb", date="2026-01-03", subject="<script>", error="it does not import"),
        HistoryStep(
            commit="c" * 40,
            short="ccccccc",
            date="2026-01-04",
            subject="three",
            totals=make_cost(300, 1_000),
            jumps=(Jump(metric="params", before=100, after=300, layers=(Contribution(path="head", type="Linear", delta=200),)),),
        ),
    ),
    untouched=4,
)
SWEEP = Sweep(
    variants=tuple(
        Variant(
            reference="models/seg.py:Model",
            input=f"1x3x{size}x{size}",
            choices={"width": str(width)},
            totals=make_cost(100 * width, 10 * width * size),
            pareto=size == 32,
        )
        for width in (1, 2)
        for size in (32, 64)
    )
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--readme-picture", action="store_true", help="write the picture of the example's report that README shows")
    parser.addoption("--screenshots", type=Path, metavar="DIR", help="keep the screenshots there")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Chromium as the system has it."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files by name: the built-in example as the command writes it, a made-up report, a profile, and 5,000 modules."""
    from archaudit.cli import main

    folder = tmp_path_factory.mktemp("pages")
    main.main(["compare", "before", "after", "-o", str(folder)], standalone_mode=False)
    report = make_segmentation_report()
    texts = {
        "times": FORMATS["html"](make_timed_report(*make_pair())),
        "history": render_study_html(HISTORY),
        "sweep": render_study_html(SWEEP),
        "report": FORMATS["html"](report),
        "profile": PROFILE_FORMATS["html"](report.after),
        "large": FORMATS["html"](make_large_report(5_000)),
    }
    files = {"example": folder / "before-after.html", "markdown": folder / "before-after.md"}
    for name, text in texts.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(text, encoding="utf-8")
    return files


class Opened(NamedTuple):
    """A page with everything that it asked for and complained about."""

    page: Any
    requests: list[str]
    complaints: list[str]

    def shown(self) -> list[str]:
        """The anchors of the rows of the layer table that are not folded away, in order."""
        script = "[...document.querySelectorAll('#tree tbody tr')].filter(row => row.offsetParent !== null).map(row => row.id)"
        return [str(each) for each in self.page.evaluate(script)]

    def cells(self, anchor: str) -> list[str]:
        """The texts of a row."""
        script = "anchor => [...document.getElementById(anchor).cells].map(cell => cell.textContent)"
        return [str(each) for each in self.page.evaluate(script, anchor)]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Opened]]:
    """Opens a file. Afterwards: it asked for nothing but itself, and complained about nothing."""
    with _open_pages(browser) as opener:
        yield opener


@contextmanager
def _open_pages(browser: Any) -> Iterator[Callable[..., Opened]]:
    opened: list[Opened] = []
    contexts = []

    def open_file(path: Path, width: int = DESKTOP, fragment: str = "", **options: Any) -> Opened:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        result = Opened(page, [], [])
        opened.append(result)
        page.on("request", lambda request: result.requests.append(request.url))
        page.on("pageerror", lambda error: result.complaints.append(str(error)))
        page.on("console", lambda message: result.complaints.append(message.text) if message.type in ("error", "warning") else None)
        page.on("dialog", lambda dialog: (result.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.goto(path.as_uri() + fragment)
        return result

    yield open_file
    for each in opened:
        assert each.complaints == []
        assert {url.partition("#")[0] for url in each.requests} <= {each.page.url.partition("#")[0]}
    for context in contexts:
        context.close()


@pytest.fixture
def picture_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where screenshots go."""
    folder: Path = request.config.getoption("--screenshots", default=None) or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder
