"""Repositories, commits, ranges and checkouts, without a model."""

import signal
import subprocess
import sys
import textwrap

import pytest

from archaudit.errors import LoadError, RevisionError
from archaudit.load.reference import parse_reference
from archaudit.pipeline import Options, resolve
from archaudit.pipeline.revision_targets import open_revisions
from archaudit.pipeline.targets import resolve_pair
from archaudit.revisions import find_repository, list_missing, open_checkout, parse_range
from archaudit.revisions.checkout import find_checkouts_folder


@pytest.mark.parametrize(
    ("text", "target", "attribute", "revision"),
    [
        ("models/seg.py:Net@main", "models/seg.py", "Net", "main"),
        ("models/seg.py:Net@HEAD@{1}", "models/seg.py", "Net", "HEAD@{1}"),
        ("models/seg.py:Net@@{u}", "models/seg.py", "Net", "@{u}"),
        ("a@b/seg.py:Net@origin/feature/x", "a@b/seg.py", "Net", "origin/feature/x"),
        ("a@b/seg.py:Net", "a@b/seg.py", "Net", ""),
        ("pkg.mod:Net.small@v1.2", "pkg.mod", "Net.small", "v1.2"),
        ("seg@main~2", "seg", "", "main~2"),
        ("baselines/seg.json@main", "baselines/seg.json", "", "main"),
        ("transformers:llama@big/config.json@main", "transformers", "llama@big/config.json", "main"),
    ],
)
def test_a_revision_is_after_the_reference(text, target, attribute, revision):
    reference = parse_reference(text)
    assert (reference.target, reference.attribute, reference.revision) == (target, attribute, revision)


@pytest.mark.parametrize("text", ["seg.py:Net(name='x@y')@main", "seg.py:Net@main(name='x@y')"])
def test_arguments_are_before_or_after_the_revision(text):
    reference = parse_reference(text)
    assert (reference.arguments, reference.revision) == ({"name": "x@y"}, "main")


@pytest.mark.parametrize("text", ["torchvision:resnet50@main", "seg.py:Net@"])
def test_a_reference_that_cannot_have_a_revision_is_refused(text):
    with pytest.raises(LoadError, match="revision"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("main..HEAD", ("main", "HEAD", False)),
        ("main...feature/x.y", ("main", "feature/x.y", True)),
        ("v1.2..", ("v1.2", "HEAD", False)),
        ("..main", ("HEAD", "main", False)),
        ("HEAD@{12:00}..HEAD", ("HEAD@{12:00}", "HEAD", False)),
        ("../models/seg.py:Net", None),
        ("../baselines/seg.json", None),
        ("a/../seg.py:Net", None),
        ("before", None),
        ("..", None),
    ],
)
def test_ranges_are_distinguished_from_paths(text, expected):
    found = parse_range(text)
    assert (found and (found.start, found.end, found.from_merge_base)) == expected


@pytest.mark.parametrize("revision", ["--output=/tmp/x", "-q", "", "nope", "main\nmain", "HEAD:models", "main..HEAD"])
def test_an_invalid_revision_is_refused_and_never_an_option(repo, revision):
    with pytest.raises(RevisionError, match="revision"):
        find_repository(repo.folder).find_commit(revision)


def test_a_folder_outside_of_a_repository_is_reported(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(RevisionError, match="not in a git repository"):
        find_repository(tmp_path)


def test_a_detached_head_is_a_revision(repo):
    second = repo.commit("second", **{"a.txt": "2"})
    repo.git("checkout", "--quiet", "--detach", "HEAD~1")
    repository = find_repository(repo.folder)
    assert repository.find_commit("main") == second
    assert repository.find_commit("HEAD") != second


def test_a_shallow_clone_is_reported(repo, make_repo, tmp_path):
    repo.commit("second", **{"a.txt": "2"})
    subprocess.run(["git", "clone", "-q", "--depth=1", repo.folder.as_uri(), tmp_path / "clone"], check=True)
    repository = find_repository(tmp_path / "clone")
    assert repository.find_commit("HEAD")
    with pytest.raises(RevisionError) as caught:
        repository.find_commit("HEAD~1")
    assert "--unshallow" in str(caught.value)


def test_a_checkout_has_the_files_of_the_commit_and_is_deleted(repo):
    repo.write("models/seg.py", "dirty = True")
    repo.write("new.py", "untracked = True")
    before = repo.state()
    repository = find_repository(repo.folder / "models")
    with open_checkout(repository, repository.find_commit("main")) as folder:
        assert (folder / "models" / "blocks.py").read_text() == (repo.folder / "models" / "blocks.py").read_text()
        assert "class Net" in (folder / "models" / "seg.py").read_text()
        assert not (folder / "new.py").exists()
        assert repo.state() == before
    assert repo.state() == before
    assert list(find_checkouts_folder().iterdir()) == []


def test_export_ignore_and_hooks_have_no_effect(repo):
    repo.write(".gitattributes", "models/blocks.py export-ignore\n")
    repo.commit("attributes")
    hook = repo.folder / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{repo.folder}/hooked'\n")
    hook.chmod(0o755)
    repository = find_repository(repo.folder)
    with open_checkout(repository, repository.find_commit("HEAD")) as folder:
        assert (folder / "models" / "blocks.py").exists()
    assert not (repo.folder / "hooked").exists()


def test_a_checkout_of_a_process_that_was_killed_is_removed_by_the_next(repo):
    script = f"""
    import tempfile, time
    from pathlib import Path
    tempfile.tempdir = {str(find_checkouts_folder().parent)!r}
    from archaudit.revisions import find_repository, open_checkout
    repository = find_repository(Path({str(repo.folder)!r}))
    with open_checkout(repository, repository.find_commit("main")):
        print("open", flush=True)
        time.sleep(600)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "open\n"
        repository = find_repository(repo.folder)
        with open_checkout(repository, repository.find_commit("main")):
            assert len(list(find_checkouts_folder().glob("*.lock"))) == 2  # the other one is in use
        process.send_signal(signal.SIGKILL)
    assert len(list(find_checkouts_folder().iterdir())) == 2
    with open_checkout(repository, repository.find_commit("main")) as folder:
        assert {entry.name for entry in find_checkouts_folder().iterdir()} == {folder.parent.name, f"{folder.parent.name}.lock"}


def test_submodules_and_lfs_files_are_listed_as_missing(repo, make_repo):
    inner = make_repo("inner")
    inner.commit("inner", **{"a.txt": "1"})
    repo.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.folder), "vendor/inner")
    repo.write("weights.bin", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n")
    repo.commit("submodule")
    repository = find_repository(repo.folder)
    commit = repository.find_commit("HEAD")
    with open_checkout(repository, commit) as folder:
        assert list_missing(repository, commit, folder) == ["the submodule vendor/inner", "weights.bin of Git LFS"]


def test_a_partial_clone_is_checked_out_without_the_files_that_it_lacks(repo, tmp_path):
    repo.write("models/net.py", "x = 1\n")
    commit = repo.commit("data", **{"data/large.txt": "x" * 5000})
    repo.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--no-checkout", "--filter=blob:limit=1k", repo.folder.as_uri(), clone], check=True)
    repository = find_repository(clone)
    with open_checkout(repository, commit) as folder:
        assert (folder / "models" / "net.py").read_text() == "x = 1\n"
        assert not (folder / "data" / "large.txt").exists()
        assert list_missing(repository, commit, folder) == ["data/large.txt of a partial clone"]
    assert repository.list_absent(commit) == ["data/large.txt"]  # nothing was fetched


def test_a_renamed_file_is_found_under_its_old_name(repo, monkeypatch):
    monkeypatch.chdir(repo.folder / "models")
    repo.git("mv", "models/seg.py", "models/segmentation.py")
    targets = [resolve("segmentation.py:Net@main", None)]
    with open_revisions(targets, settings=None) as (opened,):  # renamed in the index only
        assert opened.reference.target.endswith("/models/seg.py")
        assert opened.revised.assumption == "models/segmentation.py was called models/seg.py at main"
    repo.commit("renamed")
    repo.git("mv", "models/segmentation.py", "models/third.py")
    repo.commit("again")
    before, after = resolve_pair("HEAD~2..HEAD", "third.py:Net", Options())
    with open_revisions([before, after], settings=None) as opened:
        assert [side.reference.target.rpartition("/")[2] for side in opened] == ["seg.py", "third.py"]
    assert after.key == "third.py:Net"  # budgets about the model are about the range's end


def test_a_file_that_does_not_exist_at_the_revision_is_reported(repo, monkeypatch):
    monkeypatch.chdir(repo.folder)
    repo.write("models/new.py", "x = 1")
    with (
        pytest.raises(RevisionError, match=r"there is no models/new\.py at main"),
        open_revisions([resolve("models/new.py:N@main", None)], settings=None),
    ):
        pass


def test_three_dots_compare_with_the_merge_base(repo, monkeypatch):
    monkeypatch.chdir(repo.folder)
    base = repo.git("rev-parse", "HEAD")
    repo.git("checkout", "--quiet", "-b", "feature")
    repo.commit("feature", **{"a.txt": "1"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("main goes on", **{"b.txt": "1"})
    before, after = resolve_pair("main...feature", "models/seg.py:Net", Options())
    assert (before.reference.revision, after.reference.revision) == (base, "feature")


def test_a_range_and_a_revision_exclude_each_other():
    with pytest.raises(RevisionError, match="names a revision"):
        resolve_pair("main..HEAD", "seg.py:Net@main", Options())


def test_a_path_out_of_the_repository_is_refused(repo, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(repo.folder)
    (tmp_path / "other.py").write_text("x = 1")
    with pytest.raises(RevisionError), open_revisions([resolve("../other.py:N@main", None)], settings=None):
        pass
