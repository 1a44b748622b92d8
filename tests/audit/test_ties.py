"""Rules on ties: the fault, a near miss, a suppressed case."""

from __future__ import annotations

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from auditing import audit, find_paths
from torch import nn

IDS = (2, 5)


class Language(nn.Module):
    """A tiny language model; `tie` says how its head gets its weight."""

    def __init__(self, tie: str = "", says: bool | None = None, width: int = 8, keys: list[str] | None = None) -> None:
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.body = nn.Linear(8, width)
        self.head = nn.Linear(width, 30, bias=False)
        if says is not None:
            self.config = SimpleNamespace(tie_word_embeddings=says)
        if keys is not None:
            self._tied_weights_keys = keys
        if tie == "parameter":
            self.head.weight = self.embed.weight
        elif tie == "memory":
            self.head.weight = nn.Parameter(self.embed.weight.data)
        elif tie == "clone":
            self.head.weight = nn.Parameter(self.embed.weight.detach().clone())
        elif tie == "copy":
            with torch.no_grad():
                self.head.weight.copy_(self.embed.weight)
        elif tie == "data":
            self.head.weight.data = self.embed.weight.data.clone()
        elif tie == "deepcopy":
            self.head.weight = deepcopy(self.embed.weight)
        elif tie == "state_dict":
            self.head.load_state_dict(self.embed.state_dict())
        elif tie == "again":
            self.head.weight = nn.Parameter(self.embed.weight.detach().clone())
            nn.init.normal_(self.head.weight)

    def forward(self, ids):
        return self.head(torch.relu(self.body(self.embed(ids))))


FAULTS = {
    "AR301": lambda: Language(says=True),
    "AR302": lambda: Language("parameter", says=False),
    "AR303": Language,
    "AR304": lambda: Language("memory"),
    "AR305": lambda: Language("clone"),
    "AR306": lambda: Language("parameter", keys=[]),
}
NEAR_MISSES = {
    "AR301": [lambda: Language("parameter", says=True), lambda: Language(says=False), lambda: Language(says=True, width=16)],
    "AR302": [lambda: Language(says=False), lambda: Language("parameter", says=True)],
    "AR303": [lambda: Language("parameter"), lambda: Language(says=False), lambda: Language(width=16), lambda: Language("memory")],
    "AR304": [lambda: Language("parameter"), Language, lambda: Language("clone")],
    "AR305": [lambda: Language("parameter"), Language],
    "AR306": [lambda: Language("parameter", keys=["head.weight"]), lambda: Language(keys=[]), lambda: Language("parameter")],
}


@pytest.mark.parametrize("code", FAULTS)
def test_the_fault_is_found_at_the_head(code):
    assert find_paths(FAULTS[code], code, IDS, dtype="int64") == ["head"]


@pytest.mark.parametrize(("code", "build"), [(code, build) for code, group in NEAR_MISSES.items() for build in group])
def test_a_near_miss_is_not_found(code, build):
    assert find_paths(build, code, IDS, dtype="int64") == []


@pytest.mark.parametrize("code", FAULTS)
def test_a_suppressed_tie_is_listed(code):
    found = audit(FAULTS[code], IDS, codes=[code], suppressed={code: "by design"}, dtype="int64")
    assert (len(found.findings), len(found.suppressed)) == (0, 1)


@pytest.mark.parametrize("tie", ["copy", "data", "deepcopy", "state_dict"])
def test_every_kind_of_copy_is_found(tie):
    assert find_paths(lambda: Language(tie), "AR305", IDS, dtype="int64") == ["head"]


def test_a_copy_that_is_initialised_again_is_no_copy():
    assert find_paths(lambda: Language("again"), "AR305", IDS, dtype="int64") == []


def test_a_tie_is_worth_the_weight_of_the_head():
    (found,) = audit(Language, IDS, codes=["AR303"], dtype="int64").findings
    assert found.cost.params == 30 * 8
