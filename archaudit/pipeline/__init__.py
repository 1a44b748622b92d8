"""profile, compare, check: load, measure, align, diff, judge. The order of the rooms is known here and nowhere else.

Nothing is printed or written here, and torch is imported only by the workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archaudit.align import align
from archaudit.checkpoint import map_checkpoint
from archaudit.definitions import diff_classes, diff_initialisation
from archaudit.diff import diff
from archaudit.errors import ConfigError
from archaudit.flow_diff import diff_flow
from archaudit.judge import conclude, judge
from archaudit.pipeline.checks import (
    Judgement,
    list_applying,
    list_baselined,
    list_budgets,
    list_configs,
    list_pins,
    list_sections,
    read_baselines,
)
from archaudit.pipeline.measuring import Options, explain_target, measure_targets
from archaudit.pipeline.proving import prove_equivalence
from archaudit.pipeline.ranging import resolve_pair
from archaudit.pipeline.targets import Target, read_profile, resolve
from archaudit.schema import Explanation, Profile, Report

__all__ = [
    "Judgement",
    "Options",
    "Target",
    "check",
    "compare",
    "compare_profiles",
    "explain",
    "list_baselined",
    "profile",
    "profile_all",
    "read_profile",
    "resolve",
]


def profile(reference: str, options: Options) -> Profile:
    """The profile of one reference. Raises an ArchauditError for what cannot be found, built or run."""
    return measure_targets([resolve(reference, options.config, options.inputs)], options)[0]


def explain(reference: str, path: str, options: Options) -> Explanation:
    """How the MACs of the module at `path` come about, operator by operator."""
    return explain_target(resolve(reference, options.config, options.inputs), path, options)


def profile_all(references: Sequence[str], options: Options) -> dict[str, Profile]:
    """The profiles of several references, measured side by side, by the references' texts."""
    targets = [resolve(reference, options.config, options.inputs) for reference in references]
    return dict(zip(references, measure_targets(targets, options), strict=True))


def compare(before: str, after: str, options: Options) -> Report:
    """What changed from one reference to the other, what it cost, and what becomes of the checks that apply to them."""
    targets = resolve_pair(before, after, options)
    return compare_profiles(targets, measure_targets(targets, options), options)


def compare_profiles(targets: Sequence[Target], profiles: Sequence[Profile], options: Options) -> Report:
    """The same for profiles that are at hand; `targets` say by what names the checks know them."""
    before, after = profiles
    keys = targets[0].key, targets[1].key
    configs = list_configs(targets, options.config)
    checks = list_applying(configs, keys)
    matches = align(before, after, list_pins(configs, targets))
    difference = diff(before, after, matches, list_sections(configs, targets))
    classes_added, classes_removed = diff_classes(before, after)
    verdicts = judge(checks, {keys[0]: before, keys[1]: after}, read_baselines(checks, options), {keys[1]: before})
    return Report(
        before=before,
        after=after,
        delta=difference.delta,
        flops_complete=difference.flops_complete,
        modules=difference.modules,
        groups=difference.groups,
        checks=verdicts,
        outcome=conclude(verdicts),
        flow=diff_flow(before, after, matches),
        initialisation=diff_initialisation(before, after, matches),
        classes_added=classes_added,
        classes_removed=classes_removed,
        checkpoint=map_checkpoint(before, after, matches),
        equivalence=prove_equivalence(targets, profiles, matches, options) if options.equivalent else None,
    )


def check(names: Iterable[str], options: Options) -> Judgement:
    """Every budget of the config, judged for the models that it names, or for `names` alone. Claims are judged by `compare`."""
    if options.config is None:
        raise ConfigError("there is no config here to check", "Write archaudit.toml with [[budgets]], or name one: --config FILE.")
    checks, wanted = list_budgets(options.config, tuple(names))
    targets = [resolve(name, options.config, options.inputs) for name in wanted]
    profiles = dict(zip((target.key for target in targets), measure_targets(targets, options), strict=True))
    verdicts = judge(checks, profiles, read_baselines(checks, options))
    return Judgement(verdicts=verdicts, outcome=conclude(verdicts))
