r"""A table as LaTeX with booktabs, which compiles with pdfLaTeX, XeLaTeX and LuaLaTeX in any font encoding.

Text is escaped for TeX: special characters as commands, accented letters as accents, other signs of Unicode as their code point
(`\texttt{U+4E2D}`), because pdfLaTeX stops at a character that its fonts do not have.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby

from archaudit.render.exports.tables import Table, TableColumn

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # babel makes the plain sign a command in several languages
    '"': '{\\string"}',
    # after ? and ! it becomes another sign
    "`": "{`}",
    # otherwise an option of the line break before it
    "[": "{[}",
    "*": "{*}",
}
_SIGNS = {
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "↔": r"\leftrightarrow",
    "×": r"\times",
    "·": r"\cdot",
    "−": "-",
    "±": r"\pm",
    "≥": r"\geq",
    "≤": r"\leq",
    "≠": r"\neq",
    "≈": r"\approx",
    "≡": r"\equiv",
    "∞": r"\infty",
    "µ": r"\mu",
    "Δ": r"\Delta",
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "δ": r"\delta",
    "ε": r"\varepsilon",
    "λ": r"\lambda",
    "μ": r"\mu",
    "σ": r"\sigma",
}
_WORDS = {"…": r"\ldots{}", "–": "--", "—": "---", "’": "'", "‘": "{`}", "“": "``", "”": "''", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}"}
# Two of these in a row become one sign: a dash, a quotation mark.
_LIGATURES = "-,'"
# Combining accents of Unicode that every font encoding has.
_ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}


def escape_latex(text: str) -> str:
    """The text for a cell or a caption, so that TeX prints it as it is."""
    parts = []
    for previous, character in zip(" " + text, text, strict=False):
        parts.append("{}" if character == previous and character in _LIGATURES else "")
        parts.append(_escape_character(character))
    return "".join(parts)


def _escape_character(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if character in _SIGNS:
        return f"${_SIGNS[character]}$"
    if character in _WORDS:
        return _WORDS[character]
    if character.isascii():
        return character
    decomposed = unicodedata.normalize("NFD", character)
    base, accents = decomposed[0], decomposed[1:]
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents in _ACCENTS:
        return f"\\{_ACCENTS[accents]}{{{_write_dotless(base, accents)}}}"
    return rf"\texttt{{U+{ord(character):04X}}}"


def _write_dotless(base: str, accent: str) -> str:
    """An i or a j loses its dot below an accent."""
    return f"\\{base}" if base in "ij" and accent != "\u0327" else base


def write_latex(table: Table) -> str:
    """A `table` environment with the title as its caption; needs only `\\usepackage{booktabs}`."""
    columns = table.columns
    grouped = any(column.group for column in columns)
    rows = [[_write_cell(cell.text, column) for cell, column in zip(row, columns, strict=True)] for row in table.rows]
    body = [f"    {_join(row)}" for row in rows]
    if table.has_total and len(body) > 1:
        body.insert(-1, r"    \midrule")
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex('. '.join([table.title, *table.notes]))}}}",
        rf"  \begin{{tabular}}{{{''.join('r' if column.right else 'l' for column in columns)}}}",
        r"    \toprule",
        *(_write_groups(columns) if grouped else ()),
        f"    {_join([escape_latex(column.heading) for column in columns])}",
        r"    \midrule",
        *body,
        r"    \bottomrule",
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _write_groups(columns: Sequence[TableColumn]) -> Iterator[str]:
    """The line of common headings, and the rules below them."""
    cells, rules, place = [], [], 1
    for group, members in groupby(columns, key=lambda column: column.group):
        size = len(list(members))
        if group:
            cells.append(rf"\multicolumn{{{size}}}{{c}}{{{escape_latex(group)}}}")
            rules.append(rf"\cmidrule(lr){{{place}-{place + size - 1}}}")
        else:
            cells += [""] * size
        place += size
    yield f"    {_join(cells)}"
    yield f"    {' '.join(rules)}"


def _write_cell(text: str, column: TableColumn) -> str:
    """A cell; the sign of a number is a minus, not a hyphen."""
    if column.right and text[:1] == "-" and text[1:2].isdigit():
        return f"$-${escape_latex(text[1:])}"
    return escape_latex(text)


def _join(cells: Sequence[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
