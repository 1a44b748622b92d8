"""Documents that changed after their claims were written, in many ways: what is found again, and which numbers a correction touches.

`big` has 6,831,509 parameters and 26,349,592,576 MACs, `small` 2,516,853 and 2,552,217,600.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from archaudit.errors import ConfigError
from archaudit.pipeline.claims import DocumentJudgement, check_document
from archaudit.pipeline.options import Options

Notes = Callable[..., Path]
Pair = tuple[str, str]

HEAD = "# Zoo\n\n| Model | Acc | Params (M) | MACs (G) |\n|---|---|---|---|\n"
BIG, SMALL = "| big | 71.2 | 6.83 | 26.35 |\n", "| small | 70.9 | 2.52 | 2.55 |\n"
SENTENCE = "\nThe `small` model has 2.52M parameters.\n"
TEXT = HEAD + BIG + SMALL + SENTENCE
CLAIMS = (
    '[[tables]]\nmodels = "models.toml"\nname = "Model"\nparams = "Params (M)"\nmacs = "MACs (G)"\n\n'
    '[[claims]]\nfigure = "2.52M parameters"\nsource = "Zoo"\nnear = "The `small` model has 2.52M"\nmodel = "{small}"\nmetric = "params"\n'
)


@pytest.fixture
def judge_text(notes: Notes, saved_pair: Pair, tmp_path: Path) -> Callable[[str], DocumentJudgement]:
    """Judges a document under the claims that were written about TEXT, with corrections."""

    def judge_text(text: str) -> DocumentJudgement:
        (tmp_path / "models.toml").write_text(
            f'[models.big]\nreference = "{saved_pair[0]}"\n[models.small]\nreference = "{saved_pair[1]}"\n'
        )
        path = notes("", CLAIMS.replace("{small}", saved_pair[1]))
        path.write_bytes(text.encode())
        return check_document(path, Options(), strict=True, fix=True)

    return judge_text


def swap(text: str, first: str, second: str) -> str:
    return text.replace(first, "\0").replace(second, first).replace("\0", second)


UNCHANGED = {
    "moved rows": HEAD + SMALL + BIG + SENTENCE,
    "an added column": TEXT.replace("| Model |", "| Model | Year |").replace("|---|\n", "|---|---|\n").replace("big |", "big | 2015 |")
    .replace("small |", "small | 2016 |"),
    "moved columns": "# Zoo\n\n| MACs (G) | Model | Params (M) |\n|---|---|---|\n| 26.35 | big | 6.83 |\n| 2.55 | small | 2.52 |\n"
    + SENTENCE,
    "CRLF": TEXT.replace("\n", "\r\n"),
    "a mark of the byte order": "\ufeff" + TEXT,
    "tabs": TEXT.replace("| big | 71.2 |", "|\tbig\t|\t71.2\t|"),
    "a link": TEXT.replace("| big |", "| [**Big**](models/small.md) |"),
    "bold": TEXT.replace("6.83", "**6.83**"),
    "full digits": TEXT.replace("6.83", "6,831,509"),
    "full digits with thin spaces": TEXT.replace("6.83", "6\u202f831\u202f509"),
    "a decimal comma": TEXT.replace("6.83", "6,83"),
    "a range": TEXT.replace("6.83", "6.8-6.9"),
    "a footnote": TEXT.replace("| big |", "| big[^1] |") + "\n[^1]: trained for long\n",
}  # fmt: skip
# The text, and the text after the correction: the same where no number is certain.
WRONG = {
    "a figure": (TEXT.replace("6.83", "7.83"), TEXT),
    "CRLF": (TEXT.replace("6.83", "7.83").replace("\n", "\r\n"), TEXT.replace("\n", "\r\n")),
    "a mark of the byte order": ("\ufeff" + TEXT.replace("6.83", "7.83"), "\ufeff" + TEXT),
    "bold": (TEXT.replace("6.83", "**7.83**"), TEXT.replace("6.83", "**6.83**")),
    "a decimal comma": (TEXT.replace("6.83", "7,83"), TEXT.replace("6.83", "6,83")),
    "thin spaces": (TEXT.replace("6.83", "6\u202f831\u202f508"), TEXT.replace("6.83", "6\u202f831\u202f509")),
    "swapped names": (swap(TEXT, "| big |", "| small |"), HEAD + BIG.replace("big", "small").replace("6.83 | 26.35", "2.52 | 2.55")
    + SMALL.replace("small", "big").replace("2.52 | 2.55", "6.83 | 26.35") + SENTENCE),
    "another model's figure": (TEXT.replace("6.83", "2.52"), TEXT),
    "two numbers in a cell": (TEXT.replace("6.83", "6.83 (7.9)"), None),
    "a range": (TEXT.replace("6.83", "7-8"), None),
    "a renamed row": (TEXT.replace("| big |", "| bigger |"), None),
    "a renamed column of one table": (TEXT + "\n## More\n\n" + HEAD.partition("\n\n")[2].replace("Params", "Size") + BIG, None),
    "a changed sentence": (TEXT.replace("The `small` model has", "It now has"), None),
    "a sentence about another model": (TEXT.replace("The `small` model", "The `big` model"), None),
    "a number again": (TEXT + "\nThe `big` model has 2.52M parameters.\n", None),
}  # fmt: skip


@pytest.mark.parametrize("change", UNCHANGED)
def test_claims_are_found_again(judge_text: Callable[[str], DocumentJudgement], change: str) -> None:
    judgement = judge_text(UNCHANGED[change])
    assert [verdict.finding for verdict in judgement.verdicts] == ["true"] * 5
    assert (judgement.outcome, judgement.corrections) == ("passed", ())


@pytest.mark.parametrize("change", WRONG)
def test_only_certain_numbers_are_corrected(judge_text: Callable[[str], DocumentJudgement], change: str) -> None:
    text, corrected = WRONG[change]
    judgement = judge_text(text)
    assert judgement.outcome == "failed"
    assert [correction.after for correction in judgement.corrections] == ([] if corrected is None else [corrected])
    if corrected is not None:
        assert judge_text(corrected).outcome == "passed"


def test_a_merged_cell_is_the_name_of_each_of_its_rows(judge_text: Callable[[str], DocumentJudgement]) -> None:
    head = "# Zoo\n<table><tr><th>Model</th><th>Params (M)</th><th>MACs (G)</th></tr>\n"
    rows = '<tr><td rowspan="2">big</td><td>6.83</td><td rowspan="2">26.35</td></tr>\n<tr><td>7.83</td></tr></table>\n'
    judgement = judge_text(head + rows + SENTENCE)
    assert [(verdict.expected, verdict.finding) for verdict in judgement.verdicts] == [
        ("2.52M parameters", "true"), ("6.83 M", "true"), ("26.35 G", "true"), ("7.83 M", "false")
    ]  # fmt: skip
    assert [correction.after for correction in judgement.corrections] == [head + rows.replace("7.83", "6.83") + SENTENCE]


def test_a_claimed_column_that_no_table_has_is_an_error(judge_text: Callable[[str], DocumentJudgement]) -> None:
    with pytest.raises(ConfigError, match=r"no table of NOTES.md has 'Params \(M\)' as a heading"):
        judge_text(TEXT.replace("Params (M)", "Weights (M)"))
