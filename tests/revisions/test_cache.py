"""The cache: an entry is found only if all of its dependencies are unchanged."""

import sys
import textwrap

import pytest
from factories import make_profile

from archaudit.revisions import Cache, CacheKey, TreeEntry
from archaudit.revisions.cache import read_file_state
from archaudit.schema import Checkout, Dependencies

PROFILE = make_profile({"a": 1})


def tree(**blobs):
    return {path.replace("_py", ".py"): TreeEntry(mode="100644", blob=blob) for path, blob in blobs.items()}


BASE = {"net_py": "1", "other_py": "2", "weights": "3"}


@pytest.fixture
def cache(tmp_path):
    return Cache(tmp_path / "kept")


def test_an_entry_is_found_by_the_same_key(cache):
    key = CacheKey(settings="q", entries=tree(**BASE))
    assert cache.find(key) is None
    assert cache.keep(key, PROFILE, Dependencies(sources=("net.py",)))
    assert cache.find(key) == (PROFILE, ("net.py",))


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        (BASE | {"other_py": "9"}, True),  # a Python file that was not read
        (BASE | {"net_py": "9"}, False),  # a Python file that was read
        (BASE | {"weights": "9"}, False),  # another file, which can be read by native code
        (BASE | {"new_py": "9"}, False),  # a new file, which an import could find
        ({name: blob for name, blob in BASE.items() if name != "other_py"}, False),
    ],
)
def test_only_python_files_that_were_not_read_can_differ(cache, entries, found):
    cache.keep(CacheKey(settings="q", entries=tree(**BASE)), PROFILE, Dependencies(sources=("net.py",)))
    assert (cache.find(CacheKey(settings="q", entries=tree(**entries))) is not None) == found
    assert cache.find(CacheKey(settings="another", entries=tree(**BASE))) is None


def test_a_changed_file_outside_invalidates_an_entry(cache, tmp_path):
    outside, missing = tmp_path / "outside.py", tmp_path / "missing.py"
    outside.write_text("1")
    key = CacheKey(settings="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Dependencies(outside={str(path): read_file_state(str(path)) for path in (outside, missing)}))
    assert cache.find(key) is not None
    missing.write_text("now it is there")
    assert cache.find(key) is None
    missing.unlink()
    outside.write_text("22")
    assert cache.find(key) is None


def test_a_changed_environment_variable_invalidates_an_entry(cache, monkeypatch):
    monkeypatch.delenv("WIDTH", raising=False)
    key = CacheKey(settings="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Dependencies(environ={"WIDTH": None}))
    assert cache.find(key) is not None
    monkeypatch.setenv("WIDTH", "8")
    assert cache.find(key) is None


def test_a_profile_with_unknown_dependencies_is_not_cached(cache):
    key = CacheKey(settings="q", entries=tree(**BASE))
    assert not cache.keep(key, PROFILE, Dependencies(refusal="it starts processes"))
    assert cache.find(key) is None


def test_a_damaged_entry_is_ignored(cache):
    key = CacheKey(settings="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Dependencies())
    for path in cache.folder.glob("*/*.profile"):
        path.write_bytes(path.read_bytes()[:-20])
    assert cache.find(key) is None


def test_everything_that_is_read_is_recorded(tmp_path):
    """In a new process: an audit hook cannot be removed."""
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
    from archaudit.worker.dependencies import DependencyRecorder
    from archaudit.revisions.cache import digest_text
    recorder = DependencyRecorder(Checkout(root={str(root)!r}, toplevel="/nowhere", folder="", text="x"))
    os.chdir({str(root)!r}); sys.path.insert(0, {str(root)!r})
    import net
    open({str(tmp_path / "beside.txt")!r}).close()
    open({str(tmp_path / "written.txt")!r}, "w").close()
    found = recorder.list_dependencies()
    assert found.sources == ("net.py", "sizes.txt"), found.sources
    assert found.environ["WIDTH"] == digest_text("8") != "8", found.environ
    assert {str(tmp_path / "beside.txt")!r} in found.outside and os.__file__ in found.outside
    assert {str(tmp_path / "written.txt")!r} not in found.outside
    assert found.refusal is None
    assert not pathlib.Path({str(tmp_path / "asked.txt")!r}).exists() and os.path.isdir({str(tmp_path / "folder")!r})
    checked = recorder.list_dependencies().outside
    assert checked[{str(tmp_path / "asked.txt")!r}].size is None and checked[{str(tmp_path / "folder")!r}].size == -1, checked
    import subprocess; subprocess.run(["true"])
    assert recorder.list_dependencies().refusal == "it starts processes"
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, env={**__import__("os").environ, "WIDTH": "8"})


def test_an_import_from_the_work_tree_instead_of_the_revision_is_refused(tmp_path, monkeypatch):
    from types import ModuleType

    from archaudit.errors import LoadError
    from archaudit.load.checkout_imports import check_origins

    (tmp_path / "tree").mkdir()
    module = ModuleType("stray_module")
    module.__file__ = str(tmp_path / "tree" / "stray_module.py")
    checkout = Checkout(root=str(tmp_path / "aside"), toplevel=str(tmp_path / "tree"), folder="", text="net.py:Net@main")
    check_origins(checkout)
    monkeypatch.setitem(sys.modules, "stray_module", module)
    with pytest.raises(LoadError, match=r"imports stray_module from stray_module\.py of the work tree"):
        check_origins(checkout)
