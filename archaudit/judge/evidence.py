"""What checks are judged by, and the numbers in it: which profile, which modules, how much."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from archaudit.errors import ArchauditError, CannotJudge
from archaudit.metrics.catalog import Metric, measure_scope
from archaudit.metrics.selection import find_incomplete, find_nearest_paths, select_modules
from archaudit.schema import Check, Profile, Quantity, Record, name_run
from archaudit.schema.record import join_repeated

# Types in a message: as many as fit on a line.
_NAMED_TYPES = 6


class Evidence(Record, frozen=True, kw_only=True):
    """What checks are judged by, each keyed by a run's name: its profile, its baseline, and the profile that its growth is counted from.

    `unmeasured` has the error of each run without a profile. `today` is the date (ISO) for limits with a last day. With `strict`, a figure
    that depends on an assumption is not judged.
    """

    profiles: Mapping[str, Profile]
    baselines: Mapping[str, Profile | ArchauditError]
    earlier: Mapping[str, Profile]
    unmeasured: Mapping[str, ArchauditError] = {}
    today: str | None = None
    strict: bool = False

    def find_profile(self, model: str, scenario: str | None = None) -> Profile:
        """The profile of a model with an input scenario. Raises CannotJudge if it was not measured."""
        for name in (name_run(model, scenario), model):  # `compare` measures one scenario, under the model's own name
            if name in self.profiles:
                return self.profiles[name]
            if name in self.unmeasured:
                raise CannotJudge(_format_error(self.unmeasured[name]))
        known = ", ".join(sorted(filter(None, self.profiles))) or "none"
        raise CannotJudge(f"no model {name_run(model, scenario)!r} was measured; measured were: {known}")

    def find_other(self, check: Check) -> Profile:
        """The other side of a comparison: another model, or the baseline. Raises CannotJudge, with what to do, if it is missing."""
        if check.against is not None and check.against != "baseline":
            return self.find_profile(check.against, check.scenario)
        baseline = self.baselines.get(check.run)
        if isinstance(baseline, ArchauditError):
            raise CannotJudge(_format_error(baseline))
        if baseline is None:
            name = check.model or self.profiles[check.model].name
            raise CannotJudge(f"{name_run(name, check.scenario)} has no baseline yet: `archaudit baseline {name}` writes it")
        return baseline

    def refuse_other_model(self, check: Check, baseline: Profile) -> None:
        """Raises CannotJudge if the check compares with a baseline, and that is of another model."""
        profile = self.find_profile(check.model, check.scenario)
        if check.against == "baseline" and is_of_other_model(baseline, profile):
            raise CannotJudge(
                f"the baseline is of another model: {_describe_model(baseline)}, but this is {_describe_model(profile)}; "
                f"`archaudit baseline {check.model or profile.name}` replaces it"
            )

    def find_earlier(self, check: Check, metric: Metric) -> Profile | None:
        """The profile that the growth of the check's model is counted from, if there is one; it has the same inputs where they matter."""
        if check.against is not None:
            return self.find_other(check)
        earlier = self.earlier.get(check.run) or self.earlier.get(check.model)
        profile = self.find_profile(check.model, check.scenario)
        if earlier is None or (metric.depends_on_inputs and describe_inputs(earlier) != describe_inputs(profile)):
            return None
        return earlier


# Two models of different classes, or under different names, are versions of one model if at least this share of their paths is the same.
_SAME_MODEL = 0.5


def is_of_other_model(baseline: Profile, profile: Profile) -> bool:
    """Whether a baseline is of another model: most of its paths differ, and so does its class, or its name and reference."""
    paths, others = ({module.path for module in each.modules if module.path} for each in (baseline, profile))
    if len(paths & others) >= _SAME_MODEL * len(paths | others):
        return False
    is_named_otherwise = all(
        _read_base(one) != _read_base(other) for one, other in ((baseline.name, profile.name), (baseline.reference, profile.reference))
    )
    return baseline.modules[0].type != profile.modules[0].type or is_named_otherwise


def _read_base(reference: str) -> str:
    """A reference without folders, revision and arguments: a model's code may be in another folder on another machine."""
    return re.split(r"[@(]", reference, maxsplit=1)[0].replace("\\", "/").rpartition("/")[2]


def _describe_model(profile: Profile) -> str:
    return f"{profile.modules[0].type} ({profile.reference})"


def describe_assumptions(profile: Profile, metric: Metric, scope: tuple[str, ...]) -> tuple[str, ...]:
    """What a figure depends on besides the architecture: assumptions of the measurement that decide costs, and those of the metric."""
    measured = profile.ledger.deciding if metric.depends_on_inputs else ()
    return measured + (metric.list_assumptions(profile, scope) if metric.list_assumptions is not None else ())


def _format_error(error: ArchauditError) -> str:
    """An error on one line."""
    return ". ".join(" ".join(part.split()).rstrip(".") for part in (error.message, error.hint) if part)


def require_figure(check: Check) -> Quantity:
    """The number that a check expects. Raises CannotJudge if its text is not a number."""
    if check.figure is None:
        raise CannotJudge(f"{check.expected!r} is not a number")
    return check.figure


def resolve_scope(check: Check, profile: Profile, scope: tuple[str, ...] | None = None, name: str = "") -> tuple[str, ...]:
    """The patterns over the profile's paths that a check is about; with `types`, the paths of the scope's modules of these types.

    `name` is what messages call the profile. Raises CannotJudge for a pattern that matches no module, and for a type without modules.
    """
    patterns, name = check.scope if scope is None else scope, name or profile.name
    for pattern in patterns:  # one by one: a pattern that matches nothing is an error even if another one matches
        if not select_modules(profile, (pattern,)):
            near = find_nearest_paths(profile, pattern)
            raise CannotJudge(f"no module of {name} matches {pattern!r}" + (f"; the nearest are {', '.join(near)}" if near else ""))
    if not check.types:
        return patterns
    modules = select_modules(profile, patterns)
    paths = [module.path for module in modules if any(fnmatchcase(module.type, pattern) for pattern in check.types)]
    for pattern in check.types:
        if not any(fnmatchcase(module.type, pattern) for module in modules):
            known = list(dict.fromkeys(module.type for module in modules))
            more = ", ..." if len(known) > _NAMED_TYPES else ""
            raise CannotJudge(f"no module of {name} in this scope is a {pattern!r}; types are {', '.join(known[:_NAMED_TYPES])}{more}")
    # the result is patterns again, and a module's own name may hold a `*`: `?` matches that one character
    return tuple(path.replace("*", "?") for path in paths)


def measure(profile: Profile, metric: Metric, scope: tuple[str, ...], name: str) -> float:
    """The metric over a scope. Raises CannotJudge, with the reason, where it is not known."""
    if metric.of_scope is not None:
        if incomplete := find_incomplete(profile, scope, metric.completeness):
            raise CannotJudge(incomplete)
        return metric.of_scope(profile, scope)
    measured = measure_scope(profile, metric, scope)
    if measured.value is None:
        raise CannotJudge(measured.reason if name == profile.name else f"{name}: {measured.reason}")
    return measured.value


def describe_inputs(profile: Profile) -> str:
    """`1x3x512x512`, or `int64[1x128]`. Without argument names: a renamed argument changes no cost."""
    shapes = [("x".join(map(str, record.shape)), record.dtype) for record in profile.inputs]
    return join_repeated(shape if shape and dtype == "float32" else f"{dtype}[{shape}]" for shape, dtype in shapes) or "none"
