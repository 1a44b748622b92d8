"""The search, over fake commits, and once over real ones."""

import math
import sys

import msgspec
import pytest
from factories import make_profile
from hypothesis import given
from hypothesis import strategies as st
from repositories import Repo

from archaudit.cli import run as run_command
from archaudit.errors import ConfigError, RevisionError
from archaudit.history import bisect, parse_condition, trace_history
from archaudit.history.bisection import _Search
from archaudit.history.commits import CommitResult
from archaudit.pipeline import Options
from archaudit.pipeline import revision_targets as revised
from archaudit.render.view.histories import describe_bisection
from archaudit.schema import HistoryStep

PLAIN = Options(other_counters=False, symbolic=False)


class FakeMeasurer:
    """A measurer of fake commits, numbered from zero: the params of each, or None where it cannot be measured."""

    reference = "net.py:Net"

    def __init__(self, params):
        self.params = params
        self.measured = {}

    @property
    def count(self):
        return len(self.measured)

    def advance(self, done, total):
        assert done <= total or None in self.params  # the progress bar exceeds its total only where commits are skipped

    def measure(self, commit):
        params = self.params[int(commit)]
        profile = None if params is None else make_profile({"a": params})
        return self.measured.setdefault(commit, CommitResult(commit=commit, profile=profile, error="broken" if profile is None else None))

    def describe(self, commit, result=None):
        return HistoryStep(commit=commit, short=commit, date="2026-01-01", subject=f"commit {commit}")


def search(params, condition="params > 10"):
    measurer = FakeMeasurer(params)
    return _Search(measurer, parse_condition(condition), [str(place) for place in range(len(params))]).run()


@given(st.integers(1, 300).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))))
def test_the_first_commit_is_found_in_about_log2_profiles(drawn):
    count, first = drawn
    found = search([1] * first + [11] * (count - first))
    assert found.first.commit == str(first)
    assert found.outcome == ("found" if first else "always")
    assert found.profiles <= 1 + math.ceil(math.log2(count))


@given(st.lists(st.sampled_from([1, 11, None]), min_size=1, max_size=40))
def test_the_found_commit_satisfies_the_condition_and_the_one_before_does_not(params):
    found = search(params)
    if found.first is None:
        last = next((each for each in reversed(params) if each is not None), 1)
        assert last == 1
        assert found.outcome == ("unsure" if params[-1] is None else "never")
    else:
        first = int(found.first.commit)
        before = int(found.before.commit) if found.before is not None else -1
        assert params[first] == 11
        assert before < 0 or params[before] == 1
        assert all(params[place] is None for place in range(before + 1, first))
        assert (found.outcome == "unsure") == (first - before > 1)


def test_commits_that_do_not_build_are_skipped():
    found = search([1, 1, None, None, 1, None, 11, 11, None])
    assert (found.outcome, found.first.commit, [step.commit for step in found.skipped]) == ("unsure", "6", ["5"])
    assert search([1, None, 1, 11, None, 11]).outcome == "found"


@pytest.mark.parametrize(("params", "where"), [([None, None], "anywhere in the range"), ([1, None], "at the end of the range")])
def test_where_the_end_cannot_be_measured_the_outcome_is_unsure(params, where):
    """A reference or an input that is wrong for all commits gives no answer; neither does a scope that matches nothing."""
    found = search(params)
    assert (found.outcome, found.first) == ("unsure", None)
    assert describe_bisection(found)[0] == (
        f"It is not known whether params > 10 holds {where}: these commits could not be measured or judged"
    )
    assert search([1, 1], "params of nosuch > 3").outcome == "unsure"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("params", "is not a condition"),
        ("parms > 3", "no metric 'parms'"),
        ("params > many", "is not a number"),
        ("params > ~3M", "is not one number"),
        ("flops > 3 GMACs", "is counted in flops, not macs"),
    ],
)
def test_a_malformed_condition_is_an_error(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_condition(text)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("params > 3", True),
        ("params>=5", True),
        ("params of b <= 2", True),
        ("params = 4", False),
        ("macs < 1K", True),
        ("params of c > 1", None),
    ],
)
def test_a_condition_is_judged_over_its_scope(text, holds):
    assert parse_condition(text).judge(make_profile({"a": 3, "b": 2}))[0] is holds


NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, {width})
        assert VERSION >= 0  # the constructor reads it, so that a change of it can matter

    def forward(self, x):
        return self.head(self.stem(x).mean((2, 3)))


def example_inputs():
    return torch.zeros(1, 3, 8, 8)


VERSION = {number}
"""


@pytest.fixture
def grown(tmp_path, monkeypatch):
    """Two hundred commits: number 137 makes the head forty times as wide, 150 does not build, every tenth touches the file."""
    repo = Repo(tmp_path / "grown")
    repo.folder.mkdir()
    repo.git("init", "--quiet", "--initial-branch=main")
    trees = []
    for number in range(200):
        text = NET.format(width=10 if number < 137 else 400, number=number // 10) if number != 150 else "import nowhere"
        trees.append({"net.py": text, "log.txt": str(number)})
    repo.import_commits(trees)
    monkeypatch.chdir(repo.folder)
    return repo


def test_a_planted_growth_is_found_in_nine_profiles_and_in_the_history(grown, monkeypatch, capsys, tmp_path):
    found = bisect("net.py:Net", None, "params > 3K", PLAIN)
    assert (found.outcome, found.first.subject, found.before.subject) == ("found", "commit 137", "commit 136")
    assert (found.commits, found.first.totals.params) == (200, 3 * 8 * 9 + 8 + 9 * 400)
    assert found.profiles <= 9

    monkeypatch.setattr(
        sys, "argv", ["archaudit", "history", "net.py:Net", "main~80..main", "-o", str(tmp_path / "out"), "--no-other-counters"]
    )
    monkeypatch.setenv("COLUMNS", "90")
    with pytest.raises(SystemExit) as ended:
        run_command()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "head (Linear) +3.51K" in text
    assert "commit 150" in text
    assert "not measured: net.py:Net@" in text
    assert max(map(len, text.splitlines())) <= 90
    written = {path.suffix: path.read_text() for path in (tmp_path / "out").iterdir()}
    assert 'class="line s0"' in written[".html"]
    assert "xychart-beta" in written[".md"]

    history = trace_history("net.py:Net", "main~80..main", PLAIN)
    subjects = [int(step.subject.split()[1]) for step in history.steps]
    assert subjects == [119, 120, 130, 137, 140, 150, 151, 160, 170, 180, 190]
    jumps = [step for step in history.steps if step.jumps]
    assert [step.subject for step in jumps] == ["commit 137"]
    assert [(jump.metric, jump.layers[0].path) for jump in jumps[0].jumps] == [("params", "head"), ("flops", "head")]
    assert history.untouched == 80 - 10
    assert [step.same for step in history.steps] == [False, True, True, False, True, False, *[True] * 5]
    assert [step.structure for step in history.steps if step.structure] == ["1 with changed settings (out_features)"]


def test_profiles_measured_before_an_interruption_are_kept(grown, monkeypatch):
    measured = []
    keep = revised.cache_profile

    def keep_and_count(target, *others):
        if len(measured) == 2 and interrupting:
            raise KeyboardInterrupt
        measured.append(target.name)
        return keep(target, *others)

    monkeypatch.setattr(revised, "cache_profile", keep_and_count)
    interrupting = True
    with pytest.raises(KeyboardInterrupt):
        trace_history("net.py:Net", "main~60..main", PLAIN)
    interrupting = False
    bar = []
    counting = msgspec.structs.replace(PLAIN, on_progress=lambda done, total: bar.append((done, total)))
    history = trace_history("net.py:Net", "main~60..main", counting)
    built = [step for step in history.steps if not step.error]
    assert len(measured) == len(set(measured)) == len(built)  # each once, in either run
    assert bar == [(done, 60) for done in range(60)]


def test_an_empty_or_unknown_range_is_an_error(grown):
    for commits, message in (("main..main~3", "no commits in"), ("nope..main", "no revision 'nope'")):
        with pytest.raises(RevisionError, match=message):
            bisect("net.py:Net", commits, "params > 3K", PLAIN)
    with pytest.raises(RevisionError, match="names a revision"):
        bisect("net.py:Net@main", None, "params > 3K", PLAIN)
