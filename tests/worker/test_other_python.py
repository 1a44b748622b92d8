"""Another interpreter for a side: it has its own archaudit, or is refused with a message."""

import stat
import sys

import pytest

from archaudit.errors import WorkerError
from archaudit.worker import WorkerOptions, start_workers


def make_python(folder, script):
    """Something that is run like an interpreter."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo 'No module named archaudit' >&2; exit 1", "has no archaudit that fits this one: No module named archaudit"),
        ("echo 99 7.0 True", r"has archaudit 7\.0 of format version 99; this one has \d"),
        ("echo 1 0.1.0 False", "has no torch"),
    ],
)
def test_an_interpreter_that_does_not_fit_is_told(tmp_path, script, told):
    with (
        pytest.raises(WorkerError, match=told) as caught,
        start_workers(["side"], WorkerOptions(), pythons=[make_python(tmp_path, script)]),
    ):
        pass
    assert "-m pip install archaudit" in caught.value.hint


def test_an_interpreter_that_is_not_there_is_told(tmp_path):
    with (
        pytest.raises(WorkerError, match="cannot be run"),
        start_workers(["side"], WorkerOptions(), pythons=[str(tmp_path / "nope")]),
    ):
        pass


def test_each_side_has_its_interpreter(tmp_path):
    """The second one is a link to this one: another path, so another process that forks."""
    link = make_python(tmp_path, f'exec "{sys.executable}" "$@"')
    with start_workers(["one", "two"], WorkerOptions(), pythons=[None, link]) as (one, two):
        assert one._pool is not two._pool
        from archaudit.worker import Load

        for worker in (one, two):
            worker.send(Load("torchvision:nope", "side"))
            with pytest.raises(Exception, match="torchvision has no model 'nope'"):
                worker.receive()


def test_which_side_gets_which():
    assert WorkerOptions().choose_python(0) is None
    assert [WorkerOptions(pythons=("p",)).choose_python(side) for side in (0, 1)] == ["p", "p"]
    assert [WorkerOptions(pythons=("p", "q")).choose_python(side) for side in (0, 1)] == ["p", "q"]
