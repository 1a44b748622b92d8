"""Documents about many models: tables claimed as a whole, drafts by name, the ledger and the badge.

The example's sides are the models, as saved profiles: `big` has 6,831,509 parameters, `small` 2,516,853.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from archaudit.claims.drafting.merging import merge_draft
from archaudit.cli import main
from archaudit.errors import ConfigError, InputError
from archaudit.pipeline.claims import DocumentJudgement, check_document
from archaudit.pipeline.drafts import draft_zoo
from archaudit.pipeline.options import Options
from archaudit.render.claims_ledger import render_badge, render_ledger

Notes = Callable[..., Path]
Pair = tuple[str, str]

TABLE = """# Zoo

| Model | Acc | Params (M) | FLOPs (G) |
|---|---|---|---|
| big | 71.2 | 6.83 | 26.35 |
| small | 70.9 | 2.52 | 2.55 |
| other | 70.1 | 5.5 | 1.1 |
"""
STANZA = '[[tables]]\nmodels = "models.toml"\nname = "Model"\nparams = "Params (M)"\nmacs = "FLOPs (G)"\n'


@pytest.fixture
def zoo(notes: Notes, saved_pair: Pair, tmp_path: Path) -> Callable[..., Path]:
    """Writes a document, its claims, and a file with the two models."""

    def write(text: str = TABLE, claims: str = STANZA) -> Path:
        (tmp_path / "models.toml").write_text(
            f'[models.big]\nreference = "{saved_pair[0]}"\n[models.small]\nreference = "{saved_pair[1]}"\n'
        )
        return notes(text, claims)

    return write


def findings(judgement: DocumentJudgement) -> list[tuple[str, str | None]]:
    return [(verdict.expected, verdict.finding) for verdict in judgement.verdicts]


def test_each_figure_of_a_claimed_table_is_about_the_model_of_its_row(zoo: Callable[..., Path]) -> None:
    judgement = check_document(zoo(), Options())
    assert findings(judgement) == [("6.83 M", "true"), ("26.35 G", "true"), ("2.52 M", "true"), ("2.55 G", "true")]
    assert [(each.name, each.lines) for each in judgement.unknown] == [("other", (7,))]
    assert judgement.outcome == "passed"
    assert check_document(zoo(), Options(), strict=True).outcome == "failed"  # the figures of `other` have no claim
    exempt = STANZA + '[tables.exempt]\nother = "not ours"\n'
    strict = check_document(zoo(claims=exempt), Options(), strict=True)
    assert (strict.outcome, len(strict.coverage.exempt), strict.coverage.uncovered) == ("passed", 2, ())
    assert strict.coverage.by_rule["numbers in other columns of claimed tables"] == 3  # the accuracies


def test_swapped_rows_are_false(zoo: Callable[..., Path]) -> None:
    swapped = TABLE.replace("| big |", "| x |").replace("| small |", "| big |").replace("| x |", "| small |")
    judgement = check_document(zoo(swapped), Options())
    assert [finding for _, finding in findings(judgement)] == ["false"] * 4
    assert judgement.outcome == "failed"
    assert "(6.832M, 171.1 % more)" in judgement.verdicts[2].reason  # 6,831,509 / 2,520,000 is 2.711


def test_a_row_known_to_be_false_passes_with_its_reason_and_other_rows_do_not(zoo: Callable[..., Path]) -> None:
    wrong = TABLE.replace("6.83", "7.5").replace("2.52", "3.5")
    judgement = check_document(zoo(wrong, STANZA + '[tables.expect_false]\nbig = "the paper rounds up"\n'), Options())
    assert [(verdict.expected, verdict.finding, verdict.outcome) for verdict in judgement.verdicts] == [
        ("7.5 M", "false", "passed"),
        ("26.35 G", "true", "passed"),
        ("3.5 M", "false", "failed"),
        ("2.55 G", "true", "passed"),
    ]


def test_an_accepted_reading_makes_a_figure_true(zoo: Callable[..., Path]) -> None:
    truncated = TABLE.replace("2.52", "2.516")  # 2,516,853 cut off
    judgement = check_document(zoo(truncated), Options())
    assert (judgement.verdicts[2].finding, judgement.verdicts[2].reading) == ("false", "truncated, not rounded")
    accepted = STANZA + 'accept = ["truncated, not rounded"]\n'
    assert check_document(zoo(truncated, accepted), Options()).verdicts[2].finding == "true"


def test_a_document_that_contradicts_itself_says_where(zoo: Callable[..., Path]) -> None:
    twice = TABLE + "| big | 71.5 | 6.99 | 26.35 |\n"
    judgement = check_document(zoo(twice), Options())
    false = next(verdict for verdict in judgement.verdicts if verdict.finding == "false")
    assert "the document contradicts itself: line 5 gives 6.83 M for the same model" in false.reason


def test_a_correction_keeps_the_form_of_the_cell(zoo: Callable[..., Path]) -> None:
    judgement = check_document(zoo(TABLE.replace("6.83", "7.50")), Options(), fix=True)
    assert [correction.after for correction in judgement.corrections] == [TABLE]
    assert check_document(zoo(judgement.corrections[0].after), Options()).outcome == "passed"


def test_a_stanza_that_fits_no_table_lists_the_headings(zoo: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match=r"tables\[0\]: no table of NOTES.md has 'Model' and 'Parameters' as headings") as error:
        check_document(zoo(claims='[[tables]]\nmodels = "models.toml"\nname = "Model"\nparams = "Parameters"\n'), Options())
    assert error.value.hint == "The headings of its tables are: Model | Acc | Params (M) | FLOPs (G)."
    with pytest.raises(InputError, match="nowhere: is neither a library, a TOML file nor a folder"):
        check_document(zoo(claims=STANZA.replace("models.toml", "nowhere")), Options())


def test_a_draft_binds_by_name_and_what_it_writes_is_found_again(zoo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = zoo(TABLE + "\nThe `small` model has 2.52M parameters.\n", "")
    monkeypatch.chdir(path.parent)
    assert draft_zoo(path, ["models.toml"], Options(), measure=False).splitlines()[2] == "? other: unknown  (line 7)"
    toml = draft_zoo(path, ["models.toml"], Options())
    assert "# not known, and not checked: other: unknown  (line 7)" in toml
    assert 'macs = "FLOPs (G)"' in toml  # 26.35 G and 2.55 G are multiply-accumulates
    path.with_name("NOTES.md.claims.toml").write_text(toml)
    judgement = check_document(path, Options())
    assert {finding for _, finding in findings(judgement)} == {"true"}


def test_a_second_draft_adds_only_what_is_new() -> None:
    first = '# mine\n[[claims]]\nfigure = "5M"\nnear = "a 5M"\nmetric = "params"\nmodel = "after" # confirmed\n'
    claim = '# line {}\n[[claims]]\nfigure = "{}"\n{}metric = "macs"\nmodel = "before"\n\n'
    draft = claim.format(1, "5M", 'near = "a 5M"\n') + claim.format(2, "6M", "")
    merged = merge_draft(first, draft)
    assert merged.text.startswith(first)
    assert [block.splitlines()[0] for block in merged.added] == ["# line 2"]
    assert merge_draft(merged.text, draft).added == ()
    assert merge_draft(STANZA, STANZA).added == ()
    assert len(merge_draft(STANZA, STANZA.replace('"Model"', '"Name"')).added) == 1


def test_the_draft_command_keeps_a_file_that_a_person_edited(zoo: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = zoo(TABLE, "")
    monkeypatch.chdir(path.parent)
    arguments = ["claims", "draft", "NOTES.md", "--models", "models.toml", "-o", "NOTES.md.claims.toml"]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    file = path.with_name("NOTES.md.claims.toml")
    file.write_text(file.read_text() + "# checked by hand\n")
    before = file.read_text()
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, file.read_text()) == (0, before)
    assert "1 claims kept as they are, 0 added" in result.output


def test_the_ledger_has_every_figure_with_what_was_measured(zoo: Callable[..., Path]) -> None:
    judgement = check_document(zoo(TABLE.replace("6.83", "7.5")), Options())
    record = (judgement.document, judgement.verdicts, judgement.numbers, judgement.coverage)
    rows = list(csv.reader(io.StringIO(render_ledger(*record, ".csv"))))
    assert rows[1][:8] == ["5", "big", rows[1][2], "params", "7.5 M", "6,831,509", "-8.91 %", "✗ false"]  # 6,831,509 / 7,500,000 is 0.9109
    assert len(rows) == 5
    assert "| 5 | big |" in render_ledger(*record, ".md")
    page = render_ledger(*record, ".html")
    assert page.count("✗ false") == 1
    assert "-8.91 %" in page
    badge = render_badge(judgement.verdicts, judgement.outcome)
    assert 'aria-label="archaudit claims: 3 of 4 true"' in badge
    assert "#c62828" in badge


def test_a_claim_about_a_row_of_the_other_model_is_false(notes: Notes, saved_pair: Pair, tmp_path: Path) -> None:
    config = tmp_path / "archaudit.toml"
    config.write_text(f'[models.big]\nreference = "{saved_pair[0]}"\n[models.small]\nreference = "{saved_pair[1]}"\n')
    text = "| Model | Params (M) |\n|---|---|\n| big | 2.52 |\n| small | 6.83 |\n"
    claims = '[[claims]]\nfigure = "{}"\nunit = "M"\nnear = "| {} |"\nmodel = "{}"\nmetric = "params"\n'
    path = notes(text, claims.format("2.52", "big | 2.52", "after") + claims.format("6.83", "small | 6.83", "before"))
    from archaudit.config import load_config

    judgement = check_document(path, Options(config=load_config(config)), ("big", "small"))
    assert findings(judgement) == [("2.52 M", "false"), ("6.83 M", "false")]
    assert judgement.verdicts[0].reason.startswith("false: the row is about before, the claim about after")


def test_a_claim_can_name_a_reference_and_an_input(notes: Notes) -> None:
    # torchvision publishes 11,689,512 parameters and 1.814 GMACs at 224 pixels; at 448 the feature maps have four times the area, and the
    # classifier of 512,000 MACs stays: 4 x (1,814,073,344 - 512,000) + 512,000
    text = "ResNet-18 has 11.7M <!-- claim: params torchvision:resnet18 --> parameters, and 7,254,757,376 MACs at 448.\n"
    claims = '[[claims]]\nfigure = "7,254,757,376 MACs"\nmodel = "torchvision:resnet18"\ninput = "1x3x448x448"\nmetric = "macs"\n'
    assert [finding for _, finding in findings(check_document(notes(text, claims), Options()))] == ["true", "true"]


def test_two_figures_of_one_metric_in_a_row_are_two_claims(zoo: Callable[..., Path]) -> None:
    text = "| Model | Params (M) | Params (K) |\n|---|---|---|\n| big | 6.83 | 6832 |\n"
    both = STANZA.replace('macs = "FLOPs (G)"\n', "") + STANZA.replace('macs = "FLOPs (G)"\n', "").replace("(M)", "(K)")
    judgement = check_document(zoo(text, both), Options())
    assert findings(judgement) == [("6.83 M", "true"), ("6832 K", "true")]
    assert [len(judgement.numbers[verdict.id]) for verdict in judgement.verdicts] == [1, 1]


@pytest.mark.parametrize(
    ("written", "finding"), [("6830000", "true"), ("6831509", "true"), ("7000000", "true"), ("6840000", "false"), ("6831000", "false")]
)
def test_a_plain_number_that_ends_in_zeros_is_rounded(zoo: Callable[..., Path], written: str, finding: str) -> None:
    # 6,831,509 parameters: an index of models has no letters for millions
    judgement = check_document(zoo(TABLE.replace("6.83", written).replace("Params (M)", "Params"), STANZA.replace(" (M)", "")), Options())
    assert findings(judgement)[0][1] == finding
    assert judgement.numbers[judgement.verdicts[0].id][0].text == written


def test_what_a_stanza_calls_macs_are_macs_whatever_unit_the_heading_or_cell_has(zoo: Callable[..., Path]) -> None:
    text = TABLE.replace("FLOPs (G)", "GFLOPS").replace("| 2.55 |", "| 2.55 GFLOPs |")
    judgement = check_document(zoo(text, STANZA.replace("FLOPs (G)", "GFLOPS")), Options())
    assert findings(judgement) == [("6.83 M", "true"), ("26.35 G", "true"), ("2.52 M", "true"), ("2.55 G", "true")]
    wrong = check_document(zoo(text.replace("2.55 G", "3.55 G"), STANZA.replace("FLOPs (G)", "GFLOPS")), Options(), fix=True)
    assert [correction.after for correction in wrong.corrections] == [text]


def test_a_correction_of_a_rounded_plain_number_is_rounded(zoo: Callable[..., Path]) -> None:
    text, stanza = TABLE.replace("6.83", "2180000").replace("Params (M)", "Params"), STANZA.replace(" (M)", "")
    (correction,) = check_document(zoo(text, stanza), Options(), fix=True).corrections
    assert correction.after == text.replace("2180000", "6830000")  # 6,831,509 to ten thousands
    assert check_document(zoo(correction.after, stanza), Options()).outcome == "passed"
