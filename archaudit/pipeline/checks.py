"""Which checks, sections and pins of the configs apply to given models, and the runs that checks need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import NamedTuple

import msgspec

from archaudit.align import Pin
from archaudit.config import BASELINE, Config
from archaudit.errors import ConfigError
from archaudit.pipeline.options import Options
from archaudit.pipeline.targets import Target, resolve
from archaudit.schema import Check, Pair, name_run


class Run(NamedTuple):
    """A model of the config with one of its input scenarios (None where it has none)."""

    model: str
    scenario: str | None = None

    @property
    def name(self) -> str:
        """Its name in checks and baselines."""
        return name_run(self.model, self.scenario)


def find_today() -> str:
    """Today's date (ISO), for limits with a last day. No output contains it."""
    return date.today().isoformat()


def list_configs(targets: Iterable[Target], config: Config | None) -> list[Config]:
    """The user's config, and the configs that define the targets' names; each once."""
    found: list[Config] = []
    for candidate in (config, *(target.config for target in targets)):
        if candidate is not None and all(candidate.source != other.source for other in found):
            found.append(candidate)
    return found


def list_applying(configs: Iterable[Config], keys: Pair[str]) -> list[Check]:
    """The checks that apply to a comparison of two models: each model by itself, against the other or against a baseline.

    A check without a model is about the after side. The models are compared with the inputs of their first scenario, so checks on other
    scenarios are left out. A check on a section gets the paths of that section on its own side.
    """
    applying = []
    for config in configs:
        before_scopes = {section.name: section.before for section in config.sections if section.before}
        for check in config.checks:
            model = check.model or keys.after
            first = next(iter(config.models[model].scenarios), None) if model in config.models else None
            if model not in keys or check.against not in (None, BASELINE, *keys) or check.scenario not in (None, first):
                continue
            check = msgspec.structs.replace(check, model=model, scenario=first)
            before_scope = before_scopes.get(check.section or "")
            if before_scope and model == keys.before != keys.after:
                check = msgspec.structs.replace(check, scope=before_scope)
            elif before_scope and check.against == keys.before:
                check = msgspec.structs.replace(check, against_scope=before_scope)
            applying.append(check)
    return applying


def list_sections(configs: Iterable[Config], targets: Sequence[Target]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The sections of the config that defines both models: their paths are those of one pair of architectures."""
    defining = {target.config.source if target.config is not None else None for target in targets}
    return [
        (section.name, section.before, section.after)
        for config in configs
        if defining == {config.source} and targets[0].key != targets[1].key
        for section in config.sections
    ]


def list_pins(configs: Iterable[Config], targets: Sequence[Target]) -> list[Pin]:
    """The pins of the config that defines both models, for the same reason."""
    defining = {target.config.source if target.config is not None else None for target in targets}
    return [
        Pin(before=pin.before, after=pin.after, forbid=pin.forbid, source=f"{config.source}: {pin.key}")
        for config in configs
        if defining == {config.source} and targets[0].key != targets[1].key
        for pin in config.pins
    ]


def list_budgets(config: Config, names: tuple[str, ...]) -> tuple[list[Check], list[Run]]:
    """The budgets of a config, one for each model and input scenario, and the runs to measure for them.

    A budget without a model applies to every model of the config. Raises ConfigError for a name without a budget.
    """
    budgets = [each for check in config.checks if check.origin != "claim" for each in _expand(check, config)]
    timed = [config.latency.after] if config.latency is not None else []
    budgeted = list(dict.fromkeys([*(check.model for check in budgets), *timed]))
    for name in names:
        if name not in budgeted:
            raise ConfigError(
                f"{config.source}: no budget is about {name!r}", f"Budgets are about: {', '.join(budgeted) or 'nothing yet'}."
            )
    chosen = [check for check in budgets if not names or check.model in names]
    needed = [Run(check.model, check.scenario) for check in chosen]
    for check in chosen:
        if check.against is not None and check.against != BASELINE:
            scenarios = config.models[check.against].scenarios
            if check.scenario in scenarios or not scenarios:
                needed.append(Run(check.against, check.scenario if scenarios else None))
    existing = [run for run in dict.fromkeys(needed) if run.scenario is None or run.scenario in config.models[run.model].scenarios]
    return chosen, existing


def _expand(check: Check, config: Config) -> list[Check]:
    """A budget for each model and scenario that it applies to; one with a scenario applies to the models that have it."""
    expanded = []
    for model in [check.model] if check.model else list(config.models):
        known: tuple[str | None, ...] = tuple(config.models[model].scenarios) or (None,)
        if check.scenario is not None and (check.model or check.scenario in known):
            known = (check.scenario,)
        elif check.scenario is not None:
            continue
        for scenario in known:
            suffix = ([] if check.model else [model]) + ([scenario] if scenario and check.scenario is None and len(known) > 1 else [])
            expanded.append(msgspec.structs.replace(check, model=model, scenario=scenario, id="-".join([check.id, *suffix])))
    return expanded


def list_baselined(config: Config | None, names: Sequence[str] = ()) -> list[Run]:
    """The runs of the models `names`; without names, of the models that a budget compares with a baseline."""
    models = config.models if config is not None else {}
    if not names and config is not None:
        named = [check.model for check in config.checks if check.against == BASELINE]
        names = [name for model in named for name in ([model] if model else models)]
    scenarios = {name: tuple(models[name].scenarios) if name in models else () for name in names}
    return [Run(name, scenario) for name, known in scenarios.items() for scenario in known or (None,)]


def resolve_run(run: Run, options: Options) -> Target:
    """The target of a run: its model with the inputs of its scenario. Raises ConfigError if `--input` is given too."""
    if run.scenario is None or options.config is None:
        return resolve(run.model, options.config, options.inputs)
    if options.inputs:
        raise ConfigError(f"{options.config.source}: {run.model} has input scenarios", "Leave out --input: each scenario is judged.")
    return resolve(run.model, options.config, options.config.models[run.model].scenarios[run.scenario])
