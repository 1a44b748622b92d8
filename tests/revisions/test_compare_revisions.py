"""Models at revisions, measured: each test starts workers."""

import msgspec
import pytest

from archaudit.errors import LoadError, RevisionError
from archaudit.pipeline import Options, compare, measuring, profile
from archaudit.pipeline.measuring import measure_targets
from archaudit.pipeline.targets import resolve
from archaudit.revisions.checkout import find_checkouts_folder
from archaudit.worker import WorkerOptions

PLAIN = Options(other_counters=False, symbolic=False)


@pytest.fixture
def no_workers(monkeypatch):
    """After its call, starting a worker fails."""

    def forbid():
        def refuse(*_):
            raise AssertionError("a worker was started")

        monkeypatch.setattr(measuring, "start_workers", refuse)

    return forbid


def test_the_dirty_tree_is_compared_with_a_revision_from_a_subfolder(repo, monkeypatch):
    """The block is a relative import: from the revision at the revision, from the work tree in the work tree."""
    repo.write("models/blocks.py", (repo.folder / "models/blocks.py").read_text().replace("width, 3)", "width, 5)"))
    before = repo.state()
    monkeypatch.chdir(repo.folder / "models")
    report = compare("seg.py:Net@main", "seg.py:Net(width=4)", PLAIN)
    assert (report.before.totals.params, report.after.totals.params) == (8 * (27 + 1), 4 * (75 + 1))
    assert report.before.reference == report.before.name == "seg.py:Net@main"
    assert report.before.provenance.sources == ("models/__init__.py", "models/blocks.py", "models/seg.py")
    assert str(find_checkouts_folder()) not in msgspec.json.encode(report).decode()
    assert repo.state() == before
    assert list(find_checkouts_folder().iterdir()) == []


def test_a_range_is_compared_the_second_time_from_the_cache(repo, monkeypatch, no_workers):
    """A change of a Python file that the model does not read has no effect; a change of one that it reads has."""
    repo.commit("wider", **{"models/blocks.py": (repo.folder / "models/blocks.py").read_text().replace("width, 3)", "width, 5)")})
    monkeypatch.chdir(repo.folder)
    first = compare("main~..main", "models/seg.py:Net", PLAIN)
    assert first.delta.params == 8 * (75 - 27)
    repo.commit("unrelated", **{"models/blocks_test.py": "x = 1"})
    no_workers()
    assert compare("main~2..main~", "models/seg.py:Net", PLAIN).delta == first.delta
    again = compare("HEAD~2..HEAD~", "models/seg.py:Net", PLAIN)
    assert again.after.reference == "models/seg.py:Net@HEAD~"
    for options in (msgspec.structs.replace(PLAIN, cached=False), msgspec.structs.replace(PLAIN, inputs=("1x3x9x9",))):
        with pytest.raises(AssertionError, match="a worker was started"):
            compare("main~2..main~", "models/seg.py:Net", options)


def test_a_package_comes_from_the_revision_even_if_sys_path_has_the_work_tree(repo, monkeypatch):
    repo.write("models/blocks.py", "raise RuntimeError('the work tree')")
    monkeypatch.chdir(repo.folder)
    monkeypatch.setenv("PYTHONPATH", str(repo.folder))
    assert profile("models.seg:Net@main", PLAIN).totals.params == 224


def test_an_import_error_at_a_revision_names_the_users_paths(repo, monkeypatch):
    repo.write("models/blocks.py", "import nowhere_to_be_found")
    repo.write("weights.bin", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 12\n")
    repo.commit("broken")
    repo.git("checkout", "--quiet", "--detach", "HEAD")
    monkeypatch.chdir(repo.folder)
    with pytest.raises(LoadError, match=r"^models/seg\.py:Net@HEAD does not import: ModuleNotFoundError") as caught:
        profile("models/seg.py:Net@HEAD", PLAIN)
    assert "blocks.py:1: import nowhere_to_be_found" in caught.value.hint
    assert "weights.bin of Git LFS" in caught.value.hint
    assert str(find_checkouts_folder()) not in str(caught.value)
    assert list(find_checkouts_folder().iterdir()) == []


def test_a_revision_needs_a_separate_process(repo, monkeypatch):
    monkeypatch.chdir(repo.folder)
    with pytest.raises(RevisionError, match="its own process"):
        profile("models/seg.py:Net@main", msgspec.structs.replace(PLAIN, workers=WorkerOptions(isolated=False)))


def test_a_saved_profile_has_revisions_too(repo, monkeypatch):
    from factories import make_profile

    from archaudit.schema import encode

    repo.folder.joinpath("base.json").write_bytes(encode(make_profile({"a": 3})))
    repo.commit("baseline")
    repo.folder.joinpath("base.json").write_text("{}")
    monkeypatch.chdir(repo.folder)
    (saved,) = measure_targets([resolve("base.json@main", None)], PLAIN)
    assert saved.totals.params == 3


HARNESS = """
import torch

from models.blocks import make_block


def build():
    return make_block(4)


def example_inputs():
    return torch.zeros(1, 3, 8, 8)
"""


def test_a_harness_of_the_work_tree_builds_the_model_of_each_revision(repo, monkeypatch, no_workers):
    repo.commit("wider", **{"models/blocks.py": (repo.folder / "models/blocks.py").read_text().replace("width, 3)", "width, 5)")})
    repo.write("audit.py", HARNESS)
    monkeypatch.chdir(repo.folder)
    options = msgspec.structs.replace(PLAIN, harness="audit.py")
    report = compare("main~..main", "audit.py:build", options)
    assert (report.before.totals.params, report.after.totals.params) == (4 * 28, 4 * 76)
    assert "audit.py is from the work tree" in report.before.ledger.assumptions
    with pytest.raises(RevisionError, match=r"there is no audit\.py at main"):
        compare("main~..main", "audit.py:build", PLAIN)
    with pytest.raises(RevisionError, match=r"there is no file other\.py"):
        compare("main~..main", "audit.py:build", msgspec.structs.replace(PLAIN, harness="other.py"))
    repo.write("audit.py", HARNESS.replace("4", "5"))  # another harness is another model
    assert compare("main~..main", "audit.py:build", options).before.totals.params == 5 * 28
    no_workers()
    assert compare("main~..main", "audit.py:build", options).before.totals.params == 5 * 28
