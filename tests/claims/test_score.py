"""The score: the share of claims with known verdicts that are judged right. No false claim may be called true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from claims.corpus import PLANTED, PUBLISHED, ROUNDING, Row
from factories import make_profile

from archaudit.config import load_example_config, read_claims
from archaudit.judge import judge
from archaudit.schema import Check, Profile, Verdict

LEAST_CLAIMS, LEAST_SHARE = 335, 1.0

ProfileOf = Callable[[str], Profile]

# The example's document: worked out by hand, these four figures are false and all others are true.
FALSE_IN_THE_DOCUMENT = {"stage1-before", "stage1-ratio", "stage2-ratio", "decoder-convolutions-before"}


def read_row(row: Row, name: str) -> Check:
    """The check of a row, read as a claim of a config."""
    model, _, other = (part.strip() for part in row.model.partition("<"))
    table: dict[str, Any] = {"id": name, "figure": row.figure, "metric": row.metric, "model": model, "scope": row.scope or ""}
    if other:
        table["against"] = other
    if other and not row.metric.startswith("presence"):
        table["comparison"] = "percent" if row.figure.endswith("%") else "ratio" if row.figure.endswith("x") else "difference"
    return read_claims([table], [model, other], "corpus")[0]


def judge_row(row: Row, profile_of: ProfileOf) -> Verdict:
    check = read_row(row, row.figure)
    names = filter(None, (check.model, check.against))
    return judge([check], {name: profile_of(name) for name in names}, {})[0]


def describe(verdict: Verdict) -> str:
    return "other" if verdict.finding == "other reading" else str(verdict.finding)


def judge_corpus(profile_of: ProfileOf) -> list[tuple[str, str, str, Verdict]]:
    """Every claim: its text, the verdict by hand, the verdict judged, and all of it."""
    judged = []
    for row in (*PUBLISHED, *PLANTED):
        verdict = judge_row(row, profile_of)
        judged.append((" ".join(row[:4]), row.verdict, describe(verdict), verdict))
    for row in ROUNDING:
        profiles = {name: make_profile({"a": int(name)}, name=name) for name in (part.strip() for part in row.model.split("<"))}
        verdict = judge_row(row, profiles.__getitem__)
        judged.append((" ".join(row[:4]), row.verdict, describe(verdict), verdict))
    checks = [check for check in load_example_config().checks if check.origin == "claim"]
    for verdict in judge(checks, {name: profile_of(name) for name in ("before", "after")}, {}):
        judged.append((verdict.id, "false" if verdict.id in FALSE_IN_THE_DOCUMENT else "true", describe(verdict), verdict))
    return judged


def test_the_score_of_claims_with_known_verdicts(profile_of: ProfileOf, capsys: pytest.CaptureFixture[str]) -> None:
    judged = judge_corpus(profile_of)
    wrong = [f"{text}: {found}, by hand {right} ({verdict.reason})" for text, right, found, verdict in judged if found != right]
    share = 1 - len(wrong) / len(judged)
    with capsys.disabled():
        print(f"\nclaims: {len(judged) - len(wrong)} of {len(judged)} as worked out by hand ({share:.1%})", *wrong, sep="\n  ")  # noqa: T201
    assert len(judged) >= LEAST_CLAIMS
    assert share >= LEAST_SHARE
    assert [text for text, right, found, _ in judged if found == "true" and right != "true"] == []


def test_the_claims_of_the_example_have_the_expected_verdicts(profile_of: ProfileOf) -> None:
    checks = [check for check in load_example_config().checks if check.origin == "claim"]
    verdicts = judge(checks, {name: profile_of(name) for name in ("before", "after")}, {})
    assert len(checks) >= 40
    assert {verdict.outcome for verdict in verdicts} == {"passed"}
    assert {verdict.id for verdict in verdicts if verdict.finding == "false"} == FALSE_IN_THE_DOCUMENT


@pytest.mark.parametrize(
    ("claim", "actual", "reason"),
    [
        ("stage1-before", 700_416, "This figure fits a 3x3 convolution from 384 channels; the code has 256+48 = 304."),
        ("stage1-ratio", 700_928 / 22_176, "Follows from the document's own figures, 884,736 / ~21K, of which the first is false."),
        (
            "stage2-ratio",
            590_336 / 22_176,
            "Follows from the document's own figures, 589,824 / ~21K, which are true, but ~21K was measured as 22,176.",
        ),
        ("separable-saving", 184_320 / 21_920, "measured 8.409x"),
        ("aspp-saving", 3_065_600, "3,065,600 (4,606,976 − 1,541,376)"),
        ("decoder-convolutions-before", 1_290_240, "document says 1.4M, measured 1,290,240"),
    ],
)
def test_a_false_figure_is_explained_by_measured_values(profile_of: ProfileOf, claim: str, actual: float, reason: str) -> None:
    checks = [check for check in load_example_config().checks if check.origin == "claim"]
    verdicts = {verdict.id: verdict for verdict in judge(checks, {name: profile_of(name) for name in ("before", "after")}, {})}
    assert verdicts[claim].actual == pytest.approx(actual)
    assert reason in verdicts[claim].reason
