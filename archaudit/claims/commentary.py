"""Comments and docstrings in code blocks: what the author says about the code, apart from the code itself.

Code states nothing by itself: its numbers are what it does, and are neither claims nor counted as uncovered.
"""

from __future__ import annotations

# What starts a comment, by the language a code block is marked with. What is not here, and not plain text, has comments with #.
_MARKS = {
    **dict.fromkeys(
        ("c", "cpp", "c++", "cuda", "java", "javascript", "js", "ts", "typescript", "go", "rust", "rs", "swift", "kotlin"), "//"
    ),
    **dict.fromkeys(("sql", "lua", "haskell"), "--"),
    **dict.fromkeys(("matlab", "latex", "tex"), "%"),
    **dict.fromkeys(("json", "mermaid", "html", "xml", "csv"), ""),
}
PLAIN = frozenset({"", "text", "txt", "plain", "plaintext", "console", "output", "none", "markdown", "md"})
_PYTHON = frozenset({"python", "py", "python3", "pycon", "ipython"})


def keep_commentary(lines: list[str], language: str) -> list[str]:
    """The lines of a code block with all but comments (and in Python docstrings) blanked."""
    mark = _MARKS.get(language, "#")
    kept, quote = [], ""
    for line in lines:
        text, quote = _keep_line(line, mark, quote, docstrings=language in _PYTHON)
        kept.append(text)
    return kept


def _keep_line(line: str, mark: str, quote: str, *, docstrings: bool) -> tuple[str, str]:
    """One line with only its commentary left, and the triple quote that is still open at its end."""
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
            if not is_statement:  # a value: text that the program uses, which says nothing
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
    """Behind the string that begins at `start`; a quote without an end is an apostrophe."""
    position = start + 1
    while position < len(line):
        if line[position] == "\\":
            position += 1
        elif line[position] == line[start]:
            return position + 1
        position += 1
    return start + 1
