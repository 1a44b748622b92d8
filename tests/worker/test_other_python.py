"""Another interpreter for a side: it needs its own archaudit and torch."""

import stat
import sys

import pytest

from archaudit.errors import WorkerError
from archaudit.worker import WorkerOptions, start_workers


def make_python(folder, script):
    """A shell script in place of an interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'No module named archaudit' >&2; exit 1", "has no archaudit that this one can use: No module named archaudit"),
        ("echo 99 7.0 True", r"has archaudit 7\.0 of format version 99; this one has \d"),
        ("echo 1 0.1.0 False", "has no torch"),
    ],
)
def test_an_interpreter_without_what_is_needed_is_refused(tmp_path, script, message):
    with (
        pytest.raises(WorkerError, match=message) as caught,
        start_workers(["side"], WorkerOptions(), pythons=[make_python(tmp_path, script)]),
    ):
        pass
    assert "-m pip install archaudit" in caught.value.hint


def test_a_missing_interpreter_is_reported(tmp_path):
    with (
        pytest.raises(WorkerError, match="cannot be run"),
        start_workers(["side"], WorkerOptions(), pythons=[str(tmp_path / "nope")]),
    ):
        pass


def test_each_side_has_its_interpreter(tmp_path):
    """The second one runs this one: another path, so another supervisor."""
    link = make_python(tmp_path, f'exec "{sys.executable}" "$@"')
    with start_workers(["one", "two"], WorkerOptions(), pythons=[None, link]) as (one, two):
        assert one._pool is not two._pool
        from archaudit.worker import Load

        for worker in (one, two):
            worker.send(Load("torchvision:nope", "side"))
            with pytest.raises(Exception, match="torchvision has no model 'nope'"):
                worker.receive()


def test_one_interpreter_is_for_all_sides_and_two_for_one_each():
    assert WorkerOptions().choose_python(0) is None
    assert [WorkerOptions(pythons=("p",)).choose_python(side) for side in (0, 1)] == ["p", "p"]
    assert [WorkerOptions(pythons=("p", "q")).choose_python(side) for side in (0, 1)] == ["p", "q"]
