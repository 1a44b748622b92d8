"""The options of a command, besides its references."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from archaudit.config import Config
from archaudit.metrics.training_costs import needs_training
from archaudit.schema import LatencyBudget, Record, TimingSettings, TrainingSettings
from archaudit.worker import Fork, WorkerOptions


class TimingOptions(Record, frozen=True, kw_only=True):
    """How models are timed: `seed` draws the order of the runs (None: a random one), `limit_s` limits one measurement of a pair.

    `budget` decides whether a second measurement is needed (None: the default budget).
    """

    settings: TimingSettings = TimingSettings()
    seed: int | None = None
    limit_s: float = 15.0
    warmup_s: float = 3.0
    budget: LatencyBudget | None = None


class Options(Record, frozen=True, kw_only=True):
    """The options of a command, besides its references.

    Input: `config`, `inputs` (texts as typed), `formulas` (files and modules of FLOP formulas, besides those of configs), `allow_pickle`
    (whether torch's restricted unpickler may read a state dict), `dtype` (that models are cast to), `arg_files` (with arguments of the
    models: one for all, or one for before and one for after).

    What to measure: `params_only` (models are only built, and need no input), `other_counters`, `symbolic` (shapes in terms of the input's
    sizes), `equivalent` (whether both models compute the same with the same weights), `prove_map` (which entries of the checkpoint map such
    a run proves), `audit` (findings that the change introduces and resolves), `training` (how a training step is run; None: it is not
    measured), `device` (the one whose operators are assumed for the memory), `latency` and `timing`. `latency` is the device to time
    on; `off`: none; `recorded`: look up recorded times of the same
    models; None: what [latency] in the config says, else `recorded`. `cached`: a git revision that was measured before, or a library's
    model that a document names, is not measured again; with `fresh`, such a model is, and its kept profile is replaced.

    `harness` is a file of the work tree that is added to each git revision: it builds the model from the revision's code.

    Baselines: `baselines` is their folder, `baseline_revision` the git revision to read them from (None: from their files).

    How to run: `workers`, `worker_pool` (an open pool of worker processes). `on_stage` is called with a text for each stage of the work,
    `on_warning` with each warning of a model's code and the names of these models, `on_progress` with how many models of how many
    are done, where the total is known. `while_workers_start` is called once while worker processes start, which takes seconds: the caller
    can use them to prepare its output.
    """

    config: Config | None = None
    inputs: tuple[str, ...] = ()
    baselines: Path | None = None
    baseline_revision: str | None = None
    other_counters: bool = True
    symbolic: bool = True
    equivalent: bool = False
    prove_map: bool = False
    audit: bool = False
    latency: Literal["off", "recorded", "auto", "cpu", "cuda"] | None = "off"
    timing: TimingOptions = TimingOptions()
    workers: WorkerOptions = WorkerOptions()
    on_stage: Callable[[str], None] = lambda stage: None
    on_warning: Callable[[str], None] = logging.getLogger("archaudit").warning
    on_progress: Callable[[int, int], None] = lambda done, total: None
    while_workers_start: Callable[[], None] = lambda: None
    formulas: tuple[str, ...] = ()
    cached: bool = True
    fresh: bool = False
    harness: str = ""
    worker_pool: Fork | None = None
    allow_pickle: bool = False
    device: Literal["cpu", "cuda"] = "cpu"
    dtype: str | None = None
    arg_files: tuple[str, ...] = ()
    params_only: bool = False
    training: TrainingSettings | None = None

    def choose_training(self, metrics: Iterable[str]) -> Options:
        """The options; with a training step, as the config says, if one of the metrics is of one and the command does not set it."""
        if self.training is not None or not needs_training(metrics):
            return self
        configured = self.config.training if self.config is not None else None
        return msgspec.structs.replace(self, training=configured or TrainingSettings())

    def choose_arg_file(self, position: int) -> str:
        """The file of arguments for the model at this position; empty if there is none."""
        return self.arg_files[min(position, len(self.arg_files) - 1)] if self.arg_files else ""
