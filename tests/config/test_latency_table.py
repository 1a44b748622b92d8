"""The table [latency]: the budget that it declares, and its faults."""

import pytest

from archaudit.config import load_config
from archaudit.errors import ConfigError
from archaudit.schema import LatencyBudget

MODELS = '[models.seg]\nreference = "a.py:A"\n[models.old]\nreference = "b.py:B"\n'


def load(tmp_path, text):
    path = tmp_path / "archaudit.toml"
    path.write_text(MODELS + text)
    return load_config(path).latency


def test_the_gate_is_off_by_default(tmp_path):
    assert load(tmp_path, "") is None


def test_a_budget_with_everything(tmp_path):
    text = '[latency]\nid="fast"\nbefore="old"\nafter="seg"\nmax_increase="3%"\nmin_change="0.5 ms"\ndevice="cuda"\ndtype="bfloat16"\n'
    expected = LatencyBudget(
        id="fast", before="old", after="seg", max_ratio=1.03, expected="1.03x", min_change_s=0.0005, device="cuda", dtype="bfloat16"
    )
    assert load(tmp_path, text) == expected


def test_the_default_is_five_percent(tmp_path):
    budget = load(tmp_path, '[latency]\nbefore="baseline"\nafter="seg"\n')
    assert (budget.max_ratio, budget.expected, budget.device) == (1.05, "1.05x", "auto")
    assert load(tmp_path, '[latency]\nbefore="old"\nafter="seg"\nmax_ratio=0.5\n').max_ratio == 0.5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[latency]\nafter="seg"', "latency.before: is missing"),
        ('[latency]\nbefore="sge"\nafter="seg"', "latency.before: 'sge' is not in [models]; did you mean 'seg'?"),
        ('[latency]\nbefore="old"\nafter="baseline"', "latency.after: 'baseline' is not in [models]"),
        ('[latency]\nbefore="old"\nafter="seg"\ndevice="gpu"', "latency.device: 'gpu' is not known"),
        ('[latency]\nbefore="old"\nafter="seg"\nmax_ratio="5%"', "latency.max_ratio: '5%' is not a ratio"),
        ('[latency]\nbefore="old"\nafter="seg"\nmax_increase=0.05', "latency.max_increase: '0.05' is not a percentage"),
        (
            '[latency]\nbefore="old"\nafter="seg"\nmax_ratio=2\nmax_increase="5%"',
            "latency.max_increase: cannot be given together with `max_ratio`",
        ),
        ('[latency]\nbefore="old"\nafter="seg"\nmin_change="5%"', "latency.min_change: '5%' is not a time in milliseconds"),
        ('[latency]\nbefore="old"\nafter="seg"\nratio=2', "latency.ratio: is not a known key"),
        ("latency = 3", "latency: expected a table [latency]"),
    ],
)
def test_a_fault_gives_a_message_with_its_key(tmp_path, text, message):
    path = tmp_path / "archaudit.toml"
    path.write_text(f"{text}\n{MODELS}" if text.startswith("latency =") else MODELS + text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert message in caught.value.message
