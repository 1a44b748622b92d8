"""The page is one file that needs nothing else, and says what matters first."""

from __future__ import annotations

import base64
import hashlib
import re

from render.synthetic import make_large_report

from archaudit.render import FORMATS
from archaudit.schema import Report


def test_it_asks_the_network_for_nothing(report: Report) -> None:
    text = FORMATS["html"](report)
    assert not re.search(r"https?://|src=|url\(|@import|<link|<script|<iframe| on\w+=| style=", text)


def test_its_policy_allows_its_own_style_only(report: Report) -> None:
    text = FORMATS["html"](report)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].replace("&#39;", "'") == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def test_verdict_and_numbers_come_before_everything_else(report: Report) -> None:
    text = FORMATS["html"](report)
    places = [
        text.index(part) for part in ("FAILED", "<h1>", 'class="tiles"', 'id="sections"', 'id="checks"', 'id="claims"', 'id="layers"')
    ]
    assert places == sorted(places)
    assert text.index('id="witnesses"') < text.index('id="ledger"') < text.index('id="method"')


def test_both_witnesses_stand_beside_our_counts(report: Report) -> None:
    text = FORMATS["html"](report)
    for heading in ("torchinfo params", "torchinfo MACs", "fvcore MACs"):
        assert f'scope="colgroup">{heading}<' in text


def test_every_module_has_a_row(report: Report) -> None:
    layers = FORMATS["html"](report).split('id="layers"')[1]
    for module in report.modules:
        path = module.after_path if module.after_path is not None else module.before_path
        assert f"<th scope=row>{path or '(root)'}<" in layers


def test_five_thousand_modules_stay_small() -> None:
    assert len(FORMATS["html"](make_large_report(5_000)).encode()) < 2_000_000
