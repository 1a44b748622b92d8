"""measure_recipe: from a recipe to a Profile."""

from __future__ import annotations

import msgspec
import torch

from archaudit.measure.assemble import assemble_ledger, assemble_modules
from archaudit.measure.building import describe_inputs
from archaudit.measure.fallbacks import Run, climb
from archaudit.measure.formulas import load_plugins
from archaudit.measure.process_state import collector_at_rest, read_environment, unchanged_globals
from archaudit.measure.saved_bytes import measure_saved_bytes
from archaudit.measure.structure.params import read_holdings
from archaudit.measure.symbolic_shapes import resolve_shapes
from archaudit.measure.uncounted import tell_uncounted
from archaudit.measure.witnesses import consult_witnesses
from archaudit.schema import ModuleRecord, Peaks, Profile, Provenance, Recipe, Witness


def measure_recipe(recipe: Recipe, *, witnesses: bool = True, symbolic: bool = False) -> Profile:
    """Builds and runs the recipe's model, without real arithmetic where that is possible, and returns its profile.

    `witnesses` says whether torchinfo and fvcore are asked too, `symbolic` whether shapes are to be told in terms of the input, which takes
    two further runs. Raises LoadError, InputError or MeasureError when the model cannot be built or run. The process is left as it was.
    """
    load_plugins()
    with unchanged_globals(), collector_at_rest():
        run = climb(recipe)
        profile = describe_run(recipe, run, _ask_witnesses(run) if witnesses else {})
        return _tell_shapes(profile, run) if symbolic else profile


def describe_run(recipe: Recipe, run: Run, witnesses: dict[str, Witness]) -> Profile:
    """The profile of a model that ran."""
    holdings, ties = read_holdings(run.tree, run.tape.used_storages)
    modules = assemble_modules(run.tape, holdings)
    if not run.complete:
        modules = _mark_incomplete(modules)
    saved_bytes, refusal = measure_saved_bytes(run)
    uncounted = tell_uncounted(run.tree, run.tape)
    assumptions = (*recipe.assumptions, *run.assumptions, *_tell_rung(run), *((refusal,) if refusal else ()), *uncounted)
    return Profile(
        name=recipe.name,
        reference=recipe.reference,
        inputs=describe_inputs(run.args, run.kwargs),
        totals=modules[0].total,
        peaks=Peaks(activation_bytes=run.tape.peak_activation_bytes, saved_bytes=saved_bytes),
        flops_complete=modules[0].flops_complete,
        modules=modules,
        ledger=assemble_ledger(run.tape, assumptions),
        ties=ties,
        witnesses=witnesses,
        flow=run.tape.flow.to_records(run.tree.paths),
        provenance=Provenance(environment=read_environment(), rung=run.rung, rungs_failed=run.failures, sources=recipe.sources),
    )


def _tell_shapes(profile: Profile, run: Run) -> Profile:
    """The profile with shapes in terms of the input, as far as they are known."""
    flow, assumption = resolve_shapes(run, profile.flow)
    ledger = profile.ledger
    if assumption is not None:
        ledger = msgspec.structs.replace(ledger, assumptions=(*ledger.assumptions, assumption))
    return msgspec.structs.replace(profile, flow=flow, ledger=ledger)


def _tell_rung(run: Run) -> tuple[str, ...]:
    if run.rung == "real":
        return ("it could not be run without values, so it was run for real: the numbers hold for this input and these random weights",)
    return ()


def _mark_incomplete(modules: tuple[ModuleRecord, ...]) -> tuple[ModuleRecord, ...]:
    """A model whose branches cost differently has no complete FLOPs anywhere: which branch is taken is not known."""
    return tuple(msgspec.structs.replace(module, flops_complete=False) for module in modules)


def _ask_witnesses(run: Run) -> dict[str, Witness]:
    names = {id(module): path for module, path in zip(run.tree.modules, run.tree.paths, strict=True)}
    with run.context(), torch.no_grad():
        return consult_witnesses(run.model, run.args, run.kwargs, names, boolean_answer=True if run.rung == "answered" else None)
