"""The runner of the documentation itself: what it finds in a page, when a sample fits, and how one is rewritten."""

from __future__ import annotations

import pytest
from docs.blocks import list_blocks
from docs.project import Project
from docs.samples import fits, rewrite

PAGE = """# A page

<!-- not run: there is no such command -->
```bash
launch
```

<!-- setup
```python file=seg.py
WIDTH = 4
```
-->

Text. The mark above is not about the next block.

```console exit=1
$ cat seg.py
WIDTH = 4
$ echo one; false
one
```

<!-- output of: echo '| a |' -->
| a |
<!-- end of output -->
"""


@pytest.fixture
def blocks(tmp_path):
    (tmp_path / "page.md").write_text(PAGE)
    return list_blocks(tmp_path / "page.md")


def test_blocks_carry_the_marks_and_options_that_are_written_before_them(blocks):
    found = [(block.language, block.options, block.mark, block.line) for block in blocks]
    assert found == [
        ("bash", {}, "not run", 5),
        ("python", {"file": "seg.py"}, "", 10),
        ("console", {"exit": "1"}, "", 17),
        ("output", {}, "", 24),
    ]
    assert blocks[0].reason == "there is no such command"


def test_a_page_is_run_from_top_to_bottom_in_one_folder(blocks, tmp_path, monkeypatch):
    project = Project(tmp_path, monkeypatch)
    samples = [sample for block in blocks[1:] for sample in project.run(block)]
    assert [(sample.shown, sample.printed) for sample in samples] == [
        ("WIDTH = 4\n", "WIDTH = 4\n"),
        ("one\n", "one\n"),
        ("| a |\n", "| a |\n"),
    ]


def test_another_exit_status_than_the_page_says_is_a_failure(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text("```console\n$ false\n```\n")
    (block,) = list_blocks(tmp_path / "page.md")
    with pytest.raises(AssertionError, match="exit status 1"):
        list(Project(tmp_path, monkeypatch).run(block))


def test_python_examples_share_their_names_and_show_errors(tmp_path, monkeypatch):
    (tmp_path / "page.md").write_text(
        "```python\nx = 2\n```\n```python\n>>> x + 1\n3\n>>> int('a')\nTraceback (most recent call last):\n    ...\nValueError: a\n```\n"
    )
    project = Project(tmp_path, monkeypatch)
    samples = [sample for block in list_blocks(tmp_path / "page.md") for sample in project.run(block)]
    assert [fits(sample.shown, sample.printed) for sample in samples] == [True, False]
    assert "ValueError: invalid literal" in samples[1].printed


@pytest.mark.parametrize(
    ("sample", "printed", "fitting"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a  \n", "a\n", True),
        ("a\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("a\n...\nd\n", "a\nb\n", False),
        ("took ... s\n", "took 3.1 s\n", True),
        ("took ... s\n", "took 3.1 s\nand more s\n", False),
        ("1.5\n", "125\n", False),
        ("", "", True),
        ("", "a\n", False),
    ],
)
def test_dots_stand_for_what_a_sample_leaves_out(sample, printed, fitting):
    assert fits(sample, printed) is fitting


@pytest.mark.parametrize(
    ("sample", "printed", "rewritten"),
    [
        ("a\nb\n", "a\nc\nd\n", "a\nc\nd\n"),
        ("head\n...\ntotal is 5\n", "head\none\ntwo\ntotal is 6\n", "head\n...\ntotal is 6\n"),
        ("head of it\n...\nrow of decoder 1\n...\nthe end\n", "head of them\nrow of encoder 1\nrow of decoder 12\nthe end\n", None),
        ("took ... s\nold words here\n", "took 3.1 s\nnew words here\n", "took ... s\nnew words here\n"),
        ("a line\n...\n", "a lime\nmore\n", "a lime\n...\n"),
    ],
)
def test_a_rewritten_sample_fits_and_keeps_its_dots(sample, printed, rewritten):
    result = rewrite(sample, printed)
    assert fits(result, printed)
    assert rewritten in (None, result)
    assert result.count("...") == sample.count("...")


def test_a_part_that_is_no_longer_printed_is_left_to_a_person():
    with pytest.raises(ValueError, match="rewrite the sample by hand"):
        rewrite("head\n...\nrow of decoder\n...\nend\n", "head\n+++\nend\n")
