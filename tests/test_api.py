"""The Python API on saved profiles; the examples in its docstrings are run."""

import doctest
from html.parser import HTMLParser

import pytest
from factories import make_cost, make_profile

import archaudit
import archaudit.api

BEFORE = make_profile({"a": make_cost(100, 1_000), "b": 50}, name="<before>")
AFTER = make_profile({"a": make_cost(102, 1_000), "b": 50}, name="after")


@pytest.fixture
def report():
    return archaudit.compare(BEFORE, AFTER)


def test_the_examples_in_docstrings_run():
    result = doctest.testmod(archaudit.api)
    assert result.attempted >= 7
    assert result.failed == 0


def test_limits_are_judged_and_added_to_the_report(report):
    judged = report.check(params="<=152", macs="<1K", scope="a")
    assert [check.outcome for check in judged.checks] == ["passed", "failed"]
    assert (judged.outcome, report.outcome, report.checks) == ("failed", "inconclusive", ())
    assert "exactly the limit of 1K" in judged.checks[1].reason


@pytest.mark.parametrize(
    ("limit", "outcome"),
    [
        ({"max_increase": "1%"}, "failed"),
        ({"max_increase": "1%", "floor": 2}, "passed"),
        ({"max_increase": 2}, "passed"),
        ({"max": 151}, "failed"),
        ({"min": "0.1K", "max": "0.2K"}, "passed"),
    ],
)
def test_growth_is_relative_to_the_before_side(report, limit, outcome):
    assert report.check(params=limit).outcome == outcome


def test_a_failed_limit_names_what_grew(report):
    (check,) = report.check(params={"max_increase": 0}).checks
    assert check.reason == "152 is 2 (+1.3 %) more than <before>'s 150: 2 beyond the allowed 0; mostly a (+2)"
    assert check.model == "after"


def test_a_profile_alone_has_no_growth(report):
    assert report.after.totals.params == 152
    profile = archaudit.Profile(**{name: getattr(AFTER, name) for name in AFTER.__struct_fields__})
    assert profile.check(params="<152").outcome == "failed"
    assert profile.check(params={"max_increase": "1%"}).outcome == "inconclusive"
    assert profile.check().outcome == "inconclusive"  # no limits


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"parms": "<3"}, "there is no metric 'parms'"),
        ({"params": "3M"}, "params='3M' has no relation"),
        ({"params": "many"}, "'many' is not a number"),
        ({"params": {"maximum": 3}}, "'maximum' is no limit"),
        ({"params": {}}, "nothing is no limit"),
        ({"params": {"floor": 3}}, "nothing is no limit"),
        ({"params": {"max": "many"}}, "'many' is not a number"),
    ],
)
def test_an_unknown_metric_or_a_malformed_limit_is_an_error(report, limits, message):
    with pytest.raises(archaudit.ConfigError, match=message):
        report.check(**limits)


def test_a_notebook_gets_well_formed_html_without_scripts_and_a_shell_one_line(report):
    profile = archaudit.Profile(**{name: getattr(BEFORE, name) for name in BEFORE.__struct_fields__})
    for shown, text in ((report, "+2"), (profile, "150")):
        html = shown._repr_html_()
        tags = []
        parser = HTMLParser()
        parser.handle_starttag = lambda tag, attributes, tags=tags: tags.append(tag)
        parser.handle_endtag = lambda tag, tags=tags: tags.remove(tag)
        parser.feed(html)
        assert tags == []  # every tag is closed
        assert "<script" not in html
        assert "<before>" not in html
        assert text in html
    assert repr(report) == "<Report <before> → after: 150 → 152 params, inconclusive>"
    assert repr(profile) == "<Profile <before>: 150 params, 1.00K MACs>"
