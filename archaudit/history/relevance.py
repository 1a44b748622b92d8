"""Whether a commit can change a model: a digest of the code that building and running it can reach, without comments and docstrings.

Reachable are all statements of a file outside of functions and classes, each function or class whose name occurs in reachable code (in any
file, under any owner) or in a file that is no Python, and those with a decorator, which may register them. Code that calls `eval` or looks
names up by computed texts reaches everything.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# Code that calls one of these can reach a name that is not written in it.
_DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars", "__import__", "import_module", "__subclasses__"})
# Decorators that register nothing.
_PLAIN_DECORATORS = frozenset({"dataclass", "no_grad", "inference_mode", "lru_cache", "cache", "wraps", "contextmanager", "total_ordering"})
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class _Code(NamedTuple):
    """A part of a file: its text without comments, the names in it, and whether it looks names up by computed texts."""

    text: str
    names: frozenset[str]
    is_dynamic: bool


class _File(NamedTuple):
    """The statements of a file that run on import, and its functions and classes by name."""

    statements: _Code
    definitions: dict[str, list[_Code]]


class Relevance:
    """Digests of the reachable code of commits; each content is parsed once."""

    def __init__(self, reference: str) -> None:
        self._first = frozenset({*re.findall(r"\w+", reference), "example_inputs"})
        self._parsed: dict[bytes, _File | None] = {}

    def digest(self, contents: Mapping[str, bytes]) -> str:
        """A text that is the same for files, by path, with the same reachable code."""
        files = {path: self._parse(content) if path.endswith(".py") else None for path, content in sorted(contents.items())}
        hasher = hashlib.sha256()
        for path, file in files.items():
            hasher.update(path.encode() + b"\0" + (contents[path] if file is None else file.statements.text.encode()) + b"\0")
        parsed = [file for file in files.values() if file is not None]
        words = {
            word for path, file in files.items() if file is None for word in re.findall(r"\w+", contents[path].decode(errors="replace"))
        }
        for name, code in _list_reachable(parsed, self._first | words):
            hasher.update(f"{name}\0{code.text}\0".encode())
        return hasher.hexdigest()

    def _parse(self, content: bytes) -> _File | None:
        """The parts of a file; None for one that is no Python."""
        key = hashlib.sha256(content).digest()
        if key not in self._parsed:
            try:
                self._parsed[key] = _read_file(ast.parse(content))
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._parsed[key] = None
        return self._parsed[key]


def _read_file(tree: ast.Module) -> _File:
    definitions: dict[str, list[_Code]] = {}
    statements: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, _Definition) and not _is_registered(node):
            definitions.setdefault(node.name, []).append(_read_code([node]))
        elif not _is_main_block(node):
            statements.append(node)
    return _File(_read_code(statements), definitions)


def _is_registered(node: _Definition) -> bool:
    """Whether a decorator, or a metaclass, may make a definition known under another name."""
    calls = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
    names = {ast.unparse(each).rpartition(".")[2] for each in calls}
    return not names <= _PLAIN_DECORATORS or (isinstance(node, ast.ClassDef) and bool(node.keywords))


def _is_main_block(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "'__main__' == __name__")


def _read_code(nodes: Iterable[ast.stmt]) -> _Code:
    names: set[str] = set()
    texts: list[str] = []
    is_dynamic = False
    for statement in nodes:
        for node in ast.walk(statement):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_docstring(body[0]) and isinstance(node, _Definition):
                node.body = [*body[1:], *([] if body[1:] else [ast.Pass()])]
            if isinstance(node, ast.Name):
                names.add(node.id)
            elif isinstance(node, ast.Attribute):
                names.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names.add(node.value.rpartition(".")[2])
            elif isinstance(node, ast.alias):
                names.add(node.name.rpartition(".")[2])
            is_dynamic = is_dynamic or _looks_up(node)
        if not _is_docstring(statement):
            texts.append(ast.dump(statement))
    return _Code("\n".join(texts), frozenset(names), is_dynamic)


def _looks_up(node: ast.AST) -> bool:
    if isinstance(node, ast.FunctionDef) and node.name == "__init_subclass__":
        return True
    if not isinstance(node, ast.Call):
        return False
    name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
    return (name in _DYNAMIC and name != "eval") or (name == "eval" and bool(node.args)) or _is_computed(name, node)


def _is_computed(name: str, node: ast.Call) -> bool:
    return name == "getattr" and len(node.args) > 1 and not isinstance(node.args[1], ast.Constant)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _list_reachable(files: list[_File], first: frozenset[str]) -> list[tuple[str, _Code]]:
    """The definitions that are reachable, in the order of their names."""
    everything = any(file.statements.is_dynamic for file in files)
    known: set[str] = set()
    waiting = set(first).union(*(file.statements.names for file in files))
    found: list[tuple[str, _Code]] = []
    while waiting:
        name = waiting.pop()
        known.add(name)
        for file in files:
            for code in file.definitions.get(name, ()):
                found.append((name, code))
                everything = everything or code.is_dynamic
                waiting |= code.names - known
    if everything:
        found = [(name, code) for file in files for name, codes in file.definitions.items() for code in codes]
    return sorted(found, key=lambda each: (each[0], each[1].text))
