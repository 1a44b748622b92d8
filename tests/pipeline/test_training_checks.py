"""Budgets on a training step: it is measured where a budget names one of its metrics, as [training] in the config says."""

from pathlib import Path

import pytest

from archaudit import ArchauditError, ConfigError, load_profile, profile
from archaudit.config import load_config
from archaudit.pipeline import Options, check

MODEL = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))

def example_inputs():
    return torch.rand(2, 4)
"""
PARAMETERS = (4 * 5 + 5 + 5 * 3 + 3) * 4


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(MODEL)
    return tmp_path


def judge(folder: Path, budgets: str):
    (folder / "archaudit.toml").write_text(f'[models.net]\nreference = "net.py:make"\n{budgets}')
    return check((), Options(config=load_config(folder / "archaudit.toml")))


def test_budgets_on_a_step_are_judged(folder):
    judged = judge(
        folder,
        '[[budgets]]\nmetric = "backward_flops"\nmax = "200"\n'
        '[[budgets]]\nmetric = "optimizer_bytes"\nmax = "10"\n'
        '[[budgets]]\nmetric = "training_flops"\nscope = "2"\nmax = "180"\n'
        '[[budgets]]\nmetric = "gradient_bytes"\nmax = "1 KiB"\n',
    )
    actual = {verdict.metric: (verdict.actual, verdict.outcome) for verdict in judged.checks}
    assert actual["backward_flops"] == (200, "passed")  # 2 * (2*4*5 + 2 * 2*5*3)
    assert actual["training_flops"] == (180, "passed")  # the second layer: 60 forward, 120 backward
    assert actual["gradient_bytes"] == (PARAMETERS, "passed")
    assert actual["optimizer_bytes"] == (2 * PARAMETERS + 4 * 4, "failed")  # two moments, and four numbers of steps


def test_the_config_says_how_the_step_is_run(folder):
    budget = '[[budgets]]\nmetric = "optimizer_bytes"\nmax = "0"\n'
    assert judge(folder, f'{budget}[training]\noptimizer = "sgd"\n').outcome == "passed"
    assert judge(folder, f'{budget}[training]\noptimizer = "sgd:momentum=0.9"\n').checks[0].actual == PARAMETERS


def test_a_baseline_keeps_the_costs_of_the_step(tmp_path, folder):
    measured = profile(str(folder / "net.py:make"), training="sgd")
    measured.save(tmp_path / "net.json")
    saved = load_profile(tmp_path / "net.json").training
    assert saved.totals == measured.training.totals
    assert saved.memory.peak == measured.training.memory.peak
    assert saved.modules == measured.training.modules
    assert saved.memory.curve == saved.operators == ()


def test_a_peak_has_no_scope(folder):
    judged = judge(folder, '[[budgets]]\nmetric = "peak_training_bytes"\nscope = "2"\nmax = "1M"\n')
    assert judged.checks[0].outcome == "inconclusive"
    assert "not additive" in judged.checks[0].reason


def test_an_unknown_dtype_of_autocast_is_refused(folder):
    with pytest.raises(ConfigError, match=r"training\.amp"):
        judge(folder, '[[budgets]]\nmetric = "backward_flops"\nmax = "1"\n[training]\namp = "int8"\n')


def test_a_profile_without_a_step_cannot_be_judged(folder):
    measured = profile(str(folder / "net.py:make"))
    verdict = measured.check(peak_training_bytes="<1G").checks[0]
    assert verdict.outcome == "inconclusive"
    assert "--training" in verdict.reason


def test_settings_of_the_api_are_read():
    with pytest.raises(ArchauditError, match="training is not understood"):
        profile("before", training={"optimizer": 3})
