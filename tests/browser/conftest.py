"""A real browser, pages to open in it, and what it complained about."""

from __future__ import annotations

import importlib.util
import json
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
from archaudit.sweeps.running import _mark_pareto

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
PHONE, DESKTOP, WIDE = 390, 1200, 1920
# Params in thousands, at one commit a month: two that changed nothing, one that cannot be measured, and a jump of 1 % only.
_SIZES = (1_000, 1_000, 1_240, 1_900, None, 1_900, 1_919, 3_400, 2_800, 2_800, 2_050, 1_180)
_VARIANTS = [
    Variant(
        reference=f"models/<b>seg</b>.py:{name}",
        input=f"1x3x{size}x{size}",
        choices={"width": str(width)},
        totals=make_cost(factor * 1_000 * width**2, (5_000_000 // factor) * (5 - width) * size),
    )
    for name, factor in (("Wide", 9), ("Deep", 4))
    for width in (1, 2, 3)
    for size in (32, 64)
]
SWEEP = Sweep(variants=_mark_pareto(_VARIANTS, ("params", "flops")))
# References and inputs of the reports that are measured: a transformer of 3,000 modules, a detector, and two language models.
_MODELS = Path(__file__).parent / "models.py"
_LANGUAGE_MODEL = {
    **{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 256, "intermediate_size": 704, "vocab_size": 4_000},
    **{"num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8},
}


def make_history() -> History:
    """Twelve commits of one model."""
    steps = []
    last = None
    for month, size in enumerate(_SIZES, 1):
        name = "abcdef0123456789"[month]
        totals = None if size is None else make_cost(1_000 * size, 2_000_000 * size)
        jumps = ()
        if last is not None and size is not None and abs(size - last) > last / 100:
            layers = (Contribution(path="head", type="Linear", delta=1_000 * (size - last)),)
            jumps = (Jump(metric="params", before=1_000 * last, after=1_000 * size, layers=layers),)
        steps.append(
            HistoryStep(
                commit=name * 40,
                short=name * 7,
                date=f"2026-{month:02}-01",
                subject="<script>" if size is None else f"step {month}",
                totals=totals,
                error="it does not import" if size is None else None,
                jumps=jumps,
            )
        )
        last = size or last
    return History(reference="models/<b>seg</b>.py:Model", steps=tuple(steps), untouched=4)


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
    folder = tmp_path_factory.mktemp("pages")
    compare(folder, "example", "before", "after")
    report = make_segmentation_report()
    texts = {
        "times": FORMATS["html"](make_timed_report(*make_pair())),
        "history": render_study_html(make_history()),
        "sweep": render_study_html(SWEEP),
        "report": FORMATS["html"](report),
        "profile": PROFILE_FORMATS["html"](report.after),
        "large": FORMATS["html"](make_large_report(5_000)),
    }
    files = {"example": folder / "example.html", "markdown": folder / "example.md"}
    for name, text in texts.items():
        files[name] = folder / f"{name}.html"
        files[name].write_text(text, encoding="utf-8")
    return files


@pytest.fixture(scope="session")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Pages of models that are measured for them: `deep` with 3,000 modules, `detector`, and `language` (two configurations)."""
    folder = tmp_path_factory.mktemp("measured")
    compare(folder, "deep", f"{_MODELS}:Deep", f"{_MODELS}:Deep(changed=True)", "--input", "ids=int64[1,64]:randint(0,1000)")
    compare(folder, "detector", f"{_MODELS}:Detector", f"{_MODELS}:Detector(small=True)", "--input", "1x3x256x256")
    names = ["deep", "detector"]
    if importlib.util.find_spec("transformers"):
        for name, heads in (("multi", 8), ("grouped", 2)):
            (folder / name).mkdir()
            config = _LANGUAGE_MODEL | {"num_key_value_heads": heads, "num_hidden_layers": 8 + (heads < 8)}
            (folder / name / "config.json").write_text(json.dumps(config))
        references = [f"transformers:{folder / name / 'config.json'}" for name in ("multi", "grouped")]
        compare(folder, "language", *references, "--input", "input_ids=int64[1,64]")
        names.append("language")
    return {name: folder / f"{name}.html" for name in names}


def compare(folder: Path, name: str, *arguments: str) -> None:
    """Writes a report as the command does, as NAME.html, NAME.md and NAME.json."""
    from archaudit.cli import main

    output = folder / f"{name}-files"
    main.main(["compare", *arguments, "-o", str(output)], standalone_mode=False)
    for written in output.iterdir():
        written.rename(folder / f"{name}{written.suffix}")


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
