r"""Tables in LaTeX: a strict reader finds only commands that every installation has, balanced braces, and as many cells in each row."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from render.synthetic import make_hostile_report, make_segmentation_report

from archaudit.render.exports import Selection, tabulate, write_table
from archaudit.render.exports.latex import escape_latex

# Commands of LaTeX's kernel, and those of booktabs that a table uses.
ACCENTS = set("`'^~=u.\"rHvc")
WORDS = {
    *(
        "textbackslash",
        "textasciitilde",
        "textasciicircum",
        "textless",
        "textgreater",
        "textbar",
        "string",
        "ldots",
        "ss",
        "o",
        "O",
        "i",
        "j",
    ),
    *("texttt", "rightarrow", "leftarrow", "leftrightarrow", "times", "cdot", "pm", "geq", "leq", "neq", "approx", "equiv", "infty"),
    *("mu", "Delta", "alpha", "beta", "gamma", "delta", "varepsilon", "lambda", "sigma"),
}
BOOKTABS = {
    *("begin", "end", "centering", "caption", "toprule", "midrule", "bottomrule", "cmidrule", "multicolumn"),
}
TOKEN = re.compile(r"\\([A-Za-z]+|.)|([{}$&#%_^~])|([^\\{}$&#%_^~]+)", re.DOTALL)
HOSTILE = '\\input{/etc/passwd} $x_1^2$ 50% & #1 ~a~ {b} "c" `d\' <e> |f| [g]* --- ?` ,, …×→≥ é ñ Ł 中 \u0301 \\\\ \x1b'


def list_tokens(text: str) -> Iterator[tuple[str, str]]:
    """(kind, text) of each token: `command`, `special`, `text`. Fails on a character that no token begins with."""
    place = 0
    while place < len(text):
        found = TOKEN.match(text, place)
        assert found is not None, text[place : place + 20]
        place = found.end()
        kind = "command" if found[1] else "special" if found[2] else "text"
        yield kind, found[1] or found[2] or found[3]


def check(text: str, allowed: set[str], cells: int = 1) -> None:
    """A cell or a row: ASCII, known commands, braces in balance, `$` in pairs, and no special character besides."""
    assert text.isascii(), text
    depth, math, separators = 0, False, 0
    for kind, token in list_tokens(text):
        if kind == "command":
            assert token in allowed | ACCENTS | set("{}$&#%_\\"), token
        elif kind == "special":
            assert token in "{}$&", token
            depth += {"{": 1, "}": -1}.get(token, 0)
            assert depth >= 0
            math ^= token == "$"
            separators += token == "&"
    assert depth == 0
    assert not math
    assert separators == cells - 1


@given(st.text(max_size=60))
def test_any_text_is_one_cell(text: str) -> None:
    escaped = escape_latex(text)
    check(escaped, WORDS)
    assert "--" not in escaped
    assert not escaped.startswith(("[", "*"))  # an option of the line break before it


def test_special_characters_are_written_as_commands() -> None:
    assert escape_latex("50% of a_b & {x}") == r"50\% of a\_b \& \{x\}"
    expected = "$\\rightarrow$ $\\times$$\\geq$ \\'{e} \\~{n} \\c{c} \\\"{\\i} \\texttt{U+4E2D}"
    assert escape_latex("→ ×≥ é ñ ç ï 中") == expected
    assert escape_latex("a--b") == "a-{}-b"


@pytest.mark.parametrize("report", [make_segmentation_report(), make_hostile_report(HOSTILE)])
@pytest.mark.parametrize("rows", ["sections", "layers", "models"])
def test_a_table_is_well_formed(report, rows: str) -> None:
    table, _ = tabulate(report, Selection(rows=rows))
    text = write_table(table, "latex")
    lines = [line.strip() for line in text.splitlines()]
    assert lines[0] == r"% \usepackage{booktabs}"
    assert lines[1] == r"\begin{table}"
    assert lines[-1] == r"\end{table}"
    assert [line for line in lines if line in (r"\toprule", r"\bottomrule")] == [r"\toprule", r"\bottomrule"]
    body = lines[lines.index(r"\toprule") + 1 : lines.index(r"\bottomrule")]
    spec = next(line for line in lines if line.startswith(r"\begin{tabular}"))
    columns = len(spec.removeprefix(r"\begin{tabular}{").removesuffix("}"))
    assert columns == len(table.columns)
    for line in body:
        if line.endswith(r"\\"):
            spanned = sum(int(number) - 1 for number in re.findall(r"\\multicolumn\{(\d+)\}", line))
            check(line.removesuffix(r"\\"), WORDS | BOOKTABS, columns - spanned)
        else:
            assert re.fullmatch(r"\\midrule|(\\cmidrule\(lr\)\{\d+-\d+\} ?)+", line), line


@pytest.mark.parametrize("report", [make_segmentation_report(), make_hostile_report(HOSTILE)])
def test_a_reader_of_latex_reads_the_table(report) -> None:
    latexwalker = pytest.importorskip("pylatexenc.latexwalker")
    text = write_table(tabulate(report, Selection(rows="layers"))[0], "latex")
    nodes, _, _ = latexwalker.LatexWalker(text, tolerant_parsing=False).get_latex_nodes()
    environments = [node for node in nodes if node.isNodeType(latexwalker.LatexEnvironmentNode)]
    assert [node.environmentname for node in environments] == ["table"]


def test_a_name_is_read_back_as_it_is() -> None:
    latex2text = pytest.importorskip("pylatexenc.latex2text")
    name = "layer_1.conv%2 {x} & $y$ #3 a~b a\\b [c] é"
    assert latex2text.LatexNodes2Text().latex_to_text(escape_latex(name)) == name
