"""Audits live models in this process, for the tests of the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn

from archaudit.audit import Evidence, list_rules, run_audit
from archaudit.measure.fix_proofs import prove_fixes
from archaudit.measure.recipe import inspect_recipe
from archaudit.schema import Audit, FixProof, InputSpec, Recipe


def make_recipe(build: Callable[[], nn.Module], *shapes: tuple[int, ...], dtype: str = "float32") -> Recipe:
    """A recipe that builds a model and runs it on inputs of these shapes."""
    return Recipe(name="net", reference="net", build=build, inputs=tuple(InputSpec(shape=shape, dtype=dtype) for shape in shapes))


def audit(
    build: Callable[[], nn.Module],
    *shapes: tuple[int, ...],
    codes: Iterable[str] | None = None,
    suppressed: Mapping[str, str] | None = None,
    dtype: str = "float32",
) -> Audit:
    """The audit by these rules, or by all, those that are off by default too."""
    profile, inspection = inspect_recipe(make_recipe(build, *shapes, dtype=dtype))
    return run_audit(Evidence(profile, inspection), codes if codes is not None else list_rules(), suppressed)


def list_found(found: Audit, code: str) -> list[str]:
    """The modules in which a rule has findings, sorted."""
    return sorted(each.path for each in found.findings if each.code == code)


def find_paths(build: Callable[[], nn.Module], code: str, *shapes: tuple[int, ...], **options: Any) -> list[str]:
    """The modules in which the rule has findings."""
    return list_found(audit(build, *shapes, codes=[code], **options), code)


def prove(build: Callable[[], nn.Module], code: str, *shapes: tuple[int, ...], dtype: str = "float32") -> list[FixProof]:
    """The proofs of the fixes of a rule's findings."""
    recipe = make_recipe(build, *shapes, dtype=dtype)
    fixes = [each.edits for each in audit(build, *shapes, codes=[code], dtype=dtype).findings]
    return prove_fixes(recipe, fixes)[0]
