"""The files of reports: each pair of models has its own, and none is replaced without a note."""

import json

import pytest
from factories import make_cost, make_profile

from archaudit.cli.report_files import choose_stem, name_report
from archaudit.schema import encode


@pytest.mark.parametrize(
    ("references", "name"),
    [
        (("before", "after"), "before-after"),
        (("old.py:Net", "new.py:Net"), "old.py-Net-new.py-Net"),
        (("bert/config.json", "large/config.json"), "bert-config.json-large-config.json"),
        (("transformers:bert/config.json",), "transformers-bert-config.json"),
        (("x/a/config.json", "y/a/config.json"), "x-a-config.json-y-a-config.json"),
        (("old/net.py:Net", "new/net.py:Net"), "old-net.py-Net-new-net.py-Net"),
        (("net.py:Net(path='a/b')",), "net.py-Net-path=-a-b"),
        (("../../etc/passwd",), "passwd"),
        (("..", ""), "model-model"),
    ],
)
def test_a_report_is_named_after_its_models_and_their_folders_where_files_have_the_same_name(references, name):
    assert name_report(*references) == name
    assert len(name_report(*(f"folder/{reference * 50}" for reference in references))) <= 150


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Saved profiles of four models, all in files of the same name."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("x/a", "x/b", "y/a", "y/b"), 1):
        (tmp_path / name).mkdir(parents=True)
        profile = make_profile({"layer": make_cost(100 * number)}, name=name)
        (tmp_path / name / "config.json").write_bytes(encode(profile))
    return tmp_path


def read_totals(path):
    content = json.loads(path.read_text())
    return content["before"]["totals"]["params"], content["after"]["totals"]["params"]


def test_reports_of_two_pairs_under_the_same_name_are_both_kept(archaudit, folder):
    assert archaudit("compare", "x/a/config.json", "x/b/config.json", "-o", "out").status == 0
    second = archaudit("compare", "y/a/config.json", "y/b/config.json", "-o", "out")
    assert (second.status, second.err) == (0, "")
    written = {read_totals(path) for path in (folder / "out").glob("*.json")}
    assert written == {(100, 200), (300, 400)}


def test_the_same_pair_replaces_its_report_with_a_note(archaudit, folder):
    arguments = ("compare", "x/a/config.json", "x/b/config.json", "-o", "out")
    archaudit(*arguments)
    assert archaudit(*arguments).err == ""  # the same content
    (folder / "x/b/config.json").write_bytes(encode(make_profile({"layer": make_cost(900)}, name="x/b")))
    again = archaudit(*arguments)
    assert "archaudit: replaced a-config.json-b-config.json.md" in again.err
    assert [read_totals(path) for path in (folder / "out").glob("*.json")] == [(100, 900)]


@pytest.mark.parametrize("content", ["{", "[1]", '{"name": 3}', '{"before": {"name": "x"}, "after": {"name": "z"}}', "[" * 100_000])
def test_a_file_that_is_about_something_else_or_cannot_be_read_is_not_replaced(tmp_path, content):
    (tmp_path / "x-y.json").write_text(content)
    assert choose_stem(tmp_path, "x-y", ("x", "y")).startswith("x-y-")
    assert choose_stem(tmp_path, "other", ("x", "y")) == "other"
