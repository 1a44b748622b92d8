"""Which checks and sections apply to the models at hand, and the baselines that they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from archaudit.align import Pin
from archaudit.config import BASELINE, Config
from archaudit.errors import ArchauditError, ConfigError
from archaudit.pipeline.measuring import Options
from archaudit.pipeline.targets import Target, read_profile
from archaudit.schema import Check, Outcome, Profile, Record, Verdict


class Judgement(Record, frozen=True, kw_only=True):
    """Verdicts without a comparison of two models, and what they come to."""

    verdicts: tuple[Verdict, ...]
    outcome: Outcome


def list_configs(targets: Iterable[Target], config: Config | None) -> list[Config]:
    """The user's config, and those that the targets' names were defined in; each once."""
    found: list[Config] = []
    for candidate in (config, *(target.config for target in targets)):
        if candidate is not None and all(candidate.source != other.source for other in found):
            found.append(candidate)
    return found


def list_applying(configs: Iterable[Config], keys: tuple[str, str]) -> list[Check]:
    """The checks about the two models compared (the after side where none is named), by themselves, against each other or a baseline."""
    applying = []
    for check in (check for config in configs for check in config.checks):
        model = check.model or keys[1]
        if model in keys and (check.against is None or check.against == BASELINE or check.against in keys):
            applying.append(msgspec.structs.replace(check, model=model))
    return applying


def list_sections(configs: Iterable[Config], targets: Sequence[Target]) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The sections of the config that defined both models: sections name the paths of one pair of architectures."""
    defining = {target.config.source if target.config is not None else None for target in targets}
    return [
        (section.name, section.before, section.after)
        for config in configs
        if defining == {config.source} and targets[0].key != targets[1].key
        for section in config.sections
    ]


def list_pins(configs: Iterable[Config], targets: Sequence[Target]) -> list[Pin]:
    """The pins of the config that defined both models: they name the paths of one pair of architectures, as sections do."""
    defining = {target.config.source if target.config is not None else None for target in targets}
    return [
        Pin(before=pin.before, after=pin.after, forbid=pin.forbid, source=f"{config.source}: {pin.key}")
        for config in configs
        if defining == {config.source} and targets[0].key != targets[1].key
        for pin in config.pins
    ]


def list_budgets(config: Config, names: tuple[str, ...]) -> tuple[list[Check], list[str]]:
    """The budgets of a config, spelled out for each model, and the models to measure for them.

    A budget without a model applies to every model of the config. Raises ConfigError for a name that has no budget.
    """
    budgets: list[Check] = []
    for check in config.checks:
        if check.origin != "claim":
            models = [check.model] if check.model else list(config.models)
            budgets += [msgspec.structs.replace(check, model=model, id=_name_for(check, model)) for model in models]
    budgeted = list(dict.fromkeys(check.model for check in budgets))
    for name in names:
        if name not in budgeted:
            raise ConfigError(
                f"{config.source}: no budget is about {name!r}", f"Budgets are about: {', '.join(budgeted) or 'nothing yet'}."
            )
    chosen = [check for check in budgets if not names or check.model in names]
    needed = [*(check.model for check in chosen), *(check.against for check in chosen if check.against not in (None, BASELINE))]
    return chosen, list(dict.fromkeys(name for name in needed if name is not None))


def list_baselined(options: Options) -> list[str]:
    """The models that some budget of the config compares with a baseline."""
    config = options.config
    if config is None:
        return []
    named = [check.model for check in config.checks if check.against == BASELINE]
    return list(dict.fromkeys(name for model in named for name in ([model] if model else config.models)))


def _name_for(check: Check, model: str) -> str:
    return check.id if check.model else f"{check.id}-{model}"


def read_baselines(checks: Iterable[Check], options: Options) -> dict[str, Profile | ArchauditError]:
    """The saved profiles that checks compare with, by model; one that cannot be read stands as its error, a missing one is left out."""
    folder = options.baselines or (options.config.baselines if options.config is not None else None)
    baselines: dict[str, Profile | ArchauditError] = {}
    for model in dict.fromkeys(check.model for check in checks if check.against == BASELINE):
        path = folder / f"{model}.json" if folder is not None else None
        if path is not None and path.exists():
            try:
                baselines[model] = read_profile(path)
            except ArchauditError as error:
                baselines[model] = error
    return baselines
