"""Tables with a row for each model: both sides of a comparison, one profile, or the variants of a sweep; with columns from a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from archaudit.metrics.catalog import METRICS, Metric
from archaudit.render.exports.extra import Extra, Subject, join_extra
from archaudit.render.exports.metric_fields import Number, Read, make_complete_field, make_metric_field
from archaudit.render.exports.tables import Cell, Field, Table, choose_columns, make_flag, make_number, read_text
from archaudit.render.formatting import make_visible
from archaudit.render.view.latency_section import find_median
from archaudit.render.view.plots import read_value
from archaudit.render.view.summary import describe_inputs, name_comparison, name_profile, read_total
from archaudit.render.view.sweeps import name_sweep
from archaudit.schema import Profile, Report, Sweep, Variant

_FIGURES = ("params", "macs", "flops", "peak_activation_bytes")


class Model(NamedTuple):
    """A row. `names` are those by which a file may call the model, the first is shown; `latency_s` is None if it was not measured."""

    names: tuple[str, ...]
    source: Profile | Variant
    input: str
    choices: Mapping[str, str]
    latency_s: float | None = None
    best: bool = False
    error: str = ""


class Models(NamedTuple):
    """The rows under a title. `is_sweep` adds the columns of a sweep."""

    title: str
    rows: tuple[Model, ...]
    is_sweep: bool = False


def describe_report_models(report: Report) -> Models:
    """Both models of a comparison, which a file may also call before and after."""
    sides = (("before", report.before), ("after", report.after))
    return Models(title=name_comparison(*(each for _, each in sides)), rows=tuple(_describe(profile, side) for side, profile in sides))


def describe_profile_models(profile: Profile) -> Models:
    """The one model of a profile."""
    return Models(title=name_profile(profile), rows=(_describe(profile),))


def describe_sweep_models(sweep: Sweep) -> Models:
    """The variants of a sweep."""
    rows = (
        Model(
            names=_list_names(variant.reference),
            source=variant,
            input=variant.input,
            choices=variant.choices,
            best=variant.pareto,
            error=variant.error or "",
        )
        for variant in sweep.variants
    )
    return Models(title=name_sweep(sweep), rows=tuple(rows), is_sweep=True)


def _describe(profile: Profile, *more: str) -> Model:
    names = (*_list_names(profile.name), *_list_names(profile.reference), *more)
    return Model(
        names=tuple(dict.fromkeys(filter(None, names))),
        source=profile,
        input=", ".join(describe_inputs(profile)),
        choices={},
        latency_s=find_median(profile.latency),
    )


def _list_names(reference: str) -> tuple[str, ...]:
    """`torchvision:resnet50`, and `resnet50`."""
    return tuple(dict.fromkeys((reference, reference.rpartition(":")[2])))


def _read(model: Model, metric: Metric) -> Number:
    value = read_total(model.source, metric) if isinstance(model.source, Profile) else read_value(model.source, metric.name)
    return Number(value, metric.is_complete(model.source))


def tabulate_models(models: Models, names: Sequence[str], extra: Extra | None) -> tuple[Table, list[str]]:
    """The table of models, with the columns of `extra` at its end, and sentences on what of these matched nothing."""
    rows = models.rows
    fields = [*_list_fields(models, _read)]
    added: list[Field] = []
    notes: list[str] = []
    if extra is not None:
        subjects = [Subject(model.names, {**model.choices, "input": model.input}) for model in rows]
        joined, notes = join_extra(extra, subjects, [field.name for field in fields])
        places = {id(model): place for place, model in enumerate(rows)}
        added = [field._replace(read=_read_by_place(field, places)) for field in joined]
    whole = all(_read(model, METRICS[name]).complete for model in rows for name in _FIGURES)
    default = ["model", *(name for name in _list_choices(models) if name)]
    default += ["input"] if models.is_sweep or len({model.input for model in rows}) > 1 else []
    default += [*_FIGURES, *(["complete"] if not whole else []), *(["pareto"] if models.is_sweep else [])]
    default += ["error"] if any(model.error for model in rows) else []
    columns = choose_columns([*fields, *added], rows, names, [*default, *(field.name for field in added)])
    return Table(title=models.title, columns=columns, notes=("FLOPs = 2 × MACs.",)), notes


def _list_choices(models: Models) -> list[str]:
    return list(dict.fromkeys(name for model in models.rows for name in model.choices))


def _list_fields(models: Models, read: Read) -> list[Field]:
    # a count of one kind of parameters is a column where a model has it; the others always, so that scripts find them
    metrics = [
        metric
        for metric in METRICS.values()
        if metric.of_scope is None or any(read(model, metric).value is not None for model in models.rows)
    ]
    fields = [
        read_text("model", "Model", lambda model: make_visible(model.names[0])),
        *map(_make_choice_field, _list_choices(models)),
        read_text("input", "Input", lambda model: make_visible(model.input)),
        *(make_metric_field(metric, read) for metric in metrics),
        make_complete_field(read),
    ]
    if models.is_sweep:
        fields.append(Field("pareto", "Pareto front", lambda model: make_flag(model.best)))
        fields.append(read_text("error", "Error", lambda model: make_visible(model.error)))
    else:
        fields.append(Field("latency_ms", "Latency, ms", _read_latency, right=True))
    return fields


def _make_choice_field(name: str) -> Field:
    return read_text(name, make_visible(name), lambda model: make_visible(model.choices.get(name, "")))


def _read_by_place(field: Field, places: dict[int, int]) -> Callable[[Model], Cell]:
    return lambda model: field.read(places[id(model)])


def _read_latency(model: Model) -> Cell:
    return make_number(None if model.latency_s is None else float(f"{model.latency_s * 1e3:.6g}"))
