"""What a module's forward runs, as a graph: its program with the paths of modules and tensors written out.

A call of a module that has no counterpart, such as a wrapper that was removed, is replaced by what that module runs. So a block computes
the same whether a norm is applied by a wrapper or by the block itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from archaudit.index.modules import ModuleIndex, index_modules, join_name
from archaudit.schema import Profile, Program, Setting, Shape

# With more nodes than this, calls are not replaced any more: the module is a loop.
_MOST_NODES = 5_000
_DEEPEST = 64


class Source(NamedTuple):
    """An operand: the `output`-th result of the node at `node`; the `input`-th argument of the module; or `name`, a tensor or a constant.

    `writes` are the nodes that wrote into its memory since.
    """

    node: int | None = None
    output: int = 0
    input: int | None = None
    name: str = ""
    writes: tuple[int, ...] = ()


class ProgramNode(NamedTuple):
    """An operator, or (`op` is `call`) a call of the module at `path`, an absolute path. `owner` is the path of the module that runs it.

    The rest is as in `schema.Step`.
    """

    op: str
    path: str
    operands: tuple[Source, ...]
    arguments: dict[str, Setting]
    sizes: dict[str, Setting]
    shape: Shape | None
    owner: str = ""


class ProgramGraph(NamedTuple):
    """The nodes in the order in which they ran, and the operands that the module returns."""

    nodes: tuple[ProgramNode, ...]
    returns: tuple[Source, ...]


def has_programs(profile: Profile) -> bool:
    """Whether the profile records what each forward runs; files of earlier versions do not."""
    return profile.programs is not msgspec.UNSET


def read_programs(profile: Profile, path: str) -> tuple[Program, ...]:
    """The programs of one module; none for a layer of torch, and for a module that is not called."""
    module = index_modules(profile).get(path)
    if module is None or module.programs is msgspec.UNSET or profile.programs is msgspec.UNSET:
        return ()
    return tuple(profile.programs[number] for number in module.programs)


def is_opened(here: ModuleIndex, path: str, there: ModuleIndex, other: str) -> bool:
    """Whether one side calls a module, and the other calls the children of its counterpart `other` in its place (a loop over a list)."""
    return bool(here[path].calls) and not there[other].calls and any(there[child].calls for child in there.children[other])


def build_program_graph(profile: Profile, path: str, program: Program, replaces: Callable[[str], bool]) -> ProgramGraph:
    """The graph of one program of the module at `path`; calls of modules for which `replaces` holds are replaced by what those run."""
    nodes: list[ProgramNode] = []
    returns = _expand(profile, path, program, None, nodes, replaces, 0)
    return ProgramGraph(tuple(nodes), returns)


def _expand(
    profile: Profile,
    path: str,
    program: Program,
    given: tuple[Source, ...] | None,
    nodes: list[ProgramNode],
    replaces: Callable[[str], bool],
    depth: int,
) -> tuple[Source, ...]:
    """Appends the nodes of a program; `given` are the sources of its arguments where it replaces a call. Returns what it returns."""
    results: list[tuple[Source, ...]] = []
    for step in program.steps:
        operands = tuple(_resolve(operand, path, given, results) for operand in step.operands)
        target = _locate(step.module, path) if step.op == "call" else ""
        inner = read_programs(profile, target) if target and depth < _DEEPEST and len(nodes) < _MOST_NODES and replaces(target) else ()
        if inner:
            results.append(_expand(profile, target, inner[0], operands, nodes, replaces, depth + 1))
            continue
        results.append((Source(node=len(nodes)),))
        nodes.append(ProgramNode(step.op, target, operands, step.arguments, step.sizes, step.shape, path))
    return tuple(_resolve(operand, path, given, results) for operand in program.returns)


def _resolve(operand: str, path: str, given: tuple[Source, ...] | None, results: list[tuple[Source, ...]]) -> Source:
    first, *writes = operand.split("+") if "+" in operand and not operand.startswith("value ") else [operand]
    source = _resolve_plain(first, path, given, results)
    if not writes:
        return source
    numbers = [results[int(write)][0].node for write in writes if write.isdigit() and int(write) < len(results) and results[int(write)]]
    return source._replace(writes=tuple(number for number in numbers if number is not None))


def _resolve_plain(operand: str, path: str, given: tuple[Source, ...] | None, results: list[tuple[Source, ...]]) -> Source:
    head, _, place = operand.partition(".")
    if head.isdigit() and int(head) < len(results):
        found, output = results[int(head)], int(place) if place.isdigit() else 0
        if output < len(found):
            return found[output]
        return found[0]._replace(output=output) if found else Source(name="nothing")
    if operand.startswith("in") and operand[2:].isdigit():
        number = int(operand[2:])
        if given is None:
            return Source(input=number)
        return given[number] if number < len(given) else Source(name="nothing")
    if operand in ("tensor", "outer") or operand.startswith("value "):
        return Source(name=operand)
    return Source(name=f"={_locate(operand.removeprefix('.'), path)}")


def _locate(relative: str, path: str) -> str:
    """The absolute path of a module or tensor that a program names."""
    return relative[1:] if relative.startswith("/") else join_name(path, relative)
