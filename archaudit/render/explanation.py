"""How a module's MACs come about, as text: each operator with its shapes and its formula, zeros gathered by kind."""

from __future__ import annotations

from collections import Counter

from archaudit.metrics.quantities import format_exact
from archaudit.render.formatting import format_shape, make_visible
from archaudit.schema import Explanation, OperatorRun


def render_explanation(explanation: Explanation) -> str:
    """Lines of plain text: what was counted, in order, then unknown operators, then what is zero by convention."""
    title = f"{make_visible(explanation.path) or '(root)'} ({make_visible(explanation.type)}) of {make_visible(explanation.name)}"
    least = "" if explanation.flops_complete else "at least "
    total = f"{least}{format_exact(explanation.macs)} MACs = {format_exact(2 * explanation.macs)} FLOPs"
    lines = [f"{title}: {total}", ""]
    counted = [run for run in explanation.operators if run.status == "counted"]
    for run in counted:
        lines += _write_run(run, explanation.path)
    if not counted:
        lines.append("No operator in this module counts MACs.")
    unknown = [run for run in explanation.operators if run.status == "unknown"]
    if unknown:
        lines += ["", "Without a formula, so the count is incomplete:"]
        for run in unknown:
            lines += _write_run(run, explanation.path)
    zeros = Counter((run.operator, run.note or "") for run in explanation.operators if run.status == "zero")
    if zeros:
        written = [f"{make_visible(name)} x{count}{f' ({note})' if note else ''}" for (name, note), count in sorted(zeros.items())]
        lines += ["", "Counted as zero by convention (the bytes that they move are counted): " + ", ".join(written)]
    return "\n".join(lines)


def _write_run(run: OperatorRun, path: str) -> list[str]:
    where = f" in {make_visible(run.module)}" if run.module != path else ""
    shapes = ", ".join(format_shape(shape) for shape in run.inputs)
    results = ", ".join(format_shape(shape) for shape in run.outputs)
    note = f"  ({make_visible(run.note)})" if run.note and run.status == "counted" else ""
    return [f"{make_visible(run.operator)}{where}: {shapes} -> {results}", f"    {make_visible(run.formula)}{note}"]
