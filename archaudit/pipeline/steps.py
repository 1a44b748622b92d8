"""profile, compare, check, step by step: load, measure, align, diff, judge. Only this file knows the order of the packages.

Nothing is printed or written here, and only worker processes import torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from archaudit.align import align
from archaudit.errors import ArchauditError, ConfigError, InputError, LoadError, MeasureError, RevisionError, SavedFileError, WorkerError
from archaudit.judge import conclude, judge, judge_gated, judge_overridden
from archaudit.judge.scaling import is_about_formula, judge_formulas
from archaudit.pipeline.audit_gate import audit_change, judge_audits
from archaudit.pipeline.baselines import read_baselines, read_earlier
from archaudit.pipeline.checks import Run, find_today, list_applying, list_budgets, list_configs, list_pins, list_sections, resolve_run
from archaudit.pipeline.failures import compare_with_baselines, locate_classes
from archaudit.pipeline.latency_budget import choose_latency, judge_configured_latency, judge_pair_latency
from archaudit.pipeline.measuring import explain_target, find_target_laws, measure_targets
from archaudit.pipeline.options import Options
from archaudit.pipeline.profile_diff import compare_matched
from archaudit.pipeline.proving import judge_keys, prove_equivalence
from archaudit.pipeline.targets import Target, resolve_one, resolve_pair
from archaudit.schema import Check, Explanation, Judgement, Pair, Profile, Report, ScalingLaws, Verdict
from archaudit.worker import share_pool

# Errors of one model, which say nothing about the others.
# Runs that a formula is compared with before it is judged.
CHECKS = 3
_ERRORS_OF_ONE_MODEL = (InputError, LoadError, MeasureError, RevisionError, SavedFileError, WorkerError)


def profile(reference: str, options: Options) -> Profile:
    """The profile of one reference. Raises an ArchauditError if it cannot be found, built or run."""
    return measure_targets([resolve_one(reference, options)], options)[0]


def explain(reference: str, path: str, options: Options) -> Explanation:
    """How the MACs of the module at `path` are computed, operator by operator."""
    return explain_target(resolve_one(reference, options), path, options)


def find_laws(references: Sequence[str], checks: int, options: Options) -> list[ScalingLaws]:
    """How the costs of each reference grow with the sizes of its input, compared with `checks` runs that the laws were not found from."""
    targets = resolve_pair(references[0], references[1], options) if len(references) == 2 else [resolve_one(references[0], options)]
    return [find_target_laws(target, checks, options) for target in targets]


def compare(before: str, after: str, options: Options) -> Report:
    """The changes from one reference to the other, their costs, and the verdicts on the checks about them."""
    targets = resolve_pair(before, after, options)
    keys = targets.map(lambda target: target.key)
    options = choose_latency(options, keys)
    options = options.choose_training(check.metric for check in list_applying(list_configs(targets, options.config), keys))
    return compare_profiles(targets, measure_targets(targets, options), options)


def compare_profiles(targets: Sequence[Target], profiles: Sequence[Profile], options: Options) -> Report:
    """The same for two measured profiles; `targets` have the names by which checks refer to them."""
    before, after = profiles
    keys = Pair(*(target.key for target in targets))
    configs = list_configs(targets, options.config)
    applying = list_applying(configs, keys)
    checks = [check for check in applying if not is_about_formula(check)]
    matches = align(before, after, list_pins(configs, targets))
    report = compare_matched(before, after, matches, list_sections(configs, targets))
    measured = {keys.before: before, keys.after: after}
    strict = any(config.strict for config in configs)
    verdicts = judge(checks, measured, read_baselines(checks, options), earlier={keys.after: before}, today=find_today(), strict=strict)
    verdicts += _judge_formulas_of_pair([check for check in applying if is_about_formula(check)], targets, options)
    verdicts += judge_pair_latency(options, keys, before, after)
    report = msgspec.structs.replace(report, checks=verdicts, outcome=conclude(verdicts))
    if options.audit:
        report = msgspec.structs.replace(report, audit=audit_change(targets, matches, options))
    if not (options.equivalent or options.prove_map):
        return report
    proof = prove_equivalence(targets, profiles, matches, options)
    return msgspec.structs.replace(
        report,
        equivalence=proof.equivalence if options.equivalent else None,
        checkpoint=judge_keys(before, after, matches, proof),
    )


def _judge_formulas_of_pair(checks: Sequence[Check], targets: Sequence[Target], options: Options) -> tuple[Verdict, ...]:
    laws: dict[str, ScalingLaws | ArchauditError] = {}
    for target in targets:
        if any(check.model == target.key for check in checks):
            try:
                laws[target.key] = find_target_laws(target, CHECKS, options)
            except _ERRORS_OF_ONE_MODEL as error:
                laws[target.key] = error
    return judge_formulas(checks, laws)


def check(names: Iterable[str], options: Options) -> Judgement:
    """Verdicts on every budget of the config, or on those of the models `names`. Claims are judged by `compare` and by `claims check`.

    A model that fails a check against its baseline is compared with the baseline, so that the output can explain the difference.
    """
    if options.config is None:
        raise ConfigError("there is no config here to check", "Write archaudit.toml with [[budgets]], or name one: --config FILE.")
    config = options.config
    names = tuple(names)
    checks, runs = list_budgets(config, names)
    formulas = [each for each in checks if is_about_formula(each)]
    checks = [each for each in checks if not is_about_formula(each)]
    profiles, unmeasured = profile_separately(runs, options)
    baselines = read_baselines(checks, options)
    earlier = read_earlier(checks, baselines, profiles, options)
    verdicts = judge(checks, profiles, baselines, earlier, find_today(), unmeasured, strict=config.strict)
    scenarios = {name: tuple(config.models[name].scenarios) for name in names or config.models}
    verdicts += judge_gated(config.gated, scenarios, checks, verdicts) + judge_overridden(config.overridden, checks)
    named = {check.run for check in formulas}
    verdicts += judge_formulas(formulas, find_laws_of_runs([run for run in runs if run.name in named], options))
    verdicts += judge_configured_latency(options, names)
    audits, audit_places = judge_audits(names, options)
    verdicts += audits
    outcome = conclude(verdicts)
    return Judgement(
        outcome="inconclusive" if unmeasured and outcome == "passed" else outcome,
        checks=verdicts,
        differences=compare_with_baselines(verdicts, profiles, baselines, options),
        places=locate_classes(verdicts, profiles) | audit_places,
        unmeasured={name: error.message for name, error in unmeasured.items()},
        source=config.source,
    )


def find_laws_of_runs(runs: Sequence[Run], options: Options) -> dict[str, ScalingLaws | ArchauditError]:
    """The formulas of several runs by the runs' names; an error in place of those of a model that has none."""
    found: dict[str, ScalingLaws | ArchauditError] = {}
    for run in runs:
        try:
            found[run.name] = find_target_laws(resolve_run(run, options), CHECKS, options)
        except _ERRORS_OF_ONE_MODEL as error:
            found[run.name] = error
    return found


def profile_runs(runs: Sequence[Run], options: Options) -> dict[str, Profile]:
    """The profiles of several runs, measured in parallel, by the runs' names."""
    checks = options.config.checks if options.config is not None else ()
    options = options.choose_training(check.metric for check in checks if check.origin != "claim")
    targets = [resolve_run(run, options) for run in runs]
    return dict(zip((run.name for run in runs), measure_targets(targets, options), strict=True))


def profile_separately(runs: Sequence[Run], options: Options) -> tuple[dict[str, Profile], dict[str, ArchauditError]]:
    """The profiles of all runs that can be measured, and the errors of the others. With one run only, its error is raised."""
    try:
        return profile_runs(runs, options), {}
    except _ERRORS_OF_ONE_MODEL:
        if len(runs) == 1:
            raise
    profiles: dict[str, Profile] = {}
    errors: dict[str, ArchauditError] = {}
    with share_pool(options.workers) as pool:  # an error stops all that are measured in parallel: measure one after the other
        alone = msgspec.structs.replace(options, worker_pool=pool)
        for run in runs:
            try:
                profiles |= profile_runs([run], alone)
            except _ERRORS_OF_ONE_MODEL as error:
                errors[run.name] = error
    return profiles, errors
