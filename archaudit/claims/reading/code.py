"""Reads Python files, and finds the comments and docstrings in code blocks: what the author says about the code."""

from __future__ import annotations

import ast
import re
from bisect import bisect_right

from archaudit.claims.reading.layout import Layout, has_digit
from archaudit.schema.documents import Run

_DEFINITION = re.compile(r"^\s*(?:class|def|async def)\s+(\w+)")


def read_python(text: str) -> Layout:
    """The docstrings and comments of a Python file. The section of each is the name of the class or function that contains it."""
    lines = re.split(r"\r\n|\n|\r", text)
    kept = mask_code(lines, "python")
    scopes = _find_scopes(text)
    starts = [line for line, _ in scopes]
    runs = []
    block = 0
    for number, line in enumerate(kept):
        if not line.strip():
            block += 1
        if has_digit(line):
            position = bisect_right(starts, number + 1)
            section = scopes[position - 1][1] if position else ""
            runs.append(Run(text=line, whole=lines[number], place="comment", section=section, line=number + 1, column=1, block=block))
    return Layout(runs=tuple(runs), binding_lines=tuple(kept))


def _find_scopes(text: str) -> list[tuple[int, str]]:
    """The lines, from 1, at which a class or function begins or ends, and the name that holds from there on."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return [(number, found[1]) for number, line in enumerate(text.splitlines(), start=1) if (found := _DEFINITION.match(line))]
    scopes: list[tuple[int, str]] = []

    def visit(node: ast.AST, name: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                inner = f"{name}.{child.name}".lstrip(".")
                scopes.append((child.lineno, inner))
                visit(child, inner)
                scopes.append(((child.end_lineno or child.lineno) + 1, name))

    visit(tree, "")
    return sorted(scopes, key=lambda scope: scope[0])


# What starts a comment, by the language of a code block. In any other language, except plain text, it is #.
_MARKS = {
    **dict.fromkeys(
        ("c", "cpp", "c++", "cuda", "java", "javascript", "js", "ts", "typescript", "go", "rust", "rs", "swift", "kotlin"), "//"
    ),
    **dict.fromkeys(("sql", "lua", "haskell"), "--"),
    **dict.fromkeys(("matlab", "latex", "tex"), "%"),
    **dict.fromkeys(("json", "mermaid", "html", "xml", "csv"), ""),
}
PLAIN_LANGUAGES = frozenset({"", "text", "txt", "plain", "plaintext", "console", "output", "none", "markdown", "md"})
_PYTHON = frozenset({"python", "py", "python3", "pycon", "ipython"})


def mask_code(lines: list[str], language: str) -> list[str]:
    """The lines of a code block with everything masked except comments and, in Python, docstrings."""
    mark = _MARKS.get(language, "#")
    kept, quote = [], ""
    for line in lines:
        text, quote = _keep_line(line, mark, quote, docstrings=language in _PYTHON)
        kept.append(text)
    return kept


def _keep_line(line: str, mark: str, quote: str, *, docstrings: bool) -> tuple[str, str]:
    """One line with its code masked, and the triple quote that is open at its end."""
    kept, position = [], 0
    while position < len(line):
        if quote:
            end = line.find(quote, position)
            stop = len(line) if end < 0 else end
            kept.append(line[position:stop])
            if end >= 0:
                kept.append("   ")
                quote, stop = "", end + 3
            position = stop
        elif docstrings and line[position : position + 3] in ('"""', "'''"):
            is_statement = not line[:position].strip(" \trRuU")
            opening = line[position : position + 3]
            if not is_statement:  # a string value, not a docstring
                end = line.find(opening, position + 3)
                stop = len(line) if end < 0 else end + 3
                kept.append(" " * (stop - position))
                position = stop
            else:
                kept.append("   ")
                quote, position = opening, position + 3
        elif line[position] in "\"'":
            stop = _skip_string(line, position)
            kept.append(" " * (stop - position))
            position = stop
        elif mark and line.startswith(mark, position) and (mark != "#" or position == 0 or line[position - 1] in " \t;"):
            kept.append(" " * len(mark) + line[position + len(mark) :])
            break
        else:
            kept.append(" ")
            position += 1
    return "".join(kept), quote


def _skip_string(line: str, start: int) -> int:
    """The position after the string that begins at `start`. A quote without an end is an apostrophe."""
    position = start + 1
    while position < len(line):
        if line[position] == "\\":
            position += 1
        elif line[position] == line[start]:
            return position + 1
        position += 1
    return start + 1
