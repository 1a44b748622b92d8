"""What checks are judged by, and the numbers that they are about: which profile, which modules, how much."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from archaudit.errors import ArchauditError
from archaudit.metrics.catalog import Metric, measure_scope, nearest_paths, select_modules
from archaudit.schema import Check, Profile, Record, name_run

# As many types as fit in a message.
_NAMED_TYPES = 6


class Sides(Record, frozen=True, kw_only=True):
    """What checks are judged by, each keyed by a run's name: its profile, its baseline, and what its growth is counted from.

    `unmeasured` says why a run has no profile. `today` is the date (ISO) by which limits that end are judged.
    """

    profiles: Mapping[str, Profile]
    baselines: Mapping[str, Profile | ArchauditError]
    reference: Mapping[str, Profile]
    unmeasured: Mapping[str, ArchauditError] = {}
    today: str | None = None

    def find_profile(self, model: str, scenario: str | None = None) -> Profile:
        """The profile of a model with an input scenario. Raises ValueError where it was not measured."""
        for name in (name_run(model, scenario), model):  # a comparison measures one scenario, under the model's own name
            if name in self.profiles:
                return self.profiles[name]
            if name in self.unmeasured:
                raise ValueError(_tell(self.unmeasured[name]))
        known = ", ".join(sorted(filter(None, self.profiles))) or "none"
        raise ValueError(f"no model {name_run(model, scenario)!r} was measured; measured were: {known}")

    def find_other(self, check: Check) -> Profile:
        """What a check compares with: another model, or the baseline. Raises ValueError with what to do where that is missing."""
        if check.against is not None and check.against != "baseline":
            return self.find_profile(check.against, check.scenario)
        baseline = self.baselines.get(check.run)
        if isinstance(baseline, ArchauditError):
            raise ValueError(_tell(baseline))
        if baseline is None:
            name = check.model or self.profiles[check.model].name
            raise ValueError(f"{name_run(name, check.scenario)} has no baseline yet: `archaudit baseline {name}` writes it")
        return baseline

    def find_reference(self, check: Check) -> Profile | None:
        """What the growth of a check's model is counted from, if anything."""
        if check.against is not None:
            return self.find_other(check)
        return self.reference.get(check.run) or self.reference.get(check.model)


def _tell(error: ArchauditError) -> str:
    """An error as a reason: one line."""
    return ". ".join(" ".join(part.split()).rstrip(".") for part in (error.message, error.hint) if part)


def resolve_scope(check: Check, profile: Profile, scope: tuple[str, ...] | None = None, name: str = "") -> tuple[str, ...]:
    """The patterns over the profile's paths that a check is about; those of types are the modules of that type within the scope.

    `name` is what messages call the profile. Raises ValueError for a pattern that matches no module, and for a type that none is of.
    """
    patterns, name = check.scope if scope is None else scope, name or profile.name
    for pattern in patterns:  # each by itself: a pattern that matches nothing may not hide behind one that does
        if not select_modules(profile, (pattern,)):
            near = nearest_paths(profile, pattern)
            raise ValueError(f"no module of {name} matches {pattern!r}" + (f"; the nearest are {', '.join(near)}" if near else ""))
    if not check.types:
        return patterns
    modules = select_modules(profile, patterns)
    paths = [module.path for module in modules if any(fnmatchcase(module.type, pattern) for pattern in check.types)]
    for pattern in check.types:
        if not any(fnmatchcase(module.type, pattern) for module in modules):
            known = list(dict.fromkeys(module.type for module in modules))
            more = ", ..." if len(known) > _NAMED_TYPES else ""
            raise ValueError(f"no module of {name} there is a {pattern!r}; types are {', '.join(known[:_NAMED_TYPES])}{more}")
    # `*` in a module's own name is no pattern; `?` stands for it, as for any one character
    return tuple(path.replace("*", "?") for path in paths)


def measure(profile: Profile, metric: Metric, scope: tuple[str, ...], name: str) -> float:
    """The metric over a scope. Raises ValueError with the reason where it cannot be told."""
    if metric.of_scope is not None:
        return metric.of_scope(profile, scope)
    measured = measure_scope(profile, metric, scope)
    if measured.value is None:
        raise ValueError(measured.reason if name == profile.name else f"{name}: {measured.reason}")
    return measured.value


def describe_inputs(profile: Profile) -> str:
    """`1x3x512x512`, or `int64[1x128]`. Without names: an argument may be renamed, which costs nothing."""
    shapes = [("x".join(map(str, record.shape)), record.dtype) for record in profile.inputs]
    return ", ".join(shape if shape and dtype == "float32" else f"{dtype}[{shape}]" for shape, dtype in shapes) or "none"
