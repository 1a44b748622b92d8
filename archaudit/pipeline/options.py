"""What a command was asked besides its references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from archaudit.config import Config
from archaudit.schema import LatencyBudget, Record, TimingSettings
from archaudit.worker import Fork, WorkerOptions


class TimingOptions(Record, frozen=True, kw_only=True):
    """How models are to be timed: `seed` draws the order (None: a new one), `limit_s` is what one measurement of a pair may take.

    `budget` is what a second measurement may be needed for (None: the default one).
    """

    settings: TimingSettings = TimingSettings()
    seed: int | None = None
    limit_s: float = 15.0
    warmup_s: float = 3.0
    budget: LatencyBudget | None = None


class Options(Record, frozen=True, kw_only=True):
    """What a command was asked besides its references.

    `inputs` are texts as typed; `latency` says on what to time (`off`: not at all, `recorded`: what was recorded of the same models,
    None: what the config's [latency] says, else recorded), `timing` how; `symbolic` whether shapes are to be told in terms of the
    input; `equivalent` whether two models are to be tried with the same weights; `notify` is told what is being done, `advance` how many
    of how many models are done, where it is known how many there will be about; `meanwhile` is called once while workers start, which
    takes seconds in which the caller could get ready for what comes out; `baseline_revision` is the git revision that baselines are read
    from (None: from their files); `formulas` are files and modules of formulas beside those of configs; `cached` whether a git revision
    that was measured before needs not be measured again; `fork` takes workers from a pool that is open; `allow_pickle` whether a pickled
    state dict may be read by torch's restricted reader.
    """

    config: Config | None = None
    inputs: tuple[str, ...] = ()
    baselines: Path | None = None
    baseline_revision: str | None = None
    witnesses: bool = True
    symbolic: bool = True
    equivalent: bool = False
    latency: Literal["off", "recorded", "auto", "cpu", "cuda"] | None = "off"
    timing: TimingOptions = TimingOptions()
    workers: WorkerOptions = WorkerOptions()
    notify: Callable[[str], None] = lambda stage: None
    advance: Callable[[int, int], None] = lambda done, total: None
    meanwhile: Callable[[], None] = lambda: None
    formulas: tuple[str, ...] = ()
    cached: bool = True
    fork: Fork | None = None
    allow_pickle: bool = False
