"""The cache: an entry is found only if all of its dependencies are unchanged."""

import os
import sys
import textwrap
import zlib

import pytest
from factories import make_profile

from archaudit.revisions import Cache, CacheKey, TreeEntry
from archaudit.revisions.file_states import FileReader
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
    cache.keep(key, PROFILE, Dependencies(outside={str(path): FileReader().read(str(path)) for path in (outside, missing)}))
    assert cache.find(key) is not None
    missing.write_text("now it is there")
    assert cache.find(key) is None
    missing.unlink()
    outside.write_text("22")
    assert cache.find(key) is None


def keep_file(cache, path):
    key = CacheKey(settings="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Dependencies(outside={str(path): FileReader().read(str(path))}))
    assert cache.find(key) is not None
    return key


def test_another_file_of_the_same_size_and_time_invalidates_an_entry(cache, tmp_path):
    path = tmp_path / "sizes.txt"
    path.write_text("4")
    key, times = keep_file(cache, path), path.stat()
    path.write_text("8")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (times.st_size, times.st_mtime_ns)
    assert cache.find(key) is None


def test_a_file_that_was_only_copied_or_touched_does_not(cache, tmp_path):
    path = tmp_path / "sizes.txt"
    path.write_text("4")
    key = keep_file(cache, path)
    path.unlink()
    path.write_text("4")
    assert cache.find(key) is not None


def test_a_retargeted_link_invalidates_an_entry_even_if_the_content_is_the_same(cache, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sizes.txt").write_text("4")
    link = tmp_path / "current"
    link.symlink_to("one")
    key = keep_file(cache, link / "sizes.txt")
    link.unlink()
    link.symlink_to("two")
    assert cache.find(key) is None


def test_a_file_that_changed_after_it_was_read_is_never_found(cache, tmp_path):
    path = tmp_path / "sizes.txt"
    path.write_text("4")
    read = FileReader().read(str(path))
    path.write_text("8")
    key = CacheKey(settings="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Dependencies(outside={str(path): read}))
    assert cache.find(key) is None
    path.write_text("4")
    assert cache.find(key) is None


def test_the_target_of_a_link_that_ends_in_py_is_part_of_the_key(cache):
    def link(blob):
        return CacheKey(settings="q", entries={**tree(**BASE), "impl.py": TreeEntry(mode="120000", blob=blob)})

    cache.keep(link("to small.py"), PROFILE, Dependencies(sources=("net.py", "small.py")))
    assert cache.find(link("to small.py")) is not None
    assert cache.find(link("to large.py")) is None


def test_a_name_that_is_not_utf8_stops_nothing(cache):
    key = CacheKey(settings="q", entries={**tree(**BASE), "b\udcffd.txt": TreeEntry(mode="100644", blob="4")})
    assert cache.keep(key, PROFILE, Dependencies())
    assert cache.find(key) is not None


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"blobs":' * 50_000, b"\0" * (2**30 + 1), b"\xff\xfe"])
def test_a_deep_or_endless_entry_is_ignored(cache, content):
    key = CacheKey(settings="q", entries=tree(**BASE))
    cache.keep(key, PROFILE, Dependencies())
    (entry,) = cache.folder.glob("*/*.entry")
    entry.write_bytes(zlib.compress(content, 1))
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
    assert checked[{str(tmp_path / "asked.txt")!r}].kind == "missing", checked
    assert checked[{str(tmp_path / "folder")!r}].kind == "any folder", checked
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
