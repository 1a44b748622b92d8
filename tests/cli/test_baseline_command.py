"""`archaudit baseline`, and baselines from elsewhere: the ratchet, git revisions, scenarios."""

import subprocess

import pytest
from factories import make_cost, make_profile

from archaudit.schema import encode, encode_baseline

CONFIG = """# what the team agreed on
[models.net]
reference = "net.json"   # saved

[models.other]
reference = "other.json"

[[budgets]]
id = "cap"
metric = "params"
max = "3M"      # from the paper

[[budgets]]
metric = "macs"
model = "net"
max = 2_000
min = 1

[[budgets]]
metric = "buffers"
max = 5

[[budgets]]
metric = "params"
model = "net"
max = 900
reason = "wide head"
until = 2999-01-01

[[budgets]]
model = "net"
metric = "params"
max_increase = "10%"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archaudit.toml").write_text(CONFIG)
    (tmp_path / "net.json").write_bytes(encode(make_profile({"a": make_cost(500, 1_000)}, name="net")))
    (tmp_path / "other.json").write_bytes(encode(make_profile({"a": make_cost(700, 10, buffers=9)}, name="other")))
    (tmp_path / "baselines").mkdir()
    (tmp_path / "baselines" / "net.json").write_bytes(encode_baseline(make_profile({"a": make_cost(600, 1_000)}, name="net")))
    return tmp_path


def test_the_ratchet_lowers_what_holds_and_keeps_every_other_byte(archaudit, folder):
    result = archaudit("baseline", "--tighten")
    assert result.status == 0, result
    expected = (
        CONFIG.replace('max = "3M"      #', "max = 700      #").replace("max = 2_000", "max = 1_000").replace("min = 1", "min = 1_000")
    )
    assert (folder / "archaudit.toml").read_text() == expected
    assert "budgets[0]: max params: 3M → 700" in result.out  # by the larger of its models
    assert b'"params": 500' in (folder / "baselines" / "net.json").read_bytes()


def test_the_ratchet_turned_twice_changes_nothing_more(archaudit, folder):
    archaudit("baseline", "--tighten")
    text = (folder / "archaudit.toml").read_text()
    assert archaudit("baseline", "--tighten").status == 0
    assert (folder / "archaudit.toml").read_text() == text
    assert archaudit("check").status == 1  # buffers of other never held, and were not touched


def test_tighten_never_loosens(archaudit, folder):
    (folder / "net.json").write_bytes(encode(make_profile({"a": make_cost(800, 9_000)}, name="net")))
    before = (folder / "baselines" / "net.json").read_bytes()
    result = archaudit("baseline", "--tighten", "net")
    assert result.status == 1
    assert "kept the baseline of net: the model is worse" in result.out
    assert (folder / "baselines" / "net.json").read_bytes() == before
    assert "max = 2_000" in (folder / "archaudit.toml").read_text()


def test_a_table_in_pyproject_is_tightened_in_place(archaudit, folder):
    (folder / "archaudit.toml").unlink()
    text = CONFIG.replace("[models", "[tool.archaudit.models").replace("[[budgets", "[[tool.archaudit.budgets")
    (folder / "pyproject.toml").write_text('[project]\nname = "x" # y\n' + text)
    assert archaudit("baseline", "--tighten").status == 0
    content = (folder / "pyproject.toml").read_text()
    assert content.startswith('[project]\nname = "x" # y\n')
    assert "max = 700      # from the paper" in content


def test_without_a_config_there_is_nothing_to_tighten(archaudit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = archaudit("baseline", "--tighten")
    assert (result.status, result.err.split("\n")[0]) == (2, "archaudit: there is no config to tighten")


# --- from a git revision


def git(folder, *arguments):
    names = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *names, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def repository(folder):
    """`main` has a baseline of 600 parameters, the work tree one of 100: net has 500."""
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    (folder / "baselines" / "net.json").write_bytes(encode_baseline(make_profile({"a": make_cost(100, 1_000)}, name="net")))
    text = '[models.net]\nreference = "net.json"\n[[budgets]]\nmodel = "net"\nmetric = "params"\nmax_increase = "10%"\n'
    (folder / "archaudit.toml").write_text(text)
    return folder


def test_a_baseline_is_read_as_it_is_at_a_revision(archaudit, repository):
    assert archaudit("check").status == 1
    assert archaudit("check", "--baseline-rev", "main").status == 0
    (repository / "baselines" / "net.json").unlink()
    assert archaudit("check", "--baseline-rev", "HEAD").status == 0
    (repository / "deep").mkdir()
    assert archaudit("check", "--baseline-rev", "main", "--baselines", "deep").status == 2  # there is none there


@pytest.mark.parametrize("revision", ["nowhere", "--output=x", "-h", "main:net.json", ""])
def test_a_revision_that_is_none_is_not_green(archaudit, repository, revision):
    result = archaudit("check", f"--baseline-rev={revision}")
    assert result.status == 2
    assert result.out == ""
    assert not (repository / "x").exists()


def test_a_revision_without_the_baseline_is_not_green(archaudit, repository):
    git(repository, "rm", "-q", "-f", "--cached", "baselines/net.json")
    git(repository, "commit", "-qm", "second")
    result = archaudit("check", "--baseline-rev", "main")
    assert result.status == 2
    assert "main has no baselines/net.json" in " ".join(result.out.split())


def test_outside_of_a_repository_there_is_no_revision(archaudit, folder, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(folder.parent))
    assert archaudit("check", "--baseline-rev", "main").status == 2


# --- scenarios


def test_each_scenario_is_measured_judged_and_has_a_baseline_of_its_own(archaudit, project):
    (project / "archaudit.toml").write_text("""
[models.net]
reference = "old.py:Net"
inputs = {small = "1x3x8x8", large = "2x3x16x16"}
[[budgets]]
metric = "macs"
max = "100K"
[[budgets]]
metric = "activation_bytes"
max_increase = 0
[[budgets]]
metric = "macs"
scenario = "small"
max = "20K"
""")
    quick = ("--no-isolation", "--no-other-counters")
    assert archaudit("baseline", *quick).status == 0
    assert sorted(path.name for path in (project / "baselines").iterdir()) == ["net.large.json", "net.small.json"]
    result = archaudit("check", *quick)
    # (8 * 27 + 2 * 8) = 232 MACs a place: 14,848 on 64 places, 118,784 on 512
    assert result.status == 1
    assert "macs-max-net-large" in result.out
    assert "5 checks, 1 failed, 4 passed" in result.out
    assert "100K budget exceeded by 18.8K (+18.8 %): 119K MACs" in " ".join(result.out.split())
    refused = archaudit("check", "--input", "1x3x8x8", *quick)
    assert (refused.status, "net has input scenarios" in refused.err) == (2, True)


# --- baselines in an earlier layout


def test_baselines_in_an_earlier_layout_are_converted_without_measuring(archaudit, folder):
    profile = make_profile({"a": make_cost(600, 1_000)}, name="net")
    (folder / "baselines" / "net.json").write_bytes(encode(profile))  # a plain profile: the layout before baselines had one
    result = archaudit("baseline", "--convert")
    assert (result.status, result.out) == (0, f"wrote {folder / 'baselines' / 'net.json'}\n")
    assert (folder / "baselines" / "net.json").read_bytes() == encode_baseline(profile)
    assert archaudit("baseline", "net", "--convert").out == f"unchanged {folder / 'baselines' / 'net.json'}\n"


def test_a_baseline_that_cannot_be_read_is_not_converted(archaudit, folder):
    (folder / "baselines" / "net.json").write_bytes(b"{}")
    result = archaudit("baseline", "--convert")
    assert (result.status, (folder / "baselines" / "net.json").read_bytes()) == (2, b"{}")
    assert "net.json is not a saved profile" in result.err


def test_the_reference_in_a_baseline_starts_at_the_folder_of_the_config(archaudit, project):
    (project / "archaudit.toml").write_text('[models.net]\nreference = "new.py:Net"\ninput = "1x3x8x8"\n')
    assert archaudit("baseline", "net").status == 0
    text = (project / "baselines" / "net.json").read_text()
    assert '"reference": "new.py:Net"' in text
    assert str(project) not in text
