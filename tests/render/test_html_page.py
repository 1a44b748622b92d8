"""The page is one file that needs nothing else, and says what matters first."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest
from render.synthetic import HOSTILE_NAMES, make_hostile_report, make_large_report

from archaudit.render import FORMATS, prepare, summary_html
from archaudit.render.templating import write_json
from archaudit.schema import Report


def test_it_asks_the_network_for_nothing(report: Report) -> None:
    text = FORMATS["html"](report)
    assert not re.search(r"https?://|src=|url\(|@import|<link|<script [^t]|<iframe| on\w+=| style=", text)


def test_its_policy_allows_its_own_style_and_scripts_only(report: Report) -> None:
    text = FORMATS["html"](report)
    (style,) = (_digest(found) for found in re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    start, script = (_digest(found) for found in re.findall(r"<script>(.*?)</script>", text, re.DOTALL))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; style-src 'sha256-{style}'; script-src 'sha256-{script}' 'sha256-{start}'; base-uri 'none'; "
        "form-action 'none'"
    )


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_verdict_and_numbers_come_before_everything_else(report: Report) -> None:
    text = FORMATS["html"](report)
    places = [
        text.index(part)
        for part in (
            "FAILED",
            "<h1 ",
            'class="tiles"',
            'class="fall"',
            'id="flow"',
            'id="sections"',
            'id="claims"',
            'id="layers"',
            'id="checks"',
        )
    ]
    assert places == sorted(places)
    assert text.index('id="other-counters"') < text.index('id="ledger"') < text.index('id="method"')


def test_both_other_counters_are_shown_next_to_our_counts(report: Report) -> None:
    """Of the synthetic report, torchinfo counts the MACs of the input twice."""
    text = FORMATS["html"](report)
    assert '<th class="t" rowspan="2" scope="col">Other counters' in text
    rows = re.findall(r'<tr id="layer-[^"]*".*?(?=<tr id=|</table>)', text, re.DOTALL)
    others = [row.rpartition("<td")[2].partition(">")[2].strip() for row in rows]
    assert "=" in others
    assert any(re.search(r'<small title="fvcore MACs [^"]+">fvcore', cell) for cell in others)


def test_every_module_has_a_row(report: Report) -> None:
    text = FORMATS["html"](report)
    for module in report.modules:
        path = module.after_path if module.after_path is not None else module.before_path
        assert f'<tr id="layer-{path or "(root)"}"' in text


def test_the_table_has_the_numbers_that_its_script_reads(report: Report) -> None:
    text = FORMATS["html"](report)
    data = re.search(r'<script type="application/json" id="tree-data">(.*?)</script>', text)
    assert data is not None
    numbers = json.loads(data[1])
    assert len(numbers) == len(re.findall("<tr id=", text))
    before, after = report.before.totals, report.after.totals
    assert numbers[0] == [0, 0, before.params, after.params, before.flops, after.flops]


def test_json_in_a_script_cannot_end_it() -> None:
    text = write_json(["</script><!--", "\u2028"])
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == ["</script><!--", "\u2028"]


def test_five_thousand_modules_stay_small() -> None:
    assert len(FORMATS["html"](make_large_report(5_000)).encode()) < 2_000_000


# --- in a notebook -----------------------------------------------------------------------------------------------------


def test_a_notebook_shows_the_verdict_and_folds_the_rest(report: Report) -> None:
    text = summary_html(report)
    shown = text.split("<details>")[0]
    assert "FAILED" in shown
    assert "1,173,069" in shown
    assert text.count("<details>") == 4
    assert not re.search(r"<style|<script|<iframe| style=| class=| id=", text)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_notebook_runs_no_name(name: str) -> None:
    text = summary_html(make_hostile_report(name))
    assert set(re.findall(r"<(\w+)", text)) == set(re.findall(r"<(\w+)", summary_html(make_hostile_report("plain"))))


def test_preparing_changes_nothing(report: Report) -> None:
    text = FORMATS["html"](report)
    prepare(FORMATS)
    assert FORMATS["html"](report) == text
