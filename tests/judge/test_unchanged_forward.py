"""A pin on whole models: every change of a forward trips it, and no refactoring that computes the same."""

from __future__ import annotations

import pytest
import torch
from forward_models import MODELS, Edit, build, replace
from modeling import measure

from archaudit.judge import judge
from archaudit.schema import Check, Profile, Verdict

EDITS = [(name, edit) for name, model in MODELS.items() for edit in model.edits]
REFACTORINGS = [(name, edit) for name, model in MODELS.items() for edit in model.refactorings]
PIN = Check(
    id="pin", origin="budget", model="after", metric="structure", comparison="unchanged", expected="", against="baseline", scope=("",)
)


@pytest.fixture(scope="module")
def originals() -> dict[str, Profile]:
    """The profile of each model without an edit."""
    return {name: measure(lambda model=model: build(model.source), torch.zeros(model.shape)) for name, model in MODELS.items()}


def judge_edited(originals: dict[str, Profile], name: str, edit: Edit) -> Verdict:
    model = MODELS[name]
    after = measure(lambda: build(replace(model.source, edit)), torch.zeros(model.shape))
    return judge([PIN], {"after": after}, {"after": originals[name]})[0]


@pytest.mark.parametrize(("name", "edit"), EDITS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(EDITS)])
def test_every_edit_trips_the_pin(originals: dict[str, Profile], name: str, edit: Edit) -> None:
    assert judge_edited(originals, name, edit).outcome == "failed"


@pytest.mark.parametrize(("name", "edit"), REFACTORINGS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(REFACTORINGS)])
def test_no_refactoring_trips_the_pin(originals: dict[str, Profile], name: str, edit: Edit) -> None:
    verdict = judge_edited(originals, name, edit)
    assert verdict.outcome == "passed", verdict.reason


def test_the_verdict_says_what_changed(originals: dict[str, Profile]) -> None:
    verdict = judge_edited(originals, "attention", (".softmax(-1)", ".softmax(1)"))
    assert verdict.reason.startswith("nothing may change, and 3 of 25 modules did since the baseline: blocks.0 softmax: dim -1 → 1;")
    assert judge_edited(originals, "siamese", ("one - two", "two - one")).outcome == "failed"
