"""The functions of this package that others call: measure a recipe or a live model, and explain the count of one module."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import msgspec
import torch
from torch import nn

from archaudit.errors import MeasureError
from archaudit.measure.assemble import (
    assemble_explanation,
    assemble_ledger,
    assemble_modules,
    count_dead_flops,
    describe_dead_compute,
    describe_script_modules,
    describe_summed_products,
    describe_unregistered_weights,
)
from archaudit.measure.building import describe_inputs
from archaudit.measure.fallbacks import build_with_fallbacks, run_with_fallbacks
from archaudit.measure.formulas import load_plugins
from archaudit.measure.inspection import inspect_run
from archaudit.measure.live_protection import protect_live_model
from archaudit.measure.model_run import Run
from archaudit.measure.module_tree import find_inside_script
from archaudit.measure.other_counters import run_other_counters
from archaudit.measure.process_state import check_counting_methods, paused_gc, read_environment, unchanged_globals
from archaudit.measure.saved_bytes import measure_saved_bytes
from archaudit.measure.symbolic_shapes import resolve_symbolic_shapes
from archaudit.measure.tape import Tape
from archaudit.measure.tensors import read_module_tensors
from archaudit.schema import (
    CounterResult,
    Explanation,
    InputSpec,
    Inspection,
    ModuleRecord,
    Peaks,
    Profile,
    Provenance,
    Recipe,
    TrainingSettings,
)

# Wrappers that hold the whole model in `module` and add communication, which no count includes. They are known by name, because the import
# of torch.distributed is slow.
_UNWRAPPED = ("DistributedDataParallel",)
# A rank of these holds a part of each parameter, so its counts are not those of the model.
_SHARDED = ("FullyShardedDataParallel", "FSDPModule")


def measure_recipe(
    recipe: Recipe,
    *,
    other_counters: bool = True,
    symbolic: bool = False,
    params_only: bool = False,
    with_values: bool = False,
    training: TrainingSettings | None = None,
) -> Profile:
    """Builds and runs the recipe's model, without real arithmetic where possible, and returns its profile.

    `other_counters`: torchinfo and fvcore count the model too. `symbolic`: shapes are given in terms of the input size, which takes two
    further runs. `params_only`: the model is only built; all that needs a run is unknown. `with_values`: it is run for real from the start,
    because a run without values ended the process. `training`: a training step is measured too. Raises LoadError, InputError or
    MeasureError if the model cannot be built or run. Restores the global state of the process.
    """
    load_plugins()
    with unchanged_globals(), paused_gc():
        check_counting_methods()
        if params_only:
            return _profile_parameters(recipe)
        run = run_with_fallbacks(recipe, with_values=with_values)
        check_counting_methods()
        profile = _assemble_profile(recipe, run, _run_other_counters(run) if other_counters else {})
        profile = _add_symbolic_shapes(profile, run) if symbolic else profile
        if training is None:
            return profile
        from archaudit.measure.training import measure_training  # few measurements need it

        return msgspec.structs.replace(profile, training=measure_training(recipe, run, training))


def inspect_recipe(recipe: Recipe) -> tuple[Profile, Inspection]:
    """The profile without other counters, and what the built model shows besides it; the errors are those of `measure_recipe`."""
    load_plugins()
    with unchanged_globals(), paused_gc():
        check_counting_methods()
        run = run_with_fallbacks(recipe)
        check_counting_methods()
        return _assemble_profile(recipe, run, {}), inspect_run(run)


def measure_live(
    model: nn.Module,
    args: Any = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    inputs: tuple[InputSpec, ...] = (),
    other_counters: bool = False,
    device: str = "cpu",
    dtype: str | None = None,
    params_only: bool = False,
    training: TrainingSettings | None = None,
) -> Profile:
    """The profile of a live `model`, run on `args` (one tensor, or a sequence of arguments) and `kwargs`; the model stays unchanged.

    `inputs`, if given, replace `args` and `kwargs`. `device` is the one whose operators are assumed (`cpu` or `cuda`); `dtype`,
    `params_only` and `training` are those of Recipe and of `measure_recipe`. The model is taken out of a DistributedDataParallel wrapper,
    with an assumption in the profile; a sharded model is a MeasureError.
    """
    recipe = _make_live_recipe(model, args, kwargs, inputs=inputs, device=device, dtype=dtype)
    with protect_live_model(recipe.build()):
        return measure_recipe(recipe, other_counters=other_counters, params_only=params_only, training=training)


def inspect_live(
    model: nn.Module, args: Any = (), kwargs: Mapping[str, Any] | None = None, *, inputs: tuple[InputSpec, ...] = ()
) -> tuple[Profile, Inspection]:
    """The profile of a live model, and what it shows besides; see `measure_live`."""
    recipe = _make_live_recipe(model, args, kwargs, inputs=inputs)
    with protect_live_model(recipe.build()):
        return inspect_recipe(recipe)


def _make_live_recipe(
    model: nn.Module,
    args: Any,
    kwargs: Mapping[str, Any] | None,
    *,
    inputs: tuple[InputSpec, ...] = (),
    device: str = "cpu",
    dtype: str | None = None,
) -> Recipe:
    if isinstance(model, type) and issubclass(model, nn.Module):
        raise MeasureError(f"{model.__name__} is a class, not a model", f"Pass an instance: {model.__name__}(...).")
    if not isinstance(model, nn.Module):
        raise MeasureError(f"{type(model).__name__} is no nn.Module", "Pass a model, or a reference as text.")
    model, assumptions = _unwrap(model)
    positional = tuple(args) if isinstance(args, tuple | list) else (args,)
    named = dict(kwargs or {})
    name = type(model).__name__
    return Recipe(
        name=name,
        reference=name,
        inputs=inputs,
        build=lambda: model,
        example_inputs=lambda: (positional, named),
        instance=True,
        assumptions=assumptions,
        device=device,
        dtype=dtype,
    )


def explain_recipe(recipe: Recipe, path: str) -> Explanation:
    """Every operator that the module at `path`, or a module inside it, ran in one forward pass; counted ones with shapes and formula.

    Raises MeasureError for a path that the model does not have, with the nearest paths, and the errors of building and running the model.
    """
    with unchanged_globals():
        tape = run_with_fallbacks(recipe).tape
    paths = tape.tree.paths
    if path not in paths:
        near = difflib.get_close_matches(path, paths, n=3, cutoff=0.4)
        raise MeasureError(f"{recipe.reference} has no module {path!r}", f"Did you mean {' or '.join(near)}?" if near else None)
    return assemble_explanation(recipe.name, tape, paths.index(path))


def _unwrap(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    kinds = {kind.__name__ for kind in type(model).__mro__}
    if kinds & set(_SHARDED):
        raise MeasureError(
            f"{type(model).__name__} holds only this rank's part of each parameter", "Measure the model before it is sharded."
        )
    if kinds & set(_UNWRAPPED) and isinstance(model.module, nn.Module):
        return model.module, (f"the wrapper {type(model).__name__} was removed before the model was measured",)
    return model, ()


# --- the steps of measure_recipe ---


def _run_other_counters(run: Run) -> dict[str, CounterResult]:
    names = {id(module): path for module, path in zip(run.tree.modules, run.tree.paths, strict=True)}
    with run.context(), torch.no_grad():
        assumed = True if run.build_mode == "answered" else None
        known_values = run.shape_cache.known_values
        args, kwargs = run.copy_inputs()
        return run_other_counters(run.model, args, kwargs, names, assumed_boolean=assumed, known_values=known_values)


def _assemble_profile(recipe: Recipe, run: Run, other_counters: dict[str, CounterResult]) -> Profile:
    tensors, ties = read_module_tensors(run.tree, run.tape.used_storages)
    modules = assemble_modules(run.tape, tensors)
    modules, incomplete = _mark_incomplete(run, modules)
    saved_bytes, problem = measure_saved_bytes(run)
    dead_flops = count_dead_flops(run.tape)
    found = (
        *describe_unregistered_weights(run.tree, run.tape),
        *describe_summed_products(run.tree, run.tape),
        *describe_dead_compute(run.tree, dead_flops, modules[0].total.flops),
    )
    assumptions = (
        *recipe.assumptions,
        *_describe_dtype(recipe),
        *run.assumptions,
        *((f"FLOPs are incomplete: {run.incomplete}",) if run.incomplete else ()),
        *describe_script_modules(run.tree),
        *_list_deciding(run),
        *((problem,) if problem else ()),
        *found,
    )
    return Profile(
        name=recipe.name,
        reference=recipe.reference,
        device="cpu" if run.build_mode in ("fake", "real") else recipe.device,
        inputs=describe_inputs(run.args, run.kwargs),
        totals=modules[0].total,
        peaks=Peaks(activation_bytes=run.tape.peak_activation_bytes, saved_bytes=saved_bytes),
        flops_complete=modules[0].flops_complete,
        params_complete=modules[0].params_complete,
        memory_complete=modules[0].memory_complete,
        modules=modules,
        ledger=assemble_ledger(run.tape, assumptions, deciding=_list_deciding(run)),
        ties=ties,
        other_counters=other_counters,
        flow=run.tape.flow.to_records(run.tree.paths),
        programs=tuple(run.tape.programs.programs),
        dead_flops=dead_flops,
        summed_products={run.tree.paths[position]: count for position, count in sorted(run.tape.summed_products.elements.items())},
        incomplete=incomplete or msgspec.UNSET,
        provenance=Provenance(environment=read_environment(), rung=run.build_mode, rungs_failed=run.failures, sources=recipe.sources),
    )


# What is only known of a model that ran; the peaks of its memory are then not measured.
_NEEDS_RUN = ("flops", "macs", "activation_bytes", "moved_bytes")


def _profile_parameters(recipe: Recipe) -> Profile:
    """The profile of a model that is only built."""
    tree, build_mode, failures = build_with_fallbacks(recipe)
    tensors, ties = read_module_tensors(tree)
    tape = Tape(tree, activation_bytes=[0] * len(tree), moved_bytes=[0] * len(tree))
    modules = tuple(msgspec.structs.replace(each, flops_complete=False) for each in assemble_modules(tape, tensors))
    said = "only the parameters and buffers are known: the model was built, not run"
    return Profile(
        name=recipe.name,
        reference=recipe.reference,
        totals=modules[0].total,
        flops_complete=False,
        params_complete=modules[0].params_complete,
        memory_complete=modules[0].memory_complete,
        modules=modules,
        ledger=assemble_ledger(tape, (said, *recipe.assumptions, *_describe_dtype(recipe), *describe_unregistered_weights(tree, tape))),
        ties=ties,
        provenance=Provenance(environment=read_environment(), rung=build_mode, rungs_failed=failures, sources=recipe.sources),
        unknown=_NEEDS_RUN,
    )


def _mark_incomplete(run: Run, modules: tuple[ModuleRecord, ...]) -> tuple[tuple[ModuleRecord, ...], dict[str, str]]:
    """The modules with those marked whose FLOPs are incomplete although all operators are known, and the reasons by topmost path.

    Runs with other random numbers may cost more; and what a TorchScript module runs counts in the module itself, not in those inside it.
    """
    inside = {position: top for position, top in find_inside_script(run.tree).items() if position not in run.differing}
    reasons = {"": run.incomplete} if run.incomplete else {}  # also where only modules inside differ
    for top in sorted({*inside.values()}):
        path = run.tree.paths[top]
        for position in (position for position, parent in enumerate(run.tree.parents) if parent == top):
            reasons[run.tree.paths[position]] = f"it runs inside the TorchScript module {path or type(run.model).__name__}, which counts it"
    hidden = run.differing | inside.keys()
    marked = []
    for position, module in enumerate(modules):
        if position in hidden:  # another branch allocates other tensors too
            module = msgspec.structs.replace(module, flops_complete=False, memory_complete=False)
        marked.append(module)
    return tuple(marked), reasons


def _describe_dtype(recipe: Recipe) -> tuple[str, ...]:
    if recipe.dtype is not None:
        return (f"parameters, buffers and inputs of floating point are in {recipe.dtype}, as the option says",)
    if recipe.configured_dtype is not None:
        return (f"parameters are in {recipe.configured_dtype}, as the configuration says",)
    return ()


def _list_deciding(run: Run) -> tuple[str, ...]:
    """The assumptions on which FLOPs and bytes depend: the values of a real run, and those of formulas."""
    notes = dict.fromkeys(entry.work.note for entry in run.tape.entries if entry.work.status == "counted" and entry.work.note)
    if run.build_mode == "real":
        return (
            "the model did not run without values, so it was run for real: the numbers hold for this input and these random weights",
            *notes,
        )
    return (*(run.shape_cache.known_values.choices if run.build_mode == "routed" else ()), *notes)


def _add_symbolic_shapes(profile: Profile, run: Run) -> Profile:
    """The profile with shapes in terms of the input size, where they could be resolved."""
    flow, assumption = resolve_symbolic_shapes(run, profile.flow)
    ledger = profile.ledger
    if assumption is not None:
        ledger = msgspec.structs.replace(ledger, assumptions=(*ledger.assumptions, assumption))
    return msgspec.structs.replace(profile, flow=flow, ledger=ledger)
