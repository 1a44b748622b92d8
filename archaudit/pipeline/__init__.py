"""profile, compare, check: load, measure, align, diff, judge. The order of the rooms is known here and nowhere else.

Nothing is printed or written here, and torch is imported only by the workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from archaudit.align import align
from archaudit.errors import ArchauditError, ConfigError, InputError, LoadError, MeasureError, RevisionError, SavedFileError, WorkerError
from archaudit.judge import conclude, judge, judge_gated
from archaudit.pipeline.comparing import compare_matched
from archaudit.pipeline.gate.baselines import Tightening, find_folder, list_needed, list_worse, read_baselines, tighten
from archaudit.pipeline.gate.checks import (
    Run,
    find_today,
    list_applying,
    list_baselined,
    list_budgets,
    list_configs,
    list_pins,
    list_sections,
    resolve_run,
)
from archaudit.pipeline.gate.latency import choose_latency, judge_check, judge_pair
from archaudit.pipeline.gate.mismatches import list_mismatches, locate_culprits
from archaudit.pipeline.measuring import explain_target, measure_targets
from archaudit.pipeline.options import Options, TimingOptions
from archaudit.pipeline.proving import prove_equivalence
from archaudit.pipeline.targets import Target, read_profile, resolve, resolve_pair
from archaudit.schema import Explanation, Judgement, Profile, Report
from archaudit.worker import share_pool

# What is wrong with one model and says nothing about another.
_OF_ONE_MODEL = (InputError, LoadError, MeasureError, RevisionError, SavedFileError, WorkerError)

__all__ = [
    "Judgement",
    "Options",
    "Run",
    "Target",
    "Tightening",
    "TimingOptions",
    "check",
    "compare",
    "compare_profiles",
    "explain",
    "find_folder",
    "list_baselined",
    "list_needed",
    "list_worse",
    "profile",
    "profile_runs",
    "read_profile",
    "resolve",
    "tighten",
]


def profile(reference: str, options: Options) -> Profile:
    """The profile of one reference. Raises an ArchauditError for what cannot be found, built or run."""
    return measure_targets([resolve(reference, options.config, options.inputs, allow_pickle=options.allow_pickle)], options)[0]


def explain(reference: str, path: str, options: Options) -> Explanation:
    """How the MACs of the module at `path` come about, operator by operator."""
    return explain_target(resolve(reference, options.config, options.inputs), path, options)


def profile_runs(runs: Sequence[Run], options: Options) -> dict[str, Profile]:
    """The profiles of several runs, measured side by side, by the runs' names."""
    targets = [resolve_run(run, options) for run in runs]
    return dict(zip((run.name for run in runs), measure_targets(targets, options), strict=True))


def profile_each(runs: Sequence[Run], options: Options) -> tuple[dict[str, Profile], dict[str, ArchauditError]]:
    """The same for each run that can be measured, and why the others cannot. Raises the error where there is only one run."""
    try:
        return profile_runs(runs, options), {}
    except _OF_ONE_MODEL:
        if len(runs) == 1:
            raise
    profiles: dict[str, Profile] = {}
    errors: dict[str, ArchauditError] = {}
    with share_pool(options.workers) as fork:  # one after the other, now that one is known to stop the rest
        alone = msgspec.structs.replace(options, fork=fork)
        for run in runs:
            try:
                profiles |= profile_runs([run], alone)
            except _OF_ONE_MODEL as error:
                errors[run.name] = error
    return profiles, errors


def compare(before: str, after: str, options: Options) -> Report:
    """What changed from one reference to the other, what it cost, and what becomes of the checks that apply to them."""
    targets = resolve_pair(before, after, options)
    options = choose_latency(options, (targets[0].key, targets[1].key))
    return compare_profiles(targets, measure_targets(targets, options), options)


def compare_profiles(targets: Sequence[Target], profiles: Sequence[Profile], options: Options) -> Report:
    """The same for profiles that are at hand; `targets` say by what names the checks know them."""
    before, after = profiles
    keys = targets[0].key, targets[1].key
    configs = list_configs(targets, options.config)
    checks = list_applying(configs, keys)
    matches = align(before, after, list_pins(configs, targets))
    verdicts = judge(checks, {keys[0]: before, keys[1]: after}, read_baselines(checks, options), {keys[1]: before}, find_today())
    verdicts += judge_pair(options, keys, before, after)
    return msgspec.structs.replace(
        compare_matched(before, after, matches, list_sections(configs, targets)),
        checks=verdicts,
        outcome=conclude(verdicts),
        equivalence=prove_equivalence(targets, profiles, matches, options) if options.equivalent else None,
    )


def check(names: Iterable[str], options: Options) -> Judgement:
    """Every budget of the config, judged for the models that it names, or for `names` alone. Claims are judged by `compare`.

    A model that does not hold against its baseline is compared with it, to say what changed.
    """
    if options.config is None:
        raise ConfigError("there is no config here to check", "Write archaudit.toml with [[budgets]], or name one: --config FILE.")
    config = options.config
    asked = tuple(names)
    checks, runs = list_budgets(config, asked)
    profiles, unmeasured = profile_each(runs, options)
    baselines = read_baselines(checks, options)
    verdicts = judge(checks, profiles, baselines, today=find_today(), unmeasured=unmeasured)
    verdicts += judge_gated(config.gated, asked or config.models, checks) + judge_check(options, asked)
    outcome = conclude(verdicts)
    return Judgement(
        outcome="inconclusive" if unmeasured and outcome == "passed" else outcome,
        checks=verdicts,
        differences=list_mismatches(verdicts, profiles, baselines, options),
        places=locate_culprits(verdicts, profiles),
        unmeasured={name: error.message for name, error in unmeasured.items()},
        source=config.source,
    )
