"""The cache: an entry is found only where all that it depends on is the same."""

import sys
import textwrap

import pytest
from factories import make_profile

from archaudit.revisions import Cache, CacheKey, TreeEntry
from archaudit.revisions.cache import take_stamp
from archaudit.schema import Checkout, Footprint

PROFILE = make_profile({"a": 1})


def tree(**blobs):
    return {path.replace("_py", ".py"): TreeEntry(mode="100644", blob=blob) for path, blob in blobs.items()}


BASE = {"net_py": "1", "other_py": "2", "weights": "3"}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "kept")


def test_the_same_is_found_again(cache):
    key = CacheKey(question="q", entries=tree(**BASE))
    assert cache.find(key) is None
    assert cache.keep(key, PROFILE, Footprint(sources=("net.py",)))
    assert cache.find(key) == (PROFILE, ("net.py",))


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (BASE | {"other_py": "9"}, True),  # Python that was not read
        (BASE | {"net_py": "9"}, False),  # Python that was
        (BASE | {"weights": "9"}, False),  # may be read without Python's knowledge
        (BASE | {"new_py": "9"}, False),  # may be found where nothing was
        ({name: blob for name, blob in BASE.items() if name != "other_py"}, False),
    ],
)
def test_of_a_commit_only_python_files_that_were_not_read_may_differ(cache, entries, found):
    cache.keep(CacheKey(question="q", entries=tree(**BASE)), PROFILE, Footprint(sources=("net.py",)))
    assert (cache.find(CacheKey(question="q", entries=tree(**entries))) is not None) == found
    assert cache.find(CacheKey(question="another", entries=tree(**BASE))) is None


def test_a_file_outside_that_changed_makes_it_another(cache, tmp_path):
    outside, missing = tmp_path / "outside.py", tmp_path / "missing.py"
    outside.write_text("1")
    key = CacheKey(question="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Footprint(outside={str(path): take_stamp(str(path)) for path in (outside, missing)}))
    assert cache.find(key) is not None
    missing.write_text("now it is there")
    assert cache.find(key) is None
    missing.unlink()
    outside.write_text("22")
    assert cache.find(key) is None


def test_a_variable_that_was_asked_for_makes_it_another(cache, monkeypatch):
    monkeypatch.delenv("WIDTH", raising=False)
    key = CacheKey(question="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Footprint(environ={"WIDTH": None}))
    assert cache.find(key) is not None
    monkeypatch.setenv("WIDTH", "8")
    assert cache.find(key) is None


def test_what_reads_unseen_is_not_kept(cache):
    key = CacheKey(question="q", entries=tree(**BASE))
    assert not cache.keep(key, PROFILE, Footprint(refusal="it starts processes"))
    assert cache.find(key) is None


def test_an_entry_that_is_damaged_is_none(cache):
    key = CacheKey(question="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Footprint())
    for path in cache.folder.glob("*/*.profile"):
        path.write_bytes(path.read_bytes()[:-20])
    assert cache.find(key) is None


def test_all_that_is_read_is_noted(tmp_path):
    """In a process of its own: an audit hook cannot be taken off."""
    import subprocess

    root = tmp_path / "checkout"
    root.mkdir()
    (root / "net.py").write_text("import os, pathlib\nWIDTH = os.environ.get('WIDTH')\npathlib.Path('sizes.txt').read_text()\n")
    (root / "sizes.txt").write_text("1 2 3")
    (tmp_path / "beside.txt").write_text("outside")
    (tmp_path / "folder").mkdir()
    script = f"""
    import os, sys, pathlib
    from archaudit.schema import Checkout
    from archaudit.worker.dependencies import FootprintRecorder
    from archaudit.revisions.cache import digest_text
    recorder = FootprintRecorder(Checkout(root={str(root)!r}, toplevel="/nowhere", folder="", text="x"))
    os.chdir({str(root)!r}); sys.path.insert(0, {str(root)!r})
    import net
    open({str(tmp_path / "beside.txt")!r}).close()
    open({str(tmp_path / "written.txt")!r}, "w").close()
    taken = recorder.take()
    assert taken.sources == ("net.py", "sizes.txt"), taken.sources
    assert taken.environ["WIDTH"] == digest_text("8") != "8", taken.environ
    assert {str(tmp_path / "beside.txt")!r} in taken.outside and os.__file__ in taken.outside
    assert {str(tmp_path / "written.txt")!r} not in taken.outside
    assert taken.refusal is None
    assert not pathlib.Path({str(tmp_path / "asked.txt")!r}).exists() and os.path.isdir({str(tmp_path / "folder")!r})
    looked = recorder.take().outside
    assert looked[{str(tmp_path / "asked.txt")!r}].size is None and looked[{str(tmp_path / "folder")!r}].size == -1, looked
    import subprocess; subprocess.run(["true"])
    assert recorder.take().refusal == "it starts processes"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, env={**__import__("os").environ, "WIDTH": "8"})


def test_what_comes_from_the_tree_instead_of_the_revision_is_refused(tmp_path, monkeypatch):
    from types import ModuleType

    from archaudit.errors import LoadError
    from archaudit.load.checkout import check_origins

    (tmp_path / "tree").mkdir()
    module = ModuleType("stray_module")
    module.__file__ = str(tmp_path / "tree" / "stray_module.py")
    checkout = Checkout(root=str(tmp_path / "aside"), toplevel=str(tmp_path / "tree"), folder="", text="net.py:Net@main")
    check_origins(checkout)
    monkeypatch.setitem(sys.modules, "stray_module", module)
    with pytest.raises(LoadError, match=r"imports stray_module from stray_module\.py of the work tree"):
        check_origins(checkout)
