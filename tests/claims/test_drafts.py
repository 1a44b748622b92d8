"""Drafts of notes with known claims: proposals are right, and there is none for a number that is not about a model."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from claims.drafts import NOTES, Note

import archaudit
from archaudit.align import align
from archaudit.claims.drafting import Draft, draft_claims
from archaudit.claims.reading import read_document
from archaudit.diff import diff
from archaudit.schema import Profile

ProfileOf = Callable[[str], Profile]
CHANGES = Path(archaudit.__file__).parent / "examples" / "segmentation" / "CHANGES.md"


def test_proposals_are_right(profile_of: ProfileOf) -> None:
    scores = {name: score(note, profile_of) for name, note in NOTES.items()}
    total = sum(scores.values(), Counter())
    assert total["wrong"] <= 0.02 * (total["right"] + total["wrong"]), scores
    assert total["missed"] <= 0.05 * total["right"], scores
    assert total["right"] >= 90


def test_a_number_that_is_not_about_a_model_gets_no_proposal(profile_of: ProfileOf) -> None:
    text = (
        "Top-1 is 70.9 %. We trained 160 epochs on 8 GPUs with batch size 16; it took 3 days. Latency fell by 63 %, to 12 ms.\n\n"
        "| | before | after |\n|---|---|---|\n| mIoU | 71.2 % | 63.2 % |\n| learning rate | 0.3 | 0.1 |\n| fps | 256 | 2.7x |\n"
    )
    assert [draft.number.text for draft in make_drafts(text, profile_of("before"), profile_of("after")) if draft.table] == []


def test_the_confidence_is_lower_if_several_facts_fit(profile_of: ProfileOf) -> None:
    before, after = profile_of("resnet18"), profile_of("resnet34")
    (alone,) = make_drafts("Now `fc` has 1000 outputs.", before, after)
    (vague,) = make_drafts("Now there are 64 channels in `layer1`.", before, after)
    assert alone.confidence > 0.9 > vague.confidence


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("It has 3 branches in `aspp.branches` instead of {4}.", "before"),
        ("`aspp.branches` had 4 branches before; now it has {3}.", "after"),
        ("Here {4,606,976} before and 1,541,376 after are the params of aspp.", "before"),
        ("| | aspp params |\n|---|---|\n| after | {1,541,376} |\n", "after"),
    ],
)
def test_the_side_is_read_from_the_words_near_the_number(text: str, side: str, profile_of: ProfileOf) -> None:
    figure = text.partition("{")[2].partition("}")[0]
    drafts = make_drafts(text.replace("{", "").replace("}", ""), profile_of("before"), profile_of("after"))
    assert [draft.table["model"] for draft in drafts if draft.number.text == figure] == [side]


@pytest.mark.parametrize(
    "text",
    [
        "| layer | params before | params after |\n|---|---|---|\n| classifier.1 | 5,397 | 2,900 |\n",
        "Params of `classifier.1`: 5,397 → 100.",
    ],
)
def test_a_figure_without_a_fact_gets_the_metric_of_its_other_side(text: str, profile_of: ProfileOf) -> None:
    sound, wrong = make_drafts(text, profile_of("before"), profile_of("after"))
    keys = ("metric", "scope", "model")
    assert [sound.table[key] for key in keys] == ["params", "classifier.1", "before"]
    assert [wrong.table[key] for key in keys] == ["params", "classifier.1", "after"]
    assert wrong.confidence < sound.confidence


def test_drafts_of_the_example_agree_with_its_claims(profile_of: ProfileOf) -> None:
    text = "\n".join(line.partition("<!--")[0] for line in CHANGES.read_text(encoding="utf-8").splitlines())
    curated: dict[str, list[str]] = {}
    for table in tomllib.loads(CHANGES.with_name("CHANGES.md.claims.toml").read_text(encoding="utf-8"))["claims"]:
        curated.setdefault(table["figure"], []).append(describe(table))
    bound = [
        draft for draft in make_drafts(text, profile_of("before"), profile_of("after")) if draft.number.text in curated and draft.table
    ]
    other = [(draft.number.text, describe(draft.table)) for draft in bound if describe(draft.table) not in curated[draft.number.text]]
    assert len(bound) >= 0.6 * sum(map(len, curated.values()))
    assert len(other) <= 0.1 * len(bound), other


def make_drafts(text: str, before: Profile, after: Profile) -> list[Draft]:
    return draft_claims(read_document(text, "NOTES.md"), before, after, diff(before, after, align(before, after)).groups)


def score(note: Note, profile_of: ProfileOf) -> Counter[str]:
    """How many numbers are bound right, wrong, or not at all though they are about the models."""
    counts: Counter[str] = Counter()
    drafts = make_drafts(note.text, profile_of(note.before), profile_of(note.after))
    for draft, bindings in pair(drafts, note):
        found = describe(draft.table) if draft is not None and draft.table else "-"
        right = any(fnmatchcase(found, binding) for binding in bindings)
        if found != "-":
            counts["right" if right else "wrong"] += 1
        elif not right:
            counts["missed"] += 1
    return counts


def pair(drafts: list[Draft], note: Note) -> Iterator[tuple[Draft | None, tuple[str, ...]]]:
    """The note's figures in order, each with the draft of its number; None where it was not taken for a number."""
    position = 0
    for figure, bindings in note.bindings:
        found = next((place for place in range(position, len(drafts)) if is_same(drafts[place].number.text, figure)), None)
        if found is not None:
            assert all(not draft.table for draft in drafts[position:found]), "a number was bound that the note does not mark"
            position = found + 1
        yield (drafts[found] if found is not None else None), bindings


def is_same(number: str, figure: str) -> bool:
    """Whether a number of a document is a marked figure: `2.52M params` is `2.52M`, and `at least 3 GB` is `3 GB`."""
    return number.strip() == figure or number.startswith(f"{figure} ") or number.endswith(f" {figure}")


def describe(table: dict[str, Any]) -> str:
    """A binding as the notes write it."""
    if "exempt" in table:
        return "-"
    scope = table.get("scope", "")
    comparison = table.get("comparison", "")
    parts = (table["model"], table["metric"], " + ".join(scope) if isinstance(scope, list) else scope, comparison and f": {comparison}")
    return " ".join(part for part in parts if part)
