"""Repositories whose content or settings are unusual: nothing is downloaded, no program of the user runs, no name stops anything."""

import os
import subprocess

import pytest
from repositories import Repo

from archaudit.errors import RevisionError
from archaudit.history import bisect, trace_history
from archaudit.pipeline import Options, profile
from archaudit.revisions import find_repository, open_checkout

PLAIN = Options(other_counters=False)
NET = """
import torch
from torch import nn
import impl

class Net(nn.Linear):
    def __init__(self):
        super().__init__(8, impl.WIDTH)

def example_inputs():
    return torch.zeros(1, 8)
"""


@pytest.fixture
def linked(make_repo, monkeypatch):
    """impl.py is a link to small.py (4 outputs), from the third commit on to large.py (6 outputs); the others change a note."""
    repo = make_repo()
    (repo.folder / "impl.py").symlink_to("small.py")
    repo.commit("one", **{"net.py": NET, "small.py": "WIDTH = 4\n", "large.py": "WIDTH = 6\n"})
    repo.commit("two", note="x")
    (repo.folder / "impl.py").unlink()
    (repo.folder / "impl.py").symlink_to("large.py")
    repo.commit("three")
    repo.commit("four", note="y")
    monkeypatch.chdir(repo.folder)
    return repo


def test_history_shows_the_commit_that_points_a_link_elsewhere(linked):
    steps = trace_history("net.py:Net", None, PLAIN).steps
    assert [(step.subject, step.totals.params) for step in steps] == [("one", 9 * 4), ("three", 9 * 6)]


@pytest.mark.parametrize("cached", [True, False])
def test_bisect_finds_the_commit_that_points_a_link_elsewhere(linked, cached):
    options = Options(other_counters=False, cached=cached)
    for _ in range(1 + cached):  # the second time from the cache
        found = bisect("net.py:Net", None, "params > 40", options)
        assert (found.outcome, found.first.subject) == ("found", "three")


def test_a_file_name_that_is_not_utf8_stops_nothing(linked, tmp_path):
    (linked.folder / os.fsdecode(b"data\xff.txt")).write_text("1")
    (linked.folder / os.fsdecode(b"module\xff.py")).write_text("1")
    linked.commit("five")
    assert profile("net.py:Net@HEAD", PLAIN).totals.params == 9 * 6
    assert trace_history("net.py:Net", None, PLAIN).steps[-1].totals.params == 9 * 6
    assert list((tmp_path / "cache").glob("*/*.entry"))


@pytest.mark.parametrize("setting", ["smudge", "process"])
def test_filters_of_the_user_do_not_run(make_repo, tmp_path, setting):
    repo, ran = make_repo(), tmp_path / "ran"
    repo.commit("one", **{".gitattributes": "*.txt filter=my.own\n", "a.txt": "content\n"})
    repo.git("config", f"filter.my.own.{setting}", f"touch '{ran}'; cat")
    repo.git("config", "filter.my.own.required", "true")
    found = find_repository(repo.folder)
    with open_checkout(found, found.find_commit("HEAD")) as folder:
        assert (folder / "a.txt").read_text() == "content\n"
    assert not ran.exists()


def test_a_filter_in_the_environment_does_not_run(make_repo, tmp_path, monkeypatch):
    repo, ran = make_repo(), tmp_path / "ran"
    repo.commit("one", **{".gitattributes": "*.txt filter=a\n", "a.txt": "content\n"})
    for name, value in {"COUNT": "1", "KEY_0": "filter.a.smudge", "VALUE_0": f"touch '{ran}'; cat"}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    found = find_repository(repo.folder)
    with open_checkout(found, found.find_commit("HEAD")) as folder:
        assert (folder / "a.txt").read_text() == "content\n"
    assert not ran.exists()


def count_objects(repo):
    return repo.git("count-objects", "-v")


def test_a_partial_clone_is_not_completed(make_repo, tmp_path):
    source = make_repo("source")
    source.git("config", "uploadpack.allowFilter", "true")
    source.commit("one", **{"a.txt": "old content\n"})
    source.commit("two", **{"a.txt": "new content\n"})
    clone = tmp_path / "clone"
    command = ["git", "clone", "--quiet", "--filter=blob:none", f"file://{source.folder}", str(clone)]
    subprocess.run(command, check=True, capture_output=True)
    repo, found = Repo(clone), find_repository(clone)
    before = count_objects(repo)
    with open_checkout(found, found.find_commit("HEAD~1")) as folder:
        assert not (folder / "a.txt").exists()
    with pytest.raises(RevisionError) as caught:
        found.read_file(found.find_commit("HEAD~1"), "a.txt")
    assert "partial clone" in caught.value.hint
    assert count_objects(repo) == before
    with open_checkout(found, found.find_commit("HEAD")) as folder:  # its files are there
        assert (folder / "a.txt").read_text() == "new content\n"


def test_a_replaced_object_is_not_the_content_of_a_commit(make_repo):
    repo = make_repo()
    repo.commit("one", **{"a.txt": "true\n"})
    (repo.folder / "other.txt").write_text("false\n")
    repo.git("replace", repo.git("rev-parse", "HEAD:a.txt"), repo.git("hash-object", "-w", "other.txt"))
    found = find_repository(repo.folder)
    with open_checkout(found, found.find_commit("HEAD")) as folder:
        assert (folder / "a.txt").read_text() == "true\n"


def test_nothing_is_left_in_the_temporary_folder(make_repo, tmp_path):
    repo = make_repo()
    repo.commit("one", **{"a.txt": "content\n"})
    found = find_repository(repo.folder)
    with open_checkout(found, found.find_commit("HEAD")), open_checkout(found, found.find_commit("HEAD")):
        assert len(list((tmp_path / "aside").iterdir())) == 1
    assert list((tmp_path / "aside").iterdir()) == []
