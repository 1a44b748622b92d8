"""No false verdict over 300 pairs of models, half of which compute the same; and what is proven of their maps of weights holds.

pytest -m slow tests/pipeline/test_equivalence_pairs.py
"""

from __future__ import annotations

import sys

import pytest
import torch
from equivalence_pairs import Pair, draw_pairs

from archaudit.measure.weight_copying import copy_weights
from archaudit.pipeline import compare
from archaudit.pipeline.options import Options
from archaudit.schema import CheckpointMap, Report
from archaudit.worker import WorkerOptions

_SMALL = 20


@pytest.fixture
def prove(tmp_path, monkeypatch):
    """The report of a pair, with a proof."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def run(pair: Pair) -> Report:
        (tmp_path / "old.py").write_text(pair.before)
        (tmp_path / "new.py").write_text(pair.after)
        options = Options(
            inputs=(pair.given,),
            equivalent=True,
            prove_map=True,
            other_counters=False,
            symbolic=False,
            workers=WorkerOptions(isolated=False),
        )
        return compare("old.py:Net", "new.py:Net", options)

    return run


def build(text: str) -> torch.nn.Module:
    scope: dict = {"__name__": "net"}
    exec(text, scope)
    return scope["Net"]().eval()


def is_reproduced(pair: Pair, mapping: CheckpointMap) -> bool:
    """Whether both models have equal outputs after the map's entries were loaded, with random weights of the test's own."""
    torch.manual_seed(11)
    before, after = build(pair.before), build(pair.after)
    for name, tensor in before.state_dict().items():
        if tensor.is_floating_point() or tensor.is_complex():
            tensor.copy_(torch.rand_like(tensor) + 0.1 if "var" in name else torch.randn_like(tensor))
    state = before.state_dict()
    filled = {key: state[key] for key in mapping.same} | {key: state[old] for old, key in mapping.renamed.items()}
    after.load_state_dict(filled | {key: state[old] for key, old in mapping.tied.items()}, strict=False)
    copy_weights(after.state_dict(), state, mapping.built)
    kind, _, sizes = pair.given.rpartition("=")[2].rpartition("[")
    shape = [int(size) for size in sizes.rstrip("]").replace("x", ",").split(",")]
    x = torch.randint(9, shape) if kind.startswith("int") else torch.randn(shape, dtype=torch.complex64 if kind else torch.float32)
    with torch.no_grad():
        return torch.allclose(before(x), after(x), rtol=1e-3, atol=1e-3)


def judge(prove, count: int) -> tuple[list[str], float]:
    """The false verdicts, and the share of pairs that have a verdict."""
    faults, decided = [], 0
    for pair in draw_pairs(count):
        report = prove(pair)
        found = report.equivalence
        assert found is not None
        assert report.checkpoint is not None
        decided += found.outcome != "not comparable"
        if found.outcome == ("different" if pair.equal else "equivalent"):
            faults.append(f"{pair.name}: {found.outcome}: {found.reason}\n{pair.before}\n{pair.after}")
        if report.checkpoint.proven and not is_reproduced(pair, report.checkpoint):
            faults.append(f"{pair.name}: the proven map does not give equal outputs")
    return faults, decided / count


def test_a_sample_of_pairs_has_no_false_verdict(prove):
    faults, decided = judge(prove, _SMALL)
    assert not faults, "\n".join(faults)
    assert decided > 0.6


@pytest.mark.slow
def test_300_pairs_have_no_false_verdict(prove):
    faults, decided = judge(prove, 300)
    assert not faults, "\n".join(faults)
    assert decided > 0.6
