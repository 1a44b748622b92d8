"""The tests notice most defects: a sample of mutants over the core packages."""

from __future__ import annotations

import os

import pytest
from mutation.coverage_map import load_map
from mutation.mutants import list_changed, list_mutants, show_mutant
from mutation.packages import PACKAGES, ROOT
from mutation.sampling import draw_sample, read_accepted, try_sample

_SAMPLE = 200
# Accepted survivors count as survivors: they are stated with the score, and do not raise it.
_LEAST_SHARE = 0.85


@pytest.mark.mutation
def test_most_mutants_are_killed() -> None:
    seed = int(os.environ.get("MUTATION_SEED", "0"))
    result = try_sample(draw_sample(tuple(PACKAGES), _SAMPLE, seed), load_map(tuple(PACKAGES)))
    tried, killed, accepted = result.count()
    survivors = [
        show_mutant((ROOT / outcome.mutant.path).read_text(), outcome.mutant)
        for outcomes in result.outcomes.values()
        for outcome in outcomes
        if outcome.killed_by is None and outcome.mutant not in result.accepted
    ]
    assert killed >= _LEAST_SHARE * tried, f"{killed} of {tried} killed, {accepted} survivors accepted; the others:\n" + "\n".join(
        survivors
    )


@pytest.mark.mutation
def test_every_accepted_survivor_is_still_a_mutant_and_says_why() -> None:
    for accepted in read_accepted():
        source = (ROOT / accepted.path).read_text()
        lines = source.splitlines()
        near = [mutant for mutant in list_mutants(accepted.path, source) if lines[mutant.line - 1].strip() in accepted.before]
        changes = {list_changed(source, mutant) for mutant in near}
        assert (accepted.before, accepted.after) in changes, f"{accepted.path}: {accepted.before} is no longer there"
        assert accepted.kind in ("equivalent", "performance", "wording")
        assert len(accepted.why) > 20
