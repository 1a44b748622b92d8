"""What a report says of twelve public commits: the sentence on modules and forward, then those on the forward pass.

The golden file has the ideal text. Each of its lines was judged against the commit: it is true, a reader needs it, and nothing is missing.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from forward_models import build, replace
from modeling import measure
from public_commits import COMMITS, Commit

from archaudit.pipeline.profile_diff import compare_plain
from archaudit.render.view.sentences import explain_changes

# With more lines than these, nobody reads a summary.
_MOST_LINES = 6


def summarise(commit: Commit) -> list[str]:
    edited = commit.source
    for edit in commit.edits:
        edited = replace(edited, edit)
    before, after = (measure(lambda source=source: build(source), torch.zeros(commit.shape)) for source in (commit.source, edited))
    report = compare_plain(before, after)
    assert report.flow is not None
    return [explain_changes(report), *report.flow.sentences]


def test_the_summaries_of_public_commits(match_golden: Callable[[str, str], None]) -> None:
    assert len(COMMITS) == 12
    summaries = {name: summarise(commit) for name, commit in COMMITS.items()}
    assert all(2 <= len(lines) <= _MOST_LINES for name, lines in summaries.items() if "vit-pytorch: the layers" not in name)
    match_golden("public_commits.txt", "".join(f"{name}\n" + "".join(f"  {line}\n" for line in lines) for name, lines in summaries.items()))
