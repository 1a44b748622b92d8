"""README and docs: every block runs as the page shows it, and every sample output is what is printed."""

from __future__ import annotations

import re
from difflib import unified_diff
from pathlib import Path

import pytest
from docs.blocks import list_blocks
from docs.project import Project, Sample
from docs.samples import fits, rewrite

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = {page: list_blocks(page) for page in PAGES}
# More than these, and the pages would mostly show what nothing proves.
MOST_NOT_RUN = 8
MOST_SLOW = 8
SHORTEST_REASON = 12  # characters


def name_page(page: Path) -> str:
    return str(page.relative_to(ROOT))


def run_page(page: Path, project: Project, *, slow: bool) -> list[Sample]:
    """Runs the blocks of a page in order; the samples that do not fit what was printed."""
    skipped = ("not run",) if slow else ("not run", "slow")
    samples = [sample for block in BLOCKS[page] if block.mark not in skipped for sample in project.run(block)]
    return [sample for sample in samples if not fits(sample.shown, sample.printed)]


def write_samples(page: Path, stale: list[Sample]) -> None:
    """Rewrites samples in the page, from the bottom up so that lines keep their numbers; fails after that if one has to be left."""
    lines = page.read_text(encoding="utf-8").splitlines(keepends=True)
    left = []
    for sample in reversed(stale):
        first = sample.block.line - 1
        try:
            lines[first + sample.start : first + sample.end] = [rewrite(sample.shown, sample.printed)]
        except ValueError as error:
            left.append(f"{name_page(page)}:{sample.block.line}: {error}\n--- printed:\n{sample.printed}")
    page.write_text("".join(lines), encoding="utf-8")
    assert not left, "\n".join(left)


def judge(page: Path, stale: list[Sample], update: bool) -> None:
    if update:
        write_samples(page, stale)
        return
    differences = [f"{name_page(page)}:{each.block.line}: {each.command}\n{describe_difference(each)}" for each in stale]
    assert not stale, "\n".join([*differences, f"to accept the new output: pytest {Path(__file__).relative_to(ROOT)} --update-docs"])


def describe_difference(sample: Sample) -> str:
    try:
        expected = rewrite(sample.shown, sample.printed)
    except ValueError as error:
        return f"{error}\n--- printed:\n{sample.printed}"
    return "\n".join(unified_diff(sample.shown.splitlines(), expected.splitlines(), "page", "printed", lineterm=""))


@pytest.mark.parametrize("page", PAGES, ids=name_page)
def test_every_command_of_a_page_prints_what_the_page_shows(page, tmp_path, monkeypatch, request):
    stale = run_page(page, Project(tmp_path, monkeypatch), slow=False)
    judge(page, stale, request.config.getoption("--update-docs"))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(block.mark == "slow" for block in BLOCKS[page])], ids=name_page)
def test_slow_commands_of_a_page_print_what_the_page_shows(page, tmp_path, monkeypatch, request):
    stale = run_page(page, Project(tmp_path, monkeypatch), slow=True)
    judge(page, stale, request.config.getoption("--update-docs"))


@pytest.mark.parametrize(("mark", "most"), [("not run", MOST_NOT_RUN), ("slow", MOST_SLOW)])
def test_few_blocks_are_left_out_and_each_says_why(mark, most):
    marked = [(page, block) for page in PAGES for block in BLOCKS[page] if block.mark == mark]
    assert len(marked) <= most
    assert [block.line for _, block in marked if len(block.reason) < SHORTEST_REASON] == []


def test_marks_stand_before_a_block_that_they_are_about():
    for page in PAGES:
        written = len(re.findall(r"<!-- (?:not run|slow):", page.read_text(encoding="utf-8")))
        assert written == sum(bool(block.mark) for block in BLOCKS[page]), name_page(page)


def test_links_between_pages_lead_somewhere():
    for page in [*PAGES, ROOT / "CHANGELOG.md", *(ROOT / ".github").glob("*.md")]:
        text = page.read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
            file = (page.parent / target) if target else page
            assert file.exists(), f"{name_page(page)}: {target}"
            if anchor:
                assert anchor in list_anchors(file), f"{name_page(page)}: {target}#{anchor}"


def list_anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_index_links_every_page():
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [page.name for page in PAGES[1:] if page.name != "index.md" and f"({page.name})" not in index] == []


def test_the_first_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 120
    assert any(block.language == "console" for block in BLOCKS[ROOT / "README.md"])
