"""The view of the formulas of one or two models: a table of expressions, and a plot of each over one size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archaudit.metrics.catalog import METRICS
from archaudit.metrics.quantities import format_short
from archaudit.render.formatting import make_visible
from archaudit.render.formula_texts import describe_difference, describe_law, describe_range, label_quantity, write_expression
from archaudit.render.view.axes import make_axis
from archaudit.render.view.plots import Column, Line, Plot, Point, StudyView, place_across, place_up
from archaudit.scaling.expressions import compile_text, evaluate_code
from archaudit.schema import ScalingLaws

# Points of a plot: enough for a curve that looks smooth.
_POINTS = 33
# The quantities that are drawn; FLOPs are twice the MACs.
_DRAWN = ("macs", "activation_bytes", "peak_activation_bytes", "saved_bytes", "kv_bytes")
# Sizes whose growth matters most are drawn first.
_PREFERRED = ("T", "L", "H", "W", "T_dec", "B")


def view_formulas(laws: Sequence[ScalingLaws], variable: str | None = None) -> StudyView:
    """The formulas of one model, or of before and after with their difference; plotted over `variable`."""
    rows = list(_list_rows(laws))
    return StudyView(
        title=f"Formulas of {' and '.join(make_visible(each.name) for each in laws)}",
        sentence="Costs in the sizes of the input, exact in the range below.",
        columns=(
            Column(heading="Quantity", cells=tuple(name for name, _ in rows)),
            Column(heading="Formula", cells=tuple(text for _, text in rows)),
        ),
        plots=tuple(plot for each in laws for plot in _plot_all(each, variable, many=len(laws) > 1)),
        notes=tuple(f"{make_visible(each.name)}: {line}" for each in laws for line in describe_range(each)),
    )


def choose_variable(laws: ScalingLaws) -> str:
    """The size that a plot is over, if the user names none."""
    names = [variable.name for variable in laws.variables]
    return next((name for name in _PREFERRED if name in names), names[0])


def _list_rows(laws: Sequence[ScalingLaws]) -> Iterator[tuple[str, str]]:
    for each in laws:
        prefix = f"{make_visible(each.name)}: " if len(laws) > 1 else ""
        for name, law in each.laws.items():
            yield f"{prefix}{label_quantity(name)}", describe_law(law)
            yield from ((f"{prefix}piece", f"{write_expression(text)}, at {make_visible(path) or '(root)'}") for text, path in law.pieces)
    if len(laws) == 2:
        yield from (("difference", line) for line in describe_difference(laws[0], laws[1]))


def _plot_all(laws: ScalingLaws, variable: str | None, *, many: bool) -> Iterator[Plot]:
    over = variable or choose_variable(laws)
    known = {each.name: each for each in laws.variables}
    if over not in known:
        return
    sizes = {each.name: each.base for each in laws.variables}
    step, last = known[over].step, max(2 * known[over].base, known[over].high)
    count = max(1, last // step // _POINTS)
    row = [known[over].base % step + step * number for number in range(count, last // step + 1, count)]
    for name in _DRAWN:
        law = laws.laws.get(name)
        if law is None or law.expression is None or len(row) < 2:
            continue
        code, unit = compile_text(law.expression), METRICS[name].unit if name in METRICS else "bytes"
        values = [evaluate_code(code, {**sizes, over: size}) for size in row]
        x_axis, y_axis = make_axis([0, *row]), make_axis([0, *values], unit)
        places = [(place_across(x_axis, size), place_up(y_axis, value)) for size, value in zip(row, values, strict=True)]
        fixed = ", ".join(f"{each}={size}" for each, size in sizes.items() if each != over)
        yield Plot(
            label=f"{f'{make_visible(laws.name)}: ' if many else ''}{label_quantity(name)} over {over}{f' ({fixed})' if fixed else ''}",
            alt=f"{label_quantity(name)} from {over}={row[0]} to {over}={row[-1]}",
            points=tuple(
                Point(x=x, y=y, label=f"{over}={size}: {format_short(value, unit)}")
                for (x, y), size, value in zip(places, row, values, strict=True)
            ),
            lines=(Line(places=tuple(places)),),
            across=over,
            up=label_quantity(name),
            y_ticks=y_axis.ticks,
            x_ticks=x_axis.ticks,
        )
