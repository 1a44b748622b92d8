"""`--equivalent`: what cannot be run is not comparable, and starts no worker."""

import pytest
from factories import make_profile

from archaudit.align import align
from archaudit.load.reference import parse_reference
from archaudit.pipeline.options import Options
from archaudit.pipeline.proving import prove_equivalence
from archaudit.pipeline.targets import Target

PROFILE = make_profile({"a": 1}, name="net")


@pytest.mark.parametrize(
    "side",
    [
        Target(name="net", key="net", saved=PROFILE),
        Target(name="net.json@main", key="net.json@main", reference=parse_reference("net.json@main")),
    ],
)
def test_a_saved_profile_has_no_code_to_run_even_at_a_revision(side, monkeypatch):
    monkeypatch.setattr("archaudit.pipeline.proving.open_workers", None)  # nothing may be started
    targets = [Target(name="code", key="code", reference=parse_reference("net.py:Net")), side]
    answer = prove_equivalence(targets, [PROFILE, PROFILE], align(PROFILE, PROFILE), Options()).equivalence
    assert answer.outcome == "not comparable"
    assert answer.reason.startswith(f"{side.name} is a saved profile")
