"""Proves fixes: the model and the model with the edits run on the same random inputs, and must compute the same.

All fixes are applied at once; if the outputs differ, each is applied alone. What they save is measured on the model with all fixes that
hold, in a pass without values.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import torch

from archaudit.errors import ArchauditError, MeasureError, describe_error
from archaudit.measure.equivalence import TOLERANCES
from archaudit.measure.fixes import Templates, apply_edits, map_template
from archaudit.measure.module_tree import walk_tree
from archaudit.measure.output_comparison import OutputComparison, is_finite
from archaudit.measure.process_state import unchanged_globals
from archaudit.measure.real_runs import LEAST_SMALL, SEED, BuiltModel, build_with_values, run_on_draws
from archaudit.measure.recipe import measure_recipe
from archaudit.measure.weight_copying import add_noise, list_vectors, scaled
from archaudit.schema import Cost, Edit, FixProof, Pair, Recipe, Stub

_OUTCOMES: dict[str, Literal["proven", "refuted", "not run"]] = {
    "equivalent": "proven",
    "different": "refuted",
    "not comparable": "not run",
}
# More fixes than these are not applied one by one.
_MOST_ALONE = 24

Fix = Sequence[Edit]


def prove_fixes(recipe: Recipe, fixes: Sequence[Fix], refusal: str = "") -> tuple[list[FixProof], dict[str, Cost], Cost | None]:
    """A proof for each fix; the costs of the model with all fixes that hold, by module path; and its total.

    `refusal` is the reason why the model is not run with values, if there is one: no fix is then proven. Costs are empty, and the total is
    None, if the fixed model cannot be measured.
    """
    templates: Templates = {}
    with unchanged_globals():
        proofs = [FixProof(outcome="not run", reason=refusal) for _ in fixes] if refusal else _prove(recipe, fixes, templates)
    held = [fix for fix, proof in zip(fixes, proofs, strict=True) if proof.outcome != "refuted"]
    try:
        totals = _measure_fixed(recipe, held, templates)
    except ArchauditError:
        return proofs, {}, None
    return proofs, totals, totals.get("")


def _measure_fixed(recipe: Recipe, fixes: Sequence[Fix], templates: Templates) -> dict[str, Cost]:
    def build() -> Any:
        model = recipe.build()
        apply_edits(model, [edit for fix in fixes for edit in fix], templates)
        return model

    profile = measure_recipe(msgspec.structs.replace(recipe, build=build), other_counters=False)
    return {module.path: module.total for module in profile.modules}


def _prove(recipe: Recipe, fixes: Sequence[Fix], templates: Templates) -> list[FixProof]:
    failure: ArchauditError | None = None
    for dtype in TOLERANCES:
        try:
            return _Prover(recipe, dtype, fixes, templates).prove()
        except ArchauditError as error:
            failure = failure or error
    assert failure is not None
    return [FixProof(outcome="not run", reason=failure.message) for _ in fixes]


class _Prover:
    """The outputs of the model as it is, and runs of the model with edits on the same inputs and weights."""

    def __init__(self, recipe: Recipe, dtype: str, fixes: Sequence[Fix], templates: Templates) -> None:
        self._dtype, self._fixes, self._templates = dtype, fixes, templates
        built, inputs = build_with_values(recipe, dtype)
        generator = torch.Generator().manual_seed(SEED)
        add_noise(built.tree, generator)
        self._built, self._vectors = built, list(list_vectors(built.tree, set()).values())
        self._draws, self._sizes, self._outputs = run_on_draws(built, inputs, recipe, generator, self._vectors)
        if not all(map(is_finite, self._outputs)):
            raise MeasureError("its outputs on random inputs are not finite, so they cannot be compared")
        stubs = {edit.path for fix in fixes for edit in fix if isinstance(edit, Stub)}
        if stubs:
            recorder = _TemplateRecorder(built, stubs, templates)
            built.run(self._draws[0], recorder)

    def prove(self) -> list[FixProof]:
        """A proof for each fix."""
        together = self._run([edit for fix in self._fixes for edit in fix])
        if together.outcome == "proven" or len(self._fixes) == 1:
            return [together for _ in self._fixes]
        if len(self._fixes) > _MOST_ALONE:
            reason = f"with all {len(self._fixes)} fixes at once: {together.reason}"
            return [FixProof(outcome="not run", reason=reason) for _ in self._fixes]
        return [self._run(fix) for fix in self._fixes]

    def _run(self, edits: Fix) -> FixProof:
        """Compares the outputs of the model with the edits with those of the model without."""
        comparison = OutputComparison(TOLERANCES[self._dtype])
        edited: dict[float, BuiltModel] = {}
        try:
            for draw, size, expected in zip(self._draws, self._sizes, self._outputs, strict=True):
                if size not in edited:
                    edited = {size: self._edit(edits, size)}
                comparison.add_trial(expected, edited[size].run(draw), least=LEAST_SMALL if size < 1 else 1.0)
        except ArchauditError as error:
            return FixProof(outcome="not run", reason=error.message)
        verdict = comparison.conclude(self._dtype, None, Pair(None, None))
        outcome = _OUTCOMES[verdict.outcome]
        return FixProof(
            outcome=outcome,
            reason=verdict.reason,
            bitwise=verdict.bitwise,
            max_difference=verdict.max_difference,
            tolerance=TOLERANCES[self._dtype],
            dtype=self._dtype,
        )

    def _edit(self, edits: Fix, size: float) -> BuiltModel:
        """A copy of the model with its vectors scaled, and then edited."""
        try:
            with scaled(self._vectors, size):
                model = copy.deepcopy(self._built.tree.modules[0])
            apply_edits(model, edits, self._templates)
        except ArchauditError:
            raise
        except Exception as error:
            raise MeasureError(f"the edit failed: {describe_error(error)}") from error
        return BuiltModel(walk_tree(model), self._built.context, self._built.dtype)


class _TemplateRecorder:
    """Keeps what modules return, as tensors without values."""

    def __init__(self, built: BuiltModel, paths: set[str], templates: Templates) -> None:
        self._positions = {built.tree.paths.index(path): path for path in paths if path in built.tree.paths}
        self._templates = templates

    def enter_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pass

    def leave_call(self, position: int, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
        path = self._positions.get(position)
        if path is not None and path not in self._templates:
            self._templates[path] = map_template(result, lambda tensor: torch.empty_like(tensor, device="meta"))
        return result

    def fail_call(self, position: int, error: BaseException) -> None:
        pass
