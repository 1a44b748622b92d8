"""`check --self-test`: small models with one regression of each kind, and with metrics that cannot be measured; `check` must find each.

Everything runs as it does for a user: model files and a config in a folder, measured by workers, judged by `check`. So a regression that
is found here is found in a project, on this machine with these versions.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from archaudit.config import load_config
from archaudit.pipeline.options import Options
from archaudit.schema import Judgement, Outcome, Record

Check = Callable[[tuple[str, ...], Options], Judgement]

_MODELS = '''
import time

import torch
from torch import nn


class Plain(nn.Module):
    """Two convolutions."""

    def __init__(self, width=8, twice=False, sleep_s=0.0, uncounted=False):
        super().__init__()
        self.body = nn.Conv2d(3, width, 3, padding=1)
        self.head = nn.Conv2d(width, 3, 1)
        self.twice, self.sleep_s, self.uncounted = twice, sleep_s, uncounted

    def forward(self, x):
        if self.sleep_s:
            time.sleep(self.sleep_s)
        if self.uncounted:
            x = x + torch.linalg.eigvals(x).real.sum()
        x = self.head(self.body(x))
        return self.head(self.body(x)) if self.twice else x
'''

_CONFIG = """
[models.plain]
reference = "planted.py:Plain"
input = "1x3x32x32"
[models.wide]
reference = "planted.py:Plain(width=9)"
input = "1x3x32x32"
[models.twice]
reference = "planted.py:Plain(twice=True)"
input = "1x3x32x32"
[models.uncounted]
reference = "planted.py:Plain(uncounted=True)"
input = "1x3x32x32"

[[budgets]]
id = "unchanged"
model = "plain"
metric = "flops"
max_increase = "0%"
against = "plain"
[[budgets]]
id = "more params"
model = "wide"
metric = "params"
max_increase = "5%"
against = "plain"
[[budgets]]
id = "more flops"
model = "twice"
metric = "flops"
max_increase = "5%"
against = "plain"
[[budgets]]
id = "no more params"
model = "twice"
metric = "params"
max_increase = "0%"
against = "plain"
[[budgets]]
id = "dropped flops"
model = "uncounted"
metric = "flops"
max = "1T"
[[budgets]]
id = "dropped baseline"
model = "plain"
metric = "params"
max_increase = "0%"
"""

_LATENCY = """
[models.plain]
reference = "planted.py:Plain"
input = "1x3x32x32"
[models.slow]
reference = "planted.py:Plain(sleep_s=0.002)"
input = "1x3x32x32"

[latency]
id = "{id}"
before = "{before}"
after = "{after}"
device = "cpu"
"""

# The outcome that each check must have. The sleep is many times longer than the model's own time, so that noise cannot hide it.
_COSTS: Mapping[str, Outcome] = {
    "unchanged": "passed",
    "more params": "failed",
    "more flops": "failed",
    "no more params": "passed",
    "dropped flops": "inconclusive",
    "dropped baseline": "inconclusive",
}
_TIMES: tuple[tuple[str, str, str, Outcome], ...] = (
    ("a sleep", "plain", "slow", "failed"),
    ("a sleep taken out", "slow", "plain", "passed"),
    ("dropped latency", "baseline", "plain", "inconclusive"),
)
_LIMIT_S = 2.0


class Planted(Record, frozen=True, kw_only=True):
    """One planted case: the outcome that `check` must have, the one that it had (None if it has no verdict), and its reason."""

    id: str
    expected: Outcome
    outcome: Outcome | None
    reason: str

    @property
    def holds(self) -> bool:
        """Whether the outcome is as expected."""
        return self.outcome == self.expected


def run_self_test(check: Check, options: Options) -> tuple[Planted, ...]:
    """Every planted case, judged by `check` like a user's models; `options` say how workers run."""
    with tempfile.TemporaryDirectory(prefix="archaudit-self-test-") as folder:
        Path(folder, "planted.py").write_text(_MODELS)
        plain = msgspec.structs.replace(options, inputs=(), baselines=None, latency="off", other_counters=False, symbolic=False)
        timing = msgspec.structs.replace(plain.timing, limit_s=_LIMIT_S, warmup_s=1.0)
        plain = msgspec.structs.replace(plain, timing=timing)
        found = _judge(check, plain, Path(folder), _CONFIG, _COSTS)
        for name, before, after, expected in _TIMES:
            text = _LATENCY.format(id=name, before=before, after=after)
            found += _judge(check, plain, Path(folder), text, {name: expected})
    return found


def _judge(check: Check, options: Options, folder: Path, config: str, expected: Mapping[str, Outcome]) -> tuple[Planted, ...]:
    """The cases of one config. A check without a verdict is a case that does not hold."""
    path = folder / "archaudit.toml"
    path.write_text(config)
    judgement = check((), msgspec.structs.replace(options, config=load_config(path)))
    verdicts = {verdict.id: verdict for verdict in judgement.checks}
    return tuple(
        Planted(
            id=name,
            expected=outcome,
            outcome=verdicts[name].outcome if name in verdicts else None,
            reason=verdicts[name].reason if name in verdicts else "there is no verdict on this check",
        )
        for name, outcome in expected.items()
    )
