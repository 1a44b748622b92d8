"""A sweep as a table of its variants and a plot of two metrics with the Pareto front."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_exact
from archaudit.render.formatting import make_visible
from archaudit.render.view.axes import make_axis
from archaudit.render.view.figures import make_figure
from archaudit.render.view.plots import (
    END_ROOM,
    Column,
    Line,
    Plot,
    Point,
    StudyView,
    name_points,
    place_across,
    place_up,
    read_value,
    title_axis,
)
from archaudit.schema import Sweep, Variant

_LONGEST_NAME = 40  # letters of a variant's name in the plot


def view_sweep(sweep: Sweep) -> StudyView:
    """The view of a sweep: one row per variant, those on the Pareto front marked."""
    variants = sweep.variants
    choices = _list_choices(variants)
    several = len({variant.reference for variant in variants}) > 1
    columns = [
        Column(heading="best", cells=tuple("*" if variant.pareto else "" for variant in variants)),
        *([Column(heading="model", cells=tuple(make_visible(each.reference) for each in variants), least=14)] if several else []),
        *(Column(heading=name, cells=tuple(make_visible(each.choices.get(name, "")) for each in variants)) for name in choices),
        Column(heading="input", cells=tuple(make_visible(each.input) for each in variants), least=10),
        *(_variant_column(variants, metric) for metric in dict.fromkeys((*sweep.metrics, "params", "flops"))),
        _variant_column(variants, "peak_activation_bytes", rank=1),
    ]
    first, second = (METRICS[name].label for name in sweep.metrics)
    failed = sum(variant.error is not None for variant in variants)
    same = " on the same input" if len({variant.input for variant in variants}) > 1 else ""
    missing = f"; {failed:,} could not be measured" if failed else ""
    rule = f"no other variant{same} is better in both {first} and {second}"
    return StudyView(
        title=name_sweep(sweep),
        sentence=f"{len(variants):,} variants{missing}; * marks the Pareto front: {rule}.",
        columns=tuple(columns),
        details=dict(_list_errors(variants)),
        plots=_plot_variants(sweep),
        notes=("FLOPs = 2 × MACs. Bytes use powers of 1024.",),
    )


def name_sweep(sweep: Sweep) -> str:
    """`net.py:Net: sweep`."""
    references = {variant.reference for variant in sweep.variants}
    return f"{make_visible(references.pop()) if len(references) == 1 else 'several models'}: sweep"


def _list_errors(variants: Sequence[Variant]) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The errors by the position of the row; an error that is the same for the next rows is listed once."""
    place = 0
    for error, run in itertools.groupby(variants, key=lambda each: each.error):
        count = len(list(run))
        if error is not None:
            below = {1: "", 2: " (same error for the next row)"}.get(count, f" (same error for the next {count - 1:,} rows)")
            yield place, (f"{make_visible(error)}{below}",)
        place += count


def _list_choices(variants: Sequence[Variant]) -> list[str]:
    return list(dict.fromkeys(name for variant in variants for name in variant.choices))


def _describe(variant: Variant) -> str:
    return make_visible(" ".join((variant.reference, *(f"{name}={text}" for name, text in variant.choices.items()), variant.input)))


def _make_namer(variants: Sequence[Variant]) -> Callable[[Variant], str]:
    """Makes a function that names a variant by the choices that differ between the variants."""
    varied = [name for name in _list_choices(variants) if len({each.choices.get(name) for each in variants}) > 1]
    references = {each.reference for each in variants}
    shared = _share_source(references)
    has_inputs = len({each.input for each in variants}) > 1 and not (varied or len(references) > 1)  # the series says it otherwise

    def name(variant: Variant) -> str:
        parts = [f"{each}={variant.choices[each]}" for each in varied if each in variant.choices]
        label = make_visible(" ".join(([variant.reference[shared:]] if len(references) > 1 else []) + parts + [variant.input] * has_inputs))
        return label if len(label) <= _LONGEST_NAME else f"{label[: _LONGEST_NAME - 1]}…"

    return name


def _share_source(references: Iterable[str]) -> int:
    """The length of the library or file name that all references begin with."""
    sources = {reference.partition(":")[0] for reference in references if ":" in reference}
    return len(sources.pop()) + 1 if len(sources) == 1 and all(":" in reference for reference in references) else 0


def _write(value: int, metric: str) -> str:
    """The exact number with its metric: `3,504,872 Parameters`."""
    label = METRICS[metric].label
    unit = " bytes" if METRICS[metric].unit == "bytes" and "ytes" not in label else ""
    return f"{format_exact(value)}{unit} {label}"


def _variant_column(variants: Sequence[Variant], metric: str, rank: int = 0) -> Column:
    known = METRICS[metric]
    figures = [make_figure(read_value(each, metric), known.unit, complete=known.is_complete(each)).short for each in variants]
    label = {"params": "params", "peak_activation_bytes": "peak bytes"}.get(metric, known.label)
    return Column(heading=label, cells=tuple(figures), right=True, rank=rank)


def _plot_variants(sweep: Sweep) -> tuple[Plot, ...]:
    """The plot of the two metrics.

    The variants of each input are a series with a front of its own: costs on different inputs do not compare.
    """
    across, up = sweep.metrics
    kept = [
        (each, x, y) for each in sweep.variants if (x := read_value(each, across)) is not None and (y := read_value(each, up)) is not None
    ]
    if len(kept) < 2:
        return ()
    inputs = list(dict.fromkeys(each.input for each, _, _ in kept))
    x_axis = make_axis((x for _, x, _ in kept), METRICS[across].unit, may_be_log=True, room=END_ROOM)
    y_axis = make_axis((y for _, _, y in kept), METRICS[up].unit, may_be_log=True, room=END_ROOM)
    name_variant = _make_namer(sweep.variants)
    points = tuple(
        Point(
            x=place_across(x_axis, x),
            y=place_up(y_axis, y),
            label=f"{_describe(each)}: {_write(x, across)}, {_write(y, up)}{', on the Pareto front' if each.pareto else ''}",
            marked=each.pareto,
            name=name_variant(each),
            series=inputs.index(each.input),
        )
        for each, x, y in kept
    )
    fronts = [sorted((each.x, each.y) for each in points if each.marked and each.series == place) for place in range(len(inputs))]
    return (
        Plot(
            label=f"{METRICS[up].label} over {METRICS[across].label}",
            alt=f"{len(kept)} variants, {sum(map(len, fronts))} of them on the Pareto front{' of their input' if len(inputs) > 1 else ''}",
            points=name_points(points),
            across=title_axis(METRICS[across].label, x_axis),
            up=title_axis(METRICS[up].label, y_axis),
            lines=tuple(Line(places=tuple(front), series=place) for place, front in enumerate(fronts) if len(front) > 1),
            y_ticks=y_axis.ticks,
            x_ticks=x_axis.ticks,
            series=tuple(f"input {make_visible(each)}" for each in inputs) if len(inputs) > 1 else (),
        ),
    )
