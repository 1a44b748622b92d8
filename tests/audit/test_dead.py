"""Rules on what no output needs: for each a model with the fault, one that nearly has it, and a suppressed one."""

from __future__ import annotations

from pathlib import Path

import torch
from auditing import audit, find_paths
from torch import nn


class UnreadScale(nn.Module):
    def __init__(self, read: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.scale = nn.Parameter(torch.ones(7))
        self.read = read

    def forward(self, x):
        x = self.layer(x)
        return x * self.scale.sum() if self.read else x


def test_a_parameter_that_no_operator_reads_is_found_with_its_size():
    found = audit(UnreadScale, (2, 4), codes=["AR101"])
    assert [(each.path, each.key, each.cost.params) for each in found.findings] == [("", "scale", 7)]


def test_a_parameter_that_an_operator_reads_is_not_found():
    assert find_paths(lambda: UnreadScale(read=True), "AR101", (2, 4)) == []


class ReadInTrainingOnly(nn.Module):
    """The auxiliary head runs in training mode only, as those of GoogLeNet do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.auxiliary = nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(4))

    def forward(self, x):
        x = self.layer(x)
        return (x, self.auxiliary(x) * self.scale.sum()) if self.training else x


def test_what_runs_in_training_mode_only_is_neither_unread_nor_uncalled():
    assert find_paths(ReadInTrainingOnly, "AR101", (2, 4)) == []
    assert find_paths(ReadInTrainingOnly, "AR102", (2, 4)) == []


def test_a_suppressed_parameter_is_listed_with_its_reason_and_not_found():
    found = audit(UnreadScale, (2, 4), codes=["AR101"], suppressed={"AR101": "kept for old checkpoints"})
    assert not found.findings
    assert [each.suppressed for each in found.suppressed] == ["kept for old checkpoints"]


class UncalledBlock(nn.Module):
    def __init__(self, functional: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.block = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 4))
        self.functional = functional

    def forward(self, x):
        x = self.layer(x)
        return nn.functional.linear(x, self.block[0].weight) if self.functional else x


def test_a_block_that_is_never_called_is_one_finding_with_all_its_parameters():
    found = audit(UncalledBlock, (2, 4), codes=["AR101", "AR102"])
    # by hand: 4*8+8 and 8*4+4
    assert [(each.code, each.path, each.cost.params) for each in found.findings] == [("AR102", "block", 76)]


def test_a_layer_whose_weight_is_read_without_a_call_is_not_uncalled():
    # block.1 is never called and never read; block.0's weight is read, its bias is not
    found = audit(lambda: UncalledBlock(functional=True), (2, 4), codes=["AR101", "AR102"])
    assert [(each.code, each.path, each.key) for each in found.findings] == [("AR102", "block.1", ""), ("AR101", "block.0", "bias")]


def test_an_uncalled_block_is_suppressed_by_a_pattern_of_its_path():
    found = audit(UncalledBlock, (2, 4), codes=["AR102"], suppressed={"AR102:bl*": "used by a subclass"})
    assert (len(found.findings), len(found.suppressed)) == (0, 1)
    found = audit(UncalledBlock, (2, 4), codes=["AR102"], suppressed={"AR102:other*": "another block"})
    assert (len(found.findings), len(found.suppressed)) == (1, 0)


class LostResult(nn.Module):
    def __init__(self, used: bool = False) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.branch = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
        self.used = used

    def forward(self, x):
        lost = self.branch(x)
        x = self.layer(x)
        return x + 0 * lost if self.used else x


def test_a_branch_whose_result_is_lost_is_one_finding_with_its_flops():
    found = audit(LostResult, (2, 4), codes=["AR103"])
    # by hand: 2 rows, 4*8 + 8*4 multiply-accumulates each, twice as many FLOPs
    assert [(each.path, each.cost.flops) for each in found.findings] == [("branch", 2 * 2 * (32 + 32))]


def test_a_branch_whose_result_is_multiplied_by_zero_still_reaches_the_output():
    assert find_paths(lambda: LostResult(used=True), "AR103", (2, 4)) == []


def test_suppressed_dead_compute():
    assert len(audit(LostResult, (2, 4), codes=["AR103"], suppressed={"AR103": "measured later"}).suppressed) == 1


class Annotated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.spare = nn.Linear(4, 4)  # archaudit: ignore[AR102] loaded by the fine-tuning script
        self.other = nn.Linear(4, 4)  # archaudit: ignore[AR102]
        self.wrong = nn.Linear(4, 4)  # archaudit: ignore[AR999] no such rule

    def forward(self, x):
        return self.layer(x)


def test_a_comment_with_a_reason_suppresses_and_one_without_is_reported():
    found = audit(Annotated, (2, 4), codes=["AR102"])
    assert [(each.path, each.suppressed) for each in found.suppressed] == [("spare", "loaded by the fine-tuning script")]
    assert sorted(each.path for each in found.findings) == ["other", "wrong"]
    assert len(found.invalid) == 2
    assert any("no reason" in text for text in found.invalid)
    assert any("AR999" in text for text in found.invalid)


def test_a_finding_names_the_line_that_makes_the_module():
    found = audit(UncalledBlock, (2, 4), codes=["AR102"])
    place = found.findings[0].place
    lines = Path(__file__).read_text().splitlines()
    assert place.file == "tests/audit/test_dead.py"
    assert "self.block = nn.Sequential" in lines[place.line - 1]
