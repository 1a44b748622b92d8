"""Whether a commit can change a model: a digest of the code that building and running it can reach, without comments and docstrings.

What an import runs is always reachable: the statements of each file that do more than import, define or name a constant. A function, class
or constant is reachable where reachable code has its name, in the same file or in one that this file imports, directly or not; names in
files that are no Python, and those of a reference without a file, are looked up in every file. Decorated definitions may register
themselves, so that they always count. Code that calls `eval` or looks names up by computed texts reaches everything.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

# Code that calls one of these can reach a name that is not written in it.
_DYNAMIC = frozenset({"eval", "exec", "globals", "locals", "vars", "__import__", "import_module", "__subclasses__"})
# Decorators that register nothing.
_PLAIN_DECORATORS = frozenset({"dataclass", "no_grad", "inference_mode", "lru_cache", "cache", "wraps", "contextmanager", "total_ordering"})
# Calls that make a constant and change nothing else.
_PLAIN_CALLS = frozenset(
    {"namedtuple", "partial", "TypeVar", "frozenset", "set", "dict", "tuple", "list", "range", "int", "float", "str", "len"}
)
_Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class _Code(NamedTuple):
    """A part of a file: its text without comments, the names in it, and whether it looks names up by computed texts."""

    text: str
    names: frozenset[str]
    is_dynamic: bool


class _Import(NamedTuple):
    """An import of a module (`level` dots before it), and the names that are taken from it, which may be modules too."""

    level: int
    module: str
    names: tuple[str, ...]


class _File(NamedTuple):
    """The statements of a file that do something on import; its functions, classes and constants by name; and all that it imports."""

    statements: _Code
    definitions: dict[str, list[_Code]]
    imports: tuple[_Import, ...]


class Relevance:
    """Digests of the reachable code of commits; each content is parsed once."""

    def __init__(self, reference: str, *, everything: bool = False) -> None:
        self._first = frozenset({*re.findall(r"\w+", reference), "example_inputs"})
        self._everything = everything  # the names that a harness uses are not known
        self._parse = cache(_parse)

    def digest(self, contents: Mapping[str, bytes], path: str = "") -> str:
        """A text that is the same for files, by path, with the same reachable code. `path` is the file of the reference, if it has one."""
        files = {name: file for name, content in contents.items() if name.endswith(".py") and (file := self._parse(content)) is not None}
        texts = {name: content for name, content in contents.items() if name not in files}
        imports = _Imports(files)
        words = {word for content in texts.values() for word in re.findall(r"\w+", content.decode(errors="replace"))}
        waiting = [("", name) for name in words] + [(path if path in files else "", name) for name in self._first]
        waiting += [(file, name) for file in files for name in files[file].statements.names]
        reached = _list_reachable(files, imports, waiting, everything=self._everything)
        hasher = hashlib.sha256()
        for name, content in sorted(texts.items()):
            hasher.update(name.encode() + b"\0" + content + b"\0")
        statements = sorted(f"{name}\0{file.statements.text}" for name, file in files.items() if file.statements.text)
        for line in (*statements, *sorted(imports.missing), *reached):
            hasher.update(line.encode() + b"\0")
        return hasher.hexdigest()

    def list_imported(self, path: str, paths: Iterable[str], read: Callable[[str], bytes | None]) -> set[str]:
        """The Python files among `paths` that importing the file `path` runs, with the packages that hold them."""
        modules = _Modules(each for each in paths if each.endswith(".py"))
        found: set[str] = set()
        waiting = {path}
        while waiting:
            name = waiting.pop()
            content = read(name)
            if content is None or not name.endswith(".py"):
                continue
            found.add(name)
            file = self._parse(content)
            imported = {target for each in (file.imports if file else ()) for target in modules.resolve(name, each)}
            waiting |= (imported | {*_list_packages(name)}) - found
        return found


class _Modules:
    """Finds the files of a module by the end of its path, since the folders of `sys.path` are not known: `tools` finds every `tools.py`."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_suffix: dict[tuple[str, ...], list[str]] = {}
        for path in paths:
            parts = _split_path(path)
            for start in range(len(parts)):
                self._by_suffix.setdefault(parts[start:], []).append(path)

    def resolve(self, path: str, each: _Import) -> Iterator[str]:
        """The files that an import in the file `path` may run."""
        parts = tuple(each.module.split(".")) if each.module else ()
        if each.level:
            folder = tuple(path.split("/")[:-1])
            parts = (*folder[: len(folder) - each.level + 1], *parts)
        for module in (parts, *((*parts, name) for name in each.names)):
            for file in self._by_suffix.get(module, ()):
                if not each.level or _split_path(file) == module:
                    yield file
        if not each.names:  # `import a.b` names `a`
            for length in range(1, len(parts)):
                yield from self._by_suffix.get(parts[:length], ())


class _Imports:
    """Which files import which, directly or not; `missing` has the imports of modules that are none of the files."""

    def __init__(self, files: Mapping[str, _File]) -> None:
        modules = _Modules(files)
        self.missing: set[str] = set()
        self._targets: dict[str, set[str]] = {}
        for path, file in files.items():
            self._targets[path] = set()
            for each in file.imports:
                found = {*modules.resolve(path, each)}
                self._targets[path] |= found
                if not found:
                    self.missing.add("." * each.level + (each.module if each.level else each.module.partition(".")[0]))
        self.close = cache(self._close)

    def _close(self, path: str) -> frozenset[str]:
        """A file and all that it imports, directly or not."""
        found: set[str] = set()
        waiting = {path}
        while waiting:
            found.add(file := waiting.pop())
            waiting |= self._targets.get(file, set()) - found
        return frozenset(found)


def _split_path(path: str) -> tuple[str, ...]:
    parts = path.removesuffix(".py").split("/")
    return tuple(parts[:-1] if parts[-1] == "__init__" else parts)


def _list_packages(path: str) -> Iterator[str]:
    folders = path.split("/")[:-1]
    for length in range(len(folders), 0, -1):
        yield "/".join((*folders[:length], "__init__.py"))


def _list_reachable(files: Mapping[str, _File], imports: _Imports, waiting: list[tuple[str, str]], *, everything: bool) -> list[str]:
    """The texts of the definitions that are reachable, in order. `waiting` has names, each with the file that uses it ("": any file)."""
    everything = everything or any(file.statements.is_dynamic for file in files.values())
    known = set(waiting)
    found: set[tuple[str, str, int, str]] = set()
    while waiting and not everything:
        user, name = waiting.pop()
        for path in imports.close(user) if user else files:
            for position, code in enumerate(files[path].definitions.get(name, ()) if path in files else ()):
                found.add((path, name, position, code.text))
                everything = everything or code.is_dynamic
                new = {(path, each) for each in code.names} - known
                known |= new
                waiting += new
    if everything:
        found = {
            (path, name, position, code.text)
            for path, file in files.items()
            for name, codes in file.definitions.items()
            for position, code in enumerate(codes)
        }
    return ["\0".join(map(str, each)) for each in sorted(found)]


# --- parts of a file ---


def _parse(content: bytes) -> _File | None:
    """The parts of a file; None for one that is no Python."""
    try:
        return _read_file(ast.parse(content))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _read_file(tree: ast.Module) -> _File:
    imports = tuple(each for node in ast.walk(tree) for each in _read_import(node))
    definitions: dict[str, list[_Code]] = {}
    statements: list[ast.stmt] = []
    for node in tree.body:
        names = _list_defined(node)
        if names is not None:
            code = _read_code([node])
            for name in names:
                definitions.setdefault(name, []).append(code)
        elif isinstance(node, ast.Import | ast.ImportFrom) and not any(each.name == "*" for each in node.names):
            for each in node.names:  # which module a name is from counts where the name is used
                text = f"{ast.dump(each)} {'.' * node.level + (node.module or '') if isinstance(node, ast.ImportFrom) else ''}"
                name = each.asname or each.name.partition(".")[0]
                definitions.setdefault(name, []).append(_Code(text, frozenset({each.name.rpartition(".")[2]}), False))
        elif not _is_main_block(node):
            statements.append(node)
    return _File(_read_code(statements), definitions, imports)


def _read_import(node: ast.AST) -> Iterator[_Import]:
    if isinstance(node, ast.Import):
        yield from (_Import(0, each.name, ()) for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield _Import(node.level, node.module or "", tuple(each.name for each in node.names))


def _list_defined(node: ast.stmt) -> list[str] | None:
    """The names that a statement defines; None if it may do something else too."""
    if isinstance(node, _Definition):
        return None if _is_registered(node) else [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [each for target in targets for each in (target.elts if isinstance(target, ast.Tuple) else [target])]
    if not names or not all(isinstance(each, ast.Name) for each in names):
        return None
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    calls = [] if value is None else [each for each in ast.walk(value) if isinstance(each, ast.Call | ast.Await | ast.NamedExpr)]
    return [each.id for each in names if isinstance(each, ast.Name)] if all(map(_is_plain_call, calls)) else None


def _is_plain_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in _PLAIN_CALLS


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
