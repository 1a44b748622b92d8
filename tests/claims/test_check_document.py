"""The check of a document: its claims, its coverage, its outcome and its corrections."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from archaudit.config import load_config
from archaudit.errors import ConfigError, InputError
from archaudit.pipeline.claims import DocumentJudgement, check_document
from archaudit.pipeline.drafts import draft_document
from archaudit.pipeline.options import Options
from archaudit.schema import Environment, Profile, Provenance, decode_profile, encode

Notes = Callable[..., Path]
Pair = tuple[str, str]

CLAIM = '[[claims]]\nfigure = "{}"\nmetric = "params"\n'


def findings(judgement: DocumentJudgement) -> list[tuple[str, str | None]]:
    return [(verdict.expected, verdict.finding) for verdict in judgement.verdicts]


def test_claims_in_the_file_and_in_the_document_are_judged_together(notes: Notes, saved_pair: Pair) -> None:
    path = notes("Now 2.52M, once 6.83M <!-- claim: params before -->.\n", CLAIM.format("2.52M"))
    judgement = check_document(path, Options(), saved_pair, strict=True)
    assert findings(judgement) == [("2.52M", "true"), ("6.83M", "true")]
    assert judgement.outcome == "passed"
    assert (len(judgement.coverage.bound), judgement.coverage.total) == (2, 2)


def test_claims_of_the_config_that_name_the_document_are_judged(notes: Notes, saved_pair: Pair, tmp_path: Path) -> None:
    path = notes("Now 2.52M and 3M.\n")
    config = tmp_path / "archaudit.toml"
    config.write_text(
        f'[models.after]\nreference = "{saved_pair[1]}"\n'
        '[[claims]]\ndocument = "NOTES.md"\nfigure = "2.52M"\nmetric = "params"\nmodel = "after"\n'
        '[[claims]]\ndocument = "OTHER.md"\nfigure = "3M"\nmetric = "params"\nmodel = "after"\n'
    )
    judgement = check_document(path, Options(config=load_config(config)))
    assert findings(judgement) == [("2.52M", "true")]
    assert [number.text for number in judgement.coverage.uncovered] == ["3M"]


def test_a_false_claim_fails_unless_it_is_expected(notes: Notes, saved_pair: Pair) -> None:
    path = notes("Once 5M <!-- claim: params before -->.\n")
    assert check_document(path, Options(), saved_pair).outcome == "failed"
    path = notes("Once 5M <!-- claim: params before, expect false: a slip -->.\n")
    assert check_document(path, Options(), saved_pair).outcome == "passed"
    path = notes("Once 6.83M <!-- claim: params before, expect false: a slip -->.\n")
    judgement = check_document(path, Options(), saved_pair)
    assert (judgement.outcome, judgement.verdicts[0].finding) == ("failed", "true")


def test_a_number_that_no_claim_covers_fails_only_when_strict(notes: Notes, saved_pair: Pair) -> None:
    path = notes("Now 2.52M <!-- claim: params after -->, or 17 %.\n")
    assert check_document(path, Options(), saved_pair).outcome == "passed"
    assert check_document(path, Options(), saved_pair, strict=True).outcome == "failed"
    path = notes("Now 2.52M <!-- claim: params after -->, or 17 % <!-- claim: exempt: a guess -->.\n")
    assert check_document(path, Options(), saved_pair, strict=True).outcome == "passed"


@pytest.mark.parametrize("text", ["", "No numbers here.\n", "17 %\n", "17 % <!-- claim: exempt: a guess -->\n"])
def test_a_document_without_judged_claims_does_not_pass(notes: Notes, text: str) -> None:
    assert check_document(notes(text), Options()).outcome == "inconclusive"


def test_a_claim_that_the_document_does_not_make_is_unbound(notes: Notes, saved_pair: Pair) -> None:
    path = notes("Now 2.5M.\n", CLAIM.format("2.52M"))
    judgement = check_document(path, Options(), saved_pair)
    assert (judgement.outcome, findings(judgement)) == ("inconclusive", [("2.52M", "unbound")])
    assert judgement.verdicts[0].reason == "the document does not contain 2.52M, or other claims are about it"


def test_a_claim_in_words_needs_no_number(notes: Notes, saved_pair: Pair) -> None:
    claims = '[[claims]]\nfigure = "new"\nmetric = "presence"\nscope = "mid_level_project"\nagainst = "before"\n'
    assert check_document(notes("There is a mid-level projection now.\n", claims), Options(), saved_pair).outcome == "passed"


def test_another_reading_is_inconclusive_until_it_is_expected(notes: Notes, saved_pair: Pair) -> None:
    judgement = check_document(notes("2.55 GFLOPs <!-- claim: flops after -->\n"), Options(), saved_pair)
    assert (judgement.outcome, judgement.verdicts[0].reading) == ("inconclusive", "MACs, called FLOPs")
    path = notes("2.55 GFLOPs <!-- claim: flops after, expect other reading: as the paper counts -->\n")
    assert check_document(path, Options(), saved_pair).outcome == "passed"


def test_a_unit_can_be_in_the_heading_of_a_table(notes: Notes, saved_pair: Pair) -> None:
    claims = '[[claims]]\nfigure = "2.52"\nunit = "M"\nmetric = "params"\n[[claims]]\nfigure = "2.56"\nunit = "GMACs"\nmetric = "macs"\n'
    text = "| | Params (M) | GMACs |\n|---|---|---|\n| new | 2.52 | 2.56 |\n"
    judgement = check_document(notes(text, claims), Options(), saved_pair, fix=True)
    assert findings(judgement) == [("2.52 M", "true"), ("2.56 GMACs", "false")]
    assert judgement.corrections[0].after == text.replace("2.56", "2.55")
    assert judgement.corrections[1].after == claims.replace("2.56", "2.55")


# --- evidence


def test_a_document_cannot_be_checked_against_itself(notes: Notes, saved_pair: Pair, tmp_path: Path) -> None:
    path = notes("2.52M <!-- claim: params after -->\n")
    after = decode_profile(Path(saved_pair[1]).read_bytes(), "after")
    made_from_it = Provenance(environment=Environment(archaudit="", python="", torch="", platform=""), rung="meta", sources=(str(path),))
    copied: Profile = msgspec.structs.replace(after, provenance=made_from_it)
    (tmp_path / "copy.json").write_bytes(encode(copied))
    with pytest.raises(ConfigError, match=r"is read from NOTES\.md itself"):
        check_document(path, Options(), (saved_pair[0], str(tmp_path / "copy.json")))


def test_a_document_that_cannot_be_read_is_reported(tmp_path: Path, saved_pair: Pair) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        check_document(tmp_path / "none.md", Options(), saved_pair)
    (tmp_path / "binary.md").write_bytes(b"\xff\xfe5M")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        check_document(tmp_path / "binary.md", Options(), saved_pair)


def test_a_fault_in_the_document_or_its_claims_names_its_place(notes: Notes, saved_pair: Pair) -> None:
    with pytest.raises(ConfigError, match=r"NOTES\.md\.claims\.toml: claims\[0\]\.metric: 'parms' is not known; did you mean 'params'\?"):
        check_document(notes("5M", CLAIM.format("5M").replace("params", "parms")), Options(), saved_pair)
    with pytest.raises(ConfigError, match=r"OTHER\.md:3: claims\[0\]\.model: 'aftr' is not in \[models\]; did you mean 'after'\?"):
        check_document(notes("\n\n5M <!-- claim: params aftr -->", name="OTHER.md"), Options(), saved_pair)


# --- the example's own change note


def read_example() -> tuple[str, str]:
    folder = resources.files("archaudit.examples.segmentation")
    return tuple((folder / name).read_text(encoding="utf-8") for name in ("CHANGES.md", "CHANGES.md.claims.toml"))  # type: ignore[return-value]


def test_the_note_of_the_example_is_covered_and_its_false_figures_are_found(notes: Notes, saved_pair: Pair) -> None:
    judgement = check_document(notes(*read_example(), name="CHANGES.md"), Options(), saved_pair, strict=True)
    assert judgement.outcome == "passed"
    assert judgement.coverage.total == len(judgement.coverage.bound) + len(judgement.coverage.exempt) >= 40
    assert [verdict.expected for verdict in judgement.verdicts if verdict.finding == "false"] == ["884,736", "42x", "28x", "1.4M"]


def test_a_changed_figure_in_the_note_is_found_and_corrected(notes: Notes, saved_pair: Pair, tmp_path: Path) -> None:
    text, claims = read_example()
    changed = text.replace("3,065,600", "3,065,601").replace("10.3x", "11.3x").replace("589,824", "589,284")
    path = notes(changed, claims.replace("589,824", "589,284"), name="CHANGES.md")
    judgement = check_document(path, Options(), saved_pair, strict=True, fix=True)
    assert judgement.outcome == "failed"
    wrong = [verdict.expected for verdict in judgement.verdicts if verdict.outcome == "failed"]
    assert wrong == ["589,284", "11.3x", "3,065,601"]
    # 589,284 is there twice, so the claim is ambiguous and not corrected
    assert judgement.corrections[0].after == changed.replace("3,065,601", "3,065,600").replace("11.3x", "10.3x")
    assert len(judgement.corrections) == 1


# --- corrections


def test_a_corrected_document_holds(notes: Notes, saved_pair: Pair) -> None:
    claims = (
        "# kept\n" + CLAIM.format("2.61M") + '[[claims]]\nfigure = "[B, 64, H/4, W/4]"\nmetric = "shape"\nscope = "mid_level_project"\n'
    )
    path = notes("\ufeffNow 2.61M — it was 7,000,000 <!-- claim: params before -->.\r\nGives [B, 64, H/4, W/4].\r\n", claims)
    judgement = check_document(path, Options(), saved_pair, fix=True)
    for correction in judgement.corrections:
        Path(correction.path).write_bytes(correction.after.encode())
    expected = "\ufeffNow 2.52M — it was 6,831,509 <!-- claim: params before -->.\r\nGives [B, 32, H/8, W/8].\r\n"
    assert path.read_bytes().decode() == expected
    assert check_document(path, Options(), saved_pair, strict=True, fix=True).outcome == "passed"
    assert path.with_name("NOTES.md.claims.toml").read_text().startswith('# kept\n[[claims]]\nfigure = "2.52M"')


def test_a_claim_that_is_expected_to_be_false_or_ambiguous_is_not_corrected(notes: Notes, saved_pair: Pair) -> None:
    text = "5M <!-- claim: params after, expect false: a slip -->, <2M <!-- claim: params after -->, 1-2M <!-- claim: params after -->\n"
    judgement = check_document(notes(text), Options(), saved_pair, fix=True)
    assert judgement.outcome == "failed"
    assert judgement.corrections == ()


# --- drafts


def test_the_claims_of_a_draft_can_be_checked_at_once(notes: Notes, saved_pair: Pair) -> None:
    text = (
        "# Change\n\nFrom 6.83M to 2.52M parameters, 63% fewer.\n\n```python\n# BEFORE\nself.decoder = Sequential(\n"
        "    Conv2d(304, 256),  # 884,736 params!\n    Conv2d(256, 256),  # 589,824 params!\n```\n\n"
        "AFTER: `aspp` gives [B, 128, H/16, W/16].\n\nAnd 17 apples.\n"
    )
    toml = draft_document(notes(text), *saved_pair, Options())
    path = notes(text, toml)
    judgement = check_document(path, Options(), saved_pair)
    assert [(verdict.expected, verdict.model, verdict.metric, verdict.scope, verdict.finding) for verdict in judgement.verdicts] == [
        ("6.83M", "before", "params", "", "true"),
        ("2.52M parameters", "after", "params", "", "true"),
        ("63%", "after", "params", "", "true"),
        ("884,736 params", "before", "params", "decoder.0", "false"),
        ("589,824 params", "before", "params", "decoder.3", "true"),
        ("[B, 128, H/16, W/16]", "after", "shape", "aspp", "true"),
    ]
    assert [number.text for number in judgement.coverage.uncovered] == ["17"]
    assert "confidence" in toml
    assert "measured 700,416: false" in toml
    assert '# figure = "17"' in toml


def test_a_draft_reads_units_and_sides_from_the_headings_of_columns(notes: Notes, saved_pair: Pair) -> None:
    text = (
        "| part | Params before (K) | Params after (K) | change [%] |\n|:--|--:|--:|--:|\n| aspp | 4607 | 1541 | 66.5 |\n"
        "| decoder stage 1 | 700.9 | 22.2 | 96.8 |\n\n"
        "model | GMACs | Params, M\n--|--|--\nbefore | 26.35 | 6.83\nafter | 2.55 | 2.52\n"
    )
    path = notes(text)
    path = notes(text, draft_document(path, *saved_pair, Options()))
    judgement = check_document(path, Options(), saved_pair, strict=True)
    assert judgement.outcome == "passed"
    assert [(verdict.expected, verdict.model, verdict.metric, verdict.scope) for verdict in judgement.verdicts] == [
        ("4607 K", "before", "params", "aspp"),
        ("1541 K", "after", "params", "aspp"),
        ("66.5 %", "after", "params", "aspp"),
        ("700.9 K", "before", "params", "decoder.0 + decoder.1 + decoder.2"),
        ("22.2 K", "after", "params", "decoder_stage1"),
        ("96.8 %", "after", "params", "decoder_stage1"),
        ("26.35 GMACs", "before", "macs", ""),
        ("6.83 M", "before", "params", ""),
        ("2.55 GMACs", "after", "macs", ""),
        ("2.52 M", "after", "params", ""),
    ]


def test_a_draft_compares_the_two_sides_of_a_group(notes: Notes, saved_pair: Pair) -> None:
    text = "Decoder stage 1 has 31.6x fewer params; in all 26.35 → 2.55 GMACs.\n"
    path = notes(text)
    path = notes(text, draft_document(path, *saved_pair, Options()))
    judgement = check_document(path, Options(), saved_pair, strict=True)
    assert [(verdict.expected, verdict.scope, verdict.finding) for verdict in judgement.verdicts] == [
        ("31.6x", "decoder_stage1", "true"),
        ("26.35 GMACs", "", "true"),
        ("2.55 GMACs", "", "true"),
    ]


def test_a_draft_of_the_example_has_right_proposals_for_most_numbers(notes: Notes, saved_pair: Pair) -> None:
    text = read_example()[0]
    plain = "\n".join(line.partition("<!--")[0] for line in text.splitlines())
    path = notes(plain)
    path = notes(plain, draft_document(path, *saved_pair, Options()))
    judgement = check_document(path, Options(), saved_pair)
    assert len(judgement.coverage.bound) >= 0.65 * judgement.coverage.total
    false = {verdict.expected for verdict in judgement.verdicts if verdict.finding == "false"}
    assert {"884,736"} <= false
    assert sum(verdict.finding == "true" for verdict in judgement.verdicts) >= 0.7 * len(judgement.verdicts)


def test_a_document_without_numbers_has_no_draft(notes: Notes, saved_pair: Pair) -> None:
    assert draft_document(notes("Nothing here.\n"), *saved_pair, Options()) == ""


def test_hostile_text_is_quoted_in_a_draft(notes: Notes, saved_pair: Pair) -> None:
    path = notes('# a "b" \\ \x1b[31m\n\n2.52M params \x7f "quoted" \\u0041 [[claims]]\n')
    path = notes(path.read_text(), draft_document(path, *saved_pair, Options()))
    assert [verdict.finding for verdict in check_document(path, Options(), saved_pair).verdicts] == ["true"]


def test_a_draft_calls_a_column_of_flops_that_counts_macs_macs(notes: Notes, saved_pair: Pair, tmp_path: Path) -> None:
    # 26,349,592,576 and 2,552,217,600 MACs are 26.35G and 2.55G; the operations are twice as many
    for name, saved in zip(("big", "small"), saved_pair, strict=True):
        (tmp_path / f"{name}.json").write_bytes(Path(saved).read_bytes())
    pair = (str(tmp_path / "big.json"), str(tmp_path / "small.json"))
    text = "# T\n\n| Model | FLOPs |\n|---|---|\n| big | 26.35G |\n| small | 2.55G |\n"
    toml = draft_document(notes(text), *pair, Options())
    assert toml.count('metric = "macs"') == 2
    judgement = check_document(notes(text, toml), Options(), pair)
    assert [verdict.finding for verdict in judgement.verdicts] == ["true", "true"]
