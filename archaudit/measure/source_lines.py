"""The source line that makes each module of a model, and the comments there that suppress findings.

The line is the statement of the parent's class that sets the attribute (`self.norm = nn.LayerNorm(8)`, `self.add_module("norm", ...)`).
Of a module in a container of torch, it is the line that makes the container; of one that no statement names, the line of its own class.
"""

from __future__ import annotations

import ast
import inspect
import io
import os
import re
import site
import sysconfig
import tokenize
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch import nn

from archaudit.measure.module_tree import ModuleTree
from archaudit.schema import Directive, SourceLine

_COMMENT = re.compile(r"#\s*archaudit:\s*ignore\b\s*(?:\[([^\]]*)\])?\s*[-:]*\s*(.*)")


class _Lines(NamedTuple):
    """The lines of a statement, in a file."""

    file: str
    first: int
    last: int


def locate_modules(tree: ModuleTree) -> tuple[dict[str, SourceLine], dict[str, tuple[Directive, ...]]]:
    """By path of a module: its source line, and the comments on the lines of its statement and of its class."""
    places: dict[str, SourceLine] = {}
    directives: dict[str, tuple[Directive, ...]] = {}
    for position, path in enumerate(tree.paths):
        own = _find_class(type(tree.modules[position]))  # type: ignore[arg-type]  # a class is hashable
        made = _find_statement(tree, position)
        line = made or own
        if line is not None and not (made is None and _is_of_torch(tree.modules[position])):
            places[path] = SourceLine(file=_shorten_path(line.file), line=line.first)
        found = [each for lines in dict.fromkeys((made, own)) if lines is not None for each in _list_directives(lines)]
        if found:
            directives[path] = tuple(found)
    return places, directives


def _is_of_torch(module: nn.Module) -> bool:
    return type(module).__module__.partition(".")[0] == "torch"


def _find_statement(tree: ModuleTree, position: int) -> _Lines | None:
    """The statement that makes the module: in the nearest class above that is not torch's, and that names the attribute."""
    path = tree.paths[position]
    while (parent := tree.parents[position]) >= 0:
        above = tree.paths[parent]
        name = path[len(above) + 1 :] if above else path
        if not _is_of_torch(tree.modules[parent]):
            # a class that names no attribute, such as a subclass of Sequential, is itself the place
            kind: type = type(tree.modules[parent])
            return _find_attribute(kind, name) or _find_class(kind)
        position, path = parent, above
    return None


@cache
def _find_class(kind: type) -> _Lines | None:
    """The line of `class Name`."""
    if kind.__module__.partition(".")[0] == "torch":
        return None
    try:
        file = inspect.getsourcefile(kind)
    except (TypeError, OSError):  # made at run time
        return None
    node = _list_classes(file).get(kind.__qualname__) if file else None
    return _Lines(str(file), node.lineno, max(node.lineno, node.body[0].lineno - 1 if node.body else node.lineno)) if node else None


@cache
def _find_attribute(kind: type, name: str) -> _Lines | None:
    """The statement of a class, or of one that it inherits from, that sets `self.name`."""
    for each in kind.__mro__:
        if each.__module__.partition(".")[0] in ("torch", "builtins"):
            continue
        try:
            file = inspect.getsourcefile(each)
        except (TypeError, OSError):
            continue
        node = _list_classes(file).get(each.__qualname__) if file else None
        found = _list_attributes(node).get(name) if node is not None else None
        if found is not None:
            return _Lines(str(file), *found)
    return None


@cache
def _list_classes(file: str | None) -> dict[str, ast.ClassDef]:
    """The classes of a file by their qualified names."""
    found: dict[str, ast.ClassDef] = {}
    pending: list[tuple[str, ast.AST]] = [("", tree)] if (tree := _parse(file)) is not None else []
    while pending:
        prefix, node = pending.pop()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name] = child
                pending.append((f"{prefix}{child.name}.", child))
            elif isinstance(child, ast.FunctionDef):
                pending.append((f"{prefix}{child.name}.<locals>.", child))
            elif not isinstance(child, ast.expr):
                pending.append((prefix, child))
    return found


def _parse(file: str | None) -> ast.Module | None:
    try:
        return ast.parse(Path(file or "").read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return None


@cache
def _list_attributes(node: ast.ClassDef) -> dict[str, tuple[int, int]]:
    """The first statement that sets each attribute of `self`, by name: its lines."""
    found: dict[str, tuple[int, int]] = {}
    for each in ast.walk(node):
        names: list[str] = []
        if isinstance(each, ast.Assign | ast.AnnAssign):
            targets = each.targets if isinstance(each, ast.Assign) else [each.target]
            for target in targets:
                parts = target.elts if isinstance(target, ast.Tuple) else [target]
                names += [part.attr for part in parts if isinstance(part, ast.Attribute) and _is_self(part.value)]
        elif isinstance(each, ast.Expr) and isinstance(each.value, ast.Call) and isinstance(each.value.func, ast.Attribute):
            call = each.value
            first = call.args[0] if call.args else None
            adds = call.func.attr in ("add_module", "register_module", "register_parameter", "register_buffer")  # type: ignore[attr-defined]
            if adds and isinstance(first, ast.Constant) and isinstance(first.value, str):
                names.append(first.value)
        for name in names:
            lines = each.lineno, each.end_lineno or each.lineno  # type: ignore[attr-defined]
            found[name] = min(found.get(name, lines), lines)
    return found


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


# --- comments ---


@cache
def _list_comments(file: str) -> dict[int, str]:
    """The comments of a file that begin with `archaudit:`, by line."""
    try:
        text = Path(file).read_bytes()
        if b"archaudit:" not in text:
            return {}
        tokens = tokenize.tokenize(io.BytesIO(text).readline)
        return {token.start[0]: token.string for token in tokens if token.type == tokenize.COMMENT and _COMMENT.match(token.string)}
    except (OSError, SyntaxError, tokenize.TokenError, ValueError):
        return {}


def _list_directives(lines: _Lines) -> list[Directive]:
    comments = _list_comments(lines.file)
    found = []
    for line in range(lines.first, lines.last + 1) if comments else ():
        match = _COMMENT.match(comments.get(line, ""))
        if match is not None:
            codes = tuple(code.strip().upper() for code in (match[1] or "").split(",") if code.strip())
            place = SourceLine(file=_shorten_path(lines.file), line=line)
            found.append(Directive(codes=codes, reason=match[2].strip(), place=place))
    return found


@cache
def _shorten_path(file: str) -> str:
    """A path from the top of its repository, from the folder of installed packages, or from the current folder."""
    path = Path(os.path.realpath(file))
    installed = [Path(os.path.realpath(each)) for each in (*site.getsitepackages(), sysconfig.get_paths()["purelib"])]
    tops = [folder for folder in path.parents if (folder / ".git").exists()][:1]
    for top in (*installed, *tops, Path(os.path.realpath(Path.cwd()))):
        if path.is_relative_to(top):
            return path.relative_to(top).as_posix()
    return path.as_posix()
