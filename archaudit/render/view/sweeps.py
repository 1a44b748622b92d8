"""A sweep as a table of its variants and a plot of two metrics with the Pareto front."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_short
from archaudit.render.formatting import make_visible
from archaudit.render.view.figures import make_figure
from archaudit.render.view.plots import LEFT, WIDTH, Column, Plot, Point, StudyView, name_points, place_values, read_value
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
    missing = f"; {failed:,} could not be measured" if failed else ""
    return StudyView(
        title=name_sweep(sweep),
        sentence=f"{len(variants):,} variants{missing}; * marks the Pareto front: no other variant is better in both {first} and {second}.",
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
    has_inputs = len({each.input for each in variants}) > 1

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
    return f"{format_short(value, METRICS[metric].unit)} {METRICS[metric].label}"


def _variant_column(variants: Sequence[Variant], metric: str, rank: int = 0) -> Column:
    known = METRICS[metric]
    figures = [make_figure(read_value(each, metric), known.unit, complete=known.is_complete(each)).short for each in variants]
    label = {"params": "params", "peak_activation_bytes": "peak bytes"}.get(metric, known.label)
    return Column(heading=label, cells=tuple(figures), right=True, rank=rank)


def _plot_variants(sweep: Sweep) -> tuple[Plot, ...]:
    across, up = sweep.metrics
    kept = [
        (each, x, y) for each in sweep.variants if (x := read_value(each, across)) is not None and (y := read_value(each, up)) is not None
    ]
    if len(kept) < 2:
        return ()
    largest = max(x for _, x, _ in kept) or 1
    heights, ticks = place_values([y for _, _, y in kept], METRICS[up].unit)
    name_variant = _make_namer(sweep.variants)
    points = tuple(
        Point(
            x=round(LEFT + WIDTH * x / largest, 1),
            y=height,
            label=f"{_describe(each)}: {_write(x, across)}, {_write(y, up)}",
            marked=each.pareto,
            name=name_variant(each),
        )
        for (each, x, y), height in zip(kept, heights, strict=True)
    )
    front = sorted((point for point in points if point.marked), key=lambda point: point.x)
    return (
        Plot(
            label=f"{METRICS[up].label} over {METRICS[across].label}",
            alt=f"{len(kept)} variants, {len(front)} of them on the Pareto front",
            points=name_points(points),
            across=METRICS[across].label,
            up=METRICS[up].label,
            line=" ".join(f"{point.x},{point.y}" for point in front),
            y_ticks=ticks,
            x_ticks=((float(LEFT), "0"), (float(LEFT + WIDTH), format_short(largest, METRICS[across].unit))),
        ),
    )
