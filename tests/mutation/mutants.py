"""Every mutant of a source file: cosmic-ray's operators, each replaced by its neighbour, and two operators of our own.

Cosmic-ray replaces each operator by every other one (`==` by `is not`), most of which any test notices. Here a comparison moves by one
step, arithmetic turns into its opposite, and a decimal number moves by a quarter in both directions, because a threshold that nothing
holds in place is what these mutants look for.

Left alone is what changes no answer: annotations and assertions (for the type checker), `strict=True` (an assertion, too), what a decorator
or a class is given (`slots`, `maxsize`, `frozen`), and caches.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.operators.provider import OperatorProvider

_COMPARISONS = (
    "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Lt_GtE", "GtE_Lt", "Gt_LtE", "LtE_Gt", "Is_IsNot", "IsNot_Is",
)  # fmt: skip
_ARITHMETIC = (
    "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "Mul_FloorDiv", "FloorDiv_Mul", "Mod_FloorDiv", "Pow_Mul", "LShift_RShift", "RShift_LShift",
    "BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitAnd",
)  # fmt: skip
_CORE = (
    *(f"ReplaceComparisonOperator_{pair}" for pair in _COMPARISONS),
    *(f"ReplaceBinaryOperator_{pair}" for pair in _ARITHMETIC),
    *(f"ReplaceUnaryOperator_{pair}" for pair in ("Delete_Not", "Delete_USub", "Delete_Invert")),
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop",
)  # fmt: skip
# What a decimal number is multiplied by.
_NUDGES = 0.8, 1.25
_UNTOUCHED = frozenset({"annassign", "tfpdef", "assert_stmt", "import_from", "import_name", "decorator"})


class NudgeDecimal(Operator):
    """Moves a decimal number by a quarter: up, or down by as much."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Each decimal number, once for each direction."""
        if _is_decimal(node):
            for _ in _NUDGES:
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The number, moved."""
        return parso.python.tree.Number(repr(float(node.value) * _NUDGES[index]), node.start_pos, prefix=node.prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """One for each direction."""
        return Example("x = 0.5", "x = 0.4"), Example("x = 0.5", "x = 0.625", occurrence=1)


class RemoveCall(Operator):
    """Removes a statement that is only a call."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """Each such statement."""
        if node.type == "atom_expr" and node.parent.type == "simple_stmt" and node.children[-1].get_first_leaf().value == "(":
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """`pass` in its place."""
        return parso.python.tree.Keyword("pass", node.start_pos, prefix=node.get_first_leaf().prefix)

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        """A method's call."""
        return (Example("a.sort()\n", "pass\n"),)


def _is_decimal(node: Any) -> bool:
    """Whether a node is a decimal number other than zero, which a factor leaves as it is."""
    return node.type == "number" and any(mark in node.value for mark in ".e") and not node.value.startswith("0x") and float(node.value) != 0


OPERATORS: dict[str, Operator] = {name: OperatorProvider()[name]() for name in _CORE} | {
    "NudgeDecimal": NudgeDecimal(),
    "RemoveCall": RemoveCall(),
}


@dataclass(frozen=True, order=True)
class Mutant:
    """One change to one file: the operator's `occurrence`-th place in it. Lines count from one, columns from zero."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int

    @property
    def place(self) -> tuple[str, int, int]:
        """Where it is; several mutants may have one place."""
        return self.path, self.line, self.column


def list_mutants(path: str, source: str) -> list[Mutant]:
    """Every mutant of a file, in the order of their places."""
    counts = dict.fromkeys(OPERATORS, 0)
    found = []
    for node in ast_nodes(get_ast(source)):
        skipped = _is_left_alone(node)
        for name, operator in OPERATORS.items():
            for start, _ in operator.mutation_positions(node):
                if name == "RemoveDecorator":
                    wanted = "cache" not in node.get_code()
                else:
                    wanted = not skipped and not (name == "NumberReplacer" and _is_decimal(node))
                if wanted:
                    found.append(Mutant(path, start[0], start[1], name, counts[name]))
                counts[name] += 1
    return sorted(found)


def _is_left_alone(node: Any) -> bool:
    """Whether a node is part of an annotation, an import, an assertion or a decorator, or decides what only the type checker imports."""
    while node.parent is not None:
        if node.type in _UNTOUCHED and not (node.type == "annassign" and "=" in node.get_code()):
            return True
        if node.type == "argument" and node.get_code(include_prefix=False).startswith("strict="):
            return True
        if node.parent.type == "classdef" and node.type in ("arglist", "argument"):
            return True
        if node.parent.type == "funcdef" and node.parent.annotation is node:
            return True
        if node.parent.type == "annassign" and node.parent.children[1] is node:
            return True
        if node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING":
            return True
        node = node.parent
    return False


def apply_mutant(source: str, mutant: Mutant) -> str:
    """The file's text with the mutant in it. Raises ValueError for a mutant of another text."""
    changed = mutate_code(source, OPERATORS[mutant.operator], mutant.occurrence)
    if changed is None:
        raise ValueError(f"{mutant.path} has no {mutant.operator} number {mutant.occurrence}")
    return str(changed)


def show_mutant(source: str, mutant: Mutant) -> str:
    """The change as the lines of a diff, without context."""
    lines = source.splitlines(), apply_mutant(source, mutant).splitlines()
    changed = [line for line in difflib.unified_diff(*lines, lineterm="", n=0) if not line.startswith(("---", "+++", "@@"))]
    return "\n".join([f"{mutant.path}:{mutant.line} {mutant.operator}", *(f"  {line[0]} {line[1:].strip()}" for line in changed)])


def list_changed(source: str, mutant: Mutant) -> tuple[str, str]:
    """The changed lines before and after, without indentation: what an accepted survivor is known by, wherever it moves in its file."""
    shown = show_mutant(source, mutant).splitlines()[1:]
    return tuple(" ".join(line[4:] for line in shown if line.startswith(f"  {sign}")) for sign in "-+")  # type: ignore[return-value]


def group_places(mutants: Iterable[Mutant]) -> list[list[Mutant]]:
    """The mutants by place: a sample takes at most one of each, so that a line with many replacements does not count for more."""
    places: dict[tuple[str, int, int], list[Mutant]] = {}
    for mutant in sorted(mutants):
        places.setdefault(mutant.place, []).append(mutant)
    return list(places.values())
