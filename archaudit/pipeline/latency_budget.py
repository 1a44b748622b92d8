"""[latency] in the config: which comparisons it applies to, what is measured for it, and its verdict."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from archaudit.config import BASELINE
from archaudit.errors import ArchauditError
from archaudit.pipeline.measuring import measure_targets
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, find_baseline_folder, read_profile, resolve
from archaudit.schema import Latency, LatencyBudget, Pair, Profile, Verdict


def find_budget(options: Options, keys: Pair[str]) -> LatencyBudget | None:
    """The latency budget of the user's config, if it is about these two models."""
    budget = options.config.latency if options.config is not None else None
    return budget if budget is not None and (budget.before, budget.after) == keys else None


def choose_latency(options: Options, keys: Pair[str]) -> Options:
    """The options; with the device and the dtype of the config's [latency] if the command does not set them."""
    budget = find_budget(options, keys)
    return _apply_budget(budget, options) if budget is not None and options.latency is None else options


def judge_pair_latency(options: Options, keys: Pair[str], before: Profile, after: Profile) -> tuple[Verdict, ...]:
    """The verdict on two profiles; none if [latency] is not about them."""
    budget = find_budget(options, keys)
    if budget is None:
        return ()
    from archaudit.judge.latency import judge_latency

    return (judge_latency(keys.after, before.latency, after.latency, budget),)


def judge_configured_latency(options: Options, names: Collection[str]) -> tuple[Verdict, ...]:
    """The verdict for `check`: both models are timed in one run, or one is timed and compared with the recorded times of its baseline.

    None if the config has no [latency], or if `names` do not include its model.
    """
    budget = options.config.latency if options.config is not None else None
    if budget is None or (names and budget.after not in names):
        return ()
    from archaudit.judge.latency import judge_latency

    sides = [name for name in (budget.before, budget.after) if name != BASELINE]
    targets = [resolve(name, options.config, options.inputs) for name in sides]
    try:
        plain = msgspec.structs.replace(options, other_counters=False, symbolic=False)
        profiles = measure_targets(targets, _apply_budget(budget, plain))
        before = profiles[0].latency if len(profiles) == 2 else _find_recorded(targets[0], profiles[0], budget, options)
    except ArchauditError as error:  # the other budgets are still judged
        verdict = judge_latency(budget.after, None, None, budget)
        return (msgspec.structs.replace(verdict, reason=error.message),)
    return (judge_latency(budget.after, before, profiles[-1].latency, budget),)


def _apply_budget(budget: LatencyBudget, options: Options) -> Options:
    settings = msgspec.structs.replace(options.timing.settings, dtype=budget.dtype)
    timing = msgspec.structs.replace(options.timing, settings=settings, budget=budget)
    return msgspec.structs.replace(options, latency=budget.device, timing=timing)


def _find_recorded(target: Target, profile: Profile, budget: LatencyBudget, options: Options) -> Latency | None:
    """The recorded times of the model's baseline, on this device with these settings if there are any; None if nothing is recorded."""
    from archaudit.pipeline.recordings import find_recordings, fingerprint, read_recordings

    folder = find_baseline_folder(options, [target])
    path = folder / f"{budget.after}.json"
    key = fingerprint(read_profile(path)) if path.exists() else fingerprint(profile)
    recorded = [latencies[0] for _, latencies in find_recordings(read_recordings(folder), key)]
    now = profile.latency
    alike = [
        each for each in recorded if now is not None and each is not None and (each.machine, each.settings) == (now.machine, now.settings)
    ]
    return (alike or recorded or [None])[0]
