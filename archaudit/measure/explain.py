"""One module's count, operator by operator, so that a doubter can redo it by hand."""

from __future__ import annotations

import difflib

from archaudit.errors import MeasureError
from archaudit.measure.fallbacks import climb
from archaudit.measure.formulas import explain
from archaudit.measure.process_state import unchanged_globals
from archaudit.measure.tape import Tape, TapeEntry
from archaudit.schema import Explanation, OperatorRun, Recipe


def explain_recipe(recipe: Recipe, path: str) -> Explanation:
    """Every operator that the module at `path`, or one below it, ran in one forward pass; counted ones with shapes and formula.

    Raises MeasureError for a path that the model does not have, naming the nearest; and what building and running raise.
    """
    with unchanged_globals():
        tape = climb(recipe).tape
    paths = tape.tree.paths
    if path not in paths:
        near = difflib.get_close_matches(path, paths, n=3, cutoff=0.4)
        raise MeasureError(f"{recipe.reference} has no module {path!r}", f"Did you mean {' or '.join(near)}?" if near else None)
    root = paths.index(path)
    runs = [_describe(entry, paths) for entry in tape.entries if _is_below(entry.module, root, tape)]
    module = tape.tree.modules[root]
    return Explanation(
        name=recipe.name,
        path=path,
        type=type(module).__name__,
        macs=sum(run.macs for run in runs),
        flops_complete=all(run.status != "unknown" for run in runs),
        operators=tuple(runs),
    )


def _is_below(position: int, root: int, tape: Tape) -> bool:
    while position > root:
        position = tape.tree.parents[position]
    return position == root


def _describe(entry: TapeEntry, paths: tuple[str, ...]) -> OperatorRun:
    return OperatorRun(
        operator=entry.operator,
        module=paths[entry.module],
        status=entry.work.status,
        inputs=entry.inputs,
        outputs=entry.outputs,
        formula=explain(entry.work),
        macs=entry.work.macs if entry.work.status == "counted" else 0,
        note=entry.work.note,
    )
